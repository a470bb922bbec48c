//! Linux: descendants of this process, and which files they have open (proc(5)).

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::prctl;
use nix::sys::stat::fstat;

/// How often all descendants are searched again because new ones have appeared during the search.
const MOST_LOOKS: usize = 8;

pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

pub(crate) fn is_held(socket: BorrowedFd<'_>, except: &[i32]) -> io::Result<bool> {
    let socket = fstat(socket)?;
    let identity = (socket.st_dev, socket.st_ino);
    let ours = || -> io::Result<Vec<i32>> {
        let mut children = children("self")?;
        children.retain(|child| !except.contains(child));
        Ok(children)
    };
    let mut before = ours()?;
    for _ in 0..MOST_LOOKS {
        let mut to_ask = before.clone();
        while let Some(process) = to_ask.pop() {
            if has_open(process, identity)? {
                return Ok(true);
            }
            // Children are listed after the descriptors were read: a process may pass the socket to a
            // child and close its own descriptor in between.
            to_ask.extend(children(&process.to_string())?);
        }
        // If a process ended during the search, its children have become children of this process.
        let now = ours()?;
        if now == before {
            return Ok(false);
        }
        before = now;
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// The children of all threads of a process; empty when the process no longer exists.
fn children(process: &str) -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    let Some(threads) = unless_gone(fs::read_dir(format!("/proc/{process}/task")))? else {
        return Ok(children);
    };
    for thread in threads {
        let Some(thread) = unless_gone(thread)? else { continue };
        let list = unless_gone(fs::read_to_string(thread.path().join("children")))?;
        let list = list.unwrap_or_default();
        children.extend(list.split_ascii_whitespace().filter_map(|id| id.parse::<i32>().ok()));
    }
    children.sort_unstable();
    Ok(children)
}

/// Whether a process has the file with this device and inode number open.
fn has_open(process: i32, identity: (u64, u64)) -> io::Result<bool> {
    let descriptors = match unless_gone(fs::read_dir(format!("/proc/{process}/fd"))) {
        Ok(Some(descriptors)) => descriptors,
        Ok(None) => return Ok(false),
        // The kernel owns the descriptor table of a zombie, which is empty.
        Err(_) if is_zombie(process) => return Ok(false),
        Err(cause) => return Err(cause),
    };
    for descriptor in descriptors {
        let Some(descriptor) = unless_gone(descriptor)? else { continue };
        let file = unless_gone(fs::metadata(descriptor.path()))?;
        if file.is_some_and(|file| (file.dev(), file.ino()) == identity) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_zombie(process: i32) -> bool {
    // The state follows the name, which may hold anything (proc_pid_stat(5)).
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// Turns the errors for a process, thread or descriptor that has ceased to exist into `None`: that may
/// happen at any time during a search.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) if cause.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(cause) => Err(cause),
    }
}
