//! A scripted server on loopback, whose answers may break the protocol, and helpers for several test files.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "the server and what is measured run on the machine's clock")]

use std::fmt::Debug;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use keyfob::{Error, ErrorKind, Token, TokenSource};

/// A step of a server on one connection. After the last step it closes.
#[derive(Clone)]
pub enum Step {
    /// Reads one request.
    Read,
    /// Reads the header section of a request, and leaves the rest unread.
    ReadHead,
    Send(Vec<u8>),
    /// Sends one byte at a time, with this pause.
    Drip(Vec<u8>, Duration),
    /// Sends the first text once, then the second again and again.
    Flood(Vec<u8>, Vec<u8>),
    Pause(Duration),
    /// Waits until other connections reach this step.
    Meet(Arc<Barrier>),
    /// Sends nothing and keeps the connection open.
    Hold,
    /// Closes while a request is unread, which causes a reset.
    Reset,
    /// Answers each request until the client closes.
    Serve(Arc<Answer>),
}

pub type Answer = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

/// A request as received.
#[derive(Clone, Debug)]
pub struct Request {
    /// The number of the connection, counted from 0.
    pub connection: usize,
    /// Request line and header fields.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of a form field that needs no decoding.
    pub fn form(&self, name: &str) -> Option<&str> {
        let mut pairs =
            std::str::from_utf8(&self.body).ok()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// Returns the request at the start of `bytes` and its length, once it is complete.
    fn parse(connection: usize, bytes: &[u8]) -> Option<(Self, usize)> {
        let head_len = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
        let mut request = Self { connection, head, body: Vec::new() };
        let rest = &bytes[head_len..];
        let body_len = if request.header("transfer-encoding").is_some() {
            rest.windows(5).position(|end| end == b"0\r\n\r\n")? + 5
        } else {
            request.header("content-length").map_or(0, |len| len.parse().expect("a length"))
        };
        request.body = rest.get(..body_len)?.to_vec();
        Some((request, head_len + body_len))
    }
}

type Script = dyn Fn(usize) -> Vec<Step> + Send + Sync;

struct Shared {
    script: Box<Script>,
    stop: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    open: Mutex<Vec<Weak<TcpStream>>>,
}

/// A scripted server. It stops when dropped.
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Makes a script for each connection from its number, counted from 0.
    pub fn scripted(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), Duration::ZERO, Box::new(script))
    }

    /// Answers every request, and keeps the connections.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let answer: Arc<Answer> = Arc::new(answer);
        Self::scripted(move |_| vec![Step::Serve(answer.clone())])
    }

    /// Refuses connections for a while before it starts. Nobody else may use this port meanwhile.
    pub fn late(
        port: SocketAddr,
        by: Duration,
        script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind(port).unwrap(), by, Box::new(script))
    }

    fn on(listener: TcpListener, late: Duration, script: Box<Script>) -> Self {
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            stop: AtomicBool::default(),
            connections: AtomicUsize::default(),
            requests: Mutex::default(),
            open: Mutex::default(),
        });
        let listener = if late.is_zero() { Some(listener) } else { None };
        let its = shared.clone();
        let acceptor = thread::spawn(move || {
            let listener = listener.unwrap_or_else(|| {
                thread::sleep(late);
                TcpListener::bind(addr).unwrap()
            });
            its.accept(&listener);
        });
        Self { addr, shared, acceptor: Some(acceptor) }
    }

    /// `http://127.0.0.1:` and the port.
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// The requests received.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        let acceptor = self.acceptor.take().expect("it runs until now");
        while !acceptor.is_finished() {
            // Ends `accept`.
            let _ = TcpStream::connect(self.addr);
            thread::sleep(Duration::from_millis(1));
        }
        let ended = acceptor.join();
        if !thread::panicking() {
            ended.expect("the server does not fail");
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        let mut handlers = Vec::new();
        loop {
            let (stream, _) = listener.accept().unwrap();
            if self.stop.load(SeqCst) {
                break;
            }
            let stream = Arc::new(stream);
            stream.set_nodelay(true).unwrap();
            lock(&self.open).push(Arc::downgrade(&stream));
            let number = self.connections.fetch_add(1, SeqCst);
            let shared = self.clone();
            handlers.push(thread::spawn(move || {
                let mut connection =
                    Connection { number, stream, shared, unread: Vec::new(), stopped: false };
                for step in (connection.shared.script)(number) {
                    connection.play(step);
                }
            }));
        }
        for stream in lock(&self.open).iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for handler in handlers {
            handler.join().unwrap();
        }
    }
}

struct Connection {
    number: usize,
    /// There is no other strong reference, so dropping this one closes the connection.
    stream: Arc<TcpStream>,
    shared: Arc<Shared>,
    unread: Vec<u8>,
    /// The client or the server has ended.
    stopped: bool,
}

