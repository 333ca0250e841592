//! The file store under load: many processes, killed processes, and a fault at every system call.
//!
//! Each test has a short run here. Runs that take minutes, or need `strace` or root, are ignored by default:
//! `cargo test --test store_harness -- --ignored --nocapture --test-threads=1`.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests over processes live in real time")]

#[path = "support/folder.rs"]
mod folder;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant, SystemTime};
use std::{env, thread};

use keyfob::flow::{ClientCredentials, Grant};
use keyfob::{
    CachingSource, ClientAuth, ErrorKind, FileStore, Record, RecordName, Token, TokenSource as _,
    TokenStore as _, Transport,
};
use keyfob_sandbox::{Endpoint, Sandbox};

use folder::Folder;

const SOON: Duration = Duration::from_secs(30);

fn name() -> RecordName {
    RecordName::new("spatiafi", "https://auth.example/token", "client").unwrap()
}

fn save(store: &FileStore, record: &Record) {
    store.lock(&name(), SOON).unwrap().save(record).unwrap();
}

fn temp(store: &FileStore) -> PathBuf {
    store.path(&name()).with_extension("json.tmp")
}

/// Returns the files in the folder other than the record and its lock.
fn leftovers(store: &FileStore) -> Vec<String> {
    let known = [store.path(&name()), store.path(&name()).with_extension("json.lock")];
    let paths = fs::read_dir(store.folder()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| !known.contains(path)).map(|path| path.display().to_string()).collect()
}

/// Longer than a page, so that half a record can be distinguished from a whole one.
const PADDING: usize = 6_000;

fn numbered(number: u64) -> Record {
    let token = Token::new(format!("{number}-{}", "x".repeat(PADDING)), SystemTime::now()).unwrap();
    Record::new(token.with_refresh_token(number.to_string()), 0)
}

fn number(record: &Record) -> u64 {
    let (number, padding) = access_token(record.token()).split_once('-').unwrap();
    let refresh_token = record.token().refresh_token().unwrap().expose_str().unwrap();
    assert_eq!((number, padding.len()), (refresh_token, PADDING), "two halves of different records");
    number.parse().unwrap()
}

fn access_token(token: &Token) -> &str {
    token.access_token().expose_str().unwrap()
}

/// A token that expired 100 s ago.
fn expired(access_token: &str) -> Record {
    let now = SystemTime::now();
    let token = Token::new(access_token, now - Duration::from_secs(1_000)).unwrap();
    Record::new(token.with_refresh_token("1").with_expires_at(now - Duration::from_secs(100)), 0)
}

fn living(access_token: &str) -> Token {
    let now = SystemTime::now();
    Token::new(access_token, now).unwrap().with_expires_at(now + Duration::from_secs(3_600))
}

// Processes.

/// This program again, as a process with a role in one of the tests.
fn part(part: &str, store: &FileStore) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child_of_the_store_tests", "--ignored", "--nocapture", "--test-threads=1"])
        .env("PART", part)
        .env("KEYFOB_STORE", store.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn asking<'a>(command: &'a mut Command, sandbox: &Sandbox) -> &'a mut Command {
    command
        .env("TOKEN_URL", sandbox.token_url())
        .env("CLIENT_ID", sandbox.client_id())
        .env("CLIENT_SECRET", sandbox.client_secret())
}

#[test]
#[ignore = "a part of the other tests"]
fn child_of_the_store_tests() {
    let Ok(part) = env::var("PART") else { return };
    let store = FileStore::new(var("KEYFOB_STORE"));
    match part.as_str() {
        "count" => count(&store, Duration::from_secs(var("SECONDS").parse().unwrap())),
        "save" => save_for_ever(&store),
        "renew" => renew(&store),
        "rotate" => rotate(&store, Duration::from_secs(var("SECONDS").parse().unwrap())),
        "remember" => remember(&store),
        "full" => on_a_full_disk(&store),
        "read-only" => on_a_read_only_disk(&store),
        "forbidden" => in_a_folder_without_write_permission(&store),
        "once" => ask_once(&store),
        "no-space" => on_disks_without_space(&store),
        "watched" => ask_a_watched_server(&store),
        "no-proc" => without_proc(&store),
        other => panic!("no such part: {other}"),
    }
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

/// Returns the text after this word in the output.
fn said<'a>(output: &'a str, word: &str) -> Option<&'a str> {
    output.lines().find_map(|line| line.split_once(word)).map(|(_, rest)| rest.trim())
}

fn ended(mut child: Child, within: Duration) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > within {
            let _ = child.kill();
            panic!("a process hangs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

// Torn reads and lost updates.

/// Adds one to the record, again and again, and reads it without the lock in between.
fn count(store: &FileStore, within: Duration) {
    let (started, mut seen) = (Instant::now(), 0);
    let (mut updates, mut torn) = (0_u64, 0_u64);
    let (mut longest_wait, mut longest_save) = (Duration::ZERO, Duration::ZERO);
    while started.elapsed() < within {
        match store.load(&name()).unwrap() {
            Some(record) if number(&record) >= seen => {}
            _ => torn += 1,
        }
        let waiting = Instant::now();
        // A wait longer than in practice: the holder of the lock takes it again at once, which is unfair to
        // others.
        let mut locked = store.lock(&name(), within * 4 + SOON).unwrap();
        longest_wait = longest_wait.max(waiting.elapsed());
        seen = locked.load().unwrap().as_ref().map_or(0, number) + 1;
        let saving = Instant::now();
        locked.save(&numbered(seen)).unwrap();
        longest_save = longest_save.max(saving.elapsed());
        updates += 1;
    }
    println!("COUNTED {updates} {torn} {} {}", longest_wait.as_millis(), longest_save.as_millis());
}

fn processes_lose_nothing(processes: usize, seconds: u64) {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &numbered(0));
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (store, over) = (store.clone(), over.clone());
        thread::spawn(move || {
            let (mut loads, mut torn, mut seen) = (0_u64, 0_u64, 0);
            while !over.load(Ordering::Relaxed) {
                loads += 1;
                match store.load(&name()).unwrap().as_ref().map(number) {
                    Some(number) if number >= seen => seen = number,
                    _ => torn += 1,
                }
            }
            (loads, torn)
        })
    };
    let children: Vec<_> = (0..processes)
        .map(|_| part("count", &store).env("SECONDS", seconds.to_string()).spawn().unwrap())
        .collect();
    let (mut updates, mut torn, mut fewest) = (0, 0, u64::MAX);
    let (mut longest_wait, mut longest_save) = (0, 0);
    for child in children {
        let output = stdout(&ended(child, Duration::from_secs(seconds) * 5 + SOON * 2));
        let figures: Vec<u64> =
            said(&output, "COUNTED ").expect(&output).split(' ').map(|n| n.parse().unwrap()).collect();
        updates += figures[0];
        torn += figures[1];
        fewest = fewest.min(figures[0]);
        longest_wait = longest_wait.max(figures[2]);
        longest_save = longest_save.max(figures[3]);
    }
    over.store(true, Ordering::Relaxed);
    let (loads, torn_without_lock) = reader.join().unwrap();
    torn += torn_without_lock;
    let counted = number(&store.load(&name()).unwrap().unwrap());
    println!(
        "{processes} processes, {seconds} s: {updates} updates, {} lost, {} reads without the lock, {torn} torn; \
         longest wait for the lock {longest_wait} ms, longest save {longest_save} ms; fewest updates of one process \
         {fewest}",
        updates.abs_diff(counted),
        loads + updates,
    );
    assert_eq!((torn, counted), (0, updates));
    assert_eq!(leftovers(&store), [""; 0]);
}

