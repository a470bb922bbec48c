//! What the account says to a person or a program.

pub(crate) mod explain;
pub(crate) mod json;
pub(crate) mod pictures;
pub(crate) mod table;
