//! [`Service`]: what `build` refuses, what a service sends, and a service that a definition adds.

mod support;

#[path = "service/acme.rs"]
mod acme;
#[path = "support/folder.rs"]
mod folder;

use std::fmt::Debug;
use std::time::{Duration, UNIX_EPOCH};

use acme::ACME;
use folder::Folder;
use keyfob::spacebring::{CUSTOMER, Customer, PARTNER, Partner, REDIRECT_URI};
use keyfob::{
    AppCredentials, ClientAuth, Definition, Error, ErrorKind, Service, ServiceBuilder, Setting, SpatiaFi,
    Token, TokenSource as _, services,
};
use support::{Server, answer};

const KEY: &str = "a secret of at least thirty-two bytes";
const NETWORK: &str = "6f1b7c1e-3a52-4C8E-9d0b-2b7f5a4e8c10";
const TOKEN: &str = r#"{"access_token":"acc","expires_in":3600,"token_type":"Bearer"}"#;

fn auth() -> ClientAuth {
    ClientAuth::secret_basic("id", "m4rk-secret")
}

/// The builder of a service that lacks only a grant.
fn acme() -> ServiceBuilder {
    Service::builder("acme").api_url("https://api.acme.example").token_url("https://acme.example/token")
}

#[track_caller]
fn refused<T: Debug>(result: Result<T, Error>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::InvalidInput));
}

