//! [`Scope`]: the scopes that a flow asks for.

use crate::check;
use crate::error::Error;

/// The arguments of all calls of `with_scope`. Checked when the flow is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    /// Adds one or more scopes, separated by spaces.
    pub(super) fn add(&mut self, scope: impl Into<String>) {
        self.0.push(scope.into());
    }

    /// All scopes, separated by single spaces (RFC 6749 3.3). `None` if there are none.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a call gave no scope, more than 16 KiB, or a character that
    /// RFC 6749 3.3 does not allow.
    pub(super) fn list(&self) -> Result<Option<String>, Error> {
        let mut list = String::new();
        for given in &self.0 {
            check::value("scope", given.trim_matches(' ').as_bytes())?;
            for scope in given.split(' ').filter(|scope| !scope.is_empty()) {
                if !scope.bytes().all(check::is_nqchar) {
                    return Err(Error::invalid(
                        "the scope holds a character that RFC 6749 3.3 does not allow",
                    ));
                }
                if !list.is_empty() {
                    list.push(' ');
                }
                list.push_str(scope);
            }
        }
        Ok(Some(list).filter(|list| !list.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(given: &[&str]) -> Result<Option<String>, String> {
        let mut scope = Scope::default();
        for given in given {
            scope.add(*given);
        }
        scope.list().map_err(|error| error.to_string())
    }

    #[test]
    fn scopes_of_all_calls_are_joined_by_single_spaces() {
        for (given, expected) in [
            (&[][..], None),
            (&["locations"][..], Some("locations")),
            (&["locations", "new:thing/2"], Some("locations new:thing/2")),
            (&[" a  b ", "c"], Some("a b c")),
        ] {
            assert_eq!(list(given), Ok(expected.map(str::to_owned)), "{given:?}");
        }
    }

    #[test]
    fn scopes_that_no_server_can_take_are_refused() {
        let long = "a".repeat(16 * 1024 + 1);
        for (bad, why) in [
            ("", "is empty"),
            (" ", "is empty"),
            (long.as_str(), "is 16385 bytes long; at most 16384 are accepted: is it the right value?"),
            ("a\nb", "holds a control character at byte 1: remove it"),
            (
                "a\u{202e}b",
                "holds a character that changes the direction of text (U+202E) at byte 1: remove it",
            ),
            ("a\"b", "holds a character that RFC 6749 3.3 does not allow"),
            ("a\\b", "holds a character that RFC 6749 3.3 does not allow"),
            ("\u{fc}", "holds a character that RFC 6749 3.3 does not allow"),
        ] {
            assert_eq!(list(&["good", bad]), Err(format!("the scope {why}")), "{bad:?}");
        }
    }
}
