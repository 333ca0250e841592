#![allow(clippy::unchecked_time_subtraction, reason = "of constants")]

use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use crate::clock::{Clock, Deadline, from_unix_seconds};
use crate::error::ErrorKind;
use crate::secret::Secret;
use crate::source::shared::NotSaved;
use crate::store::LockedRecord;
use crate::store::record::Record;

const LIFETIME: Duration = Duration::from_secs(100);
const NS: Duration = Duration::from_nanos(1);

/// Issues `token-1`, `token-2`, …, one at each run, or fails.
#[derive(Clone)]
struct Counting {
    clock: Clock,
    runs: Arc<AtomicUsize>,
    fails: Arc<Mutex<Option<Error>>>,
    lifetime: Duration,
}

impl Grant for Counting {
    fn token(&self, http: &Transport, previous: Option<&Token>) -> Result<Token, Error> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(previous.is_some(), run > 1, "the last token is handed on");
        if let Some(error) = &*self.fails.lock().unwrap() {
            return Err(error.clone());
        }
        let now = http.clock().now();
        Ok(Token::new(format!("token-{run}"), now)?.with_expires_at(now + self.lifetime))
    }
}

fn source(lifetime: Duration) -> (CachingSource, Counting) {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
    let grant = Counting { clock: clock.clone(), runs: Arc::default(), fails: Arc::default(), lifetime };
    let http = Transport::new().with_clock(clock).with_timeout(Duration::from_secs(5));
    (without_jitter(CachingSource::new(http, grant.clone())), grant)
}

fn without_jitter(mut source: CachingSource) -> CachingSource {
    source.settings().schedule.jitter = 1.0;
    source
}

fn text(token: &Token) -> &str {
    token.access_token().expose_str().unwrap()
}

#[track_caller]
fn gives(source: &CachingSource, min_valid: Duration, expected: &str) {
    assert_eq!(text(&source.token(min_valid).unwrap()), expected);
}

#[test]
fn token_is_renewed_exactly_at_its_margin() {
    for (lifetime, margin) in [(100, 20), (300, 60), (3600, 60), (5, 1)]
        .map(|(l, m)| (Duration::from_secs(l), Duration::from_secs(m)))
    {
        let (source, grant) = source(lifetime);
        gives(&source, Duration::ZERO, "token-1");
        grant.clock.advance(lifetime - margin - NS);
        gives(&source, Duration::ZERO, "token-1");
        grant.clock.advance(NS);
        gives(&source, Duration::ZERO, "token-2");
    }
}

#[test]
fn source_works_with_a_clock_before_1970() {
    for start in [-62_000_000_000, -1_000_000_000, -50, -1] {
        let (source, grant) = source(LIFETIME);
        grant.clock.set(from_unix_seconds(start));
        gives(&source, LIFETIME, "token-1");
        grant.clock.advance(Duration::from_secs(80) - NS);
        gives(&source, Duration::ZERO, "token-1");
        grant.clock.advance(NS);
        gives(&source, Duration::ZERO, "token-2");
    }
}

#[test]
fn jitter_takes_off_at_most_a_tenth_of_the_margin() {
    for _ in 0..1000 {
        let jitter = CachingSource::new(Transport::new(), source(LIFETIME).1).0.schedule.jitter;
        assert!((0.9..=1.0).contains(&jitter), "{jitter}");
    }
}

#[test]
fn min_valid_applies_to_a_token_in_memory_but_not_to_a_new_one() {
    let (source, grant) = source(LIFETIME);
    gives(&source, LIFETIME, "token-1");
    gives(&source, LIFETIME, "token-1");
    grant.clock.advance(NS);
    gives(&source, LIFETIME, "token-2");
    // No token is valid that long, so each call obtains a new one and accepts it.
    gives(&source, LIFETIME * 2, "token-3");
    gives(&source, LIFETIME * 2, "token-4");
    gives(&source, Duration::ZERO, "token-4");
}

#[test]
fn failed_early_renewal_serves_the_current_token_and_pauses() {
    let (source, grant) = source(LIFETIME);
    gives(&source, Duration::ZERO, "token-1");
    *grant.fails.lock().unwrap() = Some(Error::new(ErrorKind::Network, "down"));
    grant.clock.advance(LIFETIME - Duration::from_secs(1));
    for _ in 0..10 {
        gives(&source, Duration::ZERO, "token-1");
    }
    assert_eq!(grant.runs.load(Ordering::SeqCst), 2, "one attempt, then a pause");
    let error = source.token(Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.to_string(), "down", "a token that is not valid long enough is not used");
    grant.clock.advance(Duration::from_secs(1));
    assert!(source.token(Duration::ZERO).is_err(), "an expired token is not served");
    *grant.fails.lock().unwrap() = None;
    gives(&source, Duration::ZERO, "token-5");
}

