//! Man pages, for packaging: `cargo run -p keyfob-cli --example man -- FOLDER` writes one for each command.

use std::path::Path;

use clap::CommandFactory as _;

#[allow(dead_code, reason = "only the description of the command is needed")]
#[path = "../src/args.rs"]
mod args;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: man FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(args::Cli::command(), Path::new(&folder))?;
    Ok(())
}
