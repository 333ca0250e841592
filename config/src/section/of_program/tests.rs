use keyfob::Transport;

use super::*;
use crate::catalog::Catalog;
use crate::problem::Problem;
use crate::secrets::{Host, Secrets};
use crate::service::{Credentials, Way};

struct Program;

impl Host for Program {
    fn warn(&self, text: &str) {
        panic!("{text}");
    }
}

fn options(values: &[(&str, &str)]) -> Options {
    let mut options = Options::default();
    for (key, value) in values {
        assert!(Options::kind(key).is_some(), "{key}");
        options.set_text(key, value);
    }
    options
}

/// Makes a service from options alone.
fn make(service: &str, options: &Options) -> Result<(), Problem> {
    let catalog = Catalog::WITHOUT_ENVIRONMENT.with_options(service, options)?;
    let known = catalog.service(service).expect("it has options");
    let secrets = Secrets::new(&catalog, &Program);
    let builder = known.builder(Way::Requests, Credentials::Read(&secrets), Transport::new())?;
    known.build(builder).map(drop)
}

/// Options that are enough for a service with this grant.
fn enough(grant: &'static str) -> Vec<(&'static str, &'static str)> {
    let url = "http://127.0.0.1";
    vec![
        ("grant", grant),
        ("token_url", url),
        ("api_url", url),
        ("client_id", "my-client"),
        ("client_secret", "hunter2"),
    ]
}

/// The text of the error with other options beside those that are enough. An empty value takes one of these away.
#[track_caller]
fn refused(grant: &'static str, more: &[(&'static str, &'static str)]) -> String {
    let error = make("acme", &options(&[&enough(grant)[..], more].concat()))
        .expect_err(&format!("a mistake in {more:?}"));
    let text = error.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    text
}

#[test]
fn keys_of_options_are_those_of_the_file_and_have_their_types() {
    for key in KEYS {
        let kind = Options::kind(key.name).expect("an option");
        let is_table = kind == Kind::Table;
        assert!(Options::keys().contains(&key.name), "{}", key.name);
        assert_eq!(Options::kind(&format!("{}.x", key.name)), is_table.then_some(kind), "{}", key.name);
    }
    for (key, kind) in [
        ("client_secret", Some(Kind::Text)),
        ("auth", Some(Kind::Text)),
        ("network_id", Some(Kind::Text)),
        ("api_url", Some(Kind::List)),
        ("without", Some(Kind::List)),
        ("rate", Some(Kind::Number)),
        ("headers", Some(Kind::Table)),
        ("headers.x-api-key", Some(Kind::Table)),
        ("client_secret.x", None),
        ("Headers.x", None),
        ("", None),
        (".x", None),
    ] {
        assert_eq!(Options::kind(key), kind, "{key}");
    }
}

#[test]
fn list_grows_with_each_call_and_an_empty_text_restores_the_default() {
    let mut set = options(&[("api_url", "a"), ("api_url", "b"), ("api_url", "a")]);
    let urls = |options: &Options| {
        Section::of_options("acme", options).expect("no mistake").list("api_url").to_vec()
    };
    assert_eq!(urls(&set), ["a", "b"]);
    set.set_text("api_url", "");
    assert_eq!(urls(&set), [""; 0]);
    set.set_text("api_url", "c");
    assert_eq!(urls(&set), ["c"]);
    set.set_text("scope", "a");
    set.set_text("scope", "b");
    assert_eq!(set.text("scope"), Some("b"));
    set.set_number("rate", Some(5));
    set.set_number("rate", Some(7));
    let rate = |options: &Options| Section::of_options("acme", options).expect("no mistake").number("rate");
    assert_eq!(rate(&set), Some(7));
    set.set_number("rate", None);
    assert_eq!(rate(&set), None);
}

#[cfg(feature = "file")]
mod over_a_file {
    use super::super::super::sections;
    use super::*;

    fn merged(file: &str, values: &[(&str, &str)]) -> Section {
        let mut sections = sections(&format!("[service.acme]\n{file}\n")).expect("no mistake");
        let file = sections.remove(0);
        Section::of_options("acme", &options(values)).expect("no mistake").over(file)
    }

    #[test]
    fn option_has_precedence_over_the_file() {
        let file =
            "issuer = 'file'\nscope = 'file'\nrate = 5\napi_url = ['file', 'other']\nwithout = ['pkce']";
        let section = merged(file, &[("scope", "option"), ("api_url", "option"), ("without", "state")]);
        assert_eq!(section.text("scope"), Some(("option", OPTION)));
        assert_eq!(
            (section.list("api_url"), section.list("without")),
            (&["option".to_owned()][..], &["state".to_owned()][..])
        );
        assert_eq!(
            (section.text("issuer"), section.number("rate"), section.line),
            (Some(("file", 2)), Some(5), 1)
        );
        assert_eq!(section.options().collect::<Vec<_>>(), ["scope", "api_url", "without"]);
        assert_eq!(section.keys().count(), 5, "each key once");
    }

