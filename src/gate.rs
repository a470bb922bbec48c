//! Who may come in: blocks of addresses that are allowed or denied.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{Address, canonical};

/// Address blocks from `--allow` and `--deny`.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// If there are any, only these may come in.
    pub allowed: Vec<IpNet>,
    /// These may not, even if they are allowed.
    pub denied: Vec<IpNet>,
}

impl Gate {
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
    text.parse::<IpNet>().ok().or_else(single)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_beats_allow_and_allow_shuts_everybody_else_out() {
        let blocks = |texts: &[&str]| texts.iter().map(|t| block(t).unwrap()).collect();
        let gate = Gate { allowed: blocks(&["127.0.0.0/8"]), denied: blocks(&["127.0.0.2"]) };
        let peer = |text: &str| {
            let address: std::net::SocketAddr = text.parse().unwrap();
            gate.refusal(&Address::from(address)).is_none()
        };
        assert!(peer("127.0.0.1:1"));
        assert!(peer("[::ffff:127.0.0.1]:1"));
        assert!(!peer("127.0.0.2:1"));
        assert!(!peer("[::1]:1"));
        assert!(block("127.0.0.1/33").is_none() && block("localhost").is_none());
    }
}