#[test]
fn eight_processes_lose_no_update_and_tear_no_read() {
    processes_lose_nothing(8, 2);
}

#[test]
#[ignore = "takes a minute"]
fn sixty_four_processes_lose_no_update_in_a_minute() {
    processes_lose_nothing(64, 60);
}

// One request.

fn source(store: &FileStore, flow: impl Grant + 'static) -> CachingSource {
    CachingSource::new(Transport::new(), flow).with_store(Arc::new(store.clone()), name())
}

fn flow(sandbox: &Sandbox) -> ClientCredentials {
    ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(sandbox.client_id(), sandbox.client_secret()),
    )
}

fn renew(store: &FileStore) {
    // strace counts calls for each thread. The work runs in another thread, so that its counts differ from
    // the main thread's.
    for _ in 0..100 {
        let mut null = File::options().read(true).write(true).open("/dev/null").unwrap();
        null.metadata().unwrap();
        null.write_all(b"x").unwrap();
        null.rewind().unwrap();
        let _ = null.read(&mut [0]).unwrap();
    }
    let flow = ClientCredentials::new(
        var("TOKEN_URL"),
        ClientAuth::secret_jwt(var("CLIENT_ID"), var("CLIENT_SECRET").as_str()),
    );
    let source = source(store, flow).with_on_warning(|warning| println!("WARNED {warning}"));
    match source.token(Duration::ZERO) {
        Ok(token) => println!("TOKEN {}", access_token(&token)),
        Err(error) => println!("REFUSED {:?} {error}", error.kind()),
    }
}

/// Returns the token, which must be the same for all.
fn the_token_of_all(children: Vec<Child>) -> String {
    let mut tokens: Vec<String> = children
        .into_iter()
        .map(|child| {
            let output = stdout(&ended(child, SOON));
            said(&output, "TOKEN ").expect(&output).to_owned()
        })
        .collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    tokens.remove(0)
}

#[test]
fn sixty_four_processes_at_expiry_make_one_request() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    save(&folder.store(), &expired("old"));
    sandbox.set_delay(Endpoint::Token, Duration::from_secs(1));
    let children: Vec<_> =
        (0..64).map(|_| asking(&mut part("renew", &folder.store()), &sandbox).spawn().unwrap()).collect();
    assert_ne!(the_token_of_all(children), "old");
    println!("64 processes at expiry: {} request", sandbox.count(Endpoint::Token));
    assert_eq!((sandbox.count(Endpoint::Token), sandbox.tokens_issued()), (1, 1));
}

#[test]
fn sixty_four_threads_at_expiry_make_one_request() {
    thread::scope(|scope| {
        for shared in [true, false] {
            scope.spawn(move || threads_make_one_request(shared));
        }
    });
}

fn threads_make_one_request(shared: bool) {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    save(&folder.store(), &expired("old"));
    sandbox.set_delay(Endpoint::Token, Duration::from_secs(1));
    let one = Arc::new(source(&folder.store(), flow(&sandbox)));
    let start = Arc::new(Barrier::new(64));
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let start = start.clone();
            let source = if shared { one.clone() } else { Arc::new(source(&folder.store(), flow(&sandbox))) };
            thread::spawn(move || {
                start.wait();
                access_token(&source.token(Duration::ZERO).unwrap()).to_owned()
            })
        })
        .collect();
    let mut tokens: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    tokens.dedup();
    println!(
        "64 threads at expiry, one source for all: {shared}: {} request",
        sandbox.count(Endpoint::Token)
    );
    assert_eq!((tokens.len(), sandbox.count(Endpoint::Token)), (1, 1), "one source for all: {shared}");
}

/// A server whose refresh tokens are valid once. If one is sent twice, it ends the session.
struct Rotating {
    address: SocketAddr,
    session: Arc<Mutex<Session>>,
}

struct Session {
    refresh_token: u64,
    ended: bool,
}

impl Rotating {
    fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let session = Arc::new(Mutex::new(Session { refresh_token: 1, ended: false }));
        let served = session.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, session) = (connection.unwrap(), served.clone());
                thread::spawn(move || {
                    let mut used = String::new();
                    BufReader::new(&connection).read_line(&mut used).unwrap();
                    let answer = {
                        let mut session = session.lock().unwrap();
                        session.ended |= used.trim() != session.refresh_token.to_string();
                        session.refresh_token += 1;
                        if session.ended { "ended".to_owned() } else { session.refresh_token.to_string() }
                    };
                    thread::sleep(takes);
                    let _ = connection.write_all(answer.as_bytes());
                });
            }
        });
        Self { address, session }
    }

    fn spawn(&self, store: &FileStore, seconds: u64) -> Child {
        let mut command = part("rotate", store);
        command.env("SERVER", self.address.to_string()).env("SECONDS", seconds.to_string());
        command.spawn().unwrap()
    }

    /// The number of requests.
    #[track_caller]
    fn used_tokens(&self) -> u64 {
        let session = self.session.lock().unwrap();
        assert!(!session.ended, "a refresh token was used twice");
        session.refresh_token - 1
    }
}

struct Rotate(String);

impl Grant for Rotate {
    fn token(&self, _: &Transport, previous: Option<&Token>) -> Result<Token, keyfob::Error> {
        let used = previous.unwrap().refresh_token().unwrap();
        let mut connection = TcpStream::connect(&self.0).unwrap();
        connection.write_all(&[used.expose(), b"\n"].concat()).unwrap();
        let answer = io::read_to_string(connection).unwrap();
        assert_ne!(answer, "ended", "the session goes on");
        let now = SystemTime::now();
        let token = Token::new(format!("access-{answer}"), now)?.with_expires_at(now + LIFETIME);
        Ok(token.with_refresh_token(answer.as_str()))
    }
}

const LIFETIME: Duration = Duration::from_secs(2);

