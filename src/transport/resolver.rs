//! Looks up the addresses of host names, within a deadline and without a thread for each request.
//!
//! The system's resolver cannot be interrupted, so a lookup that must end in time needs a thread. ureq starts one for every request that
//! has a time-out, even for an address literal. Here address literals and `localhost` need no thread. Each name has at most one short-lived
//! thread at a time, and all callers share its result. The result is kept for 30 seconds.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, thread};

use crate::clock::Deadline;

const KEPT_FOR: Duration = Duration::from_secs(30);
const MAX_KEPT: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// The name does not exist, or has no address.
    NotFound,
    TimedOut,
    /// No name server gave a usable answer.
    NoAnswer,
    /// The system could not start the thread for the lookup.
    NoThread,
    /// An error code of the system, such as too many open files.
    System(i32),
}

impl ResolveError {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // WSATRY_AGAIN and WSANO_RECOVERY; WSAHOST_NOT_FOUND and WSANO_DATA.
            Some(11002 | 11003) if cfg!(windows) => return Self::NoAnswer,
            Some(11001 | 11004) if cfg!(windows) => return Self::NotFound,
            Some(code) => return Self::System(code),
            None => {}
        }
        // For `EAI_AGAIN` and `EAI_FAIL` the standard library keeps only the text, which differs between glibc and musl.
        let text = error.to_string();
        let has = |words: &str| text.contains(words);
        if has("Temporary failure") || has("Non-recoverable") || has("Try again") {
            Self::NoAnswer
        } else {
            Self::NotFound
        }
    }
}

/// Returns the error if no file can be opened. The system's resolver needs two at a time, and only says that it found nothing.
fn shortage() -> Option<ResolveError> {
    /// `ENFILE` and `EMFILE` of every Unix.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    let open = || File::open("/");
    let error = open().and_then(|one| open().map(|other| (one, other))).err()?;
    let number = error.raw_os_error().filter(|number| cfg!(unix) && TOO_MANY_FILES.contains(number));
    number.map(ResolveError::System)
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host name was not resolved")
    }
}

impl std::error::Error for ResolveError {}

type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    lookup: Box<Lookup>,
    names: Mutex<Names>,
    changed: Condvar,
}

/// At most [`MAX_KEPT`], and those that are being looked up. A map would be faster, but it would make the program larger.
#[derive(Default)]
struct Names(Vec<((String, u16), Entry)>);

impl Names {
    fn get_mut(&mut self, name: &(String, u16)) -> Option<&mut Entry> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, entry)| entry)
    }

    fn insert(&mut self, name: &(String, u16), entry: Entry) {
        match self.get_mut(name) {
            Some(known) => *known = entry,
            None => self.0.push((name.clone(), entry)),
        }
    }
}

enum Entry {
    /// A thread looks it up.
    Pending,
    Known(Vec<SocketAddr>, Deadline),
    /// The callers that waited receive this error. The next caller starts another lookup.
    Failed(ResolveError),
}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self::with_lookup(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    pub(crate) fn with_lookup(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { lookup: Box::new(lookup), names: Mutex::default(), changed: Condvar::new() }))
    }

    /// Returns the addresses of a host. Waits at most `within`, or with `None` as long as the lookup takes.
    pub(crate) fn resolve(
        &self,
        host: &str,
        port: u16,
        within: Option<Duration>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        if host.eq_ignore_ascii_case("localhost") {
            // RFC 6761 6.3: localhost is not looked up, because a name server could answer with any address.
            return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
        }
        self.resolve_name(
            &(host.to_ascii_lowercase(), port),
            Deadline::after(within.unwrap_or(Duration::MAX)),
        )
    }

    fn resolve_name(
        &self,
        name: &(String, u16),
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut names = self.lock();
        let mut waited = false;
        loop {
            match names.get_mut(name) {
                Some(Entry::Known(addrs, until)) if waited || !until.has_passed() => return Ok(addrs.clone()),
                Some(Entry::Failed(error)) if waited => return Err(*error),
                Some(Entry::Pending) => {}
                _ => self.start_lookup(&mut names, name)?,
            }
            let left = deadline.remaining();
            if left.is_zero() {
                return Err(ResolveError::TimedOut);
            }
            names = self.0.changed.wait_timeout(names, left).unwrap_or_else(PoisonError::into_inner).0;
            waited = true;
        }
    }

    fn start_lookup(&self, names: &mut Names, name: &(String, u16)) -> Result<(), ResolveError> {
        if names.0.len() >= MAX_KEPT {
            names.0.retain(|(_, entry)| matches!(entry, Entry::Pending));
        }
        let (resolver, asked) = (self.clone(), name.clone());
        thread::Builder::new()
            .name("keyfob-resolver".to_owned())
            .spawn(move || {
                let _guard = CompletionGuard(&resolver, &asked);
                let entry = match (resolver.0.lookup)(&asked.0, asked.1) {
                    Ok(addrs) if !addrs.is_empty() => {
                        Entry::Known(alternating(addrs), Deadline::after(KEPT_FOR))
                    }
                    Ok(_) => Entry::Failed(ResolveError::NotFound),
                    Err(error) => Entry::Failed(shortage().unwrap_or_else(|| ResolveError::of(&error))),
                };
                resolver.lock().insert(&asked, entry);
            })
            .map_err(|_| ResolveError::NoThread)?;
        names.insert(name, Entry::Pending);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the waiting callers when a lookup ends, also if it panics.
struct CompletionGuard<'a>(&'a Resolver, &'a (String, u16));

impl Drop for CompletionGuard<'_> {
    fn drop(&mut self) {
        let mut names = self.0.lock();
        if let Some(pending @ Entry::Pending) = names.get_mut(self.1) {
            *pending = Entry::Failed(ResolveError::NotFound);
        }
        self.0.0.changed.notify_all();
    }
}

