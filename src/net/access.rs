//! Access lists: from which blocks of addresses a listener accepts connections and datagrams.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::net::address::{Address, canonical};

/// Address blocks from `--allow` and `--deny`.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// Unless this is empty, only peers in these blocks are accepted.
    pub allowed: Vec<IpNet>,
    /// Peers in these blocks are refused, even if `allowed` contains them.
    pub denied: Vec<IpNet>,
}

impl AccessList {
    /// Why this peer is refused; `None` when it is accepted.
    #[must_use]
    pub fn refusal(&self, peer: &Address) -> Option<&'static str> {
        // A peer of a local socket has no IP address: file permissions decide who may connect.
        let ip = canonical(peer.internet()?).ip();
        let among = |blocks: &[IpNet]| blocks.iter().any(|block| block.contains(&ip));
        if among(&self.denied) {
            Some("turned away by --deny")
        } else if !self.allowed.is_empty() && !among(&self.allowed) {
            Some("turned away: not in --allow")
        } else {
            None
        }
    }

    /// Whether every peer is accepted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty()
    }
}

/// Reads `10.0.0.0/8`, `::1/128` or a single address; `None` when it is neither.
#[must_use]
pub fn block(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical()));
    match text.parse::<IpNet>() {
        // Peers of a dual-stack socket are compared in their IPv4 form, so the block needs that
        // form too.
        Ok(IpNet::V6(v6)) if v6.prefix_len() >= MAPPED_PREFIX => Some(unmapped(v6)),
        Ok(block) => Some(block),
        Err(_) => single(),
    }
}

/// Length in bits of the prefix that all IPv4-mapped addresses share (RFC 4291, 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

fn unmapped(block: Ipv6Net) -> IpNet {
    let v4 = block.addr().to_ipv4_mapped();
    let v4 = v4.and_then(|ip| Ipv4Net::new(ip, block.prefix_len() - MAPPED_PREFIX).ok());
    v4.map_or(IpNet::V6(block), IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_beats_allow_and_allow_shuts_everybody_else_out() {
        let blocks = |texts: &[&str]| texts.iter().map(|t| block(t).unwrap()).collect();
        let access =
            AccessList { allowed: blocks(&["127.0.0.0/8"]), denied: blocks(&["127.0.0.2"]) };
        let peer = |text: &str| {
            let address: std::net::SocketAddr = text.parse().unwrap();
            access.refusal(&Address::from(address)).is_none()
        };
        assert!(peer("127.0.0.1:1"));
        assert!(peer("[::ffff:127.0.0.1]:1"));
        assert!(!peer("127.0.0.2:1"));
        assert!(!peer("[::1]:1"));
        for (mapped, block_of_v4) in
            [("::ffff:127.0.0.0/104", "127.0.0.0/8"), ("::ffff:0:0/96", "0.0.0.0/0")]
        {
            assert_eq!(block(mapped), block(block_of_v4));
        }
        assert_eq!(block("2001:db8::/96").unwrap().to_string(), "2001:db8::/96");
        assert!(block("127.0.0.1/33").is_none() && block("localhost").is_none());
    }
}
