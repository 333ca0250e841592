//! Another static library of Rust code, with its own allocator, for a C program that links it beside keyfob.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator receives every call unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local!(static CALLS: Cell<u64> = const { Cell::new(0) });

/// How often this thread has called this function.
#[unsafe(no_mangle)]
pub extern "C" fn other_calls() -> u64 {
    CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        calls.get()
    })
}

/// How often this library has allocated.
#[unsafe(no_mangle)]
pub extern "C" fn other_allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// Uses the heap, hash maps, threads and formatting. Returns the sum of the numbers below 1000.
#[unsafe(no_mangle)]
pub extern "C" fn other_work() -> u64 {
    let threads: Vec<_> = (0..4_u64)
        .map(|part| {
            std::thread::spawn(move || {
                let map: HashMap<String, u64> =
                    (0..250).map(|number| (format!("number {number}"), 250 * part + number)).collect();
                map.values().sum::<u64>()
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

/// Returns 1 if a panic was caught.
#[unsafe(no_mangle)]
pub extern "C" fn other_panic() -> i32 {
    let caught = std::panic::catch_unwind(|| assert_eq!(other_calls(), 0, "on purpose"));
    i32::from(caught.is_err())
}
