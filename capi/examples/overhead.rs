//! The work of `figures/overhead.c` in Rust: the other side of the comparison that `figures/run` makes.

#![allow(clippy::disallowed_methods, reason = "what is measured runs on the machine's clock")]

use std::hint::black_box;
use std::io::stdin;
use std::time::{Duration, Instant};

use keyfob::{SpatiaFi, TokenSource as _};

const CALLS: u32 = 1_000_000;

fn main() -> Result<(), keyfob::Error> {
    let source = SpatiaFi::from_env()?.source();
    let min_valid = Duration::from_secs(60);
    source.token(min_valid)?;
    for _ in stdin().lines() {
        let begun = Instant::now();
        for _ in 0..CALLS {
            black_box(source.token(black_box(min_valid))?.authorization());
        }
        println!("{:.1}", begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    Ok(())
}
