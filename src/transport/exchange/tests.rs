#![allow(clippy::disallowed_methods, reason = "a lookup that takes time does so on the machine's clock")]

#[cfg(feature = "_tls")]
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::client_auth::ClientAuth;
use crate::flow::ClientCredentials;
use crate::transport::resolver::Resolver;

#[test]
#[cfg(not(feature = "_tls"))]
fn build_without_tls_makes_no_connection_for_https() {
    let http = Transport::new();
    for (url, proxy) in [("https://127.0.0.1:1/", None), ("https://127.0.0.1:1/", Some("http://127.0.0.1:1"))]
    {
        let http = proxy.map_or_else(|| http.clone(), |proxy| http.clone().with_proxy(proxy));
        let prepared = http.prepared().unwrap();
        let proxy = prepared.proxies.usual();
        let request = Request::get(url).body(SendBody::none()).unwrap();
        let watch = Watch::new(Deadline::after(Duration::from_secs(5)), false);
        let error = http.run(prepared, request, proxy, Duration::from_secs(5), &watch.into()).unwrap_err();
        assert!(matches!(unwrap_unsent(error), (ureq::Error::TlsRequired, false)), "{url}");
    }
}

#[test]
#[cfg(feature = "_tls")]
fn name_that_is_not_looked_up_in_time_is_reported_as_that() {
    const WITHIN: Duration = Duration::from_millis(50);
    let resolver = Resolver::with_lookup(|_, _| {
        thread::sleep(20 * WITHIN);
        Ok(Vec::new())
    });
    let http = Transport::new().with_timeout(WITHIN).change(|settings| settings.resolver = resolver);
    let behind = http.clone().with_proxy("http://proxy.test:1");
    for (http, place) in [(http, ""), (behind, "the proxy proxy.test:1: ")] {
        let flow = ClientCredentials::new("https://127-0-0-1.test/", ClientAuth::secret_post("id", "secret"));
        let error = flow.run(&http).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.reason(), format!("{place}the host name was not looked up in time"));
        assert_eq!(error.advice(), Some(Advice::CheckDns));
    }
}

#[test]
#[cfg(feature = "_tls")]
fn looking_up_a_proxy_uses_up_the_time_for_connecting() {
    const NAME: Duration = Duration::from_millis(900);
    const TIMEOUT: Duration = Duration::from_secs(1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the queue of the listener, so that a new connection gets no answer at all.
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    let queued: Vec<_> = (0..8192).map_while(connect).collect();
    if queued.len() == 8192 {
        return println!("skipped: the queue cannot be filled here");
    }
    let resolver = Resolver::with_lookup(move |_, _| {
        thread::sleep(NAME);
        Ok(vec![address])
    });
    let http = Transport::new().with_timeout(TIMEOUT).change(|settings| settings.resolver = resolver);
    let http = http.with_proxy("http://proxy.test:1");
    let started = Deadline::after(TIMEOUT);
    let prepared = http.prepared().unwrap();
    let proxy = prepared.proxies.usual();
    let request = Request::get("https://127.0.0.1:1/").body(SendBody::none()).unwrap();
    let result = http.run(prepared, request, proxy, TIMEOUT, &Watch::new(started, false).into());
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.contains("Timeout"), "{error}");
    assert!(started.elapsed() < TIMEOUT + Duration::from_millis(400), "{:?}", started.elapsed());
}
