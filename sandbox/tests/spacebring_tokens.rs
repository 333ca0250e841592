//! Spacebring's token and revocation endpoints.

mod support;

use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault, OAuthErrors, RefreshTokens};
use serde_json::{Value, json};
use support::spacebring::*;
use support::*;

const NOT_SENT: Changes<'static> =
    &[("state", None), ("code_challenge", None), ("code_challenge_method", None)];

impl Setting {
    fn opens(&self, access_token: &str) -> bool {
        self.get("/locations/v1", access_token).status == 200
    }
}

#[track_caller]
fn refused(reply: &Reply, error: &str, description: &str) {
    assert_eq!(
        (reply.status, reply.json()),
        (400, json!({ "error": error, "error_description": description }))
    );
}

#[test]
fn code_is_exchanged_for_tokens() {
    let it = Setting::new();
    let reply = it.exchange(&it.code(&[]), &[]);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    let answer = reply.json();
    let expected = json!({
        "access_token": answer["access_token"], "expires_in": 3600, "refresh_token": answer["refresh_token"],
        "scope": "resources locations", "token_type": "Bearer",
    });
    assert_eq!(answer, expected);
    assert!(it.opens(&text(&answer, "access_token")));
    assert!(!it.opens(&text(&answer, "refresh_token")));
}

#[test]
fn tokens_and_codes_must_be_percent_encoded() {
    let it = Setting::new();
    let (access, refresh) = it.log_in("locations");
    for awkward in [&it.code(&[]), &access, &refresh, it.sandbox.client_secret()] {
        assert!(awkward.contains('/') && awkward.contains('+') && awkward.contains('='), "{awkward}");
    }
    let raw = format!("{}?token={access}", it.sandbox.revoke_url());
    assert_eq!(call(&it.agent, "POST", &raw, &[], "").status, 200);
    assert!(it.opens(&access), "a plus that is not encoded is a space");
}

#[test]
fn invalid_code_exchange_is_refused_and_does_not_use_up_the_code() {
    let it = Setting::new();
    let (other, other_secret) = it.sandbox.add_client();
    let code = it.code(&[]);
    let short = &VERIFIER[..42];
    for (changes, error, description) in [
        ([("grant_type", None), ("", None)], "invalid_request", "grant_type is missing"),
        (
            [("grant_type", Some("password")), ("", None)],
            "unsupported_grant_type",
            "grant_type must be authorization_code or refresh_token",
        ),
        ([("code", None), ("", None)], "invalid_request", "code is missing"),
        ([("code", Some("x")), ("", None)], "invalid_grant", "the code is not known"),
        ([("client_id", None), ("", None)], "invalid_request", "client_id is missing"),
        ([("client_secret", None), ("", None)], "invalid_request", "client_secret is missing"),
        (
            [("client_secret", Some("x")), ("", None)],
            "invalid_client",
            "the client is not known or its secret is wrong",
        ),
        (
            [("client_id", Some("x")), ("", None)],
            "invalid_client",
            "the client is not known or its secret is wrong",
        ),
        (
            [("client_id", Some(other.as_str())), ("client_secret", Some(&other_secret))],
            "invalid_grant",
            "the code is not known",
        ),
        (
            [("redirect_uri", Some("http://127.0.0.1:8766/callback")), ("", None)],
            "invalid_grant",
            "redirect_uri is not the one that the code was sent to",
        ),
        ([("code_verifier", None), ("", None)], "invalid_grant", "code_verifier is missing"),
        (
            [("code_verifier", Some(CHALLENGE)), ("", None)],
            "invalid_grant",
            "code_verifier does not fit the code_challenge",
        ),
        (
            [("code_verifier", Some(short)), ("", None)],
            "invalid_grant",
            "code_verifier must be 43 to 128 unreserved characters",
        ),
        ([("scope", Some("locations")), ("", None)], "invalid_request", "scope is no parameter here"),
    ] {
        refused(&it.exchange(&code, &changes), error, description);
    }
    assert_eq!(it.sandbox.logins(), 0);
    assert_eq!(
        it.exchange(&code, &[("redirect_uri", None)]).status,
        200,
        "no refused exchange used up the code"
    );

    let without_challenge = it.code(NOT_SENT);
    let description = "code_verifier was sent, but no code_challenge before it";
    refused(&it.exchange(&without_challenge, &[]), "invalid_grant", description);
    assert_eq!(it.exchange(&without_challenge, &[("code_verifier", None)]).status, 200);
}

