//! Writes the command's man pages, one for each of its commands: `cargo run -p keyfob-man -- FOLDER`.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

#[allow(dead_code, reason = "only the description of the command is needed")]
#[path = "../src/args.rs"]
mod args;

/// The pages are those of every machine, so they know no configuration.
mod catalog {
    pub fn catalog() -> &'static keyfob_config::Catalog {
        static EMPTY: keyfob_config::Catalog = keyfob_config::Catalog::EMPTY;
        &EMPTY
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: keyfob-man FOLDER")?;
    fs::create_dir_all(&folder)?;
    let mut command = args::Cli::command().disable_help_subcommand(true);
    // Gives the commands below it their full names and the common options.
    command.build();
    let exit_status = sections(&command).exit_status;
    Ok(write_all(&command, &exit_status, Path::new(&folder))?)
}

fn write_all(command: &Command, exit_status: &str, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command, exit_status)?)?;
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    visible.into_iter().try_for_each(|command| write_all(command, exit_status, folder))
}

fn page(command: &Command, exit_status: &str) -> io::Result<Vec<u8>> {
    let own = sections(command);
    let man = Man::new(command.clone()).source(concat!("keyfob ", env!("CARGO_PKG_VERSION")));
    // The text of `keyfob` itself tells where secrets come from.
    let is_top = command.get_name() == command.get_display_name().unwrap_or(command.get_name());
    let rest = if is_top { "ENVIRONMENT" } else { "NOTES" };
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    for (title, text) in
        [(rest, own.rest.as_str()), ("EXIT STATUS", exit_status), ("EXAMPLES", &own.examples)]
    {
        if !text.is_empty() {
            page.extend(section(title, text).into_bytes());
        }
    }
    Ok(page)
}

/// The text after a command's options, by its headings.
#[derive(Default)]
struct Sections {
    exit_status: String,
    examples: String,
    rest: String,
}

fn sections(command: &Command) -> Sections {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections = Sections::default();
    for block in text.split("\n\n") {
        let (to, block) = match block.split_once('\n') {
            Some(("Exit status:", block)) => (&mut sections.exit_status, block),
            Some(("Examples:" | "Example:", block)) => (&mut sections.examples, block),
            _ => (&mut sections.rest, block),
        };
        let gap = if to.is_empty() { "" } else { "\n" };
        let _ = writeln!(to, "{gap}{}", block.trim_end());
    }
    sections
}

/// A section whose lines stay as they are.
fn section(title: &str, text: &str) -> String {
    let mut section = format!(".SH \"{title}\"\n.nf\n");
    for line in text.trim_matches('\n').lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A dot or an apostrophe at the start would be a request.
        let mark = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(section, "{mark}{line}");
    }
    section + ".fi\n"
}
