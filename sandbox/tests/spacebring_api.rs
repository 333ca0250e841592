//! Spacebring's API: who may call it, how often, and what it answers.

mod support;

use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault, Sandbox, SpacebringSandbox};
use serde_json::{Value, json};
use support::spacebring::*;
use support::*;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const OTHER_NETWORK: &str = "5bace000-0001-4000-8000-000000000002";
const NO_NETWORK: &str = "5bace000-0001-4000-8000-000000000003";
const JSON: (&str, &str) = ("content-type", "application/json");
const ROOM_1: &str = "5bace000-0003-4000-8000-000000000001";
const PLAN_1: &str = "5bace000-0004-4000-8000-000000000001";

impl Setting {
    fn as_customer(&self, method: &str, target: &str, body: &str) -> Reply {
        let basic = self.basic();
        let headers: &[_] = if body.is_empty() {
            &[("authorization", basic.as_str())]
        } else {
            &[("authorization", basic.as_str()), JSON]
        };
        self.api(method, target, headers, body)
    }

    /// Starts a sandbox without its rate limit.
    fn without_rate_limit() -> Self {
        let it = Self::new();
        it.sandbox.set_rate_limit(None);
        it
    }

    fn statuses<const N: usize>(&self) -> [u16; N] {
        [(); N].map(|()| self.as_customer("GET", "/locations/v1", "").status)
    }
}

fn titles(answer: &Value, field: &str) -> Vec<String> {
    answer[field].as_array().unwrap().iter().map(|item| text(item, "title")).collect()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, kind: &str, why: &str) {
    assert_eq!(reply.status, status, "{why}: {}", reply.text);
    let error = reply.json();
    assert_eq!((error["type"].as_str(), error.as_object().unwrap().len()), (Some(kind), 2), "{why}: {error}");
    assert!(error["message"].is_string(), "{why}");
}

#[test]
fn customers_and_partners_receive_the_same_answers() {
    let it = Setting::without_rate_limit();
    let (access, _) = it.log_in("locations.readonly");
    let by_partner = it.get("/locations/v1", &access);
    let by_customer = it.as_customer("GET", "/locations/v1", "");
    assert_eq!((by_partner.status, by_partner.json()), (200, by_customer.json()));
    assert_eq!(titles(&by_partner.json(), "locations"), ["North Quay", "South Quay", "Lighthouse & Co"]);

    let one = it.get(&format!("/locations/v1/{NORTH_QUAY}"), &access).json();
    assert_eq!(one, json!({ "location": by_partner.json()["locations"][0] }));
    let bearer = bearer(&access);
    let networks = it.api("GET", "/networks/v1", &[("authorization", &bearer)], "");
    assert_eq!(titles(&networks.json(), "networks"), ["Harbour Spaces", "Hill Spaces"]);
    assert_eq!((it.sandbox.count(Endpoint::Locations), it.sandbox.count(Endpoint::Networks)), (3, 1));
}

#[test]
fn basic_credentials_are_compared_as_raw_bytes() {
    let it = Setting::new();
    it.sandbox.add_client_with_secret("client id", "client secret");
    it.sandbox.add_client_with_secret("ключ", "a:b ✓");
    for (authorization, status) in [
        // The vendor's example.
        ("Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ=", 200),
        (&basic("ключ", "a:b ✓"), 200),
        (&basic("client+id", "client+secret"), 401),
        (&basic("client%20id", "client%20secret"), 401),
        (&basic("client id", "client secret "), 401),
        ("Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ", 401),
    ] {
        let reply = it.api("GET", "/locations/v1", &[("authorization", authorization)], "");
        assert_eq!(reply.status, status, "{authorization}: {}", reply.text);
    }
}

