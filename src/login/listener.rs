//! [`Listener`]: the loopback listener that receives the callback of one login (RFC 8252 7.3).
//!
//! The listener runs in the caller's thread, reads from each connection in turn, and sleeps for a few milliseconds at most in between. The
//! bytes, the time and the number of connections are limited, so that hostile connections cannot block the right one.
//!
//! The address of a callback contains the code. So the listener shows no page there, but redirects the browser to an address without a
//! code. After the right callback, the listener closes its port and then redirects. The browser requests the page on the same connection.
//! If the browser will not use the connection again, the listener sends the page without a redirect.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Advice, Error, ErrorKind};
use crate::login::callback::{Failed, Rejection, UnrelatedCallback, is_same};
use crate::login::connection::{CLOSE_TIME, Connection, Progress};
use crate::login::page;
use crate::login::page::Page;
use crate::login::request::Request;
use crate::secret::Secret;
use crate::sys::random;
use crate::token::Token;
use crate::transport::failure::is_family_missing;

/// The most connections at a time. A further connection closes the oldest one.
const MAX_CONNECTIONS: usize = 64;

/// The most bytes that are read from a connection before the next one has its turn.
const MAX_READ: usize = 16 * 1024;

const SHORTEST_SLEEP: Duration = Duration::from_micros(250);
const LONGEST_SLEEP: Duration = Duration::from_millis(5);

/// The most ports that are tried until one is free in both address families.
const MAX_PORTS: u32 = 16;

/// An open port of this machine, for one login.
pub(crate) struct Listener {
    /// One socket. Two for `localhost`, because a browser may connect to either loopback address.
    sockets: Vec<TcpListener>,
    /// Host and port, as the browser sends them in `Host`.
    authority: String,
    path: String,
    one_time: Option<OneTime>,
}

/// An address that redirects to another one, once.
struct OneTime {
    path: Secret,
    to: Secret,
    is_used: bool,
}

/// The unusable requests that came in place of a callback.
#[derive(Default)]
pub(crate) struct Missed {
    pub(crate) unrelated: Option<UnrelatedCallback>,
    /// The HTTP status that answered the last request that was not a readable `GET`.
    pub(crate) refused: Option<&'static str>,
}

/// How a request is answered.
enum Answer {
    /// The login has ended.
    End(Result<Secret, Failed>),
    Unrelated(UnrelatedCallback),
    /// A redirect to the login.
    Open(Secret),
    Page(Page),
}

impl Listener {
    /// Listens on all `ips` for a callback to `path`, at any free port if the port is 0. `host` is their name in a URL.
    pub(super) fn bind(host: &str, ips: &[IpAddr], port: u16, path: &str) -> Result<Self, Error> {
        let mut tries = if port == 0 { MAX_PORTS } else { 1 };
        loop {
            tries -= 1;
            match bind_all(ips, port) {
                Ok((sockets, port)) => {
                    let authority = format!("{host}:{port}");
                    return Ok(Self { sockets, authority, path: path.to_owned(), one_time: None });
                }
                Err((_, e)) if e.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                Err((address, e)) => {
                    let why = match e.kind() {
                        io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
                        kind => kind.to_string(),
                    };
                    let text = format!(
                        "could not listen on {address} for the callback: {why}; end what uses it, or take another \
                         redirect URI (port 0 means any free port)"
                    );
                    return Err(Error::new(ErrorKind::Network, text).with_source(&e));
                }
            }
        }
    }

    /// Host and port, as a URL has them.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns an address of this listener that nobody can guess. It redirects to `to`, once.
    pub(crate) fn one_time_url(&mut self, to: &str) -> Result<String, Error> {
        let one_time = match &mut self.one_time {
            Some(one_time) => one_time,
            none => {
                let mut path = Secret::from("/");
                path.extend(random::text()?.expose());
                none.insert(OneTime { path, to: Secret::from(to), is_used: false })
            }
        };
        Ok(format!("http://{}{}", self.authority, one_time.path.expose_str().unwrap_or_default()))
    }

    /// Returns the path of a page. It holds no code.
    fn clean_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    fn clean_url(&self, name: &str) -> String {
        format!("http://{}{}", self.authority, self.clean_path(name))
    }

