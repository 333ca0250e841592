//! [`Metadata`], and services whose endpoints are found by their issuer: what is sent and in which order, and what is refused.

#![allow(clippy::disallowed_methods, reason = "the servers are slow by the machine's clock")]

mod support;

#[path = "support/folder.rs"]
mod folder;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use folder::Folder;
use keyfob::{
    ClientAuth, Definition, Error, ErrorKind, Metadata, RecordName, Service, ServiceBuilder, Token,
    TokenSource as _, Transport,
};
use serde_json::{Value, json};
use support::{Request, Server, Step, answer, child, fails, send, timed};

const KEY: &str = "a secret of at least thirty-two bytes";
const REDIRECT: &str = "https://app.example/callback";
const TOKEN: &str = r#"{"access_token":"acc","expires_in":3600,"token_type":"Bearer"}"#;
const TOKENS: &str = r#"{"access_token":"acc","refresh_token":"ref","expires_in":3600}"#;
const OAUTH: &str = "GET /.well-known/oauth-authorization-server HTTP/1.1";
/// The advice of most errors.
const THEN: &str = "check the issuer, a '/' at its end included, or give the URL of each endpoint";

fn transport() -> Transport {
    Transport::new().with_timeout(Duration::from_secs(20))
}

fn secret() -> ClientAuth {
    ClientAuth::secret_post("id", "s3cr3t")
}

fn lines(server: &Server) -> Vec<String> {
    server.requests().iter().map(|request| request.head.lines().next().unwrap().to_owned()).collect()
}

fn origin(request: &Request) -> String {
    format!("http://{}", request.header("host").unwrap())
}

/// The metadata of a server at this URL.
fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "device_authorization_endpoint": format!("{issuer}/device"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "jwks_uri": 5,
    })
}

fn is_metadata(request: &Request) -> bool {
    request.head.contains("/.well-known/")
}

