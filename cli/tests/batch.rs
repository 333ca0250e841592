//! `batch`: order, errors as lines, continuing after a stop, memory.
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyfob_sandbox::{Endpoint, Fault};
use serde_json::{Value, json};
use support::{INFO, Services, ends_well, err, fails, out, piped, succeeds};

const ITEM: &str = "item_id=ce-wildfire-risk-static-us-and-canada-v3.0";

/// Returns a point query that its answer identifies.
fn point(n: usize) -> String {
    format!("/api/point/{}.5,37.75?{ITEM}", -120 - i64::try_from(n % 50).unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn whole_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    lines(&text)
}

#[test]
fn batch_answers_are_in_the_order_of_the_lines() {
    let services = Services::start();
    let input: String = (0..300).map(|n| point(n) + "\n").collect();
    // The first answer arrives last.
    services.spatiafi.fault(Endpoint::Point, Fault::delay(Duration::from_millis(300)));
    services.file("in", &input);
    let by_file = services.run("spatiafi batch in --jobs 16");
    let answers = lines(succeeds(&by_file));
    assert_eq!(answers.len(), 300);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!((&answer["line"], &answer["status"]), (&json!(n + 1), &json!(200)));
    }
    let alone = services.keyfob(["spatiafi", "get", &point(7)]).output().unwrap();
    let body: Value = serde_json::from_str(succeeds(&alone)).unwrap();
    assert_eq!((&answers[7]["body"], &answers[57]["body"]), (&body, &body));
    assert_eq!(services.spatiafi.tokens_issued(), 1);

    let mut child = piped(&mut services.without(&[], "spatiafi batch -"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let by_pipe = child.wait_with_output().unwrap();
    assert_eq!(succeeds(&by_pipe), out(&by_file));
}

#[test]
fn failed_call_of_a_batch_writes_a_line_with_the_error() {
    let services = Services::start();
    let elsewhere = "http://127.0.0.1:1/";
    let long = format!("/{}", "x".repeat(20_000));
    let input = [INFO, "", "/nowhere", elsewhere, "  ", &long, "api/info", "/a b"].join("\n");
    services.file("in", [input.as_bytes(), b"\n/\xff\r\n", INFO.as_bytes(), b"\r"].concat());
    services.spatiafi.fault(Endpoint::Info, Fault::raw(200, "text/plain", "one\ntwo"));
    let output = services.run("spatiafi batch in --jobs 1");
    assert_eq!(output.status.code(), Some(8), "that of the first line that failed: {}", err(&output));
    assert!(
        err(&output).contains("6 of 8 lines failed, the first in line 3: the API answered HTTP 404"),
        "{}",
        err(&output)
    );
    let answers = lines(out(&output));
    assert_eq!(answers[0], json!({"line": 1, "status": 200, "body": "one\ntwo"}));
    assert_eq!(
        answers[1],
        json!({"line": 3, "status": 404, "kind": "api_status", "body": {"detail": "Not Found"},
               "error": "the API answered HTTP 404; check the path and the request"})
    );
    for (answer, line, says) in [
        (&answers[2], 4, "nothing was sent"),
        (&answers[3], 6, "longer than 16384 bytes"),
        (&answers[4], 7, "begins with '/'"),
        (&answers[5], 8, "percent-encode"),
        (&answers[6], 9, "not UTF-8"),
    ] {
        assert_eq!((&answer["line"], &answer["kind"]), (&json!(line), &json!("invalid_input")));
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
        assert!(answer.get("status").is_none());
    }
    assert_eq!((&answers[7]["line"], &answers[7]["status"]), (&json!(10), &json!(200)));

    services.file("in", INFO);
    services.spatiafi.fault(Endpoint::Info, Fault::delay(Duration::from_secs(5)));
    let late = services.run("spatiafi batch in --timeout 0.5");
    assert_eq!((late.status.code(), &lines(out(&late))[0]["kind"]), (Some(5), &json!("timeout")));
}

#[test]
fn transient_failures_of_a_batch_are_tried_again() {
    let services = Services::start();
    services.file("in", format!("{INFO}\n").repeat(20));
    services.spatiafi.fault(Endpoint::Info, Fault::status(503).times(2));
    services.spatiafi.fault(Endpoint::Info, Fault::status(429).with_retry_after("1"));
    let output = services.run("spatiafi batch in");
    assert!(lines(succeeds(&output)).iter().all(|answer| answer["status"] == 200));
}

#[test]
fn batch_without_a_login_writes_nothing() {
    let services = Services::start();
    services.file("in", "/locations/v1\n");
    let mut command = services.without(&[], "spacebring batch in --output out");
    command.env("SPACEBRING_AUTH", "oauth2");
    fails(&command.output().unwrap(), 3, "keyfob spacebring login");
    assert!(!services.path("out").exists());
    ends_well(&services.log_in("--scope locations"));
    ends_well(&command.output().unwrap());
    assert_eq!(whole_lines(&services.path("out")).len(), 1);
}

#[test]
fn batch_keeps_to_spacebrings_rate_limit() {
    let services = Services::start();
    services.file("in", "/locations/v1\n".repeat(25));
    let output = services.run("spacebring batch in --jobs 16");
    assert_eq!((lines(succeeds(&output)).len(), services.spacebring.rate_limited()), (25, 0));
}

#[test]
fn batch_resumes_after_the_last_whole_line() {
    let services = Services::start();
    let path = services.path("out");
    services.file("in", (0..40).map(|n| point(n) + "\n\n").collect::<String>());
    let whole = services.run("spatiafi batch in");
    let expected = succeeds(&whole);
    let each: Vec<_> = expected.split_inclusive('\n').collect();
    for (done, half) in
        [(0, ""), (0, r#"{"li"#), (1, ""), (17, &each[17][..each[17].len() - 1]), (39, "{"), (40, "")]
    {
        fs::write(&path, each[..done].concat() + half).unwrap();
        let before = services.spatiafi.count(Endpoint::Point);
        ends_well(&services.run("spatiafi batch in --output out --resume"));
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{done} {half}");
        assert_eq!(services.spatiafi.count(Endpoint::Point) - before, 40 - done as u64);
    }
    fails(&services.run("spatiafi batch in --output out"), 2, "--resume");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected, "nothing is lost");
    // An editor has saved the file with a byte order mark.
    for half in ["", "{\"line"] {
        fs::write(&path, format!("\u{feff}{}{half}", each[..3].concat())).unwrap();
        ends_well(&services.run("spatiafi batch in --output out --resume"));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("\u{feff}{expected}"));
    }
    for foreign in ["something else\n", "half", "{\"line\":x}\n"] {
        fs::write(&path, foreign).unwrap();
        fails(&services.run("spatiafi batch in --output out --resume"), 2, "was not written by");
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    // The wrong file, or one that is not whole.
    fs::write(&path, expected).unwrap();
    services.file("short", (0..39).map(|n| point(n) + "\n\n").collect::<String>());
    fails(&services.run("spatiafi batch short --output out --resume"), 2, "short has 78 lines");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let taken = fs::File::options().write(true).open(&path).unwrap();
    taken.lock().unwrap();
    fails(&services.run("spatiafi batch in --output out --resume"), 7, "another run");
}

#[test]
fn batch_resumes_after_a_power_cut() {
    const DAMAGED: &str = "of out is damaged, so --resume cannot continue after it: nothing was changed; keep the lines before it (head -n";
    let services = Services::start();
    services.file("in", (0..5).map(|n| point(n) + "\n").collect::<String>());
    let whole = services.run("spatiafi batch in");
    let expected = succeeds(&whole).as_bytes();
    let lines: Vec<_> = expected.split_inclusive(|&byte| byte == b'\n').collect();
    let half = &lines[2][..lines[2].len() / 2];
    let (few, block, many) = (vec![0; 3], vec![0; 4096], vec![0; 3_000_000]);
    let nul = |bytes: &[u8]| [&bytes[..9], &[0; 20], &bytes[9..]].concat();
    let two = &lines[..2].concat();

    // Outputs that are cut, and the number of lines that stay.
    for (done, tail) in [
        (2, few.clone()),
        (2, block.clone()),
        (2, many.clone()),
        (0, few.clone()),
        (0, block.clone()),
        (2, [half, &few].concat()),
        (2, [half, &block].concat()),
        (0, [half, &many].concat()),
        (2, [&b"{\"li"[..], &few].concat()),
        (2, [half, b"\xe2\x82"].concat()),
        (2, [half, b"\xe2\x82", &few].concat()),
        (2, [half, &few, b"\n", &few].concat()),
        // The middle of the last line was not written yet.
        (2, nul(lines[2])),
        (2, [&nul(lines[2]), &few[..]].concat()),
        (2, [half, &[b'x'].repeat(300_000), &few].concat()),
        (2, lines[2][..lines[2].len() - 1].to_vec()),
        (5, block.clone()),
        (0, Vec::new()),
        (2, vec![0]),
        (2, [half, b"\r"].concat()),
        (4, [&lines[4][..1], &vec![0; 511]].concat()),
        (2, [&few[..], b"\n"].concat()),
        (2, b"\0\r\n\0".to_vec()),
        (2, [&block[..], &lines[2][10..]].concat()),
        (2, [half, &block, &lines[4][10..]].concat()),
    ] {
        services.file("out", [&lines[..done].concat()[..], &tail].concat());
        let before = services.spatiafi.count(Endpoint::Point);
        ends_well(&services.run("spatiafi batch in --output out --resume"));
        assert!(fs::read(services.path("out")).unwrap() == expected, "{done} {}", tail.escape_ascii());
        assert_eq!(services.spatiafi.count(Endpoint::Point) - before, 5 - done as u64);
    }
    // Outputs that are refused, and the line that the error names.
    let before = services.requests();
    for (content, error) in [
        ([two, &nul(lines[2]), lines[3]].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, &few[..], lines[2], lines[3]].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, half, &block, b"\n", lines[3]].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, half, &block, b"\n", lines[3], half].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, &b"garbage\n"[..], lines[3]].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, &b"garbage\n"[..]].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, &b"garbage"[..], &few].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([two, half, b"\n", lines[3]].concat(), format!("line 3 {DAMAGED} 2), ")),
        // The members are in another order than keyfob writes them.
        ([lines[0], lines[2], lines[1]].concat(), format!("line 3 {DAMAGED} 2), ")),
        ([&nul(lines[0]), lines[1]].concat(), "out was not written by".to_owned()),
        ([&block, &b"a disk image"[..]].concat(), "out was not written by".to_owned()),
        ([&b"text"[..], &block].concat(), "out was not written by".to_owned()),
    ] {
        services.file("out", &content);
        fails(&services.run("spatiafi batch in --output out --resume"), 2, &error);
        assert!(fs::read(services.path("out")).unwrap() == content, "it stays as it was");
    }
    assert_eq!(services.requests(), before);
    // Some editors save files in this way.
    let lines = String::from_utf8([two, half].concat()).unwrap();
    services.file("out", lines.replace('\n', "\r\n"));
    ends_well(&services.run("spatiafi batch in --output out --resume"));
    assert_eq!(fs::read_to_string(services.path("out")).unwrap().replace('\r', "").as_bytes(), expected);
}

