//! The one-shot loopback listener that receives the code (RFC 8252 7.3).
//!
//! One thread, the caller's: it looks at each connection in turn and naps in between, a few milliseconds at most. What
//! a connection may take (bytes, time, a place among others) is bounded, so that no number of hostile ones keeps the
//! right one out.
//!
//! The address of a callback holds the code, so no page is shown there: the browser is sent on to an address without
//! one. For the callback of the login it asks for that page on the connection that it has already, and the port is
//! closed before it is answered.

mod page;

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::callback::{Failed, Rejection, Stray};
use crate::clock::Deadline;
use crate::endpoint::Endpoint;
use crate::{Error, ErrorKind, Secret, Token, check};
use page::Page;

/// How many connections are looked at; one more drops the oldest.
const MAX_CONNECTIONS: usize = 64;

/// The longest request. A browser's is a tenth of it.
const MAX_REQUEST: usize = 16 * 1024;

/// How long a request may take to come in.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to hang up after an answer.
const HANG_UP_TIME: Duration = Duration::from_secs(1);

/// How long the browser may take to ask for the page at the end of a login.
const FOLLOW_TIME: Duration = Duration::from_secs(1);

const SHORTEST_NAP: Duration = Duration::from_micros(250);
const LONGEST_NAP: Duration = Duration::from_millis(5);

/// Where the browser is sent after the login: exactly what the server knows.
#[derive(Clone)]
pub(crate) struct RedirectUri {
    text: String,
    /// Set if it can be listened on.
    local: Option<Local>,
}

#[derive(Clone)]
struct Local {
    ip: IpAddr,
    /// 0: any.
    port: u16,
    path: String,
    path_and_query: String,
}

impl RedirectUri {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        const WHAT: &str = "redirect URI";
        check::value(WHAT, text.as_bytes())?;
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
            // RFC 8252 7.1: another program's scheme.
            let valid = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
            if scheme.is_empty() || !scheme.bytes().all(valid) || text.contains('#') {
                return Err(Error::invalid("the redirect URI is not absolute, or has a fragment ('#')"));
            }
            return Ok(Self { text: text.to_owned(), local: None });
        }
        let endpoint = Endpoint::unasked(WHAT, text)?;
        let (origin, uri) = (endpoint.origin(), endpoint.uri());
        // RFC 8252 8.3: `localhost` may mean another address, or a network interface.
        let ip = match origin.host() {
            "127.0.0.1" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
            "[::1]" => Some(IpAddr::from(Ipv6Addr::LOCALHOST)),
            _ => None,
        };
        let local = ip.filter(|_| origin.is_plain_http()).map(|ip| Local {
            ip,
            port: origin.port(),
            path: uri.path().to_owned(),
            path_and_query: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        });
        if local.is_none() && origin.port() == 0 {
            return Err(Error::invalid(
                "the redirect URI has port 0, which means any free port of http://127.0.0.1 or http://[::1] only",
            ));
        }
        Ok(Self { text: text.to_owned(), local })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The redirect URI with the port that was free, and the listener on it or why there is none.
    pub(crate) fn listen(&self) -> Result<(Self, Result<Listener, Error>), Error> {
        let Some(local) = &self.local else {
            let text = "the callback cannot be waited for: the redirect URI is not on http://127.0.0.1 or \
                        http://[::1]; change it, or paste the callback URL";
            return Ok((self.clone(), Err(Error::invalid(text))));
        };
        let listener = Listener::bind(local);
        if local.port != 0 {
            return Ok((self.clone(), listener));
        }
        let listener = listener?;
        let text = format!("http://{}{}", listener.address, local.path_and_query);
        Ok((Self { text, local: None }, Ok(listener)))
    }
}

/// An open port of this machine, for one login.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    path: String,
}

