//! The C interface, by a program in C that calls it with whatever comes: `capi/tests/c/random.c`. All unsafe code is there.
#![no_main]

extern crate keyfob_capi as _;
extern crate libfuzzer_sys as _;
