//! Compiles the target that is written in C.

fn main() {
    let (source, include) = ("../capi/tests/c/random.c", "../capi/include");
    println!("cargo::rerun-if-changed=../capi/tests/c");
    println!("cargo::rerun-if-changed={include}");
    let objects = cc::Build::new().file(source).include(include).define("FUZZ", None).compile_intermediates();
    for object in objects {
        println!("cargo::rustc-link-arg-bin=c_abi={}", object.display());
    }
}