fn rotate(store: &FileStore, within: Duration) {
    let started = Instant::now();
    let mut asked = 0_u64;
    loop {
        let source = source(store, Rotate(var("SERVER")));
        for _ in 0..20 {
            let token = source.token(Duration::ZERO).unwrap();
            asked += 1;
            if started.elapsed() >= within {
                println!("ASKED {asked}\nTOKEN {}", access_token(&token));
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn sixty_four_processes_send_a_refresh_token_once() {
    let (server, folder) = (Rotating::start(Duration::from_secs(1)), Folder::new());
    save(&folder.store(), &expired("old"));
    let children = (0..64).map(|_| server.spawn(&folder.store(), 0)).collect();
    assert_eq!(the_token_of_all(children), "access-2");
    println!("64 processes with a refresh token that is good once: {} request", server.used_tokens());
    assert_eq!(server.used_tokens(), 1);
}

#[test]
fn session_survives_many_renewals_by_many_processes() {
    let (server, folder) = (Rotating::start(Duration::from_millis(50)), Folder::new());
    save(&folder.store(), &expired("old"));
    let children: Vec<_> = (0..8).map(|_| server.spawn(&folder.store(), 3)).collect();
    for child in children {
        stdout(&ended(child, SOON));
    }
    let requests = server.used_tokens();
    // In whole seconds, a lifetime of 2 s is at least 1 s, and four fifths of it are used.
    assert!((2..=5).contains(&requests), "{requests}");
}

// Killed processes.

fn save_for_ever(store: &FileStore) {
    loop {
        let mut locked = store.lock(&name(), SOON).unwrap();
        let number = locked.load().unwrap().as_ref().map_or(0, number) + 1;
        locked.save(&numbered(number)).unwrap();
        drop(locked);
        println!("SAVED {number}");
    }
}

fn below(limit: u64) -> Duration {
    Duration::from_micros(getrandom::u64().unwrap() % limit)
}

#[derive(Default)]
struct Kills {
    saves: u64,
    temps_left: u64,
    /// The process was killed between the rename and its report.
    unsaid: u64,
    /// How long it took to obtain the lock after each kill, and after the process had died.
    regained: Vec<(Duration, Duration)>,
}

/// Kills one process after another on a store, and checks what each leaves.
fn kills_on_one_store(kills: u64) -> Kills {
    let folder = Folder::new();
    let store = folder.store();
    let (mut done, mut seen) = (Kills::default(), 0);
    for kill in 0..kills {
        let mut child = part("save", &store).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // One in ten dies during its start.
        if kill % 10 == 0 {
            thread::sleep(below(20_000));
        } else {
            while !text.contains("SAVED") {
                assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
            }
            thread::sleep(below(6_000));
        }
        child.kill().unwrap();
        let killed = Instant::now();
        child.wait().unwrap();
        let dead = killed.elapsed();
        drop(store.lock(&name(), SOON).unwrap());
        done.regained.push((killed.elapsed(), killed.elapsed().saturating_sub(dead)));

        output.read_to_string(&mut text).unwrap();
        let reported =
            text.lines().rev().find_map(|line| said(line, "SAVED ")).map_or(0, |n| n.parse().unwrap());
        done.temps_left += u64::from(temp(&store).exists());
        let found = store.load(&name()).unwrap().as_ref().map_or(0, number);
        assert!(found >= seen.max(reported), "{found} after {seen} was seen and {reported} was saved");
        assert!(found <= seen.max(reported) + 1, "{found} after {reported}");
        done.unsaid += u64::from(found > reported && reported > 0);
        seen = found;
        assert_eq!(leftovers(&store), [""; 0]);
    }
    done.saves = seen;
    done
}

fn kills_lose_nothing(kills: u64, lanes: u64) {
    let lanes: Vec<_> =
        (0..lanes).map(|_| thread::spawn(move || kills_on_one_store(kills / lanes))).collect();
    let mut all = Kills::default();
    for lane in lanes {
        let lane = lane.join().unwrap();
        all.saves += lane.saves;
        all.temps_left += lane.temps_left;
        all.unsaid += lane.unsaid;
        all.regained.extend(lane.regained);
    }
    all.regained.sort();
    let [median, most, worst] =
        [50, 99, 100].map(|part| all.regained[(all.regained.len() - 1) * part / 100].0);
    let after_death = all.regained.iter().map(|(_, after_death)| *after_death).max().unwrap();
    println!(
        "{kills} kills over {} saves: 0 corrupt, 0 lost; lock regained {median:.1?} after the kill usually, \
         {most:.1?} at the 99th percentile, {worst:.1?} at worst, and {after_death:.1?} after the death at worst; {} \
         temporary files left, 0 after the next run; {} died between the rename and their report",
        all.saves, all.temps_left, all.unsaid
    );
    // A stalled disk keeps a process in its last system call and delays its death. One in a hundred may be
    // affected.
    assert!(most.max(after_death) <= Duration::from_millis(200), "{most:?} {after_death:?}");
    assert!(all.temps_left > 0, "no kill hit the writing: nothing was tested");
}

#[test]
fn two_hundred_kills_lose_no_record() {
    kills_lose_nothing(200, 4);
}

#[test]
#[ignore = "takes minutes"]
fn ten_thousand_kills_lose_no_record() {
    kills_lose_nothing(10_000, 1);
}

// A fault at every system call.

fn strace(options: &[&str], log: &Path, of: &Command) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=%file,%desc,%network", "-o"]).arg(log).args(options);
    command.arg("--").arg(of.get_program()).args(of.get_args());
    command.envs(of.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // The library path that cargo sets would cost the loader dozens of calls.
    command.env_remove("LD_LIBRARY_PATH").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Call {
    thread: String,
    name: String,
    line: String,
}

impl Call {
    fn result(&self) -> i64 {
        let result = self.line.rsplit(" = ").next().unwrap_or_default();
        result.split(' ').next().unwrap_or_default().parse().unwrap_or(0)
    }

    fn is_of_a_socket(&self) -> bool {
        ["<TCP", "<UDP", "<socket", "<UNIX"].iter().any(|kind| self.line.contains(kind))
    }

    /// The call and its subject, in short.
    fn short(&self) -> String {
        let file = self.line.split(['"', '<', '>']).find_map(|part| part.rsplit_once("/spatiafi-"));
        let end = |(_, name): (&str, &str)| format!(" …{}", name.split_at(name.find('.').unwrap_or(0)).1);
        let socket = if self.is_of_a_socket() { " socket" } else { "" };
        format!("{}{}{socket}", self.name, file.map(end).unwrap_or_default())
    }
}

fn calls(log: &Path) -> Vec<Call> {
    let call = |line: &str| {
        let (thread, line) = line.split_once(' ')?;
        let line = line.trim_start();
        let (name, _) = line.split_once('(')?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then(|| Call { thread: thread.into(), name: name.into(), line: line.into() })
    };
    fs::read_to_string(log).unwrap().lines().filter_map(call).collect()
}

/// Returns the calls from the last byte of the server's answer until the caller has the token. The number
/// counts the calls of the same name in the same thread.
fn after_the_answer(calls: &[Call]) -> Vec<(&Call, usize)> {
    let end = calls.iter().position(|call| call.name == "write" && call.line.contains("TOKEN ")).unwrap();
    let thread = &calls[end].thread;
    let answer = |call: &Call| call.name == "recvfrom" && call.thread == *thread && call.result() > 0;
    let start = calls[..end].iter().rposition(answer).unwrap();
    let mut seen = HashMap::new();
    let own = calls[..end].iter().enumerate().filter(|(_, call)| call.thread == *thread);
    let numbered = own.map(|(at, call)| {
        let nth = seen.entry(&call.name).or_insert(0);
        *nth += 1;
        (at, call, *nth)
    });
    numbered.filter(|(at, ..)| *at > start).map(|(_, call, nth)| (call, nth)).collect()
}

#[test]
#[ignore = "needs strace"]
fn fault_at_any_system_call_leaves_the_old_or_the_new_record() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let (store, log) = (folder.store(), folder.0.join("log"));
    let run = |options: &[&str]| {
        save(&store, &expired("old"));
        let mut renew = part("renew", &store);
        ended(strace(options, &log, asking(&mut renew, &sandbox)).spawn().unwrap(), SOON)
    };
    stdout(&run(&["-y"]));
    let usual = calls(&log);
    let targets = after_the_answer(&usual);
    let order = ["write", "fsync", "rename"];
    let order: Vec<&str> =
        targets.iter().map(|(call, _)| call.name.as_str()).filter(|name| order.contains(name)).collect();
    assert_eq!(
        order,
        ["write", "fsync", "rename", "fsync"],
        "the file is on the disk before its name, and then the name"
    );

    let faults = ["error=ENOSPC", "error=EIO", "error=EINTR", "signal=KILL"];
    let mut table = format!("{:<26}", "call");
    for fault in faults {
        let _ = write!(table, "{:<14}", fault.split_once('=').unwrap().1);
    }
    let mut warnings = Vec::new();
    let mut bad = Vec::new();
    for (call, nth) in &targets {
        let _ = write!(table, "\n{:<26}", call.short());
        for fault in faults {
            let output = run(&["-e", &format!("inject={}:{fault}:when={nth}", call.name)]);
            let case = format!("{} {fault}", call.short());
            let made = calls(&log);
            let answered = made.iter().rposition(|call| call.name == "recvfrom" && call.result() > 0);
            let answered =
                answered.unwrap_or_else(|| panic!("{case}: {output:?} {}", made.last().unwrap().line));
            let killed = output.status.signal() == Some(9);
            if fault == "signal=KILL" {
                assert!(killed && made.last().unwrap().name == call.name, "{case}: {}", output.status);
            } else {
                let hit = made.iter().position(|call| call.line.contains("(INJECTED)"));
                let line = hit.map_or("", |hit| &made[hit].line);
                assert!(hit.is_some_and(|hit| hit > answered), "{case} hit {line}");
            }

            let found =
                store.load(&name()).ok().flatten().map(|record| access_token(record.token()).to_owned());
            let is_new = found.as_deref().is_some_and(|found| found != "old" && sandbox.revoke(found));
            let left = leftovers(&store);
            let text = String::from_utf8_lossy(&output.stdout);
            let warned = said(&text, "WARNED ");
            let mut cell = if is_new { "new" } else { "old" }.to_owned();
            if !is_new && found.as_deref() != Some("old") {
                bad.push(format!("{case}: the record is {found:?}"));
                cell = "NEITHER".to_owned();
            }
            if !left.is_empty() {
                bad.push(format!("{case}: left {left:?}"));
            }
            if !killed {
                let token = said(&text, "TOKEN ");
                if !output.status.success() || token.is_none() {
                    bad.push(format!("{case}: no token: {text}{}", String::from_utf8_lossy(&output.stderr)));
                } else if is_new && found.as_deref() != token || !is_new && warned.is_none() {
                    bad.push(format!("{case}: {found:?} kept, without a warning"));
                }
            }
            if let Some(text) = warned {
                cell.push_str(", warned");
                warnings.push(text.replace(store.path(&name()).to_str().unwrap(), "…"));
            }
            let _ = write!(table, "{cell:<14}");
        }
    }
    warnings.sort();
    warnings.dedup();
    println!("{table}\n\nwarnings:\n{}", warnings.join("\n"));
    println!("{} calls, each with {} faults: {} bad ends", targets.len(), faults.len(), bad.len());
    assert_eq!(bad, [""; 0]);
}

// The cost of a store.

/// Takes a token from the store or, for comparison, has one already.
fn remember(store: &FileStore) {
    let flow = ClientCredentials::new(
        "https://auth.example/token",
        ClientAuth::secret_jwt("client", "k".repeat(32)),
    );
    let source = CachingSource::new(Transport::new(), flow);
    let source = if var("WITH_STORE") == "1" {
        source.with_store(Arc::new(store.clone()), name())
    } else {
        source.with_token(living("kept"))
    };
    println!("TOKEN {}", access_token(&source.token(Duration::ZERO).unwrap()));
}

#[test]
#[ignore = "needs strace"]
fn run_with_a_valid_stored_token_makes_at_most_twelve_more_system_calls() {
    let folder = Folder::new();
    let (store, log) = (folder.store(), folder.0.join("log"));
    save(&store, &Record::new(living("kept"), 0));
    let made = ["0", "1"].map(|with| {
        let mut remember = part("remember", &store);
        let output = ended(strace(&["-y"], &log, remember.env("WITH_STORE", with)).spawn().unwrap(), SOON);
        assert_eq!(said(&stdout(&output), "TOKEN "), Some("kept"));
        let made = calls(&log);
        assert!(!made.iter().any(Call::is_of_a_socket), "no request");
        made
    });
    for call in made[1].iter().filter(|call| call.line.contains(store.folder().to_str().unwrap())) {
        println!("{}", call.line);
    }
    let [without, with] = made.map(|made| made.len());
    println!("file system calls: {without} without a store, {with} with one: {} more", with - without);
    assert!(with > without && with <= without + 12);
}

#[test]
fn record_is_loaded_within_a_millisecond() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &Record::new(living("kept"), 0));
    let mut times: Vec<Duration> = (0..1_000)
        .map(|_| {
            let started = Instant::now();
            assert!(store.load(&name()).unwrap().is_some());
            started.elapsed()
        })
        .collect();
    times.sort();
    let [first, median, last] = [0, 500, 990].map(|at| times[at].as_secs_f64() * 1e6);
    println!("load: {first:.0} µs at best, {median:.0} µs usually, {last:.0} µs at the 99th percentile");
    assert!(times[500] <= Duration::from_millis(1), "{:?}", times[500]);
}

// Disks and locks that do not work.

/// Runs a role on a file system of 64 KiB of its own.
fn on_a_disk_of_its_own(part_name: &str) {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let mut part = part(part_name, &folder.store());
    asking(&mut part, &sandbox);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c"]);
    command.arg("mount -t tmpfs -o size=64k,mode=700 none \"$DISK\" && exec \"$0\" \"$@\"");
    command.arg(part.get_program()).args(part.get_args()).env("DISK", &folder.0);
    command.envs(part.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = stdout(&ended(child, SOON));
    let requests = said(&output, "REQUESTS ").expect(&output);
    assert_eq!(sandbox.count(Endpoint::Token).to_string(), requests);
    assert!(!folder.store().folder().exists(), "the disk was not the host's");
}

fn own_flow() -> ClientCredentials {
    ClientCredentials::new(
        var("TOKEN_URL"),
        ClientAuth::secret_jwt(var("CLIENT_ID"), var("CLIENT_SECRET").as_str()),
    )
}

#[track_caller]
fn refused<T>(result: Result<T, keyfob::Error>, text: &str) {
    let error = result.err().expect("refused");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Store, text));
}

const ELSEWHERE: &str = "set the store (KEYFOB_STORE) to a folder that can be written";

fn on_a_full_disk(store: &FileStore) {
    save(store, &expired("old"));
    let filler = Path::new(&var("DISK")).join("filler");
    let full = io::copy(&mut io::repeat(b'x').take(1 << 20), &mut File::create(&filler).unwrap());
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);

    let one = source(store, own_flow());
    let token = one.token(Duration::ZERO).unwrap();
    assert_eq!(access_token(&one.token(Duration::ZERO).unwrap()), access_token(&token), "from memory");
    let path = store.path(&name());
    let text = format!("could not save the tokens in {}: no storage space; {ELSEWHERE}", path.display());
    refused(Err::<(), _>(one.warning().unwrap()), &text);
    assert_eq!(access_token(store.load(&name()).unwrap().unwrap().token()), "old");
    assert_eq!(leftovers(store), [""; 0]);

    fs::remove_file(&filler).unwrap();
    let two = source(store, own_flow());
    let token = two.token(Duration::ZERO).unwrap();
    assert!(two.warning().is_none());
    let kept = store.load(&name()).unwrap().unwrap();
    assert_eq!(access_token(kept.token()), access_token(&token));
    println!("REQUESTS 2");
}

