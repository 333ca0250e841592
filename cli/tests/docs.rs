//! The commands on the pages in `docs/` work, and print what the pages show.
#![cfg(unix)]

#[path = "docs/cluster.rs"]
mod cluster;
#[path = "docs/mail.rs"]
mod mail;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/proxy.rs"]
mod proxy;
#[path = "docs/site.rs"]
mod site;
mod support;

use std::fs;

use page::{Block, Page, fits};
use site::Site;

/// A test for each page that shows commands. A new page is one line.
macro_rules! pages {
    ($($(#[$attribute:meta])* fn $test:ident() { $page:literal on $site:path })*) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $test() {
                $site().run(&Page::read($page));
            }
        )*

        const PAGES: &[&str] = &[$($page),*];
    };
}

pages! {
    fn commands_of_the_page_about_configuration_work() { "configuration.md" on Site::start }
    fn commands_of_the_page_about_choosing_a_grant_work() { "grants.md" on Site::start }
    fn commands_of_the_page_about_headless_machines_work() { "headless.md" on Site::start }
    fn commands_of_the_page_about_problems_work() { "problems.md" on Site::start }
    fn commands_of_the_page_about_the_command_work() { "command.md" on Site::start }
    fn commands_of_the_page_about_company_networks_work() { "network.md" on Site::in_a_company }
    fn commands_of_the_page_about_cron_and_systemd_work() { "cron-systemd.md" on Site::with_schedulers }
    #[ignore = "needs kubectl, and root for mounts"]
    fn commands_of_the_page_about_containers_work() { "containers.md" on Site::with_containers }
    #[ignore = "needs Python, Node and Go"]
    fn commands_of_the_page_about_programs_work() { "programs.md" on Site::start }
    #[ignore = "needs curl, git, msmtp, mbsync with a module for XOAUTH2, and mutt"]
    fn commands_of_the_page_about_git_curl_and_mail_work() { "git-curl-mail.md" on Site::with_git_and_mail }
}

/// Pages whose commands other tests run: `session.rs`, and the examples of the library.
const OTHERS: [&str; 2] = ["session.md", "spatiafi.md"];

#[test]
fn each_page_with_commands_is_run() {
    for entry in fs::read_dir(page::folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.rsplit_once('.').is_some_and(|(_, end)| end == "md")
            && !Page::read(&name).commands().is_empty()
        {
            assert!(PAGES.contains(&&*name) || OTHERS.contains(&&*name), "{name}");
        }
    }
}

#[test]
fn first_answer_of_an_unknown_server_takes_at_most_five_commands() {
    let page = Page::read("configuration.md");
    let first = page.blocks.iter().find(|block| block.language == "sh").unwrap();
    let commands = Block::commands(first);
    assert!(commands.last().unwrap().contains("keyfob acme get /things"), "{commands:?}");
    assert!(commands.len() <= 5, "{commands:#?}");
    // The page says nothing before them that a person would have to run or write.
    assert!(std::ptr::eq(first, &raw const page.blocks[0]), "{:?}", page.blocks[0]);
    assert!(
        Site::empty()
            .script(first)
            .ends_with("{\"things\":[\"anvil\",\"rocket skates\",\"giant magnet\"]}\n")
    );
}

#[test]
fn dots_of_the_page_stand_for_any_text() {
    for (line, shown, expected) in [
        ("a b", "a b", true),
        ("a b c", "a b", false),
        ("b a b", "b", false),
        ("valid for 3 s", "valid for …", true),
        ("acme-12.json, mode", "acme-….json, mode", true),
        ("acme-12.toml, mode", "acme-….json, mode", false),
        ("acme-12.json, modes", "acme-….json, mode", false),
    ] {
        assert_eq!(fits(line, shown), expected, "{line}");
    }
}
