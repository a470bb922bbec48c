//! Where to listen or whom to connect to: a host and a port, or a path.

use std::path::PathBuf;

use crate::error::Result;
use crate::net::address::HostPort;

/// Where to listen or whom to connect to.
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
            Some(path) => Self::Unix(path.clone()),
            None => Self::Internet(HostPort::parse(words)?),
        })
    }
}