#[test]
fn request_without_valid_credentials_and_network_is_refused() {
    let it = Setting::without_rate_limit();
    let (access, refresh) = it.log_in("locations");
    let (access, refresh, basic) = (bearer(&access), bearer(&refresh), it.basic());
    let own = it.sandbox.network_id();
    let upper = own.to_uppercase();
    let (a, n) = ("authorization", "spacebring-network-id");
    for (why, headers, status, kind) in [
        ("nobody", vec![(n, own)], 401, "unauthorized"),
        ("unknown token", vec![(a, "Bearer x"), (n, own)], 401, "unauthorized"),
        ("refresh token", vec![(a, refresh.as_str()), (n, own)], 401, "unauthorized"),
        ("another scheme", vec![(a, "Digest x"), (n, own)], 401, "unauthorized"),
        ("two tokens", vec![(a, &access), (a, &access), (n, own)], 400, "bad_request"),
        ("no network", vec![(a, &access)], 400, "bad_request"),
        ("two networks", vec![(a, &access), (n, own), (n, own)], 400, "bad_request"),
        ("no UUID", vec![(a, &access), (n, "1")], 400, "bad_request"),
        ("braces", vec![(a, &access), (n, "{5bace000-0001-4000-8000-00000000000}")], 400, "bad_request"),
        ("another's network", vec![(a, &access), (n, NO_NETWORK)], 403, "forbidden"),
        ("customer: no UUID", vec![(a, &basic), (n, "1")], 400, "bad_request"),
        ("customer: another's network", vec![(a, &basic), (n, NO_NETWORK)], 403, "forbidden"),
    ] {
        refused(&it.api("GET", "/locations/v1", &headers, ""), status, kind, why);
    }
    for (why, headers, first) in [
        ("own", vec![(a, access.as_str()), (n, own)], "North Quay"),
        ("upper case", vec![(a, &access), (n, &upper)], "North Quay"),
        ("own, the other", vec![(a, &access), (n, OTHER_NETWORK)], "Hilltop"),
        ("customer", vec![(a, &basic), (n, OTHER_NETWORK)], "Hilltop"),
        ("customer without", vec![(a, &basic)], "North Quay"),
    ] {
        let reply = it.api("GET", "/locations/v1", &headers, "");
        assert_eq!(reply.status, 200, "{why}: {}", reply.text);
        assert_eq!(titles(&reply.json(), "locations")[0], first, "{why}");
    }

    let expired = it.api("GET", "/locations/v1", &[(a, "Bearer x")], "");
    assert_eq!(expired.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
    let host = it.api("GET", "/locations/v1", &[("host", "evil.example")], "");
    refused(&host, 400, "bad_request", "another host");
}

#[test]
fn each_path_requires_its_scope() {
    let it = Setting::without_rate_limit();
    let resources = format!("/resources/v1?locationRef={NORTH_QUAY}");
    let contacts = format!("/visitors/contacts/v1?locationRef={NORTH_QUAY}");
    for (scope, statuses) in [
        ("locations.readonly", [200, 403, 403, 403]),
        ("locations", [200, 403, 403, 403]),
        ("resources.readonly,plans.readonly", [403, 200, 200, 403]),
        ("visitors", [403, 403, 403, 200]),
        ("feed", [403, 403, 403, 403]),
    ] {
        let (access, _) = it.log_in(scope);
        let targets = ["/locations/v1", resources.as_str(), "/plans/v1", contacts.as_str()];
        assert_eq!(targets.map(|target| it.get(target, &access).status), statuses, "{scope}");
    }

    let (access, _) = it.log_in("plans.readonly");
    let authorization = bearer(&access);
    let headers =
        [("authorization", authorization.as_str()), ("spacebring-network-id", it.sandbox.network_id())];
    let reply = it.api("DELETE", &format!("/plans/v1/{PLAN_1}"), &headers, "");
    refused(&reply, 403, "forbidden", "only to read");
    assert_eq!(reply.header("www-authenticate"), Some(r#"Bearer error="insufficient_scope""#));
}

#[test]
fn lists_are_returned_in_pages() {
    let it = Setting::without_rate_limit();
    for (path, field, count, sizes) in [
        ("/resources/v1", "resources", 60, vec![25, 25, 10]),
        ("/visitors/contacts/v1", "contacts", 27, vec![25, 2]),
        ("/plans/v1", "plans", 30, vec![25, 5]),
    ] {
        let (mut seen, mut found, mut target) = (Vec::new(), Vec::new(), None);
        loop {
            let query = target.unwrap_or_else(|| format!("locationRef={NORTH_QUAY}"));
            let page = it.as_customer("GET", &format!("{path}?{query}"), "").json();
            let items = page[field].as_array().unwrap();
            seen.push(items.len());
            found.extend(items.iter().map(|item| text(item, "id")));
            let Some(token) = page["nextPageToken"].as_str() else { break };
            let changes = [("locationRef", NORTH_QUAY), ("limit", "25"), ("nextPageToken", token)];
            target = Some(form(&changes, &[]));
            assert_eq!(page["searchQueryNext"], target.clone().unwrap());
        }
        found.sort();
        found.dedup();
        assert_eq!((seen, found.len()), (sizes, count), "{path}");
    }
    assert_eq!(
        it.as_customer("GET", "/plans/v1?limit=100", "").json()["plans"].as_array().unwrap().len(),
        36
    );
}

#[test]
fn limit_and_page_token_are_checked() {
    let it = Setting::without_rate_limit();
    let here = format!("locationRef={NORTH_QUAY}");
    let there = "locationRef=5bace000-0002-4000-8000-000000000002";
    let page = it.as_customer("GET", &format!("/resources/v1?{here}&limit=7"), "").json();
    let token = form(&[("nextPageToken", page["nextPageToken"].as_str().unwrap())], &[]);
    let raw = format!("nextPageToken={}", page["nextPageToken"].as_str().unwrap());

    for (limit, expected) in [("7", 7), ("0", 25), ("many", 25), ("-1", 25), ("60", 60), ("1000", 60)] {
        let page = it.as_customer("GET", &format!("/resources/v1?{here}&limit={limit}"), "").json();
        assert_eq!(page["resources"].as_array().unwrap().len(), expected, "{limit}");
    }
    let second = it.as_customer("GET", &format!("/resources/v1?{here}&{token}&limit=2"), "").json();
    assert_eq!(titles(&second, "resources"), ["Room 8", "Room 9"]);

    for (why, target, status, kind) in [
        ("another place", format!("/resources/v1?{there}&{token}"), 400, "bad_request"),
        ("another list", format!("/visitors/contacts/v1?{here}&{token}"), 400, "bad_request"),
        ("not encoded", format!("/resources/v1?{here}&{raw}"), 400, "bad_request"),
        ("made up", format!("/resources/v1?{here}&nextPageToken=2"), 400, "bad_request"),
        ("two tokens", format!("/resources/v1?{here}&{token}&{token}"), 400, "bad_request"),
        ("no place", "/resources/v1".to_owned(), 400, "bad_request"),
        ("no UUID", "/resources/v1?locationRef=7".to_owned(), 400, "bad_request"),
        ("other network", format!("/resources/v1?locationRef={HILLTOP}"), 404, "not_found"),
        ("unknown parameter", format!("/resources/v1?{here}&page=2"), 400, "bad_request"),
        ("not paged", "/locations/v1?limit=2".to_owned(), 400, "bad_request"),
        ("unknown path", "/locations/v2".to_owned(), 404, "not_found"),
        ("below a list", format!("/networks/v1/{NO_NETWORK}"), 404, "not_found"),
        ("not there", format!("/locations/v1/{NO_NETWORK}"), 404, "not_found"),
        ("other network's", format!("/locations/v1/{HILLTOP}"), 404, "not_found"),
        ("id", "/locations/v1/7".to_owned(), 400, "bad_request"),
        ("query", format!("/locations/v1/{NORTH_QUAY}?limit=1"), 400, "bad_request"),
    ] {
        refused(&it.as_customer("GET", &target, ""), status, kind, why);
    }
    let posted = it.as_customer("POST", "/locations/v1", "{}");
    refused(&posted, 405, "method_not_allowed", "method");
    assert_eq!(posted.header("allow"), Some("GET"));
}

#[test]
fn page_token_can_be_made_to_repeat() {
    let it = Setting::without_rate_limit();
    it.sandbox.set_paging_stuck(true);
    let target = format!("/resources/v1?locationRef={NORTH_QUAY}");
    let first = text(&it.as_customer("GET", &target, "").json(), "nextPageToken");
    let again = format!("{target}&{}", form(&[("nextPageToken", &first)], &[]));
    for _ in 0..3 {
        assert_eq!(text(&it.as_customer("GET", &again, "").json(), "nextPageToken"), first);
    }
    it.sandbox.set_paging_stuck(false);
    assert_ne!(text(&it.as_customer("GET", &again, "").json(), "nextPageToken"), first);
}

#[test]
fn changes_are_kept_and_invalid_ones_are_refused() {
    let it = Setting::without_rate_limit();
    let room = format!("/resources/v1/{ROOM_1}");
    let renamed = it.as_customer("PATCH", &room, r#"{"resource": {"title": "The <Big> One"}}"#);
    assert_eq!((renamed.status, renamed.text.as_str()), (204, ""));
    assert_eq!(it.as_customer("GET", &room, "").json()["resource"]["title"], "The <Big> One");

    let plan = format!("/plans/v1/{PLAN_1}");
    assert_eq!(it.as_customer("PATCH", &plan, r#"{"plan": {"price": 7}}"#).status, 204);
    assert_eq!(it.as_customer("GET", &plan, "").json()["plan"]["price"], 7);
    assert_eq!(["DELETE", "GET", "DELETE"].map(|m| it.as_customer(m, &plan, "").status), [204, 404, 404]);

    let contact = json!({ "locationRef": NORTH_QUAY, "visitor": { "email": "a@example.com", "name": "Ä" } });
    let body = json!({ "contact": contact }).to_string();
    let created = it.as_customer("POST", "/visitors/contacts/v1", &body);
    assert_eq!(created.status, 201, "{}", created.text);
    let id = text(&created.json()["contact"], "id");
    assert_eq!(it.as_customer("GET", &format!("/visitors/contacts/v1/{id}"), "").json(), created.json());

    for (why, method, target, body) in [
        ("unknown field", "PATCH", room.as_str(), r#"{"resource": {"colour": "red"}}"#),
        ("fixed field", "PATCH", &room, r#"{"resource": {"id": "x"}}"#),
        ("another name", "PATCH", &room, r#"{"plan": {}}"#),
        ("no JSON", "PATCH", &room, r#"{"resource": {"#),
        ("no visitor", "POST", "/visitors/contacts/v1", r#"{"contact": {}}"#),
        ("other network", "POST", "/visitors/contacts/v1", &body.replace(NORTH_QUAY, HILLTOP)),
    ] {
        refused(&it.as_customer(method, target, body), 400, "bad_request", why);
    }
    let headers = [("authorization", it.basic()), ("content-type", "text/plain".to_owned())];
    let headers = [(headers[0].0, headers[0].1.as_str()), (headers[1].0, headers[1].1.as_str())];
    refused(&it.api("PATCH", &room, &headers, "{}"), 400, "bad_request", "content type");
}

#[test]
fn eleventh_call_within_a_second_is_refused() {
    let it = Setting::new();
    let clock = it.sandbox.clock();
    clock.stop();
    assert_eq!(it.statuses(), [200; 4]);
    clock.advance(Duration::from_millis(500));
    assert_eq!(it.statuses(), [200; 6]);
    let over = it.as_customer("GET", "/plans/v1", "");
    refused(&over, 429, "too_many_requests", "over");
    assert_eq!((over.header("retry-after"), it.sandbox.rate_limited()), (None, 1));

    clock.advance(Duration::from_millis(499));
    assert_eq!(it.statuses(), [429]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(it.statuses(), [200, 200, 200, 200, 429], "the first four are a second ago");
    clock.rewind(Duration::from_secs(3600));
    assert_eq!(it.statuses(), [200; 10], "a clock that was set back");
    clock.resume();
    clock.advance(Duration::from_secs(1));
    assert_eq!(it.statuses(), [200; 10], "a clock that goes on");
}

#[test]
fn rate_limit_counts_each_login_and_customer_separately() {
    let it = Setting::new();
    it.sandbox.clock().stop();
    it.sandbox.set_rate_limit(Some(2));
    it.sandbox.set_retry_after(true);
    let (access, refresh) = it.log_in("locations");
    let renewed = text(&it.refresh(&refresh, &[]).json(), "access_token");
    let (other, _) = it.log_in("locations");

    let calls = [&access, &renewed, &access, &other, &other, &renewed];
    let statuses = calls.map(|token| it.get("/locations/v1", token).status);
    assert_eq!(statuses, [200, 200, 429, 200, 200, 429]);
    assert_eq!(it.statuses(), [200, 200, 429]);
    let over = it.as_customer("GET", "/locations/v1", "");
    assert_eq!((over.status, over.header("retry-after")), (429, Some("1")));
    assert_eq!(it.get("/locations/v1", "x").status, 401, "unknown tokens are not counted");
    assert_eq!(it.refresh(&refresh, &[]).status, 200, "only the API is limited");

    assert_eq!(it.sandbox.rate_limited(), 4);
    it.sandbox.reset_counters();
    assert_eq!((it.sandbox.rate_limited(), it.sandbox.logins(), it.sandbox.total()), (0, 0, 0));
    it.sandbox.set_rate_limit(None);
    assert_eq!(it.statuses(), [200; 20]);
}

#[test]
fn faults_delays_and_the_log_work_as_for_spatiafi() {
    let it = Setting::without_rate_limit();
    let (access, _) = it.log_in("locations");
    it.sandbox.clear_requests();
    it.sandbox.fault(Endpoint::Locations, Fault::status(502));
    it.sandbox.fault(Endpoint::Locations, Fault::delay(Duration::from_millis(1)));
    assert_eq!([(); 3].map(|()| it.get("/locations/v1", &access).status), [502, 200, 200]);
    it.revoke(&access);
    let code = it.code(&[]);
    it.exchange(&code, &[]);
    call(&it.agent, "GET", &it.authorize_url(&[]), &[], "");
    it.as_customer("GET", "/plans/v1?limit=1", "");

    let requests = it.sandbox.requests();
    let lines: Vec<_> = requests.iter().map(ToString::to_string).collect();
    let expected = [
        "spacebring GET /locations/v1 -> 502",
        "spacebring GET /locations/v1 -> 200",
        "spacebring GET /locations/v1 -> 200",
        "spacebring POST /oauth2/revoke?token=*** -> 200",
        "spacebring POST /oauth2/token client_id=*** client_secret=*** grant_type=authorization_code code=*** \
         redirect_uri=http://127.0.0.1:8765/callback code_verifier=*** -> 200",
        "spacebring GET /oauth2/authorize?client_id=***&redirect_uri=http://127.0.0.1:8765/callback\
         &response_type=code&scope=resources locations&state=***&code_challenge=***\
         &code_challenge_method=S256 -> 200",
        "spacebring GET /plans/v1?limit=1 -> 200",
    ];
    assert_eq!(lines, expected);
    assert_eq!(requests[0].header("spacebring-network-id"), Some(it.sandbox.network_id()));
    let everything = format!("{requests:?}");
    for secret in [&access, &code, it.sandbox.client_secret(), VERIFIER, CHALLENGE, STATE] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

#[test]
fn spacebring_beside_spatiafi_shares_its_clock_and_authority() {
    let spatiafi = Sandbox::start_tls();
    let spacebring = SpacebringSandbox::beside(&spatiafi);
    assert_eq!(spatiafi.ca_file(), spacebring.ca_file());
    assert!(spacebring.api_url().starts_with("https://127.0.0.1:"));
    let roots =
        RootCerts::new_with_certs(&[Certificate::from_pem(spacebring.ca_pem().unwrap().as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let config = Agent::config_builder().tls_config(tls).http_status_as_error(false).proxy(None).build();
    let it = Setting { sandbox: spacebring, agent: config.into() };

    let (access, _) = it.log_in("locations");
    spatiafi.clock().advance(Duration::from_secs(3599 - 60));
    assert_eq!(it.get("/locations/v1", &access).status, 200);
    spatiafi.clock().advance(Duration::from_secs(61));
    assert_eq!(it.get("/locations/v1", &access).status, 401);

    let ca_file = it.sandbox.ca_file().unwrap();
    let names: Vec<_> = it.sandbox.env().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "SPACEBRING_API_URL",
        "SPACEBRING_CLIENT_ID",
        "SPACEBRING_CLIENT_SECRET",
        "SPACEBRING_NETWORK_ID",
        "KEYFOB_CA_FILE",
    ];
    assert_eq!(names, expected);
    drop(spatiafi);
    assert!(ca_file.exists(), "needed still");
    drop(it);
    assert!(!ca_file.exists());
    assert!(SpacebringSandbox::start_tls().api_url().starts_with("https:"));
    assert!(SpacebringSandbox::start().ca_file().is_none());
}