#[test]
fn early_renewal_is_not_repeated_before_retry_after() {
    for (asked, least) in [(None, 9), (Some(1), 9), (Some(60), 59), (Some(3_600), 3_599)] {
        let (source, grant) = source(LIFETIME);
        gives(&source, Duration::ZERO, "token-1");
        let busy = Error::new(ErrorKind::RateLimited, "busy");
        *grant.fails.lock().unwrap() = Some(busy.with_retry_after(asked.map(Duration::from_secs)));
        grant.clock.advance(LIFETIME - Duration::from_secs(1));
        gives(&source, Duration::ZERO, "token-1");
        let left = source.0.status().pause.unwrap().remaining();
        assert!(left > Duration::from_secs(least) && left <= Duration::from_secs(least + 1), "{left:?}");
    }
}

#[test]
fn refused_token_is_replaced_once() {
    let (source, grant) = source(LIFETIME);
    let used = source.token(Duration::ZERO).unwrap();
    source.invalidate(&used);
    gives(&source, Duration::ZERO, "token-2");
    source.invalidate(&used);
    gives(&source, Duration::ZERO, "token-2");
    assert_eq!(grant.runs.load(Ordering::SeqCst), 2);
}

#[test]
fn forced_renewal_makes_one_exchange_and_keeps_the_current_token_if_it_fails() {
    let (source, grant) = source(LIFETIME);
    source.renew().unwrap();
    gives(&source, Duration::ZERO, "token-1");
    source.renew().unwrap();
    gives(&source, Duration::ZERO, "token-2");
    *grant.fails.lock().unwrap() = Some(Error::new(ErrorKind::Network, "down"));
    assert_eq!(source.renew().unwrap_err().kind(), ErrorKind::Network);
    gives(&source, Duration::ZERO, "token-2");
    assert_eq!(grant.runs.load(Ordering::SeqCst), 3);
}

/// Makes another thread wait for the test.
struct Pause {
    begun: mpsc::Sender<()>,
    may_go_on: Mutex<mpsc::Receiver<()>>,
}

impl Pause {
    /// Returns the pause, a receiver for its begin, and a sender for its end.
    fn new() -> (Self, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begun, is_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        (Self { begun, may_go_on: Mutex::new(may_go_on) }, is_begun, go_on)
    }

    fn wait(&self) {
        self.begun.send(()).unwrap();
        // A test that has failed must end too.
        let _ = self.may_go_on.lock().unwrap().recv_timeout(Duration::from_secs(30));
    }
}

/// A store in memory.
#[derive(Default)]
struct MemoryStore {
    record: Mutex<Option<Record>>,
    pause_in_load: Option<Pause>,
    pause_in_save: Option<Pause>,
    /// Saving and removing fail.
    is_full: AtomicBool,
    /// Loading and locking fail, and tokens may be kept in memory alone.
    is_absent: AtomicBool,
}

impl MemoryStore {
    fn access_token(&self) -> Option<String> {
        self.record.lock().unwrap().as_ref().map(|record| text(record.token()).to_owned())
    }

    fn check(&self) -> Result<(), Error> {
        let error = Error::new(ErrorKind::Store, "the disk is full");
        if self.is_full.load(Ordering::SeqCst) { Err(error) } else { Ok(()) }
    }

    fn look(&self) -> Result<(), Error> {
        let error = Error::new(ErrorKind::Store, "there is no home folder");
        if self.is_absent.load(Ordering::SeqCst) { Err(error) } else { Ok(()) }
    }
}

/// A handle of a store, which its records hold too.
#[derive(Clone)]
struct Handle(Arc<MemoryStore>);

impl std::ops::Deref for Handle {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.0
    }
}

impl TokenStore for Handle {
    fn load(&self, _: &RecordName) -> Result<Option<Record>, Error> {
        if let Some(pause) = &self.pause_in_load {
            pause.wait();
        }
        self.look()?;
        Ok(self.0.record.lock().unwrap().clone())
    }

    fn lock(&self, _: &RecordName, _: Duration) -> Result<Box<dyn LockedRecord>, Error> {
        self.look()?;
        Ok(Box::new(self.clone()))
    }

    fn can_do_without(&self, _: &Error) -> bool {
        self.is_absent.load(Ordering::SeqCst)
    }
}

impl LockedRecord for Handle {
    fn load(&mut self) -> Result<Option<Record>, Error> {
        Ok(self.0.record.lock().unwrap().clone())
    }

