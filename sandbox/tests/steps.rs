//! The four steps of SpatiaFi: success, and each refusal.

mod support;

use std::time::Duration;

use keyfob_sandbox::{Denial, Endpoint, ITEMS, Sandbox};
use serde_json::json;
use support::*;

#[test]
fn four_steps_lead_from_a_password_to_an_api_call() {
    let sandbox = Sandbox::start();
    let agent = agent();

    let authorization = basic(sandbox.username(), sandbox.password());
    let step1 = call(&agent, "GET", &sandbox.basic_token_url(), &[("authorization", &authorization)], "");
    assert_eq!(step1.status, 200);
    assert_eq!(step1.json()["token_type"], "bearer");
    let lifetime = step1.json()["expires_at"].as_i64().unwrap() - sandbox.clock().unix();
    assert!((899..=900).contains(&lifetime), "{lifetime}");
    assert_eq!(step1.header("cache-control"), Some("no-store"));
    let temporary = step1.json()["access_token"].as_str().unwrap().to_owned();

    let step2 = call(&agent, "POST", &sandbox.clients_url(), &[("authorization", &bearer(&temporary))], "");
    assert_eq!(step2.status, 201);
    let client_id = step2.json()["client_id"].as_str().unwrap().to_owned();
    let client_secret = step2.json()["client_secret"].as_str().unwrap().to_owned();
    assert!(client_secret.len() >= 43);

    let mut claims = claims(&sandbox);
    claims["iss"] = client_id.as_str().into();
    claims["sub"] = client_id.as_str().into();
    let step3 = exchange(&sandbox, &agent, &signed(HEADER, &claims.to_string(), &client_secret));
    assert_eq!(step3.status, 200, "{}", step3.text);
    let token = step3.json()["access_token"].as_str().unwrap().to_owned();

    let step4 = info(&sandbox, &agent, &token);
    assert_eq!(step4.status, 200);
    assert_eq!(step4.json()["item_id"], ITEMS[0]);

    let point = format!("{}/api/point/-122.5,37.75?item_id={}", sandbox.api_url(), ITEMS[0]);
    let step4 = call(&agent, "GET", &point, &[("authorization", &bearer(&token))], "");
    assert_eq!(step4.status, 200);
    assert_eq!(step4.json()["point"], json!({ "lon": -122.5, "lat": 37.75 }));

    for endpoint in
        [Endpoint::BasicToken, Endpoint::Clients, Endpoint::Token, Endpoint::Info, Endpoint::Point]
    {
        assert_eq!(sandbox.count(endpoint), 1, "{endpoint:?}");
    }
    assert_eq!((sandbox.temporary_tokens_issued(), sandbox.tokens_issued()), (1, 1));
}

#[test]
fn step_1_refuses_invalid_requests() {
    let sandbox = Sandbox::start();
    let (agent, url) = (agent(), sandbox.basic_token_url());
    let right = basic(sandbox.username(), sandbox.password());
    let with_query = format!("{url}?a=b");
    let wrong_password = basic(sandbox.username(), &sandbox.password()[1..]);
    let wrong_name = basic("DEMO@example.com", sandbox.password());
    let unpadded = right.trim_end_matches('=').to_owned() + "=";

    for (why, method, url, authorization, body, status) in [
        ("wrong password", "GET", &url, Some(&wrong_password), "", 400),
        ("wrong user name", "GET", &url, Some(&wrong_name), "", 400),
        ("no credentials", "GET", &url, None, "", 401),
        ("not Basic", "GET", &url, Some(&right.replace("Basic", "Bearer")), "", 401),
        ("broken base64", "GET", &url, Some(&(unpadded + "!")), "", 401),
        ("query", "GET", &with_query, Some(&right), "", 422),
        ("body", "GET", &url, Some(&right), "x", 422),
        ("method", "POST", &url, Some(&right), "", 405),
    ] {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value.as_str())).into_iter().collect();
        let reply = call(&agent, method, url, &headers, body);
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
        assert!(!reply.json()["detail"].is_null(), "{why}");
    }
    assert_eq!(sandbox.temporary_tokens_issued(), 0);
}

