//! [`Value`]: a value of the file or of a program, before its key is known; and [`Mistake`].

use std::borrow::Cow;

/// A value before its key is known.
#[derive(Debug)]
pub(crate) enum Value<'i> {
    Text(Cow<'i, str>),
    Integer(Option<u32>),
    List(Vec<Cow<'i, str>>),
    /// A value of a type that no key has. Holds the name of the type.
    #[cfg(feature = "file")]
    Other(&'static str),
}

impl Value<'_> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(Some(_)) => "a number",
            Self::Integer(None) => "a number out of range",
            Self::List(_) => "a list of texts",
            #[cfg(feature = "file")]
            Self::Other(kind) => kind,
        }
    }
}

/// A mistake in the file, or in an option.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: u32,
    /// The key with the mistake. Empty for a mistake of the syntax.
    pub(crate) key: String,
    pub(crate) what: String,
}
