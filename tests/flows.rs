//! Every flow with every client authentication, against scripted servers: what is sent, and what is refused before anything is sent.

#![allow(clippy::disallowed_methods, reason = "the date of an answer is compared with the machine's clock")]

mod support;

use std::fmt::Debug;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyfob::flow::{
    AuthorizationCode, ClientCredentials, DeviceCode, ExtensionGrant, Introspect, Refresh, Revoke,
};
use keyfob::{ClientAuth, Clock, Error, ErrorKind, Secret, Token, Transport};
use support::{Request, Server, answer, in_parallel, lock};

const KEY: &str = "a secret of at least thirty-two bytes";
const GRANT: &str = "urn:example:grant";
const REDIRECT: &str = "https://app.example/callback";
const TOKENS: &str = r#"{"access_token":"acc","refresh_token":"ref","active":true}"#;
/// Nothing listens here.
const CLOSED: &str = "http://127.0.0.1:1/token";

fn transport() -> Transport {
    Transport::new().with_timeout(Duration::from_secs(20))
}

fn tokens() -> Server {
    Server::answering(|_| answer(200, "", TOKENS))
}

fn old_token() -> Token {
    Token::new("old", SystemTime::UNIX_EPOCH).unwrap().with_refresh_token("r 1")
}

fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Logs in with the callback that a browser would bring back.
fn log_in(flow: &AuthorizationCode) -> Result<Token, Error> {
    let login = flow.start(&transport())?;
    let state = parameter(login.url(), "state").unwrap().to_owned();
    login.finish(&format!("{REDIRECT}?code=c&state={state}"))
}