    #[test]
    fn tables_are_merged_entry_by_entry() {
        let file = "headers = { x-a = 'file', x-b = 'file' }\nheader_files = { x-c = 'file', x-d = 'file' }\n\
                    parameters = { audience = 'file' }";
        let section = merged(
            file,
            &[("headers.X-B", "option"), ("headers.x-d", "option"), ("header_files.x-a", "option")],
        );
        let items = |key: &str| -> Vec<_> {
            section
                .table(key)
                .iter()
                .map(|item| (item.name.clone(), item.text().to_owned(), item.line))
                .collect()
        };
        let item = |name: &str, text: &str, line| (name.to_owned(), text.to_owned(), line);
        assert_eq!(items("headers"), [item("X-B", "option", OPTION), item("x-d", "option", OPTION)]);
        assert_eq!(items("header_files"), [item("x-a", "option", OPTION), item("x-c", "file", 3)]);
        assert_eq!(items("parameters"), [item("audience", "file", 4)]);
    }

    #[test]
    fn secret_of_an_option_replaces_the_one_of_the_file() {
        for file in ["client_secret_file = 'file'", "client_secret_cmd = 'file'"] {
            for key in ["client_secret", "client_secret_file", "client_secret_cmd"] {
                let section = merged(file, &[(key, "option")]);
                let places = SECRETS.map(|place| section.text(place).map(|(text, _)| text.to_owned()));
                let expected = SECRETS.map(|place| (place == key).then(|| "option".to_owned()));
                assert_eq!(places, expected, "{file} and {key}");
                assert_eq!(section.secret("client_secret").is_some(), key == "client_secret");
            }
        }
    }
}

#[test]
fn complete_options_are_enough() {
    make("acme", &options(&enough("client_credentials"))).expect("no mistake");
    let device = [("device_authorization_url", "http://127.0.0.1")];
    make("acme", &options(&[&enough("device_code")[..], &device].concat())).expect("no mistake");
    let browser = [
        ("authorize_url", "http://127.0.0.1"),
        ("without", "state"),
        ("redirect_uri", "http://127.0.0.1:0/"),
    ];
    make("acme", &options(&[&enough("authorization_code")[..], &browser].concat())).expect("no mistake");
    make("acme", &options(&enough("urn:example:grant"))).expect("no mistake");
    make("acme", &options(&[&enough("basic")[..], &[("token_url", "")]].concat())).expect("no mistake");
}

const ONE: &str = "client_credentials";
const BROWSER: &str = "authorization_code";
const DEVICE: &str = "device_code";