    fn save(&mut self, record: &Record) -> Result<(), Error> {
        if let Some(pause) = &self.pause_in_save {
            pause.wait();
        }
        self.check()?;
        *self.record.lock().unwrap() = Some(record.clone());
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Error> {
        self.check()?;
        *self.record.lock().unwrap() = None;
        Ok(())
    }
}

/// Returns a source with a store, and the store.
fn with_store(source: CachingSource) -> (CachingSource, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    (source.with_store(Arc::new(Handle(store.clone())), name()), store)
}

/// Returns a token that is valid for [`LIFETIME`] from now.
fn living(token: &str, clock: &Clock) -> Token {
    let now = clock.now();
    Token::new(token, now).unwrap().with_expires_at(now + LIFETIME)
}

fn wait_for_waiters(source: &CachingSource, count: usize) {
    let deadline = Deadline::after(Duration::from_secs(20));
    while source.0.flights.waiting() < count {
        assert!(!deadline.has_passed(), "too few threads wait");
        thread::yield_now();
    }
}

fn name() -> RecordName {
    RecordName::new("service", "https://auth.example/token", "client").unwrap()
}

/// Records how much time it is given.
struct Timed(Counting, bool, Arc<Mutex<Vec<Duration>>>);

impl Grant for Timed {
    fn token(&self, http: &Transport, previous: Option<&Token>) -> Result<Token, Error> {
        self.2.lock().unwrap().push(http.timeout());
        self.0.token(http, previous)
    }

    fn is_repeatable(&self) -> bool {
        self.1
    }
}

#[test]
fn early_renewal_has_a_third_of_the_time_unless_it_cannot_be_repeated() {
    for (repeatable, stored, share) in
        [(true, false, 3), (true, true, 3), (false, false, 1), (false, true, 1)]
    {
        let (plain, grant) = source(LIFETIME);
        let given = Arc::<Mutex<Vec<Duration>>>::default();
        let timed = Timed(grant.clone(), repeatable, given.clone());
        let http = plain.0.transport.clone().with_timeout(Duration::from_secs(30));
        let mut source = without_jitter(CachingSource::new(http, timed));
        if stored {
            source = source.with_store(Arc::new(Handle(Arc::default())), name());
        }
        gives(&source, Duration::ZERO, "token-1");
        grant.clock.advance(LIFETIME - Duration::from_secs(1));
        gives(&source, Duration::ZERO, "token-2");
        let given = given.lock().unwrap();
        let most = Duration::from_secs(30) / share;
        assert!(given[1] <= most && given[1] > most / 2, "{repeatable} {stored}: {given:?}");
    }
}

/// A stored token is not new: it satisfies only callers for whom it is valid long enough.
#[test]
fn waiter_is_not_given_a_stored_token_that_expires_too_soon() {
    let (plain, grant) = source(LIFETIME);
    let (pause, begun, go_on) = Pause::new();
    let store = MemoryStore {
        record: Mutex::new(Some(Record::new(living("stored", &grant.clock), 0))),
        pause_in_load: Some(pause),
        ..MemoryStore::default()
    };
    grant.runs.store(1, Ordering::SeqCst);
    let source = &plain.with_store(Arc::new(Handle(Arc::new(store))), name());
    thread::scope(|scope| {
        let first = scope.spawn(|| source.token(Duration::ZERO).unwrap());
        begun.recv().unwrap();
        let second = scope.spawn(|| source.token(LIFETIME * 2).unwrap());
        wait_for_waiters(source, 1);
        for _ in 0..2 {
            go_on.send(()).unwrap();
        }
        assert_eq!(text(&first.join().unwrap()), "stored");
        assert_eq!(text(&second.join().unwrap()), "token-2");
    });
}

#[test]
fn current_token_is_served_during_a_forced_renewal() {
    let gate = gate(Duration::from_secs(20));
    gate.end.send(Ok(LIFETIME)).unwrap();
    gives(&gate.source, Duration::ZERO, "token-1");
    gate.begun.recv().unwrap();
    let renew = || {
        let source = gate.source.clone();
        let renewal = thread::spawn(move || source.renew());
        gate.begun.recv().unwrap();
        renewal
    };
    let renewal = renew();
    gives(&gate.source, Duration::ZERO, "token-1");
    gate.end.send(Err(Error::new(ErrorKind::Network, "down"))).unwrap();
    assert_eq!(renewal.join().unwrap().unwrap_err().to_string(), "down");
    gives(&gate.source, Duration::ZERO, "token-1");

    // A token that is refused meanwhile stays refused.
    let renewal = renew();
    gate.source.invalidate(&gate.source.current().unwrap());
    gate.end.send(Err(Error::new(ErrorKind::Network, "down"))).unwrap();
    renewal.join().unwrap().unwrap_err();
    gate.end.send(Ok(LIFETIME)).unwrap();
    gives(&gate.source, Duration::ZERO, "token-4");
}

#[test]
fn token_of_the_caller_is_used_first() {
    let (source, grant) = source(LIFETIME);
    let source = source.with_token(living("mine", &grant.clock));
    gives(&source, Duration::ZERO, "mine");
    assert_eq!(grant.runs.load(Ordering::SeqCst), 0);
}

/// Lets the test decide when an exchange ends, and how.
struct Gated {
    begun: mpsc::Sender<()>,
    end: Mutex<mpsc::Receiver<Result<Duration, Error>>>,
    runs: Arc<AtomicUsize>,
}

impl Grant for Gated {
    fn token(&self, http: &Transport, _: Option<&Token>) -> Result<Token, Error> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.begun.send(()).unwrap();
        let lifetime = self.end.lock().unwrap().recv().unwrap()?;
        let now = http.clock().now();
        Ok(Token::new(format!("token-{run}"), now)?.with_expires_at(now + lifetime))
    }
}