/// A client authentication under its registered name.
fn auths() -> [(&'static str, ClientAuth); 5] {
    [
        ("none", ClientAuth::none("i d")),
        ("client_secret_basic", ClientAuth::secret_basic("i d", "s+1")),
        ("client_secret_post", ClientAuth::secret_post("i d", "s+1")),
        ("client_secret_jwt", ClientAuth::secret_jwt("i d", KEY)),
        ("assertion", ClientAuth::assertion("i d", || Ok("a.b.c".into()))),
    ]
}

/// Runs a flow at a URL.
type Run = fn(&str, ClientAuth) -> Result<(), Error>;

/// A flow with scope and parameters: how it is run at a URL, and the body that it sends after the client authentication.
struct Flow {
    name: &'static str,
    run: Run,
    body: &'static str,
}

const FLOWS: [Flow; 6] = [
    Flow {
        name: "client credentials",
        run: |url, auth| {
            let flow = ClientCredentials::new(url, auth).with_scope("a").with_scope("b c");
            let flow = flow.with_parameter("audience", "x y").with_secret_parameter("key", "k&");
            flow.run(&transport()).map(drop)
        },
        body: "grant_type=client_credentials&scope=a+b+c&audience=x+y&key=k%26",
    },
    Flow {
        name: "extension grant",
        run: |url, auth| {
            let flow = ExtensionGrant::new(url, auth, GRANT).with_scope("a b");
            let flow = flow.with_parameter("resource", "x").with_parameter("resource", "y");
            let flow =
                flow.with_secret_parameter("key", "k&").with_parameter_from("read", || Ok("fresh".into()));
            flow.run(&transport()).map(drop)
        },
        body: "grant_type=urn%3Aexample%3Agrant&scope=a+b&resource=x&resource=y&key=k%26&read=fresh",
    },
    Flow {
        name: "authorization code",
        run: |url, auth| {
            let flow = AuthorizationCode::new(url, url, auth, REDIRECT).with_scope("a b");
            log_in(&flow.with_parameter("audience", "x").with_secret_parameter("key", "k&")).map(drop)
        },
        body: "grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier=VERIFIER\
               &audience=x&key=k%26",
    },
    Flow {
        name: "refresh",
        run: |url, auth| {
            let flow = Refresh::new(url, auth).with_scope("a").with_parameter("audience", "x");
            flow.with_secret_parameter("key", "k&").run(&transport(), &old_token()).map(drop)
        },
        body: "grant_type=refresh_token&refresh_token=r+1&scope=a&audience=x&key=k%26",
    },
    Flow {
        name: "revocation",
        run: |url, auth| {
            let flow = Revoke::new(url, auth).with_parameter("token_type_hint", "refresh_token");
            flow.with_secret_parameter("key", "k&").run(&transport(), &Secret::from("t 1"))
        },
        body: "token=t+1&token_type_hint=refresh_token&key=k%26",
    },
    Flow {
        name: "introspection",
        run: |url, auth| {
            let flow = Introspect::new(url, auth).with_parameter("token_type_hint", "access_token");
            flow.with_secret_parameter("key", "k&").run(&transport(), &Secret::from("t 1")).map(drop)
        },
        body: "token=t+1&token_type_hint=access_token&key=k%26",
    },
];

/// The body of a request, with fixed words in place of the values that differ each time.
fn body(request: &Request) -> String {
    let mut body = String::from_utf8(request.body.clone()).unwrap();
    for (name, word) in [("client_assertion", "ASSERTION"), ("code_verifier", "VERIFIER")] {
        if let Some(value) = request.form(name) {
            body = body.replace(value, word);
        }
    }
    body
}

/// The claims of the assertion in a request.
fn claims(request: &Request) -> serde_json::Value {
    let claims = request.form("client_assertion").unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[test]
fn each_flow_sends_its_parameters_and_one_client_authentication() {
    const TYPE: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=ASSERTION&";
    for flow in &FLOWS {
        for (method, auth) in auths() {
            let server = tokens();
            let url = format!("{}/endpoint?tenant=x", server.origin());
            let result = (flow.run)(&url, auth);
            let requests = server.requests();
            if (flow.name, method) == ("client credentials", "none") {
                let text = "a public client cannot use the client credentials grant (RFC 6749 4.4): use \
                            `ClientAuth::secret_basic`, `secret_post`, `secret_jwt` or `assertion`, or a transport with a client certificate";
                assert_eq!(result.unwrap_err().to_string(), text);
                assert_eq!(server.connections(), 0);
                continue;
            }
            result.unwrap_or_else(|error| panic!("{}, {method}: {error}", flow.name));
            assert_eq!(requests.len(), 1, "{}, {method}", flow.name);
            let (authorization, client) = match method {
                "none" => (None, "client_id=i+d&".to_owned()),
                "client_secret_basic" => (Some("Basic aStkOnMlMkIx"), String::new()),
                "client_secret_post" => (None, "client_id=i+d&client_secret=s%2B1&".to_owned()),
                "assertion" => (None, format!("client_id=i+d&{TYPE}")),
                _ => (None, TYPE.to_owned()),
            };
            let request = &requests[0];
            assert_eq!(request.header("authorization"), authorization, "{}, {method}", flow.name);
            assert_eq!(body(request), format!("{client}{}", flow.body), "{}, {method}", flow.name);
            assert!(request.head.starts_with("POST /endpoint?tenant=x HTTP/1.1\r\n"), "{}", request.head);
            if method == "client_secret_jwt" {
                let claims = claims(request);
                assert_eq!((&claims["iss"], &claims["sub"]), (&"i d".into(), &"i d".into()));
                assert_eq!(claims["aud"], url.as_str(), "{}: the URL that it calls", flow.name);
            }
        }
    }
}

#[test]
fn recipes_for_token_exchange_and_jwt_bearer_send_what_their_standards_ask_for() {
    let server = tokens();
    let grant = |name: &str| {
        let grant_type = format!("urn:ietf:params:oauth:grant-type:{name}");
        ExtensionGrant::new(server.origin(), ClientAuth::none("id"), grant_type)
    };
    let file = std::env::temp_dir().join(format!("keyfob-subject-{}", std::process::id()));
    fs::write(&file, "h.subject.s\n").unwrap();
    let exchange = grant("token-exchange")
        .with_parameter("audience", "https://api.example.com")
        .with_parameter("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
        .with_parameter_file("subject_token", &file);
    let exchanged = exchange.run(&transport());
    fs::remove_file(&file).unwrap();
    assert_eq!(exchanged.unwrap().access_token().expose(), b"acc");
    let bearer = grant("jwt-bearer").with_scope("a").with_parameter_from("assertion", || Ok("h.c.s".into()));
    assert_eq!(bearer.run(&transport()).unwrap().access_token().expose(), b"acc");
    let sent: Vec<_> = server.requests().iter().map(body).collect();
    assert_eq!(
        sent,
        [
            // RFC 8693 2.1.
            "client_id=id&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &audience=https%3A%2F%2Fapi.example.com\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token=h.subject.s",
            // RFC 7523 2.1.
            "client_id=id&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=a&assertion=h.c.s"
        ]
    );
}

#[test]
fn client_certificate_replaces_a_secret() {
    let transport = transport().with_client_certificate("/nonexistent/certificate", "/nonexistent/key");
    let result = ClientCredentials::new("https://127.0.0.1:1/token", ClientAuth::none("id")).run(&transport);
    let text = result.unwrap_err().to_string();
    assert!(text.contains("/nonexistent/certificate"), "{text}");
}

#[test]
fn audience_of_the_assertion_can_be_set_in_each_flow() {
    for flow in &FLOWS {
        let server = tokens();
        let auth = ClientAuth::secret_jwt("id", KEY).with_audience("https://as.example");
        (flow.run)(&server.origin(), auth.with_lifetime(Duration::from_secs(60))).unwrap();
        let claims = claims(&server.requests()[0]);
        assert_eq!(claims["aud"], "https://as.example", "{}", flow.name);
        let seconds = |name: &str| claims[name].as_i64().unwrap();
        assert_eq!(seconds("exp") - seconds("iat"), 60, "{}", flow.name);
    }
}

#[test]
fn assertion_with_a_wrong_time_is_signed_again_with_the_time_of_the_server() {
    for flow in &FLOWS {
        let first = Arc::new(AtomicUsize::new(0));
        let server = Server::answering(move |_| {
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
            match first.fetch_add(1, SeqCst) {
                0 => answer(401, &format!("Date: {date}"), r#"{"error":"invalid_client"}"#),
                _ => answer(200, &format!("Date: {date}"), TOKENS),
            }
        });
        (flow.run)(&server.origin(), ClientAuth::secret_jwt("id", KEY))
            .unwrap_or_else(|error| panic!("{}: {error}", flow.name));
        let issued: Vec<_> =
            server.requests().iter().map(|request| claims(request)["iat"].as_i64().unwrap()).collect();
        let [wrong, right] = issued[..] else { panic!("{}: {issued:?}", flow.name) };
        assert!((right - wrong - 3600).abs() < 60, "{}: {issued:?}", flow.name);
    }
}

#[test]
fn refusal_of_a_request_without_a_time_is_final() {
    for flow in &FLOWS {
        for (method, auth) in auths() {
            if method == "client_secret_jwt" || (flow.name, method) == ("client credentials", "none") {
                continue;
            }
            let server = Server::answering(|_| {
                let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH);
                answer(401, &format!("Date: {date}"), r#"{"error":"invalid_client"}"#)
            });
            let error = (flow.run)(&server.origin(), auth).unwrap_err();
            assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Refused, Some("invalid_client")));
            assert_eq!(server.requests().len(), 1, "{}, {method}", flow.name);
        }
    }
}

#[test]
fn authorization_request_has_scope_and_parameters_but_no_secret_one() {
    let flow = AuthorizationCode::new(CLOSED, CLOSED, ClientAuth::secret_post("id", "s3cr3t"), "app:/cb")
        .with_parameter("audience", "x y")
        .with_scope("a  b")
        .with_secret_parameter("key", "s3cr3t-parameter")
        .with_parameter("resource", "r")
        .with_scope("c");
    let login = flow.without_state().without_pkce().start(&transport()).unwrap();
    assert_eq!(
        login.url(),
        format!(
            "{CLOSED}?client_id=id&redirect_uri=app%3A%2Fcb&response_type=code&scope=a%20b%20c&audience=x%20y&resource=r"
        )
    );
    assert_eq!(login.user_code(), None);
    assert!(!format!("{login:?}").contains("s3cr3t"), "{login:?}");
}

#[test]
fn each_flow_is_repeated_as_far_as_is_safe() {
    let table: [(&str, Run, [usize; 3]); 9] = [
        // How often it is tried on 429, 503 and 500.
        ("client credentials", FLOWS[0].run, [3, 3, 3]),
        ("extension grant", FLOWS[1].run, [1, 1, 1]),
        (
            "extension grant that allows repeats",
            |url, auth| ExtensionGrant::new(url, auth, GRANT).allow_repeats().run(&transport()).map(drop),
            [3, 3, 3],
        ),
        ("authorization code", FLOWS[2].run, [1, 1, 1]),
        ("refresh", FLOWS[3].run, [3, 3, 1]),
        (
            "refresh that allows repeats",
            |url, auth| Refresh::new(url, auth).allow_repeats().run(&transport(), &old_token()).map(drop),
            [3, 3, 3],
        ),
        ("revocation", FLOWS[4].run, [3, 3, 3]),
        ("introspection", FLOWS[5].run, [3, 3, 3]),
        (
            "device authorization",
            |url, auth| DeviceCode::new(url, url, auth).start(&transport()).map(drop),
            [3, 3, 3],
        ),
    ];
    in_parallel(&table, |(name, run, expected)| {
        for (status, expected) in [429, 503, 500].into_iter().zip(*expected) {
            let server = Server::answering(move |_| answer(status, "Retry-After: 0", "{}"));
            run(&server.origin(), ClientAuth::secret_basic("id", "secret")).unwrap_err();
            assert_eq!(server.requests().len(), expected, "{name}, {status}");
        }
    });
}

#[test]
fn values_that_are_read_for_each_request_are_read_again_for_each_try() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = {
        let count = count.clone();
        Server::answering(move |_| match count.load(SeqCst) {
            3 => answer(200, "", TOKENS),
            _ => answer(503, "Retry-After: 0", ""),
        })
    };
    let file = std::env::temp_dir().join(format!("keyfob-parameter-{}", std::process::id()));
    let its = file.clone();
    let flow = ExtensionGrant::new(server.origin(), ClientAuth::none("id"), GRANT)
        .allow_repeats()
        .with_parameter_from("function", move || {
            let try_number = count.fetch_add(1, SeqCst) + 1;
            let (before, after) = [("", ""), ("\u{feff}", "\n"), ("\u{feff}", "\r\n")][try_number - 1];
            fs::write(&its, format!("{before}file-{try_number}{after}")).unwrap();
            Ok(format!("function-{try_number}").into())
        })
        .with_parameter_file("file", &file);
    let result = flow.run(&transport());
    fs::remove_file(&file).unwrap();
    result.unwrap();
    let sent: Vec<_> = server.requests().iter().map(body).collect();
    let expected =
        |n| format!("client_id=id&grant_type=urn%3Aexample%3Agrant&function=function-{n}&file=file-{n}");
    assert_eq!(sent, [expected(1), expected(2), expected(3)]);
}

#[test]
fn values_that_cannot_be_read_end_the_call_before_anything_is_sent() {
    let flow = || ExtensionGrant::new(CLOSED, ClientAuth::none("id"), GRANT).allow_repeats();
    let failing =
        flow().with_parameter_from("assertion", || Err(Error::new(ErrorKind::NoCredentials, "no assertion")));
    let error = failing.run(&transport()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NoCredentials, "no assertion"));

    // A path that does not exist may be the value itself.
    let nothing = "there is no such file or folder";
    let folder = std::env::temp_dir();
    let name_of_value = folder.join("s3cr3t-value").display().to_string();
    let long = "s3cr3t".repeat(1000);
    for (path, text) in [
        (&*name_of_value, format!("a file in {}: {nothing}", folder.display())),
        (
            "/no-such-folder-of-keyfob/s3cr3t",
            format!("its file: {nothing}; give the path of a file, not the value"),
        ),
        (
            "eyJhbGciOiJIUzI1NiJ9.s3cr3t.c2ln",
            format!("its file: {nothing}; give the path of a file, not the value"),
        ),
        ("s3cr3t/Word+of==", format!("its file: {nothing}; give the path of a file, not the value")),
        ("/s3cr3tWord", format!("its file: {nothing}; give the path of a file, not the value")),
        (&long, "its file: invalid filename; give the path of a file, not the value".to_owned()),
    ] {
        let error = flow().with_parameter_file("assertion", path).run(&transport()).unwrap_err();
        let expected = format!("could not read the parameter assertion from {text}");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidInput, expected));
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    }
    let file = folder.join(format!("keyfob-value-{}", std::process::id()));
    let lines = "has more than one line: leave nothing but the value in it";
    for (content, why) in [
        (&b"\xff\xfea\0\n\0"[..], "is UTF-16: save it as UTF-8"),
        (b"\xfe\xff\0a", "is UTF-16: save it as UTF-8"),
        (b"\xff\xfe\0\0a\0\0\0", "is UTF-32: save it as UTF-8"),
        (b"s3cr3t\nnotes\n", lines),
        (b"s3cr3t\r\n\r\n", lines),
        (b"\ns3cr3t", lines),
    ] {
        fs::write(&file, content).unwrap();
        let error = flow().with_parameter_file("assertion", &file).run(&transport()).unwrap_err();
        let text = format!("the parameter assertion in {} {why}", file.display());
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidInput, text));
    }
    fs::remove_file(&file).unwrap();

    let control = flow().with_parameter_from("assertion", || Ok("s3cr3t\nline".into())).run(&transport());
    let text = "the parameter assertion holds a control character at byte 6: remove it";
    assert_eq!(control.unwrap_err().to_string(), text);
}

