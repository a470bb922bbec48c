//! The place to listen at or connect to: a host and a port, or the path of a local socket.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::net::address::HostPort;
use crate::net::local;

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
            Some(path) => Self::local("--unix ", path)?,
            None => Self::Internet(HostPort::parse(words)?),
        })
    }

    /// The place of a local socket; `before` is what stands before it among the words.
    ///
    /// # Errors
    /// A usage error when no socket can have this name.
    pub(super) fn local(before: &str, path: &Path) -> Result<Self> {
        let bytes = path.as_os_str().len();
        // An abstract name has no zero at its end.
        let is_abstract = path.as_os_str().as_encoded_bytes().starts_with(b"@");
        let most = local::LONGEST_NAME + usize::from(is_abstract);
        let why = match path.to_str() {
            Some("") => "the path is missing".to_owned(),
            Some("@") => "an abstract name has more than that".to_owned(),
            _ if bytes > most => {
                format!("has {bytes} bytes; a local socket's name has at most {most}")
            }
            _ => return Ok(Self::Unix(path.to_owned())),
        };
        Err(Error::usage(format!("{before}{}", path.display()), why))
    }
}