#[test]
fn token_request_of_any_other_form_is_refused() {
    let it = Setting::new();
    let body = form(
        &[
            ("client_id", it.sandbox.client_id()),
            ("client_secret", it.sandbox.client_secret()),
            ("grant_type", "authorization_code"),
            ("code", &it.code(NOT_SENT)),
        ],
        &[],
    );
    let (url, basic) = (it.sandbox.token_url(), it.basic());
    let with_query = format!("{url}?client_id=x");
    let charset = format!("{FORM}; charset=UTF-8");
    let twice = format!("{body}&code=x");
    let unencoded = body.replace("%2F", "/");
    for (why, method, url, headers, body, status) in [
        ("query", "POST", &with_query, vec![("content-type", FORM)], &body, 400),
        ("content type", "POST", &url, vec![("content-type", charset.as_str())], &body, 400),
        ("two ways", "POST", &url, vec![("content-type", FORM), ("authorization", &basic)], &body, 400),
        ("repeated", "POST", &url, vec![("content-type", FORM)], &twice, 400),
        ("not encoded", "POST", &url, vec![("content-type", FORM)], &unencoded, 400),
        ("method", "PUT", &url, vec![("content-type", FORM)], &body, 405),
        ("good", "POST", &url, vec![("content-type", FORM)], &body, 200),
    ] {
        let reply = call(&it.agent, method, url, &headers, body);
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
        assert_eq!(reply.json()["error"] == "invalid_request", status != 200, "{why}");
    }
}

#[test]
fn code_expires_after_a_minute_and_its_second_use_revokes_its_tokens() {
    let it = Setting::new();
    let late = it.code(&[]);
    it.sandbox.clock().advance(Duration::from_secs(60));
    refused(&it.exchange(&late, &[]), "invalid_grant", "the code has expired");

    let code = it.code(&[]);
    let answer = it.exchange(&code, &[]).json();
    let access = text(&answer, "access_token");
    assert!(it.opens(&access));
    let description = "the code was used before: its tokens are revoked";
    refused(&it.exchange(&code, &[]), "invalid_grant", description);
    assert!(!it.opens(&access));
    assert_eq!(it.refresh(&text(&answer, "refresh_token"), &[]).status, 400);
}

#[test]
fn refresh_keeps_the_refresh_token() {
    let it = Setting::new();
    let (first, refresh) = it.log_in("locations.readonly plans");
    for repeated in [false, true] {
        let mode = if repeated { RefreshTokens::Repeated } else { RefreshTokens::Kept };
        it.sandbox.set_refresh_tokens(mode);
        let reply = it.refresh(&refresh, &[]);
        assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
        let answer = reply.json();
        let mut expected = json!({
            "access_token": answer["access_token"], "expires_in": 3600,
            "scope": "locations.readonly plans", "token_type": "Bearer",
        });
        if repeated {
            expected["refresh_token"] = refresh.as_str().into();
        }
        assert_eq!(answer, expected);
        assert!(it.opens(&text(&answer, "access_token")) && it.opens(&first));
    }
    it.sandbox.clock().advance(Duration::from_secs(10 * 365 * 86_400));
    assert_eq!(it.refresh(&refresh, &[]).status, 200, "it never expires");
    assert!(!it.opens(&first));
    assert_eq!((it.sandbox.logins(), it.sandbox.refreshes(), it.sandbox.count(Endpoint::Token)), (1, 3, 4));
}

#[test]
fn invalid_refresh_is_refused() {
    let it = Setting::new();
    let (access, refresh) = it.log_in("locations");
    let (other, other_secret) = it.sandbox.add_client();
    for (changes, error) in [
        ([("refresh_token", None), ("", None)], "invalid_request"),
        ([("refresh_token", Some("x")), ("", None)], "invalid_grant"),
        ([("refresh_token", Some(access.as_str())), ("", None)], "invalid_grant"),
        ([("client_secret", Some("x")), ("", None)], "invalid_client"),
        ([("client_id", Some(&other)), ("client_secret", Some(&other_secret))], "invalid_grant"),
        ([("scope", Some("locations")), ("", None)], "invalid_request"),
        ([("redirect_uri", Some(REDIRECT_URI)), ("", None)], "invalid_request"),
    ] {
        let reply = it.refresh(&refresh, &changes);
        assert_eq!((reply.status, reply.json()["error"].clone()), (400, json!(error)), "{changes:?}");
    }
    assert_eq!(it.sandbox.refreshes(), 0);
    assert_eq!(it.refresh(&refresh, &[]).status, 200);
}

#[test]
fn second_use_of_a_rotated_refresh_token_revokes_the_login() {
    let it = Setting::new();
    it.sandbox.set_refresh_tokens(RefreshTokens::Rotated);
    let (_, first) = it.log_in("locations");
    let answer = it.refresh(&first, &[]).json();
    let (second, access) = (text(&answer, "refresh_token"), text(&answer, "access_token"));
    assert_ne!(first, second);
    assert!(it.opens(&access));

    let description = "the refresh token was used before: the login is revoked";
    refused(&it.refresh(&first, &[]), "invalid_grant", description);
    assert!(!it.opens(&access));
    assert_eq!(it.refresh(&second, &[]).status, 400);
}

