//! Who may come in, from the words.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::rules;
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
    let mut blocks = |option: &str, texts: &[String]| -> Result<Vec<_>> {
        let mut blocks = Vec::new();
        for text in texts {
            rules::named(option, text)?;
            match access::block(text) {
                Some(block) => blocks.push(block),
                None if text.contains('/') => {
                    return Err(Error::usage(text, "is no block of addresses")
                        .hint("write it as 10.0.0.0/8 or 2001:db8::/32"));
                }
                None => {
                    let found = look_up(text)?;
                    blocks.extend(found.iter().map(|address| IpNet::from(address.ip())));
                }
            }
        }
        Ok(blocks)
    };
    Ok(AccessList { allowed: blocks("--allow", allow)?, denied: blocks("--deny", deny)? })
}