#[test]
fn assertion_is_read_again_for_each_request_and_shown_nowhere() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = {
        let count = count.clone();
        Server::answering(move |request| {
            if count.load(SeqCst) == 1 {
                return answer(503, "Retry-After: 0", "");
            }
            // A time of the server's own is no reason to read the same JWT again.
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
            let jwt = request.form("client_assertion").unwrap();
            let body = format!(r#"{{"error":"invalid_client","error_description":"bad {jwt}"}}"#);
            answer(401, &format!("Date: {date}"), body)
        })
    };
    let file = std::env::temp_dir().join(format!("keyfob-assertion-{}", std::process::id()));
    let its = file.clone();
    let auth = ClientAuth::assertion("id", move || {
        let jwt = format!("h.s3cr3t-{}.s", count.fetch_add(1, SeqCst) + 1);
        fs::write(&its, format!("\u{feff}{jwt}\r\n")).unwrap();
        Ok(jwt.into())
    });
    assert_eq!(format!("{auth:?}"), r#"ClientAuth::assertion("id")"#);
    assert_eq!(auth.client_id(), "id");
    let flow = ClientCredentials::new(server.origin(), auth.clone());
    let refused = |error: Error| {
        assert_eq!(
            error.to_string(),
            format!(
                "could not get a token with the client credentials from {}: the server refused (HTTP 401): invalid_client: its text \
                 is withheld, because it repeats a secret; check the client id and secret",
                server.origin()
            )
        );
        assert!(!format!("{error:?}").contains("s3cr3t"));
    };
    refused(flow.run(&transport()).unwrap_err());
    refused(flow.clone().run(&transport()).unwrap_err());
    let from_file = ClientAuth::assertion_file("id", &file);
    refused(ClientCredentials::new(server.origin(), from_file.clone()).run(&transport()).unwrap_err());
    fs::remove_file(&file).unwrap();
    let sent: Vec<_> =
        server.requests().iter().map(|r| r.form("client_assertion").unwrap().to_owned()).collect();
    assert_eq!(sent, ["h.s3cr3t-1.s", "h.s3cr3t-2.s", "h.s3cr3t-3.s", "h.s3cr3t-3.s"]);

    let error = Introspect::new(CLOSED, from_file).run(&transport(), &"t".into()).unwrap_err();
    let text = format!(
        "could not read the client assertion from a file in {}: there is no such file or folder",
        std::env::temp_dir().display()
    );
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidInput, text));
    let auth = ClientAuth::assertion("id", || Err(Error::new(ErrorKind::NoCredentials, "no assertion")));
    let error = Revoke::new(CLOSED, auth).run(&transport(), &"t".into()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NoCredentials, "no assertion"));
}

