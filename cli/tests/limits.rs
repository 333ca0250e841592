//! Limits of the system: each error names its cause.

#![cfg(unix)]

mod support;

use std::process::{Command, Stdio};

use support::{Services, err, fails};

const TOKEN: &str = "could not get a token with the client credentials from ";

#[test]
fn too_many_open_files_have_an_error_of_their_own() {
    let services = Services::start();
    let mut report = Vec::new();
    // From too few descriptors for the program itself to enough for everything.
    for limit in 4..=16 {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" spatiafi token --profile {limit}")]);
        shell.arg(env!("CARGO_BIN_EXE_keyfob")).env_clear().env("HOME", services.home.path());
        let output = shell.envs(services.spatiafi.env()).output().unwrap();
        if output.status.success() {
            continue;
        }
        let text = err(&output);
        assert!(text.contains("many files open") || text.contains("Too many open files"), "{limit}: {text}");
        report.push(text.to_owned());
    }
    // At the same time, because a name server may take long.
    let started = (4..=16).map(|limit| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" spatiafi token --profile {limit}")]);
        shell.arg(env!("CARGO_BIN_EXE_keyfob")).env_clear().env("HOME", services.home.path());
        shell.envs(services.spatiafi.env()).env("SPATIAFI_AUTH_URL", "https://name.invalid");
        shell.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let started: Vec<_> = started.collect();
    let lookups =
        started.into_iter().map(|child| err(&child.wait_with_output().unwrap()).to_owned()).collect();
    let network =
        "this process has as many files open as it may; raise its limit (ulimit -n), or close some of them\n";
    for report in [report, lookups] {
        assert!(report.iter().any(|text| text.contains(TOKEN) && text.ends_with(network)), "{report:#?}");
    }
}

#[test]
#[ignore = "needs strace"]
fn refusals_of_the_system_are_reported_with_their_cause() {
    let services = Services::start();
    let named = [("SPATIAFI_TOKEN_URL", "https://auth.example.test/token")];
    let address: [(&str, &str); 0] = [];
    let literal = "https://[2001:db8::1]/token";
    let ipv6 = [("SPATIAFI_TOKEN_URL", literal)];
    for (number, (inject, variables, expected)) in [
        ("clone3,clone:error=EAGAIN", &named[..], "no thread could be started to look up the host name; raise the limit on processes and threads (ulimit -u), or on memory"),
        ("socket:error=EMFILE", &address, "this process has as many files open as it may; raise its limit (ulimit -n), or close some of them"),
        ("socket:error=ENFILE", &address, "this machine has as many files open as it can; end some programs, or try again later"),
        ("socket:error=EAFNOSUPPORT", &ipv6, "this machine does not support the server's address family; check whether IPv6 (or IPv4) is switched off here, and the URL"),
        ("connect:error=EADDRNOTAVAIL", &ipv6, "this machine has no address and port to connect from; check whether IPv6 (or IPv4) is switched off here, or too many connections are open"),
        ("connect:error=ENETUNREACH", &address, "this machine has no route to the server; check this machine's network, and the URL"),
        ("connect:error=EHOSTUNREACH", &address, "the server cannot be reached from this machine; check the network, its firewalls and the URL"),
        ("connect:error=EACCES", &address, "this machine does not allow the connection; check its firewall, and what this process may do"),
        ("connect:error=EPERM", &address, "this machine does not allow the connection; check its firewall, and what this process may do"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
        strace.arg(env!("CARGO_BIN_EXE_keyfob")).args(["spatiafi", "token", "--profile", &number.to_string()]);
        strace.env_clear().env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        let output = strace.envs(services.spatiafi.env()).envs(variables.iter().copied()).output().unwrap();
        fails(&output, 5, TOKEN);
        assert!(err(&output).ends_with(&format!(": {expected}\n")), "{inject}: {}", err(&output));
    }
}

#[test]
#[ignore = "needs strace"]
fn too_many_processes_or_threads_have_an_error_of_their_own() {
    let services = Services::start();
    services.file("lines", "/a\n/b\n");
    for (words, variables, what) in [
        ("spatiafi batch lines", &[][..], "could not start a thread: "),
        (
            "spatiafi token",
            &[("SPATIAFI_CLIENT_SECRET", ""), ("SPATIAFI_CLIENT_SECRET_CMD", "echo x")],
            "could not run sh: ",
        ),
    ] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=clone3,clone,vfork,fork:error=EAGAIN"]);
        strace.arg(env!("CARGO_BIN_EXE_keyfob")).args(words.split(' ')).current_dir(services.home.path());
        strace.env_clear().env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        let output = strace.envs(services.spatiafi.env()).envs(variables.iter().copied()).output().unwrap();
        fails(&output, 1, what);
        let why = "no more processes and threads are allowed; raise the limit on them (ulimit -u)\n";
        assert!(err(&output).ends_with(&format!("{what}{why}")), "{words}: {}", err(&output));
    }
}

#[test]
#[ignore = "needs root, to switch IPv6 off"]
fn refused_connection_is_reported_where_ipv6_is_switched_off() {
    let services = Services::start();
    let refused = "the connection was refused; check the network, the proxy and the URL";
    let none = "this machine has no address and port to connect from; check whether IPv6 (or IPv4) is switched off here, or too \
                many connections are open";
    for (host, expected) in [("localhost", refused), ("127.0.0.1", refused), ("[::1]", none)] {
        let line = "ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && exec \"$0\" spatiafi token";
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sh", "-c", line, env!("CARGO_BIN_EXE_keyfob")]);
        unshare.env_clear().env("HOME", services.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        unshare.envs(services.spatiafi.env()).env("SPATIAFI_TOKEN_URL", format!("https://{host}:1/token"));
        let output = unshare.output().unwrap();
        fails(&output, 5, TOKEN);
        assert!(err(&output).ends_with(&format!(": {expected}\n")), "{host}: {}", err(&output));
    }
}