#[test]
fn step_2_refuses_invalid_requests() {
    let sandbox = Sandbox::start();
    let (agent, url) = (agent(), sandbox.clients_url());
    let temporary = bearer(&temporary_token(&sandbox, &agent));
    let access = bearer(&access_token(&sandbox, &agent));
    let with_query = format!("{url}?a=b");

    for (why, method, url, authorization, body, status) in [
        ("no token", "POST", &url, None, "", 401),
        ("unknown token", "POST", &url, Some("Bearer x"), "", 401),
        ("token of step 3", "POST", &url, Some(access.as_str()), "", 401),
        ("not Bearer", "POST", &url, Some("Basic x"), "", 401),
        ("body", "POST", &url, Some(temporary.as_str()), "{}", 422),
        ("query", "POST", &with_query, Some(temporary.as_str()), "", 422),
        ("method", "GET", &url, Some(temporary.as_str()), "", 405),
    ] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let reply = call(&agent, method, url, &headers, body);
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
        assert!(!reply.text.contains("client_secret"), "{why}");
    }

    sandbox.clock().advance(Duration::from_secs(15 * 60));
    assert_eq!(call(&agent, "POST", &url, &[("authorization", &temporary)], "").status, 401, "expired");
}

#[test]
fn step_2_without_the_trailing_slash_redirects() {
    let sandbox = Sandbox::start();
    let url = sandbox.clients_url();
    let reply = call(&agent(), "POST", url.trim_end_matches('/'), &[], "");
    assert_eq!((reply.status, reply.header("location")), (307, Some(url.as_str())));
    assert_eq!((sandbox.count(Endpoint::Clients), sandbox.count(Endpoint::Unknown)), (0, 1));
}

#[test]
fn api_refuses_invalid_requests() {
    let sandbox = Sandbox::start();
    let (agent, api) = (agent(), sandbox.api_url());
    let token = bearer(&access_token(&sandbox, &agent));
    let temporary = bearer(&temporary_token(&sandbox, &agent));
    let item = ITEMS[0];

    for (why, method, target, authorization, status) in [
        ("no item", "GET", "/api/info".to_owned(), token.as_str(), 422),
        ("two items", "GET", format!("/api/info?item_id={item}&item_id={item}"), &token, 422),
        ("unknown item", "GET", "/api/info?item_id=x".to_owned(), &token, 404),
        ("method", "DELETE", format!("/api/info?item_id={item}"), &token, 405),
        ("unknown path", "GET", "/api/other".to_owned(), &token, 404),
        ("no latitude", "GET", format!("/api/point/7?item_id={item}"), &token, 422),
        ("latitude out of range", "GET", format!("/api/point/7,91?item_id={item}"), &token, 422),
        ("temporary token", "GET", format!("/api/info?item_id={item}"), &temporary, 401),
        ("unknown token", "GET", format!("/api/info?item_id={item}"), "Bearer x", 401),
        ("not Bearer", "GET", format!("/api/info?item_id={item}"), &token.replace("Bearer", "Basic"), 401),
    ] {
        let reply = call(&agent, method, &format!("{api}{target}"), &[("authorization", authorization)], "");
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
    }

    let twice = [("authorization", token.as_str()), ("authorization", token.as_str())];
    assert_eq!(call(&agent, "GET", &info_url(&sandbox), &twice, "").status, 401, "two tokens");
}

#[test]
fn token_is_valid_until_its_expiry() {
    let sandbox = Sandbox::start();
    let agent = agent();
    sandbox.set_token_lifetime(Duration::from_secs(300));
    let token = access_token(&sandbox, &agent);

    for (seconds, status) in [(0, 200), (298, 200), (300, 401), (-3600, 200)] {
        sandbox.clock().set_offset(seconds);
        assert_eq!(info(&sandbox, &agent, &token).status, status, "after {seconds} s");
    }
}

#[test]
fn revoked_tokens_are_refused() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let [first, second, third] = [(); 3].map(|()| access_token(&sandbox, &agent));

    assert!(sandbox.revoke(&first));
    assert!(!sandbox.revoke(&first));
    assert_eq!([&first, &second].map(|token| info(&sandbox, &agent, token).status), [401, 200]);
    sandbox.revoke_tokens();
    assert_eq!([&second, &third].map(|token| info(&sandbox, &agent, token).status), [401, 401]);
}

