//! What comes in from outside: refused before a connection is opened, or taken as it is.

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

use keyfob::flow::{AppCredentials, BasicToken, ClientAssertion};
use keyfob::{
    AgentBuilder, Auth, Basic, CachingSource, ClientCredentials, ClientSecretBasic, CredentialsFile, Error,
    ErrorKind, Http, SpatiaFi, Token, TokenSource as _, classify, spatiafi,
};
use support::*;

use folder::Folder;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const TOKEN: &str = r#"{"access_token":"abc","token_type":"bearer"}"#;
const CREDENTIALS: &str =
    "\r\n{ \"client_secret\":\"s\\u0065cret\" ,\"more\":[1],\"client_id\":\"\u{fc}\" }\n";
const MIB: usize = 1 << 20;

#[track_caller]
fn refused<T: Debug>(result: Result<T, Error>, text: &str) {
    fails(result, ErrorKind::InvalidInput, text, text);
}

#[track_caller]
fn fails_to_store<T: Debug>(result: Result<T, Error>, text: &str) {
    fails(result, ErrorKind::Store, text, text);
}

fn app() -> ClientCredentials {
    ClientCredentials::new("id", KEY).unwrap()
}

fn builder() -> AgentBuilder {
    AgentBuilder::new(Http::new(), Auth::Basic(Basic::new("ada", "pass").unwrap()))
}

type Setter = dyn Fn(&str) -> Result<(), Error>;

/// A value that somebody hands in.
struct Field {
    /// As errors call it.
    name: &'static str,
    /// Good when put together.
    good: (String, &'static str),
    set: Box<Setter>,
    /// Why ü is refused, where it is.
    ascii: Option<&'static str>,
}

impl Field {
    fn is_password(&self) -> bool {
        self.name == "password"
    }
}

fn fields(origin: &str) -> Vec<Field> {
    const HEADER: &str = "the header holds characters that no header can carry";
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
    let (one, two, three, four) =
        (origin.to_owned(), origin.to_owned(), origin.to_owned(), origin.to_owned());
    let flow = move || ClientAssertion::new(&one, "id", KEY).unwrap();
    let same = flow.clone();
    vec![
        field("token URL", url, None, |url| BasicToken::new(url, "ada", "pass")),
        field("user name", text, None, move |name| BasicToken::new(&two, name, "pass")),
        field("password", text, None, move |password| BasicToken::new(&three, "ada", password)),
        field("URL of the app credentials", url, None, AppCredentials::new),
        field("token URL", url, None, |url| ClientAssertion::new(url, "id", KEY)),
        field("client id", text, None, move |id| ClientAssertion::new(&four, id, KEY)),
        field("client secret", (KEY, "b"), None, move |secret| {
            ClientAssertion::new("http://127.0.0.1", "id", secret)
        }),
        field("audience", text, None, move |audience| flow().with_audience(audience)),
        field("scope", text, None, move |scope| same().with_scope(scope)),
        field("user name", text, None, |name| Basic::new(name, "pass")),
        field("password", text, None, |password| Basic::new("ada", password)),
        field("client id", text, None, |id| ClientSecretBasic::new(id, KEY)),
        field("client secret", text, None, |secret| ClientSecretBasic::new("id", secret)),
        field("client id", text, None, |id| ClientCredentials::new(id, KEY)),
        field("client secret", text, None, |secret| ClientCredentials::new("id", secret)),
        field(
            "access token",
            text,
            Some("the access token holds characters that no header can carry (RFC 6750 2.1)"),
            |token| Token::new(token, SystemTime::UNIX_EPOCH),
        ),
        field("URL of the API", url, None, |url| builder().with_origin(url)),
        field("header name", text, Some(HEADER), |name| builder().with_header(name, "value")),
        field("header value", text, None, |value| builder().with_header("name", value)),
        field("user agent", text, Some("the user agent holds characters that no header can carry"), |name| {
            Http::new().with_user_agent(name)
        }),
        field(
            "proxy URL",
            ("http://127", ".0.0.1:1"),
            Some("the proxy URL is not of the form http://host:port"),
            |url| Http::new().with_proxy(url),
        ),
        field("token URL", url, None, |url| SpatiaFi::new(app()).with_token_url(url)),
        field("API URL", url, None, |url| SpatiaFi::new(app()).with_api_url(url)),
    ]
}

#[test]
fn what_no_field_may_hold_is_refused_before_a_connection() {
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
fn a_url_must_be_https_or_on_loopback_and_nothing_but_a_url() {
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
        refused(AppCredentials::new(&url), &format!("the URL of the app credentials {why}"));
        refused(ClientAssertion::new(&url, "id", KEY), &format!("the token URL {why}"));
        refused(builder().with_origin(&url), &format!("the URL of the API {why}"));
        refused(SpatiaFi::new(app()).with_token_url(&url), &format!("the token URL {why}"));
        refused(SpatiaFi::new(app()).with_api_url(&url), &format!("the API URL {why}"));
    }
}

#[test]
fn a_base_url_is_called_what_it_is() {
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
        refused(SpatiaFi::new(app()).with_auth_url(url), &text);
        refused(spatiafi::Login::new("ada", "pass").with_auth_url(url).run(&file, false), &text);
    }
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_proxy_must_be_an_http_url_with_a_port_that_is_one() {
    for url in [
        "socks5://127.0.0.1:1",
        "ftp://127.0.0.1:1",
        "http://",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:x",
    ] {
        refused(Http::new().with_proxy(url), "the proxy URL is not of the form http://host:port");
    }
}

#[test]
fn a_short_key_is_refused_unless_allowed() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let flow = || ClientAssertion::new(&server.origin(), "id", &KEY[1..]).unwrap();
    let text = "the client secret has 31 bytes; HS256 needs at least 32 (RFC 7518 3.2): check that it is whole, or \
                use `allow_short_key` if the service issues such";
    refused(flow().run(&Http::new()), text);
    assert_eq!(server.connections(), 0);
    flow().allow_short_key().run(&Http::new()).unwrap();
}

