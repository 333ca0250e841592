//! Services of a configuration file: mistakes in it, by the command.
#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{bare, ends_well, err, fails, out};
use tempfile::TempDir;

/// A home folder with a configuration file, and no server.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".config/keyfob")).unwrap();
        Self(home)
    }

    fn with(content: impl AsRef<[u8]>) -> Self {
        let home = Self::new();
        fs::write(home.file(), content).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".config/keyfob/config.toml")
    }

    fn keyfob(&self, words: &str) -> Command {
        let mut command = bare(self.0.path());
        command.args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.keyfob(words).output().unwrap()
    }

    /// Checks that it ends with status 2 and this text, where `FILE` stands for the file.
    #[track_caller]
    fn refuses(&self, words: &str, says: &str) {
        let text = says.replace("FILE", self.file().to_str().unwrap());
        let output = self.run(words);
        assert_eq!(err(&output), format!("keyfob: error: {text}\n"));
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
    }
}

const ACME: &str = "[service.acme]
issuer = \"https://login.example.com\"
api_url = \"https://api.example.com\"
client_id = \"my-client\"
grant = \"client_credentials\"
client_secret_file = \"/run/secrets/acme\"
";

fn with(line: &str) -> String {
    format!("{ACME}{line}\n")
}

fn without(key: &str) -> String {
    ACME.split_inclusive('\n').filter(|line| !line.starts_with(key)).collect()
}

