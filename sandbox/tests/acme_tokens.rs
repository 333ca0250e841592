//! Acme's endpoints for applications: tokens, introspection and revocation.

mod support;

use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault};
use serde_json::{Value, json};
use support::acme::*;
use support::*;

const UNKNOWN: &str = "the client is not known or its secret is wrong";
const NO_SECRET: Changes<'static> = &[("client_secret", None)];

/// The claims of a valid assertion.
fn acme_claims(it: &Setting, issuer: &str) -> Value {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    let now = it.sandbox.clock().unix();
    json!({
        "iss": issuer, "sub": it.sandbox.client_id(), "aud": it.sandbox.token_url(),
        "iat": now, "exp": now + 300, "jti": u64::from_le_bytes(random).to_string(),
    })
}

fn with_assertion(it: &Setting, url: &str, assertion: &str, parameters: &[(&str, &str)]) -> Reply {
    let own = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    it.post_body(url, &[], &form(&[&own, parameters].concat(), &[]))
}

fn by_assertion(it: &Setting, claims: &Value, key: &str) -> Reply {
    let assertion = signed(HEADER, &claims.to_string(), key);
    with_assertion(it, &it.sandbox.token_url(), &assertion, &[("grant_type", "client_credentials")])
}

#[test]
fn client_credentials_give_an_access_token_and_no_refresh_token() {
    let it = Setting::new();
    let reply = it.client_credentials(&[]);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{}", reply.text);
    let answer = reply.json();
    let expected = json!({
        "access_token": answer["access_token"], "expires_in": 3600, "scope": "things.read", "token_type": "Bearer",
    });
    assert_eq!(answer, expected);
    assert!(it.opens(&text(&answer, "access_token")));
    let both = it.client_credentials(&[("scope", Some("things.write things.read"))]).json();
    assert_eq!(both["scope"], "things.write things.read");
    assert_eq!(it.sandbox.logins(), 0);
}

#[test]
fn client_authenticates_in_each_of_four_ways() {
    let it = Setting::new();
    let grant = ("grant_type", "client_credentials");
    let url = it.sandbox.token_url();
    let basic = it.basic();
    let by_basic = |body: &str| it.post_body(&url, &[("authorization", &basic)], body);
    assert_eq!(by_basic("grant_type=client_credentials").status, 200);
    let with_id = form(&[grant, ("client_id", it.sandbox.client_id())], &[]);
    assert_eq!(by_basic(&with_id).status, 200, "client_id beside the header");
    assert_eq!(it.client_credentials(&[]).status, 200);

    let claims = acme_claims(&it, it.sandbox.client_id());
    let reply = by_assertion(&it, &claims, it.sandbox.client_secret());
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = with_assertion(&it, &url, &it.sandbox.assertion(), &[grant]);
    assert_eq!(reply.status, 200, "{}", reply.text);
    let with_id = [grant, ("client_id", it.sandbox.client_id())];
    assert_eq!(with_assertion(&it, &url, &it.sandbox.assertion(), &with_id).status, 200);
}

