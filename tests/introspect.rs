//! Token introspection (RFC 7662): what is sent, and what an answer means.

mod support;

#[path = "support/folder.rs"]
mod folder;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use folder::Folder;
use keyfob::flow::{Introspect, Introspection};
use keyfob::{ClientAuth, Error, ErrorKind, Secret, Service, ServiceBuilder, TokenSource as _, Transport};
use support::{Server, answer, fails};

const KEY: &str = "a secret of at least thirty-two bytes";
const TOKEN: &str = r#"{"access_token":"acc3ss","expires_in":3600}"#;

fn auth() -> ClientAuth {
    ClientAuth::secret_basic("id", "m4rk-secret")
}

/// Introspects a token at a server that answers with this body.
fn introspect(body: &str) -> (Result<Introspection, Error>, String) {
    let body = body.to_owned();
    let server = Server::answering(move |_| answer(200, "", &body));
    let result = Introspect::new(server.origin(), auth()).run(&Transport::new(), &Secret::from("t0ken"));
    (result, server.origin())
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn all_members_of_an_answer_are_read() {
    let body = r#"{"active":true,"scope":"a b","client_id":"c","username":"ada","sub":"u1","token_type":"Bearer","iss":"https://as",
        "exp":1419356238,"iat":1419350238.0,"nbf":"1419350239","aud":["x","y"],"jti":"j","extension":{"a":[1]}}"#;
    let known = introspect(body).0.unwrap();
    assert!(known.is_active());
    assert_eq!(
        [
            known.scope(),
            known.client_id(),
            known.username(),
            known.subject(),
            known.token_type(),
            known.issuer()
        ],
        ["a b", "c", "ada", "u1", "Bearer", "https://as"].map(Some)
    );
    assert_eq!(
        [known.expires_at(), known.issued_at(), known.not_before()],
        [1_419_356_238, 1_419_350_238, 1_419_350_239].map(at).map(Some)
    );
    assert_eq!(known.audience(), ["x", "y"]);
    assert_eq!(format!("{known:?}"), "Introspection { is_active: true, .. }");
}

