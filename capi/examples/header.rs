//! Writes `include/keyfob.h` from the comments in the code: `cargo run -p keyfob-capi --example header`.

#[path = "../tests/support/header.rs"]
mod header;

fn main() {
    let path = header::path();
    std::fs::write(&path, header::generate()).expect("the header can be written");
    println!("wrote {}", path.display());
}