#[test]
fn a_login_is_checked_before_its_file_and_its_server() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("new/file"));
    let login = |name, password: &str| spatiafi::Login::new(name, password).with_auth_url(&server.origin());
    refused(login("", "pass").run(&file, false), "the user name is empty");
    refused(
        login("a:b", "pass").run(&file, false),
        "the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2)",
    );
    refused(
        login("ada", "a\0b").run(&file, false),
        "the password holds a control character at byte 1: remove it",
    );
    assert_eq!((folder.names(), server.connections()), (vec![], 0));
}

#[test]
fn an_agent_needs_an_origin() {
    refused(builder().build().map(drop), "the agent has no origin to sign requests for: name one");
}

#[test]
fn the_ends_of_numbers_are_survived() {
    const MAX: Duration = Duration::MAX;
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let origin = server.origin();
    let timeout = ErrorKind::Timeout;
    let run = |http: Http| {
        BasicToken::new(&origin, "ada", "pass").unwrap().run(&http).map(drop).map_err(|e| e.kind())
    };
    assert_eq!(run(Http::new().with_timeout(MAX)), Ok(()));
    assert_eq!(run(Http::new().with_timeout(MAX).with_connect_timeout(MAX)), Ok(()));
    assert_eq!(run(Http::new().with_timeout(Duration::ZERO)), Err(timeout));
    assert_eq!(run(Http::new().with_buffer_sizes(0, 0)), Ok(()));
    assert_eq!(run(Http::new().with_buffer_sizes(usize::MAX, usize::MAX)), Ok(()));
    for lifetime in [MAX, Duration::ZERO] {
        ClientAssertion::new(&origin, "id", KEY).unwrap().with_lifetime(lifetime).run(&Http::new()).unwrap();
    }
    for (deadline, connect, expected) in [(MAX, MAX, Ok(())), (Duration::ZERO, MAX, Err(timeout))] {
        let http = Http::new().with_connect_timeout(connect);
        let source = CachingSource::new(
            http.clone().with_timeout(MAX),
            BasicToken::new(&origin, "ada", "pass").unwrap(),
        );
        let agent = AgentBuilder::new(http, Auth::Bearer(Arc::new(source))).with_origin(&origin).unwrap();
        let result =
            agent.with_deadline(deadline).with_max_idle_connections(0).build().unwrap().get(&origin).call();
        assert_eq!(result.map(drop).map_err(|error| classify(error).kind()), expected);
    }
    let source =
        CachingSource::new(Http::new().with_timeout(MAX), BasicToken::new(&origin, "ada", "pass").unwrap());
    source.token(MAX).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Runs what may hang on a pipe; lets it go at last, and fails.
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
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn a_ca_file_is_read_if_it_is_one() {
    let folder = Folder::new();
    let empty = "holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for (content, why) in [
        (&b""[..], empty),
        (b"\xff\xfe\0", empty),
        (key.as_bytes(), empty),
        (broken.as_bytes(), "is not PEM: it should hold lines of '-----BEGIN CERTIFICATE-----'"),
    ] {
        let path = folder.write("ca.pem", content);
        refused(Http::new().with_ca_file(&path), &format!("the CA file {} {why}", path.display()));
    }
    let missing = folder.join("missing");
    let text = format!("could not read the CA file {}: entity not found", missing.display());
    refused(Http::new().with_ca_file(&missing), &text);
    let text = format!("could not read the CA file {}: it is not a file", folder.0.display());
    refused(Http::new().with_ca_file(&folder.0), &text);
}