#[test]
fn members_that_are_absent_or_of_another_type_do_not_matter() {
    for body in [
        r#"{"active":false}"#,
        r#"{"active":true,"scope":[5,null],"client_id":1,"username":null,"sub":{},"token_type":true,"iss":[],"exp":"soon","iat":null,
            "nbf":{},"aud":7}"#,
        r#"{"active":true,"scope":"a\u001b[2J","username":"a\u202eb","sub":"","exp":1e300,"iat":-1e300,"aud":[1,"x"]}"#,
        // The last one counts (RFC 8259 4).
        r#"{"active":true,"exp":5,"active":false,"exp":"x"}"#,
        r#"{"active":false,"scope":"a","active":true,"scope":7}"#,
        // A byte order mark, and an `error` that is none.
        "\u{feff}{\"active\":true}",
        r#"{"error":false,"active":true}"#,
    ] {
        let known = introspect(body).0.unwrap();
        assert_eq!(
            known.is_active(),
            body.rfind("\"active\":true") > body.rfind("\"active\":false"),
            "{body}"
        );
        assert_eq!(
            [
                known.scope(),
                known.client_id(),
                known.username(),
                known.subject(),
                known.token_type(),
                known.issuer()
            ],
            [None; 6],
            "{body}"
        );
        assert_eq!([known.expires_at(), known.issued_at(), known.not_before()], [None; 3], "{body}");
        assert!(known.audience().is_empty(), "{body}");
    }
    assert_eq!(introspect(r#"{"active":true,"aud":"x"}"#).0.unwrap().audience(), ["x"]);
    // Milliseconds.
    let times =
        introspect(r#"{"active":true,"exp":1419356238000,"iat":"1419356238000000","nbf":1.419356238e12}"#);
    let times = times.0.unwrap();
    assert_eq!([times.expires_at(), times.issued_at(), times.not_before()], [Some(at(1_419_356_238)); 3]);
}

#[test]
fn scope_may_be_a_list_of_up_to_16_kib() {
    let list = |count: usize| {
        let scopes: Vec<_> = (0..count).map(|i| format!("scope.{i:04}")).collect();
        (serde_json::to_string(&scopes).unwrap(), scopes.join(" "))
    };
    for (scope, expected) in [
        list(1),
        list(10),
        list(1_489),
        (list(1_490).0, list(1_489).1),
        (format!("\"{}\"", list(1_490).1), list(1_489).1),
        (r#"["a",5,null,"b",["c"]]"#.to_owned(), "a b c".to_owned()),
        (r#"["a b","c"]"#.to_owned(), "a b c".to_owned()),
    ] {
        let known = introspect(&format!(r#"{{"active":true,"scope":{scope}}}"#)).0.unwrap();
        assert_eq!(known.scope(), Some(&*expected), "{scope}");
    }
    for none in ["[]", r#"["a\u202eb"]"#, r#"["a\n"]"#, &format!("[\"{}\"]", "a".repeat(16 * 1024 + 1))] {
        let known = introspect(&format!(r#"{{"active":true,"scope":{none}}}"#)).0.unwrap();
        assert_eq!(known.scope(), None, "{none}");
    }
}

#[test]
fn answer_in_utf_16_or_utf_32_is_named() {
    let units = |mark: &str| format!("{mark}{{\"active\":true}}").encode_utf16().collect::<Vec<_>>();
    for mark in ["", "\u{feff}"] {
        let wide: Vec<u8> = units(mark).iter().flat_map(|unit| u32::from(*unit).to_le_bytes()).collect();
        for body in [
            units(mark).iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            units(mark).iter().flat_map(|unit| unit.to_be_bytes()).collect(),
            wide,
        ] {
            let length = body.len();
            let server = Server::answering(move |_| answer(200, "", &body));
            let flow = Introspect::new(server.origin(), ClientAuth::none("id"));
            let text = format!(
                "could not introspect the token at {}: the answer (HTTP 200, {length} bytes) makes no sense: \
                 it is UTF-16 or UTF-32, and JSON is UTF-8 (RFC 8259 8.1); check the URL",
                server.origin()
            );
            fails(flow.run(&Transport::new(), &Secret::from("tok")), ErrorKind::Protocol, &text, "UTF");
        }
    }
}

#[test]
fn answer_without_a_boolean_active_is_a_protocol_error() {
    for (body, what) in [
        ("", "it is not a JSON object"),
        ("true", "it is not a JSON object"),
        (r#"[{"active":true}]"#, "it is not a JSON object"),
        (r#"{"active":true"#, "it is not a JSON object"),
        ("{}", "it has no `active`"),
        (r#"{"active":"true"}"#, "its `active` is neither true nor false"),
        (r#"{"active":1}"#, "its `active` is neither true nor false"),
        (r#"{"active":null}"#, "its `active` is neither true nor false"),
    ] {
        let (result, origin) = introspect(body);
        let length = body.len();
        let text = format!(
            "could not introspect the token at {origin}: the answer (HTTP 200, {length} bytes) makes no sense: {what}; check the URL"
        );
        fails(result, ErrorKind::Protocol, &text, body);
    }
    let (result, origin) = introspect(&" ".repeat(1024 * 1024 + 1));
    let text =
        format!("could not introspect the token at {origin}: the answer is longer than 1 MiB; check the URL");
    fails(result, ErrorKind::Protocol, &text, "1 MiB");
}

#[test]
fn refusal_shows_the_code_and_never_the_token() {
    let server = Server::answering(|_| {
        answer(401, "", r#"{"error":"invalid_client","error_description":"no t0ken-of-ada here"}"#)
    });
    let token = Secret::from("t0ken-of-ada");
    let error = Introspect::new(server.origin(), auth()).run(&Transport::new(), &token).unwrap_err();
    let text = format!(
        "could not introspect the token at {}: the server refused (HTTP 401): invalid_client: its text is withheld, because it \
         repeats a secret; check the client id and secret",
        server.origin()
    );
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Refused, text));
    assert!(!format!("{error:?}").contains("ada"), "{error:?}");

    let server = Server::answering(|_| answer(200, "", r#"{"active":true,"error":"invalid_request"}"#));
    let error = Introspect::new(server.origin(), auth()).run(&Transport::new(), &token).unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Refused, Some("invalid_request")));
}

fn acme(server: &Server) -> ServiceBuilder {
    Service::builder("acme")
        .api_url("https://api.acme.example")
        .token_url(format!("{}/token", server.origin()))
        .introspection_url(format!("{}/introspect", server.origin()))
}

#[test]
fn service_introspects_its_token_without_a_renewal_and_signs_for_the_token_url() {
    let server = Server::answering(|request| {
        let is_token = request.head.starts_with("POST /token ");
        answer(200, "", if is_token { TOKEN } else { r#"{"active":true,"scope":"a"}"# })
    });
    let folder = Folder::new();
    let service = || {
        acme(&server)
            .client_credentials(ClientAuth::secret_jwt("id", KEY))
            .store(folder.store())
            .build()
            .unwrap()
    };
    let first = service();
    let error = first.introspect().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (
            ErrorKind::NoCredentials,
            "there is no token to introspect: the first request to the API obtains one"
        )
    );
    let login = acme(&server).device_authorization_url(server.origin()).device_code(ClientAuth::none("id"));
    assert_eq!(
        login.build().unwrap().introspect().unwrap_err().to_string(),
        "there is no token to introspect: log in first"
    );
    assert_eq!(server.connections(), 0);
    first.source().token(Duration::ZERO).unwrap();
    assert_eq!(first.introspect().unwrap().scope(), Some("a"));
    // Another process finds the token in the store.
    assert!(service().introspect().unwrap().is_active());
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests[1..] {
        assert_eq!(request.form("token"), Some("acc3ss"));
        let claims = request.form("client_assertion").unwrap().split('.').nth(1).unwrap();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert!(claims.contains(&format!(r#""aud":"{}/token""#, server.origin())), "{claims}");
    }
}

#[test]
fn service_without_an_introspection_url_says_so() {
    let builder = Service::builder("acme").api_url("https://api.acme.example");
    let service = builder.clone().token_url("https://as.example/token").client_credentials(auth()).build();
    let text = "the service `acme` has no introspection URL: call `issuer` or `introspection_url`";
    fails(service.unwrap().introspect(), ErrorKind::InvalidInput, text, "none");
    let text = "the service `acme` has `introspection_url`, which has no effect with `basic`: remove it";
    let basic = builder.clone().introspection_url("https://as.example/i").basic("id", "s");
    fails(basic.build(), ErrorKind::InvalidInput, text, "basic");
    let plain = builder.token_url("https://as.example/token").set("introspection_url", "http://as.example/");
    let text = "the introspection URL is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https";
    fails(plain.client_credentials(auth()).build(), ErrorKind::InvalidInput, text, "plain");
}