#[test]
fn status_and_challenge_of_a_denial_can_be_set() {
    let sandbox = Sandbox::start();
    let agent = agent();
    for (status, challenge, expected) in [
        (401, true, Some(r#"Bearer error="invalid_token""#)),
        (401, false, None),
        (403, true, Some(r#"Bearer error="invalid_token""#)),
        (403, false, None),
    ] {
        sandbox.set_denial(Denial { status, challenge });
        let reply = info(&sandbox, &agent, "unknown");
        assert_eq!((reply.status, reply.header("www-authenticate")), (status, expected));
        assert_eq!(reply.json(), json!({ "detail": "Access Denied" }));
    }

    sandbox.set_denial(Denial::default());
    let without_token = call(&agent, "GET", &info_url(&sandbox), &[], "");
    assert_eq!((without_token.status, without_token.header("www-authenticate")), (401, Some("Bearer")));
}

#[test]
fn echo_returns_the_received_request() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let (url, token) = (format!("{}/api/echo", sandbox.api_url()), bearer(&access_token(&sandbox, &agent)));

    assert_eq!(call(&agent, "POST", &url, &[], "x").status, 401);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let headers = [("authorization", token.as_str()), ("content-type", "text/plain")];
        let reply = call(&agent, method, &url, &headers, "body");
        let expected = json!({
            "method": method, "body": "body", "body_length": 4, "content_type": "text/plain",
            "content_length": "4", "transfer_encoding": null,
        });
        assert_eq!((reply.status, reply.json()), (200, expected));
    }

    let chunked = [("authorization", token.as_str()), ("transfer-encoding", "chunked")];
    let reply = call(&agent, "POST", &url, &chunked, "body");
    assert_eq!(
        [&reply.json()["content_length"], &reply.json()["transfer_encoding"]],
        [&json!(null), &json!("chunked")]
    );
}

#[test]
fn status_endpoint_answers_with_the_requested_status() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let token = bearer(&access_token(&sandbox, &agent));
    for (asked, authorization, expected) in [
        ("418", &token, 418),
        ("204", &token, 204),
        ("429", &token, 429),
        ("99", &token, 422),
        ("418", &bearer("x"), 401),
    ] {
        let url = format!("{}/api/status/{asked}", sandbox.api_url());
        assert_eq!(call(&agent, "GET", &url, &[("authorization", authorization)], "").status, expected);
    }
}

#[test]
fn each_answer_has_a_date_by_the_clock_of_the_sandbox() {
    let sandbox = Sandbox::start();
    let agent = agent();
    let token = access_token(&sandbox, &agent);
    for offset in [-86_400, 0, 86_400] {
        sandbox.clock().set_offset(offset);
        for reply in [info(&sandbox, &agent, &token), exchange(&sandbox, &agent, "x")] {
            let date = httpdate::parse_http_date(reply.header("date").unwrap()).unwrap();
            let off = sandbox.clock().now().duration_since(date).unwrap();
            assert!(off < Duration::from_secs(2), "{off:?} at {offset}");
        }
    }
}

#[test]
fn request_with_another_host_header_is_refused() {
    let sandbox = Sandbox::start();
    let (agent, url) = (agent(), info_url(&sandbox));
    let port = sandbox.api_url().rsplit(':').next().unwrap().to_owned();
    for (host, status) in [
        (format!("localhost:{port}"), 401),
        ("evil.example".to_owned(), 400),
        (format!("localhost:1{port}"), 400),
    ] {
        assert_eq!(call(&agent, "GET", &url, &[("host", &host)], "").status, status, "{host}");
    }
}

#[test]
fn dropped_sandbox_does_not_answer() {
    let agent = agent();
    let sandbox = Sandbox::start();
    let (url, token) = (info_url(&sandbox), bearer(&access_token(&sandbox, &agent)));
    drop(sandbox);
    // The next sandbox may listen on the same port, but it does not know the token.
    let reply = try_call(&agent, "GET", &url, &[("authorization", &token)], "");
    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.status != 200));
}

#[test]
fn sandbox_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Sandbox>();
}