/// Gives a value to a flow and runs it.
type Set = Box<dyn Fn(&str) -> Result<(), Error>>;

/// A setter of a flow, with its name in errors.
struct Field {
    name: &'static str,
    /// Whether only RFC 6749 3.3's characters may be in it.
    is_scope: bool,
    run: Set,
}

fn fields() -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add = |name, run: Set| {
        fields.push(Field { name, is_scope: name == "scope", run });
    };
    let post = || ClientAuth::secret_post("id", "secret");
    let code = move || AuthorizationCode::new(CLOSED, CLOSED, post(), REDIRECT);
    let ends = |result: Result<Token, Error>| result.map(drop);

    add(
        "client id",
        Box::new(|id| Refresh::new(CLOSED, ClientAuth::none(id)).run(&transport(), &old_token()).map(drop)),
    );
    let methods: [fn(&'static str, &'static str) -> ClientAuth; 3] =
        [ClientAuth::secret_basic, ClientAuth::secret_post, ClientAuth::secret_jwt];
    for method in methods {
        add(
            "client id",
            Box::new(move |id| {
                ClientCredentials::new(CLOSED, method(own(id), KEY)).run(&transport()).map(drop)
            }),
        );
        add(
            "client secret",
            Box::new(move |secret| {
                ClientCredentials::new(CLOSED, method("id", own(secret))).run(&transport()).map(drop)
            }),
        );
    }
    add(
        "audience",
        Box::new(|to| {
            let auth = ClientAuth::secret_jwt("id", KEY).with_audience(to);
            ExtensionGrant::new(CLOSED, auth, GRANT).run(&transport()).map(drop)
        }),
    );
    add(
        "grant type",
        Box::new(move |grant| ends(ExtensionGrant::new(CLOSED, post(), grant).run(&transport()))),
    );
    add("token URL", Box::new(move |url| ends(ExtensionGrant::new(url, post(), GRANT).run(&transport()))));
    add("token URL", Box::new(move |url| ends(ClientCredentials::new(url, post()).run(&transport()))));
    add("token URL", Box::new(move |url| ends(Refresh::new(url, post()).run(&transport(), &old_token()))));
    let start = move |authorize_url: &str, token_url: &str, redirect_uri: &str| {
        AuthorizationCode::new(authorize_url, token_url, post(), redirect_uri).start(&transport()).map(drop)
    };
    add("token URL", Box::new(move |url| start(CLOSED, url, REDIRECT)));
    add("authorize URL", Box::new(move |url| start(url, CLOSED, REDIRECT)));
    add("redirect URI", Box::new(move |uri| start(CLOSED, CLOSED, uri)));
    add("issuer", Box::new(move |issuer| code().with_issuer(issuer).start(&transport()).map(drop)));
    let introspect =
        move |url: &str, token: &str| Introspect::new(url, post()).run(&transport(), &token.into()).map(drop);
    add("introspection URL", Box::new(move |url| introspect(url, "t")));
    add("token", Box::new(move |token| introspect(CLOSED, token)));
    add("revocation URL", Box::new(move |url| Revoke::new(url, post()).run(&transport(), &"t".into())));
    add("revocation URL", Box::new(move |url| Revoke::in_query(url).run(&transport(), &"t".into())));
    add("token", Box::new(move |token| Revoke::new(CLOSED, post()).run(&transport(), &token.into())));
    add("token", Box::new(move |token| Revoke::in_query(CLOSED).run(&transport(), &token.into())));
    add(
        "refresh token",
        Box::new(move |token| {
            let first = Refresh::new(CLOSED, post()).with_refresh_token(token);
            first.run(&transport(), &Token::new("x", SystemTime::UNIX_EPOCH).unwrap()).map(drop)
        }),
    );
    add(
        "scope",
        Box::new(move |scope| {
            ends(ExtensionGrant::new(CLOSED, post(), GRANT).with_scope(scope).run(&transport()))
        }),
    );
    add(
        "scope",
        Box::new(move |scope| {
            ends(ClientCredentials::new(CLOSED, post()).with_scope(scope).run(&transport()))
        }),
    );
    add(
        "scope",
        Box::new(move |scope| {
            ends(Refresh::new(CLOSED, post()).with_scope(scope).run(&transport(), &old_token()))
        }),
    );
    add("scope", Box::new(move |scope| code().with_scope(scope).start(&transport()).map(drop)));
    add(
        "client assertion",
        Box::new(|jwt| {
            let jwt = own(jwt);
            let auth = ClientAuth::assertion("id", || Ok(jwt.into()));
            Revoke::new(CLOSED, auth).run(&transport(), &"t".into())
        }),
    );
    let of = with_parameter;
    add("name of a parameter", Box::new(move |name| of(name, "value", false)));
    add("name of a parameter", Box::new(move |name| of(name, "value", true)));
    add("parameter own", Box::new(move |value| of("own", value, false)));
    add("parameter own", Box::new(move |value| of("own", value, true)));
    fields
}

