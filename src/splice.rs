//! Moving bytes from one descriptor to another inside the kernel (splice(2)).
//!
//! Pipes and sockets are spliced directly. A file and a socket need a pipe between them, which is
//! ours and holds what has left the one and not yet reached the other. Nobody sees the bytes, so
//! the pump uses this only while nobody wants to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::batch::Batch;
use crate::endpoint::{Progress, Sink, Source, Tube, TubeKind};
use crate::error::Error;
use crate::sys;

/// The most that one call moves: a whole pipe.
const CHUNK: usize = sys::BULK_PIPE;

/// How often both ends may claim to be ready while nothing moves before splicing is given up.
const PATIENCE: u32 = 16;

/// What one step did.
#[derive(Debug)]
pub enum Step {
    /// Bytes moved, or none could.
    Progress(Progress),
    /// The source has no more.
    SourceEnded,
    /// Nobody takes what the sink gets.
    SinkEnded,
    /// These two descriptors cannot be spliced; [`Splice::rescue`] what is under way.
    Refused,
}

/// Which end failed.
#[derive(Debug)]
pub enum Failed {
    /// Reading.
    Source(Error),
    /// Writing.
    Sink(Error),
}

/// A direct or a two-stage way for bytes.
#[derive(Debug)]
pub enum Splice {
    /// One of the two ends is a pipe.
    Direct {
        /// Calls that moved nothing although both ends were ready.
        futile: u32,
    },
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
    pub fn between(source: &impl Source, sink: &impl Sink) -> Option<Self> {
        let (from, to) = (source.tube()?, sink.tube()?);
        if from.kind == TubeKind::Pipe || to.kind == TubeKind::Pipe {
            return Some(Self::Direct { futile: 0 });
        }
        let pipe = sys::pipe().ok()?;
        let _ = sys::enlarge_pipe(&pipe.1, CHUNK);
        Some(Self::Through { pipe, held: 0 })
    }

    /// Moves what can be moved in one step.
    ///
    /// # Errors
    /// When an end failed.
    pub fn step(&mut self, source: &mut impl Source, sink: &mut impl Sink) -> Result<Step, Failed> {
        let (Some(from), Some(to)) = (source.tube(), sink.tube()) else {
            return Ok(Step::Refused);
        };
        match self {
            Self::Direct { futile } => {
                if !from.latch.readable() || !to.latch.writable() {
                    return Ok(Step::Progress(Progress::Blocked));
                }
                let from_socket = from.kind == TubeKind::Socket;
                match sys::splice(from.fd, to.fd, CHUNK) {
                    Ok(0) => Ok(ended(source)),
                    Ok(n) => {
                        *futile = 0;
                        source.moved(n);
                        sink.moved(n);
                        Ok(moved(n))
                    }
                    Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                        Ok(blocked_end(&from, &to, futile))
                    }
                    Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(moved(0)),
                    Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => Ok(Step::Refused),
                    // Of a socket and a pipe, what is spliced into is what breaks with EPIPE.
                    Err(cause) if from_socket && cause.kind() != io::ErrorKind::BrokenPipe => {
                        Err(Failed::Source(source.splice_failed(&cause)))
                    }
                    Err(cause) => sink_failed(sink, &cause),
                }
            }
            Self::Through { pipe, held } => {
                if *held == 0 {
                    if !from.latch.readable() {
                        return Ok(Step::Progress(Progress::Blocked));
                    }
                    let most = if from.kind == TubeKind::Socket { sys::FILE_PIECE } else { CHUNK };
                    match sys::splice(from.fd, pipe.1.as_fd(), most) {
                        Ok(0) => return Ok(ended(source)),
                        Ok(n) => {
                            *held = n;
                            source.moved(n);
                        }
                        Err(cause) => return read_failed(source, &cause),
                    }
                }
                into_sink(&pipe.0, held, sink)
            }
        }
    }

    /// Bytes that have left the source and not reached the sink.
    #[must_use]
    pub fn held(&self) -> usize {
        match self {
            Self::Direct { .. } => 0,
            Self::Through { held, .. } => *held,
        }
    }

    /// Takes back what was under way when the sink refused it.
    pub fn rescue(&mut self, batch: &mut Batch) {
        let Self::Through { pipe, held } = self else { return };
        while *held > 0 {
            let mut bytes = vec![0; *held];
            // Our own pipe holds that much; reading it cannot fail.
            let n = nix::unistd::read(&pipe.0, &mut bytes).unwrap_or(0);
            if n == 0 {
                return;
            }
            batch.push(&[&bytes[..n]]);
            *held -= n;
        }
    }
}

fn into_sink(pipe: &OwnedFd, held: &mut usize, sink: &mut impl Sink) -> Result<Step, Failed> {
    let Some(to) = sink.tube() else { return Ok(Step::Refused) };
    if !to.latch.writable() {
        return Ok(Step::Progress(Progress::Blocked));
    }
    match sys::splice(pipe.as_fd(), to.fd, *held) {
        Ok(n) => {
            *held -= n;
            sink.moved(n);
            Ok(moved(n))
        }
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
            to.latch.not_writable();
            Ok(Step::Progress(Progress::Blocked))
        }
        Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(moved(0)),
        // A file opened for appending (splice(2)).
        Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => Ok(Step::Refused),
        Err(cause) => sink_failed(sink, &cause),
    }
}

fn read_failed(source: &mut impl Source, cause: &io::Error) -> Result<Step, Failed> {
    match cause.kind() {
        io::ErrorKind::WouldBlock => {
            if let Some(from) = source.tube() {
                from.latch.not_readable();
            }
            Ok(Step::Progress(Progress::Blocked))
        }
        io::ErrorKind::Interrupted => Ok(moved(0)),
        io::ErrorKind::InvalidInput => Ok(Step::Refused),
        _ => Err(Failed::Source(source.splice_failed(cause))),
    }
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

fn ended(source: &mut impl Source) -> Step {
    source.ended();
    Step::SourceEnded
}

/// `EAGAIN` does not say which end is stuck (splice(2)); poll(2) does. Clearing the latch of an
/// end that is ready would wait for an edge that never comes.
fn blocked_end(from: &Tube<'_>, to: &Tube<'_>, futile: &mut u32) -> Step {
    let (readable, writable) = sys::ready(from.fd, to.fd);
    if !readable {
        from.latch.not_readable();
    }
    if !writable {
        to.latch.not_writable();
    }
    if readable && writable {
        *futile += 1;
        return if *futile > PATIENCE { Step::Refused } else { moved(0) };
    }
    Step::Progress(Progress::Blocked)
}