struct Gate {
    source: CachingSource,
    begun: mpsc::Receiver<()>,
    end: mpsc::Sender<Result<Duration, Error>>,
    runs: Arc<AtomicUsize>,
    clock: Clock,
}

fn gate(timeout: Duration) -> Gate {
    let (begun_sender, begun) = mpsc::channel();
    let (end, end_receiver) = mpsc::channel();
    let runs = Arc::new(AtomicUsize::new(0));
    let clock = Clock::manual(SystemTime::UNIX_EPOCH);
    let grant = Gated { begun: begun_sender, end: Mutex::new(end_receiver), runs: runs.clone() };
    let http = Transport::new().with_clock(clock.clone()).with_timeout(timeout);
    Gate { source: CachingSource::new(http, grant), begun, end, runs, clock }
}

#[test]
fn sixty_four_threads_share_one_exchange() {
    // Also for callers that ask for longer than the new token is valid.
    for min_valid in [Duration::ZERO, LIFETIME * 10] {
        let gate = gate(Duration::from_secs(20));
        let threads: Vec<_> = (0..64)
            .map(|_| {
                let source = gate.source.clone();
                thread::spawn(move || source.token(min_valid).unwrap())
            })
            .collect();
        gate.begun.recv().unwrap();
        wait_for_waiters(&gate.source, 63);
        // Any second fetch would take this answer too, and be counted.
        for _ in 0..64 {
            gate.end.send(Ok(LIFETIME)).unwrap();
        }
        for thread in threads {
            assert_eq!(text(&thread.join().unwrap()), "token-1");
        }
        assert_eq!(gate.runs.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn waiters_share_the_failure() {
    let gate = gate(Duration::from_secs(20));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let source = gate.source.clone();
            thread::spawn(move || source.token(Duration::ZERO))
        })
        .collect();
    gate.begun.recv().unwrap();
    wait_for_waiters(&gate.source, 7);
    gate.end.send(Err(Error::new(ErrorKind::Refused, "no"))).unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap_err().to_string(), "no");
    }
    assert_eq!(gate.runs.load(Ordering::SeqCst), 1);
}

#[test]
fn current_token_is_served_while_another_thread_renews() {
    let gate = gate(Duration::from_secs(20));
    gate.end.send(Ok(LIFETIME)).unwrap();
    gives(&gate.source, Duration::ZERO, "token-1");
    gate.begun.recv().unwrap();
    gate.clock.advance(LIFETIME - Duration::from_secs(1));
    let renewing = gate.source.clone();
    let renewal = thread::spawn(move || renewing.token(Duration::ZERO).unwrap());
    gate.begun.recv().unwrap();
    gives(&gate.source, Duration::ZERO, "token-1");
    gate.end.send(Ok(LIFETIME)).unwrap();
    assert_eq!(text(&renewal.join().unwrap()), "token-2");
    gives(&gate.source, Duration::ZERO, "token-2");
}

#[test]
fn caller_without_a_token_does_not_share_the_failure_of_an_early_renewal() {
    let gate = gate(Duration::from_secs(20));
    gate.end.send(Ok(LIFETIME)).unwrap();
    gives(&gate.source, Duration::ZERO, "token-1");
    gate.begun.recv().unwrap();
    gate.clock.advance(LIFETIME - Duration::from_secs(1));
    let ask = |min_valid| {
        let source = gate.source.clone();
        thread::spawn(move || source.token(min_valid).unwrap())
    };
    let early = ask(Duration::ZERO);
    gate.begun.recv().unwrap();
    let needed = ask(Duration::from_secs(10));
    wait_for_waiters(&gate.source, 1);
    gate.end.send(Err(Error::new(ErrorKind::Timeout, "slow"))).unwrap();
    gate.begun.recv().unwrap();
    gate.end.send(Ok(LIFETIME)).unwrap();
    assert_eq!(text(&needed.join().unwrap()), "token-3");
    assert!(["token-1", "token-3"].contains(&text(&early.join().unwrap())));
}