/// A text of the static lifetime, for function pointers.
fn own(text: &str) -> &'static str {
    text.to_owned().leak()
}

/// Runs every flow with this parameter: all have to refuse it in the same words.
fn with_parameter(name: &str, value: &str, is_secret: bool) -> Result<(), Error> {
    let auth = || ClientAuth::secret_post("id", "secret");
    macro_rules! set {
        ($flow:expr) => {
            if is_secret {
                $flow.with_secret_parameter(name, value)
            } else {
                $flow.with_parameter(name, value)
            }
        };
    }
    let errors = [
        set!(ClientCredentials::new(CLOSED, auth())).run(&transport()).unwrap_err(),
        set!(ExtensionGrant::new(CLOSED, auth(), GRANT)).run(&transport()).unwrap_err(),
        set!(AuthorizationCode::new(CLOSED, CLOSED, auth(), REDIRECT)).start(&transport()).unwrap_err(),
        set!(Refresh::new(CLOSED, auth())).run(&transport(), &old_token()).unwrap_err(),
        set!(Revoke::new(CLOSED, auth())).run(&transport(), &"t".into()).unwrap_err(),
        set!(Revoke::in_query(CLOSED)).run(&transport(), &"t".into()).unwrap_err(),
        set!(Introspect::new(CLOSED, auth())).run(&transport(), &"t".into()).unwrap_err(),
        set!(DeviceCode::new(CLOSED, CLOSED, auth())).start(&transport()).unwrap_err(),
    ];
    let texts = errors.each_ref().map(ToString::to_string);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    Err(errors.into_iter().next().unwrap())
}

