//! Who is at the end of a socket, and how that is shown.

use std::borrow::Cow;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::rc::Rc;

/// The address of one end of a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An IP address and a port.
    Internet(SocketAddr),
    /// A path in the file system (unix(7)); `None` for an end without a name, which nobody can
    /// send to.
    Unix(Option<Rc<Path>>),
}

impl Address {
    /// The IP address and port, if it has them.
    #[must_use]
    pub fn internet(&self) -> Option<SocketAddr> {
        match self {
            Self::Internet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether something can be sent there: not to an end without a name, nor to port 0, from which
    /// only a forged datagram comes.
    #[must_use]
    pub fn can_be_answered(&self) -> bool {
        match self {
            Self::Internet(address) => address.port() != 0,
            Self::Unix(path) => path.is_some(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Internet(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => write!(f, "{}", DisplayAddress(*address)),
            Self::Unix(Some(path)) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Unix(None) => f.write_str("unnamed"),
        }
    }
}

/// The two ends that a datagram passes between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The other end.
    pub peer: Address,
    /// Our end, where the socket has many and which one is known: what is sent there comes from
    /// it, or the peer would not take it for an answer (RFC 1122, 4.1.3.5). Its port is not set.
    pub local: Option<SocketAddr>,
}

impl From<Address> for Route {
    fn from(peer: Address) -> Self {
        Self { peer, local: None }
    }
}

/// Text that stays on its line and leaves a terminal alone: what controls it, and what is not seen,
/// as escapes.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe_to_show) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_unsafe_to_show(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character, shown as it is, would do something other than stand in its place: control
/// a terminal (C0 and C1), end the line, turn the order of what stands around it, or hide.
#[must_use]
pub fn is_unsafe_to_show(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Soft hyphen, Arabic letter mark.
            '\u{ad}' | '\u{61c}'
            // Nothing of any width; left-to-right and right-to-left marks.
            | '\u{200b}'..='\u{200f}'
            // Ends of lines and paragraphs; embeddings and overrides of the direction.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, isolates of the direction, old format characters.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// An address as people read it: IPv4-mapped ones as IPv4, scopes by interface name.
#[derive(Debug, Clone, Copy)]
pub struct DisplayAddress(pub SocketAddr);

impl fmt::Display for DisplayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match canonical(self.0) {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                match nix::net::if_::if_indextoname(v6.scope_id()) {
                    Ok(name) if !name.is_empty() => {
                        let name = name.to_string_lossy();
                        write!(f, "[{}%{}]:{}", v6.ip(), printable(&name), v6.port())
                    }
                    // There is no such interface: the number stays.
                    _ => write!(f, "{v6}"),
                }
            }
            other => write!(f, "{other}"),
        }
    }
}

/// The same address without the IPv4-mapped disguise of a dual-stack socket (RFC 4291, 2.5.5.2).
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddrV4::new(v4, v6.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}
