//! What the account says to a person or a program.

pub(crate) mod explain;
pub(crate) mod json;
pub(crate) mod plot;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod text;
