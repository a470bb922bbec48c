//! Facts about a process from `/proc` (proc(5)).

use std::fs;
use std::path::PathBuf;

/// A value in KiB of `/proc/PID/status`, such as `VmHWM` (greatest resident size) or `VmRSS`.
#[track_caller]
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} of process {pid}"));
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The fields of `/proc/PID/stat` after the name: `[0]` is the state, field 3 of proc(5).
pub fn stat(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name of the program comes before, and may itself contain a `)`.
    let after = &stat[stat.rfind(')').unwrap() + 1..];
    after.split_whitespace().map(str::to_owned).collect()
}

/// Run state: `R`, `S`, `T` (stopped), `Z`, ...
pub fn state(pid: u32) -> char {
    stat(pid)[0].chars().next().unwrap()
}

/// Processor time used, user and system, in clock ticks (10 ms nearly everywhere).
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = stat(pid);
    stat[11].parse::<u64>().unwrap() + stat[12].parse::<u64>().unwrap()
}

/// The seconds for which a process had a processor, and for which it waited for one; `None` where the kernel
/// does not count that, or when the process has ended.
pub fn running_and_waiting(pid: u32) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let mut seconds = text.split_whitespace().map(|ns| ns.parse::<f64>().map(|ns| ns / 1e9));
    Some((seconds.next()?.ok()?, seconds.next()?.ok()?))
}

/// The number of the controlling terminal, 0 for none.
pub fn controlling_terminal(pid: u32) -> i64 {
    stat(pid)[4].parse().unwrap()
}

/// What descriptor `fd` refers to, such as `/dev/null`, `pipe:[123]`, `socket:[123]`; `None` when it is
/// closed.
pub fn descriptor(pid: u32, fd: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()
}

/// All open descriptors, and what they refer to.
pub fn descriptors(pid: u32) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|fd| Some((fd, descriptor(pid, fd)?))).collect()
}
