//! Faults on demand, and the queues they wait in.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::Endpoint;
use crate::answer::Answer;
use crate::random;
use crate::sync::lock;

type Edit = Arc<dyn Fn(&mut Map<String, Value>) + Send + Sync>;

/// What goes wrong with a request: queued with [`Servers::fault`](crate::Servers::fault), used up one by one.
#[derive(Clone)]
pub struct Fault {
    kind: Kind,
    headers: Vec<(String, String)>,
    delay: Duration,
    times: Option<u64>,
    /// The share of the requests that a random fault happens to. `None` for a fault that waits in a queue.
    share: Option<f64>,
}

#[derive(Clone)]
enum Kind {
    Proper,
    Instead(Answer),
    Edit(Edit),
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self { kind, headers: Vec::new(), delay: Duration::ZERO, times: Some(1), share: None }
    }

    /// An answer with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self::new(Kind::Instead(Answer::empty(status)))
    }

    /// The proper answer, late. See also [`Fault::after`].
    pub fn delay(delay: Duration) -> Self {
        Self::new(Kind::Proper).after(delay)
    }

    /// An answer made of exactly this.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Instead(Answer::raw(status, content_type, body.into())))
    }

    /// An answer with this JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(Kind::Instead(Answer::json(status, body)))
    }

    /// The proper answer with its JSON fields changed by `edit`. Refusals pass unchanged.
    ///
    /// ```
    /// # use keyfob_sandbox::{Endpoint, Fault, Sandbox};
    /// # let sandbox = Sandbox::start();
    /// sandbox.fault(
    ///     Endpoint::Token,
    ///     Fault::edit(|fields| {
    ///         fields.remove("expires_at");
    ///         fields.insert("expires_in".into(), "3600".into());
    ///     }),
    /// );
    /// ```
    pub fn edit(edit: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) -> Self {
        Self::new(Kind::Edit(Arc::new(edit)))
    }

    /// A 200 whose JSON breaks off in the middle.
    pub fn broken_json() -> Self {
        Self::raw(200, "application/json", r#"{"access_token": "half"#)
    }

    /// A 200 with `depth` JSON arrays in each other.
    pub fn deep_json(depth: usize) -> Self {
        Self::raw(200, "application/json", "[".repeat(depth) + &"]".repeat(depth))
    }

    /// A 200 with valid JSON of `size` bytes.
    ///
    /// # Panics
    ///
    /// If `size` is below 2.
    pub fn oversized(size: usize) -> Self {
        assert!(size >= 2, "valid JSON text has two quotes");
        Self::raw(200, "application/json", format!("\"{}\"", "x".repeat(size - 2)))
    }

    /// Adds a header to the answer.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `Retry-After`: seconds, a date, or nonsense.
    pub fn with_retry_after(self, value: &str) -> Self {
        self.with_header("Retry-After", value)
    }

    /// Holds the answer back. Requests meanwhile are served. Default: none, but see
    /// [`Servers::set_delay`](crate::Servers::set_delay).
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Happens to this many requests. Default: 1.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Happens until [`Servers::clear_faults`](crate::Servers::clear_faults).
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Happens to this share of the requests, at random and before queued ones, until
    /// [`Servers::clear_faults`](crate::Servers::clear_faults): 0.01 is one request in a hundred.
    pub fn at_random(mut self, share: f64) -> Self {
        self.share = Some(share);
        self
    }

    pub(crate) fn own_delay(&self) -> Option<Duration> {
        (!self.delay.is_zero()).then_some(self.delay)
    }

    /// True if the service itself never gets to answer.
    pub(crate) fn replaces_answer(&self) -> bool {
        matches!(self.kind, Kind::Instead(_))
    }

    pub(crate) fn answer(&self, proper: impl FnOnce() -> Answer) -> Answer {
        let answer = match &self.kind {
            Kind::Proper => proper(),
            Kind::Instead(answer) => answer.clone(),
            Kind::Edit(edit) => proper().edited(|fields| edit(fields)),
        };
        self.headers.iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Proper => "proper answer".to_owned(),
            Kind::Instead(answer) => format!("status {}", answer.status),
            Kind::Edit(_) => "edited answer".to_owned(),
        };
        f.debug_struct("Fault")
            .field("kind", &kind)
            .field("headers", &self.headers)
            .field("delay", &self.delay)
            .field("times", &self.times)
            .field("share", &self.share)
            .finish()
    }
}