fn remount(how: &str) {
    let done = Command::new("mount").args(["-o", how]).arg(var("DISK")).status().unwrap();
    assert!(done.success());
}

fn on_a_read_only_disk(store: &FileStore) {
    let path = store.path(&name());
    let lock = path.with_extension("json.lock");
    let why = format!("read-only filesystem or storage medium; {ELSEWHERE}");
    remount("remount,ro");
    let none = source(store, own_flow());
    refused(none.token(Duration::ZERO), &format!("could not use {}: {why}", store.folder().display()));

    remount("remount,rw");
    save(store, &Record::new(living("kept"), 0));
    fs::write(temp(store), "half a tok").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    remount("remount,ro");
    assert_eq!(access_token(&source(store, own_flow()).token(Duration::ZERO).unwrap()), "kept");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644, "what could not be set right");

    remount("remount,rw");
    save(store, &expired("old"));
    remount("remount,ro");
    let late = source(store, own_flow());
    refused(late.token(Duration::ZERO), &format!("could not open {}: {why}", lock.display()));
    println!("REQUESTS 0");
}

#[test]
#[ignore = "needs root"]
fn full_disk_costs_a_warning_and_not_the_token() {
    on_a_disk_of_its_own("full");
}

#[test]
#[ignore = "needs root"]
fn read_only_disk_serves_stored_tokens_and_refuses_renewals() {
    on_a_disk_of_its_own("read-only");
}

