#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod client;
mod failure;
#[allow(unsafe_code, reason = "the boundary: pointers come in and go out here, and nowhere else")]
mod ffi;
mod log;
mod login;
mod options;

/// Wipes what Rust code frees, including the buffers of ureq and rustls. The allocations of the C program are
/// not affected.
#[cfg(feature = "zeroizing-alloc")]
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Warns about profiles with `panic = "abort"`. A build script cannot see that setting.
#[cfg(panic = "abort")]
const _: () = {
    #[deprecated(note = "with this profile a panic ends the program: build with --profile capi")]
    const PANIC_IS_NOT_CAUGHT: () = ();
    PANIC_IS_NOT_CAUGHT
};
