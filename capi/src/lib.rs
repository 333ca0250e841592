#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod client;
mod failure;
#[allow(unsafe_code, reason = "the boundary: pointers come in and go out here, and nowhere else")]
mod ffi;
mod options;

/// Wipes what Rust code frees, buffers of ureq and rustls included. The allocations of the program itself are not touched.
#[cfg(feature = "zeroizing-alloc")]
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// A warning for profiles with `panic = "abort"`, of which a build script is not told.
#[cfg(panic = "abort")]
const _: () = {
    #[deprecated(note = "with this profile a panic ends the program: build with --profile capi")]
    const PANIC_IS_NOT_CAUGHT: () = ();
    PANIC_IS_NOT_CAUGHT
};
