//! Peers that are gone though they said goodbye: a FIN does not tell who only has nothing more to say.
//!
//! After a peer's FIN the system probes the connection (TCP keepalive, RFC 9293, 3.8.4). A peer that still
//! reads acknowledges the probes. One that has closed for good is forgotten by its system sooner or later (60 s
//! on Linux), which then answers with a reset: nobody has to be waited for any more, and that is no failure
//! unless something did not reach it.

/// How it was learned that a peer is gone, after its FIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    /// By asking: a probe was answered with a reset, or by nobody. At a local socket the system tells unasked.
    ByAsking,
    /// It reset the connection, or an answer to something that we sent did.
    ByReset,
}

/// What the socket tells of a peer that is gone, after its FIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// How it was learned.
    pub learned: Learned,
    /// Bytes sent that the peer's system had not acknowledged; our FIN counts as one.
    pub unacknowledged: u32,
}

/// Whether our half of the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OurFin {
    /// It is open.
    NotSent,
    /// Our FIN has been sent.
    Sent,
}

impl Farewell {
    /// Whether the peer had everything that was sent, so that its leaving is an end like any other.
    #[must_use]
    pub(crate) fn is_in_peace(self, fin: OurFin) -> bool {
        match fin {
            // A peer that resets the connection itself tells that it has thrown something away.
            OurFin::NotSent => self.learned == Learned::ByAsking && self.unacknowledged == 0,
            // Our FIN was the question. Whoever is there acknowledges it before anything else.
            OurFin::Sent => self.unacknowledged == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_leaves_in_peace_when_it_had_everything_and_was_asked() {
        let is_in_peace =
            |learned, unacknowledged, fin| Farewell { learned, unacknowledged }.is_in_peace(fin);
        assert!(is_in_peace(Learned::ByAsking, 0, OurFin::NotSent));
        assert!(!is_in_peace(Learned::ByAsking, 1, OurFin::NotSent));
        assert!(!is_in_peace(Learned::ByReset, 0, OurFin::NotSent));
        assert!(is_in_peace(Learned::ByReset, 1, OurFin::Sent));
        assert!(!is_in_peace(Learned::ByReset, 2, OurFin::Sent));
    }
}
