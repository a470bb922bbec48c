//! Systems that allow no network of one's own, and what is left behind of one.

use std::fs;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{NODE, as_nobody};
use crate::compare::numbers;
use crate::tests;
use crate::util::harness::Need;
use crate::util::{binary, eventually, pktcat_line, program};

pub(super) fn tests() -> Vec<Trial> {
    tests![
        without_a_device_the_replies_are_impaired needs [Need::OrdinaryPrivateNetwork],
        without_leave_for_a_namespace_the_replies_are_impaired needs [Need::PrivateNetwork, Need::Strace],
        any_call_for_the_network_may_be_refused needs [Need::PrivateNetwork, Need::Strace],
        a_usual_run_stays_where_it_is needs [Need::Strace],
        nothing_is_left_behind_by_a_kill needs [Need::PrivateNetwork],
    ]
}

const SPEC: &str = "loss=5%,seed=1";

/// The replies alone were impaired; why.
#[track_caller]
fn reason(result: &Value) -> String {
    assert_eq!(result["impaired"].as_str(), Some("udp replies"), "{result}");
    assert_eq!(numbers(&result["tcp"], ["sent", "received"]), [1000, 1000]);
    let [lost] = numbers(&result["udp"], ["lost"]);
    assert!((20..90).contains(&lost), "{lost}");
    result["not_packets_because"].as_str().unwrap().to_owned()
}

fn without_a_device_the_replies_are_impaired() {
    for (node, words) in [
        ("", "no such file"),
        ("mknod -m 600 /dev/net/tun c 10 200 &&", "permission denied"),
        // A node of no device.
        ("mknod -m 666 /dev/net/tun c 10 199 &&", "no such device"),
    ] {
        for family in ["-4", "-6"] {
            let line = format!("compare --impair {SPEC} -w 3s --json {family}");
            let (cmd, _folder) = as_nobody(&line, node);
            let ended = cmd.run().expect_code(0);
            let why = reason(&serde_json::from_slice(&ended.stdout).unwrap());
            assert!(why.contains("/dev/net/tun") && why.contains(words), "{why}");
        }
        // People are told, too.
        let (cmd, _folder) = as_nobody(&format!("compare --impair {SPEC} --count 30"), node);
        let text = cmd.run().expect_code(0).stdout_text();
        let sentences = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            sentences.contains("UDP replies only, as there is no network of its own"),
            "{text}"
        );
        assert!(sentences.contains(words), "{text}");
    }
    let (cmd, _folder) = as_nobody(&format!("compare --impair {SPEC} --count 30 --json"), NODE);
    let result: Value = serde_json::from_slice(&cmd.run().expect_code(0).stdout).unwrap();
    assert_eq!(result["impaired"].as_str(), Some("packets"), "with it there is one");
}

fn without_leave_for_a_namespace_the_replies_are_impaired() {
    for error in ["EPERM", "ENOSPC", "EINVAL"] {
        let cmd = pktcat_line(&format!("compare --impair {SPEC} -w 3s --json"));
        let ended = cmd.injecting(&format!("unshare:error={error}")).run().expect_code(0);
        let why = reason(&serde_json::from_slice(&ended.stdout).unwrap());
        assert!(why.contains("make a namespace"), "{why}");
    }
}

/// The device, its address, its state: whichever call fails, the run goes on without, or with it if the call
/// was none of these.
fn any_call_for_the_network_may_be_refused() {
    for family in ["-4", "-6"] {
        let mut reasons = Vec::new();
        for number in 1..=10 {
            let cmd = pktcat_line(&format!("compare --impair {SPEC} --count 40 --json {family}"));
            let fault = format!("ioctl:error=EPERM:when={number}");
            let ended = cmd.injecting(&fault).run().expect_code(0);
            let result: Value = serde_json::from_slice(&ended.stdout).unwrap();
            if result["impaired"].as_str() == Some("udp replies") {
                reasons.push(result["not_packets_because"].as_str().unwrap().to_owned());
            }
        }
        let has = |words: &str| reasons.iter().any(|why| why.contains(words));
        assert!(has("make a TUN device: operation not permitted"), "{family}: {reasons:?}");
        assert!(has("an address") || has("an IPv6 address"), "{family}: {reasons:?}");
    }
}

fn a_usual_run_stays_where_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    let trace = ["-f", "-qq", "-o", file, "-e", "trace=unshare,setns,openat,clone3,clone"];
    let words = [binary(), "compare", "--count", "50"];
    program("strace", trace.iter().chain(&words)).run().expect_code(0);
    let calls = fs::read_to_string(file).unwrap();
    assert!(calls.contains("openat("), "{calls}");
    for call in ["unshare(", "setns(", "/dev/net/tun", "clone(", "clone3("] {
        assert!(!calls.contains(call), "{call} in {calls}");
    }
}

/// The network namespaces in which processes are.
fn namespaces() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let links = processes.filter_map(|entry| fs::read_link(entry.path().join("ns/net")).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

fn nothing_is_left_behind_by_a_kill() {
    let before = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let own = fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy().into_owned();
    let running = pktcat_line("compare --impair delay=500ms,seed=1").spawn();
    let link = format!("/proc/{}/ns/net", running.pid());
    let namespace = eventually("a network of its own", || {
        let there = fs::read_link(&link).ok()?.to_string_lossy().into_owned();
        (there != own).then_some(there)
    });
    assert!(namespaces().contains(&namespace));
    running.signal(Signal::SIGKILL);
    running.wait();
    assert!(!namespaces().contains(&namespace), "somebody is still in {namespace}");
    assert_eq!(fs::read_to_string("/proc/net/dev").unwrap().lines().count(), before);
    // A polite stop is heard while packets are on their way.
    let running = pktcat_line("compare --impair delay=5s,seed=1").spawn();
    let link = format!("/proc/{}/ns/net", running.pid());
    eventually("a network of its own", || {
        (fs::read_link(&link).ok()?.to_string_lossy() != own).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.wait();
}
