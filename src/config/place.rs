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
    /// The place of a listener, where a bare PORT is one of this machine.
    ///
    /// # Errors
    /// Usage errors.
    pub(super) fn of_listener(unix: Option<&Path>, words: &[String]) -> Result<Self> {
        Ok(match unix {
            Some(path) => Self::local("--unix ", path)?,
            None => Self::Internet(HostPort::parse(words)?),
        })
    }

    /// The place of a peer, which [is named by a host and a port](remote).
    ///
    /// # Errors
    /// Usage errors.
    pub(super) fn of_peer(unix: Option<&Path>, words: &[String]) -> Result<Self> {
        Ok(match unix {
            Some(path) => Self::local("--unix ", path)?,
            None => Self::Internet(remote(words)?),
        })
    }

    /// The file that a listener here makes; an abstract name is none.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(&**path).filter(|path| !local::is_abstract(path)),
            Self::Internet(_) => None,
        }
    }

    /// The place of a local socket; `before` is what stands before it among the words.
    ///
    /// # Errors
    /// A usage error when no socket can have this name.
    pub(super) fn local(before: &str, path: &Path) -> Result<Self> {
        let bytes = path.as_os_str().len();
        // An abstract name has no zero at its end.
        let most = local::LONGEST_NAME + usize::from(local::is_abstract(path));
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

/// The host and the port of a peer. A word without a colon is taken for a host whose port was forgotten.
///
/// # Errors
/// Usage errors.
pub(super) fn remote(words: &[String]) -> Result<HostPort> {
    with_host(words, "the port is missing", "write HOST PORT or HOST:PORT")
}

/// The same where there may be several ports.
///
/// # Errors
/// Usage errors.
pub(super) fn remote_ports(words: &[String]) -> Result<HostPort> {
    with_host(words, "the ports are missing", "write HOST PORTS or HOST:PORTS")
}

fn with_host(words: &[String], missing: &str, hint: &str) -> Result<HostPort> {
    let target = HostPort::parse(words)?;
    // `:PORT` says in so many words that the peer is on this machine.
    if target.host.is_none() && !words.iter().any(|word| word.starts_with(':')) {
        return Err(Error::usage(target.port, missing).hint(hint));
    }
    Ok(target)
}