#[test]
fn service_added_by_a_definition_obtains_a_token_signs_calls_and_reuses_the_stored_token() {
    let server = Server::answering(|request| match request.method() {
        "POST" => answer(200, "", TOKEN),
        _ => answer(200, "", "anvils"),
    });
    let folder = Folder::new();
    let get = || {
        let service = ACME
            .builder("my id", "s3cr3t")
            .set("api_url", server.origin())
            .set("token_url", format!("{}/token", server.origin()))
            .set("api_key", "k3y")
            .store(folder.store())
            .build()
            .unwrap();
        let url = format!("{}/anvils", service.api_url());
        service.agent().get(url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    // The second time, a new service finds the token in the store.
    assert_eq!([get(), get()], ["anvils"; 2]);

    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.head.lines().next().unwrap()).collect();
    assert_eq!(lines, ["POST /token HTTP/1.1", "GET /anvils HTTP/1.1", "GET /anvils HTTP/1.1"]);
    assert_eq!(
        String::from_utf8_lossy(&requests[0].body),
        "client_id=my+id&client_secret=s3cr3t&grant_type=client_credentials&scope=anvils.read"
    );
    assert_eq!(requests[0].header("x-api-key"), None);
    for call in &requests[1..] {
        assert_eq!(
            (call.header("authorization"), call.header("x-api-key")),
            (Some("Bearer acc"), Some("k3y"))
        );
    }
}

#[test]
fn missing_part_is_named_with_the_service_and_its_setter() {
    let grant =
        "call `client_credentials`, `authorization_code`, `device_code`, `extension_grant` or `basic`";
    let bare = || Service::builder("acme");
    for (builder, text) in [
        (acme(), format!("the service `acme` has no grant: {grant}")),
        (
            acme().client_credentials(auth()).basic("id", "s"),
            "the service `acme` has two grants, `client_credentials` and `basic`: choose one".to_owned(),
        ),
        (bare().basic("id", "s"), "the service `acme` has no API URL: call `api_url`".to_owned()),
        (
            bare().api_url("https://api.acme.example").client_credentials(auth()),
            "the service `acme` has no token URL: call `issuer` or `token_url`".to_owned(),
        ),
        (
            acme().authorization_code(auth(), REDIRECT_URI),
            "the service `acme` has no authorize URL: call `issuer` or `authorize_url`".to_owned(),
        ),
        (
            acme().device_code(auth()),
            "the service `acme` has no device authorization URL: call `issuer` or `device_authorization_url`".to_owned(),
        ),
        (
            acme().client_credentials(ClientAuth::none("id")),
            "a public client cannot use the client credentials grant (RFC 6749 4.4): use `ClientAuth::secret_basic`, \
             `secret_post`, `secret_jwt` or `assertion`, or a transport with a client certificate"
                .to_owned(),
        ),
        (
            acme().client_credentials(ClientAuth::secret_basic("id", "")),
            "the client secret is empty".to_owned(),
        ),
    ] {
        refused(builder.build(), &text);
    }
}

#[test]
fn bad_value_is_refused_by_build() {
    let whole = || acme().client_credentials(auth());
    let name = |name: &str| {
        format!(
            "the service name `{name}` cannot be used: write a letter from a to z, then up to 31 of a–z, 0–9 and '-'"
        )
    };
    for bad in ["", "Acme", "1acme", "-acme", "ac_me", "a cme", &"a".repeat(33)] {
        let builder = Service::builder(bad).api_url("https://a.example").basic("id", "s");
        refused(builder.build(), &name(bad));
    }
    // A long name is cut, and a bad one is reported before the errors that would repeat it.
    for bad in ["é".repeat(20_000), format!("{}\u{1b}\u{202e}", "é".repeat(100))] {
        let builder = Service::builder(bad).set("network_id", "x");
        refused(builder.build(), &name(&"é".repeat(100)));
    }
    for (builder, text) in [
        (whole().profile(""), "the profile is empty"),
        (whole().profile("a\nb"), "the profile holds a control character at byte 1: remove it"),
        (whole().token_url("token"), "the token URL is not absolute: it needs https:// and a host"),
        (
            whole().api_url("http://api.example"),
            "the API URL is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        (whole().api_url("https://a.example/?b"), "the API URL has a query ('?'): give it without"),
        (
            whole().revocation_url("https://a.example/#"),
            "the revocation URL has a fragment ('#'): remove it (RFC 6749 3.2)",
        ),
        (whole().header("x key", "v"), "the header name holds characters that no header can carry"),
        (
            whole().header("x-key", "m4rk\n"),
            "the value of the header `x-key` holds a control character at byte 4: a trailing newline, perhaps, from reading a file?",
        ),
        (whole().scope("a\"b"), "the scope holds a character that RFC 6749 3.3 does not allow"),
        (
            whole().parameter("grant_type", "x"),
            "the parameter grant_type is one that the flow itself sends: remove it",
        ),
        (
            whole().extension_grant("", auth()),
            "the service `acme` has two grants, `client_credentials` and `extension_grant`: choose one",
        ),
        (acme().extension_grant("", auth()), "the grant type is empty"),
        (
            whole().set("network_id", "x"),
            "the service `acme` has no setting \"network_id\": it has api_url, issuer, token_url, authorize_url, \
             device_authorization_url, revocation_url, introspection_url, redirect_uri, scope",
        ),
        (
            whole().set(&format!("k\u{202e}{}", "e".repeat(20_000)), "x"),
            &format!(
                "the service `acme` has no setting \"k{}\": it has api_url, issuer, token_url, authorize_url, \
                 device_authorization_url, revocation_url, introspection_url, redirect_uri, scope",
                "e".repeat(199)
            ),
        ),
    ] {
        refused(builder.build(), text);
    }
}

#[test]
fn header_that_the_agent_sends_or_that_is_not_for_the_api_is_refused_by_build() {
    for (names, why) in [
        (
            &[
                "Authorization",
                "AUTHORIZATION",
                "host",
                "Content-Length",
                "transfer-encoding",
                "Connection",
                "Keep-Alive",
            ][..],
            "keyfob sends it by itself where it is needed",
        ),
        (&["TE", "Trailer", "upgrade", "Expect"], "keyfob does not support what it asks for"),
        (&["Cookie", "cOOKIE"], "keyfob authenticates by itself, and keeps no cookies"),
        (
            &["Proxy-Authorization", "proxy-connection", "PROXY-x"],
            "it would be sent to the API: name the proxy and its password with `Transport::with_proxy`",
        ),
    ] {
        for name in names {
            let text = format!("the header `{}` cannot be added: {why}", name.to_ascii_lowercase());
            refused(acme().client_credentials(auth()).header(*name, "1").build(), &text);
            let builder = acme().client_credentials(auth()).build().unwrap().agent_builder();
            refused(builder.header(*name, "m4rk").build(), &text);
        }
    }
    for name in ["x-api-key", "Accept", "cookie2", "x-host", "proxy", "content-type", "te-x"] {
        acme().client_credentials(auth()).header(name, "1").build().unwrap();
    }
}

#[test]
fn extension_grant_that_a_login_covers_is_refused_with_the_right_setter() {
    for grant in ["authorization_code", "refresh_token"] {
        refused(
            acme().extension_grant(grant, auth()).build(),
            &format!(
                "`extension_grant` cannot use the grant type `{grant}`, which needs a login: call `authorization_code`"
            ),
        );
    }
    refused(
        acme().extension_grant("urn:ietf:params:oauth:grant-type:device_code", auth()).build(),
        "`extension_grant` cannot use the grant type `urn:ietf:params:oauth:grant-type:device_code`, which needs a login: call `device_code`",
    );
    for grant in ["password", "client_credentials", "urn:example:refresh_token"] {
        acme().extension_grant(grant, auth()).build().unwrap();
    }
}

#[test]
fn service_without_a_login_refuses_start_and_finish() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let basic = || Service::builder("acme").api_url("https://api.acme.example").basic("id", "secret");
    let client = || acme().token_url(server.origin());
    for (builder, grant) in [
        (basic(), "basic"),
        (client().client_credentials(auth()), "client_credentials"),
        (client().extension_grant("urn:example:grant", auth()), "urn:example:grant"),
    ] {
        let service = builder.build().unwrap();
        let text = format!("the service `acme` needs no login: its grant is `{grant}`");
        refused(service.start_login(), &text);
        refused(service.finish_login(Token::new("forged", UNIX_EPOCH).unwrap()), &text);
        if grant != "basic" {
            assert_eq!(service.authorization().unwrap().expose(), b"Bearer acc");
        }
    }
}

#[test]
fn service_without_a_token_says_what_is_missing() {
    let url = "http://127.0.0.1:1";
    let login = || acme().authorize_url(url).authorization_code(auth(), REDIRECT_URI);
    for builder in [login(), acme().client_credentials(auth()), acme().extension_grant("urn:x:y", auth())] {
        let error = builder.revocation_url(url).build().unwrap().revoke().unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.kind()),
            ("there is no token to revoke", ErrorKind::NoCredentials)
        );
    }
    let service = login().build().unwrap();
    let nobody = "nobody has logged in to the service `acme` with this client and profile: log in first";
    let call = || service.agent().get("https://api.acme.example").call().map(drop).map_err(Error::from);
    for result in
        [service.source().token(Duration::ZERO).map(drop), service.authorization().map(drop), call()]
    {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LoginRequired);
        assert!(error.to_string().ends_with(nobody), "{error}");
    }
    // A login that is there, but cannot be renewed.
    service.finish_login(Token::new("old", UNIX_EPOCH).unwrap()).unwrap();
    let error = service.source().renew().unwrap_err().to_string();
    assert_eq!(error, "there is no refresh token to renew the access token with: log in again");
}