/// Orders addresses so that the families alternate, starting with the family of the first one (RFC 8305 4). If one family does not work
/// here, the second try uses the other. Within a family the order stays.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut ordered = Vec::with_capacity(addresses.len());
    let is_first_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv4() == is_first_v4);
    let mut other = other.into_iter();
    for address in first {
        ordered.push(address);
        ordered.extend(other.next());
    }
    ordered.extend(other);
    ordered
}

/// An address literal, with or without the brackets that URLs put around IPv6.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn address_literals_and_localhost_need_no_lookup() {
        for (host, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("::1")),
            ("::1", Some("::1")),
            ("localhost", None),
        ] {
            assert_eq!(literal(host).map(|ip| ip.to_string()).as_deref(), expected);
        }
        let resolver = Resolver::with_lookup(|_, _| panic!("asked"));
        let found = resolver.resolve("LocalHost", 1, None).unwrap();
        assert_eq!(found, ["127.0.0.1:1", "[::1]:1"].map(|address| address.parse().unwrap()));
    }

    #[test]
    fn address_families_alternate_and_the_first_stays_first() {
        for (given, expected) in [
            ("", ""),
            ("4a", "4a"),
            ("4a 4b 4c", "4a 4b 4c"),
            ("6a 6b 6c 4a 4b", "6a 4a 6b 4b 6c"),
            ("4a 4b 6a 6b 6c 6d", "4a 6a 4b 6b 6c 6d"),
            ("6a 4a 6b 4b", "6a 4a 6b 4b"),
            ("6a 6b 6c 6d 4a", "6a 4a 6b 6c 6d"),
            ("4a 6a 6b", "4a 6a 6b"),
        ] {
            let address = |name: &str| match name.as_bytes() {
                [b'4', letter] => SocketAddr::from(([192, 0, 2, *letter], 443)),
                [b'6', letter] => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(*letter)], 443)),
                _ => panic!("{name}"),
            };
            let addresses = |names: &str| names.split_whitespace().map(address).collect::<Vec<_>>();
            assert_eq!(alternating(addresses(given)), addresses(expected), "{given}");
        }
        let resolver = Resolver::with_lookup(|_, port| {
            Ok(["[::1]:1", "[::2]:1", "127.0.0.1:1"]
                .map(|a| (a.parse::<SocketAddr>().unwrap().ip(), port).into())
                .to_vec())
        });
        let found = resolver.resolve("name.test", 7, None).unwrap();
        assert_eq!(found, ["[::1]:7", "127.0.0.1:7", "[::2]:7"].map(|address| address.parse().unwrap()));
    }

    #[test]
    fn concurrent_callers_share_one_lookup_and_its_result_is_kept() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let resolver = Resolver::with_lookup(move |_, port| {
            count.fetch_add(1, Ordering::SeqCst);
            wait.lock().unwrap().recv().unwrap();
            Ok(vec![addr(port)])
        });
        thread::scope(|scope| {
            let askers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| resolver.resolve("name.test", 7, None).unwrap())).collect();
            go.send(()).unwrap();
            for asker in askers {
                assert_eq!(asker.join().unwrap(), [addr(7)]);
            }
        });
        assert_eq!(resolver.resolve("NAME.test", 7, None).unwrap(), [addr(7)]);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn name_is_looked_up_again_after_thirty_seconds() {
        let next = AtomicU16::new(1);
        let resolver = Resolver::with_lookup(move |_, _| Ok(vec![addr(next.fetch_add(1, Ordering::SeqCst))]));
        let ask = || resolver.resolve("name.test", 1, None).unwrap();
        assert_eq!((ask(), ask()), (vec![addr(1)], vec![addr(1)]));
        let name = ("name.test".to_owned(), 1);
        let mut names = resolver.lock();
        let Some(Entry::Known(_, until)) = names.get_mut(&name) else { panic!("kept") };
        assert_eq!(until.remaining().as_millis().div_ceil(1000), 30);
        *until = Deadline::after(Duration::ZERO);
        drop(names);
        assert_eq!(ask(), [addr(2)]);
    }

    #[test]
    fn caller_of_a_stuck_lookup_returns_at_its_deadline_and_the_result_serves_the_next() {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let resolver = Resolver::with_lookup(move |_, port| {
            wait.lock().unwrap().recv().unwrap();
            Ok(vec![addr(port)])
        });
        let soon = Some(Duration::from_millis(20));
        assert_eq!(resolver.resolve("stuck.test", 1, soon), Err(ResolveError::TimedOut));
        assert_eq!(resolver.resolve("stuck.test", 1, soon), Err(ResolveError::TimedOut));
        go.send(()).unwrap();
        assert_eq!(resolver.resolve("stuck.test", 1, None).unwrap(), [addr(1)]);
    }

    #[test]
    fn failed_lookup_is_reported_and_repeated_by_the_next_caller() {
        let tries = AtomicUsize::new(0);
        let resolver = Resolver::with_lookup(move |_, port| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::ErrorKind::NotFound.into()),
            1 => Ok(Vec::new()),
            _ => Ok(vec![addr(port)]),
        });
        assert_eq!(resolver.resolve("name.test", 1, None), Err(ResolveError::NotFound));
        assert_eq!(resolver.resolve("name.test", 1, None), Err(ResolveError::NotFound));
        assert_eq!(resolver.resolve("name.test", 1, None).unwrap(), [addr(1)]);
    }

    #[test]
    fn failed_lookup_is_reported_with_its_cause() {
        let failure_of = |text: &str| {
            let text = format!("failed to lookup address information: {text}");
            ResolveError::of(&io::Error::other(text))
        };
        for (text, expected) in [
            ("Name or service not known", ResolveError::NotFound),
            ("No address associated with hostname", ResolveError::NotFound),
            ("Name does not resolve", ResolveError::NotFound),
            ("nodename nor servname provided, or not known", ResolveError::NotFound),
            ("Temporary failure in name resolution", ResolveError::NoAnswer),
            ("Non-recoverable failure in name resolution", ResolveError::NoAnswer),
            ("Try again", ResolveError::NoAnswer),
            ("Non-recoverable error", ResolveError::NoAnswer),
        ] {
            assert_eq!(failure_of(text), expected, "{text}");
        }
        let resolver = Resolver::with_lookup(|_, _| Err(io::Error::from_raw_os_error(24)));
        assert_eq!(resolver.resolve("name.test", 1, None), Err(ResolveError::System(24)));
    }

    #[test]
    fn panic_of_a_lookup_ends_the_wait_of_all_callers() {
        let resolver = Resolver::with_lookup(|_, _| panic!("as some libraries do"));
        for _ in 0..2 {
            assert_eq!(resolver.resolve("name.test", 1, None), Err(ResolveError::NotFound));
        }
    }

    #[test]
    fn number_of_kept_names_is_bounded() {
        let resolver = Resolver::with_lookup(|_, port| Ok(vec![addr(port)]));
        for i in 0..10 * MAX_KEPT {
            resolver.resolve(&format!("name{i}.test"), 1, None).unwrap();
        }
        assert!(resolver.lock().0.len() <= MAX_KEPT);
    }
}
