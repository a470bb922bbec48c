//! Moving bytes from one descriptor to another inside the kernel (splice(2)).
//!
//! If one end is a pipe, bytes are spliced directly. A file and a socket need a pipe of our own
//! between them, which holds what has left the one and not yet reached the other. The bytes do not
//! pass through this program, so the pump splices only while no observer wants to see them.
//!
//! The result of splice(2) is not always that of read(2) and write(2). On a TCP socket it returns 0
//! or `EAGAIN` in front of urgent data although more bytes follow; a sandbox may refuse it with any
//! error and allow the other two. So only two results are taken as they are: that bytes moved, and
//! that a connection or a pipe broke. After all others the pump copies, and that shows what is true.

mod kernel;
pub(crate) mod pipes;

use std::io;

pub(crate) use kernel::{Kernel, System};

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
    /// Nothing came from the source, which has to be read to find out why: it has ended, has nothing
    /// for now, or has urgent data, in front of which splice(2) stops. Splicing may go on afterwards.
    Read,
    /// Nobody reads what the sink is given any more.
    SinkEnded,
    /// These two descriptors cannot be spliced. [`Splice::rescue`] gives back what is in the pipe.
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

/// How bytes get from one end to the other; `P` is a pipe of our own.
#[derive(Debug)]
pub(crate) enum Splice<P> {
    /// One of the two ends is a pipe.
    Direct,
    /// Through a pipe of our own.
    Through {
        /// The pipe, from when bytes are to pass until [`Splice::rest`].
        pipe: Option<P>,
        /// Bytes inside it.
        held: usize,
    },
}

impl<P> Splice<P> {
    /// Splicing from `source` to `sink`, if they allow it.
    pub(crate) fn between(source: &impl Source, sink: &impl Sink) -> Option<Self> {
        if !sys::CAN_SPLICE {
            return None;
        }
        let (from, to) = (source.splice_end()?, sink.splice_end()?);
        if from.kind == SpliceKind::Pipe || to.kind == SpliceKind::Pipe {
            return Some(Self::Direct);
        }
        Some(Self::Through { pipe: None, held: 0 })
    }

    /// Moves what can be moved in one step.
    ///
    /// # Errors
    /// When an end failed.
    pub(crate) fn step(
        &mut self,
        kernel: &mut impl Kernel<Pipe = P>,
        source: &mut impl Source,
        sink: &mut impl Sink,
    ) -> Result<Step, Failed> {
        match self {
            Self::Direct => direct(kernel, source, sink),
            Self::Through { pipe, held: held @ 0 } => {
                match from_source(kernel, pipe, held, source, sink)? {
                    None => into_sink(kernel, pipe, held, sink),
                    Some(step) => Ok(step),
                }
            }
            Self::Through { pipe, held } => into_sink(kernel, pipe, held, sink),
        }
    }

    /// Nothing passes for now: others may need our own pipe, unless there is something in it.
    pub(crate) fn rest(&mut self, kernel: &mut impl Kernel<Pipe = P>) {
        if let Self::Through { pipe, held: 0 } = self
            && let Some(pipe) = pipe.take()
        {
            kernel.put_back(pipe);
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

    /// Moves what is in the pipe to the batch, because the sink refuses to be spliced into.
    ///
    /// # Errors
    /// When our own pipe does not give it back: these bytes are lost.
    pub(crate) fn rescue(
        &mut self,
        kernel: &mut impl Kernel<Pipe = P>,
        batch: &mut Batch,
    ) -> io::Result<()> {
        let Self::Through { pipe: Some(pipe), held } = self else { return Ok(()) };
        let bytes = kernel.take_back(pipe, *held)?;
        *held = 0;
        if !bytes.is_empty() {
            batch.push(&[&bytes]);
        }
        Ok(())
    }
}

fn direct(
    kernel: &mut impl Kernel,
    source: &mut impl Source,
    sink: &mut impl Sink,
) -> Result<Step, Failed> {
    let (Some(from), Some(to)) = (source.splice_end(), sink.splice_end()) else {
        return Ok(Step::Refused);
    };
    if !from.latch.readable() || !to.latch.writable() {
        return Ok(Step::Progress(Progress::Blocked));
    }
    let is_socket = (from.kind == SpliceKind::Socket, to.kind == SpliceKind::Socket);
    match kernel.across(&from, &to, CHUNK) {
        Ok(0) => Ok(Step::Read),
        Ok(n) => {
            source.moved(n);
            sink.moved(n);
            Ok(moved(n))
        }
        Err(cause) => match (cause.kind(), is_socket) {
            (io::ErrorKind::WouldBlock, _) => Ok(blocked_end(kernel, &from, &to)),
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
fn from_source<K: Kernel>(
    kernel: &mut K,
    pipe: &mut Option<K::Pipe>,
    held: &mut usize,
    source: &mut impl Source,
    sink: &impl Sink,
) -> Result<Option<Step>, Failed> {
    let (Some(from), Some(to)) = (source.splice_end(), sink.splice_end()) else {
        return Ok(Some(Step::Refused));
    };
    if !from.latch.readable() {
        return Ok(Some(Step::Progress(Progress::Blocked)));
    }
    if pipe.is_none() {
        *pipe = kernel.pipe();
    }
    // Without one, bytes are copied; the next step asks again.
    let Some(pipe) = pipe else { return Ok(Some(Step::Read)) };
    let is_socket = from.kind == SpliceKind::Socket;
    let most = if to.kind == SpliceKind::File { sys::FILE_PIECE } else { CHUNK };
    match kernel.fill_pipe(&from, pipe, most) {
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
fn into_sink<K: Kernel>(
    kernel: &mut K,
    pipe: &Option<K::Pipe>,
    held: &mut usize,
    sink: &mut impl Sink,
) -> Result<Step, Failed> {
    let (Some(to), Some(pipe)) = (sink.splice_end(), pipe) else { return Ok(Step::Refused) };
    if !to.latch.writable() {
        return Ok(Step::Progress(Progress::Blocked));
    }
    let is_socket = to.kind == SpliceKind::Socket;
    match kernel.drain_pipe(pipe, &to, *held) {
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

/// Whether an error is one that a connection ends with. A socket reports it only once (SO_ERROR,
/// socket(7)), so that copying would meet an end without a cause. Every other error may mean that
/// splicing is not possible here; if it means something else, copying meets it again.
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

/// `EAGAIN` does not say which end is not ready (splice(2)); poll(2) does. If the latch of an end
/// that is ready were cleared, the loop would wait for an event that never comes.
fn blocked_end(kernel: &impl Kernel, from: &SpliceEnd<'_>, to: &SpliceEnd<'_>) -> Step {
    let (readable, writable) = kernel.ready(from, to);
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