impl Connection {
    fn play(&mut self, step: Step) {
        if self.stopped || self.shared.stop.load(SeqCst) {
            return;
        }
        match step {
            Step::Read => {
                self.read();
            }
            Step::ReadHead => {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if !matches!((&*self.stream).read(&mut byte), Ok(1)) {
                        self.stopped = true;
                        break;
                    }
                    head.extend(byte);
                }
            }
            Step::Send(bytes) => self.send(&bytes),
            Step::Drip(bytes, every) => {
                for byte in bytes {
                    self.play(Step::Send(vec![byte]));
                    self.play(Step::Pause(every));
                }
            }
            Step::Flood(first, then) => {
                self.send(&first);
                let block = then.repeat(16 * 1024 / then.len() + 1);
                while !self.stopped {
                    self.send(&block);
                }
            }
            Step::Pause(pause) => thread::sleep(pause),
            Step::Meet(others) => drop(others.wait()),
            Step::Hold => {
                let mut buffer = [0; 4096];
                while matches!((&*self.stream).read(&mut buffer), Ok(1..)) {}
                self.stopped = true;
            }
            Step::Reset => {
                self.peek();
                self.stopped = true;
            }
            Step::Serve(answer) => {
                while let Some(request) = self.read() {
                    self.send(&answer(&request));
                }
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stopped |= (&*self.stream).write_all(bytes).is_err();
    }

    fn read(&mut self) -> Option<Request> {
        loop {
            if let Some((request, len)) = Request::parse(self.number, &self.unread) {
                self.unread.drain(..len);
                lock(&self.shared.requests).push(request.clone());
                return Some(request);
            }
            let mut buffer = [0; 16 * 1024];
            match (&*self.stream).read(&mut buffer) {
                Ok(n @ 1..) => self.unread.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    self.stopped = true;
                    return None;
                }
            }
        }
    }

    /// Records a request without reading its body.
    fn peek(&mut self) {
        let mut buffer = vec![0; 256 * 1024];
        let mut seen = 0;
        while let Ok(n @ 1..) = self.stream.peek(&mut buffer) {
            if let Some((request, _)) = Request::parse(self.number, &buffer[..n]) {
                lock(&self.shared.requests).push(request);
                return;
            }
            if n == seen {
                thread::sleep(Duration::from_millis(1));
            }
            seen = n;
        }
    }
}

/// A listener whose accept queue is full: a new connection receives no answer.
pub struct FullBacklog {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl FullBacklog {
    /// `None` if the queue cannot be filled on this system.
    pub fn new() -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        // One connection without an answer may be chance, two are not.
        let mut unanswered = 0;
        while unanswered < 2 {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
                Ok(stream) if queued.len() < 8192 => queued.push(stream),
                Err(e) if e.kind() == io::ErrorKind::TimedOut => unanswered += 1,
                _ => return None,
            }
        }
        Some(Self { listener, _queued: queued })
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}

/// An answer with the right length.
pub fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let separator = if headers.is_empty() { "" } else { "\r\n" };
    let mut bytes =
        format!("HTTP/1.1 {status} Status\r\n{headers}{separator}Content-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

#[track_caller]
pub fn fails<T: Debug>(result: Result<T, Error>, kind: ErrorKind, text: &str, case: &str) {
    let error = result.expect_err(case);
    assert_eq!((error.to_string().as_str(), error.kind()), (text, kind), "{case}");
}

pub fn token(text: &str) -> Token {
    Token::new(text, SystemTime::UNIX_EPOCH).unwrap()
}

/// A source that always gives the same token.
pub struct Fixed(pub &'static str);

impl TokenSource for Fixed {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        Ok(Arc::new(token(self.0)))
    }

    fn invalidate(&self, _: &Token) {}
}

/// Returns a command that runs an ignored test of the same file in a process of its own.
pub fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command
}

/// Returns the result of a call and how long it took, minus the delay that a busy machine caused.
pub fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let (start, lag) = (Instant::now(), lag());
    let result = call();
    (result, start.elapsed().saturating_sub(self::lag().saturating_sub(lag)))
}

/// Returns the sum of the delays with which a sleeping thread woke up so far. The sum shows how busy the machine is.
fn lag() -> Duration {
    const NAP: Duration = Duration::from_millis(5);
    static LAG: AtomicU64 = AtomicU64::new(0);
    static SLEEPER: Once = Once::new();
    SLEEPER.call_once(|| {
        thread::spawn(|| {
            loop {
                let start = Instant::now();
                thread::sleep(NAP);
                let late = start.elapsed().saturating_sub(2 * NAP);
                LAG.fetch_add(u64::try_from(late.as_micros()).unwrap(), SeqCst);
            }
        });
    });
    Duration::from_micros(LAG.load(SeqCst))
}

/// Runs each case on a thread of its own, sixteen at a time, because most of them wait.
pub fn in_parallel<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cases.len().min(16) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, SeqCst)) {
                    run(case);
                }
            });
        }
    });
}

/// Returns a line of `/proc/self/status`, in KiB.
pub fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