#[test]
fn scopes_of_all_calls_are_asked_for() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let form = |builder: ServiceBuilder| {
        builder.token_url(server.origin()).build().unwrap().source().token(Duration::ZERO).unwrap();
        String::from_utf8(server.requests().pop().unwrap().body).unwrap()
    };
    let client = || acme().client_credentials(auth());
    for builder in [
        client().scope("a b").scope("c"),
        client().scope("a").set("scope", "b").scope("c"),
        acme().scope("a b c").extension_grant("client_credentials", auth()),
    ] {
        assert_eq!(form(builder), "grant_type=client_credentials&scope=a+b+c");
    }
    let login = acme().authorize_url("https://a.example").authorization_code(auth(), REDIRECT_URI);
    let login = login.scope("a").scope("b").build().unwrap().start_login().unwrap();
    assert!(login.url().contains("&scope=a%20b&"), "{}", login.url());
    refused(client().scope("a").scope("").build(), "the scope is empty");
}

#[test]
fn setting_that_the_grant_has_no_use_for_is_refused() {
    let text = |setter: &str, grant: &str| {
        format!("the service `acme` has `{setter}`, which has no effect with `{grant}`: remove it")
    };
    let client = || acme().client_credentials(auth());
    let basic = || Service::builder("acme").api_url("https://api.acme.example").basic("id", "secret");
    for (builder, setter) in [
        (client().authorize_url("https://a.example"), "authorize_url"),
        (client().set("redirect_uri", REDIRECT_URI), "redirect_uri"),
        (client().without_state(), "without_state"),
        (client().without_pkce(), "without_pkce"),
        (client().without_redirect_uri(), "without_redirect_uri"),
        (client().allow_refresh_repeats(), "allow_refresh_repeats"),
    ] {
        refused(builder.build(), &text(setter, "client_credentials"));
    }
    for (builder, setter) in [
        (basic().token_url("https://a.example"), "token_url"),
        (basic().revocation_url("https://a.example"), "revocation_url"),
        (basic().allow_token_in_query(), "allow_token_in_query"),
        (basic().scope("a"), "scope"),
        (basic().parameter("a", "b"), "parameter"),
        (basic().secret_parameter("a", "b"), "secret_parameter"),
    ] {
        refused(builder.build(), &text(setter, "basic"));
    }
}

