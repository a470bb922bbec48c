//! Addresses of sockets, and how text from strangers is shown safely.

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
    /// The path of a local socket (unix(7)); `None` for an unnamed one, to which nothing can be sent.
    Unix(Option<Rc<Path>>),
}

impl Address {
    /// The IP address and port; `None` for a local socket.
    #[must_use]
    pub fn internet(&self) -> Option<SocketAddr> {
        match self {
            Self::Internet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether an answer can be sent to this address. Unnamed local sockets have none, and no socket can
    /// be bound to port 0, so that a datagram from there is forged.
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

/// The two addresses that a datagram travels between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The peer's address.
    pub peer: Address,
    /// The local address, with port 0, if the socket has several and it is known which of them the peer
    /// has sent to. An answer must come from that one, or the peer would not recognise it
    /// (RFC 1122, 4.1.3.5).
    pub local: Option<SocketAddr>,
}

impl From<Address> for Route {
    fn from(peer: Address) -> Self {
        Self { peer, local: None }
    }
}

/// The text with control characters and invisible ones as escapes, so that it stays on one line and
/// cannot control a terminal.
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

/// Whether a character must be escaped before it is printed, because it controls the terminal (C0 and
/// C1), ends the line, changes the direction of the text around it, or is invisible.
#[must_use]
pub fn is_unsafe_to_show(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Soft hyphen, Arabic letter mark.
            '\u{ad}' | '\u{61c}'
            // Characters without width; left-to-right and right-to-left marks.
            | '\u{200b}'..='\u{200f}'
            // Line and paragraph separators; embeddings and overrides of the text direction.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, directional isolates, deprecated format characters.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Shows an address as people write it: IPv4-mapped addresses as IPv4, the scope of link-local ones by
/// the name of the interface.
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
                    // No interface has this index (any more): show the number.
                    _ => write!(f, "{v6}"),
                }
            }
            other => write!(f, "{other}"),
        }
    }
}

/// The address, as IPv4 if it is IPv4-mapped: the form in which a dual-stack socket gives the addresses
/// of IPv4 peers (RFC 4291, 2.5.5.2).
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