/// A server with this metadata, which may be changed. It issues tokens and answers everything else with an empty object.
fn server_with(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Server {
    Server::answering(move |request| {
        if is_metadata(request) {
            let mut metadata = metadata(&origin(request));
            change(&mut metadata);
            return answer(200, "", metadata.to_string());
        }
        answer(200, "", if request.head.starts_with("POST /token") { TOKENS } else { r#"{"active":true}"# })
    })
}

fn server() -> Server {
    server_with(|_| {})
}

/// The builder of a service that lacks only a grant.
fn acme(server: &Server) -> ServiceBuilder {
    Service::builder("acme").issuer(server.origin()).api_url(server.origin()).transport(transport())
}

fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

/// Logs in with the callback URL that a browser would open, and with these additions to its query.
fn log_in(service: &Service, more: &str) -> Result<Token, Error> {
    let login = service.start_login()?;
    let state = parameter(login.url(), "state").to_owned();
    login.finish(&format!("{REDIRECT}?code=c&state={state}{more}"))
}

#[test]
fn metadata_is_found_at_the_url_of_rfc_8414_else_at_that_of_openid_connect() {
    let oauth = |path: &str| format!("GET /.well-known/oauth-authorization-server{path} HTTP/1.1");
    let openid = |path: &str| format!("GET {path}/.well-known/openid-configuration HTTP/1.1");
    for (path, sent) in [("", ""), ("/", ""), ("/tenant", "/tenant"), ("/a/b/", "/a/b")] {
        let issuer_of = move |request: &Request| format!("{}{path}", origin(request));
        let server =
            Server::answering(move |request| answer(200, "", metadata(&issuer_of(request)).to_string()));
        let issuer = format!("{}{path}", server.origin());
        let found = Metadata::discover(&transport(), &issuer).unwrap();
        assert_eq!(lines(&server), [oauth(sent)], "{path}");
        assert_eq!(found.issuer(), issuer);

        for first in [
            answer(404, "", ""),
            answer(400, "", r#"{"issuer":"https://other.example"}"#),
            answer(302, "Location: /login", "{}"),
            answer(200, "", "<html>"),
            answer(200, "", "[]"),
            answer(200, "", ""),
            answer(200, "", r#"{"issuer":"#),
        ] {
            let server = Server::answering(move |request| {
                if request.head.contains("openid-configuration") {
                    answer(200, "", metadata(&issuer_of(request)).to_string())
                } else {
                    first.clone()
                }
            });
            let issuer = format!("{}{path}", server.origin());
            let found = Metadata::discover(&transport(), &issuer).unwrap();
            assert_eq!(lines(&server), [oauth(sent), openid(sent)], "{path}");
            assert_eq!(found.token_endpoint().unwrap(), format!("{issuer}/token"));
        }
    }
}

#[test]
fn every_endpoint_is_read_and_an_absent_one_is_none() {
    let server = server();
    let found = Metadata::discover(&transport(), &server.origin()).unwrap();
    let url = |path: &str| format!("{}/{path}", server.origin());
    assert_eq!(found.token_endpoint().unwrap(), url("token"));
    assert_eq!(found.authorization_endpoint().unwrap(), url("authorize"));
    assert_eq!(found.device_authorization_endpoint().unwrap(), url("device"));
    assert_eq!(found.introspection_endpoint().unwrap(), url("introspect"));
    assert_eq!(found.revocation_endpoint().unwrap(), url("revoke"));
    assert!(!found.is_iss_parameter_supported());
    let request = &server.requests()[0];
    assert_eq!((request.header("accept"), request.header("authorization")), (Some("application/json"), None));

    let server = server_with(|metadata| {
        *metadata = json!({
            "issuer": metadata["issuer"],
            "revocation_endpoint": null,
            "authorization_response_iss_parameter_supported": true,
        });
    });
    let found = Metadata::discover(&transport(), &server.origin()).unwrap();
    assert!(found.is_iss_parameter_supported());
    assert_eq!([found.authorization_endpoint(), found.revocation_endpoint()], [None; 2]);
    let text = format!(
        "the metadata of {} has no `token_endpoint`: give its URL as `token_url`, if the server has this endpoint",
        server.origin()
    );
    fails(found.token_endpoint(), ErrorKind::InvalidInput, &text, "token_endpoint");
}

#[test]
fn byte_order_mark_empty_error_and_repeated_members_of_metadata_do_not_matter() {
    for before in [
        "\u{feff}{",
        "{\"error\":false,",
        "{\"error\":\"x\",\"error\":{},",
        // The last one of two equal members counts (RFC 8259 4).
        r#"{"issuer":"https://other.example","token_endpoint":7,"#,
        r#"{"issuer":5,"token\u005fendpoint":"http://other.example/","#,
    ] {
        let server = Server::answering(move |request| {
            answer(200, "", metadata(&origin(request)).to_string().replacen('{', before, 1))
        });
        let found = Metadata::discover(&transport(), &server.origin()).expect(before);
        assert_eq!(found.token_endpoint().unwrap(), format!("{}/token", server.origin()), "{before}");
        assert_eq!(lines(&server), [OAUTH], "{before}");
    }
    // The second `issuer` is wrong, and so is the metadata.
    let server = Server::answering(|request| {
        answer(200, "", metadata(&origin(request)).to_string().replacen('}', ",\"issuer\":5}", 1))
    });
    Metadata::discover(&transport(), &server.origin()).unwrap_err();
}

/// Discovers metadata that was changed, which must fail with this text after "could not find the endpoints of …: ".
#[track_caller]
fn refused(change: impl Fn(&mut Value) + Send + Sync + 'static, text: &str) {
    let server = server_with(change);
    let text = format!("could not find the endpoints of {}: {text}; {THEN}", server.origin());
    fails(Metadata::discover(&transport(), &server.origin()), ErrorKind::Protocol, &text, &text);
    // A wrong answer ends the search.
    assert_eq!(lines(&server), [OAUTH], "{text}");
}

#[test]
fn metadata_of_another_issuer_is_refused() {
    let other = "its metadata is that of another issuer, ";
    refused(|metadata| metadata["issuer"] = json!("https://a.example"), &format!("{other}https://a.example"));
    refused(|metadata| metadata["issuer"] = json!(""), other);
    refused(
        |metadata| metadata["issuer"] = json!("https://a.example/\u{1b}[31m\u{202e}"),
        &format!("{other}https://a.example/ [31m"),
    );
    // The path is shown, and nothing that may be a secret of somebody.
    for (issuer, shown) in [
        ("https://evil.example/path?q=hunter2", "https://evil.example/path?…"),
        ("https://evil.example/path#hunter2", "https://evil.example/path?…"),
        ("https://me:hunter2@evil.example/path", "whose name is withheld: it has an '@'"),
    ] {
        refused(move |metadata| metadata["issuer"] = json!(issuer), &format!("{other}{shown}"));
    }
    refused(|metadata| metadata["issuer"] = Value::Null, "its metadata has no `issuer`");
    refused(|metadata| *metadata = json!({}), "its metadata has no `issuer`");
    for bad in [json!(5), json!(["https://a.example"]), json!({}), json!(true)] {
        refused(
            move |metadata| metadata["issuer"] = bad.clone(),
            "the issuer in its metadata is not a string",
        );
    }
    let known = ClientAuth::secret_basic("id", "kn0wn-s3cr3t");
    refused(
        |metadata| metadata["issuer"] = json!("https://kn0wn-s3cr3t.example"),
        &format!("{other}whose name is withheld: it repeats a secret"),
    );
    drop(known);

    // RFC 8414 3.3: an issuer with one slash more or less is another issuer.
    let server = server();
    let with_slash = format!("{}/", server.origin());
    let text = format!("could not find the endpoints of {with_slash}: {other}{}; {THEN}", server.origin());
    fails(Metadata::discover(&transport(), &with_slash), ErrorKind::Protocol, &text, "slash");
}

#[test]
fn endpoint_that_cannot_be_used_is_refused() {
    for name in [
        "token_endpoint",
        "authorization_endpoint",
        "device_authorization_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        for (bad, why) in [
            (
                json!("http://login.example.com/x"),
                "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
            ),
            (json!("/token"), "is not absolute: it needs https:// and a host"),
            (json!("ftp://login.example.com/x"), "is neither https nor http"),
            (
                json!("https://ada:s3cr3t@login.example.com/"),
                "holds a user name or password: give credentials separately",
            ),
            (json!("https://h/#f"), "has a fragment ('#'): remove it (RFC 6749 3.2)"),
            (json!(""), "is empty"),
        ] {
            let text = format!("in its metadata, the {name} {why}");
            refused(move |metadata| metadata[name] = bad.clone(), &text);
        }
        for bad in [json!(5), json!([]), json!({}), json!(false)] {
            let text = format!("the {name} in its metadata is not a string");
            refused(move |metadata| metadata[name] = bad.clone(), &text);
        }
    }
    for bad in [json!("true"), json!(1), json!([])] {
        refused(
            move |metadata| metadata["authorization_response_iss_parameter_supported"] = bad.clone(),
            "`authorization_response_iss_parameter_supported` is neither true nor false",
        );
    }
}

#[test]
fn error_names_both_answers_if_neither_url_has_metadata() {
    let long = [b"{\"a\":\"".to_vec(), vec![b'a'; 1024 * 1024], b"\"}".to_vec()].concat();
    for (case, first, second, kind, text) in [
        (
            "not there",
            answer(404, "", ""),
            answer(403, "", ""),
            ErrorKind::Protocol,
            format!(
                "it has no metadata: oauth-authorization-server answered HTTP 404, and openid-configuration answered HTTP 403; {THEN}"
            ),
        ),
        (
            "redirects",
            answer(301, "Location: http://127.0.0.1:1/", ""),
            answer(307, "Location: http://127.0.0.1:1/", "{}"),
            ErrorKind::Protocol,
            format!(
                "it has no metadata: oauth-authorization-server answered HTTP 301, a redirect, which is not followed, \
                 and openid-configuration answered HTTP 307, a redirect, which is not followed; {THEN}"
            ),
        ),
        (
            "no redirects",
            answer(304, "", ""),
            answer(300, "", ""),
            ErrorKind::Protocol,
            format!(
                "it has no metadata: oauth-authorization-server answered HTTP 304, and openid-configuration answered HTTP 300; {THEN}"
            ),
        ),
        (
            "not JSON, and a list",
            answer(200, "Content-Type: text/html", "<html>"),
            answer(200, "", "[{}]"),
            ErrorKind::Protocol,
            format!(
                "it has no metadata: oauth-authorization-server answered HTTP 200 without a JSON object, \
                 and openid-configuration answered HTTP 200 without a JSON object; {THEN}"
            ),
        ),
        (
            "other encodings",
            answer(200, "", b"\xff\xfe{\0}\0"),
            answer(200, "", b"\0\0\xfe\xff\0\0\0{\0\0\0}"),
            ErrorKind::Protocol,
            format!(
                "it has no metadata: oauth-authorization-server answered HTTP 200 in UTF-16, and JSON is UTF-8 (RFC 8259 8.1), \
                 and openid-configuration answered HTTP 200 in UTF-32, and JSON is UTF-8 (RFC 8259 8.1); {THEN}"
            ),
        ),
        (
            "1 MiB",
            answer(404, "", ""),
            answer(200, "", long),
            ErrorKind::Protocol,
            "the answer is longer than 1 MiB; check the URL; oauth-authorization-server answered HTTP 404"
                .to_owned(),
        ),
        (
            "failed",
            answer(404, "", ""),
            answer(503, "", ""),
            ErrorKind::Refused,
            "the server failed (HTTP 503); try again later; oauth-authorization-server answered HTTP 404"
                .to_owned(),
        ),
    ] {
        let server = Server::answering(move |request| {
            if request.head.contains("openid-configuration") { second.clone() } else { first.clone() }
        });
        let text = format!("could not find the endpoints of {}: {text}", server.origin());
        fails(Metadata::discover(&transport(), &server.origin()), kind, &text, case);
    }
}

#[test]
fn failure_of_the_server_or_the_network_is_tried_three_times_and_is_no_reason_to_look_elsewhere() {
    for (first, kind, text) in [
        (answer(503, "", ""), ErrorKind::Refused, "the server failed (HTTP 503); try again later"),
        (
            answer(429, "", ""),
            ErrorKind::RateLimited,
            "the server asked to slow down (HTTP 429); try again later",
        ),
        (b"".to_vec(), ErrorKind::Network, "the connection was cut off; try again"),
    ] {
        let failing = first.clone();
        let server = Server::scripted(move |_| vec![Step::Read, send(&failing)]);
        let text = format!("could not find the endpoints of {}: {text}", server.origin());
        fails(Metadata::discover(&transport(), &server.origin()), kind, &text, &text);
        assert_eq!(lines(&server), [OAUTH; 3], "{text}");

        let server = Server::scripted(move |number| match number {
            0 | 1 => vec![Step::Read, send(&first)],
            _ => {
                vec![Step::Serve(Arc::new(|request| answer(200, "", metadata(&origin(request)).to_string())))]
            }
        });
        Metadata::discover(&transport(), &server.origin()).expect(&text);
        assert_eq!(lines(&server), [OAUTH; 3], "{text}");
    }
}

#[test]
fn both_requests_together_end_by_the_deadline() {
    let whole = answer(200, "", metadata("https://login.example.com").to_string());
    let server = Server::scripted(move |number| match number {
        0 => vec![Step::Read, Step::Pause(Duration::from_millis(600)), send(answer(404, "", ""))],
        _ => vec![Step::Read, Step::Drip(whole.clone(), Duration::from_millis(50))],
    });
    let transport = Transport::new().with_timeout(Duration::from_secs(1));
    let (found, took) = timed(|| Metadata::discover(&transport, &server.origin()));
    let text = format!(
        "could not find the endpoints of {}: no complete answer within 1 s; check the network, the proxy and the URL; \
         oauth-authorization-server answered HTTP 404",
        server.origin()
    );
    fails(found, ErrorKind::Timeout, &text, "slow");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn bad_issuer_is_refused_before_anything_is_sent() {
    const URL_OF_METADATA: &str =
        "the issuer is the URL of metadata ('/.well-known'): give the `issuer` that this metadata names";
    let server = server();
    let own = server.origin();
    let long = format!("https://h/{}", "a".repeat(16 * 1024));
    for (issuer, text) in [
        ("", "the issuer is empty"),
        ("login.example.com", "the issuer is not absolute: it needs https:// and a host"),
        (
            "http://login.example.com",
            "the issuer is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        (&format!("{own}?a"), "the issuer has a query ('?'): give it without"),
        (&format!("{own}/?"), "the issuer has a query ('?'): give it without"),
        (&format!("{own}/.well-known/openid-configuration"), URL_OF_METADATA),
        (&format!("{own}/tenant/.well-known/openid-configuration/"), URL_OF_METADATA),
        (&format!("{own}/.well-known/oauth-authorization-server/tenant"), URL_OF_METADATA),
        (&format!("{own}/.well-known"), URL_OF_METADATA),
        (&format!("{own}/#a"), "the issuer has a fragment ('#'): remove it (RFC 6749 3.2)"),
        ("https://ada:pw@h", "the issuer holds a user name or password: give credentials separately"),
        (
            "https://h/\n",
            "the issuer holds a control character at byte 10: a trailing newline, perhaps, from reading a file?",
        ),
        (
            "https://h/\u{202e}",
            "the issuer holds a character that changes the direction of text (U+202E) at byte 10: remove it",
        ),
        (&long, "the issuer is 16394 bytes long; at most 16384 are accepted: is it the right value?"),
    ] {
        fails(Metadata::discover(&transport(), issuer), ErrorKind::InvalidInput, text, text);
        let built = acme(&server).issuer(issuer).client_credentials(secret()).build();
        fails(built, ErrorKind::InvalidInput, text, text);
    }
    let text = "the service `acme` has `issuer`, which has no effect with `basic`: remove it";
    fails(acme(&server).basic("id", "s").build(), ErrorKind::InvalidInput, text, "basic");
    assert_eq!(server.connections(), 0);
}

#[test]
fn service_by_issuer_fetches_metadata_once_and_with_a_stored_token_not_at_all() {
    let server = server();
    let folder = Folder::new();
    let build = || {
        let auth = ClientAuth::secret_jwt("id", KEY);
        acme(&server).client_credentials(auth).scope("a").store(folder.store()).build().unwrap()
    };
    let service = build();
    assert_eq!(server.connections(), 0, "`build` sends nothing");
    let get = |service: &Service| {
        service.agent().get(format!("{}/things", server.origin())).call().unwrap();
    };
    get(&service);
    service.source().invalidate(&service.source().token(Duration::ZERO).unwrap());
    get(&service);
    let (post, call) = ("POST /token HTTP/1.1", "GET /things HTTP/1.1");
    assert_eq!(lines(&server), [OAUTH, post, call, post, call]);

    // RFC 7523 3: the audience of the assertion is the token URL that was found.
    let requests = server.requests();
    let claims = requests[1].form("client_assertion").unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], format!("{}/token", server.origin()));

    // The next process finds the token in the store.
    get(&build());
    assert_eq!(lines(&server).len(), 6);
    assert_eq!(lines(&server)[5], call);
}

#[test]
fn every_grant_and_revocation_work_by_issuer_alone() {
    let server = server();
    let service = acme(&server).extension_grant("urn:example:grant", secret()).build().unwrap();
    service.source().token(Duration::ZERO).unwrap();
    assert_eq!(server.requests()[1].form("grant_type"), Some("urn%3Aexample%3Agrant"));
    assert_eq!(lines(&server), [OAUTH, "POST /token HTTP/1.1"]);

    let server = self::server();
    let auth = ClientAuth::secret_jwt("id", KEY);
    let service = acme(&server).authorization_code(auth, REDIRECT).scope("a").build().unwrap();
    let token = log_in(&service, "").unwrap();
    assert!(service.start_login().unwrap().url().starts_with(&format!("{}/authorize?", server.origin())));
    service.finish_login(token).unwrap();
    let source = service.source();
    source.invalidate(&source.token(Duration::ZERO).unwrap());
    source.token(Duration::ZERO).unwrap();
    assert!(service.introspect().unwrap().is_active());
    service.revoke().unwrap();
    let (token, introspect) = ("POST /token HTTP/1.1", "POST /introspect HTTP/1.1");
    let revoke = "POST /revoke HTTP/1.1";
    assert_eq!(lines(&server), [OAUTH, token, token, introspect, revoke, revoke]);
    for (request, grant) in [(1, "authorization_code"), (2, "refresh_token")] {
        assert_eq!(server.requests()[request].form("grant_type"), Some(grant));
    }
    for request in &server.requests()[1..] {
        let claims = request.form("client_assertion").unwrap().split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["aud"], format!("{}/token", server.origin()), "{}", request.head);
    }
}

#[test]
fn device_login_works_by_issuer_alone() {
    let server = Server::answering(|request| match request.head.split(' ').nth(1).unwrap() {
        "/device" => {
            let uri = "https://login.example.com/device";
            let start = json!({ "device_code": "d", "user_code": "U", "verification_uri": uri, "expires_in": 60, "interval": 1 });
            answer(200, "", start.to_string())
        }
        "/token" => answer(200, "", TOKENS),
        _ => answer(200, "", metadata(&origin(request)).to_string()),
    });
    let service = acme(&server).device_code(secret()).build().unwrap();
    let login = service.start_login().unwrap();
    assert_eq!(login.user_code(), Some("U"));
    service.finish_login(login.wait(Duration::from_secs(20)).unwrap()).unwrap();
    assert_eq!(lines(&server), [OAUTH, "POST /device HTTP/1.1", "POST /token HTTP/1.1"]);
}

#[test]
fn given_urls_have_precedence_over_metadata() {
    let (server, other) = (server(), server());
    let at = |path: &str| format!("{}{path}", other.origin());
    let build = |builder: ServiceBuilder| builder.authorization_code(secret(), REDIRECT).build().unwrap();
    let service = build(acme(&server).token_url(at("/token")).authorize_url(at("/authorize")));
    log_in(&service, "").unwrap();
    assert_eq!((server.connections(), lines(&other)), (0, vec!["POST /token HTTP/1.1".to_owned()]));
    assert_eq!(service.record_name(), RecordName::new("acme", &at("/token"), "id").ok().as_ref());

    // Revocation and introspection need the token URL only as `aud` of a JWT, so no metadata is fetched.
    let service = build(acme(&server).introspection_url(at("/i")).revocation_url(at("/r")));
    service.finish_login(support::token("acc")).unwrap();
    service.introspect().unwrap();
    service.revoke().unwrap();
    assert_eq!((server.connections(), lines(&other).len()), (0, 3));

    let service = build(acme(&server).token_url(at("/token")));
    let login = service.start_login().unwrap();
    assert!(login.url().starts_with(&format!("{}/authorize?", server.origin())), "{}", login.url());
    assert_eq!(lines(&server), [OAUTH]);
}

#[test]
fn record_is_named_after_the_issuer() {
    let server = server();
    let service = acme(&server).authorization_code(secret(), REDIRECT).build().unwrap();
    let name = RecordName::new("acme", &server.origin(), "id").unwrap();
    assert_eq!(service.record_name(), Some(&name));
    assert_eq!(acme(&server).unchecked_token_url(), None);
}

#[test]
fn missing_endpoint_is_named_with_the_issuer() {
    let server = server_with(|metadata| *metadata = json!({ "issuer": metadata["issuer"] }));
    let text = |name: &str, key: &str| {
        let issuer = server.origin();
        format!(
            "the metadata of {issuer} has no `{name}`: give its URL as `{key}`, if the server has this endpoint"
        )
    };
    let service = acme(&server).client_credentials(secret()).build().unwrap();
    let token = service.source().token(Duration::ZERO);
    fails(token, ErrorKind::InvalidInput, &text("token_endpoint", "token_url"), "token");

    let login = acme(&server).authorization_code(secret(), REDIRECT).token_url(server.origin());
    let login = login.build().unwrap();
    fails(
        login.start_login(),
        ErrorKind::InvalidInput,
        &text("authorization_endpoint", "authorize_url"),
        "login",
    );
    login.finish_login(Token::new("a", SystemTime::now()).unwrap()).unwrap();
    fails(
        login.introspect(),
        ErrorKind::InvalidInput,
        &text("introspection_endpoint", "introspection_url"),
        "introspect",
    );
    fails(login.revoke(), ErrorKind::InvalidInput, &text("revocation_endpoint", "revocation_url"), "revoke");
    assert_eq!(lines(&server), [OAUTH; 2], "metadata is kept, whatever it lacks");
}

#[test]
fn failed_fetch_is_tried_again_by_the_next_exchange() {
    let server = Server::answering({
        let metadata_requests = AtomicUsize::new(0);
        move |request| match is_metadata(request) {
            true if metadata_requests.fetch_add(1, SeqCst) < 2 => answer(404, "", ""),
            true => answer(200, "", metadata(&origin(request)).to_string()),
            false => answer(200, "", TOKEN),
        }
    });
    let service = acme(&server).client_credentials(secret()).build().unwrap();
    let source = service.source();
    assert_eq!(source.token(Duration::ZERO).unwrap_err().kind(), ErrorKind::Protocol);
    source.token(Duration::ZERO).unwrap();
    assert_eq!(lines(&server)[2..], [OAUTH, "POST /token HTTP/1.1"]);
}

#[test]
fn threads_share_one_fetch_and_none_waits_past_its_deadline() {
    let server = Server::answering(|request| {
        if is_metadata(request) {
            thread::sleep(Duration::from_millis(600));
        }
        answer(200, "", metadata(&origin(request)).to_string())
    });
    let service = acme(&server).authorization_code(secret(), REDIRECT).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| service.start_login().unwrap());
        }
    });
    assert_eq!(lines(&server), [OAUTH]);

    // Clones of a builder share the metadata, and may have other deadlines.
    let server = Server::scripted(|_| vec![Step::Read, Step::Hold]);
    let patient = acme(&server).authorization_code(secret(), REDIRECT);
    let hasty = patient.clone().transport(Transport::new().with_timeout(Duration::from_millis(300)));
    let patient = patient.transport(Transport::new().with_timeout(Duration::from_secs(2)));
    let (patient, hasty) = (patient.build().unwrap(), hasty.build().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| patient.start_login().unwrap_err());
        while server.requests().is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        let (login, took) = timed(|| hasty.start_login());
        let text = format!(
            "could not find the endpoints of {}: no metadata within 0.3 s; check the network, the proxy and the URL",
            server.origin()
        );
        fails(login, ErrorKind::Timeout, &text, "hasty");
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn fetch_of_metadata_and_exchange_together_end_by_the_deadline() {
    let server = Server::answering(|request| {
        thread::sleep(Duration::from_millis(700));
        answer(200, "", metadata(&origin(request)).to_string())
    });
    let transport = Transport::new().with_timeout(Duration::from_secs(1));
    let service = acme(&server).transport(transport).client_credentials(secret()).build().unwrap();
    let (token, took) = timed(|| service.source().token(Duration::ZERO));
    assert_eq!(token.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(took < Duration::from_millis(1300), "{took:?}");
}

#[test]
fn callback_must_name_the_issuer_if_the_metadata_promises_it() {
    let server = server_with(|metadata| {
        metadata["authorization_response_iss_parameter_supported"] = json!(true);
    });
    let again = "log in again, and check the URLs if this repeats";
    let authorize = |text: &str| format!("could not log in at {}: {text}; {again}", server.origin());
    let service = acme(&server).authorization_code(secret(), REDIRECT).build().unwrap();
    let paste = "paste the whole address that the browser shows after the login, or log in again and check the URLs if this repeats";
    for (more, text) in [
        ("", "the callback has no `iss`, which this login requires (RFC 9207)"),
        ("&iss=https%3A%2F%2Fother.example", "the callback's `iss` is not that of the server (RFC 9207)"),
    ] {
        let text = authorize(text).replace(again, paste);
        fails(log_in(&service, more), ErrorKind::Protocol, &text, more);
    }
    assert_eq!(lines(&server), [OAUTH], "no code was exchanged");
    log_in(&service, &format!("&iss={}", server.origin())).unwrap();

    // Without the promise `iss` is not read.
    let server = self::server();
    let service = acme(&server).authorization_code(secret(), REDIRECT).build().unwrap();
    log_in(&service, "&iss=https%3A%2F%2Fother.example").unwrap();
}

static BY_ISSUER: Definition = Definition::new("acme", "https://api.acme.example", |builder, id, secret| {
    builder.client_credentials(ClientAuth::secret_post(id, secret))
});

#[test]
fn definition_takes_the_issuer_from_the_environment() {
    let server = server();
    let run = |issuer: &str| {
        let mut child = child("child_that_reads_the_environment");
        child.env("ACME_CLIENT_ID", "id").env("ACME_CLIENT_SECRET", "s3cr3t").env("ACME_ISSUER", issuer);
        child.env_remove("HOME").env_remove("XDG_STATE_HOME").output().unwrap()
    };
    let output = run(&server.origin());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&server), [OAUTH, "POST /token HTTP/1.1"]);
}

