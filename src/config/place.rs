//! The place to listen at or connect to: a host and a port, or the path of a local socket.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::net::address::HostPort;

/// The place to listen at or connect to.
#[derive(Debug)]
pub(crate) enum Place {
    /// A host and a port.
    Internet(HostPort),
    /// The path of a local socket.
    Unix(PathBuf),
}

impl Place {
    pub(super) fn new(unix: Option<&PathBuf>, words: &[String]) -> Result<Self> {
        Ok(match unix {
            Some(path) if path.as_os_str() == "@" => {
                return Err(Error::usage("--unix @", "an abstract name has more than that"));
            }
            Some(path) => Self::Unix(path.clone()),
            None => Self::Internet(HostPort::parse(words)?),
        })
    }
}
