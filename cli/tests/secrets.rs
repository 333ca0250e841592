//! The places from which secrets are read, and the places where they must not appear.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyfob_sandbox::Endpoint;
use support::{INFO, Services, ends_well, err, fails, out, succeeds};

const SECRET: &str = "SPATIAFI_CLIENT_SECRET";

fn token(services: &Services) -> Command {
    services.without(&[SECRET], "spatiafi token --profile")
}

#[test]
fn each_source_gives_the_secret_without_its_newline() {
    let services = Services::start();
    let secret = services.spatiafi.client_secret();
    let credentials = services.path("credentials");
    fs::create_dir(&credentials).unwrap();
    for (number, content) in [secret.to_owned(), format!("{secret}\n")].iter().enumerate() {
        let file = services.file("secret", content);
        succeeds(
            &token(&services)
                .arg(format!("file{number}"))
                .env("SPATIAFI_CLIENT_SECRET_FILE", &file)
                .output()
                .unwrap(),
        );
        let print = format!("cat {}", file.display());
        succeeds(
            &token(&services)
                .arg(format!("cmd{number}"))
                .env("SPATIAFI_CLIENT_SECRET_CMD", print)
                .output()
                .unwrap(),
        );
        fs::write(credentials.join("spatiafi_client_secret"), content).unwrap();
        succeeds(
            &token(&services)
                .arg(format!("dir{number}"))
                .env("CREDENTIALS_DIRECTORY", &credentials)
                .output()
                .unwrap(),
        );
        for (how, redirect) in
            [("file", format!("3<{}", file.display())), ("pipe", format!("3< <(cat {})", file.display()))]
        {
            let output =
                by_descriptor(&services, 3, &format!("spatiafi token --profile fd{how}{number}"), &redirect);
            succeeds(&output);
        }
        succeeds(&by_descriptor(
            &services,
            0,
            &format!("spatiafi token --profile in{number}"),
            &format!("<{}", file.display()),
        ));
    }
    assert_eq!(services.spatiafi.tokens_issued(), 12);
    // No other byte is dropped.
    let file = services.file("secret", format!("{secret}\n\n"));
    let output = token(&services).arg("x").env("SPATIAFI_CLIENT_SECRET_FILE", &file).output().unwrap();
    fails(&output, 2, "has more than one line");
}

