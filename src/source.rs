//! [`TokenSource`], and the source that keeps a token in memory and fresh.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use crate::clock::Deadline;
use crate::flow::Grant;
use crate::http::{random_fraction, seconds};
use crate::store::{Record, RecordName, TokenStore};
use crate::{Error, ErrorKind, Http, Token};

/// Where tokens come from. Everything that needs one asks here.
///
/// Sources are shared between threads; any method may be called from any thread at any time.
pub trait TokenSource: Send + Sync {
    /// A token good for at least `min_valid`; may block on one exchange, for no longer than the source's own
    /// deadline.
    ///
    /// A token from memory is used only if it lives that long; one that was obtained after the call began satisfies
    /// any `min_valid`.
    ///
    /// # Errors
    /// Whatever the exchange fails with; [`Timeout`](ErrorKind::Timeout) at the deadline.
    fn token(&self, min_valid: Duration) -> Result<Arc<Token>, Error>;

    /// The same, within the caller's deadline too. Default: [`token`](Self::token).
    ///
    /// # Errors
    /// As [`token`](Self::token).
    fn token_within(&self, min_valid: Duration, within: Duration) -> Result<Arc<Token>, Error> {
        let _ = within;
        self.token(min_valid)
    }

    /// The server refused `used`: the next call fetches, unless someone already has.
    fn invalidate(&self, used: &Token);
}

/// Keeps a token in memory, gets a new one shortly before it expires, one at a time over all threads.
///
/// A token is renewed early by min(60 s, 20 % of its lifetime), less up to a tenth at random so that many processes do
/// not ask at once. While a thread fetches, the others use the token that still lives; they wait only if there is
/// none, and no longer than the deadline of the [`Http`]. If an early renewal fails, the living token is served, and
/// the next attempt is made 10 s later at the soonest.
///
/// With a [`TokenStore`] the same holds over all processes that share it: memory is asked first, then the store, then the
/// server, and the store's lock is held from looking again until the new token is saved. A new token is returned only
/// after it was saved; if saving fails it is returned all the same, since the server may have replaced the old one, and
/// [`warning`](Self::warning) says so.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # use std::time::Duration;
/// use keyfob::{CachingSource, Http, TokenSource as _, flow::ClientAssertion};
///
/// # let (token_url, client_id, client_secret) = ("", "", "");
/// let source = CachingSource::new(Http::new(), ClientAssertion::new(token_url, client_id, client_secret)?);
/// let token = source.token(Duration::from_secs(60))?;
/// # Ok(()) }
/// ```
pub struct CachingSource {
    http: Http,
    grant: Box<dyn Grant>,
    /// 0.9 to 1: how much of the margin is used.
    jitter: f64,
    stored: Option<(Arc<dyn TokenStore>, RecordName)>,
    on_renewed: Option<Callback<Token>>,
    on_warning: Option<Callback<Error>>,
    current: RwLock<Option<Current>>,
    fetch: Mutex<Fetch>,
    done: Condvar,
}

type Callback<T> = Box<dyn Fn(&T) + Send + Sync>;

struct Current {
    token: Arc<Token>,
    /// From here on an early renewal is tried.
    due_at: Option<SystemTime>,
    refused: bool,
    /// Counts up with each new token.
    generation: u64,
}

#[derive(Default)]
struct Fetch {
    /// The thread that fetches.
    running: Option<usize>,
    /// How many have ended.
    ended: u64,
    /// How the last one ended, if not well, and how long it had.
    failed: Option<(Error, Duration)>,
    /// Not before this has passed is another early renewal tried.
    not_before: Option<Deadline>,
    /// Why the last token was not saved.
    warning: Option<Error>,
    /// What the store went on to hold then: older than what is in memory, although it is another.
    outdated: Option<Token>,
    /// A login could not be saved: the store holds another one, whoever renews that.
    is_unsaved_login: bool,
    #[cfg(test)]
    waiting: usize,
}

/// A number that no other living thread has. `thread::current` would allocate in threads that are not Rust's own.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

impl Fetch {
    fn begin(&mut self) {
        self.running = Some(this_thread());
        self.failed = None;
    }
}

impl CachingSource {
    /// Nothing is fetched until the first token is asked for.
    pub fn new(http: Http, grant: impl Grant + 'static) -> Self {
        Self {
            http,
            grant: Box::new(grant),
            jitter: 1.0 - 0.1 * random_fraction(),
            stored: None,
            on_renewed: None,
            on_warning: None,
            current: RwLock::new(None),
            fetch: Mutex::default(),
            done: Condvar::new(),
        }
    }

    /// Starts with a token that is there already. It is not saved, and is renewed with what is in the store, if there is
    /// one: for the token of a new login there is [`with_login`](Self::with_login).
    pub fn with_token(self, token: Token) -> Self {
        self.keep(Arc::new(token), true);
        self
    }