const NOBODY: u32 = 65_534;

#[test]
#[ignore = "needs root"]
fn unwritable_folder_serves_stored_tokens_and_refuses_renewals() {
    let folder = Folder::new();
    let store = folder.store();
    // The other user may not be able to read the folder of this program, so it is copied.
    let program = folder.0.join("program");
    // Another process writes it: a child that a test starts meanwhile would inherit the open file, and nobody could run it.
    let mut copy = Command::new("install");
    assert!(
        copy.args(["-m", "755"]).args([&env::current_exe().unwrap(), &program]).status().unwrap().success()
    );
    fs::create_dir(store.folder()).unwrap();
    chown(store.folder(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(store.folder(), Permissions::from_mode(0o700)).unwrap();
    let part = part("forbidden", &store);
    let mut command = Command::new(&program);
    command.args(part.get_args()).envs(part.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.uid(NOBODY).gid(NOBODY).current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
    stdout(&ended(command.spawn().unwrap(), SOON));
}

fn in_a_folder_without_write_permission(store: &FileStore) {
    let mode = |mode| fs::set_permissions(store.folder(), Permissions::from_mode(mode)).unwrap();
    let lock = store.path(&name()).with_extension("json.lock");
    mode(0o500);
    refused(
        store.lock(&name(), Duration::ZERO).map(drop),
        &format!("could not open {}: permission denied; {ELSEWHERE}", lock.display()),
    );
    mode(0o700);
    save(store, &Record::new(living("kept"), 0));
    fs::write(temp(store), "half a tok").unwrap();
    mode(0o500);
    assert_eq!(access_token(store.load(&name()).unwrap().unwrap().token()), "kept");
    let error = store.lock(&name(), Duration::ZERO).unwrap().save(&expired("new")).unwrap_err();
    assert!(error.to_string().ends_with(&format!("permission denied; {ELSEWHERE}")), "{error}");
    fs::write(store.path(&name()), "{").unwrap();
    assert!(store.load(&name()).unwrap().is_none(), "broken, and it cannot be quarantined: absent");
}

#[test]
#[ignore = "needs strace"]
fn file_system_without_working_locks_is_refused() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let store = folder.store();
    save(&store, &expired("old"));
    let lock = store.path(&name()).with_extension("json.lock");
    let run = |inject: &str| {
        let mut renew = part("renew", &store);
        let mut command = strace(&["-e", inject], &folder.0.join("log"), asking(&mut renew, &sandbox));
        stdout(&ended(command.spawn().unwrap(), SOON))
    };
    for (error, why) in [
        ("ENOLCK", "No locks available (os error 37)"),
        ("ENOSYS", "unsupported"),
        ("EOPNOTSUPP", "unsupported"),
    ] {
        let output = run(&format!("inject=flock:error={error}"));
        let text = format!(
            "Store could not lock {}: locks do not work there ({why}), so tokens could be lost; use a folder on a \
             local disk",
            lock.display()
        );
        assert_eq!(said(&output, "REFUSED "), Some(text.as_str()), "{output}");
    }
    assert_eq!(sandbox.count(Endpoint::Token), 0, "refused before anything is requested");
    let output = run("inject=flock:error=EINTR:when=1");
    assert!(said(&output, "TOKEN ").is_some(), "an interruption by a signal is not a refusal: {output}");
}

// Disk space for an answer that the server gives only once.

/// A grant that sends nothing, and records that it would have.
struct Once;

impl Grant for Once {
    fn token(&self, _: &Transport, _: Option<&Token>) -> Result<Token, keyfob::Error> {
        println!("ASKED");
        Ok(living("new").with_refresh_token("2"))
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}

fn ask_once(store: &FileStore) {
    let source = source(store, Once);
    match source.token(Duration::ZERO) {
        Ok(token) => println!("TOKEN {}", access_token(&token)),
        Err(error) => println!("REFUSED {:?} {error}", error.kind()),
    }
    if let Some(warning) = source.warning() {
        println!("WARNED {warning}");
    }
}

fn no_room(store: &FileStore, why: &str) -> String {
    let path = store.path(&name());
    let path = path.display();
    format!(
        "Store could not reserve space for new tokens beside {path}, so the server was not asked for any: {why}"
    )
}

#[test]
fn no_request_is_sent_when_files_may_not_grow() {
    const WHY: &str = "file too large; raise the limit for the size of files (ulimit -f)";
    let folder = Folder::new();
    let store = folder.store();
    // In blocks of 512 bytes.
    for (blocks, is_enough) in [(0, false), (1, false), (16, false), (63, false), (100, true), (1_000, true)]
    {
        for stored in [expired("old"), Record::new(living("kept"), 0)] {
            save(&store, &stored);
            let part = part("once", &store);
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
            shell.arg(part.get_program()).args(part.get_args());
            shell.envs(part.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let output = stdout(&ended(child, SOON));
            let token = access_token(stored.token());
            let case = format!("{blocks} {token}: {output}");
            if token == "kept" {
                assert_eq!(said(&output, "TOKEN "), Some("kept"), "{case}");
            } else if is_enough {
                assert_eq!(said(&output, "TOKEN "), Some("new"), "{case}");
            } else {
                assert_eq!(said(&output, "REFUSED "), Some(no_room(&store, WHY).as_str()), "{case}");
            }
            assert_eq!(output.contains("ASKED"), is_enough && token == "old", "{case}");
            assert_eq!(leftovers(&store), [""; 0], "{case}");
        }
    }
}

#[test]
#[ignore = "needs strace"]
fn no_request_is_sent_when_a_needed_system_call_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let run = |inject: &str| {
        save(&store, &expired("old"));
        let part = part("once", &store);
        let mut command = strace(&["-e", inject], &folder.0.join("log"), &part);
        stdout(&ended(command.spawn().unwrap(), SOON))
    };
    // As a seccomp filter would refuse it.
    for (call, error, why) in [
        ("fsync", "ENOSYS", "unsupported"),
        ("fsync", "EIO", "Input/output error (os error 5)"),
        ("fsync", "EDQUOT", "quota exceeded; set the store (KEYFOB_STORE) to a folder that can be written"),
        (
            "rename",
            "EPERM",
            "permission denied; set the store (KEYFOB_STORE) to a folder that can be written",
        ),
        ("rename", "ENOSYS", "unsupported"),
        ("lseek", "EIO", "Input/output error (os error 5)"),
        ("ftruncate", "ENOSYS", "unsupported"),
    ] {
        let output = run(&format!("inject={call}:error={error}"));
        let case = format!("{call} {error}: {output}");
        assert_eq!(said(&output, "REFUSED "), Some(no_room(&store, why).as_str()), "{case}");
        assert!(!output.contains("ASKED"), "{case}");
    }
    // Without the lock or the folder there is no renewal either.
    for (call, error) in [("flock", "EPERM"), ("flock", "ENOSYS")] {
        let output = run(&format!("inject={call}:error={error}"));
        assert!(said(&output, "REFUSED Store could not ").is_some(), "{call} {error}: {output}");
        assert!(!output.contains("ASKED"), "{call} {error}: {output}");
    }
    // A step that fails only once loses nothing: another file is written.
    for when in 1..=8 {
        let output = run(&format!("inject=lseek:error=EIO:when={when}"));
        let case = format!("lseek {when}: {output}");
        assert!(said(&output, "WARNED ").is_none(), "{case}");
        if output.contains("ASKED") {
            let record = fs::read_to_string(store.path(&name())).unwrap();
            assert!(record.contains("\"refresh_token\":\"2\""), "{case}: {record}");
        }
        assert_eq!((leftovers(&store), store.unsaved_paths(&name())), (Vec::new(), Vec::new()), "{case}");
    }
    // If a step fails although it was tried before, the answer is kept.
    save(&store, &expired("old"));
    let output = run("inject=rename:error=EIO:when=2+");
    assert_eq!(said(&output, "TOKEN "), Some("new"), "{output}");
    let kept = store.unsaved_paths(&name());
    let text = format!(
        "could not save the tokens in {}: Input/output error (os error 5); the received answer is kept in {}",
        store.path(&name()).display(),
        kept[0].display()
    );
    assert_eq!(said(&output, "WARNED "), Some(text.as_str()), "{output}");
    assert!(fs::read_to_string(&kept[0]).unwrap().contains("\"refresh_token\":\"2\""));
    assert_eq!((kept.len(), fs::metadata(&kept[0]).unwrap().mode() & 0o777), (1, 0o600));
}

/// A server that counts its requests, and how many it had at once.
struct Watched {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<u32>>>,
}

impl Watched {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, now) = (Arc::<Mutex<Vec<u32>>>::default(), Arc::<Mutex<u32>>::default());
        let served = requests.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, served, now) = (connection.unwrap(), served.clone(), now.clone());
                thread::spawn(move || {
                    let at_once = {
                        let mut now = now.lock().unwrap();
                        *now += 1;
                        *now
                    };
                    served.lock().unwrap().push(at_once);
                    // Another process may send its request meanwhile, if it does not wait for the lock.
                    thread::sleep(Duration::from_millis(30));
                    *now.lock().unwrap() -= 1;
                    drop(connection);
                });
            }
        });
        Self { address, requests }
    }

    /// Returns the number of requests since the last call, and of those at once at most.
    fn requests(&self) -> (usize, u32) {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        (requests.len(), requests.into_iter().max().unwrap_or(0))
    }
}

