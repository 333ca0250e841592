//! Input from outside: refused before a connection is opened, or used unchanged.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "what could hang is given a time")]

#[path = "support/folder.rs"]
mod folder;
mod support;

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use keyfob::flow::{AuthorizationCode, ClientCredentials, Revoke};
use keyfob::spacebring::{Customer, Partner};
use keyfob::spatiafi::{BasicToken, CreateClient};
use keyfob::{
    AgentBuilder, AppCredentials, Auth, Basic, CachingSource, ClientAuth, CredentialsFile, Error, ErrorKind,
    Secret, SpatiaFi, Token, TokenSource as _, Transport, spatiafi,
};
use support::*;

use folder::Folder;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const TOKEN: &str = r#"{"access_token":"abc","token_type":"bearer"}"#;
const CREDENTIALS: &str =
    "\r\n{ \"client_secret\":\"s\\u0065cret\" ,\"more\":[1],\"client_id\":\"\u{fc}\" }\n";
const MIB: usize = 1 << 20;

/// Characters that change how a line looks on a terminal: each as itself, in JSON, and as errors name it.
const UNFIT: [(char, &str, &str); 9] = [
    ('\u{80}', r"\u0080", "a control character (U+0080)"),
    ('\u{9b}', r"\u009b", "a control character (U+009B)"),
    ('\u{2028}', r"\u2028", "a line separator (U+2028)"),
    ('\u{2029}', r"\u2029", "a line separator (U+2029)"),
    ('\u{61c}', r"\u061c", "a character that changes the direction of text (U+061C)"),
    ('\u{200e}', r"\u200e", "a character that changes the direction of text (U+200E)"),
    ('\u{202a}', r"\u202a", "a character that changes the direction of text (U+202A)"),
    ('\u{202e}', r"\u202e", "a character that changes the direction of text (U+202E)"),
    ('\u{2069}', r"\u2069", "a character that changes the direction of text (U+2069)"),
];

#[track_caller]
fn refused<T: Debug>(result: Result<T, Error>, text: &str) {
    fails(result, ErrorKind::InvalidInput, text, text);
}

#[track_caller]
fn fails_to_store<T: Debug>(result: Result<T, Error>, text: &str) {
    fails(result, ErrorKind::Store, text, text);
}

fn app() -> AppCredentials {
    AppCredentials::new("id", KEY).unwrap()
}

fn builder() -> AgentBuilder {
    AgentBuilder::new(Transport::new(), Auth::Basic(Basic::new("ada", "pass").unwrap()))
}

fn with_header(name: &str, value: &str) -> Result<ureq::Agent, Error> {
    builder().origin("http://127.0.0.1").header(name, value).build()
}

/// Nothing listens here. A flow with valid values fails to connect or times out.
const CLOSED: &str = "http://127.0.0.1:1";

/// Runs the flow at a closed port: only its refusal of a value is an error.
fn checked(flow: &ClientCredentials) -> Result<(), Error> {
    match flow.run(&Transport::new().with_timeout(Duration::ZERO)) {
        Err(error) if matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout) => Ok(()),
        result => result.map(drop),
    }
}

type Setter = dyn Fn(&str) -> Result<(), Error>;