#[test]
fn order_of_the_setters_does_not_matter() {
    let own = "http://127.0.0.1:2/own";
    let shown = |builder: ServiceBuilder| {
        let service = builder.without_state().without_pkce().build().unwrap();
        (format!("{:?}", service.record_name()), service.start_login().unwrap().url().to_owned())
    };
    let partner = || Partner::builder("i", "s", "https://app.example/");
    let api = "http://127.0.0.1:1";
    let before = partner().authorize_url(own).token_url(own).revocation_url(own).api_url(api);
    let after = partner().api_url(api).revocation_url(own).token_url(own).authorize_url(own);
    assert_eq!(shown(before), shown(after));
}

#[test]
fn token_request_carries_scope_and_parameters_with_every_grant_without_a_login() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let form = |builder: ServiceBuilder| {
        let service = builder
            .api_url(server.origin())
            .token_url(server.origin())
            .scope("a b")
            .parameter("audience", "x y")
            .secret_parameter("subject", "m4rk")
            .build()
            .unwrap();
        service.source().token(Duration::ZERO).unwrap();
        String::from_utf8(server.requests().pop().unwrap().body).unwrap()
    };
    let rest = "&scope=a+b&audience=x+y&subject=m4rk";
    let start = || Service::builder("acme");
    assert_eq!(
        form(start().client_credentials(ClientAuth::secret_post("i", "s"))),
        format!("client_id=i&client_secret=s&grant_type=client_credentials{rest}")
    );
    assert_eq!(
        form(start().extension_grant("urn:example:grant", ClientAuth::none("i"))),
        format!("client_id=i&grant_type=urn%3Aexample%3Agrant{rest}")
    );
}

#[test]
fn login_names_scope_and_parameters_and_no_secret_and_a_refresh_names_no_scope() {
    let tokens = r#"{"access_token":"acc","refresh_token":"ref","token_type":"Bearer"}"#;
    let server = Server::answering(move |_| answer(200, "", tokens));
    let service = Service::builder("acme")
        .api_url(server.origin())
        .token_url(server.origin())
        .authorize_url(server.origin())
        .authorization_code(ClientAuth::none("i"), "https://app.example/")
        .scope("a b")
        .parameter("audience", "x")
        .secret_parameter("subject", "m4rk")
        .without_state()
        .without_pkce()
        .build()
        .unwrap();
    let login = service.start_login().unwrap();
    let query = login.url().split_once('?').unwrap().1.to_owned();
    assert_eq!(
        query,
        "client_id=i&redirect_uri=https%3A%2F%2Fapp.example%2F&response_type=code&scope=a%20b&audience=x"
    );
    service.finish_login(login.finish("https://app.example/?code=c").unwrap()).unwrap();
    service.source().renew().unwrap();
    let forms: Vec<_> =
        server.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect();
    assert_eq!(
        forms,
        [
            "client_id=i&grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fapp.example%2F&audience=x&subject=m4rk",
            "client_id=i&grant_type=refresh_token&refresh_token=ref&audience=x&subject=m4rk"
        ]
    );
    assert!(service.start_login_for("c").unwrap().url().contains("&scope=c&"));
}