#[test]
fn id_and_secret_in_basic_are_form_encoded() {
    let it = Setting::new();
    it.sandbox.add_client_with_secret("odd:id with é", "s");
    let send = |header: &str| {
        it.post_body(&it.sandbox.token_url(), &[("authorization", header)], "grant_type=client_credentials")
    };
    assert_eq!(send(&encoded_basic("odd:id with é", "s")).status, 200);
    assert_eq!(send(&it.basic().replace("Basic", "basic")).status, 200, "a scheme has no case");
    let encoding = "the header must be Basic, with id and secret form-encoded (RFC 6749, section 2.3.1)";
    for (header, description) in [
        (basic(it.sandbox.client_id(), it.sandbox.client_secret()), encoding),
        (basic("odd:id with é", "s"), encoding),
        (basic("no-secret", ""), encoding),
        (basic("a&b", "c"), encoding),
        ("Basic !".to_owned(), encoding),
        ("Basic bm8gY29sb24=".to_owned(), encoding),
        (bearer("x"), encoding),
        (encoded_basic(it.sandbox.client_id(), "wrong"), UNKNOWN),
        (encoded_basic("nobody", it.sandbox.client_secret()), UNKNOWN),
        (encoded_basic(it.sandbox.public_client_id(), "x"), UNKNOWN),
    ] {
        let reply = send(&header);
        let expected = json!({ "error": "invalid_client", "error_description": description });
        assert_eq!((reply.status, reply.json()), (401, expected), "{header}");
        assert_eq!(reply.header("www-authenticate"), Some(r#"Basic realm="Acme""#));
    }
}

#[test]
fn wrong_client_is_refused_without_the_header_too() {
    let it = Setting::new();
    for (changes, description) in [
        ([("client_secret", Some("x")), ("", None)], UNKNOWN),
        ([("client_id", Some("nobody")), ("", None)], UNKNOWN),
        ([("client_id", Some("demo-public")), ("", None)], UNKNOWN),
        ([("client_secret", None), ("", None)], "the client is not known, or it must authenticate"),
        (
            [("client_secret", None), ("client_id", Some("nobody"))],
            "the client is not known, or it must authenticate",
        ),
        ([("client_secret", None), ("client_id", None)], "the client did not authenticate"),
    ] {
        refused(&it.client_credentials(&changes), "invalid_client", description);
    }
    refused(&it.client_credentials(&[("client_id", None)]), "invalid_request", "client_id is missing");
}

#[test]
fn client_authenticates_in_one_way_only() {
    let it = Setting::new();
    let (url, basic, assertion) = (it.sandbox.token_url(), it.basic(), it.sandbox.assertion());
    let secret =
        form(&[("client_id", it.sandbox.client_id()), ("client_secret", it.sandbox.client_secret())], &[]);
    let jwt = form(&[("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)], &[]);
    for (headers, own) in [
        (vec![("authorization", basic.as_str())], secret.clone()),
        (vec![("authorization", &basic)], jwt.clone()),
        (vec![("authorization", &basic)], "client_assertion_type=x".to_owned()),
        (vec![], format!("{secret}&{jwt}")),
    ] {
        let reply = it.post_body(&url, &headers, &format!("grant_type=client_credentials&{own}"));
        refused(&reply, "invalid_request", "the client must authenticate in one way only");
    }
    let twice = [("authorization", basic.as_str()), ("authorization", basic.as_str())];
    let reply = it.post_body(&url, &twice, "grant_type=client_credentials");
    refused_by_header(&reply, 400, "invalid_request", "the header authorization was sent twice");
    for body in [format!("{jwt}&client_id=other"), "client_id=other".to_owned()] {
        let headers = [("authorization", basic.as_str())];
        let headers = if body.starts_with("client_id") { &headers[..] } else { &[] };
        let reply = it.post_body(&url, headers, &format!("grant_type=client_credentials&{body}"));
        refused(&reply, "invalid_request", "client_id is not the client that authenticated");
    }
}

#[track_caller]
fn refused_by_header(reply: &Reply, status: u16, error: &str, description: &str) {
    let expected = json!({ "error": error, "error_description": description });
    assert_eq!((reply.status, reply.json()), (status, expected));
}

#[test]
fn assertion_is_verified_strictly() {
    let it = Setting::new();
    let now = it.sandbox.clock().unix();
    let (workloads, workload_key) = it.sandbox.assertion_key();
    let (own, secret) = (it.sandbox.client_id(), it.sandbox.client_secret());
    let audience = format!("aud must be {0} or {1} or {1}", it.sandbox.issuer(), it.sandbox.token_url());
    for (issuer, key) in [(own, secret), (workloads, workload_key)] {
        for (claim, value, expected) in [
            ("iss", json!("nobody"), "the issuer is no known client"),
            ("aud", json!(it.sandbox.api_url()), audience.as_str()),
            ("aud", json!([it.sandbox.token_url()]), "aud must be a string that is not empty"),
            ("exp", json!(now - 1), "the assertion has expired"),
            ("exp", json!(now + 4000), "exp must be at most 3600 s after iat"),
            ("iat", json!(now + 60), "iat is in the future"),
            ("iat", json!(now - 120), "iat is too long ago"),
            ("jti", json!(""), "jti must be a string that is not empty"),
            ("scope", json!("x"), "the payload must not have scope"),
        ] {
            let mut claims = acme_claims(&it, issuer);
            claims[claim] = value;
            refused(&by_assertion(&it, &claims, key), "invalid_client", expected);
        }
        let claims = acme_claims(&it, issuer);
        refused(&by_assertion(&it, &claims, "another key"), "invalid_client", "the signature is wrong");
        assert_eq!(by_assertion(&it, &claims, key).status, 200);
        refused(&by_assertion(&it, &claims, key), "invalid_client", "the jti was used before");
    }

    let mut claims = acme_claims(&it, own);
    claims["sub"] = json!("other");
    refused(&by_assertion(&it, &claims, secret), "invalid_client", "sub must be equal to iss");
    for subject in [it.sandbox.public_client_id(), "nobody"] {
        let mut claims = acme_claims(&it, workloads);
        claims["sub"] = json!(subject);
        let expected = "the subject is no client that can authenticate";
        refused(&by_assertion(&it, &claims, workload_key), "invalid_client", expected);
    }
    let other_type = [("grant_type", "client_credentials"), ("client_assertion", "x")];
    for own in [("client_assertion_type", "saml"), ("client_secret", "")] {
        let reply =
            it.post_body(&it.sandbox.token_url(), &[], &form(&[&other_type[..], &[own]].concat(), &[]));
        assert_eq!((reply.status, reply.json()["error"].clone()), (400, json!("invalid_request")));
    }
}

#[test]
fn aud_of_an_assertion_is_the_issuer_the_token_url_or_the_url_of_the_request() {
    let it = Setting::new();
    let introspection = it.sandbox.introspection_url();
    for (audience, status) in [
        (it.sandbox.issuer(), 200),
        (it.sandbox.token_url(), 200),
        (introspection.clone(), 200),
        (it.sandbox.revocation_url(), 400),
    ] {
        let mut claims = acme_claims(&it, it.sandbox.client_id());
        claims["aud"] = json!(audience);
        let assertion = signed(HEADER, &claims.to_string(), it.sandbox.client_secret());
        let reply = with_assertion(&it, &introspection, &assertion, &[("token", "x")]);
        assert_eq!(reply.status, status, "{audience}: {}", reply.text);
    }
}

#[test]
fn client_without_a_secret_has_logins_only() {
    let it = Setting::new();
    let public = ("client_id", Some(it.sandbox.public_client_id()));
    let changes = [public, NO_SECRET[0]];
    let reason = "a client without a secret has no access of its own";
    refused(&it.client_credentials(&changes), "unauthorized_client", reason);
    let (access, refresh) = tokens(&it.exchange(&it.code(&[public]), &changes));
    assert!(it.opens(&access));
    let (access, refresh) = tokens(&it.refresh(&refresh, &changes));
    let reason = "a client without a secret cannot introspect";
    refused(&it.introspect(&access, &changes), "invalid_client", reason);
    assert_eq!(it.revoke(&refresh, &changes).status, 200);
    assert!(!it.opens(&access));
}

#[test]
fn request_of_any_other_shape_is_refused_at_each_endpoint() {
    let it = Setting::new();
    let secret = [("client_id", it.sandbox.client_id()), ("client_secret", it.sandbox.client_secret())];
    let charset = format!("{FORM}; charset=UTF-8");
    for (url, own) in [
        (it.sandbox.token_url(), vec![("grant_type", "client_credentials")]),
        (it.sandbox.device_authorization_url(), vec![]),
        (it.sandbox.introspection_url(), vec![("token", "x")]),
        (it.sandbox.revocation_url(), vec![("token", "x")]),
    ] {
        let body = form(&[&secret[..], &own].concat(), &[]);
        let in_url = format!("{url}?{body}");
        let no_type: &[(&str, &str)] = &[];
        for (why, method, url, headers, body, status) in [
            ("secret in the URL", "POST", &in_url, &[("content-type", FORM)][..], &body, 400),
            ("no content type", "POST", &url, no_type, &body, 400),
            ("charset", "POST", &url, &[("content-type", &charset)], &body, 400),
            ("JSON", "POST", &url, &[("content-type", "application/json")], &"{}".to_owned(), 400),
            ("repeated", "POST", &url, &[("content-type", FORM)], &format!("{body}&client_id=x"), 400),
            ("unknown", "POST", &url, &[("content-type", FORM)], &format!("{body}&more=x"), 400),
            ("no value", "POST", &url, &[("content-type", FORM)], &format!("{body}&resource="), 400),
            ("not encoded", "POST", &url, &[("content-type", FORM)], &body.replace("%2F", "/"), 400),
            ("method", "PUT", &url, &[("content-type", FORM)], &body, 405),
            ("good", "POST", &url, &[("content-type", FORM)], &body, 200),
        ] {
            let reply = call(&it.agent, method, url, headers, body);
            assert_eq!(reply.status, status, "{why} at {url}: {}", reply.text);
            if status != 200 {
                assert_eq!(reply.json()["error"], "invalid_request", "{why}");
            }
        }
    }
    let described = |changes: Changes<'_>| it.client_credentials(changes).json()["error_description"].clone();
    assert_eq!(described(&[("more", Some("x"))]), "more is no parameter here");
    assert_eq!(described(&[("code", Some("x"))]), "code is no parameter here", "another grant's");
    assert_eq!(described(&[("scope", Some(""))]), "scope has no value");
    assert_eq!(described(&[("grant_type", None)]), "grant_type is missing");
    let names =
        "client_credentials, authorization_code, refresh_token, urn:ietf:params:oauth:grant-type:device_code";
    let reply = it.client_credentials(&[("grant_type", Some("password"))]);
    refused(&reply, "unsupported_grant_type", &format!("grant_type must be one of {names}"));
}

#[test]
fn scope_and_target_are_checked() {
    let it = Setting::new();
    let wrong = "scope must be things.read, things.write or both, with a space";
    for (scope, description) in [
        ("things", wrong),
        ("things.read,things.write", wrong),
        ("things.read  things.write", wrong),
        (" things.read", wrong),
        ("Things.read", wrong),
        ("things.read things.read", "a scope is named twice"),
        ("things.read things.write things.read", "a scope is named twice"),
    ] {
        refused(&it.client_credentials(&[("scope", Some(scope))]), "invalid_scope", description);
        refused(&it.device(&[("scope", Some(scope))]), "invalid_scope", description);
    }
    let api = it.sandbox.api_url();
    let target = "resource and audience must be the URL of the API";
    for name in ["resource", "audience"] {
        assert_eq!(it.client_credentials(&[(name, Some(&api))]).status, 200);
        let reply = it.client_credentials(&[(name, Some("https://other.example"))]);
        refused(&reply, "invalid_target", target);
    }
    let reply =
        it.token(&[("grant_type", "client_credentials"), ("resource", &api), ("resource", &api)], &[]);
    assert_eq!(reply.status, 200, "a resource may be repeated: {}", reply.text);
    let reply =
        it.token(&[("grant_type", "client_credentials"), ("audience", &api), ("audience", &api)], &[]);
    refused(&reply, "invalid_request", "audience was sent more than once");
}

#[test]
fn code_is_exchanged_for_tokens() {
    let it = Setting::new();
    let reply = it.exchange(&it.code(&[]), &[]);
    let answer = reply.json();
    let expected = json!({
        "access_token": answer["access_token"], "expires_in": 3600, "refresh_token": answer["refresh_token"],
        "scope": "things.read things.write", "token_type": "Bearer",
    });
    assert_eq!((reply.status, answer.clone()), (200, expected));
    assert!(it.opens(&text(&answer, "access_token")) && !it.opens(&text(&answer, "refresh_token")));
    assert_eq!(it.sandbox.logins(), 1);
}

#[test]
fn invalid_code_exchange_is_refused_and_does_not_use_up_the_code() {
    let it = Setting::new();
    let (other, other_secret) = it.sandbox.add_client();
    let code = it.code(&[]);
    for (changes, error, description) in [
        ([("code", None), ("", None)], "invalid_request", "code is missing"),
        ([("code", Some("x")), ("", None)], "invalid_grant", "the code is not known"),
        ([("client_secret", Some("x")), ("", None)], "invalid_client", UNKNOWN),
        (
            [("client_id", Some(other.as_str())), ("client_secret", Some(&other_secret))],
            "invalid_grant",
            "the code is not known",
        ),
        ([("redirect_uri", None), ("", None)], "invalid_request", "redirect_uri is missing"),
        (
            [("redirect_uri", Some("http://127.0.0.1:8766/callback")), ("", None)],
            "invalid_grant",
            "redirect_uri is not the one that the code was sent to",
        ),
        ([("code_verifier", None), ("", None)], "invalid_request", "code_verifier is missing"),
        (
            [("code_verifier", Some(CHALLENGE)), ("", None)],
            "invalid_grant",
            "code_verifier does not fit the code_challenge",
        ),
        ([("scope", Some("things.read")), ("", None)], "invalid_request", "scope is no parameter here"),
    ] {
        refused(&it.exchange(&code, &changes), error, description);
    }
    assert_eq!(it.exchange(&code, &[]).status, 200, "no refused exchange used up the code");
}

#[test]
fn code_expires_after_a_minute_and_its_second_use_revokes_its_tokens() {
    let it = Setting::new();
    let late = it.code(&[]);
    it.sandbox.clock().advance(Duration::from_secs(60));
    refused(&it.exchange(&late, &[]), "invalid_grant", "the code has expired");

    let code = it.code(&[]);
    let (access, refresh) = tokens(&it.exchange(&code, &[]));
    assert!(it.opens(&access));
    let description = "the code was used before: its tokens are revoked";
    refused(&it.exchange(&code, &[]), "invalid_grant", description);
    assert!(!it.opens(&access) && !it.is_active(&refresh));
}

#[test]
fn refresh_token_rotates_and_its_reuse_ends_the_login() {
    let it = Setting::new();
    let (first_access, first) = it.log_in();
    let (access, second) = tokens(&it.refresh(&first, &[]));
    assert_ne!(first, second);
    assert!(it.opens(&access) && it.opens(&first_access) && it.is_active(&second) && !it.is_active(&first));
    assert_eq!(it.sandbox.refreshes(), 1);
    let description = "the refresh token was used before: the login is revoked";
    refused(&it.refresh(&first, &[]), "invalid_grant", description);
    for token in [&first_access, &access, &second] {
        assert!(!it.is_active(token));
    }
    assert!(!it.opens(&access) && !it.opens(&first_access));
    assert_eq!(it.refresh(&second, &[]).json()["error"], "invalid_grant");
}

#[test]
fn refresh_may_narrow_the_scope_for_one_access_token() {
    let it = Setting::new();
    let code = it.code(&[("scope", None)]);
    let (_, refresh) = tokens(&it.exchange(&code, &[]));
    let wider = it.refresh(&refresh, &[("scope", Some("things.write"))]);
    refused(&wider, "invalid_scope", "the login did not include this scope");
    let (_, refresh) = it.log_in();
    let reply = it.refresh(&refresh, &[("scope", Some("things.write"))]);
    assert_eq!(reply.json()["scope"], "things.write");
    let (access, refresh) = tokens(&reply);
    assert_eq!(it.things(&access).status, 403);
    assert_eq!(it.refresh(&refresh, &[]).json()["scope"], "things.read things.write");
}

#[test]
fn invalid_refresh_is_refused() {
    let it = Setting::new();
    let (access, refresh) = it.log_in();
    let (other, other_secret) = it.sandbox.add_client();
    let not_its_own = [("client_id", Some(other.as_str())), ("client_secret", Some(&other_secret))];
    for (changes, error) in [
        (&[("refresh_token", None)][..], "invalid_request"),
        (&[("refresh_token", Some("x"))], "invalid_grant"),
        (&[("refresh_token", Some(&access))], "invalid_grant"),
        (&not_its_own, "invalid_grant"),
        (NO_SECRET, "invalid_client"),
    ] {
        let reply = it.refresh(&refresh, changes);
        assert_eq!((reply.status, reply.json()["error"].clone()), (400, json!(error)), "{changes:?}");
    }
    assert_eq!(it.refresh(&refresh, &[]).status, 200);
}

#[test]
fn introspection_describes_active_tokens_of_the_same_client() {
    let it = Setting::new();
    it.sandbox.clock().stop();
    let now = it.sandbox.clock().unix();
    let (access, refresh) = it.log_in();
    let (id, api) = (it.sandbox.client_id(), it.sandbox.api_url());
    let reply = it.introspect(&access, &[("token_type_hint", Some("access_token"))]);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    let mut expected = json!({
        "active": true, "scope": "things.read things.write", "client_id": id, "username": it.sandbox.username(),
        "sub": it.sandbox.username(), "iss": it.sandbox.issuer(), "aud": api,
        "token_type": "Bearer", "iat": now, "exp": now + 3600,
    });
    assert_eq!(reply.json(), expected);
    for field in ["token_type", "iat", "exp"] {
        expected.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(it.introspect(&refresh, &[]).json(), expected);

    let own = text(&it.client_credentials(&[]).json(), "access_token");
    let answer = it.introspect(&own, &[]).json();
    assert_eq!((answer["sub"].clone(), answer["username"].clone()), (json!(id), Value::Null));

    let (other, other_secret) = it.sandbox.add_client();
    let changes = [("client_id", Some(other.as_str())), ("client_secret", Some(&other_secret))];
    assert_eq!(it.introspect(&access, &changes).json(), json!({ "active": false }), "another client's");
    it.sandbox.clock().advance(Duration::from_secs(3600));
    for (why, token) in [("unknown", "x"), ("expired", &access)] {
        assert_eq!(it.introspect(token, &[]).json(), json!({ "active": false }), "{why}");
    }
    refused(
        &it.introspect("x", NO_SECRET),
        "invalid_client",
        "the client is not known, or it must authenticate",
    );
    let reply = it.introspect("x", &[("token_type_hint", Some("id_token"))]);
    refused(&reply, "invalid_request", "token_type_hint must be access_token or refresh_token");
    refused(&it.introspect("x", &[("token", None)]), "invalid_request", "token is missing");
}

#[test]
fn revocation_ends_the_login_and_is_for_its_own_client() {
    let it = Setting::new();
    let (other, other_secret) = it.sandbox.add_client();
    let others = [("client_id", Some(other.as_str())), ("client_secret", Some(&other_secret))];
    for by_refresh_token in [false, true] {
        let (access, refresh) = it.log_in();
        let (other_login, _) = it.log_in();
        let token = if by_refresh_token { &refresh } else { &access };
        refused(&it.revoke(token, &others), "invalid_grant", "the token is another client's");
        refused(
            &it.revoke(token, NO_SECRET),
            "invalid_client",
            "the client is not known, or it must authenticate",
        );
        assert!(it.opens(&access));
        let reply = it.revoke(token, &[("token_type_hint", Some("refresh_token"))]);
        assert_eq!((reply.status, reply.text.as_str()), (200, ""), "a wrong hint does no harm");
        assert!(!it.opens(&access) && !it.is_active(&refresh) && it.opens(&other_login));
        assert_eq!(it.revoke(token, &[]).status, 200, "a token that is not known is no error");
    }
    let own = text(&it.client_credentials(&[]).json(), "access_token");
    assert_eq!(it.revoke(&own, &[]).status, 200);
    assert!(!it.opens(&own));
}

#[test]
fn fault_uses_up_a_code_and_an_assertion_but_no_refresh_token_or_device_code() {
    let it = Setting::new();
    let fail = |times| it.sandbox.fault(Endpoint::Token, Fault::status(503).times(times));
    let code = it.code(&[]);
    fail(1);
    assert_eq!(it.exchange(&code, &[]).status, 503);
    let description = "the code was used before: its tokens are revoked";
    refused(&it.exchange(&code, &[]), "invalid_grant", description);

    let claims = acme_claims(&it, it.sandbox.client_id());
    fail(1);
    assert_eq!(by_assertion(&it, &claims, it.sandbox.client_secret()).status, 503);
    let reply = by_assertion(&it, &claims, it.sandbox.client_secret());
    refused(&reply, "invalid_client", "the jti was used before");

    let (_, refresh) = it.log_in();
    let device = it.device(&[]).json();
    it.sandbox.approve_device(&text(&device, "user_code"));
    fail(2);
    assert_eq!(it.refresh(&refresh, &[]).status, 503);
    assert_eq!(it.poll(&text(&device, "device_code"), &[]).status, 503);
    assert_eq!(it.refresh(&refresh, &[]).status, 200);
    assert_eq!(it.poll(&text(&device, "device_code"), &[]).status, 200);
}

#[test]
fn access_tokens_end_by_expiry_and_all_at_once() {
    let it = Setting::new();
    it.sandbox.set_token_lifetime(Duration::from_secs(300));
    let (access, refresh) = it.log_in();
    it.sandbox.clock().advance(Duration::from_secs(299));
    assert!(it.opens(&access));
    it.sandbox.clock().advance(Duration::from_secs(1));
    assert!(!it.opens(&access));
    let (access, refresh) = tokens(&it.refresh(&refresh, &[]));
    it.sandbox.end_access_tokens();
    assert!(!it.opens(&access));
    let (access, _) = tokens(&it.refresh(&refresh, &[]));
    assert!(it.sandbox.revoke(&access) && !it.sandbox.revoke(&access));
    assert!(!it.opens(&access));
}