/// A grant, options beside those that are enough for it, and what is wrong with them.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const MISTAKES: &[Row] = &[
    (
        ONE,
        &[("grant", "")],
        "the option grant is missing; write one of client_credentials, authorization_code, device_code, basic, or the URI of an extension grant",
    ),
    (
        ONE,
        &[("grant", "client-credentials")],
        "the option grant is none of client_credentials, authorization_code, device_code, basic; the nearest one is \"client_credentials\"",
    ),
    (
        ONE,
        &[("grant", "urn:ietf:params:oauth:grant-type:device_code")],
        "the option grant is the URI of a device login; write grant = \"device_code\"",
    ),
    (
        ONE,
        &[("client_auth", "secret_basic")],
        "the option client_auth is none of client_secret_basic, client_secret_post, client_secret_jwt, assertion, none; the nearest one is \"client_secret_basic\"",
    ),
    (
        ONE,
        &[("client_auth", "none"), ("client_secret", "")],
        "the option client_auth cannot be used with grant = \"client_credentials\" (RFC 6749 4.4); write another one, or name a TLS client certificate with client_cert_file and client_key_file",
    ),
    (
        ONE,
        &[("client_auth", "assertion"), ("client_secret", "")],
        "the option assertion_file is missing, and client_auth is assertion; name the file with the JWT",
    ),
    (
        ONE,
        &[("client_auth", "assertion"), ("assertion_file", "x")],
        "the option client_secret has no effect with client_auth = \"assertion\"; leave it out (the nearest one with an effect is client_id)",
    ),
    (
        ONE,
        &[
            ("client_secret", ""),
            ("client_auth", "assertion"),
            ("assertion_file", "x"),
            ("client_secret_cmd", "x"),
        ],
        "the option client_secret_cmd has no effect with client_auth = \"assertion\"; leave it out (the nearest one with an effect is client_cert_file)",
    ),
    (
        ONE,
        &[("assertion_file", "x")],
        "the option assertion_file has no effect with client_auth = \"client_secret_basic\"; leave it out (the nearest one with an effect is client_key_file)",
    ),
    (
        ONE,
        &[("redirect_uri", "http://127.0.0.1:0/")],
        "the option redirect_uri has no effect with grant = \"client_credentials\"; leave it out (the nearest one with an effect is token_url)",
    ),
    (
        ONE,
        &[("without", "pkce")],
        "the option without has no effect with grant = \"client_credentials\"; leave it out (the nearest one with an effect is issuer)",
    ),
    (
        BROWSER,
        &[("without", "pcke")],
        "the option without is none of state, pkce, redirect_uri_in_exchange; the nearest one is \"pkce\"",
    ),
    (ONE, &[("api_url", "")], "the option api_url is missing; set it"),
    (ONE, &[("client_id", "")], "the option client_id is missing; set it"),
    (
        ONE,
        &[("token_url", "")],
        "the option issuer is missing; set it; or name the URLs one by one, beginning with token_url",
    ),
    (BROWSER, &[], "the option authorize_url is missing; set it; or name the issuer, which knows its URLs"),
    (
        DEVICE,
        &[],
        "the option device_authorization_url is missing; set it; or name the issuer, which knows its URLs",
    ),
    (
        DEVICE,
        &[("client_secret", ""), ("token_url", ""), ("issuer", "https://login.example")],
        "the option client_secret is not set, nor client_secret_file or client_secret_cmd: set one; or set client_auth to none if the client has no secret",
    ),
    (
        ONE,
        &[("grant", "device")],
        "the option grant is none of client_credentials, authorization_code, device_code, basic; the nearest one is \"device_code\"",
    ),
    (
        ONE,
        &[("client_auth", "basic")],
        "the option client_auth is none of client_secret_basic, client_secret_post, client_secret_jwt, assertion, none; the nearest one is \"client_secret_basic\"",
    ),
    (
        ONE,
        &[("client_secret", "")],
        "the option client_secret is not set, nor client_secret_file or client_secret_cmd: set one",
    ),
    (
        ONE,
        &[("client_secret_file", "x")],
        "the option client_secret_file is a second source of the client secret, beside the option client_secret; remove one of them",
    ),
    (
        ONE,
        &[("client_secret", ""), ("client_secret_file", "x"), ("client_secret_cmd", "x")],
        "the option client_secret_cmd is a second source of the client secret, beside the option client_secret_file; remove one of them",
    ),
    (
        ONE,
        &[("client_secret", ""), ("client_secret_cmd", "x")],
        "the option client_secret_cmd names a command, and this program runs none: name a file",
    ),
    (
        ONE,
        &[("headers.x-a", "1"), ("headers.X-A", "2")],
        "the option headers.X-A is set twice; once in other letters",
    ),
    (
        ONE,
        &[("headers.x-a", "1"), ("header_files.X-A", "2")],
        "the option header_files.X-A has a value already; remove one of the two",
    ),
    (ONE, &[("headers.", "1")], "the option headers. has no name; write one"),
    (
        ONE,
        &[("client_cert_file", "x")],
        "the option client_cert_file has no effect without client_key_file; write both",
    ),
    (
        ONE,
        &[("auth", "basic")],
        "the option auth has no effect with this client of acme; leave it out (the nearest one with an effect is client_auth)",
    ),
    (
        ONE,
        &[("auth_url", "http://127.0.0.1")],
        "the option auth_url has no effect with this client of acme; leave it out (the nearest one with an effect is api_url)",
    ),
    (
        ONE,
        &[("network_id", "x")],
        "the option network_id has no effect with this client of acme; leave it out (the nearest one with an effect is client_id)",
    ),
];

#[test]
fn each_mistake_has_a_text_that_names_the_option() {
    for (grant, more, expected) in MISTAKES {
        assert_eq!(refused(grant, more), *expected);
    }
}

/// The library says what is wrong, and the option is named before.
#[test]
fn value_that_the_library_refuses_names_its_option() {
    for (grant, key, value, more) in [
        (ONE, "api_url", "http://example.com", &[][..]),
        (ONE, "token_url", "ftp://example.com", &[]),
        (ONE, "issuer", "http://127.0.0.1/?a=b", &[]),
        (ONE, "revocation_url", "no url", &[]),
        (ONE, "introspection_url", "https://", &[]),
        (BROWSER, "authorize_url", "http://example.com", &[]),
        (BROWSER, "redirect_uri", "nowhere", &[("authorize_url", "http://127.0.0.1")]),
        (DEVICE, "device_authorization_url", "http://example.com", &[]),
        (ONE, "scope", "a\nb", &[]),
        (ONE, "client_id", "a\nb", &[]),
        (ONE, "headers.Authorization", "hunter2", &[]),
        (ONE, "headers.Proxy-Authorization", "hunter2", &[]),
        (ONE, "headers.x-a", "hunter2\n", &[]),
        (ONE, "headers.x a", "hunter2", &[]),
        (ONE, "header_files.Host", "x", &[]),
        (ONE, "parameters.grant_type", "hunter2", &[]),
    ] {
        let text = refused(grant, &[more, &[(key, value)]].concat());
        assert!(text.starts_with(&format!("the option {key}: ")), "{text}");
        assert!(!text.contains("call `"), "{text}");
    }
}

#[test]
fn name_that_no_service_can_have_is_refused() {
    for name in ["", "Acme", "a_b", "token", "keyfob", "a\nb"] {
        let text = make(name, &options(&enough("client_credentials"))).expect_err("a bad name").to_string();
        assert!(text.starts_with(&format!("`{}` ", keyfob::one_line(name))), "{text}");
    }
}