#[test]
fn record_name_covers_everything_that_a_token_depends_on() {
    let name = |builder: ServiceBuilder| builder.build().unwrap().record_name().cloned().unwrap();
    let whole = || acme().client_credentials(auth());
    let all = [
        name(whole()),
        name(acme().client_credentials(ClientAuth::secret_basic("other", "s"))),
        name(whole().profile("other")),
        name(whole().token_url("https://acme.example/other")),
        name(
            Service::builder("other")
                .api_url("https://a.example")
                .token_url("https://acme.example/token")
                .client_credentials(auth()),
        ),
        name(whole().scope("a")),
        name(whole().scope("a b")),
        name(whole().parameter("a", "b")),
        name(whole().parameter("a", "c")),
        name(whole().secret_parameter("a", "b")),
        name(whole().parameter("a", "b&c=d")),
        name(whole().parameter("a", "b").parameter("c", "d")),
        // The token of one grant is not that of another: its subject may be another one.
        name(acme().extension_grant("urn:example:a", auth())),
        name(acme().extension_grant("urn:example:b", auth())),
        name(acme().authorize_url("https://a.example").authorization_code(auth(), REDIRECT_URI)),
    ];
    for (i, one) in all.iter().enumerate() {
        for other in &all[..i] {
            assert_ne!(one, other);
        }
    }
    // The name depends neither on the secrets, nor on the order, nor on the API.
    assert_eq!(
        all[0],
        name(
            acme().client_credentials(ClientAuth::secret_post("id", "another")).api_url("https://b.example")
        )
    );
    assert_eq!(all[9], name(whole().secret_parameter("a", "c")));
    assert_eq!(all[11], name(whole().parameter("c", "d").parameter("a", "b")));
    // The record of a login does not depend on the scope and the parameters.
    let login = |builder: ServiceBuilder| {
        name(builder.authorize_url("https://a.example").authorization_code(auth(), REDIRECT_URI))
    };
    assert_eq!(login(acme()), login(acme().scope("a").parameter("b", "c")));
    // A person logs in with a browser or on another device.
    let by_device = acme().device_authorization_url("https://a.example").device_code(auth());
    assert_eq!(login(acme()), name(by_device));
}

#[test]
fn debug_of_a_service_shows_no_secret() {
    let builder = acme()
        .client_credentials(auth())
        .header("x-key", "m4rk-key")
        .secret_parameter("a", "m4rk-parameter")
        .api_url("https://a.example");
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    let basic = Customer::builder("i", "m4rk-basic");
    let shown = format!("{shown} {basic:?} {:?}", basic.clone().build().unwrap());
    assert!(!shown.contains("m4rk"), "{shown}");
}

#[test]
fn service_without_tokens_says_so_and_signs_with_basic() {
    let service = Customer::builder("client id", "pass:word").build().unwrap();
    assert_eq!(service.authorization().unwrap().expose(), b"Basic Y2xpZW50IGlkOnBhc3M6d29yZA==");
    assert_eq!((service.grant(), service.record_name().is_none()), ("basic", true));
    refused(
        service.source().token(Duration::ZERO),
        "the service `spacebring` has no token: its requests use HTTP Basic",
    );
    refused(service.start_login(), "the service `spacebring` needs no login: its grant is `basic`");
    refused(
        service.revoke(),
        "the service `spacebring` has no revocation URL: call `issuer` or `revocation_url`",
    );
}

#[test]
fn clones_share_the_token() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let service = acme().token_url(server.origin()).client_credentials(auth()).build().unwrap();
    let other = service.clone();
    service.source().token(Duration::ZERO).unwrap();
    assert_eq!(other.authorization().unwrap().expose(), b"Bearer acc");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn urls_of_built_in_services_match_their_documentation() {
    for (name, title) in [("spatiafi", "SpatiaFi"), ("spacebring", "Spacebring")] {
        let found: Vec<_> = services().iter().filter(|service| service.name == name).collect();
        assert_eq!(found.iter().map(|service| service.title).collect::<Vec<_>>(), [title]);
    }
    let urls = |builder: &ServiceBuilder| {
        [builder.unchecked_api_url(), builder.unchecked_token_url()].map(Option::unwrap)
    };
    let spatiafi = SpatiaFi::builder(&AppCredentials::new("i", KEY).unwrap());
    assert_eq!(
        urls(&spatiafi),
        ["https://api.spatiafi.com", "https://auth.spatiafi.com/api/v1/auth/jwt/token"]
    );
    let moved = spatiafi.set("auth_url", "http://127.0.0.1:1/");
    assert_eq!(urls(&moved)[1], "http://127.0.0.1:1/api/v1/auth/jwt/token");
    assert_eq!(urls(&moved.set("token_url", "http://127.0.0.1:2"))[1], "http://127.0.0.1:2");

    let partner = Partner::builder("i", "s", REDIRECT_URI);
    assert_eq!(urls(&partner), ["https://api.spacebring.com", "https://api.spacebring.com/oauth2/token"]);
    let login = partner.build().unwrap().start_login_for("a").unwrap();
    let start = "https://api.spacebring.com/oauth2/authorize?client_id=i&redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fcallback&";
    assert!(login.url().starts_with(start), "{}", login.url());
    drop(login);
    let moved = Partner::builder("i", "s", "https://app.example/").api_url("http://127.0.0.1:1");
    assert_eq!(urls(&moved), ["http://127.0.0.1:1", "http://127.0.0.1:1/oauth2/token"]);
    let login = moved.build().unwrap().start_login_for("a").unwrap();
    assert!(login.url().starts_with("http://127.0.0.1:1/oauth2/authorize?"), "{}", login.url());
}