    /// Waits for a callback that `judge` finds to be of this login, then closes the port. At the deadline, returns the last unrelated
    /// callback and the last status by which a request was refused, if there were any.
    pub(crate) fn receive(
        mut self,
        deadline: &Deadline,
        judge: &mut dyn FnMut(&[u8]) -> Result<Secret, Rejection>,
    ) -> Result<(Result<Secret, Failed>, Browser), Missed> {
        let mut connections = VecDeque::with_capacity(MAX_CONNECTIONS);
        let mut scratch = Secret::default();
        let scratch = scratch.extend_zeroed(MAX_READ);
        let mut missed = Missed::default();
        let mut sleep = SHORTEST_SLEEP;
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
                missed.refused = request.as_ref().err().copied().or(missed.refused);
                let answer = match self.judge(&request, judge) {
                    Answer::End(outcome) => {
                        let closes = request.is_ok_and(|request| request.closes);
                        let browser = self.end(connection, closes, scratch);
                        return Ok((outcome, browser));
                    }
                    Answer::Unrelated(unrelated) => {
                        missed.unrelated = Some(unrelated);
                        page::moved(self.clean_url(unrelated.name()).as_bytes(), "close")
                    }
                    Answer::Open(moved) => moved,
                    Answer::Page(page) => Secret::from(page.response()),
                };
                if connection.answer(&answer) {
                    connections.push_back(connection);
                }
            }
            sleep = if busy { SHORTEST_SLEEP } else { LONGEST_SLEEP.min(sleep * 2) };
            let late = if busy { deadline.has_passed() } else { !deadline.sleep(sleep) };
            if late {
                return Err(missed);
            }
        }
    }

    /// Accepts new connections. Returns whether there was one.
    fn accept(&self, connections: &mut VecDeque<Connection>) -> bool {
        let mut some = false;
        // Accepts at most `MAX_CONNECTIONS` at once, so that each connection is read once before a newer one replaces it.
        for socket in &self.sockets {
            for _ in 0..MAX_CONNECTIONS / self.sockets.len() {
                // An error concerns one connection, or is temporary.
                let Ok((stream, _)) = socket.accept() else { break };
                some = true;
                if stream.set_nonblocking(true).is_ok() {
                    if connections.len() == MAX_CONNECTIONS {
                        connections.pop_front();
                    }
                    connections.push_back(Connection::new(stream));
                }
            }
        }
        some
    }

    fn judge(
        &mut self,
        request: &Result<Request, &'static str>,
        judge: &mut dyn FnMut(&[u8]) -> Result<Secret, Rejection>,
    ) -> Answer {
        let request = match request {
            Ok(request) => request,
            Err(status) => return Answer::Page(Page::refusal(status)),
        };
        let target = match request.target(&self.authority) {
            Ok(target) => target,
            Err(status) => return Answer::Page(Page::refusal(status)),
        };
        let (path, query) = match target.iter().position(|&b| b == b'?') {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, &[][..]),
        };
        if let Some(answer) = self.open(path, request) {
            return answer;
        }
        if path != self.path.as_bytes() {
            let unrelated = UnrelatedCallback::ALL
                .into_iter()
                .find(|unrelated| path == self.clean_path(unrelated.name()).as_bytes());
            return Answer::Page(unrelated.map_or_else(|| Page::refusal("404 Not Found"), Page::unrelated));
        }
        match judge(query) {
            Ok(code) => Answer::End(Ok(code)),
            Err(Rejection::Failed(failed)) => Answer::End(Err(failed)),
            Err(Rejection::Unrelated(unrelated)) => Answer::Unrelated(unrelated),
        }
    }

    /// Answers a request for the one-time address. A second request ends the login: one of the two came from somebody else, who may now
    /// have the URL of the login.
    fn open(&mut self, path: &[u8], request: &Request) -> Option<Answer> {
        let one_time = self.one_time.as_mut().filter(|one_time| is_same(&one_time.path, path))?;
        if request.is_prefetch {
            // The browser fetches the page in advance. It asks again when the person opens the address.
            return Some(Answer::Page(Page::refusal("503 Service Unavailable")));
        }
        if !one_time.is_used {
            one_time.is_used = true;
            return Some(Answer::Open(page::moved(one_time.to.expose(), "close")));
        }
        Some(Answer::End(Err(Failed {
            kind: ErrorKind::Protocol,
            what:
                "the one-time address for the browser was fetched twice, so somebody else may have fetched it"
                    .to_owned(),
            advice: Advice::LogInByHand,
            oauth_error: None,
        })))
    }

    /// Closes the port, and redirects the browser to the page that will say how the login ended. A browser that closes its connection
    /// could not follow, so it stays at the address with the code.
    fn end(self, connection: Connection, closes: bool, scratch: &mut [u8]) -> Browser {
        const NAME: &str = "done";
        let path = self.clean_path(NAME);
        let moved = page::moved(self.clean_url(NAME).as_bytes(), "keep-alive");
        let Self { sockets, authority, .. } = self;
        drop(sockets);
        if closes {
            return Browser(connection.into_blocking());
        }
        Browser(connection.redirect(&moved, scratch, |request| {
            request.target(&authority).is_ok_and(|target| target == path.as_bytes())
        }))
    }
}

/// Listens at each address. If the port is 0, uses the free port of the first address for all. Returns the address that failed.
fn bind_all(ips: &[IpAddr], mut port: u16) -> Result<(Vec<TcpListener>, u16), (SocketAddr, io::Error)> {
    let mut sockets: Vec<TcpListener> = Vec::with_capacity(ips.len());
    for &ip in ips {
        let address = SocketAddr::new(ip, port);
        let bound = TcpListener::bind(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?.port(), socket))
        });
        match bound {
            Ok((bound, socket)) => {
                port = bound;
                sockets.push(socket);
            }
            // If IPv6 is switched off, no browser uses it, and nobody else can listen there.
            Err(e) if !sockets.is_empty() && is_family_missing(&e) => {}
            Err(e) => return Err((address, e)),
        }
    }
    Ok((sockets, port))
}

/// The browser of the person who logged in, if it waits for a page.
pub(crate) struct Browser(Option<TcpStream>);

impl Browser {
    /// Shows how the login ended.
    pub(crate) fn show(self, outcome: &Result<Token, Error>) {
        if let Some(mut stream) = self.0 {
            // The login has ended, so it does not matter whether the browser is still there.
            let _ = stream.set_write_timeout(Some(CLOSE_TIME));
            let _ = stream.write_all(Page::outcome(outcome).response().as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}
