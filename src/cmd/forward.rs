//! `pktcat forward`: listens at FROM and leads every client to TO.

use std::rc::Rc;
use std::time::Instant;

use super::bind::{Binding, announce, bind};
use super::check;
use super::watch::{self, Watched};
use crate::config::{Forward, Place};
use crate::error::Result;
use crate::forward::streams::{Forwarder, Settings};
use crate::net::access::AccessList;
use crate::net::address::Protocol;
use crate::run::session::Session;
use crate::setup::accept::Acceptor;
use crate::setup::dial::From;
use crate::setup::resolve;
use crate::setup::target::Target;
use crate::sys;

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Forward) -> Result<()> {
    let Forward { verbosity, timeout, seen, .. } = config;
    let protocol = config.from.protocol;
    let watched = Watched { protocol, verbosity: *verbosity, timeout: *timeout, seen };
    let prepare = |session: &mut Session| prepare(config, session);
    watch::session(watched, prepare, |ready, session| streams(config, ready, session))
}

/// What is known before anybody can come.
struct Ready {
    access: AccessList,
    to: Target,
}

fn prepare(config: &Forward, session: &mut Session) -> Result<Ready> {
    if let Place::Internet(target) = &config.from.place {
        target.port_number(config.from.protocol)?;
    }
    let names = config.names();
    let access = config.access(|host| resolve::resolve_host(session, host, 0, names, None))?;
    let to = match &config.to.place {
        Place::Unix(path) => Target::Local(Rc::from(path.as_path()), config.options.clone()),
        Place::Internet(target) => {
            let port = check::peer_port(target, config.to.protocol)?;
            let addresses = resolve::resolve(session, target, port, names, None)?;
            let from = From { options: config.options.clone(), ..From::default() };
            Target::Internet(addresses, Rc::new(from))
        }
    };
    Ok(Ready { access, to })
}

fn streams(config: &Forward, Ready { access, to }: Ready, session: &mut Session) -> Result<()> {
    let descriptors = sys::raise_descriptor_limit();
    let binding = Binding {
        place: &config.from.place,
        family: config.family,
        lookup: config.lookup,
        options: &config.options,
        port_file: config.port_file.as_deref(),
    };
    let listener = bind(binding, Protocol::Tcp, session)?;
    announce(binding, &[(Protocol::Tcp, &listener)], session)?;
    let acceptor = Acceptor::new(listener, access, config.max_clients, session)?;
    let settings = Settings {
        to,
        connect_timeout: config.connect_timeout,
        idle: config.idle,
        once: config.once,
        offload: config.offload,
        descriptors,
    };
    Forwarder::new(settings, acceptor, Instant::now()).run(session)
}