/// A grant that asks this server.
struct AtWatched(String);

impl Grant for AtWatched {
    fn token(&self, _: &Transport, _: Option<&Token>) -> Result<Token, keyfob::Error> {
        println!("ASKED");
        io::read_to_string(TcpStream::connect(&self.0).unwrap()).unwrap();
        Ok(living("new").with_refresh_token("2"))
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}

/// The number of calls of a name that the main thread makes at most. strace counts the calls of each thread alone.
const OTHERS_CALLS: usize = 100;

fn ask_a_watched_server(store: &FileStore) {
    for _ in 0..OTHERS_CALLS {
        File::open("/dev/null").unwrap();
    }
    let source = source(store, AtWatched(var("SERVER")));
    match source.token(Duration::ZERO) {
        Ok(token) => println!("TOKEN {}", access_token(&token)),
        Err(error) => println!("REFUSED {:?} {error}", error.kind()),
    }
    if let Some(warning) = source.warning() {
        println!("WARNED {warning}");
    }
}

/// Puts a folder of a store into a state in which its next run uses the system call that is to be refused.
fn put_in_state(store: &FileStore, state: &str) {
    if state == "new" {
        return;
    }
    save(store, &expired("old"));
    let path = store.path(&name());
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    match state {
        // A process was killed while it wrote, and the record is readable for all.
        "left" => {
            fs::write(temp(store), "half a tok").unwrap();
            mode(&path, 0o644);
        }
        "broken" => fs::write(&path, "{").unwrap(),
        "open folder" => mode(store.folder(), 0o777),
        "open record" => mode(&path, 0o666),
        "link" => {
            let target = path.with_extension("target");
            fs::rename(&path, &target).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        }
        other => panic!("no such state: {other}"),
    }
}

/// The system calls that are refused, and from which call of each thread on.
const REFUSED: [(&str, usize); 6] = [
    ("openat", OTHERS_CALLS + 1),
    ("mkdir", 1),
    ("unlink", 1),
    ("fchmod", 1),
    ("rename", 1),
    // Needed only if a rename fails too.
    ("chmod", 1),
];

/// Runs two processes at once on a store, in each of which a call is refused. Returns their outputs, or `None` if that call was not reached.
fn two_refused(call: &str, rule: &str, store: &FileStore, watched: &Watched) -> Option<[Output; 2]> {
    let trace = format!("trace={call},rename");
    let inject = format!("inject={call}:{rule}");
    let mut options = vec!["-e", &trace, "-e", &inject];
    if call == "chmod" {
        options.extend(["-e", "inject=rename:error=EIO:when=2+"]);
    }
    watched.requests();
    let logs = ["one", "two"].map(|log| store.folder().with_extension(log));
    let children = logs.each_ref().map(|log| {
        let mut part = part("watched", store);
        strace(&options, log, part.env("SERVER", watched.address.to_string())).spawn().unwrap()
    });
    let outputs = children.map(|child| ended(child, SOON));
    let is_refused = |made: &Call| made.name == call && made.line.contains("(INJECTED)");
    logs.iter().any(|log| calls(log).iter().any(is_refused)).then_some(outputs)
}

/// Returns what is wrong with the ends of two processes.
fn wrong_ends(outputs: [Output; 2], must_refuse: bool, store: &FileStore, watched: &Watched) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut asked, mut is_said) = (0, false);
    for output in outputs {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let [token, refused, warned] = ["TOKEN ", "REFUSED ", "WARNED "].map(|word| said(&text, word));
        asked += text.matches("ASKED").count();
        is_said |= refused.or(warned).is_some();
        let is_store_error = refused.is_none_or(|text| text.starts_with("Store could not "));
        if !output.status.success() || token.is_some() == refused.is_some() || !is_store_error {
            wrong.push(format!("{} {text}", output.status));
        }
        if must_refuse && refused.is_none() {
            wrong.push(format!("a check was skipped: {text}"));
        }
    }
    let (requests, at_once) = watched.requests();
    if requests != asked || at_once > 1 {
        wrong.push(format!("{requests} requests of {asked}, {at_once} at once"));
    }
    let record = store.load(&name()).ok().flatten();
    let is_saved = record.is_some_and(|record| access_token(record.token()) == "new");
    if !is_said && (requests > 1 || !is_saved) {
        wrong.push(format!("{requests} requests, saved: {is_saved}, and no word about it"));
    }
    wrong
}