#[test]
fn values_that_cannot_be_used_are_refused_when_the_flow_is_run() {
    let long = "a".repeat(16 * 1024 + 1);
    for field in fields() {
        for (bad, why) in [
            ("", "is empty"),
            (long.as_str(), "is 16385 bytes long; at most 16384 are accepted: is it the right value?"),
            ("a\nb", "holds a control character at byte 1: remove it"),
            ("a\0b", "holds a control character at byte 1: remove it"),
            ("a\u{7f}b", "holds a control character at byte 1: remove it"),
            ("a\u{85}b", "holds a control character (U+0085) at byte 1: remove it"),
            (
                "a\u{202e}b",
                "holds a character that changes the direction of text (U+202E) at byte 1: remove it",
            ),
            ("a\u{feff}b", "holds a byte order mark (U+FEFF) at byte 1: remove it"),
            ("a\n", "holds a control character at byte 1: a trailing newline, perhaps, from reading a file?"),
        ] {
            refused((field.run)(bad), &format!("the {} {why}", field.name));
        }
        if field.is_scope {
            refused((field.run)("a\"b"), "the scope holds a character that RFC 6749 3.3 does not allow");
        }
        if field.name.ends_with("URL") {
            for (bad, why) in [
                (
                    "http://as.example/",
                    "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
                ),
                (
                    "https://ada:s3cr3t@as.example/",
                    "holds a user name or password: give credentials separately",
                ),
                ("https://as.example/#s3cr3t", "has a fragment ('#'): remove it (RFC 6749 3.2)"),
                ("as.example", "is not absolute: it needs https:// and a host"),
            ] {
                refused((field.run)(bad), &format!("the {} {why}", field.name));
            }
        }
    }
}

