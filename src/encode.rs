//! How values look on the wire: forms, HTTP Basic, JSON.

pub(crate) mod basic;
pub(crate) mod form;
pub(crate) mod json;
pub(crate) mod loose;
pub(crate) mod words;