/// As a seccomp filter would refuse them, with the errors that such filters give.
#[test]
#[ignore = "needs strace"]
fn refused_system_call_skips_no_check_and_allows_no_second_renewal() {
    let watched = Watched::start();
    let (mut wrong, mut reached) = (Vec::new(), REFUSED.map(|(call, _)| (call, 0)));
    for state in ["new", "left", "broken", "open folder", "open record", "link"] {
        for (at, (call, first)) in REFUSED.into_iter().enumerate() {
            // One call, or all from one on.
            for (error, more) in [("EPERM", ""), ("EPERM", "+"), ("EACCES", "+"), ("ENOSYS", "+")] {
                for when in first.. {
                    let folder = Folder::new();
                    let store = folder.store();
                    put_in_state(&store, state);
                    let rule = format!("error={error}:when={when}{more}");
                    let Some(outputs) = two_refused(call, &rule, &store, &watched) else { break };
                    reached[at].1 += 1;
                    let must_refuse = match (state, call) {
                        ("open folder" | "open record" | "link", _) => true,
                        ("left", "unlink" | "fchmod") => more == "+" && when == first,
                        _ => false,
                    };
                    for text in wrong_ends(outputs, must_refuse, &store, &watched) {
                        wrong.push(format!("{state}, {call} {rule}: {text}"));
                    }
                }
            }
        }
    }
    println!("{reached:?}: {} wrong ends", wrong.len());
    assert!(reached.iter().all(|(_, cases)| *cases > 0), "{reached:?}");
    assert_eq!(wrong, [""; 0]);
}

/// Those for zeros without end, for a full disk and for a new terminal, and a disk that does not exist.
#[test]
#[ignore = "needs root"]
fn device_in_place_of_a_file_of_the_store_is_refused_or_replaced() {
    const FILE: &str = "it is not a file";
    let watched = Watched::start();
    for device in [["c", "1", "5"], ["c", "1", "7"], ["c", "5", "2"], ["b", "7", "250"]] {
        for (suffix, why) in
            [("", FILE), (".lock", FILE), (".tmp", ""), (".unreadable", ""), (".unsaved-1", "")]
        {
            let folder = Folder::new();
            let store = folder.store();
            save(&store, &expired("old"));
            let mut path = store.path(&name()).into_os_string();
            path.push(suffix);
            let _ = fs::remove_file(&path);
            let mut mknod = Command::new("mknod");
            assert!(mknod.args(["-m", "600"]).arg(&path).args(device).status().unwrap().success());
            let mut part = part("watched", &store);
            let child = part.env("SERVER", watched.address.to_string()).spawn().unwrap();
            let output = stdout(&ended(child, SOON));
            let case = format!("{device:?} {suffix}: {output}");
            assert!(said(&output, "WARNED ").is_none(), "{case}");
            if why.is_empty() {
                assert_eq!((said(&output, "TOKEN "), watched.requests()), (Some("new"), (1, 1)), "{case}");
                assert_eq!(access_token(store.load(&name()).unwrap().unwrap().token()), "new", "{case}");
            } else {
                let doing = if suffix.is_empty() { "read" } else { "open" };
                let path = Path::new(&path).display();
                let text = format!("Store could not {doing} {path}: {why}");
                assert_eq!(
                    (said(&output, "REFUSED "), watched.requests()),
                    (Some(text.as_str()), (0, 0)),
                    "{case}"
                );
            }
        }
    }
}

/// Runs a role as root of a mount namespace of its own, after these lines of shell.
fn in_a_namespace(part_name: &str, folder: &Folder, lines: &str) -> String {
    let part = part(part_name, &folder.store());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c"]).arg(format!("{lines} && exec \"$0\" \"$@\""));
    command.arg(part.get_program()).args(part.get_args()).env("DISK", &folder.0);
    command.envs(part.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stdout(&ended(child, SOON))
}

#[test]
#[ignore = "needs root"]
fn no_request_is_sent_when_the_disk_is_full() {
    let folder = Folder::new();
    let mount = "mount -t tmpfs -o size=64k,nr_inodes=8,mode=700 none \"$DISK\"";
    println!("{}", in_a_namespace("no-space", &folder, mount));
    assert!(!folder.store().folder().exists(), "the disk was not the host's");
}