/// A thread that found a valid token in the store needs no other one.
#[test]
fn caller_without_a_token_does_not_share_the_failed_renewal_of_a_stored_token() {
    let Gate { source, begun, end, clock, .. } = gate(Duration::from_secs(20));
    let token = Token::new("stored", clock.now()).unwrap().with_expires_at(clock.now() + LIFETIME);
    clock.advance(LIFETIME - Duration::from_secs(1));
    let store = MemoryStore { record: Mutex::new(Some(Record::new(token, 0))), ..MemoryStore::default() };
    let source = &source.with_store(Arc::new(Handle(Arc::new(store))), name());
    thread::scope(|scope| {
        let early = scope.spawn(|| source.token(Duration::ZERO).unwrap());
        begun.recv().unwrap();
        let needed = scope.spawn(|| source.token(Duration::from_secs(10)).unwrap());
        wait_for_waiters(source, 1);
        end.send(Err(Error::new(ErrorKind::Network, "down"))).unwrap();
        begun.recv_timeout(Duration::from_secs(10)).unwrap();
        end.send(Ok(LIFETIME)).unwrap();
        assert_eq!(text(&needed.join().unwrap()), "token-2");
        assert!(["stored", "token-2"].contains(&text(&early.join().unwrap())));
    });
}

#[test]
fn timeout_is_not_shared_with_a_caller_that_has_more_time() {
    let gate = gate(Duration::from_secs(20));
    let ask = |within| {
        let source = gate.source.clone();
        thread::spawn(move || source.token_within(Duration::ZERO, Duration::from_secs(within)))
    };
    let short = ask(5);
    gate.begun.recv().unwrap();
    let (long, shorter) = (ask(100), ask(4));
    wait_for_waiters(&gate.source, 2);
    gate.end.send(Err(Error::new(ErrorKind::Timeout, "5 s"))).unwrap();
    gate.begun.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(short.join().unwrap().unwrap_err().to_string(), "5 s");
    gate.end.send(Ok(LIFETIME)).unwrap();
    assert_eq!(text(&long.join().unwrap().unwrap()), "token-2");
    // Depends on which of the two threads was first.
    if let Err(error) = shorter.join().unwrap() {
        assert_eq!(error.to_string(), "5 s");
    }
}

#[test]
fn token_that_expires_during_its_failed_early_renewal_is_replaced() {
    let gate = gate(Duration::from_secs(20));
    gate.end.send(Ok(LIFETIME)).unwrap();
    gives(&gate.source, Duration::ZERO, "token-1");
    gate.begun.recv().unwrap();
    gate.clock.advance(LIFETIME - Duration::from_secs(1));
    let source = gate.source.clone();
    let renewal = thread::spawn(move || source.token(Duration::ZERO).unwrap());
    gate.begun.recv().unwrap();
    gate.clock.advance(Duration::from_secs(2));
    gate.end.send(Err(Error::new(ErrorKind::Timeout, "slow"))).unwrap();
    gate.begun.recv().unwrap();
    gate.end.send(Ok(LIFETIME)).unwrap();
    assert_eq!(text(&renewal.join().unwrap()), "token-3");
}