/// Identifies a mock of httpmock that delays its answers by a fixed time. A mock has only one delay. So each
/// delayed fault and each delayed endpoint has a lane of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane(pub(crate) u64);

struct Queued {
    fault: Arc<Fault>,
    left: Option<u64>,
    lane: Option<Lane>,
}

/// The faults that wait for requests, and the lasting delays.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    queues: HashMap<Endpoint, VecDeque<Queued>>,
    random: HashMap<Endpoint, Vec<Queued>>,
    delays: HashMap<Endpoint, Lane>,
    lanes: u64,
    used_up: Vec<Lane>,
}

impl Faults {
    pub(crate) fn new_lane(&self) -> Lane {
        let mut waiting = lock(&self.0);
        waiting.lanes += 1;
        Lane(waiting.lanes)
    }

    /// Queues a fault. `lane` is the lane with the fault's own delay, or `None` for a fault without a delay.
    pub(crate) fn push(&self, endpoint: Endpoint, fault: Arc<Fault>, lane: Option<Lane>) {
        let left = fault.times;
        if left == Some(0) {
            return;
        }
        let is_random = fault.share.is_some();
        let queued = Queued { fault, left, lane };
        let waiting = &mut lock(&self.0);
        if is_random {
            waiting.random.entry(endpoint).or_default().push(queued);
        } else {
            waiting.queues.entry(endpoint).or_default().push_back(queued);
        }
    }

    /// Sets or ends the lasting delay of an endpoint and returns the lane that is not needed any more.
    pub(crate) fn set_delay(&self, endpoint: Endpoint, lane: Option<Lane>) -> Option<Lane> {
        let delays = &mut lock(&self.0).delays;
        match lane {
            Some(lane) => delays.insert(endpoint, lane),
            None => delays.remove(&endpoint),
        }
    }

    /// Chooses the lane of a request that arrives now; `None` is the fast one. Uses up a delayed fault.
    pub(crate) fn choose(&self, endpoint: Endpoint) -> Option<Lane> {
        let mut waiting = lock(&self.0);
        if let Some(random) = waiting.draw(endpoint, true) {
            return random.lane;
        }
        let delayed = waiting.queues.get(&endpoint).and_then(|queue| queue.front()?.lane);
        if delayed.is_some() {
            waiting.use_up(endpoint);
            return delayed;
        }
        waiting.delays.get(&endpoint).copied()
    }

    /// Returns the fault for a request that is answered now, and uses it up. Returns `None` if the next fault has a delay of its own.
    pub(crate) fn take(&self, endpoint: Endpoint) -> Option<Arc<Fault>> {
        let mut waiting = lock(&self.0);
        if let Some(random) = waiting.draw(endpoint, false) {
            return Some(Arc::clone(&random.fault));
        }
        let first = waiting.queues.get(&endpoint)?.front()?;
        first.lane.is_none().then(|| waiting.use_up(endpoint))?
    }

    /// Drops what is queued; lasting delays stay.
    pub(crate) fn clear(&self) {
        let mut waiting = lock(&self.0);
        let mut lanes: Vec<_> =
            waiting.queues.drain().flat_map(|(_, queue)| queue).filter_map(|q| q.lane).collect();
        lanes.extend(waiting.random.drain().flat_map(|(_, faults)| faults).filter_map(|q| q.lane));
        waiting.used_up.extend(lanes);
    }

    /// The lanes that no request will take again.
    pub(crate) fn used_up(&self) -> Vec<Lane> {
        std::mem::take(&mut lock(&self.0).used_up)
    }
}

impl Waiting {
    /// One of the random faults with or without a delay of its own, or none.
    fn draw(&self, endpoint: Endpoint, delayed: bool) -> Option<&Queued> {
        let faults = self.random.get(&endpoint)?;
        let mut left = random::fraction();
        faults.iter().filter(|random| random.lane.is_some() == delayed).find(|random| {
            left -= random.fault.share.unwrap_or_default();
            left < 0.0
        })
    }

    fn use_up(&mut self, endpoint: Endpoint) -> Option<Arc<Fault>> {
        let queue = self.queues.get_mut(&endpoint)?;
        let first = queue.front_mut()?;
        let fault = Arc::clone(&first.fault);
        if let Some(left) = &mut first.left {
            *left -= 1;
            if *left == 0 {
                let lane = first.lane;
                queue.pop_front();
                self.used_up.extend(lane);
            }
        }
        Some(fault)
    }
}
