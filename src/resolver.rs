//! Names to addresses, within a deadline and without a thread for each request.
//!
//! The system's resolver cannot be interrupted, so a lookup that must end in time needs a thread. ureq starts one
//! for every request that has a time-out, even for an address. Here addresses and `localhost` need none; a name
//! gets one short-lived thread at a time, which all who ask for it share, and the answer is kept for 30 seconds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, thread};

use crate::clock::Deadline;

const KEPT_FOR: Duration = Duration::from_secs(30);
const MAX_KEPT: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    NotFound,
    TimedOut,
}

type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    lookup: Box<Lookup>,
    names: Mutex<HashMap<(String, u16), Entry>>,
    changed: Condvar,
}

enum Entry {
    /// A thread is asking.
    Pending,
    Known(Vec<SocketAddr>, Deadline),
    /// For those who waited. The next one asks again.
    Failed,
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

    /// `within`: how long to wait, or `None` for as long as it takes.
    pub(crate) fn resolve(
        &self,
        host: &str,
        port: u16,
        within: Option<Duration>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        if host.eq_ignore_ascii_case("localhost") {
            // RFC 6761 6.3: never asked of a server, which could point it anywhere.
            let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
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
            match names.get(name) {
                Some(Entry::Known(addrs, until)) if waited || !until.has_passed() => return Ok(addrs.clone()),
                Some(Entry::Failed) if waited => return Err(ResolveError::NotFound),
                Some(Entry::Pending) => {}
                _ => self.ask(&mut names, name)?,
            }
            let left = deadline.remaining();
            if left.is_zero() {
                return Err(ResolveError::TimedOut);
            }
            names = self.0.changed.wait_timeout(names, left).unwrap_or_else(PoisonError::into_inner).0;
            waited = true;
        }
    }

    fn ask(
        &self,
        names: &mut HashMap<(String, u16), Entry>,
        name: &(String, u16),
    ) -> Result<(), ResolveError> {
        if names.len() >= MAX_KEPT {
            names.retain(|_, entry| matches!(entry, Entry::Pending));
        }
        let (resolver, asked) = (self.clone(), name.clone());
        thread::Builder::new()
            .name("keyfob-resolver".to_owned())
            .spawn(move || {
                let _told = Told(&resolver, &asked);
                let entry = match (resolver.0.lookup)(&asked.0, asked.1) {
                    Ok(addrs) if !addrs.is_empty() => Entry::Known(addrs, Deadline::after(KEPT_FOR)),
                    _ => Entry::Failed,
                };
                resolver.lock().insert(asked.clone(), entry);
            })
            .map_err(|_| ResolveError::NotFound)?;
        names.insert(name.clone(), Entry::Pending);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u16), Entry>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who wait, also if the lookup has panicked.
struct Told<'a>(&'a Resolver, &'a (String, u16));

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let mut names = self.0.lock();
        if let Some(pending @ Entry::Pending) = names.get_mut(self.1) {
            *pending = Entry::Failed;
        }
        self.0.0.changed.notify_all();
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
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
    fn addresses_and_localhost_are_never_asked_for() {
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
    fn many_who_ask_at_once_share_one_lookup_and_the_answer_is_kept() {
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
    fn an_answer_is_asked_for_again_after_thirty_seconds() {
        let next = AtomicU16::new(1);
        let resolver = Resolver::with_lookup(move |_, _| Ok(vec![addr(next.fetch_add(1, Ordering::SeqCst))]));
        let ask = || resolver.resolve("name.test", 1, None).unwrap();
        assert_eq!((ask(), ask()), (vec![addr(1)], vec![addr(1)]));
        let name = ("name.test".to_owned(), 1);
        let Some(Entry::Known(_, until)) = resolver.lock().remove(&name) else { panic!("kept") };
        assert_eq!(until.remaining().as_millis().div_ceil(1000), 30);
        resolver.lock().insert(name, Entry::Known(vec![addr(1)], Deadline::after(Duration::ZERO)));
        assert_eq!(ask(), [addr(2)]);
    }

    #[test]
    fn a_stuck_lookup_ends_with_the_deadline_and_serves_the_next_caller() {
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
    fn a_failure_is_told_and_asked_again() {
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
    fn a_lookup_that_panics_keeps_nobody_waiting() {
        let resolver = Resolver::with_lookup(|_, _| panic!("as some libraries do"));
        for _ in 0..2 {
            assert_eq!(resolver.resolve("name.test", 1, None), Err(ResolveError::NotFound));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let resolver = Resolver::with_lookup(|_, port| Ok(vec![addr(port)]));
        for i in 0..10 * MAX_KEPT {
            resolver.resolve(&format!("name{i}.test"), 1, None).unwrap();
        }
        assert!(resolver.lock().len() <= MAX_KEPT);
    }
}
