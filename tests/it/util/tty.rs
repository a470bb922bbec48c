//! Pseudo-terminals and the flags of shared descriptions.

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
    /// The side of a terminal emulator.
    pub master: PtyMaster,
    /// The side of programs.
    pub slave: File,
    /// Its name, `/dev/pts/N`.
    pub name: PathBuf,
}

impl Pty {
    /// A new one, close-on-exec on both sides, and nobody's controlling terminal.
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

    /// All that programs have written and nobody has read yet, once they have ended.
    pub fn shown(self) -> String {
        let Self { master, slave, .. } = self;
        drop(slave);
        let (mut text, mut piece) = (Vec::new(), vec![0; 4096]);
        // Behind the last bytes there is EIO, as nobody has the other side open any more.
        while let Ok(count @ 1..) = nix::unistd::read(&master, &mut piece) {
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(text).unwrap().replace("\r\n", "\n")
    }

    /// Another descriptor of the same description of the programs' side.
    pub fn slave_fd(&self) -> OwnedFd {
        self.slave.try_clone().unwrap().into()
    }
}

/// Whether `O_NONBLOCK` is set on the description behind a descriptor.
pub fn is_nonblocking(fd: impl AsFd) -> bool {
    OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

/// A thread that looks again and again whether `O_NONBLOCK` appears on descriptions that a child shares.
#[derive(Debug)]
pub struct FlagWatch {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl FlagWatch {
    /// Watches these, named for the message: descriptors that share their description with a child's.
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

    /// Looks a last time, stops, and panics if the flag was ever seen.
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
