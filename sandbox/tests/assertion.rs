//! Step 3: each rule of the assertion and of the request around it.

mod support;

use keyfob_sandbox::{Endpoint, Fault, Sandbox};
use serde_json::{Value, json};
use support::*;

/// Makes an exchange that must be refused, and returns the description of the refusal.
#[track_caller]
fn refusal(sandbox: &Sandbox, assertion: &str) -> String {
    let reply = exchange(sandbox, &agent(), assertion);
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(reply.json()["error"], "invalid_client");
    reply.json()["error_description"].as_str().unwrap().to_owned()
}

#[test]
fn each_invalid_claim_is_refused_with_its_own_description() {
    let sandbox = Sandbox::start();
    let now = sandbox.clock().unix();
    let audience = format!("aud must be {}", sandbox.token_url());
    for (claim, value, expected) in [
        ("iss", json!("nobody"), "the issuer is no known client"),
        ("iss", json!(7), "iss must be a string that is not empty"),
        ("sub", json!("nobody"), "sub must be equal to iss"),
        ("aud", json!(sandbox.auth_url()), audience.as_str()),
        ("aud", json!(sandbox.token_url() + "/"), &audience),
        ("aud", json!([sandbox.token_url()]), "aud must be a string that is not empty"),
        ("iat", json!(now + 15), "iat is in the future"),
        ("iat", json!(now - 62), "iat is too long ago"),
        ("iat", json!(f64::from(u32::MAX)), "iat must be an integer"),
        ("iat", json!(now.to_string()), "iat must be an integer"),
        ("exp", json!(now), "the assertion has expired"),
        ("exp", json!(now + 3601), "exp must be at most 3600 s after iat"),
        ("exp", json!((now + 300).to_string()), "exp must be an integer"),
        ("jti", json!(""), "jti must be a string that is not empty"),
        ("jti", json!(1), "jti must be a string that is not empty"),
        ("nbf", json!(now), "the payload must not have nbf"),
        ("scope", json!("all"), "the payload must not have scope"),
    ] {
        let mut claims = claims(&sandbox);
        claims["iat"] = now.into();
        claims[claim] = value.clone();
        let assertion = signed(HEADER, &claims.to_string(), sandbox.client_secret());
        assert_eq!(refusal(&sandbox, &assertion), expected, "{claim} = {value}");
    }
    for claim in ["iss", "sub", "aud", "iat", "exp", "jti"] {
        let mut claims = claims(&sandbox);
        claims.as_object_mut().unwrap().remove(claim);
        let assertion = signed(HEADER, &claims.to_string(), sandbox.client_secret());
        assert_eq!(refusal(&sandbox, &assertion), format!("the payload has no {claim}"));
    }
    assert_eq!(sandbox.tokens_issued(), 0);
}

#[test]
fn times_at_the_edge_of_what_is_allowed_are_accepted() {
    let sandbox = Sandbox::start();
    let now = sandbox.clock().unix();
    for (iat, exp) in [(now + 8, now + 300), (now - 55, now + 300), (now, now + 3600), (now, now + 5)] {
        let mut claims = claims(&sandbox);
        claims["iat"] = iat.into();
        claims["exp"] = exp.into();
        let reply =
            exchange(&sandbox, &agent(), &signed(HEADER, &claims.to_string(), sandbox.client_secret()));
        assert_eq!(reply.status, 200, "{iat} {exp}: {}", reply.text);
    }
}

#[test]
fn assertions_are_judged_by_the_clock_of_the_sandbox() {
    let sandbox = Sandbox::start();
    let stale = assertion(&sandbox);
    sandbox.clock().set_offset(3600);
    assert_eq!(refusal(&sandbox, &stale), "iat is too long ago");
    access_token(&sandbox, &agent());
    sandbox.clock().set_offset(-3600);
    assert_eq!(
        refusal(&sandbox, &signed(HEADER, &future(&sandbox), sandbox.client_secret())),
        "iat is in the future"
    );
    access_token(&sandbox, &agent());
}

fn future(sandbox: &Sandbox) -> String {
    let mut claims = claims(sandbox);
    claims["iat"] = (sandbox.clock().unix() + 3600).into();
    claims.to_string()
}