#[test]
fn mistakes_in_the_file_are_named_with_file_line_and_key() {
    let words = "client_credentials, authorization_code, device_code, basic";
    for (content, says) in [
        // Unknown keys.
        (with("isuer = \"x\""), "FILE:7: isuer: is not a key of a service; the nearest one is issuer".to_owned()),
        (with("Scope = \"x\""), "FILE:7: Scope: is not a key of a service; the nearest one is scope".to_owned()),
        (with("token_ur1 = 1"), "FILE:7: token_ur1: is not a key of a service; the nearest one is token_url".to_owned()),
        ("[services.acme]\n".to_owned(), "FILE:1: services: is not known here; write [service.acme]".to_owned()),
        ("\n\nscope = \"a\"\n".to_owned(), "FILE:3: scope: is outside of a service; write [service.my-service] above it".to_owned()),
        ("[service]\nacme = 1\n".to_owned(), "FILE:2: service.acme: is a number; write a table, as in [service.my-service]".to_owned()),
        ("[[service.acme]]\n".to_owned(), "FILE:1: service.acme: is in double brackets; write [service.acme]".to_owned()),
        // Wrong types.
        (with("rate = \"10\""), "FILE:7: rate: is text; write a whole number from 1 to 4294967295, as in rate = 10".to_owned()),
        (with("rate = 0"), "FILE:7: rate: is a number out of range; write a whole number from 1 to 4294967295, as in rate = 10".to_owned()),
        (with("rate = 2.5"), "FILE:7: rate: is a number with a fraction; write a whole number from 1 to 4294967295, as in rate = 10".to_owned()),
        (with("scope = [\"a\", \"b\"]"), "FILE:7: scope: is a list of texts; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        (with("scope = true"), "FILE:7: scope: is true or false; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        (with("scope = 1979-05-27"), "FILE:7: scope: is a date or time; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        (with("headers = \"x-a: 1\""), "FILE:7: headers: is text; write a table of texts, as in headers = { x-api-version = \"2\" }".to_owned()),
        (with("headers = { x-a = 1 }"), "FILE:7: headers.x-a: is a number; write text in quotes".to_owned()),
        (with("without = \"pkce\""), "FILE:7: without: is text; write a list of texts, as in without = [\"pkce\"]".to_owned()),
        (with("without = [[\"pkce\"]]"), "FILE:7: without: is a list of other values than texts; write a list of texts, as in without = [\"pkce\"]".to_owned()),
        (with("scope = { a = \"b\" }"), "FILE:7: scope: is a table; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        (with("[service.acme.scope]"), "FILE:7: scope: is a table; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        (with("scope = \"\""), "FILE:7: scope: is empty; write a value, or remove the line".to_owned()),
        // Missing keys.
        (without("grant"), format!("FILE:1: grant: is missing; write one of {words}, or the URI of an extension grant")),
        (without("api_url"), "FILE:1: api_url: is missing; write it below [service.acme], or set ACME_API_URL".to_owned()),
        (without("client_id"), "FILE:1: client_id: is missing; write it below [service.acme], or set ACME_CLIENT_ID".to_owned()),
        (without("issuer"), "FILE:1: issuer: is missing; write it below [service.acme], or set ACME_ISSUER; or name the URLs one by one, beginning with token_url".to_owned()),
        (without("client_secret") + "client_auth = \"assertion\"\n", "FILE:1: assertion_file: is missing, and client_auth is assertion; name the file with the JWT".to_owned()),
        (with("client_cert_file = \"a.pem\""), "FILE:7: client_cert_file: has no effect without client_key_file; write both".to_owned()),
        // Secrets in the file.
        (with("client_secret = \"hunter2\""), "FILE:7: client_secret: a secret does not belong in this file; name a file with client_secret_file, or a command with client_secret_cmd".to_owned()),
        (with("access_token = \"hunter2\""), "FILE:7: access_token: a secret does not belong in this file; keyfob obtains it".to_owned()),
        (with("Client_Secret = \"hunter2\""), "FILE:7: Client_Secret: a secret does not belong in this file; name a file with client_secret_file, or a command with client_secret_cmd".to_owned()),
        (with("client-secret = \"hunter2\""), "FILE:7: client-secret: a secret does not belong in this file; name a file with client_secret_file, or a command with client_secret_cmd".to_owned()),
        (with("clientsecret = \"hunter2\""), "FILE:7: clientsecret: a secret does not belong in this file; name a file with client_secret_file, or a command with client_secret_cmd".to_owned()),
        (with("CLIENT_SECRETS = \"hunter2\""), "FILE:7: CLIENT_SECRETS: a secret does not belong in this file; name a file with client_secret_file, or a command with client_secret_cmd".to_owned()),
        (with("api-key = \"hunter2\""), "FILE:7: api-key: a secret does not belong in this file; name a file with header_files".to_owned()),
        (with("apikey = \"hunter2\""), "FILE:7: apikey: a secret does not belong in this file; name a file with header_files".to_owned()),
        (with("client_secret_fil = \"/a\""), "FILE:7: client_secret_fil: is not a key of a service; the nearest one is client_secret_file".to_owned()),
        ("[service.spatiafi]\nPassword = \"hunter2\"\n".to_owned(), "FILE:2: Password: a secret does not belong in this file; name a file with the variable SPATIAFI_PASSWORD_FILE".to_owned()),
        ("[service.spacebring]\npassword = \"hunter2\"\n".to_owned(), "FILE:2: password: a secret does not belong in this file; name a file with client_secret_file, or a command with client_secret_cmd".to_owned()),
        // Words and values.
        (ACME.replace("client_credentials", "client_credential"), format!("FILE:5: grant: is none of {words}; the nearest one is \"client_credentials\"")),
        (with("client_auth = \"secret_basic\""), "FILE:7: client_auth: is none of client_secret_basic, client_secret_post, client_secret_jwt, assertion, none; the nearest one is \"client_secret_basic\"".to_owned()),
        (ACME.replace("client_credentials", "authorization_code") + "without = [\"pcke\"]\n", "FILE:7: without: is none of state, pkce, redirect_uri_in_exchange; the nearest one is \"pkce\"".to_owned()),
        (ACME.replace("https://api.example.com", "http://api.example.com"), "FILE:3: api_url: the API URL is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https".to_owned()),
        (ACME.replace("https://login.example.com", "login.example.com"), "FILE:2: issuer: the issuer is not absolute: it needs https:// and a host".to_owned()),
        (with("headers = { Host = \"a\" }"), "FILE:7: headers.Host: the header `host` cannot be added: keyfob sends it by itself where it is needed".to_owned()),
        (with("headers = { Authorization = \"hunter2\" }"), "FILE:7: headers.Authorization: the header `authorization` cannot be added: keyfob sends it by itself where it is needed".to_owned()),
        (with("headers = { x-a = \"1\", Cookie = \"hunter2\" }"), "FILE:7: headers.Cookie: the header `cookie` cannot be added: keyfob authenticates by itself, and keeps no cookies".to_owned()),
        (with("header_files = { Proxy-Authorization = \"a\" }"), "FILE:7: header_files.Proxy-Authorization: the header would be sent to the API: name the proxy and its password in KEYFOB_PROXY".to_owned()),
        (with("headers = { x-a = \"a\\nb\" }"), "FILE:7: headers.x-a: the value of the header `x-a` holds a control character at byte 1: remove it".to_owned()),
        (with("parameters = { client_id = \"a\" }"), "FILE:7: parameters.client_id: the parameter client_id is one that the flow itself sends: remove it".to_owned()),
        (with("scope = \"a\\\"b\""), "FILE:7: scope: the scope holds a character that RFC 6749 3.3 does not allow".to_owned()),
        (with("revocation_url = \"https://a@b.example/\""), "FILE:7: revocation_url: the revocation URL holds a user name or password: give credentials separately".to_owned()),
        (with("revocation_url = \"https://a.example/#x\""), "FILE:7: revocation_url: the revocation URL has a fragment ('#'): remove it (RFC 6749 3.2)".to_owned()),
        // Keys that exclude one another, or have no effect.
        (with("client_secret_cmd = \"pass show acme\""), "FILE:7: client_secret_cmd: is a second source of the client secret, beside line 6; remove one of them".to_owned()),
        (with("client_id = \"other\""), "FILE:7: client_id: is set twice; the first time is in line 4".to_owned()),
        (with("[service.acme]"), "FILE:7: service.acme: is defined twice; the first time is in line 1".to_owned()),
        (with("headers = { x-a = \"1\", X-A = \"2\" }"), "FILE:7: headers.X-A: is set twice; the first time is in line 7".to_owned()),
        (with("headers = { x-a = \"1\" }\nheader_files = { X-A = \"2\" }"), "FILE:8: header_files.X-A: has a value already; remove one of the two".to_owned()),
        (with("redirect_uri = \"http://127.0.0.1/\""), "FILE:7: redirect_uri: has no effect with grant = \"client_credentials\"; remove it".to_owned()),
        (with("client_auth = \"assertion\"\nassertion_file = \"a\""), "FILE:6: client_secret_file: has no effect with client_auth = \"assertion\"; remove it".to_owned()),
        // Values that do not fit the grant.
        (with("client_auth = \"none\""), "FILE:7: client_auth: cannot be used with grant = \"client_credentials\" (RFC 6749 4.4); write another one, or name a TLS client certificate with client_cert_file and client_key_file".to_owned()),
        ("[service.acme]\napi_url = \"https://a.example\"\ngrant = \"basic\"\nclient_id = \"a:b\"\n".to_owned(), "FILE:4: client_id: the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2): use another one".to_owned()),
        (ACME.replace("client_credentials", "urn:ietf:params:oauth:grant-type:device_code"), "FILE:5: grant: is the URI of a device login; write grant = \"device_code\"".to_owned()),
        (ACME.replace("client_credentials", "authorization_code") + "parameters = { state = \"x\" }\n", "FILE:7: parameters.state: the parameter state is one that the flow itself sends: remove it".to_owned()),
        (ACME.replace("client_credentials", "device_code") + "parameters = { device_code = \"x\" }\n", "FILE:7: parameters.device_code: the parameter device_code is one that the flow itself sends: remove it".to_owned()),
        // Names.
        ("[service.token]\n".to_owned(), "FILE:1: service.token: is the name of a command; choose another name, such as my-token".to_owned()),
        ("[service.git-credential]\n".to_owned(), "FILE:1: service.git-credential: is the name of a command; choose another name, such as my-git-credential".to_owned()),
        ("[service.keyfob]\n".to_owned(), "FILE:1: service.keyfob: is the name of a command; choose another name, such as my-keyfob".to_owned()),
        ("[service.Acme]\n".to_owned(), "FILE:1: service.Acme: cannot be the name of a service; write a letter from a to z, then up to 31 of a-z, 0-9 and '-'".to_owned()),
        (format!("[service.a{}]\n", "b".repeat(32)), format!("FILE:1: service.a{}: cannot be the name of a service; write a letter from a to z, then up to 31 of a-z, 0-9 and '-'", "b".repeat(32))),
        // Built-in services.
        ("[service.spatiafi]\ngrant = \"basic\"\n".to_owned(), "FILE:2: grant: is fixed for the built-in service spatiafi; remove it".to_owned()),
        ("[service.spatiafi]\nredirect_uri = \"http://127.0.0.1/\"\n".to_owned(), "FILE:2: redirect_uri: has no effect with SpatiaFi; remove it".to_owned()),
        ("[service.spacebring]\nnetwork_ids = \"x\"\n".to_owned(), "FILE:2: network_ids: is not a key of a service; the nearest one is network_id".to_owned()),
    ] {
        let home = Home::with(&content);
        let service = ["spatiafi", "spacebring"].into_iter().find(|name| content.contains(name)).unwrap_or("acme");
        // A mistake in the file ends each command of each service.
        let text = says.replace("FILE:", &format!("{}:", home.file().display()));
        let output = home.run(&format!("{service} token"));
        assert_eq!(err(&output), format!("keyfob: error: {text}\n"), "{content}");
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{content}");
    }
}

/// A line that is not TOML: each text has the key, if there is one, and says what to write instead.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn mistakes_of_the_syntax_are_named_with_file_line_and_key() {
    let more = "has more after its value; write nothing but a comment after the closing quote";
    let escape =
        "holds a backslash that begins no escape; write it twice, or put the text into single quotes";
    let list = "is a list with a mistake in it, such as a missing quote, comma or bracket; write";
    let table = "is a table with a mistake in it, such as a missing quote, comma or brace; write";
    let sign = "has another sign than `=` before its value; write";
    let line = "the line is not TOML; write a header such as [service.my-service], or a key with its value such as \
                client_id = \"my-client\"";
    let json = "the file is JSON and not TOML; write [service.my-service], and below it a line KEY = VALUE for each key";
    let return_alone = "a line ends with CR alone; save the file with the line ends LF or CRLF";
    // A line after the six of the section, the line that the text names, and the text.
    let lines = [
        // Quotes.
        ("scope = \"things.read", 7, "scope: is text whose quotes are not closed; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        ("scope = 'things.read\nrate = 1", 7, "scope: is text whose quotes are not closed; write text in quotes".to_owned()),
        ("scope = \"\"\"things.read\nrate = 1\n", 7, "scope: is text whose quotes are not closed; write text in quotes".to_owned()),
        ("scope = '''things.read\nrate = 1\n", 7, "scope: is text whose quotes are not closed; write text in quotes".to_owned()),
        ("scope = \"a\\\n b\"", 7, "scope: is text whose quotes are not closed; write text in quotes".to_owned()),
        ("scope = \u{201c}a\u{201d}", 7, "scope: has quotation marks that TOML does not know; write text in quotes".to_owned()),
        ("scope = `a`", 7, "scope: has quotation marks that TOML does not know; write text in quotes".to_owned()),
        ("\u{201c}scope\u{201d} = \"a\"", 7, "scope: has quotation marks around it that TOML does not know; write text in quotes".to_owned()),
        ("scope = \"C:\\secrets\\acme\"", 7, format!("scope: {escape}")),
        ("scope = \"\\u12\"", 7, format!("scope: {escape}")),
        ("scope = \"\\uD800\"", 7, format!("scope: {escape}")),
        ("scope = \"a\" b", 7, format!("scope: {more}")),
        ("scope = \"a\";", 7, format!("scope: {more}")),
        ("scope = \"a\",", 7, format!("scope: {more}")),
        ("scope = \"a\" + \"b\"", 7, format!("scope: {more}")),
        ("scope = \"a\" rate = 1", 7, format!("scope: {more}")),
        ("scope = 'a'b'", 7, format!("scope: {more}")),
        // No quotes.
        ("scope = things.read", 7, "scope: is text without quotes; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        ("token_url = https://login.example.com", 7, "token_url: is text without quotes; write text in quotes".to_owned()),
        ("scope = null", 7, "scope: is text without quotes; write text in quotes".to_owned()),
        ("scope = $SCOPE", 7, "scope: is text without quotes; write text in quotes".to_owned()),
        ("client_secret_cmd = pass show acme", 7, "client_secret_cmd: is text without quotes; write text in quotes".to_owned()),
        ("without = pkce", 7, "without: is text without quotes; write a list of texts, as in without = [\"pkce\"]".to_owned()),
        // No value, or no sign.
        ("scope =", 7, "scope: has no value; write text in quotes, as in scope = \"things.read things.write\"".to_owned()),
        ("scope = # none", 7, "scope: has no value; write text in quotes".to_owned()),
        ("scope", 7, "scope: has no value; write text in quotes".to_owned()),
        ("scope \"a\"", 7, "scope: has no `=` before its value; write text in quotes".to_owned()),
        ("scope == \"a\"", 7, format!("scope: {sign} text in quotes")),
        ("scope => \"a\"", 7, format!("scope: {sign} text in quotes")),
        ("scope: \"a\"", 7, format!("scope: {sign} text in quotes")),
        ("scope := \"a\"", 7, format!("scope: {sign} text in quotes")),
        ("  scope: a", 7, format!("scope: {sign} text in quotes")),
        ("token_url: https://a.example/?a=b", 7, format!("token_url: {sign} text in quotes")),
        ("= \"a\"", 7, line.to_owned()),
        // Numbers, lists and tables.
        ("rate = 10x", 7, "rate: is not a number of TOML; write a whole number from 1 to 4294967295, as in rate = 10".to_owned()),
        ("rate = 010", 7, "rate: is not a number of TOML; write a whole number".to_owned()),
        ("rate = 1_", 7, "rate: is not a number of TOML; write a whole number".to_owned()),
        ("rate = 10 per second", 7, "rate: is not a number of TOML; write a whole number".to_owned()),
        ("without = [pkce]", 7, format!("without: {list} a list of texts, as in without = [\"pkce\"]")),
        ("without = [\"pkce\"", 7, format!("without: {list} a list of texts")),
        ("without = [\"pkce\"\nrate = 1", 8, format!("without: {list} a list of texts")),
        ("without = [\n\"pkce\"\n\"state\"\n]", 9, format!("without: {list} a list of texts")),
        ("without = [\"pkce\",,\"state\"]", 7, format!("without: {list} a list of texts")),
        ("headers = { x-a = \"1\"", 7, format!("headers: {table} a table of texts, as in headers = {{ x-api-version = \"2\" }}")),
        ("headers = { \"x-a\": \"1\" }", 7, format!("headers: {table} a table of texts")),
        ("headers = { x-a = \"1\" x-b = \"2\" }", 7, format!("headers: {table} a table of texts")),
        ("headers.x-a = 1a", 7, "headers: is text without quotes; write a table of texts".to_owned()),
        ("[service.acme.headers]\nx-a = 1a", 8, format!("headers: {table} a table of texts")),
        // Keys that are nearly known.
        ("client id = \"a\"", 7, "client id: is not a key of a service; the nearest one is client_id".to_owned()),
        ("isuer = foo", 7, "isuer: is not a key of a service; the nearest one is issuer".to_owned()),
        ("client_secret = hunter2", 7, "client_secret: a secret does not belong in this file; name a file with client_secret_file".to_owned()),
        ("password: hunter2", 7, "password: a secret does not belong in this file".to_owned()),
        ("client_secret = \"hunter2", 7, "client_secret: a secret does not belong in this file".to_owned()),
        ("[service.spacebring]\nnetwork_id = hunter2", 8, "network_id: is not text in quotes; write text in quotes, as in network_id = \"…\"".to_owned()),
        ("{ hunter2 }", 7, line.to_owned()),
        ("scope\u{a0}= \"a\"", 7, "scope: has the character U+00A0 beside it; remove that".to_owned()),
        ("\u{a0}\u{a0}scope = \"a\"", 7, "scope: has the character U+00A0 beside it; remove that".to_owned()),
        ("\u{200b}scope = \"a\"", 7, "scope: has the character U+200B beside it; remove that".to_owned()),
        // A pasted secret is not shown.
        ("hunter2", 7, line.to_owned()),
        ("aHVudGVyMg==", 7, line.to_owned()),
        ("hunter2 = hunter2", 7, line.to_owned()),
        // Control characters.
        ("scope = \"a\0b\"", 7, "scope: holds the control character U+0000; remove it".to_owned()),
        ("scope = \"a\u{1b}b\"", 7, "scope: holds the control character U+001B; remove it".to_owned()),
        ("\0", 7, "the line holds the control character U+0000; remove it".to_owned()),
        (
            "\u{feff}[service.b]",
            7,
            "the line begins with a byte order mark (U+FEFF), which cannot be seen; remove it".to_owned(),
        ),
        ("# a\u{7f}b", 7, "the line holds the control character U+007F; remove it".to_owned()),
        ("scope = \"a\"\rrate = 1", 7, return_alone.to_owned()),
        ("# a\rscope = \"a\"", 7, return_alone.to_owned()),
        ("scope = \"a\rb\"", 7, return_alone.to_owned()),
    ];
    let files = [
        ("[service.acme\n", 1, "the header is not TOML; write [service.acme]"),
        ("[service.acme\nissuer = \"a\"\n", 1, "the header is not TOML; write [service.acme]"),
        ("[[service.acme]\n", 1, "the header is not TOML; write [service.acme]"),
        ("[service.acme]]\n", 1, "the header is not TOML; write [service.acme]"),
        ("service.acme]\n", 1, "the header is not TOML; write [service.acme]"),
        ("[service acme]\n", 1, "the header is not TOML; write [service.acme]"),
        ("[service:acme]\n", 1, "the header is not TOML; write [service.acme]"),
        ("[service.acme.headers\n", 1, "the header is not TOML; write [service.acme.headers]"),
        ("[service.my acme]\n", 1, "the header is not TOML; write [service.my-service]"),
        ("[]\n", 1, "the header is not TOML; write [service.my-service]"),
        (
            "[service.acme] issuer = \"a\"\n",
            1,
            "the header has more after it; write [service.acme] in a line of its own",
        ),
        ("[[service]]\nname = \"acme\"\n", 1, "service: is in double brackets; write [service.my-service]"),
        ("{ \"service\": { \"acme\": {} } }\n", 1, json),
        ("{\n  \"service\": {}\n}\n", 1, json),
        ("service:\n  acme:\n    issuer: a\n", 1, line),
        ("---\nservice:\n", 1, line),
        ("[acme]\nissuer = https://login.example.com\n", 1, "acme: is not known here; write [service.acme]"),
        ("[services.acme]\n", 1, "services: is not known here; write [service.acme]"),
        ("; a comment\n[service.acme]\n", 1, line),
        ("export ACME_ISSUER=\"a\"\n", 1, line),
        ("<?xml version=\"1.0\"?>\n", 1, line),
        (&*ACME.replace('\n', "\r"), 1, return_alone),
    ];
    let lines = lines.into_iter().map(|(line, at, says)| (with(line), at, says));
    let files = files.into_iter().map(|(file, at, says)| (file.to_owned(), at, says.to_owned()));
    for (content, at, says) in lines.chain(files) {
        let home = Home::with(&content);
        let output = home.run("acme token");
        let text = format!("keyfob: error: {}:{at}: {says}", home.file().display());
        assert!(err(&output).starts_with(&text), "{content:?}: {}instead of {text}", err(&output));
        assert!(
            !err(&output).contains("hunter2") && !err(&output).contains("aHVudGVyMg"),
            "{}",
            err(&output)
        );
        assert_eq!((output.status.code(), out(&output), err(&output).lines().count()), (Some(2), "", 1));
    }
    // An empty key is a key, and a byte order mark and CRLF are fine.
    let home = Home::with(with("\"\" = \"a\""));
    home.refuses("acme token", "FILE:7: \"\": is not a key of a service; the nearest one is rate");
    ends_with_missing_secret(
        &Home::with(format!("\u{feff}{}", ACME.replace('\n', "\r\n"))).run("acme token"),
    );
}

#[test]
fn lone_half_of_the_app_credentials_is_named_with_its_place() {
    for (line, unset) in [
        ("client_id = \"x\"", "SECRET"),
        ("client_secret_file = \"secret\"", "ID"),
        ("client_secret_cmd = \"echo s3cr3t\"", "ID"),
    ] {
        let home = Home::with(format!("[service.spatiafi]\n{line}\n"));
        let secret = home.file().with_file_name("secret");
        fs::write(&secret, "s3cr3t").unwrap();
        chmod(&secret, 0o600);
        let text = format!(
            "{} in {}:2 is set, but SPATIAFI_CLIENT_{unset} is not: set both, or neither to use the file of app credentials",
            line.split(' ').next().unwrap(),
            home.file().display()
        );
        let output = home.run("spatiafi token");
        assert_eq!((output.status.code(), err(&output)), (Some(2), &*format!("keyfob: error: {text}\n")));
        let output = home.run("spatiafi check --offline");
        assert!(output.status.code() == Some(2) && out(&output).contains(&text), "{}", out(&output));
    }
}

#[test]
fn home_sign_that_is_not_expanded_is_explained() {
    let home = Home::with(ACME.replace("/run/secrets/acme", "~/acme"));
    let why = "`~` is not expanded: write the whole path";
    fails(&home.run("acme token"), 7, why);
    let mut command = home.keyfob("acme token");
    fails(&command.env("KEYFOB_CONFIG", "~/config.toml").output().unwrap(), 2, why);
    for (name, value) in [("KEYFOB_CA_FILE", "~/ca.pem"), ("ACME_CLIENT_CERT_FILE", "~/a.pem")] {
        let mut command = home.keyfob("acme token");
        command.envs([
            (name, value),
            ("ACME_CLIENT_KEY_FILE", "/dev/null"),
            ("ACME_CLIENT_SECRET", "s3cr3t"),
        ]);
        fails(&command.output().unwrap(), 2, why);
    }
    let home = Home::with(
        &(without("client_secret")
            + "client_auth = \"assertion\"\nassertion_file = \"~/jwt\"\ntoken_url = \"http://127.0.0.1:1/\"\n"),
    );
    fails(&home.run("acme token"), 7, why);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn file_that_others_can_change_is_refused() {
    let home = Home::with(ACME);
    let folder = home.file().parent().unwrap().to_owned();
    let text = "the configuration FILE can be changed by other users, and may name a command to run: run `chmod go-w` on it";
    for mode in [0o666, 0o620, 0o602, 0o777] {
        chmod(&home.file(), mode);
        home.refuses("acme status", text);
        // The built-in services may be changed in it too.
        home.refuses("spatiafi status", text);
    }
    chmod(&home.file(), 0o644);
    ends_with_missing_secret(&home.run("acme token"));
    let shown = folder.display();
    let text = format!(
        "the configuration FILE is in the folder {shown}, which other users can change, and may name a command to run: run `chmod go-w` on that folder"
    );
    for mode in [0o777, 0o770, 0o702] {
        chmod(&folder, mode);
        home.refuses("acme token", &text);
    }
    // Nobody but its owner can replace a file in a folder with the sticky bit.
    chmod(&folder, 0o1777);
    ends_with_missing_secret(&home.run("acme token"));
    // The same for a folder further up, and one behind a link.
    chmod(&folder, 0o700);
    let above = folder.parent().unwrap().to_owned();
    chmod(&above, 0o777);
    let text = text.replace(&shown.to_string(), above.to_str().unwrap());
    home.refuses("acme token", &text);
    chmod(&above, 0o700);
    let open = home.0.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::rename(home.file(), open.join("real.toml")).unwrap();
    symlink("../../open/real.toml", home.file()).unwrap();
    ends_with_missing_secret(&home.run("acme token"));
    chmod(&open, 0o777);
    home.refuses("acme token", &text.replace(above.to_str().unwrap(), open.to_str().unwrap()));
}

/// The configuration was read: only the file of the secret is missing.
#[track_caller]
fn ends_with_missing_secret(output: &Output) {
    fails(output, 7, "could not read the file that client_secret_file in ");
}

#[test]
fn path_that_is_no_readable_file_is_refused() {
    let home = Home::new();
    fs::create_dir(home.file()).unwrap();
    home.refuses("acme token", "the configuration FILE is a folder: name a file");
    fs::remove_dir(home.file()).unwrap();
    assert!(Command::new("mkfifo").arg(home.file()).status().unwrap().success());
    home.refuses(
        "acme token",
        "the configuration FILE is not a regular file: name a file that can be read again and again",
    );
    fs::remove_file(home.file()).unwrap();
    symlink("config.toml", home.file()).unwrap();
    let text = "the configuration FILE cannot be reached: its symbolic links form a loop, or there are too many of them";
    home.refuses("acme token", text);
    fs::remove_file(home.file()).unwrap();
    symlink("one", home.file()).unwrap();
    symlink("config.toml", home.file().with_file_name("one")).unwrap();
    home.refuses("spatiafi token", text);
    fs::remove_file(home.file()).unwrap();
    symlink("nowhere", home.file()).unwrap();
    home.refuses("acme token", "could not read the configuration FILE: no such file or directory");
}

#[test]
fn text_that_is_not_utf8_is_refused_and_marks_and_line_ends_of_windows_are_accepted() {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for (content, says) in [
        (
            [bytes(ACME), b"scope = \"\xff\"\n".to_vec()].concat(),
            "FILE:7: the line is not UTF-8: save the file as UTF-8",
        ),
        (b"\x80".to_vec(), "FILE:1: the line is not UTF-8: save the file as UTF-8"),
        (
            utf16(&format!("\u{feff}{ACME}")),
            "the configuration FILE is UTF-16 or UTF-32 text, by its byte order mark: save it as UTF-8",
        ),
    ] {
        Home::with(content).refuses("acme token", says);
    }
    for content in [
        format!("\u{feff}{ACME}"),
        ACME.replace('\n', "\r\n"),
        format!("\u{feff}{}", ACME.replace('\n', "\r\n")),
    ] {
        ends_with_missing_secret(&Home::with(&content).run("acme token"));
        let crlf = content.replace("issuer", "isuer");
        Home::with(crlf)
            .refuses("acme token", "FILE:2: isuer: is not a key of a service; the nearest one is issuer");
    }
}

#[test]
fn file_of_one_mebibyte_is_read_and_a_longer_one_is_refused() {
    let mut content = ACME.to_owned();
    while content.len() < 1024 * 1024 - 100 {
        content.push_str("# a comment of a few words, which takes some space\n");
    }
    content.push_str(&" ".repeat(1024 * 1024 - content.len()));
    ends_with_missing_secret(&Home::with(&content).run("acme token"));
    content.push('\n');
    Home::with(&content)
        .refuses("acme token", "the configuration FILE is longer than 1 MiB: keep only the services in it");
    // A megabyte of lists in lists, of services, and of entries.
    let deep = format!("{ACME}scope = {}", "[".repeat(1_000_000));
    assert_eq!(Home::with(deep).run("acme token").status.code(), Some(2));
    let services: Vec<_> = (0..60_000).map(|n| format!("[service.a{n}]\n")).collect();
    Home::with(services.concat())
        .refuses("acme token", "FILE:1001: service.a1000: is one service too many; a file can have 1000");
    let headers: Vec<_> = (0..60_000).map(|n| format!("h{n}=\"\"\n")).collect();
    let content = with(&format!("[service.acme.headers]\n{}", headers.concat()));
    Home::with(content)
        .refuses("acme token", "FILE:108: headers.h100: is one entry too many; headers can have 100");
}

#[test]
fn no_file_is_fine_and_an_unknown_service_says_where_it_would_be() {
    let home = Home::new();
    ends_well(&home.run("spatiafi status"));
    let output = home.run("acme token");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("unrecognized subcommand 'acme'"), "{}", err(&output));
    let text = format!("there is no configuration {}", home.file().display());
    assert!(err(&output).contains(&text), "{}", err(&output));
    let named = home.0.path().join("named.toml");
    let mut command = home.keyfob("spatiafi status");
    ends_well(&command.env("KEYFOB_CONFIG", &named).output().unwrap());
    fs::write(&named, ACME).unwrap();
    let mut command = home.keyfob("acme token");
    ends_with_missing_secret(&command.env("KEYFOB_CONFIG", "named.toml").output().unwrap());
    // The variable comes before the folder of the desktop specification, and that before the home folder.
    let folder = home.0.path().join("xdg");
    fs::create_dir_all(folder.join("keyfob")).unwrap();
    fs::write(folder.join("keyfob/config.toml"), "[service.xdg]\n").unwrap();
    let mut command = home.keyfob("xdg token");
    let output = command.env("XDG_CONFIG_HOME", &folder).output().unwrap();
    fails(&output, 2, "grant: is missing");
    let mut command = home.keyfob("acme token");
    ends_with_missing_secret(
        &command.env("XDG_CONFIG_HOME", &folder).env("KEYFOB_CONFIG", &named).output().unwrap(),
    );
}

#[test]
fn broken_file_does_not_hide_the_help() {
    let home = Home::with("[service.acme\n");
    for words in ["--help", "--version", "completions bash", "spatiafi --help"] {
        ends_well(&home.run(words));
    }
    for words in ["spatiafi token", "acme token"] {
        home.refuses(words, "FILE:1: the header is not TOML; write [service.acme]");
    }
}

#[test]
fn help_and_completions_list_configured_services() {
    let home = Home::with(ACME);
    assert!(
        out(&home.run("--help")).contains("acme         acme: client_credentials"),
        "{}",
        out(&home.run("--help"))
    );
    assert!(out(&home.run("completions bash")).contains("keyfob__subcmd__acme__subcmd__token"));
    ends_well(&home.run("acme get --help"));
    // The grant, which is not checked for these, can be any text.
    let grant = "urn:x'\\\";touch run;\\u001b[31m$(touch run)`touch run`\\n[a]:b";
    fs::write(home.file(), ACME.replace("client_credentials", grant)).unwrap();
    for words in ["--help", "acme --help", "services", "services --format json", "acme status", "status"] {
        let output = home.run(words);
        let shown = format!("{}{}", out(&output), err(&output));
        assert!(!shown.contains('\u{1b}') && shown.contains("urn:x"), "{words}: {shown}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&format!("completions {shell}"));
        assert!(out(&script).contains("acme") && !out(&script).contains('\u{1b}'), "{shell}");
    }
    let line = "source <(\"$0\" completions bash); COMP_WORDS=(keyfob ac); COMP_CWORD=1; _keyfob keyfob ac keyfob; \
                echo ${COMPREPLY[@]}; COMP_WORDS=(keyfob acme tok); COMP_CWORD=2; _keyfob keyfob tok acme; echo ${COMPREPLY[@]}";
    let mut bash = Command::new("bash");
    bash.args(["-c", line, env!("CARGO_BIN_EXE_keyfob")])
        .current_dir(home.0.path())
        .env("HOME", home.0.path());
    let output = bash.output().unwrap();
    assert_eq!((out(&output), err(&output)), ("acme\ntoken\n", ""));
    assert!(!home.0.path().join("run").exists());
}

#[test]
fn word_in_the_place_of_a_service_gets_a_hint_that_fits_it() {
    let home = Home::with(ACME);
    let hint = |output: &Output| {
        assert_eq!((output.status.code(), out(output)), (Some(2), ""));
        assert!(err(output).starts_with("keyfob: error: "), "{}", err(output));
        let last = err(output).lines().next_back().unwrap().to_owned();
        last.strip_prefix("keyfob: ").filter(|hint| !hint.starts_with("error: ")).map(str::to_owned)
    };
    for word in ["token", "check", "login", "get", "git-credential"] {
        for (words, service) in [(word.to_owned(), "spatiafi"), (format!("{word} -v acme"), "acme")] {
            let says = format!(
                "`{word}` follows the name of a service, as in `keyfob {service} {word}`: `keyfob services` lists the services"
            );
            assert_eq!(hint(&home.run(&words)), Some(says));
        }
    }
    let says = format!("{} has no [service.acne]", home.file().display());
    assert_eq!(hint(&home.run("acne token")), Some(says));
    // Neither can be a service.
    for words in ["Acme token", "-v", "acme tokn"] {
        assert_eq!(hint(&home.run(words)), None, "{words}");
    }
    // A section with the name of a command.
    for word in ["status", "services", "completions"] {
        let home = Home::with(ACME.replace("acme", word));
        let says = format!(
            "{}:1: service.{word}: is the name of a command; choose another name, such as my-{word}",
            home.file().display()
        );
        assert_eq!(hint(&home.run(&format!("{word} get /things"))), Some(says));
    }
}
