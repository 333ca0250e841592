//! With a terminal: questions, colours, the progress bar, the browser.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault};
use support::{INFO, Services, ends_well};

/// The command with the signals of a person's shell.
const KEYFOB: &str =
    concat!("env --default-signal=INT,TERM,HUP,QUIT,TSTP,USR1 ", env!("CARGO_BIN_EXE_keyfob"));

/// keyfob on a terminal of its own, made by script(1).
struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    fn run(services: &Services, unset: &[&str], words: &str, more: &[(&str, &str)]) -> Self {
        Self::shell(services, unset, &format!("{KEYFOB} {words}"), more)
    }

    /// A line of shell.
    fn shell(services: &Services, unset: &[&str], line: &str, more: &[(&str, &str)]) -> Self {
        let plain = services.without(unset, "");
        let mut command = Command::new("script");
        // Signals of keys reach the shell too, which has to report the exit status.
        command.args(["-qec", &format!("trap : INT QUIT; {line}"), "/dev/null"]);
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
        self.sends(format!("{text}\n").as_bytes())
    }

    fn sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
        self
    }

    /// Returns the address to log in at, once it is on the screen and a paste is expected.
    fn url(&mut self) -> String {
        self.until("paste the address that the browser ends at:");
        let url = self.seen.split("keyfob: open ").last().unwrap();
        url.split_whitespace().next().unwrap().to_owned()
    }

    /// Returns the exit status, and all text that was on the screen.
    fn ends(&mut self) -> (Option<i32>, String) {
        let mut bytes = Vec::new();
        self.child.stdout.as_mut().unwrap().read_to_end(&mut bytes).unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
        (self.child.wait().unwrap().code(), self.seen.clone())
    }
}

