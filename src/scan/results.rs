//! The answers of the ports, and writing them to standard output.
//!
//! Lines are in the order of the ports (unless shuffled); each is written as soon as the answers of
//! all ports before it are known.

use crate::error::Result;
use crate::io::reactor::Reactor;
use crate::net::address::service_name;
use crate::observe::journal::Journal;
use crate::run::console::{Console, OutputReader};
use crate::scan::plan::Order;
use crate::scan::report::{Found, Host, LineFormat, PortState, PortTally, write_line};

/// Which ports are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShownPorts {
    /// Only open ones.
    Open,
    /// Every one (`--all`).
    All,
    /// None (`--quiet`).
    None,
}

/// Whether open ports are shown with the names of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Yes, from the system's service list (services(5)).
    Shown,
    /// Numbers only (`-n`).
    Omitted,
}

/// What is shown, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Text or JSON.
    pub format: LineFormat,
    /// Which ports.
    pub shown: ShownPorts,
    /// Whether service names are shown.
    pub names: Names,
    /// In which order.
    pub order: Order,
}

/// The answers so far.
#[derive(Debug)]
pub(crate) struct Results {
    style: Style,
    host: Host,
    ports: Vec<u16>,
    found: Vec<Option<Found>>,
    /// Index of the first port that was not shown yet.
    next: usize,
    tally: PortTally,
    text: Journal,
    stdout: Console,
    /// Whether lines wait to be written.
    waiting: bool,
}

impl Results {
    /// No answers yet for these ports, which must be in ascending order.
    #[must_use]
    pub(crate) fn new(style: Style, host: Host, ports: Vec<u16>, stdout: Console) -> Self {
        Self {
            style,
            found: vec![None; ports.len()],
            next: 0,
            tally: PortTally::new(host.protocol, ports.len()),
            host,
            ports,
            text: stdout.journal(),
            stdout,
            waiting: false,
        }
    }

    /// The counts so far.
    #[must_use]
    pub(crate) fn tally(&self) -> PortTally {
        self.tally
    }

    /// Whether the answers of all ports are known.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.tally.known() == self.ports.len()
    }

    /// Whether there is text to write.
    #[must_use]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether so much text waits that no more should be added.
    #[must_use]
    pub(crate) fn is_congested(&self) -> bool {
        self.stdout.is_congested()
    }

    /// Notes the final answer of a port.
    pub(crate) fn settle(&mut self, port: u16, found: Found) {
        let Ok(place) = self.ports.binary_search(&port) else {
            return;
        };
        self.tally.count(found.state);
        if self.style.order == Order::Shuffled {
            self.show(port, found);
            return;
        }
        self.found[place] = Some(found);
        while let Some(Some(found)) = self.found.get(self.next).copied() {
            self.show(self.ports[self.next], found);
            self.next += 1;
        }
    }

    /// No more answers will come: shows the ports that waited for one before them.
    pub(crate) fn conclude(&mut self) {
        for place in self.next..self.ports.len() {
            if let Some(found) = self.found[place] {
                self.show(self.ports[place], found);
            }
        }
        self.next = self.ports.len();
    }

    fn show(&mut self, port: u16, found: Found) {
        let is_open = found.state == PortState::Open;
        match self.style.shown {
            ShownPorts::None => return,
            ShownPorts::Open if !is_open => return,
            ShownPorts::Open | ShownPorts::All => {}
        }
        let protocol = self.tally.protocol;
        let service = match self.style.names {
            Names::Shown if is_open => service_name(port, protocol),
            _ => None,
        };
        let format = self.style.format;
        self.text
            .append(|text| write_line(text, format, (&self.host, port), found, service.as_deref()));
        self.waiting = true;
    }

    /// Writes as much as fits, and returns whether there still is a reader.
    ///
    /// # Errors
    /// When standard output fails, other than by its reader's closing it.
    pub(crate) fn write(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        self.waiting = !self.stdout.flush(reactor);
        match self.stdout.failure() {
            Some(failure) => Err(failure),
            None if self.stdout.is_gone() => Ok(OutputReader::Gone),
            None => Ok(OutputReader::There),
        }
    }
}
