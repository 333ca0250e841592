//! Which signals end this program.
#![cfg(unix)]

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Those that are not ignored: what was ignored at the start stays so, as `nohup` and `trap ''` want it.
pub fn that_end() -> impl Iterator<Item = i32> {
    let ignored = ignored();
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(move |signal| ignored >> (signal - 1) & 1 == 0)
}

/// The signals that are ignored, a bit for each from the lowest on: as Linux tells without unsafe code, elsewhere none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