impl Listener {
    fn bind(local: &Local) -> Result<Self, Error> {
        let address = SocketAddr::new(local.ip, local.port);
        let bound = TcpListener::bind(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, socket))
        });
        let (address, socket) = bound.map_err(|e| {
            let why = match e.kind() {
                io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
                kind => kind.to_string(),
            };
            let text = format!(
                "could not listen on {address} for the callback: {why}; end what uses it, or take another redirect \
                 URI (port 0 means any free port)"
            );
            Error::new(ErrorKind::Network, text).with_source(&e)
        })?;
        Ok(Self { socket, address, path: local.path.clone() })
    }

    /// The page that a callback leads to.
    fn clean_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    fn clean_url(&self, name: &str) -> String {
        format!("http://{}{}", self.address, self.clean_path(name))
    }

    /// Waits for the callback that `judge` takes for that of this login, and closes the port. At the deadline: the
    /// last one that was turned away.
    pub(crate) fn receive(
        self,
        deadline: &Deadline,
        judge: &mut dyn FnMut(&[u8]) -> Result<Secret, Rejection>,
    ) -> Result<(Result<Secret, Failed>, Browser), Option<Stray>> {
        let mut connections = VecDeque::with_capacity(MAX_CONNECTIONS);
        let mut scratch = Secret::default();
        let scratch = scratch.extend_zeroed(MAX_REQUEST);
        let mut last_stray = None;
        let mut nap = SHORTEST_NAP;
        loop {
            let mut busy = self.accept(&mut connections);
            for _ in 0..connections.len() {
                let Some(mut connection) = connections.pop_front() else { break };
                let request = match connection.advance(scratch) {
                    Progress::Request(request) => request,
                    Progress::Gone => continue,
                    part => {
                        busy |= matches!(part, Progress::Some);
                        connections.push_back(connection);
                        continue;
                    }
                };
                busy = true;
                let answer = match self.judge(&request, judge) {
                    Answer::End(outcome) => {
                        let browser = self.end(connection, scratch);
                        return Ok((outcome, browser));
                    }
                    Answer::Stray(stray) => {
                        last_stray = Some(stray);
                        page::moved(&self.clean_url(stray.name()), "close")
                    }
                    Answer::Page(page) => page.response(),
                };
                if connection.answer(&answer) {
                    connections.push_back(connection);
                }
            }
            nap = if busy { SHORTEST_NAP } else { LONGEST_NAP.min(nap * 2) };
            let late = if busy { deadline.has_passed() } else { !deadline.sleep(nap) };
            if late {
                return Err(last_stray);
            }
        }
    }

    /// Whether there was one.
    fn accept(&self, connections: &mut VecDeque<Connection>) -> bool {
        let mut some = false;
        // No more than there is room for, so that each is looked at.
        for _ in 0..MAX_CONNECTIONS {
            // An error is that of one connection, or passes.
            let Ok((stream, _)) = self.socket.accept() else { break };
            some = true;
            if stream.set_nonblocking(true).is_ok() {
                if connections.len() == MAX_CONNECTIONS {
                    connections.pop_front();
                }
                connections.push_back(Connection::new(stream));
            }
        }
        some
    }

    fn judge(
        &self,
        request: &Result<Request, &'static str>,
        judge: &mut dyn FnMut(&[u8]) -> Result<Secret, Rejection>,
    ) -> Answer {
        let request = match request {
            Ok(request) => request,
            Err(status) => return Answer::Page(Page::refusal(status)),
        };
        let target = match request.target(self.address) {
            Ok(target) => target,
            Err(status) => return Answer::Page(Page::refusal(status)),
        };
        let (path, query) = match target.iter().position(|&b| b == b'?') {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, &[][..]),
        };
        if path != self.path.as_bytes() {
            let stray = Stray::ALL.into_iter().find(|stray| path == self.clean_path(stray.name()).as_bytes());
            return Answer::Page(stray.map_or_else(|| Page::refusal("404 Not Found"), Page::stray));
        }
        match judge(query) {
            Ok(code) => Answer::End(Ok(code)),
            Err(Rejection::Failed(failed)) => Answer::End(Err(failed)),
            Err(Rejection::Stray(stray)) => Answer::Stray(stray),
        }
    }

    /// Closes the port, and has the browser ask for the page that will say how the login ended.
    fn end(self, mut connection: Connection, scratch: &mut [u8]) -> Browser {
        const NAME: &str = "done";
        let (path, address) = (self.clean_path(NAME), self.address);
        let moved = page::moved(&self.clean_url(NAME), "keep-alive");
        drop(self);
        let asked = || {
            connection.stream.set_nonblocking(false).ok()?;
            connection.stream.write_all(moved.as_bytes()).ok()?;
            let deadline = Deadline::after(FOLLOW_TIME);
            (connection.received, connection.until) = (Some(Secret::default()), deadline);
            while !deadline.has_passed() {
                connection.stream.set_read_timeout(Some(deadline.remaining())).ok()?;
                match connection.advance(scratch) {
                    Progress::Request(Ok(request)) => {
                        let asked = request.target(address).is_ok_and(|target| target == path.as_bytes());
                        return asked.then_some(connection.stream);
                    }
                    Progress::None | Progress::Some => {}
                    Progress::Gone | Progress::Request(Err(_)) => return None,
                }
            }
            None
        };
        Browser(asked())
    }
}