/// Line ends and marks as editors, Windows and `pass` leave them. Other bytes are refused by name, and not guessed at.
#[test]
fn secret_is_accepted_with_line_ends_and_byte_order_marks() {
    let services = Services::start();
    let secret = services.spatiafi.client_secret().to_owned();
    let credentials = services.path("credentials");
    fs::create_dir(&credentials).unwrap();
    let more = "has more than one line: leave nothing but the secret in it, with one line end at most";
    let utf_16: Vec<u8> = format!("\u{feff}{secret}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cr = "holds a carriage return (CR) that is not part of a line end: remove it";
    for (n, (content, fails_as, command_fails_as)) in [
        (format!("{secret}\r\n").into_bytes(), None, None),
        (format!("\u{feff}{secret}\n").into_bytes(), None, None),
        (format!("\u{feff}{secret}\r\n").into_bytes(), None, None),
        (format!("{secret}\nuser: me\nurl: https://example.com\n").into_bytes(), Some(more), None),
        (format!("{secret}\r\nuser: me\r\n").into_bytes(), Some(more), None),
        (format!("{secret}\n\n").into_bytes(), Some(more), None),
        (
            format!("\n{secret}\n").into_bytes(),
            Some(more),
            Some("is empty: it must be in the first line of the output"),
        ),
        (format!("{secret}\r").into_bytes(), Some(cr), Some(cr)),
        (b"\r\n".to_vec(), Some("is empty"), Some("is empty")),
        (
            utf_16,
            Some("is UTF-16 text, by its byte order mark: save it as UTF-8"),
            Some("is UTF-16 text, by its byte order mark: save it as UTF-8"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let file = services.file("secret", &content);
        fs::write(credentials.join("spatiafi_client_secret"), &content).unwrap();
        let run = |variable: &str, value: &str| {
            token(&services).arg(format!("{n}{variable}")).env(variable, value).output().unwrap()
        };
        let shown = file.display();
        let outputs = [
            (run("SPATIAFI_CLIENT_SECRET_FILE", &shown.to_string()), fails_as),
            (run("SPATIAFI_CLIENT_SECRET_CMD", &format!("cat {shown}")), command_fails_as),
            (run("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()), fails_as),
            (
                by_descriptor(
                    &services,
                    3,
                    &format!("spatiafi token --profile {n}fd"),
                    &format!("3<{shown}"),
                ),
                fails_as,
            ),
        ];
        for (output, fails_as) in outputs {
            match fails_as {
                None => _ = succeeds(&output),
                Some(says) => {
                    fails(&output, if says.starts_with("is empty") { 3 } else { 2 }, says);
                    assert!(err(&output).starts_with("keyfob: error: the secret from "), "{}", err(&output));
                }
            }
        }
    }
    assert_eq!(services.spatiafi.tokens_issued(), 3 * 4 + 3);
}

/// Runs keyfob with a descriptor that bash opens.
fn by_descriptor(services: &Services, number: u32, words: &str, redirect: &str) -> Output {
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(format!("exec {} {words} {redirect}", env!("CARGO_BIN_EXE_keyfob")));
    bash.env_clear().envs(services.spatiafi.env()).envs(services.spacebring.env()).env_remove(SECRET);
    bash.env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
    bash.env("SPATIAFI_CLIENT_SECRET_FD", number.to_string()).stdin(Stdio::null());
    bash.output().unwrap()
}

#[test]
fn two_sources_are_an_error_that_names_both() {
    let services = Services::start();
    let credentials = services.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("spatiafi_client_secret"), "x").unwrap();
    let sources = [
        ("SPATIAFI_CLIENT_SECRET", "x".to_owned(), "SPATIAFI_CLIENT_SECRET"),
        ("SPATIAFI_CLIENT_SECRET_FILE", "x".to_owned(), "SPATIAFI_CLIENT_SECRET_FILE"),
        ("SPATIAFI_CLIENT_SECRET_FD", "3".to_owned(), "SPATIAFI_CLIENT_SECRET_FD"),
        ("SPATIAFI_CLIENT_SECRET_CMD", "x".to_owned(), "SPATIAFI_CLIENT_SECRET_CMD"),
        (
            "CREDENTIALS_DIRECTORY",
            credentials.display().to_string(),
            "$CREDENTIALS_DIRECTORY/spatiafi_client_secret",
        ),
    ];
    for (n, (one, value, shown)) in sources.iter().enumerate() {
        for (other, other_value, other_shown) in &sources[n + 1..] {
            for words in ["spatiafi token", "spatiafi status"] {
                let mut command = services.without(&[SECRET], words);
                let output = command.env(one, value).env(other, other_value).output().unwrap();
                assert_eq!(output.status.code(), Some(2), "{one} {other}");
                let says = format!("is set twice, by {shown} and by {other_shown}");
                assert!(err(&output).contains(&says), "{}", err(&output));
            }
        }
    }
    assert_eq!(services.requests(), 0);
    // The secrets of the other service are not read.
    ends_well(
        &services.without(&[], "spatiafi token").env("SPACEBRING_CLIENT_SECRET_FILE", "x").output().unwrap(),
    );
}

/// The table of docs/command.md.
#[test]
fn source_without_a_secret_ends_with_the_documented_status() {
    let services = Services::start();
    let plain = services.file("plain", "#!/bin/sh\necho s3cr3t\n");
    let plain = plain.to_str().unwrap();
    let credentials = services.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("spatiafi_client_secret"), "\n").unwrap();
    let mut command = token(&services);
    let output = command.arg("x").env("CREDENTIALS_DIRECTORY", &credentials).output().unwrap();
    fails(&output, 3, "the secret from $CREDENTIALS_DIRECTORY/spatiafi_client_secret");
    let output = by_descriptor(&services, 3, "spatiafi token", "3</dev/null");
    fails(&output, 3, "the secret from SPATIAFI_CLIENT_SECRET_FD (3) is empty");
    let output = by_descriptor(&services, 3, "spatiafi token", "3</dev/zero");
    fails(&output, 2, "the secret from SPATIAFI_CLIENT_SECRET_FD (3) is longer than 64 KiB");
    for (name, value, status, says) in [
        ("FILE", "/nowhere/secret", 7, "could not read the file that SPATIAFI_CLIENT_SECRET_FILE names"),
        ("FILE", "/", 7, "directory"),
        ("FILE", "/dev/null", 3, "is empty"),
        ("FILE", "/dev/zero", 2, "is longer than 64 KiB: leave nothing but the secret in it"),
        ("FD", "three", 2, "number of an open descriptor"),
        ("FD", "-1", 2, "number of an open descriptor"),
        ("FD", "77", 2, "descriptor 77 is not open"),
        ("CMD", "exit 1", 3, "gave no secret: it ended with exit status: 1"),
        ("CMD", "echo s3cr3t; exit 3", 3, "gave no secret: it ended with exit status: 3"),
        ("CMD", "no-such-command-here", 3, "gave no secret: sh does not find it, or cannot read it"),
        ("CMD", "/nowhere/command", 3, "gave no secret: sh does not find it, or cannot read it"),
        ("CMD", plain, 3, "gave no secret: it ended with exit status: 126"),
        ("CMD", "/", 3, "gave no secret: it ended with exit status: 126"),
        ("CMD", "echo s3cr3t; kill -9 $$", 3, "gave no secret: it ended with signal: 9"),
        ("CMD", "kill -TERM $$", 3, "gave no secret: it ended with signal: 15"),
        ("CMD", "true", 3, "the secret from SPATIAFI_CLIENT_SECRET_CMD is empty"),
        ("CMD", "echo", 3, "the secret from SPATIAFI_CLIENT_SECRET_CMD is empty"),
        ("CMD", "cat /dev/zero", 2, "the command in SPATIAFI_CLIENT_SECRET_CMD printed more than 64 KiB"),
        ("CMD", "printf 'a\\000b'", 2, "holds a NUL byte"),
        ("CMD", "printf '\\377'", 2, "is not UTF-8"),
    ] {
        let mut command = token(&services);
        let output = command.arg("x").env(format!("{SECRET}_{name}"), value).output().unwrap();
        fails(&output, status, says);
        assert!(!err(&output).contains("s3cr3t"), "{}", err(&output));
    }
    assert_eq!(services.requests(), 0);
}

#[test]
fn secret_file_readable_by_others_causes_a_warning() {
    let services = Services::start();
    let file = services.file("secret", services.spatiafi.client_secret());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = token(&services).arg("x").env("SPATIAFI_CLIENT_SECRET_FILE", &file).output().unwrap();
    ends_well(&output);
    assert!(err(&output).contains("can be read by others"), "{}", err(&output));
}

#[test]
#[ignore = "takes 30 s"]
fn secret_command_that_does_not_end_is_a_timeout() {
    let services = Services::start();
    for command in ["exec sleep 60", "exec sleep 60 >&-"] {
        let started = Instant::now();
        let output = token(&services).arg("x").env("SPATIAFI_CLIENT_SECRET_CMD", command).output().unwrap();
        fails(&output, 5, "did not end within 30 s");
        assert!(started.elapsed() < Duration::from_secs(45));
    }
}

#[test]
#[ignore = "takes 30 s"]
fn secret_pipe_without_a_writer_is_a_timeout() {
    let services = Services::start();
    let [one, two] = ["one", "two"].map(|name| services.path(name));
    assert!(Command::new("mkfifo").args([&one, &two]).status().unwrap().success());
    let mut command = token(&services);
    command.arg("x").env("SPATIAFI_CLIENT_SECRET_FILE", &one).stderr(Stdio::piped());
    let by_file = command.spawn().unwrap();
    let silent = by_descriptor(&services, 3, "spatiafi token", &format!("3<>{}", two.display()));
    fails(&silent, 5, "did not end within 30 s");
    fails(&by_file.wait_with_output().unwrap(), 5, "did not end within 30 s");
}

/// Secrets of every kind, all marked.
struct Marked {
    services: Services,
    marks: Vec<String>,
}

impl Marked {
    fn start() -> Self {
        let services = Services::start();
        let marks = ["client-secret-mark/8+%Z=aaaaaaaaaaaaaa", "partner-secret-mark/9+%Y=bbbbbbbbbbbbb"];
        services.spatiafi.add_client_with_secret("one", marks[0]);
        services.spacebring.add_client_with_secret("two", marks[1]);
        services.file("one", marks[0]);
        services.file("two", marks[1]);
        services.file("password", services.spatiafi.password());
        let marks =
            marks.map(str::to_owned).into_iter().chain([services.spatiafi.password().to_owned()]).collect();
        Self { services, marks }
    }

    /// Gives the secrets by file.
    fn keyfob(&self, arguments: &[&str]) -> Command {
        let mut command = self.services.keyfob(arguments);
        for name in ["SPATIAFI_CLIENT_SECRET", "SPACEBRING_CLIENT_SECRET", "SPATIAFI_PASSWORD"] {
            command.env_remove(name);
        }
        command
            .env("SPATIAFI_CLIENT_ID", "one")
            .env("SPATIAFI_CLIENT_SECRET_FILE", self.services.path("one"));
        command
            .env("SPACEBRING_CLIENT_ID", "two")
            .env("SPACEBRING_CLIENT_SECRET_FILE", self.services.path("two"));
        command.env("SPATIAFI_PASSWORD_FILE", self.services.path("password"));
        command
    }

    #[track_caller]
    fn holds(&self, text: &[u8]) {
        for mark in &self.marks {
            let percent = mark.bytes().map(|b| format!("%{b:02X}")).collect::<Vec<_>>().concat();
            for shape in [
                mark.clone(),
                STANDARD.encode(mark),
                STANDARD.encode(format!("two:{mark}")),
                percent,
                mark[..12].to_owned(),
            ] {
                assert!(!contains(text, shape.as_bytes()), "{shape}: {}", String::from_utf8_lossy(text));
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn no_secret_in_any_output_whatever_happens() {
    let marked = Marked::start();
    let services = &marked.services;
    let mut partner = marked.keyfob(&["spacebring", "login", "--no-browser", "-v", "--scope", "locations"]);
    marked.holds(&services.log_in_with(&mut partner).stderr);
    services.file("in", format!("{INFO}\n/nowhere\n"));
    let run = |arguments: &[&str]| {
        for oauth2 in [false, true] {
            let mut command = marked.keyfob(arguments);
            if oauth2 {
                command.env("SPACEBRING_AUTH", "oauth2");
            }
            let output = command.output().unwrap();
            marked.holds(&output.stderr);
            // Nor is a query shown, which can hold one.
            assert!(!contains(&output.stderr, b"item_id="), "{arguments:?}: {}", err(&output));
            // Here the Basic header was asked for.
            if !arguments.contains(&"header") && !arguments.contains(&"curl") {
                marked.holds(&output.stdout);
            }
            // Access tokens are in the output of `token` and the environment of `exec` alone.
            if !["token", "exec"].contains(&arguments[1]) {
                let store = fs::read_dir(services.path(".local/state/keyfob")).unwrap();
                for record in store
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| path.extension().is_some_and(|e| e == "json"))
                {
                    let record: serde_json::Value =
                        serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
                    for name in ["access_token", "refresh_token"] {
                        if let Some(token) = record[name].as_str() {
                            let both = [&output.stdout[..], &output.stderr].concat();
                            assert!(!contains(&both, token.as_bytes()), "{arguments:?}: {name}");
                        }
                    }
                }
            }
        }
    };
    for arguments in [
        &["spatiafi", "token", "-v"][..],
        &["spatiafi", "token", "--format", "json", "-v"],
        &["spatiafi", "token", "--format", "env", "-v"],
        &["spatiafi", "token", "--format", "curl", "-v"],
        &["spatiafi", "token", "--format", "exec-credential", "-v"],
        &["spatiafi", "get", INFO, "-v"],
        &["spatiafi", "get", INFO, "-vv"],
        &["spacebring", "get", "/locations/v1", "-vv"],
        &["spatiafi", "get", "/nowhere", "-v"],
        &["spatiafi", "get", "http://127.0.0.1:1/", "-v"],
        &["spatiafi", "batch", "in", "-v"],
        &["spatiafi", "exec", "-v", "--", "env"],
        &["spatiafi", "status", "-v"],
        &["spatiafi", "status", "--format", "json"],
        &["spatiafi", "check", "-v"],
        &["spatiafi", "check", "--format", "json"],
        &["spacebring", "check", "-v"],
        &["spacebring", "check", "--offline"],
        &["status", "-v"],
        &["status", "--format", "json"],
        &["spatiafi", "login", "--force", "-v"],
        &["spacebring", "token", "-v"],
        &["spacebring", "token", "--format", "header", "-v"],
        &["spacebring", "token", "--format", "curl", "-v"],
        &["spacebring", "token", "--format", "env", "-v"],
        &["spacebring", "get", "/locations/v1", "-v"],
        &["spacebring", "get", "/nowhere?token=x", "-v"],
        &["spacebring", "exec", "-v", "--", "env"],
        &["spacebring", "status", "-v"],
        &["spacebring", "revoke", "-v"],
        &["spacebring", "token", "-v"],
        &["spatiafi", "logout", "-v"],
    ] {
        run(arguments);
    }
    for endpoint in [Endpoint::Token, Endpoint::Info] {
        services
            .spatiafi
            .fault(endpoint, keyfob_sandbox::Fault::raw(400, "text/plain", marked.marks.concat()).always());
    }
    let refused = marked.keyfob(&["spatiafi", "token", "-v"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", out(&refused));
    marked.holds(&refused.stderr);
}

/// `log` leaves out what is above this level.
#[test]
fn release_build_cannot_log_whole_requests() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--quiet", "--offline", "--locked", "--package", "keyfob-cli", "--invert", "log"])
        .args(["--depth", "0", "--prefix", "none", "--format", "{f}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let features = succeeds(&output).trim_end().split(',');
    let capped: Vec<_> = features.filter(|feature| feature.contains("max_level")).collect();
    assert_eq!(capped, ["release_max_level_debug"]);
}

#[test]
fn no_secret_in_argv_or_in_the_environment_of_children() {
    let marked = Marked::start();
    let services = &marked.services;
    let all = [
        ("SPATIAFI_CLIENT_SECRET", &marked.marks[0]),
        ("SPACEBRING_CLIENT_SECRET", &marked.marks[1]),
        ("SPATIAFI_PASSWORD", &marked.marks[2]),
    ];
    // Secrets in the environment, which the child would inherit.
    let mut command =
        marked.keyfob(&["spatiafi", "exec", "--", "sh", "-c", "cat /proc/$$/environ /proc/$$/cmdline"]);
    for (name, value) in all {
        command.env_remove(format!("{name}_FILE")).env(name, value);
    }
    let output = command.output().unwrap();
    ends_well(&output);
    marked.holds(&output.stdout);
    assert!(out(&output).contains("SPATIAFI_ACCESS_TOKEN="));
    for (name, _) in all {
        assert!(!out(&output).contains(name), "{}", out(&output));
    }
    // Secrets by descriptor: closed too, also that of the other service, and also if the token is from the store.
    for _ in 0..2 {
        let mut bash = Command::new("bash");
        let keyfob = env!("CARGO_BIN_EXE_keyfob");
        bash.arg("-c").arg(format!(
            "exec {keyfob} spatiafi exec -- sh -c 'ls /proc/$$/fd; cat <&3; cat <&4' 3<one 4<two"
        ));
        bash.env_clear().envs(services.spatiafi.env()).env_remove(SECRET).current_dir(services.home.path());
        bash.env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        bash.env("SPATIAFI_CLIENT_ID", "one")
            .env("SPATIAFI_CLIENT_SECRET_FD", "3")
            .env("SPACEBRING_CLIENT_SECRET_FD", "4");
        let output = bash.output().unwrap();
        marked.holds(&output.stdout);
        assert!(out(&output).lines().all(|fd| fd != "3" && fd != "4"), "{}{}", out(&output), err(&output));
    }
    // A command that gives one secret does not see the others.
    let mut command = marked.keyfob(&["spatiafi", "token", "--profile", "x"]);
    for (name, value) in &all[1..] {
        command.env_remove(format!("{name}_FILE")).env(name, value);
    }
    command.env_remove("SPATIAFI_CLIENT_SECRET_FILE").env("SPATIAFI_CLIENT_SECRET_CMD", "env >seen; cat one");
    command.env("SPATIAFI_ACCESS_TOKEN", &marked.marks[1]);
    ends_well(&command.output().unwrap());
    marked.holds(&fs::read(services.path("seen")).unwrap());
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(format!("exec {} spatiafi token --profile y 4<two", env!("CARGO_BIN_EXE_keyfob")));
    bash.env_clear().envs(services.spatiafi.env()).env_remove(SECRET).current_dir(services.home.path());
    bash.env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
    bash.env("SPATIAFI_CLIENT_ID", "one").env("SPACEBRING_CLIENT_SECRET_FD", "4");
    bash.env("SPATIAFI_CLIENT_SECRET_CMD", "ls /proc/$$/fd >seen; cat one");
    ends_well(&bash.output().unwrap());
    let seen = fs::read_to_string(services.path("seen")).unwrap();
    assert!(seen.lines().all(|fd| fd != "4"), "{seen}");
}

/// The memory of such a process belongs to root alone, and so does its part of /proc.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_private_and_the_store_still_works() {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::CommandExt as _;
    let services = Services::start();
    let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
    let mut command = services.without(&[], "spatiafi batch -");
    command.env("HOME", elsewhere.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir("/");
    // Root may do everything; another user shows more.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let binary = elsewhere.path().join("keyfob");
    if is_root {
        // Another process writes it: a child that a test starts meanwhile would inherit the open file, and nobody could run it.
        let mut copy = Command::new("install");
        ends_well(&copy.args(["-m", "755", env!("CARGO_BIN_EXE_keyfob")]).arg(&binary).output().unwrap());
        let mut other = Command::new(&binary);
        other
            .args(["spatiafi", "batch", "-"])
            .env_clear()
            .envs(services.spatiafi.env())
            .env("HOME", elsewhere.path());
        other.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        std::os::unix::fs::chown(elsewhere.path(), Some(65534), Some(65534)).unwrap();
        other.uid(65534).gid(65534);
        command = other;
    }
    let child = command.spawn().unwrap();
    let started = Instant::now();
    while services.spatiafi.tokens_issued() == 0 && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Core dumps and other processes of the user are kept out: its files in /proc are root's.
    assert_eq!(fs::metadata(format!("/proc/{}/mem", child.id())).unwrap().uid(), 0);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "its own store is its own");
}

/// Refuses the system call as seccomp may, for example in a container.
#[test]
#[ignore = "needs strace"]
#[cfg(target_os = "linux")]
fn memory_that_cannot_be_made_private_causes_a_warning() {
    let services = Services::start();
    for (error, says) in [
        ("EPERM", "operation not permitted"),
        ("ENOSYS", "function not implemented"),
        ("EINVAL", "invalid argument"),
    ] {
        for (words, status) in [
            ("spatiafi token", 0),
            ("spatiafi exec -- true", 0),
            ("spatiafi status", 0),
            ("spatiafi get /x", 8),
        ] {
            let plain = services.without(&[], words);
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("inject=prctl:error={error}"));
            strace.arg(plain.get_program()).args(plain.get_args()).env_clear();
            strace.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let output = strace.current_dir(services.home.path()).output().unwrap();
            let warning = format!(
                "keyfob: warning: other programs of this user can read the memory of this one, as the system did not \
                 close it: {says}\n"
            );
            assert_eq!(output.status.code(), Some(status), "{words}: {}", err(&output));
            assert_eq!(err(&output).matches(&warning).count(), 1, "{words}: {}", err(&output));
        }
    }
}

/// Looks through the memory of processes that are about to end: strace holds them in `exit_group`.
#[test]
#[ignore = "needs strace and root"]
#[cfg(target_os = "linux")]
fn no_secret_is_left_in_memory_after_the_work() {
    use std::io::Write as _;
    let marked = Marked::start();
    let services = &marked.services;
    services.file("in", format!("{INFO}\n").repeat(100));
    let mut login = marked.keyfob(&["spacebring", "login", "--no-browser", "--scope", "locations"]);
    ends_well(&services.log_in_with(&mut login));
    let redirects = "3<one 4<two 5<password";
    for (words, oauth2) in [
        ("spacebring login --scope locations --no-browser", false),
        ("spatiafi token --min-valid 10000", false),
        ("spatiafi login --force", false),
        ("spatiafi get /nowhere", false),
        ("spatiafi batch in --jobs 4", false),
        ("spatiafi status", false),
        ("spacebring get /locations/v1", false),
        ("spacebring get /locations/v1", true),
        ("spacebring token --min-valid 10000", true),
        ("spacebring revoke", true),
        // Errors too.
        ("spacebring token", true),
        ("spatiafi token --timeout 0.000001 --min-valid 10000", false),
    ] {
        for by_descriptor in [false, true] {
            let keyfob = env!("CARGO_BIN_EXE_keyfob");
            let mut command = Command::new("bash");
            let hold = "strace -f -qq -o trace -e trace=exit_group -e inject=exit_group:delay_enter=3000000";
            command
                .arg("-c")
                .arg(format!("exec {hold} {keyfob} {words} {}", if by_descriptor { redirects } else { "" }));
            command
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .env("HOME", services.home.path());
            let plain = marked.keyfob(&[]);
            for (name, value) in plain.get_envs().filter_map(|(name, value)| Some((name, value?))) {
                command.env(name, value);
            }
            if by_descriptor {
                for (name, fd) in [
                    ("SPATIAFI_CLIENT_SECRET", "3"),
                    ("SPACEBRING_CLIENT_SECRET", "4"),
                    ("SPATIAFI_PASSWORD", "5"),
                ] {
                    command.env_remove(format!("{name}_FILE")).env(format!("{name}_FD"), fd);
                }
            }
            if oauth2 {
                command.env("SPACEBRING_AUTH", "oauth2");
            }
            let mut child = command
                .current_dir(services.home.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut marks = marked.marks.clone();
            if words.ends_with("--no-browser") {
                let callback = services.spacebring.approve(&support::url_of(&mut child));
                writeln!(child.stdin.as_ref().unwrap(), "{callback}").unwrap();
                // The part of the code that is not encoded, and `state`.
                let parts = callback.split(['=', '&', '%']).skip(1).filter(|part| part.len() > 12);
                marks.extend(parts.map(str::to_owned));
                assert_eq!(marks.len(), marked.marks.len() + 2, "{callback}");
            }
            let found = memory(held_by(child.id()));
            assert!(contains(&found, b"SPATIAFI_API_URL"), "{words}: its memory can be read");
            for mark in &marks {
                assert!(!contains(&found, mark.as_bytes()), "{words}: {mark}");
                for piece in mark.as_bytes().windows(12).step_by(4) {
                    assert!(!contains(&found, piece), "{words}: a piece of {mark}");
                }
                let base64 = STANDARD.encode(format!("two:{mark}"));
                assert!(!contains(&found, &base64.as_bytes()[8..24]), "{words}: {mark} in Base64");
            }
            let _ = child.wait_with_output();
        }
    }
}

/// Returns the process that strace holds at its end.
#[cfg(target_os = "linux")]
fn held_by(strace: u32) -> u32 {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(60), "keyfob comes to its end");
        let children =
            fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
        if let Some(pid) = children.split_whitespace().next() {
            // exit_group on x86-64 and on the newer processors.
            let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            // strace tests the system with children of its own, which end too.
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let is_ending =
                name == "keyfob\n" && ["231 ", "94 "].iter().any(|number| call.starts_with(number));
            if is_ending {
                return pid.parse().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns all writable memory: heap, stacks, data.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mem = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut part = vec![0; usize::try_from(end - start).unwrap()];
        if mem.read_exact_at(&mut part, start).is_ok() {
            all.extend(part);
        }
    }
    all
}

/// keyfob reads the descriptor itself, not its name in `/dev/fd`. So its position and its direction count, and it needs no name.
#[test]
#[cfg(target_os = "linux")]
fn inherited_descriptor_is_used_as_it_is() {
    use std::io::Write as _;
    let services = Services::start();
    let secret = services.spatiafi.client_secret().to_owned();
    services.file("two", format!("first line\n{secret}\n"));
    let two = services.path("two").display().to_string();
    let words = "spatiafi token --profile";
    let mut bash = Command::new("bash");
    let keyfob = env!("CARGO_BIN_EXE_keyfob");
    bash.arg("-c").arg(format!("exec 3<{two}; read -r _ <&3; exec {keyfob} {words} place"));
    bash.env_clear().envs(services.spatiafi.env()).env_remove(SECRET);
    bash.env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
    succeeds(&bash.env("SPATIAFI_CLIENT_SECRET_FD", "3").stdin(Stdio::null()).output().unwrap());

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let giver =
        std::thread::spawn(move || listener.accept().unwrap().0.write_all(secret.as_bytes()).unwrap());
    succeeds(&by_descriptor(
        &services,
        3,
        &format!("{words} socket"),
        &format!("3<>/dev/tcp/127.0.0.1/{port}"),
    ));
    giver.join().unwrap();
}

/// Refuses the system calls as seccomp may, for example in a container. The descriptor is then opened by its name.
#[test]
#[ignore = "needs strace"]
#[cfg(target_os = "linux")]
fn descriptor_that_cannot_be_duplicated_is_opened_by_its_name_and_hidden_from_children() {
    let marked = Marked::start();
    let services = &marked.services;
    services.file("plain", "this one is no secret\n");
    services.file("look", LOOK_AROUND);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = format!("3<>/dev/tcp/127.0.0.1/{}", listener.local_addr().unwrap().port());
    for call in ["pidfd_open", "pidfd_getfd"] {
        for error in ["EPERM", "ENOSYS", "EACCES"] {
            let run = |redirect: &str| {
                let strace = format!("strace -f -qq -o log -e trace={call} -e inject={call}:error={error}");
                let words = "spatiafi exec -- sh look 7<plain";
                let output =
                    marked.bash(&format!("{SECRET}_FD=3 exec {strace} keyfob {words} {redirect}"), &[]);
                let _ = fs::remove_dir_all(services.path(".local"));
                let log = fs::read_to_string(services.path("log")).unwrap();
                let is_free = redirect == "3<&-";
                assert!(log.contains("(INJECTED)") || is_free, "{call} {error} {redirect}: {log}");
                output
            };
            for redirect in ["3<one", "3< <(cat one)", "3<one 4<&3 5<one"] {
                let output = run(redirect);
                ends_well(&output);
                let seen = fs::read(services.path("seen")).unwrap();
                marked.holds(&seen);
                assert!(contains(&seen, b"this one is no secret"), "{}", String::from_utf8_lossy(&seen));
                fs::remove_file(services.path("seen")).unwrap();
            }
            let unread = "could not read SPATIAFI_CLIENT_SECRET_FD (3): no such device or address";
            let closed = "descriptor 3 is not open for reading";
            for (redirect, status, says) in
                [(&*socket, 7, unread), ("3<&-", 2, closed), ("3>>one", 2, closed)]
            {
                fails(&run(redirect), status, says);
                assert!(!services.path("seen").exists(), "{call} {error} {redirect}");
            }
        }
    }
}

#[test]
fn unreadable_descriptor_is_an_error() {
    let services = Services::start();
    let file = services.file("secret", services.spatiafi.client_secret()).display().to_string();
    for (number, redirect) in [(0, "<&-".to_owned()), (0, format!("0>>{file}")), (3, "3<&-".to_owned())] {
        let output = by_descriptor(&services, number, "spatiafi token", &redirect);
        fails(&output, 2, &format!("descriptor {number} is not open for reading"));
    }
    // A descriptor of this number that keyfob itself has opened was not handed to it.
    #[cfg(target_os = "linux")]
    for (words, redirect) in
        [("spatiafi token", &*format!("3>>{file}")), (&*format!("spatiafi batch {file}"), "3<&-")]
    {
        let output = by_descriptor(&services, 3, words, redirect);
        fails(&output, 2, "descriptor 3 is not open for reading");
    }
    assert_eq!(services.requests(), 0);
}

#[test]
#[ignore = "takes 40 s"]
fn secret_command_is_ended_with_its_children_at_the_timeout() {
    let services = Services::start();
    let mut command = Command::new("setsid");
    let plain = services.without(&[SECRET], "spatiafi token");
    command.arg("--wait").arg(plain.get_program()).args(plain.get_args()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(services.home.path()).stdin(Stdio::null());
    let slow = "(touch begun; sleep 36; touch late) & sleep 60";
    let output = command.env("SPATIAFI_CLIENT_SECRET_CMD", slow).output().unwrap();
    fails(&output, 5, "did not end within 30 s");
    assert!(services.path("begun").exists());
    std::thread::sleep(Duration::from_secs(10));
    assert!(!services.path("late").exists());
}

/// As a secret of Kubernetes is: a read-only tmpfs, whose files belong to root and can be read by a group.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs root"]
fn mode_of_a_file_on_a_read_only_mount_is_set_at_the_mount() {
    let services = Services::start();
    let secret = services.file("secret", services.spatiafi.client_secret());
    fs::create_dir(services.path("mounted")).unwrap();
    let output = |mode: &str, then: &str, action: &str| {
        let line = format!(
            "mount -t tmpfs none mounted && cp secret mounted && chmod {mode} mounted/secret && {then} && exec \"$0\" spatiafi {action}"
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", &line, env!("CARGO_BIN_EXE_keyfob")]);
        let plain = services.without(&[SECRET], "");
        unshare.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        unshare.current_dir(services.home.path()).stdin(Stdio::null());
        unshare.env("SPATIAFI_CLIENT_SECRET_FILE", "mounted/secret").output().unwrap()
    };
    let run = |mode: &str, then: &str| {
        let output = output(mode, then, "token");
        ends_well(&output);
        err(&output).to_owned()
    };
    assert!(secret.exists());
    let read_only = "mount -o remount,ro mounted";
    let open = "mounted/secret can be read by others than its owner: ";
    assert!(run("644", "true").contains(&format!("{open}run chmod 600 on it\n")));
    let report = run("644", read_only);
    let advice = "it is on a read-only mount, so set the mode where the mount is defined (Kubernetes: defaultMode: 0440 of the volume)\n";
    assert!(report.contains(&format!("{open}{advice}")) && !report.contains("chmod"), "{report}");
    for mode in ["440", "400"] {
        assert_eq!(run(mode, read_only), "", "{mode}");
    }
    // `check` says the same.
    for (mode, then, what) in [
        ("644", "true", "run chmod 600 on it\n"),
        ("644", read_only, advice),
        ("440", read_only, "no file with a secret can be read by others\n"),
    ] {
        let checked = output(mode, then, "check --offline");
        let line = out(&checked).lines().find(|line| line.starts_with("file modes")).unwrap();
        assert!(format!("{line}\n").ends_with(what), "{mode}: {line}");
        assert_eq!(checked.status.code(), Some(if mode == "644" { 7 } else { 0 }), "{}", err(&checked));
    }
}

/// Without `/proc`, nothing that `/proc` tells is left out silently.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs root"]
fn missing_proc_causes_a_warning_for_each_check() {
    let services = Services::start();
    let mut unshare = Command::new("unshare");
    let line = "mount -t tmpfs none /proc && exec \"$0\" spatiafi token";
    unshare.args(["-m", "setsid", "--wait", "sh", "-c", line, env!("CARGO_BIN_EXE_keyfob")]);
    let plain = services.without(&[SECRET], "");
    unshare.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare.current_dir(services.home.path()).stdin(Stdio::null());
    let output =
        unshare.env("SPATIAFI_CLIENT_SECRET_CMD", "head -c 100000 /dev/zero; sleep 1").output().unwrap();
    for warning in [
        "the open descriptors cannot be listed, so one may lead a child to a secret: ",
        "/proc does not tell which signals were ignored at the start: each of them ends this run",
        "/proc lists no processes: one that the command for a secret has started may still be running",
    ] {
        assert!(err(&output).contains(&format!("warning: {warning}")), "{warning}: {}", err(&output));
    }
    fails(&output, 2, "the command in SPATIAFI_CLIENT_SECRET_CMD printed more than 64 KiB");
}

#[test]
#[cfg(target_os = "linux")]
fn secret_command_that_prints_too_much_is_ended() {
    let services = Services::start();
    let much = "echo $$ >pid; head -c 100000 /dev/zero; sleep 60";
    let output = token(&services).arg("much").env("SPATIAFI_CLIENT_SECRET_CMD", much).output().unwrap();
    fails(&output, 2, "the command in SPATIAFI_CLIENT_SECRET_CMD printed more than 64 KiB");
    let pid = fs::read_to_string(services.path("pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn exec_passes_on_no_secret_but_the_token() {
    let services = Services::start();
    ends_well(&services.run("spatiafi token"));
    let mut command = services.without(&[], "spatiafi exec -- env");
    command.env("SPACEBRING_ACCESS_TOKEN", "s3cr3t-token");
    let proxies = [("http://me:s3cr3t@127.0.0.1:1", false), ("http://127.0.0.1:1", true)];
    for (proxy, stays) in proxies {
        let output = command.env("KEYFOB_PROXY", proxy).output().unwrap();
        let seen = succeeds(&output);
        assert!(seen.contains("SPATIAFI_ACCESS_TOKEN=") && !seen.contains("s3cr3t"), "{seen}");
        assert_eq!(seen.contains("KEYFOB_PROXY="), stays, "{seen}");
    }
}

/// Lists the descriptors of a shell, and reads from its start each that can be read from.
const LOOK_AROUND: &str = "exec 9>seen; ls -l /proc/$$/fd >&9; for fd in /proc/$$/fd/*; do \
                           case $(ls -l $fd) in lr*) timeout 1 cat $fd >&9 ;; esac; done";

impl Marked {
    /// Runs a line of bash, which starts keyfob by its name, with the environment of `keyfob`.
    fn bash(&self, line: &str, set: &[(&str, &str)]) -> Output {
        let mut bash = Command::new("bash");
        let folder = std::path::Path::new(env!("CARGO_BIN_EXE_keyfob")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let services = &self.services;
        bash.args(["-c", line]).env_clear().envs(services.spatiafi.env()).envs(services.spacebring.env());
        for name in ["SPATIAFI_CLIENT_SECRET", "SPACEBRING_CLIENT_SECRET", "SPATIAFI_PASSWORD"] {
            bash.env_remove(name);
        }
        bash.env("HOME", services.home.path()).env("PATH", path).current_dir(services.home.path());
        bash.env("SPATIAFI_CLIENT_ID", "one").env("SPACEBRING_CLIENT_ID", "two").stdin(Stdio::null());
        bash.envs(set.iter().copied()).output().unwrap()
    }
}

#[test]
#[cfg(target_os = "linux")]
fn no_child_receives_a_descriptor_of_a_secret() {
    let marked = Marked::start();
    let services = &marked.services;
    services.file("plain", "this one is no secret\n");
    services.file("look", LOOK_AROUND);
    services.file("notes", format!("{}\nuser: me\n", marked.marks[0]));
    std::os::unix::fs::symlink("/dev/fd/3", services.path("link")).unwrap();
    assert!(Command::new("mkfifo").arg(services.path("fifo")).status().unwrap().success());
    for (variable, value, redirect) in [
        ("_FD", "0", "<one"),
        ("_FD", "0", "< <(cat one)"),
        ("_FD", "0", "<<<$(cat one)"),
        ("_FD", "2", "2<one"),
        ("_FD", "1", "1<>one"),
        ("_FD", "3", "3<one"),
        ("_FD", "3", "3<one 4<&3 5<one"),
        ("_FD", "63", "63< <(cat one)"),
        ("_FILE", "/dev/fd/3", "3<one"),
        ("_FILE", "/dev/fd/3", "3< <(cat one)"),
        ("_FILE", "/proc/self/fd/3", "3<one"),
        ("_FILE", "/proc/thread-self/fd/3", "3<one"),
        ("_FILE", "/proc/$$/fd/3", "3<one"),
        ("_FILE", "/dev/stdin", "<one"),
        ("_FILE", "/proc/self/fd/0", "< <(cat one)"),
        ("_FILE", "link", "3<one"),
        ("_FILE", "one", "3<one <one"),
        ("_FILE", "<(cat one)", ""),
        ("_CMD", "'cat <&3'", "3<one"),
        ("_CMD", "'cat /dev/fd/5'", "3<one 5<&3"),
        ("_CMD", "'cat one'", "4<one"),
        ("_CMD", "'head -n 1 <&3'", "3<notes"),
    ] {
        // The second time the token is in the store, and no secret is read.
        for _ in 0..2 {
            let line =
                format!("{SECRET}{variable}={value} exec keyfob spatiafi exec -- sh look 7<plain {redirect}");
            let output = marked.bash(&line, &[]);
            ends_well(&output);
            let seen = fs::read(services.path("seen")).unwrap();
            marked.holds(&seen);
            assert!(contains(&seen, b"this one is no secret"), "{line}: {}", String::from_utf8_lossy(&seen));
        }
        fs::remove_dir_all(services.path(".local")).unwrap();
    }
    // Secrets that are not read: those of the other service and of a login. For a program, and for a command that gives a secret.
    for (variable, value, redirect) in [
        ("SPACEBRING_CLIENT_SECRET_FD", "0", "<two"),
        ("SPACEBRING_CLIENT_SECRET_FD", "4", "4<two"),
        ("SPACEBRING_CLIENT_SECRET_FD", "4", "4< <(cat two)"),
        ("SPACEBRING_CLIENT_SECRET_FD", "2", "2<two"),
        ("SPACEBRING_CLIENT_SECRET_FILE", "/dev/fd/4", "4<two"),
        ("SPACEBRING_CLIENT_SECRET_FILE", "two", "4<two"),
        ("SPACEBRING_CLIENT_SECRET_FILE", "fifo", "4<>fifo"),
        ("SPACEBRING_CLIENT_SECRET_FILE", "<(cat two)", ""),
        ("SPATIAFI_PASSWORD_FD", "5", "5<password"),
        ("SPATIAFI_PASSWORD_FILE", "/dev/fd/5", "5<password"),
    ] {
        let fill = if redirect.contains("fifo") { "exec 8<>fifo; cat two >&8; " } else { "" };
        for (words, command) in
            [("exec -- sh look", "cat one"), ("token --min-valid 9999", "sh look >/dev/null; cat one")]
        {
            let line =
                format!("{fill}{variable}={value} exec keyfob spatiafi {words} 7<plain {redirect} 8<&-");
            let output = marked.bash(&line, &[("SPATIAFI_CLIENT_SECRET_CMD", command)]);
            ends_well(&output);
            let seen = fs::read(services.path("seen")).unwrap();
            marked.holds(&seen);
            assert!(contains(&seen, b"this one is no secret"), "{line}: {}", String::from_utf8_lossy(&seen));
            fs::remove_file(services.path("seen")).unwrap();
        }
    }
}

/// Whether a process is running. A process that was not waited for counts as ended.
#[cfg(target_os = "linux")]
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

#[test]
#[cfg(target_os = "linux")]
fn signal_also_ends_the_secret_command() {
    use std::os::unix::process::ExitStatusExt as _;

    use nix::sys::signal::{Signal, kill};
    let services = Services::start();
    let pids = services.path("pids");
    for (signal, command, number) in [
        (Signal::SIGTERM, "echo $$ >>pids; sleep 300; cat one", 1),
        (Signal::SIGINT, "echo $$ >>pids; sleep 300; cat one", 1),
        (Signal::SIGHUP, "exec sleep 300 & echo $! >>pids; wait", 1),
        (Signal::SIGTERM, "(sleep 301 & echo $! >>pids; echo $$ >>pids; sleep 300) & sleep 302", 2),
        (Signal::SIGTERM, "exec >&-; echo $$ >>pids; sleep 300", 1),
        (
            Signal::SIGTERM,
            "trap '' TERM; sleep 300 & echo $! >>pids; echo $$ >>pids; sleep 301; sleep 302",
            2,
        ),
        (Signal::SIGINT, "echo $$ >>pids; kill -STOP $$; sleep 300", 1),
        (Signal::SIGALRM, "echo $$ >>pids; sleep 300", 1),
        (Signal::SIGUSR1, "echo $$ >>pids; sleep 300", 1),
        // A limit on the time of the processor, or a timer, ends keyfob.
        (Signal::SIGXCPU, "echo $$ >>pids; sleep 300", 1),
        (Signal::SIGVTALRM, "echo $$ >>pids; sleep 300", 1),
        (Signal::SIGPROF, "echo $$ >>pids; sleep 300", 1),
        // In a session of its own.
        (Signal::SIGTERM, "(setsid sh -c 'echo $$ >>pids; exec sleep 300' &); sleep 301", 1),
        (Signal::SIGINT, "setsid -w sh -c 'echo $$ >>pids; exec sleep 300'; true", 1),
        (Signal::SIGTERM, "word=$(setsid -w sh -c 'echo $$ >>pids; exec sleep 300'); echo $word", 1),
        (Signal::SIGTERM, "setsid -w sh -c 'trap \"\" TERM; echo $$ >>pids; sleep 300; sleep 301'; true", 1),
        // The shell ends before keyfob can look at the signal, as with Ctrl-C.
        (
            Signal::SIGINT,
            "sleep 300 >/dev/null 2>&1 & kill -STOP $PPID; kill -INT $PPID; echo $! >>pids; \
             (until grep -q ') Z ' /proc/$$/stat; do :; done; kill -CONT $PPID) >/dev/null 2>&1 & kill -KILL $$",
            1,
        ),
    ] {
        let plain = services.without(&[SECRET], "spatiafi token");
        // The program that runs the tests may ignore signals.
        let mut keyfob = Command::new("env");
        keyfob
            .arg("--default-signal=INT,TERM,HUP,ALRM,USR1,XCPU,VTALRM,PROF")
            .arg(plain.get_program())
            .args(plain.get_args());
        keyfob.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        keyfob.current_dir(services.home.path()).env("SPATIAFI_CLIENT_SECRET_CMD", command);
        // Not a pipe, which a command that goes on would keep open.
        let said = services.path("said");
        let file = fs::File::create(&said).unwrap();
        let mut child = keyfob.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let started = Instant::now();
        let mut listed = String::new();
        while listed.matches('\n').count() < number {
            assert!(started.elapsed() < Duration::from_secs(25), "{command}");
            std::thread::sleep(Duration::from_millis(5));
            listed = fs::read_to_string(&pids).unwrap_or_default();
        }
        kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let status = child.wait().unwrap();
        let said = fs::read_to_string(said).unwrap();
        assert_eq!((status.signal(), said.as_str()), (Some(signal as i32), ""), "{command}");
        assert!(started.elapsed() < Duration::from_secs(28), "not because its time was over");
        for pid in listed.lines() {
            // It was killed, and may need a moment to end.
            let killed = Instant::now();
            while is_running(pid) {
                assert!(killed.elapsed() < Duration::from_secs(5), "{command}: {pid} lives on");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        fs::remove_file(&pids).unwrap();
    }
    assert_eq!(services.requests(), 0);
    // A process that is left by a command that has ended by itself is meant to stay, like an agent.
    let secret = services.file("one", services.spatiafi.client_secret());
    let command = format!("sleep 300 >/dev/null 2>&1 & echo $! >pids; cat {}", secret.display());
    succeeds(&token(&services).arg("agent").env("SPATIAFI_CLIENT_SECRET_CMD", command).output().unwrap());
    let agent = fs::read_to_string(&pids).unwrap();
    assert!(is_running(agent.trim()));
    kill(nix::unistd::Pid::from_raw(agent.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn process_left_behind_by_a_secret_command_may_keep_its_output_open() {
    use nix::sys::signal::{Signal, kill};
    let services = Services::start();
    let secret = services.file("one", services.spatiafi.client_secret().to_owned() + "\n");
    let secret = secret.display();
    let started = Instant::now();
    for (number, command) in [
        format!("sleep 40 & echo $! >pid; cat {secret}"),
        format!("cat {secret}; sleep 40 & echo $! >pid"),
        format!(
            "cat {secret}; setsid sh -c 'echo $$ >pid; exec sleep 40' & until [ -s pid ]; do sleep 0.01; done"
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut keyfob = token(&services);
        keyfob.arg(number.to_string()).env("SPATIAFI_CLIENT_SECRET_CMD", &command);
        // Not a pipe, which the process that is left would keep open.
        let mut child = keyfob.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(child.wait().unwrap().success(), "{command}");
        let pid = fs::read_to_string(services.path("pid")).unwrap();
        assert!(is_running(pid.trim()), "{command}: it is meant to stay");
        kill(nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
        fs::remove_file(services.path("pid")).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
}

#[test]
fn secret_command_sees_no_other_secret() {
    let services = Services::start();
    let credentials = services.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("spacebring_client_secret"), "s3cr3t").unwrap();
    let secret = services.file("one", services.spatiafi.client_secret());
    let hidden = [
        ("SPACEBRING_CLIENT_SECRET", "s3cr3t"),
        ("SPATIAFI_PASSWORD", "s3cr3t"),
        ("SPATIAFI_ACCESS_TOKEN", "s3cr3t"),
        ("SPACEBRING_ACCESS_TOKEN", "s3cr3t"),
        ("SPATIAFI_PASSWORD_CMD", "echo s3cr3t"),
        ("SPATIAFI_PASSWORD_FILE", "s3cr3t"),
        ("SPACEBRING_CLIENT_SECRET_FD", "44"),
        ("KEYFOB_PROXY", "http://me:s3cr3t@127.0.0.1:1"),
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
    ];
    // Variables that `pass`, `gpg`, `op`, `aws` and `vault` need.
    let kept = [
        ("GPG_TTY", "/dev/pts/9"),
        ("XDG_RUNTIME_DIR", "/run/user/9"),
        ("SSH_AUTH_SOCK", "/run/agent"),
        ("VAULT_ADDR", "https://vault.example.com"),
        ("PASSWORD_STORE_DIR", "/srv/passwords"),
        ("LANG", "C.UTF-8"),
    ];
    let command = format!("env >seen; cat {}", secret.display());
    let mut keyfob = token(&services);
    // There is no proxy: the request fails, after the command was run.
    keyfob.arg("x").envs(hidden).envs(kept).env("SPATIAFI_CLIENT_SECRET_CMD", command).output().unwrap();
    let seen = fs::read_to_string(services.path("seen")).unwrap();
    for (name, _) in hidden.into_iter().chain([("SPATIAFI_CLIENT_SECRET_CMD", "")]) {
        assert!(!seen.contains(&format!("{name}=")), "{name}: {seen}");
    }
    assert!(!seen.contains("s3cr3t"), "{seen}");
    for (name, value) in kept.into_iter().chain([("HOME", services.home.path().to_str().unwrap())]) {
        assert!(seen.lines().any(|line| line == format!("{name}={value}")), "{name}: {seen}");
    }
}

/// A secret by mistake, where a path, a number or a command belongs. Errors, `status` and `--verbose` name only the variable.
#[test]
fn secret_in_a_wrong_variable_is_never_shown() {
    let services = Services::start();
    let all = ["SPATIAFI_CLIENT_SECRET", "SPATIAFI_PASSWORD", "SPACEBRING_CLIENT_SECRET"];
    services.file("in", INFO);
    let mut commands = 0;
    for secret in [
        "s3cr3tWordOfThisTest0123456789",
        "s3cr3t/Word+of/this+Test012345==",
        "/s3cr3tWordOfThisTest0123456789",
        "s3cr3t Word of this Test",
        "s3cr3t$Word!of*this&Test",
        "s3cr3t;Word|of<this>Test",
        "s3cr3t'Word of this Test",
        "\"s3cr3t(Word)of\\this`Test",
        "s3cr3t=Word~of#this",
        "1735201",
        "31415926",
    ] {
        // The parts that `sh` might show.
        let parts: Vec<_> = match secret.len() {
            ..12 => vec![secret],
            _ => vec!["s3cr3t", "Word", "Test0123"],
        };
        for (name, words) in [
            (all[0], "spatiafi token -v"),
            (all[0], "spatiafi exec -v -- true"),
            (all[0], "spatiafi status -v"),
            (all[0], "spatiafi status -v --format json"),
            (all[0], "spatiafi batch in -v"),
            (all[1], "spatiafi login --force -v"),
            (all[1], "spatiafi status"),
            (all[2], "spacebring get / -v"),
            (all[2], "spacebring login --no-browser -v"),
            (all[2], "spacebring status --format json"),
            (all[0], "spatiafi check --offline"),
            (all[2], "spacebring check --offline --format json"),
        ] {
            for suffix in ["_FILE", "_FD", "_CMD"] {
                let mut command = services.without(&all, words);
                let output = command.env(format!("{name}{suffix}"), secret).output().unwrap();
                let said = format!("{}{}", out(&output), err(&output));
                // The command is not run by `status`.
                let fails = output.status.code() != Some(0) || suffix == "_CMD" && words.contains("status");
                assert!(fails && said.contains(&format!("{name}{suffix}")), "{words} {suffix}: {said}");
                for part in &parts {
                    assert!(!said.contains(part), "{name}{suffix} {words}: {said}");
                }
                commands += 1;
            }
        }
    }
    assert_eq!((commands, services.requests()), (11 * 12 * 3, 0));
    // A secret by mistake, where a word or a URL belongs.
    for (name, words, says) in [
        ("SPACEBRING_AUTH", "spacebring status", "SPACEBRING_AUTH can be basic or oauth2, and is neither"),
        ("SPACEBRING_AUTH", "spacebring get / -v", "SPACEBRING_AUTH can be basic or oauth2, and is neither"),
        ("SPACEBRING_TOKEN_URL", "spacebring status", "the token URL is not a URL"),
        ("SPACEBRING_API_URL", "spacebring status --format json", "URL is not a URL"),
        ("SPATIAFI_AUTH_URL", "spatiafi status -v", "is not a URL"),
        ("KEYFOB_CONFIG", "acme token", "there is no configuration at the path in KEYFOB_CONFIG"),
        ("KEYFOB_CONFIG", "acme check", "there is no configuration at the path in KEYFOB_CONFIG"),
        ("KEYFOB_CA_FILE", "spatiafi token", "KEYFOB_CA_FILE"),
    ] {
        let secret = "s3cr3t/Word+of/this+Test012345==";
        let output = services.without(&[], words).env(name, secret).output().unwrap();
        let said = format!("{}{}", out(&output), err(&output));
        assert!(said.contains(says), "{name} {words}: {said}");
        assert_eq!(output.status.code(), Some(2), "{name} {words}: {said}");
        assert!(!said.contains("s3cr3t") && !said.contains("Test0123"), "{name} {words}: {said}");
    }
}

#[test]
fn missing_secret_file_gives_a_hint() {
    let services = Services::start();
    let folder = services.path("folder");
    fs::create_dir(&folder).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nowhere/at/all", services.path("dangling")).unwrap();
    let inside = |name: &str| services.path(name).display().to_string();
    let nothing = "could not read the file that SPATIAFI_CLIENT_SECRET_FILE names: no such file or directory";
    for (path, says) in [
        (inside("folder/secert"), format!("{nothing}; its folder {} exists", folder.display())),
        (inside("foldre/secret"), format!("{nothing}; it should hold the path of a file")),
        ("/secert".to_owned(), format!("{nothing}; it should hold the path of a file")),
        ("secert".to_owned(), format!("{nothing}; it should hold the path of a file")),
        // A path that exists is shown.
        (
            inside("dangling"),
            format!(
                "could not read SPATIAFI_CLIENT_SECRET_FILE ({}): no such file or directory",
                inside("dangling")
            ),
        ),
    ] {
        for words in ["spatiafi token", "spatiafi status"] {
            let mut command = services.without(&[SECRET], words);
            let output = command.env("SPATIAFI_CLIENT_SECRET_FILE", &path).output().unwrap();
            assert_eq!((output.status.code(), err(&output)), (Some(7), &*format!("keyfob: error: {says}\n")));
            let is_shown = words.ends_with("status") && path.ends_with("dangling");
            assert_eq!(out(&output).contains(&path), is_shown, "{}", out(&output));
        }
    }
}
