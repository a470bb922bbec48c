//! What a hub is told at its start and what it knows while it runs.

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

/// Room for reading from a client.
pub(super) const BUFFER: usize = 256 * 1024;

/// How the clients are treated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Whether more than one client is served.
    pub keep_open: bool,
    /// Bytes that may wait for a client.
    pub queue: usize,
    /// Whether messages on standard output begin with who sent them.
    pub tag: bool,
    /// How messages are written.
    pub output: Format,
    /// When the sending half of a client is closed.
    pub fin: Fin,
    /// How standard input is cut into messages, for those that get it both as a stream and as datagrams.
    pub input: Format,
    /// Whether a line ends in CRLF in a stream.
    pub crlf: bool,
    /// What ends the whole run.
    pub ending: ends::Rules,
}

/// What a hub connects.
pub(crate) struct Parts {
    /// Where TCP clients come in.
    pub acceptor: Option<Acceptor>,
    /// Where they show who they are first, with TLS.
    pub handshakes: Option<Handshakes>,
    /// Where datagrams come in.
    pub datagrams: Option<Datagram>,
    /// What is sent to everybody.
    pub input: Option<Input>,
    /// Where what they send goes.
    pub output: Output,
}

/// A listener and everybody connected to it.
pub(crate) struct Hub {
    pub(super) settings: Settings,
    pub(super) role: Role,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) handshakes: Option<Handshakes>,
    pub(super) service: Option<Service>,
    pub(super) clients: Table,
    /// Bytes that the unfinished messages of all clients take.
    pub(super) unfinished: usize,
    pub(super) input: Option<Input>,
    pub(super) up: Pump,
    pub(super) output: Output,
    pub(super) buffer: Vec<u8>,
    pub(super) ends: Ends,
    /// What has passed between the clients and us.
    pub(super) passed: Activity,
    pub(super) failure: Option<Error>,
    /// Whether some client has had no room for what it should get.
    pub(super) anybody_stuck: bool,
}

impl Hub {
    /// A hub ready to run, for TCP clients, UDP peers or both.
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
        // It is read only while a client is there, and one may have come and gone at once.
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
            output,
            buffer: vec![0; BUFFER],
            ends,
            passed: Activity::default(),
            failure: None,
            anybody_stuck: false,
        }
    }

    /// Whether a client gets its FIN now, where what it gets is standard input.
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
