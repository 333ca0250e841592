//! Many calls: order, errors as lines, going on after a stop, memory.
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keyfob_sandbox::{Endpoint, Fault};
use serde_json::{Value, json};
use support::{INFO, Services, ends_well, err, fails, out, piped, succeeds};

const ITEM: &str = "item_id=ce-wildfire-risk-static-us-and-canada-v3.0";

/// A point query whose answer tells which one it was.
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
fn answers_come_in_the_order_of_the_lines() {
    let services = Services::start();
    let input: String = (0..300).map(|n| point(n) + "\n").collect();
    // The first of all is the last to come.
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
fn what_fails_is_a_line_too() {
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
fn transient_failures_are_tried_again() {
    let services = Services::start();
    services.file("in", format!("{INFO}\n").repeat(20));
    services.spatiafi.fault(Endpoint::Info, Fault::status(503).times(2));
    services.spatiafi.fault(Endpoint::Info, Fault::status(429).with_retry_after("1"));
    let output = services.run("spatiafi batch in");
    assert!(lines(succeeds(&output)).iter().all(|answer| answer["status"] == 200));
}

#[test]
fn without_a_login_nothing_is_written() {
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
fn spacebrings_pace_is_kept() {
    let services = Services::start();
    services.file("in", "/locations/v1\n".repeat(25));
    let output = services.run("spacebring batch in --jobs 16");
    assert_eq!((lines(succeeds(&output)).len(), services.spacebring.rate_limited()), (25, 0));
}

#[test]
fn a_run_goes_on_after_the_last_whole_line() {
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
#[cfg(unix)]
fn a_signal_leaves_whole_lines() {
    use std::os::unix::process::ExitStatusExt as _;
    let services = Services::start();
    let path = services.path("out");
    services.spatiafi.set_delay(Endpoint::Point, Duration::from_millis(20));
    services.file("in", (0..2000).map(|n| point(n) + "\n").collect::<String>());
    for (signal, resume) in [("INT", ""), ("TERM", " --resume"), ("KILL", " --resume")] {
        let before = path.metadata().map_or(0, |metadata| metadata.len());
        // Where the tests run in the background, SIGINT is ignored, and stays so in what they start.
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
fn an_answer_does_not_wait_for_the_end() {
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

/// Lines that are refused before anything is sent show what the batch itself needs.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_the_same_for_a_million_lines() {
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

/// Waits until the file has so many bytes.
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

/// As `nohup` and `trap ''` have it.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_signal_stays_ignored() {
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
fn the_first_signal_ends_it_while_it_signs_in() {
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
fn an_output_that_cannot_be_gone_on_with_is_found_before_anything_is_sent() {
    let services = Services::start();
    services.file("in", INFO);
    services.file("out", "something else\n");
    for (words, says) in [("", "--resume"), (" --resume", "was not written by")] {
        fails(&services.run(&format!("spatiafi batch in --output out{words}")), 2, says);
    }
    assert_eq!(services.requests(), 0);
}

#[test]
fn lines_that_failed_before_count_when_a_run_goes_on() {
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
    // What looks like a failure in a body is none.
    fs::write(
        services.path("out"),
        "{\"line\":1,\"status\":200,\"body\":{\"kind\":\"api_status\",\"error\":\"x\"}}\n",
    )
    .unwrap();
    services.file("in", INFO);
    ends_well(&services.run("spatiafi batch in --output out --resume"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
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
fn the_answers_of_a_cron_job_are_lines() {
    let services = Services::start();
    let crontab = include_str!("../../examples/crontab");
    let job = crontab.lines().find_map(|line| line.strip_prefix("7 * * * *  ")).unwrap();
    let run = |status: i32| {
        let output = services.shell(job);
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
fn the_answers_of_a_systemd_job_are_lines() {
    let services = Services::start();
    let unit = include_str!("../../examples/systemd/spatiafi-report.service");
    let command = |name: &str| {
        let given = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        given.unwrap_or(":").replace("/usr/bin/", "")
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
