//! Compares reading a valid token from memory with the least possible cost: an uncontended `RwLock` read, an
//! `Arc` clone and a look at the clock.
#![allow(clippy::disallowed_methods, reason = "the least there is reads the clock by itself")]

mod turns;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use keyfob::flow::Grant;
use keyfob::{CachingSource, Error, Token, TokenSource as _, Transport};

use turns::Turns;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator receives every call unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the system's allocator asks for the same promise as this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A grant whose token exists already.
struct Nothing;

impl Grant for Nothing {
    fn token(&self, _: &Transport, _: Option<&Token>) -> Result<Token, Error> {
        unreachable!("the token is valid for an hour")
    }
}

fn main() {
    let now = SystemTime::now();
    let token = Token::new("t".repeat(200), now).expect("letters");
    let token = token.with_expires_at(now + Duration::from_secs(3600));
    let locked = RwLock::new(Arc::new(token.clone()));
    let source = CachingSource::new(Transport::new(), Nothing).with_token(token);

    let keyfob = || source.token(Duration::ZERO).expect("it is valid");
    let least = || (locked.read().expect("not poisoned").clone(), SystemTime::now());

    let mut turns = Turns::new("source");
    turns.add("keyfob", keyfob);
    turns.add("RwLock read, Arc clone, clock", least);
    let mut criterion = Criterion::default().configure_from_args();
    turns.run(&mut criterion);
    criterion.final_summary();

    print_allocations(&keyfob);
    println!(
        "\n| source, calls per second of all threads together | 1 thread | 8 threads |\n| --- | ---: | ---: |"
    );
    print_throughput("keyfob", &keyfob);
    print_throughput("RwLock read, Arc clone, clock", &least);
}

fn print_allocations(token: &impl Fn() -> Arc<Token>) {
    const CALLS: u32 = 100_000;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..CALLS {
        black_box(token());
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!("\n{allocations} heap allocations in {CALLS} calls");
    assert_eq!(allocations, 0);
}

fn print_throughput<T>(name: &str, run: &(impl Fn() -> T + Sync)) {
    // Takes the best of several rounds, which other load on the machine disturbs least.
    let best = |threads| (0..7).map(|_| throughput(threads, run)).max().unwrap_or_default();
    println!("| {name} | {} | {} |", best(1), best(8));
}

fn throughput<T>(threads: usize, run: &(impl Fn() -> T + Sync)) -> u64 {
    const TURN: Duration = Duration::from_millis(200);
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    black_box(run());
                    count += 1;
                }
                calls.fetch_add(count, Ordering::Relaxed);
            });
        }
        thread::sleep(TURN);
        stop.store(true, Ordering::Relaxed);
    });
    calls.into_inner() * 1_000 / 200
}
