//! The work of both sides of `compare`, so that the sides differ only in how they authenticate.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

use ureq::Body;
use ureq::http::Response;

/// Any error: a benchmark stops at the first one.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The redirect URI of the logins. `compare` reads the callback from the URL itself, so nothing listens here.
pub const CALLBACK: &str = "http://127.0.0.1:8765/callback";

/// The API call that is repeated, relative to `SPATIAFI_API_URL`.
pub const CALL: &str = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0";

/// Returns the COUNT of the arguments `login COUNT`, or `None` without them.
///
/// # Errors
///
/// If COUNT is not a number.
pub fn logins() -> Outcome<Option<u64>> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some("login") {
        return Ok(None);
    }
    Ok(Some(arguments.next().ok_or("how many logins?")?.parse()?))
}

/// Makes as many calls as the first argument says, on as many threads as the second says. Prints figures if
/// there is a second argument.
///
/// # Errors
///
/// For bad arguments, and at the first call that fails.
#[allow(clippy::disallowed_methods, reason = "benchmarks read the clock by themselves")]
pub fn work(call: impl Fn() -> Result<Response<Body>, ureq::Error> + Sync) -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let calls: u64 = arguments.next().ok_or("how many calls?")?.parse()?;
    let Some(threads) = arguments.next() else {
        return (0..calls).try_for_each(|_| finish(call()?));
    };

    let threads: usize = threads.parse()?;
    // The first call includes the token request of keyfob, which is not measured here.
    finish(call()?)?;
    let (next, early, late) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed) + 1;
        if number > calls {
            return Ok(());
        }
        finish(call()?)?;
        if number == 1000 {
            early.store(resident_kib()?, Ordering::Relaxed);
        } else if number == calls {
            late.store(resident_kib()?, Ordering::Relaxed);
        }
    };
    let started = Instant::now();
    thread::scope(|scope| -> Outcome<()> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a panic".into())))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds} {} {}", early.into_inner(), late.into_inner());
    Ok(())
}

fn finish(mut response: Response<Body>) -> Outcome<()> {
    let body = response.body_mut().read_to_vec()?;
    if body.is_empty() { Err("an empty answer".into()) } else { Ok(()) }
}

fn resident_kib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
