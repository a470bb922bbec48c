//! Pseudo-terminals, and the flags of open file descriptions that are shared with a child.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

/// The two sides of a new pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The side that a terminal emulator has.
    pub master: PtyMaster,
    /// The side that programs have.
    pub slave: File,
    /// Its name, `/dev/pts/N`.
    pub name: PathBuf,
}

impl Pty {
    /// Opens a new one, with close-on-exec on both sides. It becomes no process's controlling terminal.
    pub fn open() -> Self {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname_r(&master).unwrap());
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(&name)
            .unwrap();
        Self { master, slave, name }
    }

    /// Everything that programs have written and that was not read yet. They must have ended.
    pub fn shown(self) -> String {
        let Self { master, slave, .. } = self;
        drop(slave);
        let (mut text, mut piece) = (Vec::new(), vec![0; 4096]);
        // After the last bytes reading fails with EIO, because no process has the other side open any more.
        while let Ok(count @ 1..) = nix::unistd::read(&master, &mut piece) {
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(text).unwrap().replace("\r\n", "\n")
    }

    /// Another descriptor for the same open file description of the programs' side.
    pub fn slave_fd(&self) -> OwnedFd {
        self.slave.try_clone().unwrap().into()
    }
}

/// Whether `O_NONBLOCK` is set on the open file description of a descriptor.
pub fn is_nonblocking(fd: impl AsFd) -> bool {
    OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

/// A thread that checks all the time whether `O_NONBLOCK` appears on open file descriptions that are shared
/// with a child.
#[derive(Debug)]
pub struct FlagWatch {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl FlagWatch {
    /// Starts to watch these descriptors, whose open file descriptions a child shares; the names are for the
    /// message.
    pub fn start(shared: Vec<(&'static str, OwnedFd)>) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, looked) = (Arc::clone(&stop), Arc::clone(&looks));
        let thread = thread::spawn(move || {
            let mut last_look = false;
            loop {
                for (name, fd) in &shared {
                    if is_nonblocking(fd) {
                        return Some(format!("O_NONBLOCK seen on the inherited {name}"));
                    }
                }
                looked.fetch_add(1, Ordering::Relaxed);
                if last_look {
                    return None;
                }
                last_look = stopped.load(Ordering::Acquire);
                thread::sleep(Duration::from_micros(100));
            }
        });
        Self { stop, looks, thread: Some(thread) }
    }

    /// Checks a last time, stops, and panics if the flag was ever set.
    #[track_caller]
    pub fn expect_never(mut self) {
        self.stop.store(true, Ordering::Release);
        let seen = self.thread.take().unwrap().join().unwrap();
        assert!(seen.is_none(), "{}", seen.unwrap());
        assert!(self.looks.load(Ordering::Relaxed) > 1);
    }
}

impl Drop for FlagWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}