    /// Keeps tokens in a store too, so that the next process finds them. Default: memory only.
    pub fn with_store(mut self, store: Arc<dyn TokenStore>, name: RecordName) -> Self {
        self.stored = Some((store, name));
        self
    }

    /// Starts with the token of a login, which takes the place of what is in the store, if there is one by now.
    /// If saving fails, [`warning`](Self::warning) says so: the person has logged in, and should not have to again in
    /// this run.
    pub fn with_login(self, token: Token) -> Self {
        let mut held = None;
        let saved = self.stored.as_ref().map_or(Ok(()), |(store, name)| {
            let mut locked = store.lock(name, self.http.timeout());
            // After the wait: another process may have renewed the login that was there.
            let before = locked.as_mut().map_or_else(|_| store.load(name), |locked| locked.load());
            held = before.ok().flatten().map(|record| record.token().clone());
            locked?.save(&Record::new(token.clone(), self.http.clock().offset()))
        });
        self.keep(Arc::new(token), true);
        self.lock().is_unsaved_login = true;
        self.settle(saved, held);
        self
    }

    /// Called with each new token that the server gave, after it was saved or could not be: for callers with a store of their own.
    ///
    /// It runs on the thread that fetched, while other threads wait, so it should be quick. If it asks this source for a
    /// token it gets the new one, however long that lives.
    pub fn with_on_renewed(mut self, call: impl Fn(&Token) + Send + Sync + 'static) -> Self {
        self.on_renewed = Some(Box::new(call));
        self
    }

    /// Called with the reason when a new token could not be saved. Otherwise as
    /// [`with_on_renewed`](Self::with_on_renewed).
    pub fn with_on_warning(mut self, call: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_warning = Some(Box::new(call));
        self
    }

    /// Why the token in memory is not in the store, if it could not be saved.
    pub fn warning(&self) -> Option<Error> {
        self.lock().warning.clone()
    }

    /// Remembers whether the token in memory was saved, and what the store went on to hold if not.
    fn settle(&self, saved: Result<(), Error>, held: Option<Token>) {
        let mut fetch = self.lock();
        fetch.outdated = held.filter(|_| saved.is_err());
        fetch.is_unsaved_login &= saved.is_err();
        fetch.warning = saved.err();
    }

    /// Goes on with what is in the store, good or not. Whether there is anything.
    pub(crate) fn resume(&self) -> Result<bool, Error> {
        let Some((store, name)) = &self.stored else { return Ok(false) };
        let Some(record) = store.load(name)? else { return Ok(false) };
        self.http.clock().recall(record.clock_offset(), record.token().obtained_at());
        self.keep(Arc::new(record.token().clone()), true);
        Ok(true)
    }

    /// Ends the login of the token in memory by `revoke`, which gets its tokens, the newest first, and removes its record;
    /// that of a later login stays. Nobody renews it meanwhile, in this process or in another.
    pub(crate) fn end(&self, revoke: impl FnOnce(&[Arc<Token>]) -> Result<(), Error>) -> Result<(), Error> {
        let deadline = Deadline::after(self.http.timeout());
        let _ending = self.begin_alone(&deadline)?;
        let current = self.current().ok_or_else(|| {
            Error::new(ErrorKind::NoCredentials, "there is no token to revoke: log in first")
        })?;
        // A store that cannot be used is no reason to let the tokens live.
        let held = self.stored.as_ref().map(|(store, name)| {
            let mut locked = store.lock(name, deadline.remaining())?;
            let record = locked.load()?.filter(|record| record.token().is_same_login(&current));
            Ok(record.map(|record| (locked, Arc::new(record.token().clone()))))
        });
        let mut tokens = vec![current.clone()];
        if let Some(Ok(Some((_, newest)))) = &held
            && !newest.is_same(&current)
        {
            tokens.insert(0, newest.clone());
        }
        revoke(&tokens)?;
        self.invalidate(&current);
        let removed = held.transpose().and_then(|held| match held.flatten() {
            Some((mut locked, _)) => locked.remove(),
            None => Ok(()),
        });
        // Whatever became of the record, the tokens have ended: no time-out, which would say that they may live on.
        removed.map_err(|error| match error.kind() {
            ErrorKind::Store => error,
            _ => Error::new(
                ErrorKind::Store,
                format!("the tokens have ended, but their record is left: {error}"),
            ),
        })
    }