#[test]
fn waiting_for_another_thread_ends_at_the_deadline() {
    let gate = gate(Duration::from_millis(50));
    let stuck = gate.source.clone();
    let thread = thread::spawn(move || stuck.token(Duration::ZERO));
    gate.begun.recv().unwrap();
    let error = gate.source.token(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        "could not get a token: another thread was still getting one after 0.05 s; check the network"
    );
    gate.end.send(Ok(LIFETIME)).unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn panic_of_a_grant_ends_the_flight() {
    struct Panics(AtomicUsize);
    impl Grant for Panics {
        fn token(&self, http: &Transport, _: Option<&Token>) -> Result<Token, Error> {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first run panics");
            Token::new("second", http.clock().now())
        }
    }
    let source = Arc::new(CachingSource::new(Transport::new(), Panics(AtomicUsize::new(0))));
    let first = source.clone();
    assert!(thread::spawn(move || first.token(Duration::ZERO).is_ok()).join().is_err());
    gives(&source, Duration::ZERO, "second");
}

#[test]
fn callback_that_asks_its_source_gets_the_new_token() {
    static ASKED: Mutex<Vec<Result<String, String>>> = Mutex::new(Vec::new());
    static SOURCE: std::sync::OnceLock<CachingSource> = std::sync::OnceLock::new();
    let (source, _) = source(LIFETIME);
    let source = SOURCE.get_or_init(|| {
        source.with_on_renewed(|new| {
            let source = SOURCE.get().unwrap();
            let ask = |min_valid| {
                let asked = source.token(min_valid).map(|token| text(&token).to_owned());
                ASKED.lock().unwrap().push(asked.map_err(|e| e.to_string()));
            };
            ask(Duration::ZERO);
            ask(LIFETIME * 2);
            source.invalidate(new);
            ask(Duration::ZERO);
        })
    });
    gives(source, Duration::ZERO, "token-1");
    let no = "could not get a token: a callback of its source asked for another one than the new one";
    let expected = [Ok("token-1".to_owned()), Ok("token-1".to_owned()), Err(no.to_owned())];
    assert_eq!(*ASKED.lock().unwrap(), expected);
}

#[test]
fn debug_of_a_source_shows_no_token() {
    let (source, _) = source(LIFETIME);
    let token = source.token(Duration::ZERO).unwrap();
    let marked = Token::new(Secret::from("s3cr3t"), token.obtained_at()).unwrap();
    assert!(!format!("{:?}", source.with_token(marked)).contains("s3cr3t"));
}

#[test]
fn waiter_is_served_at_its_deadline_while_the_token_is_being_saved() {
    let (source, _) = source(LIFETIME);
    let (pause, begun, go_on) = Pause::new();
    let store = Arc::new(MemoryStore { pause_in_save: Some(pause), ..MemoryStore::default() });
    let source = &source.with_store(Arc::new(Handle(store.clone())), name());
    thread::scope(|scope| {
        let leader = scope.spawn(|| source.token(Duration::ZERO).unwrap());
        begun.recv().unwrap();
        let token = source.token_within(Duration::ZERO, Duration::from_millis(20)).unwrap();
        assert_eq!((text(&token), store.access_token()), ("token-1", None));
        assert!(source.current().is_none(), "other callers wait for the save");
        go_on.send(()).unwrap();
        assert_eq!(text(&leader.join().unwrap()), "token-1");
    });
    assert_eq!(store.access_token().as_deref(), Some("token-1"));
}

#[test]
fn waiters_are_served_before_the_callbacks_end_and_the_next_renewal_waits_for_them() {
    let gate = gate(Duration::from_secs(20));
    let (pause, begun, go_on) = Pause::new();
    let source = &gate.source.with_on_renewed(move |_| pause.wait());
    let ask = || text(&source.token(Duration::ZERO).unwrap()).to_owned();
    thread::scope(|scope| {
        let leader = scope.spawn(ask);
        gate.begun.recv().unwrap();
        let waiter = scope.spawn(ask);
        wait_for_waiters(source, 1);
        gate.end.send(Ok(LIFETIME)).unwrap();
        begun.recv().unwrap();
        assert_eq!(waiter.join().unwrap(), "token-1");

        source.invalidate(&source.current().unwrap());
        let next = scope.spawn(ask);
        wait_for_waiters(source, 2);
        assert_eq!(gate.runs.load(Ordering::SeqCst), 1);
        go_on.send(()).unwrap();
        assert_eq!(leader.join().unwrap(), "token-1");
        gate.end.send(Ok(LIFETIME)).unwrap();
        begun.recv().unwrap();
        go_on.send(()).unwrap();
        assert_eq!(next.join().unwrap(), "token-2");
    });
}

#[test]
fn clones_share_the_token() {
    let (source, grant) = source(LIFETIME);
    let clone = source.clone();
    gives(&source, Duration::ZERO, "token-1");
    gives(&clone, Duration::ZERO, "token-1");
    clone.invalidate(&source.current().unwrap());
    gives(&source, Duration::ZERO, "token-2");
    assert_eq!(grant.runs.load(Ordering::SeqCst), 2);
}

#[test]
fn setter_on_a_clone_makes_a_source_of_its_own() {
    let (source, grant) = source(LIFETIME);
    gives(&source, Duration::ZERO, "token-1");
    let other = source.clone().with_token(living("mine", &grant.clock));
    gives(&other, Duration::ZERO, "mine");
    gives(&source, Duration::ZERO, "token-1");
}

#[test]
fn order_of_setters_does_not_matter() {
    let margin = Duration::from_secs(30);
    for margin_first in [true, false] {
        let (source, grant) = source(LIFETIME);
        grant.runs.store(1, Ordering::SeqCst);
        let token = living("mine", &grant.clock);
        let source = if margin_first {
            source.with_renewal_margin(margin).with_token(token)
        } else {
            source.with_token(token).with_renewal_margin(margin)
        };
        grant.clock.advance(LIFETIME - margin - NS);
        gives(&source, Duration::ZERO, "mine");
        grant.clock.advance(NS);
        gives(&source, Duration::ZERO, "token-2");
    }
}

#[test]
fn login_waits_for_a_renewal_and_replaces_its_token() {
    let gate = gate(Duration::from_secs(20));
    let (source, store) = with_store(gate.source.clone());
    let login = living("login", &gate.clock);
    thread::scope(|scope| {
        let renewal = scope.spawn(|| source.token(Duration::ZERO).unwrap());
        gate.begun.recv().unwrap();
        let login = scope.spawn(|| source.log_in(login));
        wait_for_waiters(&source, 1);
        gate.end.send(Ok(LIFETIME)).unwrap();
        assert_eq!(text(&renewal.join().unwrap()), "token-1");
        login.join().unwrap().unwrap();
    });
    gives(&source, Duration::ZERO, "login");
    assert_eq!(store.access_token().as_deref(), Some("login"));
}

#[test]
fn login_that_cannot_be_saved_is_used_and_saved_with_the_next_renewal() {
    let (plain, grant) = source(LIFETIME);
    grant.runs.store(1, Ordering::SeqCst);
    let (source, store) = with_store(plain);
    store.is_full.store(true, Ordering::SeqCst);
    let error = source.log_in(living("login", &grant.clock)).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Store, "the disk is full"));
    assert_eq!(source.warning().unwrap().to_string(), "the disk is full");
    gives(&source, Duration::ZERO, "login");
    store.is_full.store(false, Ordering::SeqCst);
    source.renew().unwrap();
    assert!(source.warning().is_none());
    assert_eq!(store.access_token().as_deref(), Some("token-2"));
}

