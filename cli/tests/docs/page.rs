//! A page in `docs/`, and its blocks of code.

use std::fs;
use std::path::{Path, PathBuf};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

pub struct Page {
    pub blocks: Vec<Block>,
}

/// `sh` is a script, each command of which must succeed. `console` has commands behind `$ `, each with its output. A block of any other
/// language whose first line is a comment with nothing but a path is the content of that file.
#[derive(Debug)]
pub struct Block {
    pub language: String,
    pub text: String,
}

impl Page {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in text.split_inclusive('\n') {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Block { language: language.trim().to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += line,
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a block does not end");
        Self { blocks }
    }

    pub fn commands(&self) -> Vec<String> {
        self.blocks.iter().flat_map(Block::commands).collect()
    }
}

impl Block {
    pub fn commands(&self) -> Vec<String> {
        match &*self.language {
            "sh" => commands(&self.text),
            "console" => self.shown().into_iter().map(|(command, _)| command.to_owned()).collect(),
            _ => Vec::new(),
        }
    }

    /// The commands of a `console` block, each with its output.
    pub fn shown(&self) -> Vec<(&str, &str)> {
        let commands = self.text.strip_prefix("$ ").expect("a console block begins with a command");
        commands.split("\n$ ").map(|command| command.split_once('\n').unwrap_or((command, ""))).collect()
    }

    /// The path of the file that the block shows.
    pub fn path(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        let path = ["# ", "// "].iter().find_map(|comment| first.strip_prefix(comment))?;
        let is_path = !path.contains(' ') && path.contains(['/', '.']);
        is_path.then_some(path)
    }
}

/// The commands of a script. A here document is part of its command.
fn commands(script: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut goes_on = false;
    let mut end = None;
    for line in script.lines() {
        if goes_on {
            let command = commands.last_mut().unwrap();
            *command += "\n";
            *command += line;
        } else if line.trim().is_empty() || line.starts_with('#') {
            continue;
        } else {
            commands.push(line.to_owned());
        }
        if end.is_none() {
            end = line.split_once("<<'").map(|(_, rest)| rest.split('\'').next().unwrap().to_owned());
        } else if end.as_deref() == Some(line) {
            end = None;
        }
        goes_on = end.is_some() || line.ends_with('\\');
    }
    commands
}

/// Whether a line is that of the page, in which `…` stands for any text.
pub fn fits(line: &str, shown: &str) -> bool {
    let mut rest = line;
    for (n, part) in shown.split('…').enumerate() {
        let Some(at) = rest.find(part).filter(|at| n > 0 || *at == 0) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || shown.ends_with('…')
}
