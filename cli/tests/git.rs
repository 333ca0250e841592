//! `keyfob <service> git-credential`, by hand and with git itself.
#![cfg(unix)]

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Output};

use keyfob_sandbox::Endpoint;
use support::git::GitServer;
use support::home::{CLIENT_CREDENTIALS, Home};
use support::{ends_well, err, fails, out, piped, succeeds, url_of};

/// Acme, with these URLs of its API besides its own.
fn home(urls: &[&str], lines: &str) -> Home {
    let home = Home::with(lines);
    section(&home, urls, lines);
    home
}

fn section(home: &Home, urls: &[&str], lines: &str) {
    let urls: Vec<_> = urls.iter().copied().map(str::to_owned).chain([home.acme.api_url()]).collect();
    home.section(&format!(
        "issuer = \"{}\"\napi_url = {urls:?}\nclient_id = \"{}\"\nclient_secret_file = \"secret\"\n{lines}",
        home.acme.issuer(),
        home.acme.client_id()
    ));
}

fn run(home: &Home, words: &str, input: impl AsRef<[u8]>) -> Output {
    let mut child = piped(&mut home.keyfob(&format!("acme git-credential {words}")));
    // The command may end before it has read a long input.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    child.wait_with_output().unwrap()
}

const OWN: &str = "protocol=https\nhost=git.example.com\n";

#[test]
fn git_gets_a_token_with_its_scheme_or_as_a_password() {
    let home = home(&["https://git.example.com", "https://other.example.com:8443/scm"], CLIENT_CREDENTIALS);
    let token = succeeds(&home.run("acme token")).trim().to_owned();
    let json: serde_json::Value =
        serde_json::from_str(succeeds(&home.run("acme token --format json"))).unwrap();
    let expiry = format!("password_expiry_utc={}\n", json["expires_at"]);
    let password = format!("username=oauth2\npassword={token}\n{expiry}");
    let bearer = format!("capability[]=authtype\nauthtype=Bearer\ncredential={token}\nephemeral=1\n{expiry}");
    for (input, expected) in [
        (OWN.to_owned(), &password),
        (format!("{OWN}\n"), &password),
        (format!("{OWN}\nhost=evil.example\n"), &password),
        ("protocol=https\nhost=git.example.com".to_owned(), &password),
        ("host=GIT.example.com:443\nprotocol=https\npath=a/b.git\n".to_owned(), &password),
        ("protocol=https\nhost=other.example.com:8443\n".to_owned(), &password),
        (format!("{OWN}nonsense=1\nwwwauth[]=Basic realm=\"a=b\"\nstate[]=x\nusername\u{e9}=\n"), &password),
        (format!("capability[]=authtype\ncapability[]=state\n{OWN}"), &bearer),
        (format!("capability[]=state\n{OWN}"), &password),
        (format!("capability[]=authtype\ncapability[]=\n{OWN}"), &password),
        (format!("{OWN}username=me\n"), &password.replace("oauth2", "me")),
        (format!("{OWN}path={}\n", "a".repeat(60_000)), &password),
    ] {
        assert_eq!(succeeds(&run(&home, "get", &input)), expected, "{input:?}");
    }
    // The token is in the answer only.
    let output = run(&home, "get -v", OWN);
    assert_eq!(out(&output), password);
    let erased = run(&home, "erase -v", format!("{OWN}{password}"));
    for said in [err(&output), err(&erased), out(&erased)] {
        assert!(!said.contains(&token) && !said.contains(&home.secret()), "{said}");
    }
    assert_eq!(home.count(Endpoint::Token), 1);
}