/// A value that a caller passes in.
struct Field {
    /// The name that errors use.
    name: &'static str,
    /// Makes a valid value from this one.
    good: (String, &'static str),
    set: Box<Setter>,
    /// Why ü is refused, if it is.
    ascii: Option<&'static str>,
}

impl Field {
    fn is_password(&self) -> bool {
        self.name == "password"
    }
}

fn fields(origin: &str) -> Vec<Field> {
    const HEADER: &str = "the header name holds characters that no header can carry";
    fn field<T>(
        name: &'static str,
        good: (&str, &'static str),
        ascii: Option<&'static str>,
        set: impl Fn(&str) -> Result<T, Error> + 'static,
    ) -> Field {
        let set = Box::new(move |value: &str| set(value).map(drop));
        Field { name, good: (good.0.to_owned(), good.1), set, ascii }
    }
    let base = format!("{origin}/");
    let url = (base.as_str(), "path");
    let text = ("a", "b");
    let (one, two) = (origin.to_owned(), origin.to_owned());
    let of = |auth: ClientAuth| checked(&ClientCredentials::new(CLOSED, auth));
    vec![
        field("token URL", url, None, |url| BasicToken::new(url, "ada", "pass")),
        field("user name", text, None, move |name| BasicToken::new(&one, name, "pass")),
        field("password", text, None, move |password| BasicToken::new(&two, "ada", password)),
        field("URL of the app credentials", url, None, CreateClient::new),
        field("token URL", ("http://127.0.0.1:1/", "path"), None, |url| {
            checked(&ClientCredentials::new(url, ClientAuth::secret_jwt("id", KEY)))
        }),
        field("client id", text, None, move |name| of(ClientAuth::secret_jwt(name, KEY))),
        field("client secret", (KEY, "b"), None, move |word| of(ClientAuth::secret_jwt("id", word))),
        field("client id", text, None, move |name| of(ClientAuth::secret_post(name, KEY))),
        field("client secret", text, None, move |word| of(ClientAuth::secret_post("id", word))),
        field("audience", text, None, move |to| of(ClientAuth::secret_jwt("id", KEY).with_audience(to))),
        field(
            "scope",
            text,
            Some("the scope holds a character that RFC 6749 3.3 does not allow"),
            move |list| {
                checked(&ClientCredentials::new(CLOSED, ClientAuth::secret_post("id", KEY)).with_scope(list))
            },
        ),
        field("user name", text, None, |name| Basic::new(name, "pass")),
        field("password", text, None, |password| Basic::new("ada", password)),
        field("client id", text, None, move |name| of(ClientAuth::secret_basic(name, KEY))),
        field("client secret", text, None, move |word| of(ClientAuth::secret_basic("id", word))),
        field("client id", text, None, |id| AppCredentials::new(id, KEY)),
        field("client secret", text, None, |secret| AppCredentials::new("id", secret)),
        field(
            "access token",
            text,
            Some("the access token holds characters that no header can carry (RFC 6750 2.1)"),
            |token| Token::new(token, SystemTime::UNIX_EPOCH),
        ),
        field("URL of the API", url, None, |url| builder().origin(url).build()),
        field("header name", text, Some(HEADER), |name| with_header(name, "value")),
        field("value of the header `name`", text, None, |value| with_header("name", value)),
        field("user agent", text, Some("the user agent holds characters that no header can carry"), |name| {
            Transport::new().with_user_agent(name).check()
        }),
        field(
            "proxy URL",
            ("http://127", ".0.0.1:1"),
            Some("the proxy URL is not of the form http://host:port"),
            |url| Transport::new().with_proxy(url).check(),
        ),
        field("token URL", url, None, |url| SpatiaFi::builder(&app()).token_url(url).build()),
        field("API URL", url, None, |url| SpatiaFi::builder(&app()).api_url(url).build()),
    ]
}

#[test]
fn forbidden_characters_in_any_field_are_refused_before_connecting() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    for field in fields(&server.origin()) {
        let (name, (start, end)) = (field.name, &field.good);
        let with = |piece: &str| (field.set)(&format!("{start}{piece}{end}"));
        with("").unwrap_or_else(|error| panic!("{name}: {error}"));
        refused((field.set)(""), &format!("the {name} is empty"));
        let is_long = "1048576 bytes long; at most 16384 are accepted: is it the right value?";
        refused(with(&"a".repeat(MIB - start.len() - end.len())), &format!("the {name} is {is_long}"));
        for control in (0..0x20).chain([0x7f]).map(char::from) {
            let result = with(&control.to_string());
            if field.is_password() && !matches!(control, '\0' | '\r' | '\n') {
                result.unwrap_or_else(|error| panic!("{control:?}: {error}"));
                continue;
            }
            let at = start.len();
            refused(result, &format!("the {name} holds a control character at byte {at}: remove it"));
        }
        for (unfit, _, what) in UNFIT {
            let result = with(&format!("{unfit}x"));
            if field.is_password() {
                result.unwrap_or_else(|error| panic!("{unfit:?}: {error}"));
                continue;
            }
            refused(result, &format!("the {name} holds {what} at byte {}: remove it", start.len()));
        }
        for line_end in ["\n", "\r\n"] {
            let (whole, at) = (format!("{start}{end}{line_end}"), start.len() + end.len());
            let hint = "a trailing newline, perhaps, from reading a file?";
            refused(
                (field.set)(&whole),
                &format!("the {name} holds a control character at byte {at}: {hint}"),
            );
        }
        match field.ascii {
            None => with("ü").unwrap_or_else(|error| panic!("{name}: {error}")),
            Some(why) => refused(with("ü"), why),
        }
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn url_must_be_https_or_loopback_without_user_info_or_fragment() {
    let port = Server::answering(|_| answer(200, "", "")).port();
    let http = "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https";
    let user = "holds a user name or password: give credentials separately";
    for (url, why) in [
        (format!("http://192.0.2.1:{port}/"), http),
        (format!("http://0.0.0.0:{port}/"), http),
        (format!("http://localhost.example.com:{port}/"), http),
        (format!("http://127.0.0.1.example.com:{port}/"), http),
        (format!("http://ada:pass@127.0.0.1:{port}/"), user),
        (format!("http://@127.0.0.1:{port}/"), user),
        (format!("http://127.0.0.1:{port}/#a"), "has a fragment ('#'): remove it (RFC 6749 3.2)"),
        ("http://127.0.0.1:65536/".to_owned(), "has a port that is no number up to 65535"),
        (format!("ftp://127.0.0.1:{port}/"), "is neither https nor http"),
        (format!("127.0.0.1:{port}"), "is not absolute: it needs https:// and a host"),
        ("/path".to_owned(), "is not absolute: it needs https:// and a host"),
        ("http://127.0.0.1:1/a b".to_owned(), "is not a URL"),
        ("http://ü.example.com/".to_owned(), "is not a URL"),
        (format!("http://127.0.0.1:{port}\\@example.com/"), "is not a URL"),
    ] {
        refused(BasicToken::new(&url, "ada", "pass"), &format!("the token URL {why}"));
        refused(CreateClient::new(&url), &format!("the URL of the app credentials {why}"));
        refused(
            checked(&ClientCredentials::new(&url, ClientAuth::secret_jwt("id", KEY))),
            &format!("the token URL {why}"),
        );
        refused(builder().origin(&url).build(), &format!("the URL of the API {why}"));
        refused(SpatiaFi::builder(&app()).token_url(&url).build(), &format!("the token URL {why}"));
        refused(SpatiaFi::builder(&app()).api_url(&url).build(), &format!("the API URL {why}"));
    }
}

#[test]
fn error_about_a_base_url_calls_it_a_base_url() {
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("file"));
    let long = format!("https://{}", "a".repeat(MIB - 8));
    for (url, why) in [
        ("", "is empty"),
        ("auth.example.com", "is not absolute: it needs https:// and a host"),
        (
            "https://auth.example.com\n",
            "holds a control character at byte 24: a trailing newline, perhaps, from reading a file?",
        ),
        (&long, "is 1048576 bytes long; at most 16384 are accepted: is it the right value?"),
    ] {
        let text = format!("the URL of the authorization server {why}");
        refused(SpatiaFi::builder(&app()).set("auth_url", url).build(), &text);
        refused(spatiafi::Registration::new("ada", "pass").with_auth_url(url).run(&file, false), &text);
    }
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn proxy_must_be_an_http_url_with_a_valid_port() {
    for url in [
        "socks5://127.0.0.1:1",
        "ftp://127.0.0.1:1",
        "http://",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:x",
    ] {
        refused(
            Transport::new().with_proxy(url).check(),
            "the proxy URL is not of the form http://host:port",
        );
    }
}

#[test]
fn short_key_is_refused_unless_allowed() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let auth = ClientAuth::secret_jwt("id", &KEY[1..]);
    let run = |auth| ClientCredentials::new(server.origin(), auth).run(&Transport::new());
    let text = "the client secret has 31 bytes; HS256 needs at least 32 (RFC 7518 3.2); check that it is complete, or \
                use `allow_short_key` if the service issues such";
    refused(run(auth.clone()), text);
    assert_eq!(server.connections(), 0);
    run(auth.allow_short_key()).unwrap();
}

#[test]
fn registration_is_checked_before_its_file_and_its_server_are_touched() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("new/file"));
    let login =
        |name, password: &str| spatiafi::Registration::new(name, password).with_auth_url(&server.origin());
    refused(login("", "pass").run(&file, false), "the user name is empty");
    refused(
        login("a:b", "pass").run(&file, false),
        "the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2): use another one",
    );
    refused(
        login("ada", "a\0b").run(&file, false),
        "the password holds a control character at byte 1: remove it",
    );
    assert_eq!((folder.names(), server.connections()), (vec![], 0));
}

