//! TLS over a stream socket (RFC 8446, RFC 5246): records in, payload out, and the other way.
//!
//! What is trusted, and whom, was decided by whoever made the connection's state; here it only runs.
//! Nothing waits and nothing grows: payload is taken only when all that was taken before has been
//! handed to the system, and records are read only when their payload has been asked for.

mod words;

pub(crate) use words::{advice, reason};

use std::io::{self, IoSlice, Read as _, Write as _};

use rustls::Connection;

use crate::engine::stream::transport::Transport;
use crate::io::progress::Progress;

/// Payload that is encrypted at once: eight records of the greatest size (RFC 8446, 5.1).
const MOST_SENT: usize = 128 * 1024;

/// Bytes of records that are read before the loop may see to other things. Of those without any payload
/// there may be a flood.
const MOST_READ: usize = 256 * 1024;

/// How the peer's half of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As its protocol demands, or not yet.
    Whole,
    /// By a FIN where TLS has a close_notify before it: somebody on the way may have cut it off.
    CutOff,
}

/// What a FIN without a close_notify before it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BareFin {
    /// The end of a stream that was cut off.
    CutsOff,
    /// An end like any other (`--accept-fin`).
    Ends,
}

/// A TLS connection over a socket.
#[derive(Debug)]
pub(crate) struct Session {
    transport: Transport,
    connection: Connection,
    /// Whether there may be payload that was decrypted and has not been asked for.
    has_payload: bool,
    /// Whether the peer's end has come: its close_notify, behind which nothing is read, or what is
    /// taken for one.
    has_ended: bool,
    /// Bytes of records that wait for room in the socket.
    held: usize,
    bare_fin: BareFin,
    ending: Ending,
    /// Whether our close_notify has been made: nothing may follow it.
    is_closing: bool,
    /// Whether all payload had been acknowledged when it was made.
    was_acknowledged: bool,
    /// What the socket has failed with, once what came before has been taken.
    broken: Option<io::Error>,
    /// Why TLS failed, once it has.
    failure: Option<rustls::Error>,
}

impl Session {
    /// TLS over this socket, with its handshake still to come.
    #[must_use]
    pub(crate) fn new(transport: Transport, mut connection: Connection, bare_fin: BareFin) -> Self {
        connection.set_buffer_limit(Some(MOST_SENT));
        Self {
            transport,
            connection,
            has_payload: false,
            has_ended: false,
            held: 0,
            bare_fin,
            ending: Ending::Whole,
            is_closing: false,
            was_acknowledged: false,
            broken: None,
            failure: None,
        }
    }

    /// The socket below.
    #[must_use]
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// What was agreed with the peer.
    #[must_use]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How the peer's half ended, as far as it has.
    #[must_use]
    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    /// Goes on with the handshake; `End` once it is complete and our part of it has left.
    ///
    /// # Errors
    /// When the peers cannot agree, or the connection is broken.
    pub(crate) fn handshake(&mut self) -> io::Result<Progress> {
        loop {
            match self.flush()? {
                Progress::End => {}
                other => return Ok(other),
            }
            if !self.connection.is_handshaking() {
                return Ok(Progress::End);
            }
            match self.read_records(&mut [], &mut 0)? {
                Progress::Moved(n) if n > 0 => {}
                Progress::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                other => return Ok(other),
            }
        }
    }

