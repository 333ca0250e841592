//! The examples as programs.

use std::process::Command;

/// The built example. `cargo test` builds all examples, `cargo test --test examples` only when a test asks
/// for one.
pub fn example(name: &str) -> Command {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap().join("examples").join(name);
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--example", name]).status();
        assert!(built.unwrap().success());
    }
    let mut command = Command::new(path);
    command.env_clear();
    command
}