#[test]
fn agent_without_an_origin_is_refused() {
    refused(builder().build().map(drop), "the agent has no origin to sign requests for: name one");
}

#[test]
fn extreme_numbers_are_accepted_in_every_setting() {
    const MAX: Duration = Duration::MAX;
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let origin = server.origin();
    let timeout = ErrorKind::Timeout;
    let run = |http: Transport| {
        BasicToken::new(&origin, "ada", "pass").unwrap().run(&http).map(drop).map_err(|e| e.kind())
    };
    assert_eq!(run(Transport::new().with_timeout(MAX)), Ok(()));
    assert_eq!(run(Transport::new().with_timeout(MAX).with_connect_timeout(MAX)), Ok(()));
    assert_eq!(run(Transport::new().with_timeout(Duration::ZERO)), Err(timeout));
    assert_eq!(run(Transport::new().with_buffer_sizes(0, 0)), Ok(()));
    assert_eq!(run(Transport::new().with_buffer_sizes(usize::MAX, usize::MAX)), Ok(()));
    for lifetime in [Duration::from_secs(10), Duration::from_secs(24 * 60 * 60)] {
        ClientCredentials::new(&origin, ClientAuth::secret_jwt("id", KEY).with_lifetime(lifetime))
            .run(&Transport::new())
            .unwrap();
    }
    for (deadline, connect, expected) in [(MAX, MAX, Ok(())), (Duration::ZERO, MAX, Err(timeout))] {
        let http = Transport::new().with_connect_timeout(connect);
        let source = CachingSource::new(
            http.clone().with_timeout(MAX),
            BasicToken::new(&origin, "ada", "pass").unwrap(),
        );
        let agent = AgentBuilder::new(http, Auth::Bearer(Arc::new(source))).origin(&origin);
        let result = agent.deadline(deadline).max_idle_connections(0).build().unwrap().get(&origin).call();
        assert_eq!(result.map(drop).map_err(|error| Error::from(error).kind()), expected);
    }
    let source = CachingSource::new(
        Transport::new().with_timeout(MAX),
        BasicToken::new(&origin, "ada", "pass").unwrap(),
    );
    source.token(MAX).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Runs code that may block on a pipe. After a time it releases the code and fails.
fn without_hanging<T: Send + 'static>(pipe: &Path, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || done.send(call()).unwrap());
    let in_time = result.recv_timeout(Duration::from_secs(2));
    if in_time.is_err() {
        drop(fs::OpenOptions::new().write(true).open(pipe));
    }
    thread.join().unwrap();
    in_time.expect("an answer at once")
}

#[test]
#[cfg(feature = "_tls")]
fn ca_file_is_read_only_if_it_holds_certificates() {
    let folder = Folder::new();
    let empty = "holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for (content, why) in [
        (&b""[..], "is empty: it should hold '-----BEGIN CERTIFICATE-----'"),
        (b"\xff\xfe\0", "is UTF-16: save it as ASCII or UTF-8"),
        (key.as_bytes(), empty),
        (
            broken.as_bytes(),
            "is broken: its certificate 1 (line 1) is not base64; get the file again from its source",
        ),
    ] {
        let path = folder.write("ca.pem", content);
        refused(
            Transport::new().with_ca_file(&path).check(),
            &format!("the CA file {} {why}", path.display()),
        );
    }
    let missing = folder.join("missing");
    let text = format!("could not read the CA file {}: there is no such file or folder", missing.display());
    refused(Transport::new().with_ca_file(&missing).check(), &text);
    let text = format!("could not read the CA file {}: it is not a file", folder.0.display());
    refused(Transport::new().with_ca_file(&folder.0).check(), &text);
}

#[test]
#[cfg(feature = "_tls")]
fn oversized_ca_file_is_not_read() {
    let folder = Folder::new();
    let path = folder.join("huge");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let before = memory("VmHWM");
    let text = format!("could not read the CA file {}: file too large", path.display());
    refused(Transport::new().with_ca_file(&path).check(), &text);
    // The kernel counts roughly, so the peak may seem to fall.
    assert!(memory("VmHWM").saturating_sub(before) < 32 << 10);
}

