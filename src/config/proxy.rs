//! The proxy that connections go through.

use super::place::Place;
use crate::error::{Error, Result};
use crate::setup::proxy::Proxy;

/// The proxy that was asked for, where a connection can go through one.
///
/// # Errors
/// Usage errors.
pub(super) fn proxy(text: Option<&str>, udp: bool, place: &Place) -> Result<Option<Proxy>> {
    let Some(text) = text else { return Ok(None) };
    let proxy = Proxy::parse(text)?;
    match place {
        _ if udp => Err(Error::usage("--proxy", "connects over TCP only")),
        Place::Unix(_) => Err(Error::usage("--proxy", "connects over TCP, not to a --unix PATH")),
        Place::Internet(_) => Ok(Some(proxy)),
    }
}
