//! What the account says to a person or a program.

pub mod explain;
pub mod json;
pub mod plot;
pub mod svg;
pub mod table;
pub mod text;
