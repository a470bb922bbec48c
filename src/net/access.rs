//! Who may come in: blocks of addresses that are allowed or denied.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::net::address::{Address, canonical};

/// Address blocks from `--allow` and `--deny`.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// If there are any, only these may come in.
    pub allowed: Vec<IpNet>,
    /// These may not, even if they are allowed.
    pub denied: Vec<IpNet>,
}

impl AccessList {
    /// Why a peer may not come in; `None` when it may.
    #[must_use]
    pub fn refusal(&self, peer: &Address) -> Option<&'static str> {
        // Who may reach a path, the file system says.
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

    /// Whether everybody may come in.
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
        // Peers of a dual-stack socket are compared without that disguise, too.
        Ok(IpNet::V6(v6)) if v6.prefix_len() >= MAPPED_PREFIX => Some(unmapped(v6)),
        Ok(block) => Some(block),
        Err(_) => single(),
    }
}

/// Bits that all IPv4-mapped addresses begin with (RFC 4291, 2.5.5.2).
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
