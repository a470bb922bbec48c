//! The settings and the state of a hub.

use std::time::Instant;

use super::client::Client;
use super::handshakes::Handshakes;
use super::role::Role;
use super::service::Service;
use super::table::Table;
use crate::engine::batch::Batch;
use crate::engine::datagram::Datagram;
use crate::engine::ends::{self, Company, Ends, Fin, Saying, closes_sending};
use crate::engine::framing::Format;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::pace::Pace;
use crate::engine::pump::Pump;
use crate::error::Error;
use crate::observe::tap::Activity;
use crate::setup::accept::Acceptor;
use crate::sys::Offload;

/// The most bytes read from a client in one call.
pub(super) const BUFFER: usize = 256 * 1024;

/// The settings of a hub.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Whether more than one client is served.
    pub keep_open: bool,
    /// The most bytes queued for one client.
    pub queue: usize,
    /// Whether messages on standard output begin with the sender's address.
    pub tag: bool,
    /// How messages are written to standard output.
    pub output: Format,
    /// When the sending half of a client is closed.
    pub fin: Fin,
    /// How standard input is cut into messages. TCP clients get those with their delimiters again if there
    /// are UDP peers too.
    pub input: Format,
    /// Whether lines end in CRLF in a TCP stream.
    pub crlf: bool,
    /// What ends the whole run.
    pub ending: ends::Rules,
}

/// The ends that a hub connects.
pub(crate) struct Parts {
    /// Accepts TCP clients, if there are to be any.
    pub acceptor: Option<Acceptor>,
    /// The TLS handshakes of clients, if there is TLS.
    pub handshakes: Option<Handshakes>,
    /// The UDP socket, if there is one.
    pub datagrams: Option<Datagram>,
    /// What is sent to all clients, if the role sends standard input.
    pub input: Option<Input>,
    /// Where received data is written.
    pub output: Output,
}

/// A listener and all clients connected to it.
pub(crate) struct Hub {
    pub(super) settings: Settings,
    pub(super) role: Role,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) handshakes: Option<Handshakes>,
    pub(super) service: Option<Service>,
    pub(super) clients: Table,
    /// Bytes of the unfinished messages of all clients together.
    pub(super) unfinished: usize,
    pub(super) input: Option<Input>,
    pub(super) up: Pump,
    /// Whether words of the command line are on their way.
    pub(super) speaks: bool,
    pub(super) output: Output,
    pub(super) buffer: Vec<u8>,
    pub(super) ends: Ends,
    /// How much has been transferred to and from TCP clients.
    pub(super) passed: Activity,
    pub(super) failure: Option<Error>,
    /// Whether the queue of some client has been too full for what should go into it.
    pub(super) anybody_stuck: bool,
}

impl Hub {
    /// A hub for TCP clients, UDP peers or both; `now` is when its time limits begin.
    #[must_use]
    pub(crate) fn new(
        settings: Settings,
        role: Role,
        parts: Parts,
        pace: Option<Pace>,
        now: Instant,
    ) -> Self {
        let Parts { acceptor, handshakes, datagrams, input, output } = parts;
        let mut ends = Ends::new(settings.ending, Company::Awaited, now);
        // Standard input is read only while there is a client. Without this, one that has nothing would
        // not be seen to have ended if the only client left before it was read.
        if input.as_ref().is_none_or(Input::is_nothing) {
            ends.input_ended(now);
        }
        Self {
            settings,
            role,
            acceptor,
            handshakes,
            service: datagrams.map(Service::new),
            clients: Table::default(),
            unfinished: 0,
            input,
            up: Pump::new(Batch::new(64 * 1024), Offload::Portable, pace),
            speaks: false,
            output,
            buffer: vec![0; BUFFER],
            ends,
            passed: Activity::default(),
            failure: None,
            anybody_stuck: false,
        }
    }

    /// Whether the sending half of a client is to be closed now, in a role that sends standard input.
    pub(super) fn closes_sending_of(&self, client: &Client) -> bool {
        let saying = match &self.input {
            None => Saying::Nothing,
            Some(_) if self.ends.has_input_ended() => Saying::Nothing,
            Some(input) if client.ended && input.is_null() => Saying::Nothing,
            Some(input) if input.is_terminal() => Saying::Terminal,
            Some(_) => Saying::More,
        };
        closes_sending(self.settings.fin, self.settings.ending.until_fin, saying, client.ended)
    }
}