    /// Waits until no thread fetches, and has the others wait until the result is dropped.
    fn begin_alone(&self, deadline: &Deadline) -> Result<Ending<'_>, Error> {
        let mut fetch = self.lock();
        while let Some(thread) = fetch.running {
            if thread == this_thread() {
                return Err(Error::invalid(
                    "could not revoke the token: a callback of its source asked for that",
                ));
            }
            let left = deadline.remaining();
            if left.is_zero() {
                let text = "could not revoke the token: another thread was still renewing it; try again";
                return Err(Error::new(ErrorKind::Timeout, text));
            }
            fetch = self.done.wait_timeout(fetch, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        fetch.begin();
        Ok(Ending(self))
    }

    /// Gets a new token now, whether the old one lives or not; if that fails, the old one goes on to be used. It is seldom
    /// needed: [`token`](TokenSource::token) renews in time.
    ///
    /// # Errors
    /// As [`token`](TokenSource::token).
    pub fn renew(&self) -> Result<Arc<Token>, Error> {
        if self.current().is_none() {
            self.resume()?;
        }
        // A callback of a renewal: it is new.
        if self.lock().running == Some(this_thread()) {
            return self.just_fetched();
        }
        let Some(old) = self.current() else { return self.token(Duration::ZERO) };
        let wanted = Wanted { min_valid: Duration::ZERO, other_than: Some(&old) };
        match self.living(wanted) {
            Ok((newer, _)) => Ok(newer),
            Err(seen) => self.fetch_or_wait(wanted, seen, self.http.timeout()),
        }
    }

    /// The token in memory, if any: expired or not, refused or not. Fetches nothing.
    pub fn current(&self) -> Option<Arc<Token>> {
        self.read().as_ref().map(|current| current.token.clone())
    }

    /// The token in memory if it is good and whether it is due for renewal, or the generation of what is there instead.
    fn living(&self, wanted: Wanted<'_>) -> Result<(Arc<Token>, bool), u64> {
        let current = self.read();
        let Some(current) = current.as_ref() else { return Err(0) };
        let now = self.http.clock().now();
        if current.refused || !wanted.is_met_by(&current.token, now) {
            return Err(current.generation);
        }
        Ok((current.token.clone(), current.due_at.is_some_and(|due| now >= due)))
    }

    /// The token in memory if it came after `generation`, however long it lives.
    fn newer_than(&self, generation: u64) -> Option<Arc<Token>> {
        let current = self.read();
        let current =
            current.as_ref().filter(|current| !current.refused && current.generation > generation)?;
        Some(current.token.clone())
    }

    /// For a callback of the fetch that is under way.
    fn just_fetched(&self) -> Result<Arc<Token>, Error> {
        self.living(Wanted::living(Duration::ZERO)).map(|(token, _)| token).map_err(|_| {
            Error::invalid(
                "could not get a token: a callback of its source asked for another one than the new one",
            )
        })
    }

    /// Tries to renew a token that still lives, unless someone is at it or has just failed.
    fn renew_early(
        &self,
        living: Arc<Token>,
        wanted: Wanted<'_>,
        within: Duration,
    ) -> Result<Arc<Token>, Error> {
        {
            let mut fetch = self.lock();
            let must_wait =
                fetch.running.is_some() || fetch.not_before.as_ref().is_some_and(|at| !at.has_passed());
            if must_wait || self.current().is_some_and(|current| !current.is_same(&living)) {
                return Ok(self.living(wanted).map_or(living, |(newer, _)| newer));
            }
            fetch.begin();
        }
        let deadline = Deadline::after(within);
        match self.fetch(wanted, Hurry::Early, self.early(within)) {
            Ok(token) => Ok(token),
            Err(error) => match self.living(wanted) {
                Ok((token, _)) => Ok(token),
                Err(seen) if !deadline.has_passed() => self.fetch_or_wait(wanted, seen, deadline.remaining()),
                Err(_) => Err(error),
            },
        }
    }

    /// How long an early renewal may take. The living token serves meanwhile, so a server that hangs may not take all of the
    /// caller's time; but what is answered once only is waited for.
    fn early(&self, within: Duration) -> Duration {
        if self.grant.is_repeatable() { within / 3 } else { within }
    }

    /// Waits for the fetch that is under way, or fetches. `seen` is the generation that was not good enough.
    fn fetch_or_wait(&self, wanted: Wanted<'_>, seen: u64, within: Duration) -> Result<Arc<Token>, Error> {
        let deadline = Deadline::after(within);
        let mut fetch = self.lock();
        let ended = fetch.ended;
        loop {
            // The second look: someone may have fetched since the first.
            if let Some(token) = self.newer_than(seen) {
                return Ok(token);
            }
            if let Ok((token, _)) = self.living(wanted) {
                return Ok(token);
            }
            // That time was up says little to one who has more.
            let shared = |(error, had): &&(Error, Duration)| {
                error.kind() != ErrorKind::Timeout || deadline.remaining() <= *had
            };
            if let Some((error, _)) = fetch.failed.as_ref().filter(|_| fetch.ended > ended).filter(shared) {
                return Err(error.clone());
            }
            match fetch.running {
                None => {
                    fetch.begin();
                    drop(fetch);
                    let fetched = self.fetch(wanted, Hurry::Needed, deadline.remaining());
                    // What was found in the store may be due, and live.
                    return fetched.or_else(|error| self.living(wanted).map_or(Err(error), |(t, _)| Ok(t)));
                }
                // A callback of the fetch that is under way: to wait for it would be to wait for itself.
                Some(thread) if thread == this_thread() => return self.just_fetched(),
                Some(_) => {}
            }
            let left = deadline.remaining();
            if left.is_zero() {
                let text = format!(
                    "could not get a token: another thread was still getting one after {} s; check the network",
                    seconds(within)
                );
                return Err(Error::new(ErrorKind::Timeout, text));
            }
            #[cfg(test)]
            {
                fetch.waiting += 1;
            }
            fetch = self.done.wait_timeout(fetch, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gets a token from the store or the server. The caller has set `running`.
    fn fetch(&self, wanted: Wanted<'_>, mut hurry: Hurry, within: Duration) -> Result<Arc<Token>, Error> {
        const PAUSE: Duration = Duration::from_secs(10);
        let ending = Ending(self);
        let deadline = Deadline::after(within);
        let result = match &self.stored {
            None => self.exchange(self.current().as_deref(), &deadline).inspect(|token| {
                self.keep(token.clone(), true);
                self.renewed(token);
            }),
            Some((store, name)) => self.fetch_stored(store.as_ref(), name, wanted, &mut hurry, &deadline),
        };
        let mut fetch = self.lock();
        fetch.not_before = result.is_err().then(|| Deadline::after(PAUSE));
        // Those who need a token have more patience than an early renewal had.
        let failed = result.as_ref().err().filter(|_| hurry == Hurry::Needed);
        fetch.failed = failed.map(|error| (error.clone(), within));
        drop(fetch);
        drop(ending);
        result
    }

    /// Asks the server.
    fn exchange(&self, previous: Option<&Token>, deadline: &Deadline) -> Result<Arc<Token>, Error> {
        let http = self.http.clone().with_timeout(deadline.remaining());
        self.grant.token(&http, previous).map(Arc::new)
    }

    /// The store's token if it is good; else, with the store locked, a new one. With one that lives there is less hurry.
    fn fetch_stored(
        &self,
        store: &dyn TokenStore,
        name: &RecordName,
        wanted: Wanted<'_>,
        hurry: &mut Hurry,
        deadline: &Deadline,
    ) -> Result<Arc<Token>, Error> {
        let current = self.current();
        let fetch = self.lock();
        let (outdated, own) = (fetch.outdated.clone(), current.clone().filter(|_| fetch.is_unsaved_login));
        drop(fetch);
        let is_newer = |record: &Record| {
            !outdated.as_ref().is_some_and(|old| old.is_same(record.token()))
                && own.as_ref().is_none_or(|own| own.is_same_login(record.token()))
        };
        let before = store.load(name)?.filter(is_newer);
        if let Some(token) = before.as_ref().and_then(|record| self.adopt(record, wanted, false)) {
            return Ok(token);
        }
        let mut deadline = deadline;
        let early = Deadline::after(self.early(deadline.remaining()));
        if let Some(due) = before.as_ref().filter(|record| self.is_usable(record, wanted)) {
            self.keep(Arc::new(due.token().clone()), false);
            if *hurry == Hurry::Needed {
                (*hurry, deadline) = (Hurry::Early, &early);
            }
        }
        // An early renewal does not wait for another process that may be at the same.
        let wait = if *hurry == Hurry::Early { Duration::ZERO } else { deadline.remaining() };
        let mut locked = store.lock(name, wait)?;
        // The second look: someone may have renewed it while we waited. What came then satisfies any `min_valid`.
        let now = locked.load()?.filter(is_newer);
        let is_new = match (&before, &now) {
            (Some(before), Some(now)) => !before.token().is_same(now.token()),
            (before, _) => before.is_none(),
        };
        let needed = Wanted { min_valid: if is_new { Duration::ZERO } else { wanted.min_valid }, ..wanted };
        if let Some(token) = now.as_ref().and_then(|record| self.adopt(record, needed, is_new)) {
            return Ok(token);
        }
        let previous = now.as_ref().map(Record::token).or(current.as_deref());
        let token = match self.exchange(previous, deadline) {
            Err(error) if error.kind() == ErrorKind::LoginRequired => {
                // Another program, which does not know our lock, may have used up the refresh token and saved a new one.
                let newer = locked.load()?.filter(is_newer);
                let newer = newer.filter(|record| !previous.is_some_and(|old| old.is_same(record.token())));
                let Some(newer) = newer else { return Err(error) };
                match self.adopt(&newer, Wanted::living(Duration::ZERO), true) {
                    Some(token) => return Ok(token),
                    // Its access token is of no use, but its refresh token is not the one that was refused.
                    None => self.exchange(Some(newer.token()), deadline)?,
                }
            }
            token => token?,
        };
        let saved = locked.save(&Record::new(Token::clone(&token), self.http.clock().offset()));
        drop(locked);
        self.keep(token.clone(), true);
        if let (Err(warning), Some(call)) = (&saved, &self.on_warning) {
            call(warning);
        }
        let held = now.map(|record| record.token().clone()).or(outdated);
        self.settle(saved, held);
        self.renewed(&token);
        Ok(token)
    }

    /// Takes a stored token into memory, if it is good and not due. `is_new`: it came after the call began.
    fn adopt(&self, record: &Record, wanted: Wanted<'_>, is_new: bool) -> Option<Arc<Token>> {
        let token = record.token();
        let clock = self.http.clock();
        clock.recall(record.clock_offset(), token.obtained_at());
        let due = self.due_at(token).is_some_and(|due| clock.latest(record.clock_offset()) >= due);
        if due || !self.is_usable(record, wanted) {
            return None;
        }
        let token = Arc::new(token.clone());
        self.keep(token.clone(), is_new);
        Some(token)
    }

    /// Whether a stored token is what is wanted and has not been refused.
    fn is_usable(&self, record: &Record, wanted: Wanted<'_>) -> bool {
        let token = record.token();
        let refused =
            self.read().as_ref().is_some_and(|current| current.refused && current.token.is_same(token));
        !refused && wanted.is_met_by(token, self.http.clock().latest(record.clock_offset()))
    }

    fn renewed(&self, token: &Token) {
        if let Some(call) = &self.on_renewed {
            call(token);
        }
    }

    fn due_at(&self, token: &Token) -> Option<SystemTime> {
        let at = token.expires_at()?;
        let lifetime = at.duration_since(token.obtained_at()).unwrap_or_default();
        at.checked_sub(margin(lifetime).mul_f64(self.jitter))
    }

    /// `is_new`: it satisfies all who are waiting.
    fn keep(&self, token: Arc<Token>, is_new: bool) {
        let due_at = self.due_at(&token);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let generation = current.as_ref().map_or(0, |old| old.generation) + u64::from(is_new);
        // It may have been refused since it was looked at.
        let refused = !is_new && current.as_ref().is_some_and(|old| old.refused && old.token.is_same(&token));
        *current = Some(Current { token, due_at, refused, generation });
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Current>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Fetch> {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a token must be.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    min_valid: Duration,
    other_than: Option<&'a Token>,
}

impl Wanted<'_> {
    fn living(min_valid: Duration) -> Self {
        Self { min_valid, other_than: None }
    }

    fn is_met_by(self, token: &Token, now: SystemTime) -> bool {
        token.is_valid_for(self.min_valid, now) && !self.other_than.is_some_and(|other| other.is_same(token))
    }
}

/// Whether a token still lives while a new one is fetched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hurry {
    Early,
    Needed,
}

/// Ends a fetch, also when a grant of the caller's panics: no thread may wait for one that is gone.
struct Ending<'a>(&'a CachingSource);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut fetch = self.0.lock();
        fetch.running = None;
        fetch.ended += 1;
        self.0.done.notify_all();
    }
}

/// How long before its end a token is renewed.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 5).min(Duration::from_secs(60))
}

