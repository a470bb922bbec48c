//! Where a comparison happens: on the machine's network or a bad one of our own, with our own peer or another.

use std::time::{Instant, SystemTime};

use crate::compare::lab::network::{Capture, Lab, Network};
use crate::compare::measure::peer::{self, BuiltInPeer};
use crate::compare::{Impaired, Reach};
use crate::config;
use crate::config::compare::Compare;
use crate::engine::impair::Spec;
use crate::error::{Error, Result};
use crate::net::congestion;
use crate::observe::journal::Journal;
use crate::observe::packets::Packets;
use crate::observe::pcap;
use crate::run::session::Session;
use crate::sys;

/// The network that the run is to happen in: a bad one of our own, or the machine's.
enum Place {
    Lab(Lab),
    Outside(Option<(Spec, String)>),
}

impl Place {
    fn find(config: &Compare) -> Self {
        let config::compare::Peer::BuiltIn(Some(spec)) = config.peer else {
            return Self::Outside(None);
        };
        match Lab::enter(spec, config.family) {
            Ok(lab) => Self::Lab(lab),
            Err(refusal) => Self::Outside(Some((spec, reason(&refusal)))),
        }
    }
}

/// What the head of the table says of a system that allows no network of our own.
fn reason(refusal: &sys::Refusal) -> String {
    let error = Error::system(refusal.what, &refusal.cause);
    match refusal.cause.raw_os_error() {
        Some(libc::ENOENT) => format!("{error}; modprobe tun"),
        _ => error.to_string(),
    }
}

/// What is there before anything is measured.
pub(super) struct Ground {
    /// Our own peer, unless another one was named.
    pub peer: Option<BuiltInPeer>,
    /// The network of our own.
    pub network: Option<Network>,
    /// What was asked for, and what it meets.
    pub impaired: Option<Impaired>,
}

impl Ground {
    /// Enters a network of its own where one was asked for and can be had, and starts the peer there. What passes is
    /// written to `capture`.
    ///
    /// # Errors
    /// When the system refuses a socket, or does not know the congestion control.
    pub(super) fn new(
        config: &Compare,
        capture: Option<Journal>,
        session: &mut Session,
    ) -> Result<Self> {
        let place = Place::find(config);
        if let Some(name) = &config.congestion_control {
            congestion::check(name)?;
        }
        let start = SystemTime::now();
        let peer = match &config.peer {
            config::compare::Peer::Other(_) => None,
            config::compare::Peer::BuiltIn(_) => Some(built_in(config, &place, session)?),
        };
        let interval = config.pacing.interval;
        match (place, peer) {
            (Place::Lab(lab), Some(peer)) => {
                let spec = lab.spec();
                let capture = capture.map(|journal| Capture {
                    packets: Packets::new(journal, start),
                    started: Instant::now(),
                });
                let port = peer.address().port();
                let network = lab.connect(&mut session.reactor, port, interval, capture)?;
                let impaired = Some(Impaired { spec, reach: Reach::Packets });
                Ok(Self { peer: Some(peer), network: Some(network), impaired })
            }
            (Place::Outside(spoiled), peer) => {
                if let Some(journal) = capture {
                    let begun = SystemTime::now() - session.tap.elapsed();
                    session.observe(Box::new(pcap::Capture::new(journal, begun)));
                }
                let impaired =
                    spoiled.map(|(spec, why)| Impaired { spec, reach: Reach::Replies(why) });
                Ok(Self { peer, network: None, impaired })
            }
            (Place::Lab(_), None) => Ok(Self { peer: None, network: None, impaired: None }),
        }
    }
}

/// Our own peer.
fn built_in(config: &Compare, place: &Place, session: &mut Session) -> Result<BuiltInPeer> {
    let (homes, spoiled) = match place {
        Place::Lab(lab) => (vec![lab.home()], None),
        Place::Outside(spoiled) => {
            (peer::loopback(config.family), spoiled.as_ref().map(|(spec, _)| *spec))
        }
    };
    let interval = config.pacing.interval;
    let reactor = &mut session.reactor;
    let peer = BuiltInPeer::start(reactor, &homes, config.family, spoiled, interval)?;
    if let Some(name) = &config.congestion_control {
        congestion::set(peer.listener(), name)?;
    }
    Ok(peer)
}
