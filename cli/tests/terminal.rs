//! With a terminal: questions, colours, the progress bar, the browser.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use support::{INFO, Services};

/// keyfob on a terminal of its own, made by script(1).
struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    fn run(services: &Services, unset: &[&str], words: &str, more: &[(&str, &str)]) -> Self {
        let plain = services.without(unset, "");
        let mut command = Command::new("script");
        let run = format!("env --default-signal=INT,TERM,HUP {} {words}", env!("CARGO_BIN_EXE_keyfob"));
        command.args(["-qec", &run, "/dev/null"]);
        command.env_clear().env("TERM", "xterm").current_dir(services.home.path());
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.envs(more.iter().copied());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child, seen: String::new() }
    }

    /// Waits until this is on the screen.
    fn until(&mut self, text: &str) -> &mut Self {
        let mut byte = [0];
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(text) {
            assert_eq!(
                self.child.stdout.as_mut().unwrap().read(&mut byte).unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.push(byte[0]);
        }
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
        self
    }

    fn types(&mut self, text: &str) -> &mut Self {
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").unwrap();
        self
    }

    /// The exit status, and all that was on the screen.
    fn ends(&mut self) -> (Option<i32>, String) {
        self.child.stdout.as_mut().unwrap().read_to_string(&mut self.seen).unwrap();
        (self.child.wait().unwrap().code(), self.seen.clone())
    }
}

/// A `PATH` with a browser of our own in front.
fn path_with_browser(services: &Services, script: &str) -> String {
    let bin = services.path("bin");
    fs::create_dir(&bin).unwrap();
    let browser = bin.join("xdg-open");
    fs::write(&browser, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

const NOBODY: [&str; 4] =
    ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET", "SPATIAFI_USERNAME", "SPATIAFI_PASSWORD"];

#[test]
#[ignore = "needs script(1)"]
fn a_login_asks_for_user_name_and_password() {
    let services = Services::start();
    let (username, password) = (services.spatiafi.username(), services.spatiafi.password());
    let mut terminal = Terminal::run(&services, &NOBODY, "spatiafi login", &[]);
    terminal.until("user name: ").types(username);
    terminal.until("password of demo@example.com: ");
    // A person does not type before the terminal has stopped to show it, which comes after the question.
    thread::sleep(Duration::from_millis(500));
    let (status, seen) = terminal.types(password).ends();
    assert_eq!(status, Some(0), "{seen}");
    assert!(!seen.contains(&password[..7]), "what is typed is not shown: {seen}");
    assert!(services.path(".config/spatiafi/app_credentials.json").exists());

    let mut terminal = Terminal::run(&services, &NOBODY, "spatiafi login --force", &[]);
    let (status, seen) = terminal.until("user name: ").types("").ends();
    assert!(status == Some(3) && seen.contains("nothing was typed"), "{seen}");
    let mut terminal = Terminal::run(&services, &NOBODY[..3], "spatiafi login --force", &[]);
    let (status, seen) = terminal.until("user name: ").types(username).ends();
    assert_eq!(status, Some(0), "only what is missing is asked for: {seen}");
}

#[test]
#[ignore = "needs script(1)"]
fn a_signal_at_the_password_leaves_the_terminal_as_it_was() {
    let services = Services::start();
    let without = [&NOBODY[..2], &NOBODY[3..]].concat();
    let more = [("SPATIAFI_USERNAME", "demo@example.com")];
    for end in ["\u{3}", "TERM", "HUP"] {
        let words = format!("spatiafi login --profile {end}").replace('\u{3}', "x");
        let words = [&words, "; echo ended with $?; stty -a"].concat();
        let mut terminal = Terminal::run(&services, &without, &words, &more);
        terminal.until("password of demo@example.com: ");
        // The terminal is changed after the question.
        thread::sleep(Duration::from_millis(500));
        if end.len() == 1 {
            terminal.types(end);
        } else {
            let ours = format!("^[^ ]*keyfob spatiafi login --profile {end}$");
            assert!(
                Command::new("pkill").args([&format!("-{end}"), "-f", &ours]).status().unwrap().success()
            );
        }
        let (_, seen) = terminal.ends();
        let status = match end {
            "TERM" => 143,
            "HUP" => 129,
            _ => 130,
        };
        assert!(seen.contains(&format!("ended with {status}")), "{seen}");
        assert!(seen.contains(" echo ") && seen.contains(" icanon ") && seen.contains("isig "), "{seen}");
    }
}

#[test]
#[ignore = "needs script(1)"]
fn nobody_is_sent_to_a_browser_whose_login_would_end_elsewhere() {
    let services = Services::start();
    let path = path_with_browser(&services, "touch opened");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("http://{}/callback", other.local_addr().unwrap());
    let more = [("PATH", path.as_str()), ("SPACEBRING_REDIRECT_URI", &taken)];
    let (status, seen) = Terminal::run(&services, &[], "spacebring login --scope locations", &more).ends();
    assert_eq!(status, Some(5), "{seen}");
    assert!(seen.contains("in use"), "{seen}");
    assert!(!services.path("opened").exists() && !seen.contains("authorize?"), "{seen}");
}

#[test]
#[ignore = "needs script(1)"]
fn colours_on_a_terminal_unless_told() {
    let services = Services::start();
    let seen = |more: &[(&str, &str)]| Terminal::run(&services, &NOBODY, "spatiafi token", more).ends();
    assert!(seen(&[]).1.contains("\u{1b}[31merror:\u{1b}[0m"));
    assert!(!seen(&[("NO_COLOR", "1")]).1.contains('\u{1b}'));
    assert!(!seen(&[("TERM", "dumb")]).1.contains('\u{1b}'));
}

#[test]
#[ignore = "needs script(1)"]
fn a_batch_shows_how_far_it_is() {
    let services = Services::start();
    services.file("in", format!("{INFO}\n").repeat(300));
    services.spatiafi.set_delay(keyfob_sandbox::Endpoint::Info, Duration::from_millis(10));
    let (status, seen) = Terminal::run(&services, &[], "spatiafi batch in --output out", &[]).ends();
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains("300/300") && seen.contains("/s") && seen.contains("left"), "{seen}");
    let rates = seen.split("/s ").filter_map(|before| before.rsplit(' ').next());
    assert!(rates.clone().all(|rate| !rate.contains('.')) && rates.count() > 1, "whole numbers: {seen}");
}

#[test]
#[ignore = "needs script(1)"]
fn a_login_opens_the_browser_with_the_url_alone() {
    let services = Services::start();
    let script = "env >env\necho $# >count\necho \"$1\" >url.new\nmv url.new url";
    let path = path_with_browser(&services, script);
    let more = [("PATH", path.as_str()), ("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback")];
    let mut terminal = Terminal::run(&services, &[], "spacebring login --scope locations", &more);
    terminal.until("log in with the browser");
    while !services.path("url").exists() {
        thread::yield_now();
    }
    let url = fs::read_to_string(services.path("url")).unwrap();
    keyfob::ureq::get(&services.spacebring.approve(url.trim())).call().unwrap();
    let (status, seen) = terminal.ends();
    assert_eq!(status, Some(0), "{seen}");
    assert_eq!(fs::read_to_string(services.path("count")).unwrap(), "1\n");
    let inherited = fs::read_to_string(services.path("env")).unwrap();
    assert!(!inherited.contains("SECRET") && !inherited.contains("SPATIAFI_PASSWORD"), "{inherited}");
}
