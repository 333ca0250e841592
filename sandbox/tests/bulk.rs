//! Many calls: exact counts and flat memory.

mod support;

use std::thread;

use keyfob_sandbox::{Endpoint, Sandbox};
use support::*;

fn calls(sandbox: &Sandbox, token: &str, threads: usize, each: usize) {
    let agent = agent();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    assert_eq!(info(sandbox, &agent, token).status, 200);
                }
            });
        }
    });
}

#[test]
fn counts_are_exact_with_many_threads() {
    let sandbox = Sandbox::start();
    let token = access_token(&sandbox, &agent());
    calls(&sandbox, &token, 8, 500);
    assert_eq!((sandbox.count(Endpoint::Info), sandbox.requests().len()), (4000, 1000));
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "takes half a minute; run it alone"]
fn memory_does_not_grow_over_a_hundred_thousand_calls() {
    let resident_kib = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let sandbox = Sandbox::start();
    let token = access_token(&sandbox, &agent());
    calls(&sandbox, &token, 2, 2_500);
    let before = resident_kib();
    calls(&sandbox, &token, 2, 47_500);
    let after = resident_kib();
    assert_eq!(sandbox.count(Endpoint::Info), 100_000);
    assert!(after <= before + 2048, "{before} KiB before, {after} KiB after");
}