fn on_disks_without_space(store: &FileStore) {
    let ask = |why: Option<&str>| {
        let source = source(store, Once);
        match (source.token(Duration::ZERO), why) {
            (Ok(token), None) => assert_eq!(access_token(&token), "new"),
            (Err(error), Some(why)) => {
                assert_eq!(format!("{:?} {error}", error.kind()), no_room(store, why));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(leftovers(store), [""; 0]);
    };
    let disk = PathBuf::from(var("DISK"));
    let full = format!("no storage space; {ELSEWHERE}");
    save(store, &expired("old"));
    let filler = disk.join("filler");
    let more = io::copy(&mut io::repeat(b'x').take(1 << 20), &mut File::create(&filler).unwrap());
    assert_eq!(more.unwrap_err().kind(), io::ErrorKind::StorageFull);
    ask(Some(&full));
    // There is space for the record, but not for the largest answer.
    File::options().write(true).open(&filler).unwrap().set_len(40 * 1024).unwrap();
    ask(Some(&full));
    fs::remove_file(&filler).unwrap();
    ask(None);

    save(store, &expired("old"));
    let mut number = 0;
    while File::create(disk.join(format!("inode-{number}"))).is_ok() {
        number += 1;
    }
    ask(Some(&full));
    fs::remove_file(disk.join("inode-0")).unwrap();
    ask(None);

    save(store, &expired("old"));
    remount("remount,ro");
    let error = source(store, Once).token(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
}

#[test]
#[ignore = "needs root"]
fn files_of_another_user_are_refused() {
    let why = "it belongs to someone else, or others may write to it: run chown and chmod 700 on it";
    for (suffix, mode, doing) in [
        ("json", 0o600, "read"),
        ("json", 0, "read"),
        ("json.lock", 0o600, "open"),
        ("json.lock", 0o666, "open"),
        // Files of a killed process are removed, whoever owns them.
        ("json.tmp", 0o600, ""),
        ("json.unreadable", 0o600, ""),
    ] {
        let folder = Folder::new();
        let store = folder.store();
        save(&store, &expired("old"));
        let path = store.path(&name()).with_extension(suffix);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        let done = store.lock(&name(), Duration::ZERO).and_then(|mut locked| {
            locked.load()?;
            locked.prepare()?;
            locked.save(&expired("new"))
        });
        if doing.is_empty() {
            done.unwrap();
        } else {
            refused(done, &format!("could not {doing} {}: {why}", path.display()));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn all_path_checks_run_without_proc() {
    let folder = Folder::new();
    println!("{}", in_a_namespace("no-proc", &folder, "mount -t tmpfs none /proc"));
}

fn without_proc(store: &FileStore) {
    assert!(!Path::new("/proc/self").exists());
    let parent = store.folder().parent().unwrap();
    save(store, &Record::new(living("kept"), 0));
    assert_eq!(access_token(store.load(&name()).unwrap().unwrap().token()), "kept");
    let no = |doing: &str, path: &Path, why: &str| format!("could not {doing} {}: {why}", path.display());
    let others = "it belongs to someone else, or others may write to it: run chown and chmod 700 on it";
    let above = "others can replace it, because they can write to a folder above it that has no sticky bit: run \
                 chmod go-w on that, or use another folder";
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let lock = || store.lock(&name(), Duration::ZERO).map(drop);

    let path = store.path(&name());
    chown(&path, Some(NOBODY), None).unwrap();
    refused(store.load(&name()), &no("read", &path, others));
    chown(&path, Some(0), None).unwrap();
    chown(store.folder(), Some(NOBODY), None).unwrap();
    refused(store.load(&name()), &no("read", store.folder(), others));
    refused(lock(), &no("use", store.folder(), others));
    chown(store.folder(), Some(0), None).unwrap();
    // If the folder cannot be held open, the checks of its parents are stricter.
    for bad in [0o777, 0o775, 0o720] {
        mode(parent, bad);
        refused(lock(), &no("use", store.folder(), above));
    }
    mode(parent, 0o755);
    chown(parent, Some(NOBODY), None).unwrap();
    refused(lock(), &no("use", store.folder(), above));
    mode(parent, 0o1777);
    chown(parent, Some(0), None).unwrap();
    lock().unwrap();
    mode(parent, 0o755);
    lock().unwrap();
}

// Other programs.

/// Saves without the lock, as another program may, and then finds its refresh token used up.
struct Overtaken {
    flow: ClientCredentials,
    path: PathBuf,
    content: Option<Vec<u8>>,
}

impl Grant for Overtaken {
    fn token(&self, http: &Transport, previous: Option<&Token>) -> Result<Token, keyfob::Error> {
        if previous.is_some_and(|previous| access_token(previous) == "newer-but-late") {
            return Ok(living("renewed"));
        }
        if let Some(content) = &self.content {
            let theirs = self.path.with_extension("theirs");
            fs::write(&theirs, content).unwrap();
            fs::set_permissions(&theirs, Permissions::from_mode(0o600)).unwrap();
            fs::rename(&theirs, &self.path).unwrap();
        }
        self.flow.run(http)
    }
}

/// Answers every request with `invalid_grant`.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 8192]);
            let _ = connection.write_all(
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\
                  Connection: close\r\n\r\n{\"error\":\"invalid_grant\"}",
            );
        }
    });
    url
}

#[test]
fn record_written_by_another_program_wins_over_invalid_grant() {
    let (url, folder) = (refusing(), Folder::new());
    let (store, others) = (folder.store(), FileStore::new(folder.0.join("others")));
    let path = store.path(&name());
    let written = |record: &Record| {
        save(&others, record);
        fs::read(others.path(&name())).unwrap()
    };
    let login = Err(ErrorKind::LoginRequired);
    for (content, expected) in [
        (Some(written(&Record::new(living("newer"), 0))), Ok("newer")),
        // The refresh token of this record is valid.
        (Some(written(&expired("newer-but-late"))), Ok("renewed")),
        (Some(b"{".to_vec()), login),
        (None, login),
    ] {
        save(&store, &expired("old"));
        let before = fs::read(&path).unwrap();
        let flow = ClientCredentials::new(&url, ClientAuth::secret_jwt("client", "k".repeat(32)));
        let overtaken = Overtaken { flow, path: path.clone(), content: content.clone() };
        let token = source(&store, overtaken).token(Duration::ZERO);
        let token = token.as_ref().map(|token| access_token(token)).map_err(keyfob::Error::kind);
        assert_eq!(token, expected);
        let kept = store.load(&name()).unwrap();
        match expected {
            Ok(expected) => assert_eq!(access_token(kept.unwrap().token()), expected),
            Err(_) if content.is_some() => assert!(kept.is_none(), "quarantined"),
            Err(_) => assert_eq!(fs::read(&path).unwrap(), before, "nothing was removed"),
        }
    }
}