impl TokenSource for CachingSource {
    fn token(&self, min_valid: Duration) -> Result<Arc<Token>, Error> {
        self.token_within(min_valid, self.http.timeout())
    }

    fn token_within(&self, min_valid: Duration, within: Duration) -> Result<Arc<Token>, Error> {
        let wanted = Wanted::living(min_valid);
        match self.living(wanted) {
            Ok((token, false)) => Ok(token),
            Ok((token, true)) => self.renew_early(token, wanted, within.min(self.http.timeout())),
            Err(seen) => self.fetch_or_wait(wanted, seen, within.min(self.http.timeout())),
        }
    }

    fn invalidate(&self, used: &Token) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_mut().filter(|current| current.token.is_same(used)) {
            current.refused = true;
        }
    }
}

impl fmt::Debug for CachingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingSource").field("token", &self.current()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unchecked_time_subtraction, reason = "of constants")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use crate::clock::from_unix_seconds;
    use crate::seeded::{Seeded, runs};
    use crate::store::LockedRecord;
    use crate::{Clock, Secret};

    const LIFETIME: Duration = Duration::from_secs(100);
    const NS: Duration = Duration::from_nanos(1);

    /// Issues `token-1`, `token-2`, … or fails, as often as it is run.
    #[derive(Clone)]
    struct Counting {
        clock: Clock,
        runs: Arc<AtomicUsize>,
        fails: Arc<Mutex<Option<Error>>>,
        lifetime: Duration,
    }

    impl Grant for Counting {
        fn token(&self, http: &Http, previous: Option<&Token>) -> Result<Token, Error> {
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
        let http = Http::new().with_clock(clock).with_timeout(Duration::from_secs(5));
        (CachingSource { jitter: 1.0, ..CachingSource::new(http, grant.clone()) }, grant)
    }

    fn text(token: &Token) -> &str {
        token.access_token().expose_str().unwrap()
    }

    #[track_caller]
    fn gives(source: &CachingSource, min_valid: Duration, expected: &str) {
        assert_eq!(text(&source.token(min_valid).unwrap()), expected);
    }

    #[test]
    fn a_token_is_renewed_at_the_margin_to_the_nanosecond() {
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

    /// Over all of `u64`, and clocks before 1970.
    #[test]
    fn the_margin_over_all_lifetimes_and_clocks() {
        let mut seeded = Seeded::new(5);
        let mut source = CachingSource::new(Http::new(), source(LIFETIME).1);
        for _ in 0..runs(20_000) {
            source.jitter = [0.9, 1.0, 0.95][seeded.below(3)];
            let obtained_at = from_unix_seconds(seeded.any_seconds());
            let lifetime =
                Duration::new(seeded.any_number(), u32::try_from(seeded.below(1_000_000_000)).unwrap());
            let Some(expires_at) = obtained_at.checked_add(lifetime) else { continue };
            let token = Token::new("abc", obtained_at).unwrap().with_expires_at(expires_at);
            let due_at = source.due_at(&token).expect("within its life");
            let early = expires_at.duration_since(due_at).expect("not after its end");
            assert!(
                due_at >= obtained_at && early <= Duration::from_secs(60),
                "{token:?} is due at {due_at:?}"
            );
            let whole = (lifetime / 5).min(Duration::from_secs(60));
            assert!(early <= whole && early + NS >= whole.mul_f64(0.9), "{early:?} of {whole:?}");
        }
    }

    #[test]
    fn a_source_works_before_1970_too() {
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
    fn jitter_takes_at_most_a_tenth_of_the_margin() {
        for _ in 0..1000 {
            let jitter = CachingSource::new(Http::new(), source(LIFETIME).1).jitter;
            assert!((0.9..=1.0).contains(&jitter), "{jitter}");
        }
    }

    #[test]
    fn min_valid_decides_over_what_is_in_memory_but_not_over_what_is_new() {
        let (source, grant) = source(LIFETIME);
        gives(&source, LIFETIME, "token-1");
        gives(&source, LIFETIME, "token-1");
        grant.clock.advance(NS);
        gives(&source, LIFETIME, "token-2");
        // Longer than any token lives: each call gets a new one, and takes it.
        gives(&source, LIFETIME * 2, "token-3");
        gives(&source, LIFETIME * 2, "token-4");
        gives(&source, Duration::ZERO, "token-4");
    }

    #[test]
    fn a_failed_early_renewal_serves_the_living_token_and_pauses() {
        let (source, grant) = source(LIFETIME);
        gives(&source, Duration::ZERO, "token-1");
        *grant.fails.lock().unwrap() = Some(Error::new(ErrorKind::Network, "down"));
        grant.clock.advance(LIFETIME - Duration::from_secs(1));
        for _ in 0..10 {
            gives(&source, Duration::ZERO, "token-1");
        }
        assert_eq!(grant.runs.load(Ordering::SeqCst), 2, "one attempt, then a pause");
        let error = source.token(Duration::from_secs(2)).unwrap_err();
        assert_eq!(error.to_string(), "down", "what does not live long enough is not served");
        grant.clock.advance(Duration::from_secs(1));
        assert!(source.token(Duration::ZERO).is_err(), "nor is what has expired");
        *grant.fails.lock().unwrap() = None;
        gives(&source, Duration::ZERO, "token-5");
    }

    #[test]
    fn a_refused_token_is_replaced_once() {
        let (source, grant) = source(LIFETIME);
        let used = source.token(Duration::ZERO).unwrap();
        source.invalidate(&used);
        gives(&source, Duration::ZERO, "token-2");
        source.invalidate(&used);
        gives(&source, Duration::ZERO, "token-2");
        assert_eq!(grant.runs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_forced_renewal_costs_one_exchange_and_never_the_old_token() {
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

    /// A store in memory that says when it is read, and waits until it may go on.
    #[derive(Default)]
    struct Shelf {
        record: Mutex<Option<Record>>,
        reads: Option<Reads>,
    }

    struct Reads {
        begun: mpsc::Sender<()>,
        may_go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl TokenStore for Arc<Shelf> {
        fn load(&self, _: &RecordName) -> Result<Option<Record>, Error> {
            if let Some(reads) = &self.reads {
                reads.begun.send(()).unwrap();
                reads.may_go_on.lock().unwrap().recv().unwrap();
            }
            Ok(self.record.lock().unwrap().clone())
        }

        fn lock(&self, _: &RecordName, _: Duration) -> Result<Box<dyn LockedRecord>, Error> {
            Ok(Box::new(self.clone()))
        }
    }

    impl LockedRecord for Arc<Shelf> {
        fn load(&mut self) -> Result<Option<Record>, Error> {
            Ok(self.record.lock().unwrap().clone())
        }

        fn save(&mut self, record: &Record) -> Result<(), Error> {
            *self.record.lock().unwrap() = Some(record.clone());
            Ok(())
        }

        fn remove(&mut self) -> Result<(), Error> {
            *self.record.lock().unwrap() = None;
            Ok(())
        }
    }

    fn name() -> RecordName {
        RecordName::new("service", "https://auth.example/token", "client").unwrap()
    }

    /// Notes how much time it is given.
    struct Timed(Counting, bool, Arc<Mutex<Vec<Duration>>>);

    impl Grant for Timed {
        fn token(&self, http: &Http, previous: Option<&Token>) -> Result<Token, Error> {
            self.2.lock().unwrap().push(http.timeout());
            self.0.token(http, previous)
        }

        fn is_repeatable(&self) -> bool {
            self.1
        }
    }

    #[test]
    fn an_early_renewal_has_a_third_of_the_time_and_all_of_it_where_an_answer_comes_once() {
        for (repeatable, stored, share) in
            [(true, false, 3), (true, true, 3), (false, false, 1), (false, true, 1)]
        {
            let (plain, grant) = source(LIFETIME);
            let given = Arc::<Mutex<Vec<Duration>>>::default();
            let timed = Timed(grant.clone(), repeatable, given.clone());
            let http = plain.http.clone().with_timeout(Duration::from_secs(30));
            let mut source = CachingSource { jitter: 1.0, ..CachingSource::new(http, timed) };
            if stored {
                source = source.with_store(Arc::new(Arc::new(Shelf::default())), name());
            }
            gives(&source, Duration::ZERO, "token-1");
            grant.clock.advance(LIFETIME - Duration::from_secs(1));
            gives(&source, Duration::ZERO, "token-2");
            let given = given.lock().unwrap();
            let most = Duration::from_secs(30) / share;
            assert!(given[1] <= most && given[1] > most / 2, "{repeatable} {stored}: {given:?}");
        }
    }

    /// What was found in a store is not new: it satisfies those for whom it lives long enough.
    #[test]
    fn one_who_waited_is_not_given_a_stored_token_that_is_too_short() {
        let (plain, grant) = source(LIFETIME);
        let (begun_sender, begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let now = grant.clock.now();
        let token = Token::new("stored", now).unwrap().with_expires_at(now + LIFETIME);
        let shelf = Shelf {
            record: Mutex::new(Some(Record::new(token, 0))),
            reads: Some(Reads { begun: begun_sender, may_go_on: Mutex::new(may_go_on) }),
        };
        grant.runs.store(1, Ordering::SeqCst);
        let source = &plain.with_store(Arc::new(Arc::new(shelf)), name());
        thread::scope(|scope| {
            let first = scope.spawn(|| source.token(Duration::ZERO).unwrap());
            begun.recv().unwrap();
            let second = scope.spawn(|| source.token(LIFETIME * 2).unwrap());
            while source.lock().waiting < 1 {
                thread::yield_now();
            }
            for _ in 0..2 {
                go_on.send(()).unwrap();
            }
            assert_eq!(text(&first.join().unwrap()), "stored");
            assert_eq!(text(&second.join().unwrap()), "token-2");
        });
    }

    #[test]
    fn a_forced_renewal_takes_the_living_token_from_nobody() {
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

        // What was refused meanwhile stays refused.
        let renewal = renew();
        gate.source.invalidate(&gate.source.current().unwrap());
        gate.end.send(Err(Error::new(ErrorKind::Network, "down"))).unwrap();
        renewal.join().unwrap().unwrap_err();
        gate.end.send(Ok(LIFETIME)).unwrap();
        gives(&gate.source, Duration::ZERO, "token-4");
    }

    #[test]
    fn a_token_from_elsewhere_is_used_first() {
        let (source, grant) = source(LIFETIME);
        let now = grant.clock.now();
        let source = source.with_token(Token::new("mine", now).unwrap().with_expires_at(now + LIFETIME));
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
        fn token(&self, http: &Http, _: Option<&Token>) -> Result<Token, Error> {
            let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
            self.begun.send(()).unwrap();
            let lifetime = self.end.lock().unwrap().recv().unwrap()?;
            let now = http.clock().now();
            Ok(Token::new(format!("token-{run}"), now)?.with_expires_at(now + lifetime))
        }
    }

    struct Gate {
        source: Arc<CachingSource>,
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
        let http = Http::new().with_clock(clock.clone()).with_timeout(timeout);
        Gate { source: Arc::new(CachingSource::new(http, grant)), begun, end, runs, clock }
    }

    #[test]
    fn sixty_four_threads_share_one_fetch() {
        // Whatever they ask for: also more than the new token lives.
        for min_valid in [Duration::ZERO, LIFETIME * 10] {
            let gate = gate(Duration::from_secs(20));
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    let source = gate.source.clone();
                    thread::spawn(move || source.token(min_valid).unwrap())
                })
                .collect();
            gate.begun.recv().unwrap();
            while gate.source.lock().waiting < 63 {
                thread::yield_now();
            }
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
    fn those_who_waited_share_the_failure() {
        let gate = gate(Duration::from_secs(20));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let source = gate.source.clone();
                thread::spawn(move || source.token(Duration::ZERO))
            })
            .collect();
        gate.begun.recv().unwrap();
        while gate.source.lock().waiting < 7 {
            thread::yield_now();
        }
        gate.end.send(Err(Error::new(ErrorKind::Refused, "no"))).unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap_err().to_string(), "no");
        }
        assert_eq!(gate.runs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_living_token_is_served_while_another_thread_renews() {
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
    fn one_who_needs_a_token_does_not_share_the_failure_of_an_early_renewal() {
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
        while gate.source.lock().waiting < 1 {
            thread::yield_now();
        }
        gate.end.send(Err(Error::new(ErrorKind::Timeout, "slow"))).unwrap();
        gate.begun.recv().unwrap();
        gate.end.send(Ok(LIFETIME)).unwrap();
        assert_eq!(text(&needed.join().unwrap()), "token-3");
        assert!(["token-1", "token-3"].contains(&text(&early.join().unwrap())));
    }

    /// Who found a living token in the store was in no need.
    #[test]
    fn nor_of_the_renewal_of_a_stored_token_that_lives() {
        let Gate { source, begun, end, clock, .. } = gate(Duration::from_secs(20));
        let token = Token::new("stored", clock.now()).unwrap().with_expires_at(clock.now() + LIFETIME);
        clock.advance(LIFETIME - Duration::from_secs(1));
        let shelf = Shelf { record: Mutex::new(Some(Record::new(token, 0))), ..Shelf::default() };
        let source = &Arc::into_inner(source).unwrap().with_store(Arc::new(Arc::new(shelf)), name());
        thread::scope(|scope| {
            let early = scope.spawn(|| source.token(Duration::ZERO).unwrap());
            begun.recv().unwrap();
            let needed = scope.spawn(|| source.token(Duration::from_secs(10)).unwrap());
            while source.lock().waiting < 1 {
                thread::yield_now();
            }
            end.send(Err(Error::new(ErrorKind::Network, "down"))).unwrap();
            begun.recv_timeout(Duration::from_secs(10)).unwrap();
            end.send(Ok(LIFETIME)).unwrap();
            assert_eq!(text(&needed.join().unwrap()), "token-2");
            assert!(["stored", "token-2"].contains(&text(&early.join().unwrap())));
        });
    }

    #[test]
    fn that_time_was_up_for_one_is_no_answer_to_who_has_more() {
        let gate = gate(Duration::from_secs(20));
        let ask = |within| {
            let source = gate.source.clone();
            thread::spawn(move || source.token_within(Duration::ZERO, Duration::from_secs(within)))
        };
        let short = ask(5);
        gate.begun.recv().unwrap();
        let (long, shorter) = (ask(100), ask(4));
        while gate.source.lock().waiting < 2 {
            thread::yield_now();
        }
        gate.end.send(Err(Error::new(ErrorKind::Timeout, "5 s"))).unwrap();
        gate.begun.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(short.join().unwrap().unwrap_err().to_string(), "5 s");
        gate.end.send(Ok(LIFETIME)).unwrap();
        assert_eq!(text(&long.join().unwrap().unwrap()), "token-2");
        // Whoever came first.
        if let Err(error) = shorter.join().unwrap() {
            assert_eq!(error.to_string(), "5 s");
        }
    }

    #[test]
    fn a_token_that_dies_during_its_early_renewal_is_replaced_all_the_same() {
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
    fn waiting_for_another_thread_has_a_deadline() {
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
    fn a_grant_that_panics_does_not_lock_the_others_out() {
        struct Panics(AtomicUsize);
        impl Grant for Panics {
            fn token(&self, http: &Http, _: Option<&Token>) -> Result<Token, Error> {
                assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first run panics");
                Token::new("second", http.clock().now())
            }
        }
        let source = Arc::new(CachingSource::new(Http::new(), Panics(AtomicUsize::new(0))));
        let first = source.clone();
        assert!(thread::spawn(move || first.token(Duration::ZERO).is_ok()).join().is_err());
        gives(&source, Duration::ZERO, "second");
    }

    #[test]
    fn a_callback_gets_the_new_token_and_no_other() {
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
    fn debug_shows_no_token() {
        let (source, _) = source(LIFETIME);
        let token = source.token(Duration::ZERO).unwrap();
        let marked = Token::new(Secret::from("s3cr3t"), token.obtained_at()).unwrap();
        assert!(!format!("{:?}", source.with_token(marked)).contains("s3cr3t"));
    }
}