#[test]
#[cfg(unix)]
fn batch_cannot_resume_in_something_other_than_a_file() {
    let services = Services::start();
    services.file("in", INFO);
    assert!(Command::new("mkfifo").arg(services.path("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/null", services.path("link")).unwrap();
    for name in ["/dev/null", "link", "pipe", "."] {
        let says = format!(
            "{name} is not a regular file, so --resume cannot tell where to continue: leave --resume out, or name a file"
        );
        fails(&services.run(&format!("spatiafi batch in --output {name} --resume")), 2, &says);
    }
    assert_eq!(services.requests(), 0);
    ends_well(&services.run("spatiafi batch in --output /dev/null"));
    let output = services.shell("cat pipe & keyfob spatiafi batch in --output pipe; wait");
    assert_eq!(lines(succeeds(&output))[0]["status"], 200);
}

#[test]
#[cfg(unix)]
fn two_batches_cannot_write_to_one_file() {
    let services = Services::start();
    services.spatiafi.set_delay(Endpoint::Point, Duration::from_millis(20));
    services.file("in", (0..100).map(|n| point(n) + "\n").collect::<String>());
    let first = piped(&mut services.without(&[], "spatiafi batch in --jobs 2 --output out"));
    wait_for(&services.path("out"), 100);
    for resume in ["", " --resume"] {
        let second = services.run(&format!("spatiafi batch in --output out{resume}"));
        fails(&second, 7, "another run is writing to out: wait for it, or name another file");
    }
    ends_well(&first.wait_with_output().unwrap());
    assert_eq!(whole_lines(&services.path("out")).len(), 100);
}

#[test]
#[cfg(unix)]
fn signal_leaves_only_whole_lines() {
    use std::os::unix::process::ExitStatusExt as _;
    let services = Services::start();
    let path = services.path("out");
    services.spatiafi.set_delay(Endpoint::Point, Duration::from_millis(20));
    services.file("in", (0..2000).map(|n| point(n) + "\n").collect::<String>());
    for (signal, resume) in [("INT", ""), ("TERM", " --resume"), ("KILL", " --resume")] {
        let before = path.metadata().map_or(0, |metadata| metadata.len());
        // Where the tests run in the background, SIGINT is ignored, also in the processes that they start.
        let mut command = Command::new("env");
        let plain = services.without(&[], &format!("spatiafi batch in --jobs 4 --output out{resume}"));
        command.arg("--default-signal=INT,TERM").arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = piped(command.current_dir(services.home.path()));
        wait_for(&path, before + 2000);
        kill(signal, child.id());
        let output = child.wait_with_output().unwrap();
        let number = match signal {
            "INT" => 2,
            "TERM" => 15,
            _ => 9,
        };
        assert_eq!(output.status.signal(), Some(number), "as of a program that does not know the signal");
        if signal != "KILL" {
            assert!(err(&output).contains("--resume"), "{}", err(&output));
            whole_lines(&path);
        }
    }
    services.spatiafi.set_delay(Endpoint::Point, Duration::ZERO);
    let before = services.spatiafi.count(Endpoint::Point);
    ends_well(&services.run("spatiafi batch in --jobs 8 --output out --resume"));
    assert!(services.spatiafi.count(Endpoint::Point) - before < 2000);
    let answers = whole_lines(&path);
    assert!(
        answers.iter().map(|answer| answer["line"].as_u64().unwrap()).eq(1..=2000),
        "each line once, in order"
    );
}

#[test]
fn batch_answers_are_printed_before_the_end() {
    let services = Services::start();
    let mut child = piped(&mut services.without(&[], "spatiafi batch - --jobs 1"));
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 1..=3 {
        writeln!(input, "{INFO}").unwrap();
        let answer: Value = serde_json::from_str(&output.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["line"], n);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// Lines that are refused before anything is sent show how much memory the batch itself needs.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_the_same_for_a_million_lines_of_a_batch() {
    let services = Services::start();
    let input = services.path("in");
    let mut file = std::io::BufWriter::new(fs::File::create(&input).unwrap());
    for _ in 0..1_000_000 {
        writeln!(file, "no-path").unwrap();
    }
    file.into_inner().unwrap();
    ends_well(&services.run("spatiafi token"));
    let mut command = services.without(&[], "spatiafi batch in --jobs 8 --output out");
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        if let Some(kib) = kib {
            // After the first lines, and at the end.
            let written = services.path("out").metadata().map_or(0, |metadata| metadata.len());
            peak = (if written < 20_000_000 { kib } else { peak.0 }, kib);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let written = fs::read(services.path("out")).unwrap();
    assert_eq!(written.split_inclusive(|&byte| byte == b'\n').count(), 1_000_000);
    println!("peak memory: {} KiB early, {} KiB at the end", peak.0, peak.1);
    assert!(peak.1 < peak.0 + 2048 && peak.1 < 16 * 1024, "{peak:?} KiB");
}

/// Waits until the file has this many bytes.
#[cfg(unix)]
fn wait_for(path: &Path, bytes: u64) {
    let started = Instant::now();
    while path.metadata().map_or(0, |metadata| metadata.len()) < bytes {
        assert!(started.elapsed() < Duration::from_secs(30), "it writes as it goes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
fn kill(signal: &str, id: u32) {
    let kill = format!("kill -{signal} {id}");
    assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
}

/// Ignores a signal, as `nohup` and `trap ''` do.
#[test]
#[cfg(target_os = "linux")]
fn ignored_signal_stays_ignored() {
    let services = Services::start();
    services.spatiafi.set_delay(Endpoint::Point, Duration::from_millis(20));
    services.file("in", (0..200).map(|n| point(n) + "\n").collect::<String>());
    let plain = services.without(&[], "spatiafi batch in --jobs 4 --output out");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    shell.env_clear().current_dir(services.home.path());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = piped(&mut shell);
    wait_for(&services.path("out"), 2000);
    kill("HUP", child.id());
    kill("INT", child.id());
    ends_well(&child.wait_with_output().unwrap());
    assert_eq!(whole_lines(&services.path("out")).len(), 200);
}

#[test]
#[cfg(unix)]
fn first_signal_ends_a_batch_that_obtains_a_token() {
    use std::os::unix::process::ExitStatusExt as _;
    let services = Services::start();
    services.spatiafi.set_delay(Endpoint::Token, Duration::from_secs(3));
    services.file("in", (0..2000).map(|n| point(n) + "\n").collect::<String>());
    let child = piped(&mut services.without(&[], "spatiafi batch in --output out"));
    let started = Instant::now();
    while services.spatiafi.total() == 0 && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill("TERM", child.id());
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));
    assert_eq!(services.spatiafi.count(Endpoint::Point), 0);
}

#[test]
fn unusable_output_of_a_batch_is_found_before_anything_is_sent() {
    let services = Services::start();
    services.file("in", INFO);
    services.file("out", "something else\n");
    for (words, says) in [("", "--resume"), (" --resume", "was not written by")] {
        fails(&services.run(&format!("spatiafi batch in --output out{words}")), 2, says);
    }
    assert_eq!(services.requests(), 0);
}

#[test]
fn earlier_failed_lines_count_when_a_batch_resumes() {
    let services = Services::start();
    for (first, status) in [("/nowhere", 8), ("no-path", 2)] {
        let _ = fs::remove_file(services.path("out"));
        let mut input = format!("{INFO}\n{first}\n{INFO}\n/nowhere\n");
        services.file("in", &input);
        let one = services.run("spatiafi batch in --output out");
        fails(&one, status, "2 of 4 lines failed, the first in line 2: ");
        let again = services.run("spatiafi batch in --output out --resume");
        assert_eq!((again.status.code(), err(&again)), (Some(status), err(&one)));
        input.push_str(INFO);
        services.file("in", &input);
        let more = services.run("spatiafi batch in --output out --resume");
        fails(&more, status, "2 of 5 lines failed, the first in line 2: ");
    }
    // A body that looks like a failure is not one.
    fs::write(
        services.path("out"),
        "{\"line\":1,\"status\":200,\"body\":{\"kind\":\"api_status\",\"error\":\"x\"}}\n",
    )
    .unwrap();
    services.file("in", INFO);
    ends_well(&services.run("spatiafi batch in --output out --resume"));
}

#[test]
fn byte_order_mark_is_not_part_of_the_first_line() {
    let services = Services::start();
    services.file("in", format!("\u{feff}{INFO}\n\u{feff}{INFO}\n"));
    let output = services.run("spatiafi batch in");
    let answers = lines(out(&output));
    assert_eq!((output.status.code(), &answers[0]["status"]), (Some(2), &json!(200)), "{}", out(&output));
    assert_eq!(answers[1]["kind"], "invalid_input", "it begins a text, and no other line");
    services.file("in", format!("\u{feff}{INFO}&x={}\n{INFO}\n", "x".repeat(16 * 1024)));
    let answers = lines(out(&services.run("spatiafi batch in")));
    assert!(answers[0]["error"].as_str().unwrap().contains("longer than"), "{answers:?}");
    assert_eq!((answers.len(), &answers[1]["line"], &answers[1]["status"]), (2, &json!(2), &json!(200)));
    services.file("in", format!("\u{feff}\n{INFO}\n"));
    assert_eq!(lines(succeeds(&services.run("spatiafi batch in")))[0]["line"], 2);
}

/// The job of `examples/crontab`, as cron runs it.
#[test]
#[cfg(unix)]
fn answers_of_a_cron_job_are_lines() {
    let services = Services::start();
    let crontab = include_str!("../../examples/crontab");
    let line = |start| crontab.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    // As after `make install`: the command is in the folder that the crontab names.
    let folder = Path::new(env!("CARGO_BIN_EXE_keyfob")).parent().unwrap().to_str().unwrap();
    let path = line("PATH=").replace("/usr/local/bin", folder);
    let job = format!("PATH={path}; {}", line("7 * * * *  "));
    let run = |status: i32| {
        let output = services.shell(&job);
        assert_eq!((output.status.code(), out(&output)), (Some(status), ""), "{}", err(&output));
        assert_eq!(err(&output).is_empty(), status == 0, "for cron's mail: {}", err(&output));
    };
    run(0);
    services.spatiafi.fault(Endpoint::Info, Fault::raw(500, "text/html", "<p>\noh no"));
    run(8);
    run(0);
    let answers = whole_lines(&services.path("answers.jsonl"));
    let statuses: Vec<_> = answers.iter().map(|answer| &answer["status"]).collect();
    assert_eq!(statuses, [200, 500, 200]);
    assert_eq!(answers[1]["body"], "<p>\noh no");
}

/// The commands of `examples/systemd`, when systemd runs them: `ExecStartPost` after a success, `ExecStopPost` always.
#[test]
#[cfg(unix)]
fn answers_of_a_systemd_job_are_lines() {
    let services = Services::start();
    let unit = include_str!("../../examples/systemd/spatiafi-report.service");
    let command = |name: &str| {
        let given = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        given.unwrap_or(":").replace("/usr/local/bin/", "")
    };
    let [start, start_post, stop_post] = ["ExecStart", "ExecStartPost", "ExecStopPost"].map(command);
    let job = format!("{{ {start} && {start_post}; {stop_post}; }} >> answers.jsonl");
    services.shell(&job);
    services.spatiafi.fault(Endpoint::Info, Fault::raw(500, "application/json", r#"{"detail":"oh no"}"#));
    services.shell(&job);
    services.shell(&job);
    let answers = whole_lines(&services.path("answers.jsonl"));
    assert_eq!((answers.len(), &answers[1]), (3, &json!({"detail": "oh no"})));
    assert_eq!(answers[0], answers[2]);
}

/// An API of raw answers: `answer` gets the path and the connection.
struct RawApi {
    url: String,
    requests: Arc<AtomicU64>,
}

impl RawApi {
    fn start(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<AtomicU64>::default();
        let (count, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, count, answer) = (connection.unwrap(), count.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                    while let Some(Ok(first)) = lines.next() {
                        while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                        count.fetch_add(1, Ordering::SeqCst);
                        if answer(first.split(' ').nth(1).unwrap(), &mut connection).is_err() {
                            break;
                        }
                    }
                    let _ = connection.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { url, requests }
    }

    /// `/NAME/BYTES/…`: a body of this length, framed and filled as the name says.
    fn bodies() -> Self {
        Self::start(send_body)
    }

    fn batch(&self, services: &Services, words: &str) -> Command {
        let mut command = services.without(&[], &format!("spatiafi batch {words}"));
        command.env("SPATIAFI_API_URL", &self.url);
        command
    }
}

fn send_body(path: &str, to: &mut TcpStream) -> std::io::Result<()> {
    let mut parts = path.split('/').skip(1);
    let (name, length) = (parts.next().unwrap(), parts.next().unwrap().parse::<usize>().unwrap());
    let (framing, fill) = name.split_once('-').unwrap_or((name, "text"));
    let content = match fill {
        "json" => [b"[\"", "a\", \"".repeat(length / 6).as_bytes(), b"\"]"].concat(),
        "escapes" => {
            let (times, rest) = ((length - 2) / 10, (length - 2) % 10);
            format!("\"{}{}\"", r#"\u0001\"\\"#.repeat(times), "x".repeat(rest)).into_bytes()
        }
        "controls" => vec![1; length],
        "bytes" => vec![0xff; length],
        "deep" => vec![b'['; length],
        _ => vec![b'x'; length],
    };
    match framing {
        "chunked" => {
            to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for chunk in content.chunks(100_000) {
                to.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                to.write_all(chunk)?;
                to.write_all(b"\r\n")?;
            }
            to.write_all(b"0\r\n\r\n")
        }
        "hang" => {
            std::thread::sleep(Duration::from_secs(20));
            Err(std::io::ErrorKind::TimedOut.into())
        }
        "close" => {
            to.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            to.write_all(&content)?;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        "short" => {
            to.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", length * 2).as_bytes())?;
            to.write_all(&content)?;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        _ => {
            if framing == "late" {
                std::thread::sleep(Duration::from_secs(2));
            }
            to.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).as_bytes())?;
            to.write_all(&content)
        }
    }
}

/// Runs a command to its end. Returns its largest memory that was seen, in KiB.
#[cfg(target_os = "linux")]
fn peak_of(command: &mut Command) -> u64 {
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = kib.and_then(|kib| kib.parse().ok()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    ends_well(&child.wait_with_output().unwrap());
    peak
}

#[test]
#[cfg(target_os = "linux")]
fn large_answers_of_a_batch_share_one_memory_budget() {
    const LENGTH: usize = 4_000_000;
    let (services, api) = (Services::start(), RawApi::bodies());
    let names =
        ["sized-text", "chunked-controls", "close-bytes", "sized-json", "chunked-bytes", "sized-controls"];
    // The first answer arrives when many could wait for it.
    let paths: Vec<_> = names.into_iter().cycle().take(18).map(|name| format!("/{name}/{LENGTH}")).collect();
    services.file("in", format!("/late/1\n{}", paths.join("\n")));
    let peak = peak_of(&mut api.batch(&services, "in --output out --memory 32 --jobs 16"));
    println!("peak memory {peak} KiB");
    assert!(peak < (32 + 24) * 1024, "{peak} KiB");
    let output = BufReader::new(fs::File::open(services.path("out")).unwrap());
    for (line, name) in output.lines().skip(1).zip(names.into_iter().cycle()) {
        let line = line.unwrap();
        let length = match name {
            "sized-json" => line.matches(r#""a""#).count() * 6 + 6,
            _ if name.ends_with("controls") => line.matches("\\u0001").count(),
            _ if name.ends_with("bytes") => line.len() * 3 / 4,
            _ => line.len(),
        };
        assert!(length.abs_diff(LENGTH) < 100, "{name}: {length}");
    }
}

/// Eight bodies of 16 MiB would be 128 MiB. The default budget is half of that.
#[test]
#[cfg(target_os = "linux")]
fn largest_answers_of_eight_jobs_stay_within_the_default_budget() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let (services, api) = (Services::start(), RawApi::bodies());
    // The bodies, and their lengths in the output.
    let bodies = [
        ("sized", LENGTH),
        ("chunked", LENGTH),
        ("close-bytes", LENGTH / 3 * 4),
        ("sized", LENGTH),
        // JSON with escapes in it, and a text that needs them.
        ("sized-escapes", LENGTH),
        ("chunked-controls", LENGTH * 6),
        ("chunked-escapes", LENGTH),
        ("chunked", LENGTH),
        ("sized", LENGTH),
    ];
    let paths = bodies.map(|(name, _)| format!("/{name}/{LENGTH}")).join("\n");
    services.file("in", format!("/late/1\n{paths}"));
    let mut command = services.without(&[], "spacebring batch in --output out --jobs 8");
    let peak = peak_of(command.env("SPACEBRING_API_URL", &api.url));
    println!("peak memory {peak} KiB");
    // 24 MiB are for the program, its threads and their buffers.
    assert!(peak < (64 + 24) * 1024, "{peak} KiB");
    let output = BufReader::new(fs::File::open(services.path("out")).unwrap());
    let lengths: Vec<_> = output.lines().skip(1).map(|line| line.unwrap().len()).collect();
    assert_eq!(lengths.len(), bodies.len());
    for (length, (name, expected)) in lengths.into_iter().zip(bodies) {
        assert!((expected..expected + 100).contains(&length), "{name}: {length}");
    }
}

#[test]
fn largest_answer_may_belong_to_the_oldest_line_and_arrive_last() {
    const OTHERS: usize = 20;
    let services = Services::start();
    let sent = Arc::<AtomicU64>::default();
    let api = RawApi::start(move |path, connection| {
        if path.starts_with("/sized/16777216") {
            // This answer waits until the others have used the budget, so that only the space of the oldest line is left.
            let started = Instant::now();
            while sent.load(Ordering::SeqCst) < 4 && started.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        send_body(path, connection)?;
        sent.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    for first in ["/sized/16777216", "/chunked/16777216"] {
        let mut input = vec![first.to_owned()];
        input
            .extend(["/sized/4000000", "/chunked/4000000"].repeat(OTHERS / 2).into_iter().map(str::to_owned));
        services.file("in", input.join("\n"));
        let before = api.requests.load(Ordering::SeqCst);
        let output = api.batch(&services, "in --memory 32 --jobs 8").output().unwrap();
        let lengths: Vec<_> = succeeds(&output).lines().map(str::len).collect();
        assert_eq!(lengths.len(), 1 + OTHERS);
        assert!(
            lengths[0] > 16_777_216 && lengths[1..].iter().all(|&length| length > 4_000_000),
            "{lengths:?}"
        );
        let asked = api.requests.load(Ordering::SeqCst) - before;
        assert!(asked <= 1 + OTHERS as u64 + 8, "{asked}: each thread gives one call up at most");
    }
}

/// The sizes fill the budget to the last byte.
#[test]
fn line_of_a_batch_is_requested_at_most_twice_for_lack_of_memory() {
    const LINES: usize = 8;
    let (services, api) = (Services::start(), RawApi::bodies());
    for (length, memory) in [(16_777_206, 48), (16_777_216, 32), (8_388_600, 32)] {
        services.file("in", format!("/late/1\n{}", format!("/sized/{length}\n").repeat(LINES)));
        let before = api.requests.load(Ordering::SeqCst);
        let output = api.batch(&services, &format!("in --memory {memory} --jobs 4")).output().unwrap();
        assert_eq!(succeeds(&output).lines().filter(|line| line.len() > length).count(), LINES);
        let asked = api.requests.load(Ordering::SeqCst) - before;
        assert!(asked <= 1 + LINES as u64 + 4, "{asked}: each thread gives one call up at most");
    }
}

#[test]
fn body_that_is_too_long_is_an_error_of_its_line() {
    let (services, api) = (Services::start(), RawApi::bodies());
    for (name, length, error) in [
        ("sized", 16_777_216, None),
        ("chunked", 16_777_216, None),
        ("sized", 16_777_217, Some("the answer is longer than 16 MiB: use `get` for it")),
        ("chunked", 16_777_217, Some("the answer is longer than 16 MiB: use `get` for it")),
        ("close", 16_777_217, Some("the answer is longer than 16 MiB: use `get` for it")),
        ("short", 10_000_000, Some("the answer is longer than 16 MiB: use `get` for it")),
        ("chunked-deep", 40_000_000, Some("the answer is longer than 16 MiB: use `get` for it")),
        ("short", 1_000_000, Some("could not call the API: the connection was cut off; try again")),
    ] {
        services.file("in", format!("/sized/1\n/{name}/{length}\n/sized/2\n"));
        let output = api.batch(&services, "in --memory 32").output().unwrap();
        let answers = lines(out(&output));
        assert_eq!((&answers[0]["body"], &answers[2]["body"]), (&json!("x"), &json!("xx")));
        match error {
            None => {
                assert_eq!(answers[1]["body"].as_str().map(str::len), Some(length), "{name}");
                assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
            }
            Some(error) => {
                assert_eq!(answers[1]["error"], error, "{name} {length}");
                assert!(answers[1].get("body").is_none());
                let text = format!("keyfob: error: 1 of 3 lines failed, the first in line 2: {error}\n");
                assert_eq!(err(&output), text);
            }
        }
    }
}

#[test]
fn reader_that_pauses_loses_no_answer() {
    let (services, api) = (Services::start(), RawApi::bodies());
    services.file("in", ["/sized/3000000", "/chunked/3000000"].repeat(10).join("\n"));
    let mut child = piped(&mut api.batch(&services, "in --memory 32 --timeout 1"));
    // Longer than a call may take.
    std::thread::sleep(Duration::from_millis(2500));
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    ends_well(&child.wait_with_output().unwrap());
    assert_eq!(text.lines().filter(|line| line.len() > 3_000_000).count(), 20);
}

#[test]
fn memory_budget_below_two_bodies_is_refused() {
    let services = Services::start();
    services.file("in", INFO);
    for memory in ["31", "0", "-1", "65537", "64M", ""] {
        let output =
            services.keyfob(["spatiafi", "batch", "in", &format!("--memory={memory}")]).output().unwrap();
        fails(&output, 2, "'--memory <MIB>'");
    }
    assert_eq!(services.requests(), 0);
    succeeds(&services.run("spatiafi batch in --memory 32"));
    succeeds(&services.run("spatiafi batch in --memory 65536"));
}

/// A server that does not answer delays nothing.
#[test]
#[cfg(unix)]
fn signal_ends_a_batch_without_waiting_for_a_hanging_call() {
    use std::os::unix::process::ExitStatusExt as _;
    let (services, api) = (Services::start(), RawApi::bodies());
    ends_well(&services.run("spatiafi token"));
    services.file("in", ["/sized/100\n".repeat(20), "/hang/0\n".repeat(20)].concat());
    for (signal, number, times) in [("INT", 2, 1), ("TERM", 15, 1), ("HUP", 1, 1), ("TERM", 15, 2)] {
        let mut command = Command::new("env");
        let plain = api.batch(&services, "in --jobs 4 --output out");
        command
            .arg("--default-signal=INT,TERM,HUP")
            .arg(plain.get_program())
            .args(plain.get_args())
            .env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = piped(command.current_dir(services.home.path()));
        wait_for(&services.path("out"), 2000);
        let started = Instant::now();
        for _ in 0..times {
            kill(signal, child.id());
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(number), "{}", err(&output));
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
        assert_eq!(err(&output), "keyfob: interrupted: give --resume to continue from here\n");
        assert_eq!(whole_lines(&services.path("out")).len(), 20);
        fs::remove_file(services.path("out")).unwrap();
    }
}

/// A server that does not answer delays nothing, even when the output cannot be written.
#[test]
#[cfg(target_os = "linux")]
fn output_error_ends_a_batch_without_waiting_for_a_hanging_call() {
    let (services, api) = (Services::start(), RawApi::bodies());
    ends_well(&services.run("spatiafi token"));
    services.file("in", ["/sized/1\n/late/1\n", &"/hang/0\n".repeat(20)].concat());
    let full = "keyfob: error: could not write to /dev/full: no space left on device\n";
    for (words, status, says) in [
        ("in --jobs 4 --output /dev/full", 7, full),
        ("in --jobs 1 --output /dev/full", 7, full),
        ("in --jobs 4 | head -n 1", 0, ""),
        // A line that may never arrive delays nothing either.
        ("- --jobs 4 --output /dev/full < <(exec 2>/dev/null; echo /sized/1; sleep 20)", 7, full),
    ] {
        let started = Instant::now();
        let line = format!("SPATIAFI_API_URL={} keyfob spatiafi batch {words}", api.url);
        let output = services.shell(&format!("exec bash -c 'set -o pipefail; {line}'"));
        assert_eq!((output.status.code(), err(&output)), (Some(status), says), "{words}");
        assert!(started.elapsed() < Duration::from_secs(8), "{words}: {:?}", started.elapsed());
    }
}

#[test]
fn byte_order_marks_of_lines_are_skipped_or_named() {
    let services = Services::start();
    let utf_16 = |to: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{}\n", point(1)).encode_utf16().flat_map(to).collect::<Vec<u8>>()
    };
    let mark = "\u{feff}";
    services.file("in", format!("{mark}{}\r\n{}", point(1), point(2)));
    let by_file = services.run("spatiafi batch in");
    assert_eq!(lines(succeeds(&by_file)).len(), 2);
    let by_pipe = services.shell("cat in | keyfob spatiafi batch -");
    assert_eq!(succeeds(&by_pipe), out(&by_file));
    // A mark in the middle of a line, and at the seam of two files.
    for content in [format!("/api{mark}/point\n"), format!("{mark}\n{mark}{}\n", point(2))] {
        services.file("in", content);
        let output = services.run("spatiafi batch in");
        assert_eq!(output.status.code(), Some(2));
        let says = "the path or URL holds a byte order mark (U+FEFF), which cannot be seen: remove it";
        assert!(out(&output).contains(says), "{}", out(&output));
    }
    for (content, name) in [
        (utf_16(u16::to_le_bytes), "UTF-16"),
        (utf_16(u16::to_be_bytes), "UTF-16"),
        (b"\xff\xfe\0\0/\0\0\0\n\0\0\0".to_vec(), "UTF-32"),
        (b"/\0a\0\n\0".to_vec(), "UTF-16"),
        (b"\0h\0t\0t\0p".to_vec(), "UTF-16"),
        (b"/\0\0\0\n\0\0\0".to_vec(), "UTF-32"),
    ] {
        let by_mark = if content.contains(&0xff) { ", by its byte order mark" } else { "" };
        services.file("in", content);
        let says = format!("in is {name} text{by_mark}: save it as UTF-8");
        fails(&services.run("spatiafi batch in"), 2, &says);
    }
}
