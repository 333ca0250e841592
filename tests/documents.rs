//! Checks that the documents keep their own promises.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Each Markdown file that is written by hand or by a script of this repository.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "capi", "benches", "fuzz", "sandbox"].map(|folder| root().join(folder));
    let entries =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let pages: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

#[test]
fn each_relative_link_leads_to_a_file() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let path = page.parent().unwrap().join(target);
                assert!(path.exists(), "{}: {link}", page.display());
            }
        }
    }
}

#[test]
fn readme_is_short_and_shows_no_hidden_line_of_a_test() {
    let readme = read("README.md");
    assert!(readme.lines().count() < 120, "{} lines", readme.lines().count());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let code = text.split("```rust").skip(1).filter_map(|rest| rest.split("```").next());
        for line in code.flat_map(str::lines) {
            assert!(!line.starts_with("# "), "{}: {line}", page.display());
        }
    }
}

/// The names in `pub use` lines: `a::{B, c::D}` gives `B` and `D`.
fn exported(source: &str) -> Vec<String> {
    let uses = source.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let parts = uses.flat_map(|tree| tree.split([',', '{', '}']));
    let names = parts.filter_map(|part| part.trim().rsplit("::").next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn each_public_type_stands_in_one_row_of_the_front_page() {
    let front = read("src/lib.rs");
    let rows: Vec<_> = front.lines().filter(|line| line.starts_with("//! | ")).collect();
    let names =
        [front.as_str(), &read("src/flow.rs"), &read("src/service/spacebring.rs")].map(exported).concat();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        // The modules of services, and the crate that is re-exported as a whole.
        let is_service = keyfob::services().iter().any(|service| service.name == name);
        if is_service || ["ureq", "Agent"].contains(&name.as_str()) {
            continue;
        }
        let own = |cell: &str| cell.contains(&format!("[`{name}`]")) || cell.contains(&format!("::{name}`]"));
        let found = rows.iter().filter(|row| row.rsplit('|').nth(1).is_some_and(own));
        assert_eq!(found.count(), 1, "{name}");
    }
}

/// The string literals of a source file, without those of its tests.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let source = source.split("\n#[cfg(all(test").next().unwrap();
    let mut found = Vec::new();
    for line in code_lines(source).join("\n").split('"').skip(1).step_by(2) {
        // A backslash at the end of a line joins it to the next one.
        let mut lines = line.split("\\\n");
        let first = lines.next().unwrap().to_owned();
        found.push(lines.fold(first, |text, line| text + line.trim_start()).replace('\u{1}', "\""));
    }
    found
}

/// Without comments and without quotes that neither begin nor end a literal.
fn code_lines(source: &str) -> Vec<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.map(|line| line.replace("\\\"", "\u{1}").replace("'\"'", "")).collect()
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.extend(literals(&fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn each_error_text_on_the_page_about_problems_is_one_of_the_code() {
    let mut texts = Vec::new();
    for folder in ["src", "cli/src", "config/src"] {
        sources(&root().join(folder), &mut texts);
    }
    assert!(texts.len() > 1000, "{}", texts.len());
    let page = read("docs/problems.md");
    let quoted = page.lines().filter_map(|line| line.strip_prefix("| `")?.split("` |").next());
    let mut count = 0;
    for quoted in quoted {
        // In the code, a name in braces stands where the page has dots.
        let parts: Vec<_> = quoted.split('…').map(str::trim).filter(|part| part.len() > 2).collect();
        let is_in_order = |text: &String| {
            let mut rest = text.as_str();
            parts.iter().all(|part| match rest.find(part) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        };
        assert!(texts.iter().any(is_in_order), "{quoted}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}