#[test]
#[ignore = "run by another test"]
fn child_that_reads_the_environment() {
    let service = BY_ISSUER.from_env().unwrap().build().unwrap();
    service.source().token(Duration::ZERO).unwrap();
}

#[test]
fn issuer_wins_over_the_urls_of_a_definition() {
    static MOVED: Definition = Definition {
        token_url: "https://login.acme.example/token",
        ..Definition::new("acme", "https://api.acme.example", |builder, id, secret| {
            builder.client_credentials(ClientAuth::secret_post(id, secret))
        })
    };
    let server = server();
    let builder = MOVED.builder("id", "s").transport(transport()).set("issuer", server.origin());
    builder.build().unwrap().source().token(Duration::ZERO).unwrap();
    assert_eq!(lines(&server), [OAUTH, "POST /token HTTP/1.1"]);
    let text = "the service `acme` has no setting \"issuers\": it has api_url, issuer, token_url";
    fails(MOVED.builder("id", "s").set("issuers", "x").build(), ErrorKind::InvalidInput, text, "issuers");
}

#[test]
fn stored_token_of_a_login_is_used_without_metadata() {
    let server = server();
    let folder = Folder::new();
    let build =
        || acme(&server).authorization_code(secret(), REDIRECT).store(folder.store()).build().unwrap();
    let service = build();
    service.finish_login(log_in(&service, "").unwrap()).unwrap();
    let before = lines(&server).len();
    build().agent().get(format!("{}/things", server.origin())).call().unwrap();
    assert_eq!(lines(&server)[before..], ["GET /things HTTP/1.1"]);
}
