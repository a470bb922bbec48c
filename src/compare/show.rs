//! Shows the result of a comparison: for people as a table, sentences, a plot or a picture, for programs
//! as JSON.

pub(crate) mod explain;
pub(crate) mod json;
mod longer;
pub(crate) mod pictures;
pub(crate) mod table;