#[track_caller]
fn refused<T: Debug>(result: Result<T, Error>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
}

#[test]
fn parameters_that_the_flow_itself_sends_are_refused() {
    /// Gives the parameter of this name, secret or not, to a flow and runs it.
    type SetParameter = Box<dyn Fn(&str, bool) -> Result<(), Error>>;
    const CLIENT: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];
    const TOKEN: [&str; 2] = ["grant_type", "scope"];
    let auth = || ClientAuth::secret_jwt("id", KEY);
    macro_rules! set {
        ($flow:expr, $name:expr, $secret:expr) => {
            if $secret { $flow.with_secret_parameter($name, "x") } else { $flow.with_parameter($name, "x") }
        };
    }
    let flows: [(&[&str], SetParameter); 6] = [
        (
            &[],
            Box::new(move |name, secret| {
                set!(ClientCredentials::new(CLOSED, auth()), name, secret).run(&transport()).map(drop)
            }),
        ),
        (
            &[],
            Box::new(move |name, secret| {
                set!(ExtensionGrant::new(CLOSED, auth(), GRANT), name, secret).run(&transport()).map(drop)
            }),
        ),
        (
            &[
                "code",
                "code_challenge",
                "code_challenge_method",
                "code_verifier",
                "redirect_uri",
                "response_type",
                "state",
            ],
            Box::new(move |name, secret| {
                set!(AuthorizationCode::new(CLOSED, CLOSED, auth(), REDIRECT), name, secret)
                    .start(&transport())
                    .map(drop)
            }),
        ),
        (
            &["refresh_token"],
            Box::new(move |name, secret| {
                set!(Refresh::new(CLOSED, auth()), name, secret).run(&transport(), &old_token()).map(drop)
            }),
        ),
        (
            &["token"],
            Box::new(move |name, secret| {
                set!(Revoke::new(CLOSED, auth()), name, secret).run(&transport(), &"t".into())
            }),
        ),
        (
            &["token"],
            Box::new(move |name, secret| {
                set!(Introspect::new(CLOSED, auth()), name, secret).run(&transport(), &"t".into()).map(drop)
            }),
        ),
    ];
    for (own, run) in flows {
        let token: &[&str] = if own == ["token"] { &[] } else { &TOKEN };
        for name in CLIENT.iter().chain(token).chain(own) {
            for is_secret in [false, true] {
                refused(
                    run(name, is_secret),
                    &format!("the parameter {name} is one that the flow itself sends: remove it"),
                );
            }
        }
    }
    let read =
        ExtensionGrant::new(CLOSED, auth(), GRANT).with_parameter_from("grant_type", || panic!("not called"));
    refused(read.run(&transport()), "the parameter grant_type is one that the flow itself sends: remove it");
    refused(
        Revoke::in_query(CLOSED).with_parameter("a", "b").run(&transport(), &"t".into()),
        "a revocation in the query sends no further parameters: remove them",
    );
}

