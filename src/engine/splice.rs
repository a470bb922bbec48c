//! Moving bytes from one descriptor to another inside the kernel (splice(2)).
//!
//! Pipes and sockets are spliced directly. A file and a socket need a pipe between them, which is
//! ours and holds what has left the one and not yet reached the other. Nobody sees the bytes, so
//! the pump uses this only while nobody wants to.
//!
//! What splice(2) says is not always what read(2) and write(2) would say. From a TCP socket it
//! stops in front of urgent data, by 0 or `EAGAIN`, with bytes behind; a sandbox may refuse it by
//! any error while it allows the other two. So it is believed when it moves bytes and when it
//! tells that a connection or a pipe broke. In all other cases copying finds out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::engine::batch::Batch;
use crate::engine::flow::{Sink, Source};
use crate::error::Error;
use crate::io::progress::Progress;
use crate::io::splice_end::{SpliceEnd, SpliceKind};
use crate::sys;

/// The most that one call moves: a whole pipe.
const CHUNK: usize = sys::BULK_PIPE;

/// What one step did.
#[derive(Debug)]
pub(crate) enum Step {
    /// Bytes moved, or none could.
    Progress(Progress),
    /// Nothing came from the source. Only reading it tells why: its end, nothing there for now, or
    /// urgent data, in front of which splice(2) stops. Splicing may go on after what was read.
    Read,
    /// Nobody takes what the sink gets.
    SinkEnded,
    /// These two descriptors cannot be spliced; [`Splice::rescue`] what is under way.
    Refused,
}

/// Which end failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Reading. What came before the failure may still be there to be read.
    Source(Error),
    /// Writing.
    Sink(Error),
}

/// A direct or a two-stage way for bytes.
#[derive(Debug)]
pub(crate) enum Splice {
    /// One of the two ends is a pipe.
    Direct,
    /// Through a pipe of our own.
    Through {
        /// Its ends.
        pipe: (OwnedFd, OwnedFd),
        /// Bytes inside it.
        held: usize,
    },
}

impl Splice {
    /// A way from `source` to `sink`, if the kernel has one and they allow it.
    pub(crate) fn between(source: &impl Source, sink: &impl Sink) -> Option<Self> {
        if !sys::CAN_SPLICE {
            return None;
        }
        let (from, to) = (source.splice_end()?, sink.splice_end()?);
        if from.kind == SpliceKind::Pipe || to.kind == SpliceKind::Pipe {
            return Some(Self::Direct);
        }
        let pipe = sys::pipe().ok()?;
        let _ = sys::enlarge_pipe(&pipe.1, CHUNK);
        Some(Self::Through { pipe, held: 0 })
    }

    /// Moves what can be moved in one step.
    ///
    /// # Errors
    /// When an end failed.
    pub(crate) fn step(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
    ) -> Result<Step, Failed> {
        match self {
            Self::Direct => direct(source, sink),
            Self::Through { pipe, held: held @ 0 } => match from_source(&pipe.1, held, source)? {
                None => into_sink(&pipe.0, held, sink),
                Some(step) => Ok(step),
            },
            Self::Through { pipe, held } => into_sink(&pipe.0, held, sink),
        }
    }

    /// Bytes that have left the source and not reached the sink.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Direct => 0,
            Self::Through { held, .. } => *held,
        }
    }

    /// Takes back what was under way when the sink refused it.
    ///
    /// # Errors
    /// When our own pipe does not give it back: these bytes are lost.
    pub(crate) fn rescue(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Self::Through { pipe, held } = self else { return Ok(()) };
        let bytes = sys::take_from_pipe(&pipe.0, *held)?;
        *held = 0;
        if !bytes.is_empty() {
            batch.push(&[&bytes]);
        }
        Ok(())
    }
}

