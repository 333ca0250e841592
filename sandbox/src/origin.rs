//! One origin: an httpmock server, a front for TLS or a fixed port where wanted, and the service behind them.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use httpmock::{HttpMockRequest, HttpMockResponse, Mock, MockServer};

use crate::answer::Answer;
use crate::counters::Counters;
use crate::fault::{Fault, Faults, Lane};
use crate::log::{Log, LoggedRequest};
use crate::request::Request;
use crate::sync::lock;
use crate::tls::{Front, ServerCertificate, TestAuthority};
use crate::{Clock, Endpoint};

/// The service of an origin.
pub(crate) trait Service: Send + Sync + 'static {
    /// Which endpoint a path belongs to.
    fn endpoint(&self, path: &str) -> Endpoint;

    /// The proper answer.
    fn answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer;

    /// The answer to a request for another host, as a reverse proxy gives it.
    fn misdirected(&self) -> Answer {
        Answer::detail(400, "Invalid host header")
    }

    /// Makes the changes that a real server may have made before it failed. A fault answers this request.
    fn fail(&self, _endpoint: Endpoint, _request: &Request<'_>) {}
}

/// The state that all origins of a sandbox share.
#[derive(Default)]
pub(crate) struct Common {
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) faulted: Counters,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
}

/// A server of its own scheme, host and port.
pub(crate) struct Origin {
    handler: Arc<Handler>,
    // The front is dropped before the server that it leads to.
    front: Option<Front>,
    server: MockServer,
    lanes: Mutex<HashMap<Lane, usize>>,
}

impl Origin {
    pub(crate) fn start(
        name: &'static str,
        service: impl Service,
        common: &Arc<Common>,
        authority: Option<&TestAuthority>,
        listener: Option<TcpListener>,
    ) -> Self {
        let server = MockServer::start();
        let config = authority.map(|authority| authority.server_config(ServerCertificate::Valid));
        let scheme = if config.is_some() { "https" } else { "http" };
        // httpmock chooses its port itself and speaks no TLS, so a front stands before it for either.
        let needs_front = config.is_some() || listener.is_some();
        let front = needs_front.then(|| Front::start(listener, *server.address(), config));
        let port = front.as_ref().map_or_else(|| server.port(), Front::port);
        let handler = Arc::new(Handler {
            name,
            scheme,
            port,
            service: Box::new(service),
            common: Arc::clone(common),
            chosen: Mutex::new(None),
        });
        let origin = Self { handler, front, server, lanes: Mutex::default() };
        origin.open_fast_lane();
        origin
    }

    pub(crate) fn name(&self) -> &'static str {
        self.handler.name
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.handler.scheme, self.handler.port)
    }

    pub(crate) fn front(&self) -> Option<&Front> {
        self.front.as_ref()
    }

    /// Opens the lane without a delay. httpmock offers each request to this mock first, so this mock counts it and chooses its lane.
    fn open_fast_lane(&self) {
        let arrival = Arc::clone(&self.handler);
        let handler = Arc::clone(&self.handler);
        self.server.mock(|when, then| {
            when.is_true(move |request| arrival.arrive(request).is_none());
            then.respond_with(move |request| handler.respond(request, None));
        });
    }

    /// Opens a lane that delays each answer by `delay`. Then `fault` happens, or if it is `None`, the fault that is queued at that time.
    ///
    /// httpmock answers from one thread, and a sleep in a closure would block it. So httpmock itself makes the delay.
    pub(crate) fn open_lane(&self, lane: Lane, delay: Duration, fault: Option<Arc<Fault>>) {
        let arrival = Arc::clone(&self.handler);
        let handler = Arc::clone(&self.handler);
        let mock = self.server.mock(|when, then| {
            when.is_true(move |_| *lock(&arrival.chosen) == Some(lane));
            then.delay(delay).respond_with(move |request| handler.respond(request, fault.clone()));
        });
        lock(&self.lanes).insert(lane, mock.id());
    }

    /// Requests that are under way on the lane still get their answers.
    pub(crate) fn close_lane(&self, lane: Lane) {
        let mock = lock(&self.lanes).remove(&lane);
        if let Some(mock) = mock {
            Mock::new(mock, &self.server).delete();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // The server itself returns to httpmock's pool, and would still answer from these mocks.
        self.server.reset();
    }
}

struct Handler {
    name: &'static str,
    scheme: &'static str,
    port: u16,
    service: Box<dyn Service>,
    common: Arc<Common>,
    /// The lane of the request for which httpmock is choosing a mock. httpmock holds a lock meanwhile, so there is
    /// one such request at a time.
    chosen: Mutex<Option<Lane>>,
}

impl Handler {
    fn arrive(&self, raw: &HttpMockRequest) -> Option<Lane> {
        let endpoint = self.service.endpoint(raw.uri().path());
        self.common.counters.add(endpoint);
        let lane = self.common.faults.choose(endpoint);
        *lock(&self.chosen) = lane;
        lane
    }

    fn respond(&self, raw: &HttpMockRequest, fault: Option<Arc<Fault>>) -> HttpMockResponse {
        let request = Request::read(raw, self.scheme);
        let endpoint = self.service.endpoint(request.path());
        let answer = match fault.or_else(|| self.common.faults.take(endpoint)) {
            None => self.proper_answer(endpoint, &request),
            Some(fault) => {
                if fault.replaces_answer() {
                    self.common.faulted.add(endpoint);
                    self.service.fail(endpoint, &request);
                }
                fault.answer(|| self.proper_answer(endpoint, &request))
            }
        };
        self.common.log.push(LoggedRequest::new(self.name, endpoint, &request, answer.status));
        answer.into_response(&self.common.clock)
    }

    fn proper_answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer {
        if request.is_for(self.port) {
            self.service.answer(endpoint, request)
        } else {
            self.service.misdirected()
        }
    }
}