#[test]
fn credentials_file_content_is_accepted_or_refused_with_a_reason() {
    let folder = Folder::new();
    let file = |content: &[u8]| CredentialsFile::new(folder.write("file", content));
    let loaded = file(CREDENTIALS.as_bytes()).load().unwrap().unwrap();
    assert_eq!((loaded.client_id(), loaded.client_secret().expose_str()), ("ü", Some("secret")));
    let padded = format!("{CREDENTIALS}{}", " ".repeat(MIB - CREDENTIALS.len()));
    assert!(file(padded.as_bytes()).load().unwrap().is_some(), "1 MiB is not too large");
    let marked = format!("\u{feff}{CREDENTIALS}\r\n");
    assert_eq!(file(marked.as_bytes()).load().unwrap().unwrap().client_id(), "ü");
    for marked in [
        format!("\u{feff}\u{feff}{CREDENTIALS}"),
        format!("\u{feff}\r\n\t {CREDENTIALS}"),
        format!("\u{feff}{}", CREDENTIALS.replace('{', "{\n")),
    ] {
        assert_eq!(file(marked.as_bytes()).load().unwrap().unwrap().client_id(), "ü", "{marked}");
    }
    let unusable = |why: &str| {
        format!(
            "the app credentials in {} cannot be used: {why}; restore it, or move it away and log in again",
            folder.join("file").display()
        )
    };
    let nothing = unusable("the file is not JSON with a client_id and a client_secret");
    for content in [
        "",
        "client_id=id",
        "null",
        "{}",
        r#"["id","secret"]"#,
        r#"{"client_id":"id"}"#,
        r#"{"client_id":"id","client_secret":5}"#,
        r#"{"client_id":"id","client_secret":"secret","client_secret":5}"#,
        r#"{"client_id":"id","client_secret":"secret""#,
        r#"{"client_id":"id","client_secret":"secret"} and more"#,
        &format!(r#"{{"client_id":"id","client_secret":"secret","more":{}}}"#, "[".repeat(100_000)),
    ] {
        fails_to_store(file(content.as_bytes()).load(), &nothing);
    }
    fails_to_store(file(b"{\"client_id\":\"\xff\"").load(), &nothing);
    let utf_16 = |to: fn(u16) -> [u8; 2], mark: &str| {
        (mark.to_owned() + CREDENTIALS.trim()).encode_utf16().flat_map(to).collect::<Vec<_>>()
    };
    for (content, name) in [
        (utf_16(u16::to_le_bytes, "\u{feff}"), "UTF-16"),
        (utf_16(u16::to_be_bytes, "\u{feff}"), "UTF-16"),
        (utf_16(u16::to_le_bytes, ""), "UTF-16"),
        (utf_16(u16::to_be_bytes, ""), "UTF-16"),
        ("\u{feff}{}".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(), "UTF-32"),
        ("\u{feff}{}".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(), "UTF-32"),
        ("{}".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(), "UTF-32"),
    ] {
        fails_to_store(file(&content).load(), &unusable(&format!("the file is {name} and should be UTF-8")));
    }
    // A byte order mark that is not at the start of the file.
    for (field, content) in [
        ("client id", "{\"client_id\":\"\u{feff}a\",\"client_secret\":\"b\"}"),
        ("client secret", r#"{"client_id":"a","client_secret":"\ufeffb"}"#),
    ] {
        let why = unusable(&format!("the {field} holds a byte order mark (U+FEFF) at byte 0: remove it"));
        fails_to_store(file(content.as_bytes()).load(), &why);
    }
    let long = "a".repeat(16 * 1024 + 1);
    let is_long = "16385 bytes long; at most 16384 are accepted: is it the right value?";
    for (id, secret, why) in [
        ("", "secret", "the client id is empty".to_owned()),
        (long.as_str(), "secret", format!("the client id is {is_long}")),
        ("id", r"sec\nret", "the client secret holds a control character at byte 3: remove it".to_owned()),
    ] {
        let content = format!(r#"{{"client_id":"{id}","client_secret":"{secret}"}}"#);
        fails_to_store(file(content.as_bytes()).load(), &unusable(&why));
    }
    for (_, escape, name) in UNFIT {
        for field in ["client_id", "client_secret"] {
            let other = if field == "client_id" { "client_secret" } else { "client_id" };
            let content = format!(r#"{{"{other}":"x","{field}":"a{escape}b"}}"#);
            let why = format!("the {} holds {name} at byte 1: remove it", field.replace('_', " "));
            fails_to_store(file(content.as_bytes()).load(), &unusable(&why));
        }
    }
}

#[test]
fn path_that_is_no_credentials_file_is_not_read() {
    let folder = Folder::new();
    let huge = folder.write("huge", vec![b' '; MIB + 1]);
    let below_a_file = huge.join("file");
    for (path, why) in [
        (&huge, "file too large"),
        (&below_a_file, "not a directory"),
        (&folder.0, "it is not a file"),
        (&PathBuf::from("/dev/zero"), "it is not a file"),
    ] {
        let text = format!("could not read the app credentials in {}: {why}", path.display());
        fails_to_store(CredentialsFile::new(path).load(), &text);
    }
    assert!(CredentialsFile::new(folder.join("missing")).load().unwrap().is_none());
    let pipe = folder.pipe("pipe");
    let file = CredentialsFile::new(&pipe);
    let text = format!("could not read the app credentials in {}: it is not a file", pipe.display());
    fails_to_store(without_hanging(&pipe, move || file.load()), &text);
}

#[test]
fn pipe_in_place_of_a_file_does_not_block() {
    let folder = Folder::new();
    let pipe = folder.pipe("pipe");
    let file = CredentialsFile::new(&pipe);
    assert!(without_hanging(&pipe, move || file.load()).is_err());
    for overwrite in [false, true] {
        let file = CredentialsFile::new(&pipe);
        assert!(without_hanging(&pipe, move || file.prepare(overwrite)).is_err(), "{overwrite}");
    }
    let ca = pipe.clone();
    assert!(without_hanging(&pipe, move || Transport::new().with_ca_file(ca).check()).is_err());
    assert_eq!(folder.names(), ["pipe"]);
}

#[test]
fn credentials_symlink_is_read_and_never_written() {
    let folder = Folder::new();
    let target = folder.write("target", CREDENTIALS);
    let link = folder.join("link");
    symlink(&target, &link).unwrap();
    assert_eq!(CredentialsFile::new(&link).load().unwrap().unwrap().client_id(), "ü");

    fs::create_dir(folder.join("folder")).unwrap();
    symlink(folder.join("folder"), folder.join("to a folder")).unwrap();
    symlink(folder.join("nothing"), folder.join("to nothing")).unwrap();
    for name in ["link", "to nothing", "to a folder/file"] {
        let path = folder.join(name);
        let text = format!(
            "could not write {}, so nothing was asked of the server: the file or its folder is a symbolic link",
            path.display()
        );
        fails_to_store(CredentialsFile::new(path).prepare(true), &text);
    }
    assert_eq!(folder.names(), ["folder", "link", "target", "to a folder", "to nothing"]);
    assert_eq!(fs::read(target).unwrap(), CREDENTIALS.as_bytes());
    assert_eq!(fs::read_dir(folder.join("folder")).unwrap().count(), 0);
}

#[test]
fn unwritable_target_is_found_before_the_server_is_asked() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let folder = Folder::new();
    let file = folder.write("file", CREDENTIALS);
    fs::create_dir(folder.join("folder")).unwrap();
    let long = folder.join(&"a".repeat(256));
    let mut cases = vec![
        (file.join("below a file"), false, None),
        (folder.join("folder"), true, None),
        (PathBuf::from("/proc/keyfob/file"), false, Some("there is no such file or folder")),
        (PathBuf::new(), false, None),
        (folder.join(".."), true, None),
        (long, false, Some("invalid filename")),
    ];
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    if File::create(closed.join("try")).is_ok() {
        println!("skipped: whoever may do anything is stopped by no mode of a folder");
        fs::remove_dir_all(&closed).unwrap();
    } else {
        cases.push((closed.join("file"), false, Some("permission denied")));
    }
    let before = folder.names();
    for (path, overwrite, why) in cases {
        let login = spatiafi::Registration::new("ada", "pass").with_auth_url(&server.origin());
        let error = login.run(&CredentialsFile::new(&path), overwrite).expect_err("nothing to write to");
        let text = error.to_string();
        // An empty path shows as two quotes.
        let shown = if path == Path::new("") { "''".to_owned() } else { path.display().to_string() };
        let expected = format!("could not write {shown}, so nothing was asked of the server: ");
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(error.kind(), ErrorKind::Store, "{text}");
        if let Some(why) = why {
            assert_eq!(&text[expected.len()..], why);
        }
        assert_eq!((server.connections(), folder.names()), (0, before.clone()), "{text}");
    }
}

#[test]
fn prepared_file_can_be_saved_although_its_path_ends_in_a_slash() {
    let folder = Folder::new();
    let prepared = CredentialsFile::new(folder.join("file/")).prepare(false);
    if let Ok(prepared) = prepared {
        prepared.save(CREDENTIALS.as_bytes()).unwrap();
        assert_eq!(fs::read(folder.join("file")).unwrap(), CREDENTIALS.as_bytes());
    }
}

#[test]
fn path_is_shown_as_one_short_line() {
    let folder = Folder::new();
    let long = folder.join(&"a".repeat(MIB));
    let not_utf_8 = folder.0.join(OsStr::from_bytes(b"\xff\n"));
    for path in [folder.join("a\nb\x1b[31m\u{202e}"), long, folder.join("a\0b"), not_utf_8] {
        // A file in place of a folder, on systems that allow such a name.
        let _ = File::create(&path);
        let below = CredentialsFile::new(path.join("below"));
        let errors = [
            Transport::new().with_ca_file(path).check(),
            below.prepare(true).map(drop),
            below.load().map(drop),
        ];
        for error in errors {
            let text = error.unwrap_err().to_string();
            assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
            assert!(text.len() < 2000, "{} bytes", text.len());
        }
    }
}

#[test]
fn credentials_file_is_written_unchanged_and_for_its_owner_alone() {
    let folder = Folder::new();
    let path = folder.join("new/er/file");
    let prepared = CredentialsFile::new(&path).prepare(false).unwrap();
    for new in [folder.join("new"), folder.join("new/er")] {
        assert_eq!(mode(&new), 0o700);
    }
    let temporary = fs::read_dir(path.parent().unwrap()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&temporary), 0o600);
    prepared.save(CREDENTIALS.as_bytes()).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read(&path).unwrap(), CREDENTIALS.as_bytes());
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 1, "its temporary name is gone");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    assert_eq!(CredentialsFile::new(&path).warning(), None);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let text = format!("{} can be read by others than its owner: run chmod 600 on it", path.display());
    assert_eq!(CredentialsFile::new(&path).warning(), Some(text));
}

