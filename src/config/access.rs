//! Who may come in, from the words.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::error::{Error, Result};
use crate::net::access::{self, AccessList};

/// The access list of these words, with host names resolved by `look_up`.
///
/// # Errors
/// When an entry is not an address block, an address or a name that resolves.
pub(super) fn list(
    allow: &[String],
    deny: &[String],
    mut look_up: impl FnMut(&str) -> Result<Vec<SocketAddr>>,
) -> Result<AccessList> {
    let mut blocks = |texts: &[String]| -> Result<Vec<_>> {
        let mut blocks = Vec::new();
        for text in texts {
            match access::block(text) {
                Some(block) => blocks.push(block),
                None if text.contains('/') => {
                    return Err(Error::usage(text, "is no block of addresses"));
                }
                None => {
                    let found = look_up(text)?;
                    blocks.extend(found.iter().map(|address| IpNet::from(address.ip())));
                }
            }
        }
        Ok(blocks)
    };
    Ok(AccessList { allowed: blocks(allow)?, denied: blocks(deny)? })
}
