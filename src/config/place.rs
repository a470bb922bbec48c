//! Where to listen or whom to connect to: a host and a port, or a path.

use std::path::PathBuf;

use crate::error::Result;
use crate::net::address::Target;

/// Where to listen or whom to connect to.
#[derive(Debug)]
pub enum Place {
    /// A host and a port.
    Internet(Target),
    /// The path of a local socket.
    Unix(PathBuf),
}

impl Place {
    pub(super) fn new(unix: Option<&PathBuf>, words: &[String]) -> Result<Self> {
        Ok(match unix {
            Some(path) => Self::Unix(path.clone()),
            None => Self::Internet(Target::parse(words)?),
        })
    }
}