#[test]
fn settings_that_do_not_fit_the_client_authentication_are_refused_by_each_flow() {
    for flow in &FLOWS {
        for (method, auth) in auths() {
            if method == "client_secret_jwt" || (flow.name, method) == ("client credentials", "none") {
                continue;
            }
            for (auth, setting) in [
                (auth.clone().with_audience("a"), "with_audience"),
                (auth.clone().with_lifetime(Duration::from_secs(1)), "with_lifetime"),
                (auth.clone().allow_short_key(), "allow_short_key"),
            ] {
                let text = format!(
                    "`{setting}` fits `ClientAuth::secret_jwt` only: remove it, or use `secret_jwt` if the server expects a signed \
                     JWT"
                );
                refused((flow.run)(CLOSED, auth), &text);
            }
        }
        let short = (flow.run)(CLOSED, ClientAuth::secret_jwt("id", "short")).unwrap_err().to_string();
        assert!(short.starts_with("the client secret has 5 bytes; HS256 needs at least 32"), "{short}");
    }
}

#[test]
fn no_error_and_no_debug_shows_a_secret_parameter() {
    let secrets = ["given-s3cr3t", "called-0ther-w0rd"];
    for secret in secrets {
        let server = Server::answering(move |_| {
            answer(
                400,
                "",
                format!(r#"{{"error":"invalid_request","error_description":"bad value {secret}"}}"#),
            )
        });
        let flow = ExtensionGrant::new(server.origin(), ClientAuth::none("id"), GRANT)
            .with_secret_parameter("given", secrets[0])
            .with_parameter_from("called", move || Ok(secrets[1].into()));
        let error = flow.run(&transport()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "could not get a token from {}: the server refused (HTTP 400): invalid_request: its text is withheld, because it repeats a secret; \
                 check the parameters",
                server.origin()
            )
        );
        for shown in [format!("{flow:?}"), format!("{error:?}")] {
            assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{shown}");
        }
    }
}

#[test]
fn clock_offset_learned_by_one_flow_serves_the_next() {
    let late = Duration::from_secs(3600);
    let issued = Arc::new(Mutex::new(Vec::new()));
    let seen = issued.clone();
    let server = Server::answering(move |request| {
        let iat = claims(request)["iat"].as_u64().unwrap();
        let now = SystemTime::now() + late;
        let date = format!("Date: {}", httpdate::fmt_http_date(now));
        let off = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().abs_diff(iat);
        lock(&seen).push(iat);
        if off > 60 {
            answer(401, &date, r#"{"error":"invalid_client"}"#)
        } else {
            answer(200, &date, TOKENS)
        }
    });
    let transport = transport().with_clock(Clock::manual(SystemTime::now()));
    let auth = ClientAuth::secret_jwt("id", KEY);
    Revoke::new(server.origin(), auth.clone()).run(&transport, &"t".into()).unwrap();
    assert_eq!(lock(&issued).len(), 2, "refused once");
    ClientCredentials::new(server.origin(), auth).run(&transport).unwrap();
    assert_eq!(lock(&issued).len(), 3, "signed with the right time");
}