#[test]
fn git_gets_nothing_for_other_servers_and_for_what_is_no_description() {
    let home = home(&["https://git.example.com"], CLIENT_CREDENTIALS);
    // No secret is read for those.
    std::fs::remove_file(home.path(".config/keyfob/secret")).unwrap();
    let host = |host: &str| format!("protocol=https\nhost={host}\n");
    let mut inputs: Vec<_> = [
        "git.example.com:8443",
        "git.example.com.",
        "git.example.com.evil.example",
        "evil-git.example.com",
        "example.com",
        "evil.example/git.example.com",
        "git.example.com/.evil.example",
        "git.example.com?.evil.example",
        "git.example.com#.evil.example",
        "git.example.com\\.evil.example",
        "git.example.com@evil.example",
        "me@git.example.com",
        "evil.example:443@git.example.com",
        "git.example.com:443:443",
        "git.example.com\r",
        "git.example.com ",
        " git.example.com",
        "git.example.com%2f",
        "",
    ]
    .map(host)
    .to_vec();
    inputs.extend(
        [
            "",
            "\n",
            "\n\nprotocol=https\nhost=git.example.com\n",
            "protocol=https\n",
            "host=git.example.com\n",
            "protocol=http\nhost=git.example.com\n",
            "protocol=ssh\nhost=git.example.com\n",
            "protocol=HTTPS://git.example.com/\nhost=git.example.com\n",
            "protocol=https\r\nhost=git.example.com\r\n\r\n",
            "url=https://git.example.com/\n",
            "protocol=https\nhost=git.example.com\nnonsense\n",
            "protocol=https\nhost=git.example.com\0\n",
            "protocol=https\nhost=git.example.com\npath=\0\n",
            "PROTOCOL=https\nHOST=git.example.com\n",
            "protocol=https\nhost=git.example.com\nhost=evil.example\n",
        ]
        .map(str::to_owned),
    );
    inputs.push(format!("{OWN}path={}\n", "a".repeat(200_000)));
    inputs.push("a".repeat(2_000_000));
    for input in &inputs {
        for operation in ["get", "erase"] {
            let shown = &input[..input.len().min(80)];
            let output = run(&home, operation, input);
            assert_eq!(
                (output.status.code(), out(&output), err(&output)),
                (Some(0), "", ""),
                "{operation} {shown:?}"
            );
        }
    }
    for input in [
        &b"protocol=https\nhost=git.example.com\xff\n"[..],
        b"protocol=https\nhost=git.example.com\nusername=\xff\n",
    ] {
        assert_eq!(succeeds(&run(&home, "get", input)), "");
    }
    // A control character never reaches the answer, and a carriage return is in no description of git.
    for input in [
        "protocol=https\nhost=git.example.com\nusername=me\r\n",
        "protocol=https\nhost=git.example.com\nusername=me\rpassword=x\n",
        "protocol=https\nhost=git.example.com\npath=a\rb\n",
        "protocol=https\nhost=git.example.com\npath=a.git\r\n",
        "protocol=https\nhost=git.example.com\nwwwauth[]=Basic realm=\"a\"\r\n",
        "protocol=https\nhost=git.example.com\nusername=me\u{1b}[31m\n",
        "protocol=https\nhost=git.example.com\nusername=me\u{7f}\n",
        "protocol=https\nhost=git.example.com\nusername=me\u{9b}31m\n",
        "protocol=https\nhost=git.example.com\nusername=me\t\n",
    ] {
        for operation in ["get", "erase"] {
            let output = run(&home, operation, input);
            assert_eq!((output.status.code(), out(&output), err(&output)), (Some(0), "", ""), "{input:?}");
        }
    }
    for operation in ["store", "approve", "capability", "GET"] {
        assert_eq!(succeeds(&run(&home, operation, OWN)), "", "{operation}");
    }
    assert_eq!(home.acme.total(), 0);
    assert!(!home.path(".local").exists());
    // For its own server it fails, so that git asks somebody else. A path may be in any encoding.
    fails(&run(&home, "get", OWN), 7, "could not read ");
    let input = [OWN.as_bytes(), b"path=caf\xe9\nwwwauth[]=Basic realm=\"caf\xe9\"\n"].concat();
    fails(&run(&home, "get", input), 7, "could not read ");
    fails(&home.run("acme git-credential"), 2, "<OPERATION>");
}

#[test]
fn empty_line_ends_the_description() {
    let home = home(&["https://git.example.com"], CLIENT_CREDENTIALS);
    let mut child = piped(&mut home.keyfob("acme git-credential get"));
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"protocol=https\nhost=git.").unwrap();
    input.write_all(b"example.com\n\n").unwrap();
    // The input stays open.
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("username=oauth2\npassword="), "{said}");
    assert!(child.wait().unwrap().success());
    drop(input);
}

#[test]
fn service_with_http_basic_gives_git_its_name_and_secret() {
    let home = Home::with(CLIENT_CREDENTIALS);
    home.section(
        "api_url = \"https://git.example.com\"\nclient_id = \"me\"\ngrant = \"basic\"\nclient_secret_file = \"secret\"",
    );
    home.file("secret", "open: \"sesame=\\");
    let expected = "username=me\npassword=open: \"sesame=\\\n";
    for more in ["", "capability[]=authtype\n", "username=me\n"] {
        assert_eq!(succeeds(&run(&home, "get", format!("{OWN}{more}"))), expected);
    }
    assert_eq!(succeeds(&run(&home, "get", format!("{OWN}username=you\n"))), "");
    assert_eq!(succeeds(&run(&home, "erase", format!("{OWN}{expected}"))), "");
    assert_eq!(succeeds(&run(&home, "get", OWN)), expected);
}