#[test]
fn answers_of_every_length_are_saved_completely() {
    let folder = Folder::new();
    for len in [CREDENTIALS.len(), 4095, 4096, 4097, MIB] {
        let path = folder.join(&len.to_string());
        let content = format!("{CREDENTIALS}{}", " ".repeat(len - CREDENTIALS.len()));
        CredentialsFile::new(&path).prepare(false).unwrap().save(content.as_bytes()).unwrap();
        assert!(fs::read(&path).unwrap() == content.as_bytes(), "{len}");
    }
}

/// Space was reserved, and yet the disk has no space when the content is written.
#[test]
fn partly_written_credentials_are_kept() {
    let folder = Folder::new();
    let path = folder.join("file");
    let mut child = std::process::Command::new("sh");
    // Limits the blocks of a file. Beyond the limit a write fails, without a signal.
    child.args(["-c", r#"trap '' XFSZ; ulimit -f 16; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "child_of_the_partly_written_test", "--ignored"]).env("CREDENTIALS", &path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = folder.names();
    assert!(names.len() == 1 && names[0].starts_with("file.unsaved-"), "{names:?}");
    assert!(fs::read(folder.join(&names[0])).unwrap().starts_with(br#"{"client_id":"id""#));
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_of_the_partly_written_test() {
    let Some(path) = std::env::var_os("CREDENTIALS") else { return };
    let prepared = CredentialsFile::new(PathBuf::from(path)).prepare(false).unwrap();
    let answer = format!(r#"{{"client_id":"id","client_secret":"{:60000}"}}"#, "");
    assert_eq!(prepared.save(answer.as_bytes()).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
}

/// Buffer sizes to try, including the default.
const BUFFERS: [usize; 4] = [16_384, 4_096, 20_000, 60_000];

const NEXT: &str =
    ": nothing was sent; make that shorter, or the output buffer larger with `with_buffer_sizes`";

fn http_of(output_buffer: usize) -> Transport {
    let http = Transport::new();
    if output_buffer == BUFFERS[0] { http } else { http.with_buffer_sizes(16_384, output_buffer) }
}

/// The request line and each header field must fit whole into the output buffer.
#[test]
fn longest_value_that_fits_is_sent_and_a_longer_one_is_refused_first() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let origin = server.origin();
    for buffer in BUFFERS {
        let http = || http_of(buffer);
        // "POST … HTTP/1.1\r\n", "authorization: Basic …\r\n\r\n"
        let path = |len: usize| format!("{origin}/{}", "p".repeat(len - 1));
        let assertion = |len: usize| {
            ClientCredentials::new(path(len), ClientAuth::secret_jwt("id", KEY)).run(&http()).map(drop)
        };
        // A header value with `len` bytes after the scheme.
        let basic = |len: usize| {
            let password = "p".repeat(len / 4 * 3 - 2);
            BasicToken::new(&origin, "u", password).and_then(|flow| flow.run(&http())).map(drop)
        };
        let longest_path = buffer - 16;
        let longest_credentials = (buffer - 25) / 4 * 4;
        let doing = "could not get a token with the client credentials from";
        // Other values have a limit of 16 KiB of their own.
        if longest_path + origin.len() < 16_384 {
            let before = server.requests().len();
            let text = format!(
                "{doing} {origin}: the path and query of the URL are {} bytes long; at most {longest_path} can be sent{NEXT}",
                longest_path + 1
            );
            refused(assertion(longest_path + 1), &text);
            assert_eq!(server.requests().len(), before);
            assertion(longest_path).unwrap();
            assert_eq!(server.requests().len(), before + 1);
        }
        if longest_credentials / 4 * 3 < 16_384 {
            let before = server.requests().len();
            let text = format!(
                "could not get a token with the user name and password from {origin}: the credentials of the request are {} \
                 bytes long; at most {} can be sent{NEXT}",
                longest_credentials + 4,
                buffer - 25
            );
            refused(basic(longest_credentials + 4), &text);
            assert_eq!(server.requests().len(), before);
            basic(longest_credentials).unwrap();
            assert_eq!(server.requests().len(), before + 1);
        }
    }
    let before = server.connections();
    let flow = AuthorizationCode::new(
        &origin,
        &origin,
        ClientAuth::secret_basic("id", "s".repeat(16_000)),
        "https://app.example/callback",
    );
    let login = flow.with_scope("scope").start(&Transport::new()).map(drop);
    let text = format!(
        "could not exchange the code of the login for a token at {origin}: the credentials of the request are 21340 bytes \
         long; at most 16361 can be sent{NEXT}"
    );
    refused(login, &text);
    let token = Secret::from("t".repeat(16_384));
    let revoked = Revoke::in_query(&origin).run(&Transport::new(), &token);
    let text = format!(
        "could not revoke the token, which may still be valid, at {origin}: the path and query of the URL are 16392 bytes long; \
         at most 16368 can be sent{NEXT}"
    );
    refused(revoked, &text);
    let long = format!("{origin}/{}", "p".repeat(65_535));
    let result =
        AgentBuilder::new(Transport::new(), Auth::Basic(Basic::new("a", "b").unwrap())).origin(&origin);
    let result = result.build().unwrap().get(long).call().map(drop).map_err(Error::from);
    let text = "could not call the API: the request cannot be made; check its URL (at most 65534 bytes), method and headers";
    refused(result, text);
    refused(
        Transport::new().with_user_agent("a".repeat(4_033)).check(),
        "the user agent is 4033 bytes long; at most 4032 can be sent",
    );
    assert_eq!(server.connections(), before);
    let agent = Transport::new().with_buffer_sizes(4_096, 4_096).with_user_agent("a".repeat(4_032));
    BasicToken::new(&origin, "ada", "pass").unwrap().run(&agent).unwrap();
}

#[test]
fn agent_refuses_unsendable_requests_before_it_obtains_a_token() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let origin = server.origin();
    for buffer in BUFFERS {
        let http = || http_of(buffer);
        let path = |len: usize| format!("{origin}/{}", "p".repeat(len - 1));
        let agent = |token_len: usize, header_len: usize| {
            let source = CachingSource::new(http(), BasicToken::new(&origin, "ada", "pass").unwrap());
            let given = Token::new("t".repeat(token_len.max(1)), SystemTime::now()).unwrap();
            let source = if token_len == 0 { source } else { source.with_token(given) };
            AgentBuilder::new(http(), Auth::Bearer(Arc::new(source)))
                .origin(&origin)
                .header("x-own", "h".repeat(header_len))
                .build()
                .unwrap()
        };
        let long = |len: usize| "v".repeat(len);
        let before = server.requests().len();
        for (what, result, most) in [
            (
                "the path and query of the URL are",
                agent(0, 1).get(path(buffer - 14)).call().map(drop),
                buffer - 15,
            ),
            (
                "the path and query of the URL are",
                agent(0, 1).delete(path(buffer - 17)).call().map(drop),
                buffer - 18,
            ),
            (
                "the header x-caller is",
                agent(0, 1).get(&origin).header("x-caller", long(buffer - 11)).call().map(drop),
                buffer - 12,
            ),
        ] {
            let text = format!("{what} {} bytes long; at most {most} can be sent{NEXT}", most + 1);
            refused(result.map_err(Error::from), &text);
        }
        assert_eq!(server.requests().len(), before, "no token either");
        agent(0, 1).get(path(buffer - 15)).header("x-caller", long(buffer - 12)).call().unwrap();
        // Any number of values, each of which fits, whatever their total size is.
        let many = agent(0, 1).get(&origin).header("x-a", long(buffer - 7)).header("x-b", long(buffer - 7));
        many.call().unwrap();
        if buffer < 16_384 + 24 {
            let result = agent(buffer - 25, 1).get(&origin).call().map(drop).map_err(Error::from);
            let text = format!(
                "the credentials of the request are {} bytes long; at most {} can be sent{NEXT}",
                buffer - 25,
                buffer - 26
            );
            refused(result, &text);
            agent(buffer - 26, 1).get(&origin).call().unwrap();
            let result = agent(1, buffer - 8).get(&origin).call().map(drop).map_err(Error::from);
            refused(
                result,
                &format!(
                    "the header x-own is {} bytes long; at most {} can be sent{NEXT}",
                    buffer - 8,
                    buffer - 9
                ),
            );
            agent(1, buffer - 9).get(&origin).call().unwrap();
        }
    }
}

#[test]
fn existing_credentials_file_is_not_overwritten_unless_allowed() {
    let folder = Folder::new();
    let path = folder.write("file", "precious");
    let text = format!(
        "there are app credentials in {} already: use them, or say that they are to be replaced (a backup is kept)",
        path.display()
    );
    fails_to_store(CredentialsFile::new(&path).prepare(false), &text);
    drop(CredentialsFile::new(&path).prepare(true).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(folder.names(), ["file"], "an unused preparation leaves no file");
}

#[test]
fn every_replaced_credentials_file_is_kept_as_a_backup() {
    let folder = Folder::new();
    let path = folder.write("file", "the first");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let new = |i| format!(r#"{{"client_id":"{i}","client_secret":"secret"}}"#);
    // More than one in the same second.
    for i in 0..3 {
        CredentialsFile::new(&path).prepare(true).unwrap().save(new(i).as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), new(2));
    let backups: Vec<_> =
        folder.names().into_iter().filter(|name| name.starts_with("file.backup-")).collect();
    let mut kept: Vec<_> =
        backups.iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect();
    kept.sort();
    let mut expected = vec!["the first".to_owned(), new(0), new(1)];
    expected.sort();
    assert_eq!(kept, expected);
    assert!(folder.names().iter().all(|name| mode(&folder.join(name)) == 0o600));
    assert_eq!(folder.names().len(), 4);
}

#[test]
fn first_credentials_file_is_kept_although_many_processes_replace_it() {
    const THREADS: usize = 8;
    for _ in 0..5 {
        let folder = Folder::new();
        let path = folder.write("file", "the first");
        let together = Barrier::new(THREADS);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let prepared = CredentialsFile::new(&path).prepare(true).unwrap();
                    together.wait();
                    // A process that comes second may fail with an error.
                    let _ = prepared.save(CREDENTIALS.as_bytes());
                });
            }
        });
        let kept = folder.names().iter().any(|name| fs::read(folder.join(name)).unwrap() == b"the first");
        assert!(kept, "{:?}", folder.names());
    }
}

#[test]
fn every_unusable_answer_is_kept_beside_the_credentials_file() {
    let folder = Folder::new();
    let path = folder.write("file", CREDENTIALS);
    let answers = ["welcome", "", r#"{"client_id":"id","client_sec"#];
    // More than one in the same second.
    for content in answers {
        CredentialsFile::new(&path).prepare(true).unwrap().save(content.as_bytes()).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), CREDENTIALS.as_bytes());
    let beside: Vec<_> =
        folder.names().into_iter().filter(|name| name.starts_with("file.unreadable-")).collect();
    let mut kept: Vec<_> = beside.iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["", "welcome", answers[2]]);
    assert!(beside.iter().all(|name| mode(&folder.join(name)) == 0o600));
}

#[test]
fn copies_lists_every_file_that_a_registration_may_leave() {
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("file"));
    for name in
        ["file", "file.backup", "file2.backup-1", ".file.swp", ".file2.0123456789abcdef.tmp", "file.tmp"]
    {
        folder.write(name, CREDENTIALS);
    }
    assert_eq!(file.copies(), [""; 0].map(PathBuf::from));
    let kept = [".file.0123456789abcdef.tmp", "file.backup-1", "file.unreadable-1", "file.unsaved-1-2"]
        .map(|name| folder.write(name, CREDENTIALS));
    assert_eq!(file.copies(), kept);
    let prepared = file.prepare(true).unwrap();
    assert_eq!(file.copies().len(), kept.len() + 1, "one that is being written");
    prepared.save(CREDENTIALS.as_bytes()).unwrap();
    file.prepare(true).unwrap().save(b"welcome").unwrap();
    assert_eq!(file.copies().len(), kept.len() + 2);
    assert_eq!(CredentialsFile::new(folder.join("nowhere/file")).copies(), [""; 0].map(PathBuf::from));
}

