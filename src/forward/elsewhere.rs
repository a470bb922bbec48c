//! The socket of a client towards TO, and the next address of a name where nobody is at this one.

use std::rc::Rc;

use mio::Interest;
use socket2::Socket;

use crate::engine::datagram::Datagram;
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::net::address::Address;
use crate::net::socket;
use crate::observe::tap::Event;
use crate::run::session::Session;
use crate::setup::target::Target;

/// A datagram socket for TO that the reactor watches, and TO's address.
///
/// # Errors
/// When no address has a route, or the reactor cannot watch the socket.
pub(super) fn connect(to: &Target, session: &mut Session) -> Result<(Socket, Rc<Latch>, Address)> {
    let (socket, peer) = to.connect_datagram(session)?;
    let latch = session
        .reactor
        .watch(&socket, Interest::READABLE | Interest::WRITABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    Ok((socket, latch, peer))
}

/// Keeps what is sent while there are other addresses to send it to.
pub(super) fn prepare(socket: &mut Datagram, to: &Target) {
    if socket.target().is_some_and(|peer| to.after(peer).is_some()) {
        socket.keep_for_others();
    }
}

/// Goes on at the same path: a local socket that was bound there anew is another one, and the one before has
/// left ours without a peer.
///
/// # Errors
/// When nobody is there.
fn reconnect(
    socket: &mut Datagram,
    to: &Target,
    error: Error,
    session: &mut Session,
) -> Result<()> {
    let (new, latch, peer) = match connect(to, session) {
        Ok(new) => new,
        Err(_) if error.status.says_nobody_is_there() => return Err(error),
        // What was met before says only that there is no peer, which was told.
        Err(why) => return Err(why),
    };
    let (old, old_latch, resent) = socket.move_to(Rc::new(new), latch, peer);
    session.leave(&old, &old_latch);
    if let Some(link) = socket.link() {
        session.event(&Event::Connected(link));
    }
    resent
}

/// Goes on at TO's next address when the network says that nobody is at this one and nothing has come
/// from there yet; it gets what the one before got. At the last address it goes back to the first, which
/// gets what the client sends next.
///
/// # Errors
/// The error itself where it is about something else, or about the last address.
pub(super) fn go_on(
    socket: &mut Datagram,
    to: &Target,
    mut error: Error,
    session: &mut Session,
) -> Result<()> {
    if matches!(to, Target::Local(..)) && socket::peer_address(socket.socket()).is_none() {
        return reconnect(socket, to, error, session);
    }
    loop {
        let Some(tried) = socket.target().cloned() else { return Err(error) };
        let is_name = to.after(&tried).is_some() || to.is_last_of_several(&tried);
        if !error.status.says_nobody_is_there() || !is_name || socket.activity().arrived > 0 {
            return Err(error);
        }
        let next = to.after(&tried);
        let is_over = next.is_none();
        let Ok((new, latch, peer)) = connect(next.as_ref().unwrap_or(to), session) else {
            return Err(error);
        };
        if is_over {
            socket.keep_nothing();
        } else {
            session.tell_tried(&error);
        }
        let (old, old_latch, resent) = socket.move_to(Rc::new(new), latch, peer);
        session.leave(&old, &old_latch);
        if is_over {
            socket.keep_for_others();
            return Err(error);
        }
        if let Some(link) = socket.link() {
            session.event(&Event::Connected(link));
        }
        match resent {
            Ok(()) => return Ok(()),
            Err(nobody_either) => error = nobody_either,
        }
    }
}