#[test]
fn refused_token_is_renewed_only_if_it_is_the_stored_one() {
    let home = home(&["https://git.example.com"], CLIENT_CREDENTIALS);
    let token = || succeeds(&home.run("acme token")).trim().to_owned();
    let first = token();
    for (input, is_renewed) in [
        (OWN.to_owned(), false),
        (format!("{OWN}password=\n"), false),
        (format!("{OWN}password={first}x\n"), false),
        (format!("{OWN}password={}\n", &first[1..]), false),
        (format!("protocol=https\nhost=evil.example\npassword={first}\n"), false),
        (format!("{OWN}username=oauth2\npassword={first}\n"), true),
    ] {
        let before = token();
        let issued = home.count(Endpoint::Token);
        assert_eq!(succeeds(&run(&home, "erase", &input)), "");
        assert_eq!(home.count(Endpoint::Token), issued, "erase sends nothing");
        assert_eq!(token() != before, is_renewed, "{input}");
    }
    let second = token();
    ends_well(&run(
        &home,
        "erase",
        format!("{OWN}capability[]=authtype\nauthtype=Bearer\ncredential={second}\n"),
    ));
    assert_ne!(token(), second);
    // The refused one is not the stored one any more.
    let third = token();
    ends_well(&run(&home, "erase", format!("{OWN}password={second}\n")));
    assert_eq!(token(), third);
    assert_eq!(home.count(Endpoint::Token), 3);
}

#[test]
fn refused_token_of_a_login_is_renewed_with_its_refresh_token() {
    let login = "grant = \"authorization_code\"\nredirect_uri = \"http://127.0.0.1:0/callback\"";
    let home = home(&["https://git.example.com"], login);
    fails(&run(&home, "get", OWN), 3, "run `keyfob acme login`");
    let mut child = piped(&mut home.keyfob("acme login --no-browser"));
    let callback = home.acme.approve(&url_of(&mut child));
    writeln!(child.stdin.take().unwrap(), "{callback}").unwrap();
    ends_well(&child.wait_with_output().unwrap());
    let given = succeeds(&run(&home, "get", OWN)).to_owned();
    assert_eq!(succeeds(&run(&home, "erase", format!("{OWN}{given}"))), "");
    let next = run(&home, "get", OWN);
    assert_ne!(succeeds(&next), given);
    assert_eq!((home.acme.logins(), home.acme.refreshes()), (1, 1));
}

#[test]
#[ignore = "needs git"]
fn git_clones_with_the_helper_and_a_refused_token_is_renewed() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let server = GitServer::start(home.path("served"));
    section(&home, &[&server.url], CLIENT_CREDENTIALS);
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        let helper = format!("credential.helper=!{} acme git-credential", env!("CARGO_BIN_EXE_keyfob"));
        git.args(["-c", &helper, "-c", "user.name=me", "-c", "user.email=me@example.com"]).args(words);
        git.env_clear().env("HOME", home.folder.path()).env("PATH", std::env::var_os("PATH").unwrap());
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").current_dir(home.folder.path());
        git.output().unwrap()
    };
    for words in [
        &["init", "--quiet", "source"][..],
        &["-C", "source", "commit", "--quiet", "--allow-empty", "-m", "first"],
        &["clone", "--quiet", "--bare", "source", "served/repository.git"],
    ] {
        ends_well(&git(words));
    }
    let url = format!("{}/repository.git", server.url);
    ends_well(&git(&["clone", "--quiet", &url, "copy"]));
    let token = succeeds(&home.run("acme token")).trim().to_owned();
    let used = server.seen.lock().unwrap().last().unwrap().clone();
    // git 2.46 and later send the scheme; older ones send the token as a password.
    let is_new = used == format!("Bearer {token}");
    assert!(is_new || used.starts_with("Basic "), "{used}");
    assert_eq!(home.count(Endpoint::Token), 1);
    // The server refuses the token. git reports that, and the next run has another one.
    server.refused.lock().unwrap().push(used);
    let output = git(&["-C", "copy", "fetch"]);
    assert!(!output.status.success(), "{}", err(&output));
    ends_well(&git(&["-C", "copy", "fetch"]));
    assert_eq!(home.count(Endpoint::Token), 2);
    assert_ne!(succeeds(&home.run("acme token")).trim(), token);
    // Another server gets nothing.
    let other = GitServer::start(home.path("served"));
    let output = git(&["clone", "--quiet", &format!("{}/repository.git", other.url), "other"]);
    assert!(!output.status.success());
    assert_eq!(*other.seen.lock().unwrap(), [""; 0]);
    assert!(!out(&output).contains(&token) && !err(&output).contains(&token));
}
