use super::*;

fn only(text: &str) -> Section {
    let mut sections = sections(text).unwrap_or_else(|mistake| panic!("{mistake:?}: {text}"));
    assert_eq!(sections.len(), 1, "{text}");
    sections.remove(0)
}

#[test]
fn all_forms_of_toml_give_the_same_section() {
    for text in [
        "[service.acme]\nissuer = \"i\"\nheaders = { x-a = \"1\", \"x-b\" = \"2\" }\n",
        "[service.acme]\nissuer = 'i'\nheaders.x-a = '1'\nheaders.\"x-b\" = '2'",
        "[service.acme]\nissuer = \"\\u0069\"\n[service.acme.headers]\nx-a = \"1\"\nx-b = \"\"\"2\"\"\"\n",
        "[service.acme.headers]\nx-a = \"1\"\nx-b = \"2\"\n[service.acme]\nissuer = \"i\"\n",
        "[ service . \"acme\" ] # a comment\n'issuer' = \"i\"\nheaders = {\n  x-a = \"1\", # another\n  x-b = \"2\",\n}\n",
        "service.acme.issuer = \"i\"\nservice.acme.headers = { x-a = \"1\", x-b = \"2\" }\n",
        "[service]\nacme = { issuer = \"i\", headers = { x-a = \"1\", x-b = \"2\" } }\n",
        "service = { acme = { issuer = \"i\", headers.x-a = \"1\", headers.x-b = \"2\" } }",
    ] {
        let section = only(text);
        assert_eq!((section.name.as_str(), section.text("issuer").unwrap().0), ("acme", "i"), "{text}");
        let items: Vec<_> =
            section.table("headers").iter().map(|item| (item.name.as_str(), item.text())).collect();
        assert_eq!(items, [("x-a", "1"), ("x-b", "2")], "{text}");
        assert_eq!(section.keys().count(), 2, "{text}");
    }
}

#[test]
fn api_urls_are_a_text_or_a_list_and_numbers_have_any_base() {
    for (text, urls) in [
        ("api_url = \"a\"", &["a"][..]),
        ("api_url = [\"a\"]", &["a"]),
        ("api_url = [\n\"a\",\n# a comment\n'b', ]", &["a", "b"]),
    ] {
        assert_eq!(only(&format!("[service.acme]\n{text}\n")).list("api_url"), urls, "{text}");
    }
    for (text, rate) in
        [("10", 10), ("1_000", 1000), ("0x10", 16), ("0b11", 3), ("+7", 7), ("4294967295", u32::MAX)]
    {
        assert_eq!(only(&format!("[service.acme]\nrate = {text}\n")).number("rate"), Some(rate), "{text}");
    }
}

#[test]
fn line_of_a_key_is_counted_through_texts_of_several_lines() {
    let section =
        only("\r\n[service.acme]\r\nscope = \"\"\"a\n\nb\"\"\"\n\n# x\nheaders.a = '1'\nrate = 5 # five\n");
    assert_eq!(section.line, 2);
    let lines = ["scope", "headers", "rate"].map(|key| section.line_of(key).unwrap());
    assert_eq!(lines, [3, 8, 9]);
}

#[test]
fn first_mistake_of_a_file_is_reported() {
    let line = |text: &str| sections(text).unwrap_err().line;
    assert_eq!(line("[service.acme]\nisuer = \"a\"\nscope = \n"), 2);
    assert_eq!(line("[service.acme]\nscope = \nisuer = \"a\"\n"), 2);
    assert_eq!(line("[service.acme]\nrate = 1\n\n[service.b]\nrate = \"1\"\n[service.c]\nrate = \"1\"\n"), 5);
}

/// A value may be a secret that stands in the wrong place.
#[test]
fn no_mistake_shows_a_value() {
    for text in [
        "client_secret = \"hunter2\"",
        "secret = \"hunter2\"",
        "isuer = \"hunter2\"",
        "rate = \"hunter2\"",
        "headers = \"hunter2\"",
        "scope = hunter2",
        "scope = \"hunter2",
        "scope = \"hunter2\" hunter2",
        "scope = [\"hunter2\"]",
        "headers = { a = [\"hunter2\"] }",
        "headers = { a = \"1\", a = \"hunter2\" }",
    ] {
        let mistake = sections(&format!("[service.acme]\n{text}\n")).unwrap_err();
        assert!(!mistake.what.contains("hunter2") && !mistake.key.contains("hunter2"), "{mistake:?}");
        assert_eq!(mistake.line, 2, "{text}");
    }
}

/// Files with a few bytes exchanged, added or missing.
#[test]
fn mistake_in_any_file_has_a_line_of_the_file_and_shows_no_control_character() {
    const FILE: &str = "# a comment\n[service.acme]\nissuer = \"https://a.example\"\nscope = 'a b'\nrate = 10\r\n\
                        without = [\"pkce\",\n  \"state\"]\nheaders = { x-a = \"1\" }\n[service.b.headers]\nx-b = \"\"\"\n2\"\"\"\n";
    const PARTS: [&str; 20] = [
        "\"", "'", "[", "]", "{", "}", "=", ":", ",", "\\", "\n", "\r", "\0", "\u{1b}", "\u{a0}", "\u{201c}",
        "#", ".", " ", "\u{e4}",
    ];
    // xorshift
    let mut state = 0x9e37_79b9_u32;
    let mut next = |below: usize| {
        for by in [13, -17, 5_i32] {
            state ^= if by > 0 { state << by } else { state >> -by };
        }
        state as usize % below
    };
    let mut mistakes = 0;
    for _ in 0..20_000 {
        let mut text: Vec<char> = FILE.chars().collect();
        for _ in 0..=next(3) {
            let at = next(text.len());
            let removed = next(3);
            text.splice(at..(at + removed).min(text.len()), PARTS[next(PARTS.len())].chars());
        }
        let text: String = text.into_iter().collect();
        let Err(mistake) = sections(&text) else { continue };
        mistakes += 1;
        let lines = u32::try_from(text.matches('\n').count()).unwrap() + 1;
        assert!((1..=lines).contains(&mistake.line), "{mistake:?} {text:?}");
        let shown = format!("{}{}", mistake.key, mistake.what);
        assert!(!mistake.what.is_empty() && !shown.contains(char::is_control), "{mistake:?} {text:?}");
    }
    assert!(mistakes > 15_000, "{mistakes}");
}