#[test]
fn revocation_of_one_token_ends_both() {
    let it = Setting::new();
    for by_refresh_token in [false, true] {
        let (access, refresh) = it.log_in("locations");
        let (other_login, _) = it.log_in("locations");
        let reply = it.revoke(if by_refresh_token { &refresh } else { &access });
        assert_eq!((reply.status, reply.text.as_str()), (200, ""));
        assert!(!it.opens(&access) && it.opens(&other_login));
        assert_eq!(it.refresh(&refresh, &[]).json()["error"], "invalid_grant");
        assert_eq!(it.revoke(&access).status, 200, "a token that is not known is no error");
    }
}

#[test]
fn invalid_revocation_is_refused() {
    let it = Setting::new();
    let (access, _) = it.log_in("locations");
    let (url, basic) = (it.sandbox.revoke_url(), it.basic());
    let token = form(&[("token", &access)], &[]);
    let right = format!("{url}?{token}");
    for (why, method, url, headers, body, status) in [
        ("no token", "POST", &url, vec![], "", 400),
        ("two tokens", "POST", &format!("{right}&token=x"), vec![], "", 400),
        ("another parameter", "POST", &format!("{right}&token_type_hint=x"), vec![], "", 400),
        ("in the body", "POST", &url, vec![("content-type", FORM)], token.as_str(), 400),
        ("authenticated", "POST", &right, vec![("authorization", basic.as_str())], "", 400),
        ("method", "GET", &right, vec![], "", 405),
    ] {
        let reply = call(&it.agent, method, url, &headers, body);
        assert_eq!(
            (reply.status, reply.json()["error"].clone()),
            (status, json!("invalid_request")),
            "{why}"
        );
    }
    it.sandbox.fault(Endpoint::Revoke, Fault::status(503));
    assert_eq!(it.revoke(&access).status, 503);
    assert!(it.opens(&access), "after a 503 the token is valid");
}

#[test]
fn refusals_can_have_the_form_of_the_vendor() {
    let it = Setting::new();
    it.sandbox.set_oauth_errors(OAuthErrors::Vendor);
    let reply = it.exchange("x", &[]);
    let expected = json!({ "type": "invalid_grant", "message": "the code is not known" });
    assert_eq!((reply.status, reply.json()), (400, expected));
    let reply = call(&it.agent, "POST", &it.sandbox.revoke_url(), &[], "");
    let expected = json!({ "type": "invalid_request", "message": "token is missing" });
    assert_eq!((reply.status, reply.json()), (400, expected));
}

#[test]
fn fault_uses_up_a_code_but_no_refresh_token() {
    let it = Setting::new();
    it.sandbox.set_refresh_tokens(RefreshTokens::Rotated);
    let code = it.code(&[]);
    it.sandbox.fault(Endpoint::Token, Fault::status(503).times(2));
    assert_eq!(it.exchange(&code, &[("code_verifier", None)]).status, 503, "never exchanged");
    assert_eq!(it.exchange(&code, &[]).status, 503);
    let description = "the code was used before: its tokens are revoked";
    refused(&it.exchange(&code, &[]), "invalid_grant", description);

    let (_, refresh) = it.log_in("locations");
    it.sandbox.fault(Endpoint::Token, Fault::status(503));
    it.sandbox.fault(Endpoint::Token, Fault::edit(|fields| drop(fields.remove("refresh_token"))));
    assert_eq!(it.refresh(&refresh, &[]).status, 503);
    let answer = it.refresh(&refresh, &[]).json();
    assert_eq!(answer["refresh_token"], Value::Null);
}

#[test]
fn access_tokens_end_by_expiry_by_revocation_and_all_at_once() {
    let it = Setting::new();
    it.sandbox.set_token_lifetime(Duration::from_secs(300));
    let (access, refresh) = it.log_in("locations");
    for (seconds, is_valid) in [(0, true), (299, true), (300, false), (-3600, true)] {
        it.sandbox.clock().set_offset(seconds);
        assert_eq!(it.opens(&access), is_valid, "after {seconds} s");
    }
    it.sandbox.clock().set_offset(0);

    it.sandbox.end_access_tokens();
    assert!(!it.opens(&access));
    let answer = it.refresh(&refresh, &[]).json();
    assert_eq!(answer["expires_in"], 300);
    let renewed = text(&answer, "access_token");
    assert!(it.opens(&renewed));
    assert!(it.sandbox.revoke(&renewed) && !it.sandbox.revoke(&renewed) && !it.sandbox.revoke("x"));
    assert!(!it.opens(&renewed));

    let (access, refresh) = it.log_in("locations");
    it.sandbox.revoke_tokens();
    assert!(!it.opens(&access));
    assert_eq!(it.refresh(&refresh, &[]).status, 400);
}
