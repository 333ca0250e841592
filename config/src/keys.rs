//! The keys of a service in the configuration file, and the names that a service may have.

use keyfob::{Definition, Setting};
use strsim::levenshtein;

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    TextOrList,
    List,
    Number,
    Table,
}

/// A key of a service.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    /// An example of the value, as TOML.
    example: &'static str,
    /// Whether a built-in service can have it.
    pub(crate) of_built_in: bool,
}

const fn key(name: &'static str, kind: Type, example: &'static str) -> Key {
    Key { name, kind, example, of_built_in: true }
}

/// A key that says how a service works. The definition of a built-in service says this, so its section cannot have the key.
const fn own(name: &'static str, kind: Type, example: &'static str) -> Key {
    Key { of_built_in: false, ..key(name, kind, example) }
}

pub(crate) const KEYS: &[Key] = &[
    key("issuer", Type::Text, "\"https://login.example.com\""),
    key("token_url", Type::Text, "\"https://login.example.com/token\""),
    key("authorize_url", Type::Text, "\"https://login.example.com/authorize\""),
    key("device_authorization_url", Type::Text, "\"https://login.example.com/device\""),
    key("revocation_url", Type::Text, "\"https://login.example.com/revoke\""),
    key("introspection_url", Type::Text, "\"https://login.example.com/introspect\""),
    key("api_url", Type::TextOrList, "\"https://api.example.com\""),
    key("client_id", Type::Text, "\"my-client\""),
    own("client_auth", Type::Text, "\"client_secret_basic\""),
    own("grant", Type::Text, "\"client_credentials\""),
    key("scope", Type::Text, "\"things.read things.write\""),
    key("redirect_uri", Type::Text, "\"http://127.0.0.1:8765/callback\""),
    own("parameters", Type::Table, "{ audience = \"https://api.example.com\" }"),
    own("parameter_files", Type::Table, "{ subject_token = \"/var/run/secrets/tokens/acme\" }"),
    key("headers", Type::Table, "{ x-api-version = \"2\" }"),
    key("header_files", Type::Table, "{ x-api-key = \"/run/secrets/acme-key\" }"),
    key("rate", Type::Number, "10"),
    key("client_secret_file", Type::Text, "\"/run/secrets/acme\""),
    key("client_secret_cmd", Type::Text, "\"pass show acme\""),
    own("assertion_file", Type::Text, "\"/var/run/secrets/tokens/acme\""),
    key("client_cert_file", Type::Text, "\"/etc/acme/client.pem\""),
    key("client_key_file", Type::Text, "\"/etc/acme/client.key\""),
    own("without", Type::List, "[\"pkce\"]"),
];

/// The keys of secrets, which do not belong in the file, each with what to write instead. Other [spellings](plain) of these keys count too.
const SECRETS: &[(&str, &str)] = &[
    ("client_secret", "name a file with client_secret_file, or a command with client_secret_cmd"),
    ("secret", "name a file with client_secret_file, or a command with client_secret_cmd"),
    ("password", "name a file with client_secret_file, or a command with client_secret_cmd"),
    ("assertion", "name a file with assertion_file"),
    ("client_assertion", "name a file with assertion_file"),
    ("client_key", "name a file with client_key_file"),
    ("private_key", "name a file with client_key_file"),
    ("api_key", "name a file with header_files"),
    ("access_token", "keyfob obtains it"),
    ("refresh_token", "keyfob obtains it with `login`"),
    ("token", "keyfob obtains it"),
];

pub(crate) const AUTHS: &[&str] =
    &["client_secret_basic", "client_secret_post", "client_secret_jwt", "assertion", "none"];

pub(crate) const GRANTS: &[&str] = &["client_credentials", "authorization_code", "device_code", "basic"];

pub(crate) const SWITCHES: &[&str] = &["state", "pkce", "redirect_uri_in_exchange"];

/// The names that no service can have, because they are commands or actions, or their variables would be keyfob's own.
const RESERVED: &[&str] = &[
    "services",
    "completions",
    "help",
    "keyfob",
    "token",
    "login",
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "batch",
    "exec",
    "status",
    "logout",
    "revoke",
    "introspect",
    "check",
    "git-credential",
];

impl Key {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|key| key.name)
    }

    /// Returns what is wrong with a value of another type.
    pub(crate) fn wants(&self, found: &str) -> String {
        format!("is {found}; {}", self.instead())
    }

    /// Returns what to write.
    pub(crate) fn instead(&self) -> String {
        let wanted = match self.kind {
            Type::Text => "text in quotes",
            Type::TextOrList => "text in quotes, or a list of texts",
            Type::List => "a list of texts",
            Type::Number => "a whole number from 1 to 4294967295",
            Type::Table => "a table of texts",
        };
        format!("write {wanted}, as in {} = {}", self.name, self.example)
    }
}

/// Returns a key without the differences in spelling: case, '-' and '_', and a plural.
fn plain(name: &str) -> String {
    let letters: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    letters.trim_end_matches(['s', 'S']).to_ascii_lowercase()
}

