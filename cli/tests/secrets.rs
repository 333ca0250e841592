//! Where secrets may come from, and where they may not go.
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
    // Nothing else is dropped.
    let file = services.file("secret", format!("{secret}\n\n"));
    let output = token(&services).arg("x").env("SPATIAFI_CLIENT_SECRET_FILE", &file).output().unwrap();
    fails(&output, 2, "control character");
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
    // The other service's are none of its business.
    ends_well(
        &services.without(&[], "spatiafi token").env("SPACEBRING_CLIENT_SECRET_FILE", "x").output().unwrap(),
    );
}

#[test]
fn sources_that_give_nothing() {
    let services = Services::start();
    for (name, value, status, says) in [
        ("FILE", "/nowhere/secret", 7, "could not read SPATIAFI_CLIENT_SECRET_FILE (/nowhere/secret)"),
        ("FILE", "/", 7, "directory"),
        ("FILE", "/dev/null", 2, "is empty"),
        ("FILE", "/dev/zero", 7, "too large"),
        ("FD", "three", 2, "number of an open descriptor"),
        ("FD", "-1", 2, "number of an open descriptor"),
        ("FD", "77", 2, "descriptor 77 is not open"),
        ("CMD", "exit 3", 3, "gave no secret"),
        ("CMD", "no-such-command-here", 3, "gave no secret"),
        ("CMD", "true", 2, "is empty"),
        ("CMD", "cat /dev/zero", 7, "too large"),
    ] {
        let mut command = token(&services);
        let output = command.arg("x").env(format!("{SECRET}_{name}"), value).output().unwrap();
        fails(&output, status, says);
    }
    assert_eq!(services.requests(), 0);
}

#[test]
fn a_file_that_others_can_read_is_warned_of() {
    let services = Services::start();
    let file = services.file("secret", services.spatiafi.client_secret());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = token(&services).arg("x").env("SPATIAFI_CLIENT_SECRET_FILE", &file).output().unwrap();
    ends_well(&output);
    assert!(err(&output).contains("can be read by others"), "{}", err(&output));
}

#[test]
#[ignore = "takes 30 s"]
fn a_command_that_does_not_end() {
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
fn a_pipe_that_nobody_writes_to() {
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

    /// With secrets by file.
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
            // The Basic header is what was asked for.
            if !arguments.contains(&"header") {
                marked.holds(&output.stdout);
            }
            // Access tokens are in the output of `token` and the environment of `exec` alone.
            if arguments[1] != "token" && arguments[1] != "exec" {
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
        &["spatiafi", "get", INFO, "-v"],
        &["spatiafi", "get", "/nowhere", "-v"],
        &["spatiafi", "get", "http://127.0.0.1:1/", "-v"],
        &["spatiafi", "batch", "in", "-v"],
        &["spatiafi", "exec", "-v", "--", "env"],
        &["spatiafi", "status", "-v"],
        &["spatiafi", "status", "--format", "json"],
        &["spatiafi", "login", "--force", "-v"],
        &["spacebring", "token", "-v"],
        &["spacebring", "token", "--format", "header", "-v"],
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
fn a_release_build_cannot_log_whole_requests() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "keyfob-cli", "--invert", "log"])
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
    // Given in the environment, where the child would inherit them.
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
    // By descriptor: closed too, also that of the other service, and also if the token came from the store.
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
    // A command that gives one secret does not get to see the others.
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
fn memory_is_private_and_the_store_works_all_the_same() {
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
        fs::copy(env!("CARGO_BIN_EXE_keyfob"), &binary).unwrap();
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

/// Looks through the memory of processes that are about to end: strace holds them in `exit_group`.
#[test]
#[ignore = "needs strace and root"]
#[cfg(target_os = "linux")]
fn no_secret_in_memory_after_the_work() {
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
                // The code as far as it is not encoded, and `state`.
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

/// The process that strace holds at its end.
#[cfg(target_os = "linux")]
fn held_by(strace: u32) -> u32 {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(60), "keyfob comes to its end");
        let children =
            fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
        if let Some(pid) = children.split_whitespace().next() {
            // exit_group on x86-64 and on the others of today.
            let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            // strace tries out what it can do with children of its own, which end too.
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

/// All that can be written to: heap, stacks, data.
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

/// Itself, and not what its name in `/dev/fd` opens: its place in the file, its direction, and what has no name.
#[test]
#[cfg(target_os = "linux")]
fn a_descriptor_is_used_as_it_was_handed_over() {
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

#[test]
fn a_descriptor_that_cannot_be_read_from() {
    let services = Services::start();
    let file = services.file("secret", services.spatiafi.client_secret()).display().to_string();
    for (number, redirect) in [(0, "<&-".to_owned()), (0, format!("0>>{file}")), (3, "3<&-".to_owned())] {
        let output = by_descriptor(&services, number, "spatiafi token", &redirect);
        fails(&output, 2, &format!("descriptor {number} is not open for reading"));
    }
    #[cfg(target_os = "linux")]
    fails(
        &by_descriptor(&services, 3, "spatiafi token", &format!("3>>{file}")),
        2,
        "descriptor 3 is not open for reading",
    );
    assert_eq!(services.requests(), 0);
}

#[test]
#[ignore = "takes 40 s"]
fn nothing_of_a_command_is_left_when_its_time_is_over() {
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

#[test]
#[cfg(target_os = "linux")]
fn a_command_that_prints_too_much_is_ended() {
    let services = Services::start();
    let much = "echo $$ >pid; head -c 100000 /dev/zero; sleep 60";
    let output = token(&services).arg("much").env("SPATIAFI_CLIENT_SECRET_CMD", much).output().unwrap();
    fails(&output, 7, "SPATIAFI_CLIENT_SECRET_CMD");
    let pid = fs::read_to_string(services.path("pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn exec_hands_on_no_secret_but_the_token() {
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