#[test]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn a_ca_file_past_all_measure_is_not_read() {
    let folder = Folder::new();
    let path = folder.join("huge");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let before = memory("VmHWM");
    let text = format!("could not read the CA file {}: file too large", path.display());
    refused(Http::new().with_ca_file(&path), &text);
    assert!(memory("VmHWM") - before < 32 << 10);
}

#[test]
fn what_is_in_a_credentials_file_is_taken_or_refused() {
    let folder = Folder::new();
    let file = |content: &[u8]| CredentialsFile::new(folder.write("file", content));
    let loaded = file(CREDENTIALS.as_bytes()).load().unwrap().unwrap();
    assert_eq!((loaded.client_id(), loaded.client_secret().expose_str()), ("ü", Some("secret")));
    let padded = format!("{CREDENTIALS}{}", " ".repeat(MIB - CREDENTIALS.len()));
    assert!(file(padded.as_bytes()).load().unwrap().is_some(), "1 MiB is not too large");
    let unusable = format!(
        "the app credentials in {} cannot be used: the file is not JSON with a client_id and a client_secret; \
         restore it, or move it away and log in again",
        folder.join("file").display()
    );
    for content in [
        "",
        "client_id=id",
        "null",
        "{}",
        r#"["id","secret"]"#,
        r#"{"client_id":"id"}"#,
        r#"{"client_id":"id","client_secret":5}"#,
        r#"{"client_id":"","client_secret":"secret"}"#,
        r#"{"client_id":"id","client_secret":"sec\nret"}"#,
        r#"{"client_id":"id","client_secret":"secret""#,
        r#"{"client_id":"id","client_secret":"secret"} and more"#,
        &format!(r#"{{"client_id":"id","client_secret":"secret","more":{}}}"#, "[".repeat(100_000)),
        &format!(r#"{{"client_id":"{}","client_secret":"secret"}}"#, "a".repeat(16 * 1024 + 1)),
    ] {
        fails_to_store(file(content.as_bytes()).load(), &unusable);
    }
    fails_to_store(file(b"{\"client_id\":\"\xff\"").load(), &unusable);
}

#[test]
fn what_is_no_credentials_file_is_not_read() {
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
fn a_pipe_in_place_of_a_file_hangs_nobody() {
    let folder = Folder::new();
    let pipe = folder.pipe("pipe");
    let file = CredentialsFile::new(&pipe);
    assert!(without_hanging(&pipe, move || file.load()).is_err());
    for overwrite in [false, true] {
        let file = CredentialsFile::new(&pipe);
        assert!(without_hanging(&pipe, move || file.prepare(overwrite)).is_err(), "{overwrite}");
    }
    let ca = pipe.clone();
    assert!(without_hanging(&pipe, move || Http::new().with_ca_file(ca)).is_err());
    assert_eq!(folder.names(), ["pipe"]);
}

#[test]
fn a_symlink_is_read_and_never_written() {
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
fn what_cannot_be_written_is_found_out_before_the_server_is_asked() {
    let server = Server::answering(|_| answer(200, "", TOKEN));
    let folder = Folder::new();
    let file = folder.write("file", CREDENTIALS);
    fs::create_dir(folder.join("folder")).unwrap();
    let long = folder.join(&"a".repeat(256));
    let mut cases = vec![
        (file.join("below a file"), false, None),
        (folder.join("folder"), true, None),
        (PathBuf::from("/proc/keyfob/file"), false, Some("entity not found")),
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
        let login = spatiafi::Login::new("ada", "pass").with_auth_url(&server.origin());
        let error = login.run(&CredentialsFile::new(&path), overwrite).expect_err("nothing to write to");
        let text = error.to_string();
        let expected = format!("could not write {}, so nothing was asked of the server: ", path.display());
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(error.kind(), ErrorKind::Store, "{text}");
        if let Some(why) = why {
            assert_eq!(&text[expected.len()..], why);
        }
        assert_eq!((server.connections(), folder.names()), (0, before.clone()), "{text}");
    }
}

#[test]
fn what_was_prepared_can_be_saved_though_the_path_ends_in_a_slash() {
    let folder = Folder::new();
    let prepared = CredentialsFile::new(folder.join("file/")).prepare(false);
    if let Ok(prepared) = prepared {
        prepared.save(CREDENTIALS.as_bytes()).unwrap();
        assert_eq!(fs::read(folder.join("file")).unwrap(), CREDENTIALS.as_bytes());
    }
}

#[test]
fn a_path_is_shown_as_one_short_line() {
    let folder = Folder::new();
    let long = folder.join(&"a".repeat(MIB));
    let not_utf_8 = folder.0.join(OsStr::from_bytes(b"\xff\n"));
    for path in [folder.join("a\nb\x1b[31m\u{202e}"), long, folder.join("a\0b"), not_utf_8] {
        // A file in the place of a folder, where the system allows such a name.
        let _ = File::create(&path);
        let below = CredentialsFile::new(path.join("below"));
        let errors =
            [Http::new().with_ca_file(path).map(drop), below.prepare(true).map(drop), below.load().map(drop)];
        for error in errors {
            let text = error.unwrap_err().to_string();
            assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
            assert!(text.len() < 2000, "{} bytes", text.len());
        }
    }
}

#[test]
fn a_file_is_written_for_its_owner_alone_byte_by_byte() {
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
fn longer_and_shorter_answers_than_expected_are_saved_whole() {
    let folder = Folder::new();
    for len in [CREDENTIALS.len(), 4095, 4096, 4097, MIB] {
        let path = folder.join(&len.to_string());
        let content = format!("{CREDENTIALS}{}", " ".repeat(len - CREDENTIALS.len()));
        CredentialsFile::new(&path).prepare(false).unwrap().save(content.as_bytes()).unwrap();
        assert!(fs::read(&path).unwrap() == content.as_bytes(), "{len}");
    }
}

/// Where room for the content was proved, and there is no more of it all the same.
#[test]
fn what_could_not_be_written_to_its_end_is_kept() {
    let folder = Folder::new();
    let path = folder.join("file");
    let mut child = std::process::Command::new("sh");
    // So many blocks at most in a file; what is longer is an error and no signal.
    child.args(["-c", r#"trap '' XFSZ; ulimit -f 16; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "child_that_has_no_room", "--ignored"]).env("CREDENTIALS", &path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = folder.names();
    assert!(names.len() == 1 && names[0].starts_with("file.unsaved-"), "{names:?}");
    assert!(fs::read(folder.join(&names[0])).unwrap().starts_with(br#"{"client_id":"id""#));
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_has_no_room() {
    let Some(path) = std::env::var_os("CREDENTIALS") else { return };
    let prepared = CredentialsFile::new(PathBuf::from(path)).prepare(false).unwrap();
    let answer = format!(r#"{{"client_id":"id","client_secret":"{:60000}"}}"#, "");
    assert_eq!(prepared.save(answer.as_bytes()).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
}

#[test]
fn an_existing_file_is_left_alone_unless_told() {
    let folder = Folder::new();
    let path = folder.write("file", "precious");
    let text = format!(
        "there are app credentials in {} already: use them, or say that they are to be replaced (a backup is kept)",
        path.display()
    );
    fails_to_store(CredentialsFile::new(&path).prepare(false), &text);
    drop(CredentialsFile::new(&path).prepare(true).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(folder.names(), ["file"], "what is prepared and not used leaves nothing");
}

#[test]
fn every_file_that_was_replaced_is_kept() {
    let folder = Folder::new();
    let path = folder.write("file", "the first");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let new = |i| format!(r#"{{"client_id":"{i}","client_secret":"secret"}}"#);
    // More than one in a second.
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
fn the_first_file_is_kept_though_many_replace_it_at_once() {
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
                    // Whoever comes second may fail, and says so.
                    let _ = prepared.save(CREDENTIALS.as_bytes());
                });
            }
        });
        let kept = folder.names().iter().any(|name| fs::read(folder.join(name)).unwrap() == b"the first");
        assert!(kept, "{:?}", folder.names());
    }
}

#[test]
fn every_answer_that_makes_no_sense_is_kept_beside_the_file() {
    let folder = Folder::new();
    let path = folder.write("file", CREDENTIALS);
    let answers = ["welcome", "", r#"{"client_id":"id","client_sec"#];
    // More than one in a second.
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
fn copies_are_what_a_login_may_leave_beside_the_file() {
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
fn a_file_that_somebody_made_meanwhile_is_not_overwritten() {
    let folder = Folder::new();
    let prepared = CredentialsFile::new(folder.join("file")).prepare(false).unwrap();
    folder.write("file", "theirs");
    let error = prepared.save(CREDENTIALS.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"theirs");
    let names = folder.names();
    assert!(names.len() == 2 && names[1].starts_with("file.unsaved-"), "{names:?}");
    assert_eq!(fs::read(folder.join(&names[1])).unwrap(), CREDENTIALS.as_bytes(), "and ours is not lost");
    assert_eq!(mode(&folder.join(&names[1])), 0o600);
}

#[test]
fn a_login_saves_the_answer_as_it_came() {
    let server = Server::answering(|request| {
        answer(200, "", if request.method() == "POST" { CREDENTIALS } else { TOKEN })
    });
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("file"));
    let login = spatiafi::Login::new("ada", "pass").with_auth_url(&server.origin());
    assert_eq!(login.run(&file, false).unwrap().client_id(), "ü");
    assert_eq!(fs::read(file.path()).unwrap(), CREDENTIALS.as_bytes());
    assert_eq!(server.requests().len(), 2);
    let error = login.run(&file, false).unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Store, 2), "asked for nothing more");
}

/// Tells the child of the next test what to make from its environment.
const CHILD: &str = "KEYFOB_TEST_CHILD";

#[test]
fn the_environment_is_checked_too() {
    let folder = Folder::new();
    let path = |name: &str| folder.join(name).into_os_string();
    let set = |pairs: &[(&'static str, &str)]| -> Vec<_> {
        pairs.iter().map(|(name, value)| (*name, OsStr::new(value).to_owned())).collect()
    };
    let app = [("SPATIAFI_CLIENT_ID", "id"), ("SPATIAFI_CLIENT_SECRET", "secret")];
    let with_app = |name: &'static str, value: &str| set(&[&app[..], &[(name, value)]].concat());
    let no_file = format!(
        "NoCredentials: there are no SpatiaFi credentials: set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or log \
         in to make {}/spatiafi/app_credentials.json",
        folder.0.display()
    );
    let unset = "is not: set both, or neither to use the file";
    let control = "holds a control character at byte 1: remove it";
    let ascii = "holds a control character at byte 6: a trailing newline, perhaps, from reading a file?";
    let proxy = "InvalidInput: the proxy URL is not of the form http://host:port";
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
        ("http", set(&[("KEYFOB_PROXY", "env"), ("ALL_PROXY", "socks5://127.0.0.1:1")]), "InvalidInput: the proxy that the environment names is not of the form http://host:port".to_owned()),
        ("http", vec![("KEYFOB_CA_FILE", path("missing"))], format!("InvalidInput: could not read the CA file {}: entity not found", folder.join("missing").display())),
        ("login", set(&[("SPATIAFI_USERNAME", "ada")]), "NoCredentials: SPATIAFI_PASSWORD is not set: it is needed to make app credentials".to_owned()),
        ("login", set(&[("SPATIAFI_USERNAME", ""), ("SPATIAFI_PASSWORD", "pass")]), "NoCredentials: SPATIAFI_USERNAME is not set: it is needed to make app credentials".to_owned()),
        ("login", set(&[("SPATIAFI_USERNAME", "ada"), ("SPATIAFI_PASSWORD", "pass")]), "OK".to_owned()),
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
#[ignore = "run by `the_environment_is_checked_too`, with an environment of its own"]
fn child_of_the_environment_test() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let result = match told.as_str() {
        "spatiafi" => SpatiaFi::from_env().map(drop),
        "http" => Http::from_env().map(drop),
        _ => spatiafi::Login::from_env().map(drop),
    };
    let text = result.map_or_else(|error| format!("{:?}: {error}", error.kind()), |()| "OK".to_owned());
    println!("\nRESULT {text}");
}