#[test]
fn login_times_out_and_changes_nothing_while_another_thread_renews() {
    let gate = gate(Duration::from_millis(50));
    thread::scope(|scope| {
        let renewal = scope.spawn(|| gate.source.token(Duration::ZERO));
        gate.begun.recv().unwrap();
        let error = gate.source.log_in(living("login", &gate.clock)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let text = "could not log in: another thread was still renewing the token; try again";
        assert_eq!(error.to_string(), text);
        gate.end.send(Ok(LIFETIME)).unwrap();
        renewal.join().unwrap().unwrap();
    });
    gives(&gate.source, Duration::ZERO, "token-1");
}

#[test]
fn callback_cannot_begin_or_end_a_login() {
    static SOURCE: std::sync::OnceLock<CachingSource> = std::sync::OnceLock::new();
    static ERRORS: Mutex<Vec<Error>> = Mutex::new(Vec::new());
    let (source, _) = source(LIFETIME);
    let source = SOURCE.get_or_init(|| {
        source.with_on_renewed(|new| {
            let source = SOURCE.get().unwrap();
            *ERRORS.lock().unwrap() = vec![
                source.log_in(new.clone()).unwrap_err(),
                source.resume().unwrap_err(),
                source.log_out().unwrap_err(),
                source.log_out_with(|_| Ok(())).unwrap_err(),
            ];
            assert_eq!(text(&source.renew().unwrap()), "token-1", "renewed just now");
        })
    });
    gives(source, Duration::ZERO, "token-1");
    let errors = ERRORS.lock().unwrap();
    for (error, doing) in errors.iter().zip(["log in", "resume the login", "log out", "revoke the token"]) {
        let text = format!("could not {doing}: a callback of the token's source may not do that");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidInput, text));
    }
    assert_eq!(errors.len(), 4);
}

#[test]
fn stored_login_is_resumed_unless_a_token_is_in_memory() {
    let (plain, grant) = source(LIFETIME);
    assert!(!plain.resume().unwrap(), "no store");
    let (source, store) = with_store(plain);
    assert!(!source.resume().unwrap(), "an empty store");
    *store.record.lock().unwrap() = Some(Record::new(living("stored", &grant.clock), 0));
    grant.clock.advance(LIFETIME);
    assert!(source.resume().unwrap(), "expired, but its refresh token may be valid");
    assert_eq!(text(&source.current().unwrap()), "stored");
    let source = source.with_token(living("mine", &grant.clock));
    assert!(source.resume().unwrap());
    assert_eq!(text(&source.current().unwrap()), "mine");
}