/// What a request is answered with.
enum Answer {
    End(Result<Secret, Failed>),
    Stray(Stray),
    Page(Page),
}

/// The browser of the person who logged in, if it waits for a page.
pub(crate) struct Browser(Option<TcpStream>);

impl Browser {
    /// Shows how the login ended.
    pub(crate) fn show(self, outcome: &Result<Token, Error>) {
        if let Some(mut stream) = self.0 {
            // The login has ended: a browser that is gone by now changes nothing.
            let _ = stream.set_write_timeout(Some(HANG_UP_TIME));
            let _ = stream.write_all(Page::outcome(outcome).response().as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// A client, read as far as it has written.
struct Connection {
    stream: TcpStream,
    /// `None` once it was answered: what still comes is read and dropped, since a close would take the answer back.
    received: Option<Secret>,
    until: Deadline,
}

enum Progress {
    None,
    Some,
    Gone,
    /// Or the status to answer it with.
    Request(Result<Request, &'static str>),
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, received: Some(Secret::default()), until: Deadline::after(REQUEST_TIME) }
    }

    fn advance(&mut self, scratch: &mut [u8]) -> Progress {
        let room = self.received.as_ref().map_or(scratch.len(), |received| MAX_REQUEST - received.len());
        let len = match self.stream.read(&mut scratch[..room]) {
            _ if self.until.has_passed() => return Progress::Gone,
            Ok(0) => return Progress::Gone,
            Ok(len) => len,
            Err(e) => match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                    return Progress::None;
                }
                _ => return Progress::Gone,
            },
        };
        let Some(received) = &mut self.received else { return Progress::Some };
        // An end may have come in two parts.
        let new = received.len().saturating_sub(3);
        received.extend(&scratch[..len]);
        let bytes = received.expose();
        if bytes[new..].windows(4).any(|window| window == b"\r\n\r\n") {
            return Progress::Request(Request::parse(bytes));
        }
        if bytes.len() < MAX_REQUEST {
            return Progress::Some;
        }
        let has_line = bytes.contains(&b'\n');
        let status = if has_line { "431 Request Header Fields Too Large" } else { "414 URI Too Long" };
        Progress::Request(Err(status))
    }

    /// Whether it is worth looking at any longer.
    fn answer(&mut self, answer: &str) -> bool {
        self.received = None;
        self.until = Deadline::after(HANG_UP_TIME);
        // Every answer fits into the buffer of a socket: a client that has no room for it gets none.
        self.stream.write(answer.as_bytes()).is_ok_and(|len| len == answer.len())
            && self.stream.shutdown(Shutdown::Write).is_ok()
    }
}

/// A `GET` with one `Host` (RFC 9112 3.2).
pub(crate) struct Request {
    target: Secret,
    host: Secret,
}

impl Request {
    /// Or the status to answer with.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, &'static str> {
        const BAD: &str = "400 Bad Request";
        let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let words: Vec<_> = lines.next().unwrap_or_default().split(|&b| b == b' ').collect();
        let [method, target, version] = words[..] else { return Err(BAD) };
        if !version.starts_with(b"HTTP/1.") || !target.starts_with(b"/") {
            return Err(BAD);
        }
        if method != b"GET" {
            return Err("405 Method Not Allowed");
        }
        let mut hosts = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let colon = line.iter().position(|&b| b == b':').ok_or(BAD)?;
            let (name, value) = line.split_at(colon);
            if name.eq_ignore_ascii_case(b"host") {
                hosts.push(value[1..].trim_ascii());
            }
        }
        let [host] = hosts[..] else { return Err(BAD) };
        Ok(Self { target: target.to_vec().into(), host: host.to_vec().into() })
    }

    /// The target of a request that is meant for this address: a name that someone pointed here (DNS rebinding) is
    /// not.
    pub(crate) fn target(&self, address: SocketAddr) -> Result<&[u8], &'static str> {
        let full = address.to_string();
        // A browser leaves the default port out.
        let short = full.strip_suffix(":80").unwrap_or(&full);
        if ![full.as_bytes(), short.as_bytes()].contains(&self.host.expose()) {
            return Err("421 Misdirected Request");
        }
        Ok(self.target.expose())
    }
}
