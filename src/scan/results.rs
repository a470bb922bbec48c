//! What is known of each port, and standard output, where it is shown.
//!
//! Lines come in the order of the ports, each as soon as all ports before it are known.

use crate::error::Result;
use crate::io::reactor::Reactor;
use crate::net::address::{Protocol, service_name};
use crate::observe::journal::Journal;
use crate::run::console::Console;
use crate::scan::report::{Found, LineFormat, PortState, PortTally, write_line};

use super::Order;

/// Which ports are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownPorts {
    /// Those that are open.
    Open,
    /// Every one (`--all`).
    All,
}

/// Whether open ports are shown with the names of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The system's list is asked.
    Shown,
    /// Numbers only (`-n`).
    Omitted,
}

/// Whether somebody reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputReader {
    /// As far as one can know.
    There,
    /// The pipe is closed.
    Gone,
}

/// What lines look like.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Text or JSON.
    pub format: LineFormat,
    /// Which ports.
    pub shown: ShownPorts,
    /// With names or without.
    pub names: Names,
    /// In which order.
    pub order: Order,
}

/// The answers so far.
#[derive(Debug)]
pub struct Results {
    style: Style,
    ports: Vec<u16>,
    found: Vec<Option<Found>>,
    /// All ports before this place are known and shown.
    next: usize,
    tally: PortTally,
    text: Journal,
    stdout: Console,
    /// Whether something has been shown that has not reached its reader yet.
    waiting: bool,
}

impl Results {
    /// Nothing is known yet of these ports, which ascend.
    #[must_use]
    pub fn new(style: Style, protocol: Protocol, ports: Vec<u16>, stdout: Console) -> Self {
        Self {
            style,
            found: vec![None; ports.len()],
            next: 0,
            tally: PortTally::new(protocol, ports.len()),
            ports,
            text: stdout.journal(),
            stdout,
            waiting: false,
        }
    }

    /// The counts so far.
    #[must_use]
    pub fn tally(&self) -> PortTally {
        self.tally
    }

    /// Whether every port is known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tally.known() == self.ports.len()
    }

    /// Whether there is text to write.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether so much text waits that there should not be more.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.stdout.is_congested()
    }

    /// A port is known, for good.
    pub fn settle(&mut self, port: u16, found: Found) {
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

    /// No more will be known: what waits for a port before it is shown.
    pub fn conclude(&mut self) {
        for place in self.next..self.ports.len() {
            if let Some(found) = self.found[place] {
                self.show(self.ports[place], found);
            }
        }
        self.next = self.ports.len();
    }

    fn show(&mut self, port: u16, found: Found) {
        let is_open = found.state == PortState::Open;
        if !is_open && self.style.shown == ShownPorts::Open {
            return;
        }
        let protocol = self.tally.protocol;
        let service = match self.style.names {
            Names::Shown if is_open => service_name(port, protocol),
            _ => None,
        };
        let format = self.style.format;
        self.text
            .append(|text| write_line(text, format, (port, protocol), found, service.as_deref()));
        self.waiting = true;
    }

    /// Writes what there is room for, and tells whether anybody still reads.
    ///
    /// # Errors
    /// When standard output fails for another reason than that its reader left.
    pub fn write(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        self.waiting = !self.stdout.flush(reactor);
        match self.stdout.failure() {
            Some(failure) => Err(failure),
            None if self.stdout.is_gone() => Ok(OutputReader::Gone),
            None => Ok(OutputReader::There),
        }
    }
}