fn direct(source: &mut impl Source, sink: &mut impl Sink) -> Result<Step, Failed> {
    let (Some(from), Some(to)) = (source.splice_end(), sink.splice_end()) else {
        return Ok(Step::Refused);
    };
    if !from.latch.readable() || !to.latch.writable() {
        return Ok(Step::Progress(Progress::Blocked));
    }
    let is_socket = (from.kind == SpliceKind::Socket, to.kind == SpliceKind::Socket);
    match sys::splice(from.fd, to.fd, CHUNK) {
        Ok(0) => Ok(Step::Read),
        Ok(n) => {
            source.moved(n);
            sink.moved(n);
            Ok(moved(n))
        }
        Err(cause) => match (cause.kind(), is_socket) {
            (io::ErrorKind::WouldBlock, _) => Ok(blocked_end(&from, &to)),
            (io::ErrorKind::Interrupted, _) => Ok(moved(0)),
            // Of a socket and a pipe, what is spliced into is what breaks with EPIPE.
            (io::ErrorKind::BrokenPipe, _) => sink_failed(sink, &cause),
            (kind, (true, _)) if is_of_connection(kind) => {
                Err(Failed::Source(source.splice_failed(&cause)))
            }
            (kind, (_, true)) if is_of_connection(kind) => sink_failed(sink, &cause),
            _ => Ok(Step::Refused),
        },
    }
}

/// Fills our own, empty pipe; `None` when there is something in it now.
fn from_source(
    pipe: &OwnedFd,
    held: &mut usize,
    source: &mut impl Source,
) -> Result<Option<Step>, Failed> {
    let Some(from) = source.splice_end() else { return Ok(Some(Step::Refused)) };
    if !from.latch.readable() {
        return Ok(Some(Step::Progress(Progress::Blocked)));
    }
    let is_socket = from.kind == SpliceKind::Socket;
    let most = if is_socket { sys::FILE_PIECE } else { CHUNK };
    match sys::splice(from.fd, pipe.as_fd(), most) {
        Ok(0) => Ok(Some(Step::Read)),
        Ok(n) => {
            *held = n;
            source.moved(n);
            Ok(None)
        }
        Err(cause) => match cause.kind() {
            io::ErrorKind::WouldBlock => Ok(Some(Step::Read)),
            io::ErrorKind::Interrupted => Ok(Some(moved(0))),
            kind if is_socket && is_of_connection(kind) => {
                Err(Failed::Source(source.splice_failed(&cause)))
            }
            _ => Ok(Some(Step::Refused)),
        },
    }
}

/// Empties our own pipe.
fn into_sink(pipe: &OwnedFd, held: &mut usize, sink: &mut impl Sink) -> Result<Step, Failed> {
    let Some(to) = sink.splice_end() else { return Ok(Step::Refused) };
    if !to.latch.writable() {
        return Ok(Step::Progress(Progress::Blocked));
    }
    let is_socket = to.kind == SpliceKind::Socket;
    match sys::splice(pipe.as_fd(), to.fd, *held) {
        Ok(0) => Ok(Step::Refused),
        Ok(n) => {
            *held -= n;
            sink.moved(n);
            Ok(moved(n))
        }
        Err(cause) => match cause.kind() {
            io::ErrorKind::WouldBlock => {
                to.latch.not_writable();
                Ok(Step::Progress(Progress::Blocked))
            }
            io::ErrorKind::Interrupted => Ok(moved(0)),
            io::ErrorKind::BrokenPipe => sink_failed(sink, &cause),
            kind if is_socket && is_of_connection(kind) => sink_failed(sink, &cause),
            // Such as EINVAL of a file opened for appending (splice(2)).
            _ => Ok(Step::Refused),
        },
    }
}

/// Whether an error is one that a connection ends with. A socket tells of it once (SO_ERROR,
/// socket(7)), so that copying would meet an end without a cause instead. Every other error may
/// mean that splicing is not possible here, and if it does not, copying meets it again.
fn is_of_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        kind,
        Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::ConnectionRefused
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::TimedOut
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
    )
}

fn sink_failed(sink: &mut impl Sink, cause: &io::Error) -> Result<Step, Failed> {
    match sink.splice_failed(cause) {
        Some(error) => Err(Failed::Sink(error)),
        None => Ok(Step::SinkEnded),
    }
}

fn moved(n: usize) -> Step {
    Step::Progress(Progress::Moved(n))
}

/// `EAGAIN` does not say which end is stuck (splice(2)); poll(2) does. Clearing the latch of an
/// end that is ready would wait for an edge that never comes.
fn blocked_end(from: &SpliceEnd<'_>, to: &SpliceEnd<'_>) -> Step {
    let (readable, writable) = sys::ready(from.fd, to.fd);
    if readable && writable {
        // Such as in front of urgent data.
        return Step::Read;
    }
    if !readable {
        from.latch.not_readable();
    }
    if !writable {
        to.latch.not_writable();
    }
    Step::Progress(Progress::Blocked)
}
