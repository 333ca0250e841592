//! A port for tests that open and close it.

use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A port that the system never assigns by itself, so that no other program obtains it while it is closed.
pub fn own_port() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let all = 20_000..32_000_u16;
    // Different from the ports of a process that was started right after this one.
    let first = 97 * process::id() as usize + NEXT.fetch_add(1, Relaxed);
    let mut addresses =
        all.clone().cycle().skip(first % all.len()).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    addresses.find(|&address| TcpListener::bind(address).is_ok()).expect("a port is free")
}
