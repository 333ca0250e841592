//! The C interface, called with random input by the C program `capi/tests/c/random.c`. All unsafe code is in
//! that interface.
#![no_main]

extern crate keyfob_capi as _;
extern crate libfuzzer_sys as _;