#[test]
fn every_setting_of_a_built_in_service_is_checked() {
    for definition in services().iter().flat_map(|service| [Some(*service), service.basic]).flatten() {
        for setting in definition.settings {
            // No setting may hold a control character.
            let builder = definition.settings.iter().fold(definition.builder("i", KEY), |builder, other| {
                let value = if other.key() == setting.key() { Some("b\u{1}d") } else { None };
                match value.or_else(|| other.is_required().then_some("good")) {
                    Some(value) => builder.set(other.key(), value),
                    None => builder,
                }
            });
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{} {}", definition.name, setting.key());
        }
    }
    assert_eq!(PARTNER.variable("network_id"), "SPACEBRING_NETWORK_ID");
}

#[test]
fn required_setting_without_a_value_is_an_error_that_names_its_variable() {
    let error = ACME.builder("i", "s").build().unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.kind()),
        ("ACME_API_KEY is not set: set it to what Acme shows", ErrorKind::NoCredentials)
    );
    let none = |_: &Setting| Ok::<_, Error>(None);
    let configured = ACME.configure(ACME.builder("i", "s"), none).unwrap();
    assert_eq!(configured.clone().build().unwrap_err().kind(), ErrorKind::NoCredentials);
    assert!(configured.set("api_key", "k").build().is_ok());
    // The environment of a test has no credentials of Acme.
    let error = ACME.from_env().unwrap_err();
    assert_eq!(error.to_string(), "ACME_CLIENT_ID is not set: set it to what Acme shows");
}

static FIXED: Definition = Definition::new("fixed", "https://fixed.example", |builder, id, secret| {
    builder.basic(id, secret).header("x-version", "1")
});

#[test]
fn definition_knows_the_headers_of_its_requests_and_the_settings_that_they_come_from() {
    let headers = |definition: &'static Definition| {
        let headers = definition.headers().into_iter();
        headers.map(|(name, setting)| (name, setting.map(Setting::key))).collect::<Vec<_>>()
    };
    let network = ("spacebring-network-id".to_owned(), Some("network_id"));
    assert_eq!(headers(&PARTNER), std::slice::from_ref(&network));
    assert_eq!(headers(&CUSTOMER), [network]);
    assert_eq!(headers(&ACME), [("x-api-key".to_owned(), Some("api_key"))]);
    assert_eq!(headers(&FIXED), [("x-version".to_owned(), None)]);
}

#[test]
fn network_of_spacebring_is_a_uuid() {
    assert!(Customer::builder("i", "s").set("network_id", NETWORK).build().is_ok());
    let long = NETWORK.repeat(300);
    for bad in [
        "",
        "network",
        "6f1b7c1e3a524c8e9d0b2b7f5a4e8c10",
        "{6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10}",
        "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c1g",
        "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c1",
        "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10-",
        " 6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c1",
        "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c\r\n",
        "6f1b7c1é-3a52-4c8e-9d0b-2b7f5a4e8c10",
        &long,
    ] {
        for builder in [Customer::builder("i", "s"), Partner::builder("i", "s", REDIRECT_URI)] {
            refused(
                builder.set("network_id", bad).build(),
                "the network id is no UUID: it has 32 hexadecimal digits in groups of 8-4-4-4-12, as in \
                 6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10",
            );
        }
    }
}