/// Returns a `PATH` that begins with a browser of the test's own.
fn path_with_browser(services: &Services, script: &str) -> String {
    let bin = services.path("bin");
    fs::create_dir(&bin).unwrap();
    let text = bin.join("text");
    fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Another process writes it: a child that a test starts meanwhile would inherit the open file, and nobody could run it.
    let mut copy = Command::new("install");
    assert!(copy.args(["-m", "755"]).args([&text, &bin.join("xdg-open")]).status().unwrap().success());
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

const NOBODY: [&str; 4] =
    ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET", "SPATIAFI_USERNAME", "SPATIAFI_PASSWORD"];

#[test]
#[ignore = "needs script(1)"]
fn login_asks_for_user_name_and_password() {
    let services = Services::start();
    let (username, password) = (services.spatiafi.username(), services.spatiafi.password());
    let mut terminal = Terminal::run(&services, &NOBODY, "spatiafi login", &[]);
    terminal.until("user name: ").types(username);
    terminal.until("password of demo@example.com: ");
    // A person types only after the terminal has stopped showing the input, which happens after the question.
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
fn signal_at_the_password_prompt_restores_the_terminal() {
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
fn no_browser_is_opened_if_the_redirect_uri_is_elsewhere() {
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
fn output_has_colours_on_a_terminal_unless_switched_off() {
    let services = Services::start();
    let seen = |more: &[(&str, &str)]| Terminal::run(&services, &NOBODY, "spatiafi token", more).ends();
    assert!(seen(&[]).1.contains("\u{1b}[31merror:\u{1b}[0m"));
    assert!(!seen(&[("NO_COLOR", "1")]).1.contains('\u{1b}'));
    assert!(!seen(&[("TERM", "dumb")]).1.contains('\u{1b}'));
}

#[test]
#[ignore = "needs script(1)"]
fn batch_shows_its_progress() {
    let services = Services::start();
    services.file("in", format!("{INFO}\n").repeat(300));
    services.spatiafi.set_delay(Endpoint::Info, Duration::from_millis(10));
    let (status, seen) = Terminal::run(&services, &[], "spatiafi batch in --output out", &[]).ends();
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains("300/300") && seen.contains("/s") && seen.contains("left"), "{seen}");
    let rates = seen.split("/s ").filter_map(|before| before.rsplit(' ').next());
    assert!(rates.clone().all(|rate| !rate.contains('.')) && rates.count() > 1, "whole numbers: {seen}");
}

/// The lines of the earlier run count as done, and not for the rate.
#[test]
#[ignore = "needs script(1)"]
fn progress_of_a_resumed_batch_begins_where_it_goes_on() {
    let services = Services::start();
    for (name, lines) in [("before", 2_000), ("in", 2_010)] {
        services.file(name, format!("{INFO}\n").repeat(lines));
    }
    ends_well(&services.run("spatiafi batch before --output out"));
    services.spatiafi.set_delay(Endpoint::Info, Duration::from_millis(200));
    let words = "spatiafi batch in --output out --resume --jobs 1";
    let (status, seen) = Terminal::run(&services, &[], words, &[]).ends();
    assert_eq!(status, Some(0), "{seen}");
    let numbers = |end: &str| {
        let before = seen.split(end).map(|before| before.rsplit(' ').next().unwrap_or_default());
        before.filter_map(|number| number.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let (positions, rates) = (numbers("/2010"), numbers("/s "));
    assert!(positions.len() > 1 && positions.iter().all(|&position| position >= 2_000), "{seen}");
    assert!(rates.len() > 1 && rates.iter().all(|&rate| rate <= 10), "{seen}");
}

/// Waits until another process has done something.
fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within 30 s");
}

/// Returns the arguments of the browser of `path_with_browser`.
fn opened(services: &Services) -> String {
    until(|| services.path("url").exists());
    fs::read_to_string(services.path("url")).unwrap().trim().to_owned()
}

const OPENED: &str = "echo \"$1\" >url.new\nmv url.new url";
const LOGIN: &str = "spacebring login --scope locations";
const ANY_PORT: (&str, &str) = ("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");

/// Returns the target of an address, without following it.
fn location(url: &str) -> String {
    let agent = keyfob::ureq::Agent::config_builder().max_redirects(0).build().new_agent();
    let response = agent.get(url).call().unwrap();
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    response.headers()["location"].to_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs script(1)"]
fn login_opens_the_browser_with_a_one_time_address_alone() {
    let services = Services::start();
    let path = path_with_browser(&services, &format!("env >env\necho $# >count\n{OPENED}"));
    let more = [("PATH", path.as_str()), ANY_PORT];
    let mut terminal = Terminal::run(&services, &[], LOGIN, &more);
    terminal.until("log in with the browser").until("code_challenge_method=S256");
    let one_time = opened(&services);
    assert!(one_time.starts_with("http://127.0.0.1:") && one_time.len() < 70, "{one_time}");
    assert!(!one_time.contains('?') && !one_time.contains("state"), "{one_time}");
    let url = location(&one_time);
    assert!(terminal.seen.contains(&url), "that of the login: {url}");
    keyfob::ureq::get(&services.spacebring.approve(&url)).call().unwrap();
    let (status, seen) = terminal.ends();
    assert_eq!(status, Some(0), "{seen}");
    assert_eq!(fs::read_to_string(services.path("count")).unwrap(), "1\n");
    let inherited = fs::read_to_string(services.path("env")).unwrap();
    assert!(!inherited.contains("SECRET") && !inherited.contains("SPATIAFI_PASSWORD"), "{inherited}");
}

#[test]
#[ignore = "needs script(1)"]
fn browser_receives_no_descriptor_of_a_secret() {
    let services = Services::start();
    services.file("plain", "this one is no secret\n");
    services.file("secret", services.spacebring.client_secret());
    let path = path_with_browser(&services, &format!("cat /proc/$$/fd/[3-9] >held\n{OPENED}"));
    for (variable, value, redirect) in [
        ("_FD", "5", "5<secret"),
        ("_FD", "5", "5<secret 6<&5"),
        ("_FILE", "/dev/fd/5", "5<secret"),
        ("_FILE", "secret", "5<secret"),
        ("_CMD", "cat <&5", "5<secret"),
    ] {
        let variable = format!("SPACEBRING_CLIENT_SECRET{variable}");
        let more = [("PATH", path.as_str()), ANY_PORT, (&*variable, value)];
        let line = format!("{KEYFOB} {LOGIN} 7<plain {redirect}");
        let mut terminal = Terminal::shell(&services, &["SPACEBRING_CLIENT_SECRET"], &line, &more);
        terminal.until("log in with the browser").until("code_challenge_method=S256");
        let url = location(&opened(&services));
        keyfob::ureq::get(&services.spacebring.approve(&url)).call().unwrap();
        let (status, seen) = terminal.ends();
        assert_eq!(status, Some(0), "{line}: {seen}");
        assert_eq!(fs::read_to_string(services.path("held")).unwrap(), "this one is no secret\n", "{line}");
        fs::remove_file(services.path("url")).unwrap();
    }
}

#[test]
#[ignore = "needs script(1)"]
fn second_fetch_of_the_one_time_address_ends_the_login() {
    let services = Services::start();
    let path = path_with_browser(&services, OPENED);
    let mut terminal = Terminal::run(&services, &[], LOGIN, &[("PATH", path.as_str()), ANY_PORT]);
    terminal.until("log in with the browser");
    let one_time = opened(&services);
    location(&one_time);
    location(&one_time);
    let (status, seen) = terminal.ends();
    assert_eq!(status, Some(4), "{seen}");
    assert!(
        seen.contains(
            "the one-time address for the browser was fetched twice, so somebody else may have fetched it; "
        ),
        "{seen}"
    );
    assert_eq!(services.spacebring.logins(), 0);
}

#[test]
#[ignore = "needs script(1)"]
fn signals_of_the_terminal_do_not_reach_the_browser() {
    // Runs like a browser in the foreground, and prints the signals that it receives and its share of the terminal.
    let script = format!(
        "for s in INT QUIT TSTP HUP TERM TTOU TTIN; do trap \"echo $s >>signals\" $s; done\n\
         for fd in 0 1 2; do all=\"$all$(readlink /proc/$$/fd/$fd) \"; done; echo \"$all\" >inherited\n{OPENED}\n\
         until [ -e stop ]; do sleep 0.05; done\ntouch survived"
    );
    for (name, key, status) in [("Ctrl-C", "\u{3}", 130), ("Ctrl-\\", "\u{1c}", 131), ("hang-up", "", 0)] {
        let services = Services::start();
        let path = path_with_browser(&services, &script);
        let line = format!("{KEYFOB} {LOGIN}; echo ended with $?");
        let mut terminal = Terminal::shell(&services, &[], &line, &[("PATH", path.as_str()), ANY_PORT]);
        terminal.until("log in with the browser");
        opened(&services);
        if key.is_empty() {
            // The terminal itself is gone.
            terminal.child.kill().unwrap();
            terminal.child.wait().unwrap();
        } else {
            let (_, seen) = terminal.sends(key.as_bytes()).ends();
            assert!(seen.contains(&format!("ended with {status}")), "{name}: {seen}");
        }
        assert!(!services.path("survived").exists());
        services.file("stop", "");
        until(|| services.path("survived").exists());
        let signals = fs::read_to_string(services.path("signals")).unwrap_or_default();
        assert_eq!(signals, "", "{name}");
        let inherited = fs::read_to_string(services.path("inherited")).unwrap();
        assert_eq!(inherited, "/dev/null /dev/null /dev/null \n", "{name}");
    }
}

/// Returns the children of a process that have ended and were not waited for.
fn zombies(parent: u32) -> usize {
    let stats = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let zombie_of_parent = format!(") Z {parent} ");
    stats.filter(|stat| stat.contains(&zombie_of_parent)).count()
}

#[test]
#[ignore = "needs script(1)"]
fn process_that_opens_the_browser_is_reaped_during_the_login() {
    let services = Services::start();
    for (name, script) in [
        ("ends at once", format!("echo $PPID >parent\n{OPENED}")),
        ("fails", format!("echo $PPID >parent\n{OPENED}\nexit 3")),
        ("is killed", format!("echo $PPID >parent\n{OPENED}\nkill -9 $$")),
        ("leaves a child behind", format!("echo $PPID >parent\n{OPENED}\nsleep 2 &")),
    ] {
        let _ = fs::remove_dir_all(services.path("bin"));
        let _ = fs::remove_file(services.path("url"));
        let path = path_with_browser(&services, &script);
        let mut terminal = Terminal::run(&services, &[], LOGIN, &[("PATH", path.as_str()), ANY_PORT]);
        terminal.until("log in with the browser");
        let url = location(&opened(&services));
        let parent = fs::read_to_string(services.path("parent")).unwrap().trim().parse().unwrap();
        until(|| zombies(parent) == 0);
        // Still so after the time in which it would have ended.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(zombies(parent), 0, "{name}");
        keyfob::ureq::get(&services.spacebring.approve(&url)).call().unwrap();
        let (status, seen) = terminal.ends();
        assert_eq!(status, Some(0), "{name}: {seen}");
    }
}

const PASTE: &str = "spacebring login --no-browser --scope locations";
/// The marks that a terminal puts around a paste, if it was asked to.
const BRACKETS: [&str; 2] = ["\u{1b}[200~", "\u{1b}[201~"];

/// The text that is typed for this address.
type Typed<'a> = &'a dyn Fn(&str) -> String;

#[test]
#[ignore = "needs script(1)"]
fn address_can_be_pasted_and_edited_on_a_terminal() {
    let services = Services::start();
    let long = |url: &str, len: usize| format!("{url}&more={}", "x".repeat(len - url.len() - 6));
    let lines = |url: &str, with: &str| {
        url.as_bytes()
            .chunks(70)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join(with)
    };
    let [begin, end] = BRACKETS;
    let typed: [(&str, Typed<'_>); 14] = [
        ("as it is", &|url| format!("{url}\r")),
        ("5,000 characters", &|url| format!("{}\r", long(url, 5_000))),
        ("4,095, 4,096 and 4,097", &|url| format!("{}\r", long(url, 4_096))),
        ("60,000", &|url| format!("{}\r", long(url, 60_000))),
        ("in brackets", &|url| format!("{begin}{url}{end}\r")),
        ("60,000 in brackets", &|url| format!("{begin}{}{end}\r", long(url, 60_000))),
        ("lines in brackets", &|url| format!("{begin}{}\r{end}\r", lines(url, "\r"))),
        ("lines", &|url| format!("{}\r", lines(url, "\r"))),
        ("lines of a mail", &|url| format!("> <{}>\r\n", lines(url, "\r\n> "))),
        ("white space around", &|url| format!("  {url} \r\n")),
        ("after a mistake", &|url| format!("wrong\u{15}{url}x\u{7f}\r")),
        ("word by word", &|url| format!("{url} two words\u{17}\u{17}\u{8}\r")),
        ("with keys that mean nothing", &|url| format!("\u{1b}[A\u{1b}OC{url}\u{1b}[3~\r")),
        ("ended with Ctrl-D", &|url| format!("{url}\u{4}")),
    ];
    for (name, typed) in typed {
        let line =
            format!("stty -g >before; {KEYFOB} {PASTE} --timeout 60; echo ended with $?; stty -g >after");
        let mut terminal = Terminal::shell(&services, &[], &line, &[]);
        let callback = services.spacebring.approve(&terminal.url());
        let (_, seen) = terminal.sends(typed(&callback).as_bytes()).ends();
        assert!(seen.contains("ended with 0"), "{name}: {seen}");
        assert!(!seen.contains("paste the whole address"), "{name}: at the first go: {seen}");
        let echoed = callback.split("code=").nth(1).unwrap();
        assert!(seen.contains(&echoed[..16]), "{name}: what is typed is shown: {seen}");
        let modes = |name: &str| fs::read_to_string(services.path(name)).unwrap();
        assert_eq!(modes("after"), modes("before"), "{name}");
    }
}

#[test]
#[ignore = "needs script(1)"]
fn wrong_address_on_a_terminal_is_asked_for_again() {
    let services = Services::start();
    let mut terminal = Terminal::run(&services, &[], &format!("{PASTE} --timeout 60"), &[]);
    let callback = services.spacebring.approve(&terminal.url());
    let again = "paste the whole address that the browser shows after the login";
    let cut = &callback[..callback.len() - 9];
    for (wrong, why) in [
        (&b"an address"[..], "the callback URL has no query ('?'); "),
        (b"", "nothing was pasted: "),
        (b"  ", "nothing was pasted: "),
        (b"http://h/callback?code=\xe4", "the pasted text is not UTF-8: "),
        (b"http://h/callback?code=x&sta", "the callback has no `state`, so it may be cut or forged; "),
        (cut.as_bytes(), "the callback's `state` is not that of this login, or is cut; "),
        (&b"x".repeat(70_000), "more than 64 KiB were typed or pasted at once: "),
    ] {
        terminal.sends(wrong).sends(b"\r").until(&format!("{why}{again}"));
    }
    let (status, seen) = terminal.sends(callback.as_bytes()).sends(b"\r").ends();
    assert_eq!(status, Some(0), "{seen}");
    assert!(!seen.contains("--without"), "{seen}");
}

#[test]
#[ignore = "needs script(1)"]
fn terminal_is_restored_however_the_paste_ends() {
    let services = Services::start();
    for (name, words, keys, status) in [
        ("Ctrl-C", PASTE.to_owned(), "\u{3}", "130"),
        ("Ctrl-C in the middle", PASTE.to_owned(), "http://127.0.0.1\u{3}", "130"),
        ("Ctrl-\\", PASTE.to_owned(), "\u{1c}", "131"),
        ("the deadline", format!("{PASTE} --timeout 1"), "http://127", "5"),
        ("the end of input, after a mistake", PASTE.to_owned(), "wrong\r\u{4}", "2"),
        ("a denied login", PASTE.to_owned(), "DENY\r", "3"),
        ("SIGTERM", PASTE.to_owned(), "", "143"),
        ("SIGHUP", PASTE.to_owned(), "", "129"),
    ] {
        let line = format!("stty -g >before; {KEYFOB} {words}; echo ended with $?; stty -g >after");
        let mut terminal = Terminal::shell(&services, &[], &line, &[]);
        let url = terminal.url();
        if let Some(signal) = name.strip_prefix("SIG") {
            let parent = format!("/proc/{}/task/{0}/children", terminal.child.id());
            let shell = fs::read_to_string(parent).unwrap();
            let keyfob = fs::read_to_string(format!("/proc/{}/task/{0}/children", shell.trim())).unwrap();
            assert!(Command::new("kill").args(["-s", signal, keyfob.trim()]).status().unwrap().success());
        } else if keys.starts_with("wrong") {
            terminal.sends(b"wrong\r").until("has no query").sends(b"\x04");
        } else {
            let keys = if keys.starts_with("DENY") {
                services.spacebring.deny(&url) + "\r"
            } else {
                keys.to_owned()
            };
            terminal.sends(keys.as_bytes());
        }
        let (_, seen) = terminal.ends();
        assert!(seen.contains(&format!("ended with {status}")), "{name}: {seen}");
        let modes = |name: &str| fs::read_to_string(services.path(name)).unwrap();
        assert_eq!(modes("after"), modes("before"), "{name}");
    }
}

#[test]
#[ignore = "needs script(1) and bash"]
fn paste_continues_after_the_program_was_stopped() {
    let services = Services::start();
    for (name, stop) in [("Ctrl-Z", "\u{1a}"), ("SIGSTOP", "")] {
        let line = format!(
            "bash -c 'set -m; stty -g >before; {KEYFOB} {PASTE} --timeout 30; echo stopped; stty -g >between; stty sane; fg; \
             echo ended with $?; stty -g >after'"
        );
        let mut terminal = Terminal::shell(&services, &[], &line, &[]);
        let callback = services.spacebring.approve(&terminal.url());
        let (begin, rest) = callback.split_at(30);
        terminal.sends(begin.as_bytes()).until(begin);
        if stop.is_empty() {
            let keyfob = Command::new("pgrep")
                .args(["-f", "^[^ ]*keyfob spacebring login --no-browser"])
                .output()
                .unwrap();
            let pids = String::from_utf8(keyfob.stdout).unwrap();
            let own = pids.split_whitespace().find(|pid| {
                fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == services.home.path())
            });
            assert!(Command::new("kill").args(["-s", "STOP", own.unwrap()]).status().unwrap().success());
        } else {
            terminal.sends(stop.as_bytes());
        }
        terminal.until("stopped");
        // The line is shown again.
        terminal.until(begin);
        let long = format!("{rest}&more={}\r", "x".repeat(5_000));
        let (_, seen) = terminal.sends(long.as_bytes()).ends();
        assert!(seen.contains("ended with 0"), "{name}: {seen}");
        // The settings that a program changes to read byte by byte. The shell has changed others.
        let modes = |name: &str| {
            fs::read_to_string(services.path(name)).unwrap().split(':').nth(3).unwrap().to_owned()
        };
        assert_eq!(modes("after"), modes("before"), "{name}");
        if name == "Ctrl-Z" {
            assert_eq!(modes("between"), modes("before"), "{name}");
        }
    }
}

#[test]
#[ignore = "needs script(1)"]
fn answers_typed_at_a_prompt_are_checked() {
    let services = Services::start();
    let name = "SpatiaFi user name: ";
    let password = "SpatiaFi password of demo@example.com: ";
    let (nothing, not_utf8) =
        ("nothing was typed, so nothing was done", "the input is not UTF-8: set the terminal to UTF-8");
    for (question, typed, status, says) in [
        (name, &b"J\xfcrgen\r"[..], 2, not_utf8),
        (name, b"\xff\r", 2, not_utf8),
        (name, b"demo@example.com\xe4\r", 2, not_utf8),
        (name, b"\xc3\r", 2, not_utf8),
        (name, b"\r", 3, nothing),
        (name, b"\x04", 3, nothing),
        (name, b"x\x7f\r", 3, nothing),
        (name, b" \t \r", 3, "nothing but white space was typed, so nothing was done"),
        (name, b"a\0b\r", 2, "the input holds a control character at byte 1: type it again"),
        (name, b"a\x01\r", 2, "the input holds a control character at byte 1: type it again"),
        (name, &b"x".repeat(70_000), 2, "more than 64 KiB were typed or pasted at once"),
        (password, b"p\xe4ssword\r", 2, not_utf8),
        (password, b"\xa0\r", 2, not_utf8),
        (password, b"\r", 3, nothing),
        (password, b"\x04", 3, nothing),
        (password, b"a\0b\r", 2, "control character at byte 1"),
    ] {
        let unset = if question == name {
            &NOBODY[..]
        } else {
            &["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET", "SPATIAFI_PASSWORD"]
        };
        let more = [("SPATIAFI_USERNAME", "demo@example.com")];
        let more = if question == name { &[][..] } else { &more };
        let mut terminal = Terminal::run(&services, unset, "spatiafi login", more);
        terminal.until(question).sends(typed);
        if typed.len() > 64 * 1024 {
            terminal.sends(b"\r");
        }
        let (exit, seen) = terminal.ends();
        assert_eq!(exit, Some(status), "{}: {seen}", typed[..typed.len().min(20)].escape_ascii());
        assert!(seen.contains(says), "{}: {seen}", typed[..typed.len().min(20)].escape_ascii());
    }
    assert_eq!(services.requests(), 0);
}

#[test]
#[ignore = "needs script(1)"]
fn ctrl_c_ends_the_program_after_a_prompt() {
    let services = Services::start();
    services.spatiafi.set_delay(Endpoint::BasicToken, Duration::from_secs(20));
    let line = format!("{KEYFOB} spatiafi login; echo ended with $?");
    let mut terminal = Terminal::shell(&services, &NOBODY, &line, &[]);
    let (username, password) = (services.spatiafi.username(), services.spatiafi.password());
    terminal.until("user name: ").types(username).until("password of demo@example.com: ").types(password);
    // While it waits for the server.
    until(|| services.spatiafi.total() > 0);
    let (_, seen) = terminal.sends(b"\x03").ends();
    assert!(seen.contains("ended with 130"), "{seen}");
}

/// The command is in the group of keyfob, so that it may ask. Still, no process of it is left when a signal ends keyfob alone.
#[test]
#[ignore = "needs script(1)"]
#[cfg(target_os = "linux")]
fn secret_command_may_prompt_and_ends_with_keyfob() {
    use nix::sys::signal::{Signal, kill};
    let services = Services::start();
    services.file("one", services.spatiafi.client_secret());
    let unset = ["SPATIAFI_CLIENT_SECRET"];
    let asks = "printf 'word: ' >/dev/tty; read -r word </dev/tty; test $word = open && cat one";
    let mut terminal =
        Terminal::run(&services, &unset, "spatiafi token", &[("SPATIAFI_CLIENT_SECRET_CMD", asks)]);
    let (status, seen) = terminal.until("word: ").types("open").ends();
    assert_eq!(status, Some(0), "{seen}");
    // One of them has lost its parent.
    let waits = "orphan=$(sleep 300 >/dev/null & echo $!); sleep 300 & echo $PPID $orphan $! $$ >pids; \
                 printf 'word: ' >/dev/tty; read -r word </dev/tty";
    for end in [None, Some(Signal::SIGTERM), Some(Signal::SIGHUP), Some(Signal::SIGINT)] {
        let more = [("SPATIAFI_CLIENT_SECRET_CMD", waits)];
        // The end of a shell ends its session, so the remaining processes are searched for before.
        let looks = "status=$?; for _ in $(seq 50); do cat $(sed 's,[0-9][0-9]*,/proc/&/stat,g' pids) >left \
                     2>/dev/null; grep -vq ') Z ' left || break; sleep 0.1; done; exit $status";
        let words = format!("spatiafi token --profile other; {looks}");
        let mut terminal = Terminal::run(&services, &unset, &words, &more);
        terminal.until("word: ");
        let pids = fs::read_to_string(services.path("pids")).unwrap();
        let pids: Vec<i32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        match end {
            Some(signal) => kill(nix::unistd::Pid::from_raw(pids[0]), signal).unwrap(),
            // Ctrl-C reaches the whole group.
            None => _ = terminal.types("\u{3}"),
        }
        let (status, seen) = terminal.ends();
        assert_eq!(status, Some(128 + end.unwrap_or(Signal::SIGINT) as i32), "{seen}");
        let left = fs::read_to_string(services.path("left")).unwrap();
        assert!(left.lines().all(|process| process.contains(") Z ")), "{end:?}: {left}");
    }
}

#[test]
#[ignore = "needs script(1)"]
fn ended_secret_command_restores_the_terminal() {
    const HIDES: &str = "stty -echo -icanon </dev/tty";
    let services = Services::start();
    for (command, ends, status) in [
        ("; kill $PPID; sleep 300", "", 143),
        ("; trap '' TERM; kill -USR1 $PPID; sleep 300; sleep 301", "", 138),
        ("; echo waits >/dev/tty; sleep 300", "\x03", 130),
        ("; exit 3", "", 3),
    ] {
        let command = format!("{HIDES}{command}");
        let line = format!("stty -g >before; {KEYFOB} spatiafi token; echo ended with $?; stty -g >after");
        let set = [("SPATIAFI_CLIENT_SECRET_CMD", command.as_str())];
        let mut terminal = Terminal::shell(&services, &["SPATIAFI_CLIENT_SECRET"], &line, &set);
        if !ends.is_empty() {
            terminal.until("waits").sends(ends.as_bytes());
        }
        let (_, seen) = terminal.ends();
        assert!(seen.contains(&format!("ended with {status}")), "{command}: {seen}");
        let [before, after] = ["before", "after"].map(|name| fs::read(services.path(name)).unwrap());
        assert_eq!(before, after, "{command}");
    }
}

#[test]
#[ignore = "needs script(1)"]
fn body_without_a_line_end_is_ended_on_a_terminal() {
    let services = Services::start();
    for (status, body, expected) in [
        (500, "oh no", "oh no\r\nkeyfob: error: "),
        (500, "oh no\n", "oh no\r\nkeyfob: error: "),
        (500, "", "keyfob: error: "),
        (200, "fine", "fine\r\n"),
    ] {
        services.spatiafi.fault(Endpoint::Info, Fault::raw(status, "text/plain", body));
        let (_, seen) =
            Terminal::run(&services, &[], "spatiafi get /api/info?item_id=x", &[("NO_COLOR", "1")]).ends();
        assert!(seen.starts_with(expected), "{body:?}: {seen:?}");
    }
    // Elsewhere the bytes are those of the server.
    services.spatiafi.fault(Endpoint::Info, Fault::raw(200, "text/plain", "fine"));
    assert_eq!(services.run("spatiafi get /api/info?item_id=x").stdout, b"fine");
}