#[test]
fn header_must_hold_alg_hs256_and_typ_jwt_only() {
    let sandbox = Sandbox::start();
    for (header, expected) in [
        (r#"{"alg":"HS256"}"#, "the header has no typ"),
        (r#"{"typ":"JWT"}"#, "the header has no alg"),
        (r#"{"alg":"none","typ":"JWT"}"#, "alg must be HS256"),
        (r#"{"alg":"HS512","typ":"JWT"}"#, "alg must be HS256"),
        (r#"{"alg":"HS256","typ":"jwt"}"#, "typ must be JWT"),
        (r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#, "the header must not have kid"),
        (r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#, "the header has more than one alg"),
        (r#"["HS256"]"#, "the header is not a JSON object"),
    ] {
        let assertion = signed(header, &claims(&sandbox).to_string(), sandbox.client_secret());
        assert_eq!(refusal(&sandbox, &assertion), expected);
    }
    // The order of its members is free.
    let assertion =
        signed(r#"{ "typ": "JWT", "alg": "HS256" }"#, &claims(&sandbox).to_string(), sandbox.client_secret());
    assert_eq!(exchange(&sandbox, &agent(), &assertion).status, 200);
}

#[test]
fn wrong_signature_or_malformed_assertion_is_refused_and_its_jti_is_not_used_up() {
    let sandbox = Sandbox::start();
    let payload = claims(&sandbox).to_string();
    let good = signed(HEADER, &payload, sandbox.client_secret());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, other_secret) = sandbox.add_client();
    let repeated = payload.replacen('{', r#"{"jti":"other","#, 1);

    for (assertion, expected) in [
        (signed(HEADER, &payload, &other_secret), "the signature is wrong"),
        (format!("{message}."), "the signature is wrong"),
        (format!("{message}.{signature}="), "the signature is wrong"),
        (message.to_owned(), "the assertion must have three parts"),
        (format!("{good}.x"), "the assertion must have three parts"),
        (format!("{HEADER}.x.x"), "the header is not base64url without padding"),
        (signed(HEADER, "[]", sandbox.client_secret()), "the payload is not a JSON object"),
        (signed(HEADER, &repeated, sandbox.client_secret()), "the payload has more than one jti"),
    ] {
        assert_eq!(refusal(&sandbox, &assertion), expected);
    }
    // None of these used up its jti.
    assert_eq!(exchange(&sandbox, &agent(), &good).status, 200);
}

#[test]
fn assertion_is_accepted_once() {
    let sandbox = Sandbox::start();
    let first = assertion(&sandbox);
    assert_eq!(exchange(&sandbox, &agent(), &first).status, 200);
    assert_eq!(refusal(&sandbox, &first), "the jti was used before");
}

#[test]
fn jti_of_a_refused_or_failed_assertion_cannot_be_used_again() {
    let sandbox = Sandbox::start();
    let mut wrong = claims(&sandbox);
    wrong["aud"] = "https://other.example".into();
    refusal(&sandbox, &signed(HEADER, &wrong.to_string(), sandbox.client_secret()));
    wrong["aud"] = sandbox.token_url().into();
    let same_jti = signed(HEADER, &wrong.to_string(), sandbox.client_secret());
    assert_eq!(refusal(&sandbox, &same_jti), "the jti was used before");

    sandbox.fault(Endpoint::Token, Fault::status(503));
    let failed = assertion(&sandbox);
    assert_eq!(exchange(&sandbox, &agent(), &failed).status, 503);
    assert_eq!(refusal(&sandbox, &failed), "the jti was used before");
}

#[test]
fn client_secret_of_any_length_and_characters_is_the_key() {
    let sandbox = Sandbox::start();
    for secret in ["s", "ünïcödé ✓ and spaces", &"long".repeat(1000)] {
        sandbox.add_client_with_secret("other", secret);
        let mut claims = claims(&sandbox);
        claims["iss"] = "other".into();
        claims["sub"] = "other".into();
        assert_eq!(exchange(&sandbox, &agent(), &signed(HEADER, &claims.to_string(), secret)).status, 200);
    }
}

#[test]
fn token_request_of_any_other_form_is_refused() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let url = sandbox.token_url();
    let form = || token_form(&assertion(&sandbox));
    let without = |name: &str| {
        let form = form();
        form.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect::<Vec<_>>().join("&")
    };
    let content_type = ("content-type", FORM);
    let with_charset = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let credentials = basic(sandbox.client_id(), sandbox.client_secret());

    for (why, url, headers, body, status, error) in [
        ("no content type", url.clone(), vec![], form(), 422, None),
        ("charset", url.clone(), vec![with_charset], form(), 422, None),
        ("JSON", url.clone(), vec![("content-type", "application/json")], form(), 422, None),
        ("query", url.clone() + "?a=b", vec![content_type], form(), 422, None),
        ("no grant_type", url.clone(), vec![content_type], without("grant_type"), 422, None),
        ("no type", url.clone(), vec![content_type], without("client_assertion_type"), 422, None),
        ("no assertion", url.clone(), vec![content_type], without("client_assertion"), 422, None),
        ("nothing", url.clone(), vec![content_type], String::new(), 422, None),
        ("scope", url.clone(), vec![content_type], form() + "&scope=a", 422, None),
        ("client_id", url.clone(), vec![content_type], form() + "&client_id=a", 422, None),
        ("client_secret", url.clone(), vec![content_type], form() + "&client_secret=a", 422, None),
        ("twice", url.clone(), vec![content_type], form() + "&grant_type=client_credentials", 422, None),
        ("not encoded", url.clone(), vec![content_type], form().replace("%3A", ":"), 422, None),
        ("broken escape", url.clone(), vec![content_type], form() + "%4", 422, None),
        (
            "other grant",
            url.clone(),
            vec![content_type],
            form().replace("client_credentials", "password"),
            400,
            Some("unsupported_grant_type"),
        ),
        (
            "other assertion type",
            url.clone(),
            vec![content_type],
            form().replace("jwt-bearer", "saml2-bearer"),
            400,
            Some("invalid_request"),
        ),
        (
            "two ways at once",
            url.clone(),
            vec![content_type, ("authorization", &credentials)],
            form(),
            400,
            Some("invalid_request"),
        ),
    ] {
        let reply = call(&agent, "POST", &url, &headers, &body);
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
        assert_eq!(reply.json()["error"], error.map_or(Value::Null, Value::from), "{why}");
    }
    assert_eq!(call(&agent, "GET", &url, &[], "").status, 405);
    assert_eq!(sandbox.tokens_issued(), 0);
    assert_eq!(call(&agent, "POST", &url, &[content_type], &form()).status, 200);
}