#[test]
fn file_created_during_a_registration_is_not_overwritten() {
    let folder = Folder::new();
    let prepared = CredentialsFile::new(folder.join("file")).prepare(false).unwrap();
    folder.write("file", "theirs");
    let error = prepared.save(CREDENTIALS.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"theirs");
    let names = folder.names();
    assert!(names.len() == 2 && names[1].starts_with("file.unsaved-"), "{names:?}");
    assert_eq!(
        fs::read(folder.join(&names[1])).unwrap(),
        CREDENTIALS.as_bytes(),
        "our own record is not lost"
    );
    assert_eq!(mode(&folder.join(&names[1])), 0o600);
}

#[test]
fn registration_saves_the_answer_unchanged() {
    let server = Server::answering(|request| {
        answer(200, "", if request.method() == "POST" { CREDENTIALS } else { TOKEN })
    });
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("file"));
    let login = spatiafi::Registration::new("ada", "pass").with_auth_url(&server.origin());
    assert_eq!(login.run(&file, false).unwrap().client_id(), "ü");
    assert_eq!(fs::read(file.path()).unwrap(), CREDENTIALS.as_bytes());
    assert_eq!(server.requests().len(), 2);
    let error = login.run(&file, false).unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Store, 2), "asked for nothing more");
}

/// Tells the child of the next test what to make from its environment.
const CHILD: &str = "KEYFOB_TEST_CHILD";