/// A stored token is not new, whoever brings it into memory: an expired one satisfies nobody.
#[test]
fn waiter_is_not_given_an_expired_token_that_another_thread_resumes() {
    let (plain, grant) = source(LIFETIME);
    let (pause, begun, go_on) = Pause::new();
    let store = MemoryStore {
        record: Mutex::new(Some(Record::new(living("stored", &grant.clock), 0))),
        pause_in_load: Some(pause),
        ..MemoryStore::default()
    };
    grant.runs.store(1, Ordering::SeqCst);
    grant.clock.advance(LIFETIME * 2);
    let source = &plain.with_store(Arc::new(Handle(Arc::new(store))), name());
    thread::scope(|scope| {
        let resuming = scope.spawn(|| source.resume().unwrap());
        begun.recv().unwrap();
        let waiting = scope.spawn(|| source.token(Duration::ZERO).unwrap());
        wait_for_waiters(source, 1);
        for _ in 0..2 {
            go_on.send(()).unwrap();
        }
        assert!(resuming.join().unwrap());
        assert_eq!(text(&waiting.join().unwrap()), "token-2");
    });
}

#[test]
fn forced_renewal_works_without_an_unusable_default_store() {
    let (plain, _) = source(LIFETIME);
    let (source, store) = with_store(plain);
    store.is_absent.store(true, Ordering::SeqCst);
    assert_eq!(text(&source.renew().unwrap()), "token-1");
    assert_eq!(source.warning().unwrap().to_string(), "there is no home folder");
    assert_eq!(text(&source.renew().unwrap()), "token-2");
}

#[test]
fn logout_forgets_the_token_and_its_record() {
    for in_memory in [true, false] {
        let (plain, grant) = source(LIFETIME);
        let (source, store) = with_store(plain);
        *store.record.lock().unwrap() = Some(Record::new(living("stored", &grant.clock), 0));
        if in_memory {
            source.resume().unwrap();
        }
        source.log_out().unwrap();
        assert!(source.current().is_none() && store.access_token().is_none());
        source.log_out().unwrap();
        gives(&source, Duration::ZERO, "token-1");
    }
}

#[test]
fn logout_leaves_the_record_of_a_later_login() {
    let (plain, grant) = source(LIFETIME);
    let (source, store) = with_store(plain.with_token(living("mine", &grant.clock)));
    *store.record.lock().unwrap() = Some(Record::new(living("later", &grant.clock), 0));
    source.log_out().unwrap();
    assert_eq!(store.access_token().as_deref(), Some("later"));
}

#[test]
fn failed_logout_changes_nothing() {
    let (plain, grant) = source(LIFETIME);
    let (source, store) = with_store(plain);
    source.log_in(living("login", &grant.clock)).unwrap();
    store.is_full.store(true, Ordering::SeqCst);
    assert_eq!(source.log_out().unwrap_err().to_string(), "the disk is full");
    gives(&source, Duration::ZERO, "login");
    let error = source.log_out_with(|_| Err(Error::new(ErrorKind::Refused, "no"))).unwrap_err();
    assert_eq!(error.to_string(), "no");
    gives(&source, Duration::ZERO, "login");
}

#[test]
fn revoked_token_is_not_used_again_although_its_record_is_left() {
    let (plain, grant) = source(LIFETIME);
    let (source, store) = with_store(plain);
    let error = source.log_out_with(|_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert_eq!(error.to_string(), "there is no token to revoke");

    source.log_in(living("login", &grant.clock).with_refresh_token("refresh")).unwrap();
    // Another process has renewed it.
    let newer = living("newer", &grant.clock).with_refresh_token("refresh");
    *store.record.lock().unwrap() = Some(Record::new(newer, 0));
    store.is_full.store(true, Ordering::SeqCst);
    let mut revoked = Vec::new();
    let revoke = |tokens: &[Arc<Token>]| {
        revoked = tokens.iter().map(|token| text(token).to_owned()).collect();
        Ok(())
    };
    assert_eq!(source.log_out_with(revoke).unwrap_err().to_string(), "the disk is full");
    assert_eq!(revoked, ["newer", "login"]);
    assert_eq!(store.access_token().as_deref(), Some("newer"));
    gives(&source, Duration::ZERO, "token-1");
}

#[test]
fn stored_token_is_outdated_if_the_token_in_memory_was_not_saved() {
    let token = |access: &str, refresh: &str| {
        Token::new(access, SystemTime::UNIX_EPOCH).unwrap().with_refresh_token(refresh)
    };
    let current = token("mine", "login");
    for (left, is_login, stored, outdated) in [
        (None, false, token("any", "any"), false),
        (Some(token("old", "x")), false, token("old", "x"), true),
        (Some(token("old", "x")), false, token("renewed", "x"), false),
        (None, true, token("other", "other"), true),
        (None, true, token("renewed", "login"), false),
        (Some(token("renewed", "login")), true, token("renewed", "login"), true),
    ] {
        let error = Error::new(ErrorKind::Store, "");
        let not_saved = NotSaved { error, stored: left, is_login };
        assert_eq!(not_saved.is_outdated(&stored, Some(&current)), outdated, "{stored:?} {is_login}");
    }
}