    /// Receives payload that has come; `End` at the peer's end.
    ///
    /// # Errors
    /// When the connection is broken, or what comes is not what was agreed on.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        let mut taken = 0;
        loop {
            match self.take_payload(buffer)? {
                Progress::Blocked => {}
                other => return Ok(other),
            }
            match self.read_records(buffer, &mut taken) {
                // A failure is met again once the payload before it has been taken.
                _ if taken > 0 => return Ok(Progress::Moved(taken)),
                // Nothing to be taken yet, and perhaps the end: once more, when others had their turn.
                Ok(Progress::Moved(_)) => return Ok(Progress::Moved(0)),
                Ok(Progress::End) => {}
                other => return other,
            }
        }
    }

    /// Takes decrypted payload; `Blocked` when there is none, `End` when there never will be.
    fn take_payload(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        if buffer.is_empty() {
            return Ok(Progress::Blocked);
        }
        match self.connection.reader().read(buffer) {
            Ok(0) => Ok(Progress::End),
            Ok(n) => Ok(Progress::Moved(n)),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                self.has_payload = false;
                match &self.failure {
                    Some(failure) => Err(failed(failure.clone())),
                    None => Ok(Progress::Blocked),
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                match self.bare_fin {
                    BareFin::CutsOff => self.ending = Ending::CutOff,
                    BareFin::Ends => self.has_ended = true,
                }
                Ok(Progress::End)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Reads and decrypts records into the buffer while there are any and their payload finds room.
    /// `taken` counts the payload, `Moved` the bytes of records; `End` at the FIN.
    fn read_records(&mut self, buffer: &mut [u8], taken: &mut usize) -> io::Result<Progress> {
        if *taken == 0
            && let Some(cause) = self.broken.take()
        {
            return Err(cause);
        }
        let mut read = 0;
        while !self.has_ended && read < MOST_READ {
            if !self.connection.wants_read() {
                // An answer of the handshake has to leave before more of it is read.
                let _ = self.flush();
            }
            if !self.connection.wants_read() {
                break;
            }
            match self.connection.read_tls(&mut Inlet(&self.transport)) {
                Ok(0) => {
                    self.process()?;
                    return Ok(Progress::End);
                }
                Ok(n) => read += n,
                Err(cause) => match cause.kind() {
                    io::ErrorKind::WouldBlock if read == 0 => return Ok(Progress::Blocked),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => break,
                    _ => {
                        // The system tells it once, and what came before has to be taken first.
                        self.broken = Some(cause);
                        break;
                    }
                },
            }
            let processed = self.process();
            // After a failure, too: what came before it may be in the same piece.
            while self.has_payload
                && let Ok(Progress::Moved(n)) = self.take_payload(&mut buffer[*taken..])
            {
                *taken += n;
            }
            match processed {
                Err(failure) if *taken == 0 => return Err(failure),
                // It is told once that has been taken.
                Err(_) => break,
                Ok(()) => {}
            }
        }
        // What is to be answered, such as new keys, leaves when there is room for it.
        let _ = self.flush();
        match self.broken.take_if(|_| *taken == 0) {
            Some(cause) => Err(cause),
            None => Ok(Progress::Moved(read)),
        }
    }

    fn process(&mut self) -> io::Result<()> {
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.has_payload = state.plaintext_bytes_to_read() > 0;
                self.has_ended |= state.peer_has_closed();
                Ok(())
            }
            Err(failure) => {
                // The peer is told why, if it can still be told.
                let _ = self.flush();
                // What came before it may still be there.
                self.has_payload = true;
                self.failure = Some(failure.clone());
                Err(failed(failure))
            }
        }
    }

    /// Sends payload that there is room for.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        if self.is_closing {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // What was encrypted before is all that may wait.
        match self.flush()? {
            Progress::End => {}
            other => return Ok(other),
        }
        let n = self.connection.writer().write(&bytes[..bytes.len().min(MOST_SENT)])?;
        self.flush()?;
        Ok(Progress::Moved(n))
    }

    /// Hands encrypted records to the system; `End` once there are none left.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn flush(&mut self) -> io::Result<Progress> {
        while self.connection.wants_write() {
            let mut socket = Outlet(&self.transport);
            match self.connection.write_tls(&mut socket) {
                Ok(_) => {}
                Err(cause) => match cause.kind() {
                    io::ErrorKind::WouldBlock => {
                        // Counting reads nothing: there are no new records.
                        let state = self.connection.process_new_packets();
                        self.held = state.map_or(self.held, |state| state.tls_bytes_to_write());
                        return Ok(Progress::Blocked);
                    }
                    io::ErrorKind::Interrupted => return Ok(Progress::Moved(0)),
                    _ => return Err(cause),
                },
            }
        }
        self.held = 0;
        Ok(Progress::End)
    }

    /// Bytes of records that wait for room in the socket.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Whether receiving has met nothing more for now.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        !self.has_payload && self.transport.is_drained()
    }

    /// Ends our half: a close_notify, and a FIN once that has left.
    ///
    /// Many peers are gone once they have sent their own close_notify, and their system answers ours
    /// with a reset. Nothing is lost by that when all before it had been acknowledged.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn close_write(&mut self) -> io::Result<Progress> {
        if !self.is_closing {
            self.is_closing = true;
            self.was_acknowledged =
                self.held == 0 && self.transport.unacknowledged().is_some_and(|left| left == 0);
            // Behind an alert there is nothing more to say.
            if self.failure.is_none() {
                self.connection.send_close_notify();
            }
        }
        let progress = match self.flush() {
            Ok(Progress::End) => self.transport.close_write(),
            other => other,
        };
        if self.was_acknowledged { progress.or(Ok(Progress::End)) } else { progress }
    }

    /// Whether both ends have said that there is no more, and the peer's system had acknowledged all of
    /// ours before: whatever becomes of the connection then, nothing is missing.
    #[must_use]
    pub(crate) fn is_concluded(&self) -> bool {
        self.is_closing && self.was_acknowledged && self.has_ended
    }
}

fn failed(failure: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, failure)
}

/// The socket as the source of records.
struct Inlet<'a>(&'a Transport);

impl io::Read for Inlet<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.receive(buffer)? {
            Progress::Moved(0) => Err(io::ErrorKind::Interrupted.into()),
            Progress::Moved(n) => Ok(n),
            Progress::End => Ok(0),
            Progress::Blocked => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The socket as the sink of records.
struct Outlet<'a>(&'a Transport);

impl io::Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.0.send_pieces(pieces)? {
            Progress::Moved(0) => Err(io::ErrorKind::Interrupted.into()),
            Progress::Moved(n) => Ok(n),
            Progress::Blocked | Progress::End => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
