//! Which addresses are used, and the options of sockets, from the words.

use super::rules;
use crate::cli::SocketArgs;
use crate::error::{Error, Result};
use crate::net::address::{Family, Lookup};
use crate::net::options::{Group, Options, SmallWrites};

/// The address family, by `-4` and `-6`.
pub(super) fn family(ipv4: bool, ipv6: bool) -> Family {
    match (ipv4, ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    }
}

/// Whether names are looked up, by `-n`.
pub(super) fn lookup(numeric: bool) -> Lookup {
    if numeric { Lookup::Numeric } else { Lookup::Names }
}

/// Checks that groups are joined by a UDP socket only; `hint` says how to have one.
///
/// # Errors
/// A usage error.
pub(super) fn check_groups(args: &SocketArgs, is_udp: bool, hint: &str) -> Result<()> {
    if args.join.is_empty() || is_udp {
        return Ok(());
    }
    Err(Error::usage("--join", "only UDP has multicast groups").hint(hint))
}

/// Socket options.
///
/// # Errors
/// Usage errors: a size or a group that is none.
pub(super) fn options(args: &SocketArgs) -> Result<Options> {
    if let Some(device) = &args.device {
        // The kernel takes an empty name for "any interface" (SO_BINDTODEVICE, socket(7)).
        rules::named("--device", device)?;
    }
    let buffer = |what: &str, size: Option<u64>| match size {
        None => Ok(None),
        // The kernel's own type for it.
        Some(size) => match i32::try_from(size) {
            Ok(1..) => Ok(usize::try_from(size).ok()),
            _ => Err(Error::usage(format!("{what} {size}"), "must be 1 byte to 2 GiB")),
        },
    };
    Ok(Options {
        receive_buffer: buffer("--rcvbuf", args.rcvbuf)?,
        send_buffer: buffer("--sndbuf", args.sndbuf)?,
        ttl: args.ttl,
        tos: args.tos,
        broadcast: args.broadcast,
        dont_fragment: args.df,
        groups: args.join.iter().map(|group| Group::parse(group)).collect::<Result<_>>()?,
        device: args.device.clone(),
        keepalive: args.keepalive,
        small_writes: if args.delay { SmallWrites::Gathered } else { SmallWrites::AtOnce },
    })
}
