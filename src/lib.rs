//! keyfob.
