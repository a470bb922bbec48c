//! The serving side of `pktcat listen`: many clients, ready-made answers, a program for each.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::Ipv6Addr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::listen::{announce, bind, bind_to, fin, open_datagram};
use super::{input, output};
use socket2::Socket;

use crate::address::{Family, Protocol, Target};
use crate::children::Children;
use crate::config::{Listen, Place, Task};
use crate::door::Door;
use crate::endpoint::datagram::{Datagram, LONGEST_IPV4, LONGEST_IPV6};
use crate::endpoint::input::Wire;
use crate::endpoint::stream::Fin;
use crate::error::{Error, Result, Status};
use crate::gate::Gate;
use crate::hub::role::{Reply, Role, characters};
use crate::hub::{Ends, Hub, Rules};
use crate::session::Session;
use crate::socket;
use crate::sys;

/// Serves clients and UDP peers from the one loop.
pub(super) fn hub(config: &Listen, gate: Gate, session: &mut Session) -> Result<()> {
    let common = &config.common;
    if config.keep_open {
        let _ = sys::raise_descriptor_limit();
    }
    let role = role(config)?;
    // What goes to both is a message to both: no longer than a datagram can be.
    let wire = match common.protocol == Protocol::Udp || config.both {
        true => common.datagrams(longest(config))?,
        false => Wire::Stream,
    };
    let (door, datagrams) = sockets(config, gate, session)?;
    let output = output(common, true, session)?.of_whole_messages();
    let input = if role.sends_input() { Some(input(common, wire, session)?) } else { None };
    let rules = Rules {
        keep_open: config.keep_open,
        queue: config.queue,
        tag: config.tag,
        output: common.output,
        fin: match &input {
            // Others go on talking when standard input has nothing more to say.
            Some(_) if matches!(config.task, Task::Chat) && !common.no_shutdown => Fin::AtPeerFin,
            Some(input) => fin(common, input),
            None => Fin::AtPeerFin,
        },
        until_fin: common.until_fin,
        crlf: common.crlf().is_some(),
        input: common.input,
        silence: common.linger,
        first: config.accept_timeout,
        idle: common.idle,
    };
    let ends = Ends { door, datagrams, input, output };
    Hub::new(rules, role, ends, common.pace(), Instant::now()).run(session)
}

/// The listening sockets: of one protocol, or of both on one port number.
fn sockets(
    config: &Listen,
    gate: Gate,
    session: &mut Session,
) -> Result<(Option<Door>, Option<Datagram>)> {
    if let (true, Place::Internet(target)) = (config.both, &config.place) {
        let (tcp, udp) = bind_both(config, target, session)?;
        announce(config, &[(Protocol::Tcp, &tcp), (Protocol::Udp, &udp)], session)?;
        let door = Door::new(tcp, gate.clone(), config.max_clients, session)?;
        return Ok((Some(door), Some(datagrams(config, udp, gate, session)?)));
    }
    let protocol = config.common.protocol;
    let socket = bind(config, protocol, session)?;
    Ok(match protocol {
        Protocol::Tcp => {
            let door = Door::new(socket, gate, config.max_clients, session)?;
            (Some(door), None)
        }
        Protocol::Udp => (None, Some(datagrams(config, socket, gate, session)?)),
    })
}

/// Both protocols on one port number. A port that the system chose for the one may be taken for
/// the other; then it is asked for another.
fn bind_both(config: &Listen, target: &Target, session: &mut Session) -> Result<(Socket, Socket)> {
    let wanted = target.port_number(Protocol::Tcp)?;
    let mut tries = if wanted == 0 { 16 } else { 1 };
    loop {
        tries -= 1;
        let tcp = bind_to(config, target, Protocol::Tcp, wanted, session)?;
        let port = socket::local_port(&tcp);
        match bind_to(config, target, Protocol::Udp, port, session) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if tries == 0 || error.status != Status::Failure => return Err(error),
            Err(_) => {}
        }
    }
}

fn datagrams(
    config: &Listen,
    socket: Socket,
    gate: Gate,
    session: &mut Session,
) -> Result<Datagram> {
    let socket = Rc::new(socket);
    session.count_drops_of(&socket);
    open_datagram(config, socket, gate, session)
}

/// The most that a datagram carries to everybody who may come: those of IPv4 carry less.
fn longest(config: &Listen) -> usize {
    let is_v6 = match &config.place {
        Place::Internet(Target { host: Some(host), .. }) => {
            let ip = host.split('%').next().and_then(|ip| ip.parse::<Ipv6Addr>().ok());
            ip.is_some_and(|ip| !ip.is_unspecified() && ip.to_ipv4_mapped().is_none())
        }
        _ => false,
    };
    match config.common.family {
        Family::V6 => LONGEST_IPV6,
        Family::Any if is_v6 => LONGEST_IPV6,
        Family::Any | Family::V4 => LONGEST_IPV4,
    }
}

fn role(config: &Listen) -> Result<Role> {
    let hears_udp = config.common.protocol == Protocol::Udp || config.both;
    let longest = longest(config);
    let fits = |bytes: &[u8], what: &str| match bytes.len() {
        n if hears_udp && n > longest => {
            let why = format!("{n} bytes are more than the {longest} of a datagram");
            Err(Error::usage(what, why))
        }
        _ => Ok(()),
    };
    Ok(match &config.task {
        Task::Relay | Task::Command(_) => Role::Relay,
        Task::Echo => Role::Echo,
        Task::Discard => Role::Discard,
        Task::Chargen => Role::Chargen(characters()),
        Task::Chat => Role::Chat,
        Task::Reply(bytes) => {
            fits(bytes, "--reply")?;
            Role::Reply(Reply::Bytes(Rc::from(&bytes[..])))
        }
        Task::ReplyFile(path) if hears_udp => {
            let bytes = std::fs::read(path).map_err(|cause| unreadable(path, &cause))?;
            fits(&bytes, "--reply-file")?;
            Role::Reply(Reply::Bytes(bytes.into()))
        }
        Task::ReplyFile(path) => {
            Role::Reply(open_reply(path).map_err(|cause| unreadable(path, &cause))?)
        }
    })
}

fn open_reply(path: &Path) -> io::Result<Reply> {
    let mut file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if kind.is_fifo() {
        // What a pipe gives it gives once.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok(Reply::Bytes(bytes.into()));
    }
    Ok(Reply::File(Rc::new(file)))
}

fn unreadable(path: &Path, cause: &io::Error) -> Error {
    Error::local("read", path.display(), cause)
}

/// Runs a program for each connection.
pub(super) fn command(
    config: &Listen,
    words: &[OsString],
    gate: Gate,
    session: &mut Session,
) -> Result<()> {
    let socket = bind(config, Protocol::Tcp, session)?;
    let door = Door::new(socket, gate, config.max_clients, session)?;
    session.reactor.hear_children().map_err(|cause| Error::system("signals", &cause))?;
    Children::new(words, config.keep_open, config.accept_timeout).run(door, session)
}
