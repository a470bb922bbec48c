//! Probing whether a silent TCP peer is still there (SO_KEEPALIVE, tcp(7)).

use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

/// How long a peer whose FIN has come may be silent before it is probed, and how long each probe waits for its
/// answer.
const PERIOD: Duration = Duration::from_secs(5);

/// Has the system probe the peer of this connection, unless it does so more often already. How many probes may
/// stay unanswered is left to the system (`net.ipv4.tcp_keepalive_probes`).
pub(crate) fn probe(socket: &Socket) {
    let at_most =
        |given: std::io::Result<Duration>| given.map_or(PERIOD, |given| given.min(PERIOD));
    let often = TcpKeepalive::new()
        .with_time(at_most(socket.tcp_keepalive_time()))
        .with_interval(at_most(socket.tcp_keepalive_interval()));
    // Where it is refused, a peer that is gone is found by the next that is sent.
    let _ = socket.set_tcp_keepalive(&often);
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    fn socket() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
    }

    fn periods(socket: &Socket) -> [u64; 2] {
        [socket.tcp_keepalive_time(), socket.tcp_keepalive_interval()]
            .map(|period| period.unwrap().as_secs())
    }

    #[test]
    fn a_peer_is_probed_every_five_seconds_or_more_often() {
        let plain = socket();
        probe(&plain);
        assert!(plain.keepalive().unwrap());
        assert_eq!(periods(&plain), [5, 5]);
        let impatient = socket();
        let own = TcpKeepalive::new()
            .with_time(Duration::from_secs(2))
            .with_interval(Duration::from_secs(30));
        impatient.set_tcp_keepalive(&own).unwrap();
        probe(&impatient);
        assert_eq!(periods(&impatient), [2, 5]);
    }
}