/// Returns what to write in place of this key, if it is that of a secret.
fn instead_of_secret(name: &str) -> Option<&'static str> {
    SECRETS.iter().find(|(secret, _)| plain(secret) == plain(name)).map(|(_, instead)| *instead)
}

/// Whether a word is the key of a secret, or differs from another key in two letters at most.
#[cfg(feature = "file")]
pub(crate) fn is_nearly_known(name: &str) -> bool {
    instead_of_secret(name).is_some()
        || nearest(name, Key::names()).is_some_and(|(_, distance)| distance <= 2)
}

/// Returns what is wrong with a key that a service does not have. A built-in service has keys of its own.
pub(crate) fn unknown(name: &str, built_in: Option<(&Definition, &[&'static str])>) -> String {
    let is_spelled = |secret: &str| plain(secret) == plain(name);
    if let Some((definition, _)) = built_in {
        let settings = definition.settings.iter().filter(|setting| setting.is_secret()).map(Setting::key);
        let mut secrets = definition.other_secrets.iter().copied().chain(settings);
        if let Some(secret) = secrets.find(|secret| is_spelled(secret)) {
            let variable = definition.variable(&format!("{secret}_file"));
            return format!(
                "a secret does not belong in this file; name a file with the variable {variable}"
            );
        }
    }
    if let Some(instead) = instead_of_secret(name) {
        return format!("a secret does not belong in this file; {instead}");
    }
    let keys = KEYS.iter().filter(|key| built_in.is_none() || key.of_built_in).map(|key| key.name);
    let keys = keys.chain(built_in.map(|(_, own)| own).unwrap_or_default().iter().copied());
    format!("is not a key of a service; the nearest one is {}", nearest_of(name, keys))
}

/// Returns what is wrong with a word that is none of these.
pub(crate) fn unknown_word(word: &str, words: &[&'static str]) -> String {
    let nearest = nearest_of(word, words.iter().copied());
    format!("is none of {}; the nearest one is \"{nearest}\"", words.join(", "))
}

/// Returns the word with the fewest letters to add, remove or replace, and their number (Levenshtein). If more than two letters differ, a
/// word that contains the name counts as nearer: `device_code` for `device`.
pub fn nearest<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> Option<(&'a str, usize)> {
    // A longer name is near to no word.
    let name: String = name.chars().take(64).collect();
    let far = |word: &str, distance| distance > 2 && (name.len() < 4 || !word.contains(&name));
    words
        .map(|word| (word, levenshtein(&name, word)))
        .min_by_key(|(word, distance)| (*distance > 2, far(word, *distance), *distance))
}

fn nearest_of<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> &'a str {
    nearest(name, words).map(|(word, _)| word).unwrap_or_default()
}

/// Whether a word is a command or an action, and therefore no name of a service.
pub fn is_command(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Whether a service can have this name.
pub fn is_service_name(word: &str) -> bool {
    bad_name(word).is_none()
}

/// Returns what is wrong with the name of a service, if something is.
pub(crate) fn bad_name(name: &str) -> Option<String> {
    let mut letters = name.bytes();
    let is_good = letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.len() <= 32;
    if !is_good {
        return Some(
            "cannot be the name of a service; write a letter from a to z, then up to 31 of a-z, 0-9 and '-'"
                .to_owned(),
        );
    }
    is_command(name).then(|| format!("is the name of a command; choose another name, such as my-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    #[test]
    fn documentation_lists_each_key_and_no_other() {
        let page = include_str!("../../docs/configuration.md");
        let table = page.split("| key | value | default |").nth(1).unwrap().split("\n\n").next().unwrap();
        let documented: Vec<_> =
            table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(documented, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    }

    #[test]
    fn examples_have_the_type_of_their_key() {
        for key in KEYS {
            let text = format!("[service.acme]\n{} = {}\n", key.name, key.example);
            assert!(crate::section::sections(&text).is_ok(), "{text}");
        }
    }

    static ACME: Definition = Definition {
        settings: &[Setting::secret("api_key", |builder, key| builder.header("x-api-key", key)).required()],
        ..Definition::new("acme-2", "https://api.example.com", |builder, id, secret| {
            builder.basic(id, secret)
        })
    };

    #[test]
    fn secret_of_a_built_in_service_has_a_variable() {
        let says = "a secret does not belong in this file; name a file with the variable ACME_2_API_KEY_FILE";
        assert_eq!(unknown("api-key", Some((&ACME, &[]))), says);
    }

    #[test]
    fn grant_is_known_without_the_required_settings() {
        assert_eq!(Catalog::EMPTY.defined(&ACME).grant().as_deref(), Some("basic"));
    }

    #[test]
    fn name_is_a_letter_and_up_to_31_more_and_no_command() {
        for (name, is_good) in [
            ("a", true),
            ("acme-2", true),
            (&*"a".repeat(32), true),
            (&*"a".repeat(33), false),
            ("", false),
            ("2acme", false),
            ("-acme", false),
            ("a_b", false),
            ("Acme", false),
            ("äcme", false),
            ("token", false),
            ("services", false),
            ("keyfob", false),
            ("tokens", true),
        ] {
            assert_eq!(bad_name(name).is_none(), is_good, "{name}");
        }
    }
}