#[test]
fn values_from_the_environment_are_checked() {
    let folder = Folder::new();
    let path = |name: &str| folder.join(name).into_os_string();
    let set = |pairs: &[(&'static str, &str)]| -> Vec<_> {
        pairs.iter().map(|(name, value)| (*name, OsStr::new(value).to_owned())).collect()
    };
    let app = [("SPATIAFI_CLIENT_ID", "id"), ("SPATIAFI_CLIENT_SECRET", KEY)];
    let with_app = |name: &'static str, value: &str| set(&[&app[..], &[(name, value)]].concat());
    let no_file = format!(
        "NoCredentials: there are no SpatiaFi credentials: the environment has none, and there is no file \
         {}/spatiafi/app_credentials.json; set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or make app credentials with \
         `Registration`",
        folder.0.display()
    );
    let unset = "is not: set both, or neither to use the file";
    let control = "holds a control character at byte 1: remove it";
    let ascii = "holds a control character at byte 6: a trailing newline, perhaps, from reading a file?";
    let proxy = "InvalidInput: the proxy URL is not of the form http://host:port";
    // HTTP Basic accepts a secret that a form does not.
    let spacebring = [("SPACEBRING_CLIENT_ID", "i"), ("SPACEBRING_CLIENT_SECRET", "s\t")];
    let partner = [spacebring[0], ("SPACEBRING_CLIENT_SECRET", "s")];
    let with = |name: &'static str, value: &str| set(&[&partner[..], &[(name, value)]].concat());
    let absolute =
        |what: &str| format!("InvalidInput: the {what} is not absolute: it needs https:// and a host");
    let network = "InvalidInput: the network id is no UUID: it has 32 hexadecimal digits in groups of 8-4-4-4-12, as in \
                   6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";
    let cases = [
        ("spatiafi", set(&app), "OK".to_owned()),
        ("spatiafi", vec![], no_file.clone()),
        ("spatiafi", set(&[("SPATIAFI_CLIENT_ID", ""), ("SPATIAFI_CLIENT_SECRET", "")]), no_file),
        ("spatiafi", set(&app[..1]), format!("InvalidInput: SPATIAFI_CLIENT_ID is set, but SPATIAFI_CLIENT_SECRET {unset}")),
        ("spatiafi", set(&app[1..]), format!("InvalidInput: SPATIAFI_CLIENT_SECRET is set, but SPATIAFI_CLIENT_ID {unset}")),
        ("spatiafi", set(&[("SPATIAFI_CLIENT_ID", "a\tb"), app[1]]), format!("InvalidInput: the SPATIAFI_CLIENT_ID {control}")),
        ("spatiafi", set(&[app[0], ("SPATIAFI_CLIENT_SECRET", "secret\n")]), format!("InvalidInput: the SPATIAFI_CLIENT_SECRET {ascii}")),
        ("spatiafi", vec![(app[0].0, OsStr::from_bytes(b"\xff").to_owned())], "InvalidInput: the environment variable SPATIAFI_CLIENT_ID is not UTF-8".to_owned()),
        ("spatiafi", with_app("SPATIAFI_API_URL", "http://192.0.2.1"), "InvalidInput: the API URL is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https".to_owned()),
        ("spatiafi", with_app("SPATIAFI_TOKEN_URL", "token"), "InvalidInput: the token URL is not absolute: it needs https:// and a host".to_owned()),
        ("spatiafi", with_app("KEYFOB_PROXY", "socks5://127.0.0.1:1"), proxy.to_owned()),
        ("spatiafi", with_app("KEYFOB_PROXY", ""), "OK".to_owned()),
        ("http", set(&[("KEYFOB_PROXY", "env")]), "OK".to_owned()),
        ("http", set(&[("KEYFOB_PROXY", "env"), ("ALL_PROXY", "socks5://127.0.0.1:1")]), "OK".to_owned()),
        ("http", vec![("KEYFOB_CA_FILE", path("missing"))], "InvalidInput: could not read the CA file that KEYFOB_CA_FILE, or the setting in its place, names: there is no such file or folder".to_owned()),
        ("http", set(&[("KEYFOB_CA_FILE", "s3cr3t+word/of=a test")]), "InvalidInput: could not read the CA file that KEYFOB_CA_FILE, or the setting in its place, names: there is no such file or folder".to_owned()),
        ("http", set(&[("KEYFOB_CA_FILE", "\u{feff}/ca.pem")]), "InvalidInput: the environment variable KEYFOB_CA_FILE begins with a byte order mark (U+FEFF), which cannot be seen: set it anew".to_owned()),
        ("http", vec![("KEYFOB_CA_FILE", folder.0.clone().into())], format!("InvalidInput: could not read the CA file {}: it is not a file", folder.0.display())),
        ("login", set(&[("SPATIAFI_USERNAME", "ada")]), "NoCredentials: SPATIAFI_PASSWORD is not set: it is needed to make app credentials".to_owned()),
        ("login", set(&[("SPATIAFI_USERNAME", ""), ("SPATIAFI_PASSWORD", "pass")]), "NoCredentials: SPATIAFI_USERNAME is not set: it is needed to make app credentials".to_owned()),
        ("login", set(&[("SPATIAFI_USERNAME", "ada"), ("SPATIAFI_PASSWORD", "pass")]), "OK".to_owned()),
        ("customer", set(&spacebring[..1]), "NoCredentials: SPACEBRING_CLIENT_SECRET is not set: set it to what Spacebring shows under Network Settings, Developers".to_owned()),
        ("customer", set(&spacebring[1..]), "NoCredentials: SPACEBRING_CLIENT_ID is not set: set it to what Spacebring shows under Network Settings, Developers".to_owned()),
        ("customer", set(&spacebring), "OK https://api.spacebring.com".to_owned()),
        ("customer", with("SPACEBRING_API_URL", "http://127.0.0.1:1/"), "OK http://127.0.0.1:1".to_owned()),
        ("customer", with("SPACEBRING_TOKEN_URL", "bad"), "OK https://api.spacebring.com".to_owned()),
        ("customer", with("SPACEBRING_NETWORK_ID", "x"), network.to_owned()),
        ("partner", set(&spacebring[..1]), "NoCredentials: SPACEBRING_CLIENT_SECRET is not set: set it to what Spacebring shows under Network Settings, Developers".to_owned()),
        ("partner", with("SPACEBRING_API_URL", "http://127.0.0.1:1"), "OK http://127.0.0.1:1".to_owned()),
        ("partner", with("SPACEBRING_NETWORK_ID", "x"), network.to_owned()),
        ("partner", with("SPACEBRING_REDIRECT_URI", "bad"), "InvalidInput: the redirect URI is not absolute: it begins with https://, or with http://127.0.0.1, http://[::1] or http://localhost".to_owned()),
        ("partner", with("SPACEBRING_API_URL", "bad"), absolute("API URL")),
        ("partner", with("SPACEBRING_AUTHORIZE_URL", "bad"), absolute("authorize URL")),
        ("partner", with("SPACEBRING_TOKEN_URL", "bad"), absolute("token URL")),
        ("partner", with("SPACEBRING_REVOKE_URL", "bad"), absolute("revocation URL")),
    ];
    in_parallel(&cases, |(what, variables, expected)| {
        let output = child("child_of_the_environment_test")
            .env_clear()
            .env("XDG_CONFIG_HOME", &folder.0)
            .env(CHILD, what)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        assert_eq!(line, Some(expected.as_str()), "{output:?}");
    });
}

#[test]
#[ignore = "run by `values_from_the_environment_are_checked`, with an environment of its own"]
fn child_of_the_environment_test() {
    let Ok(report) = std::env::var(CHILD) else { return };
    let nothing = String::new();
    let result = match report.as_str() {
        "spatiafi" => SpatiaFi::from_env().map(|_| nothing),
        "customer" => Customer::from_env().map(|customer| format!(" {}", customer.api_url())),
        "partner" => Partner::from_env().map(|partner| format!(" {}", partner.api_url())),
        "http" => Transport::from_env().and_then(|transport| transport.check()).map(|()| nothing),
        _ => spatiafi::Registration::from_env().map(|_| nothing),
    };
    let text = result.map_or_else(|error| format!("{:?}: {error}", error.kind()), |more| format!("OK{more}"));
    println!("\nRESULT {text}");
}
