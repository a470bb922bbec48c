//! Peers that close for good after their FIN, and peers that only have nothing more to say. The network of each
//! test forgets a closed connection after a second instead of the usual minute.

use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::inside;
use crate::util::harness::{self, Need};
use crate::util::{Input, Running, pktcat_line, ways};

pub(super) fn tests(unshare: Option<&Vec<&'static str>>) -> Vec<Trial> {
    let forgets = unshare.is_some_and(|words| can_forget(words));
    let test = |name, run: fn(&[&'static str])| {
        let prefix = unshare.cloned().unwrap_or_default();
        let ip = [Need::Program("ip")];
        let trial = harness::test(module_path!(), name, &ip, move || run(&prefix));
        match forgets {
            true => trial,
            false => trial.with_ignored_flag(true).with_kind("needs namespaces with sysctl"),
        }
    };
    vec![
        test("an_idle_pipe_waits_for_nobody_who_is_gone", an_idle_pipe_waits_for_nobody),
        test("a_peer_that_only_half_closed_gets_late_data", a_half_closed_peer_gets_late_data),
        test("the_end_of_stdin_meets_a_peer_that_is_gone", the_end_of_stdin_meets_nobody),
        test("what_does_not_reach_a_peer_that_is_gone_is_8", what_reaches_nobody_is_8),
        test("a_system_that_probes_more_often_goes_on_so", more_frequent_probes_stay),
        test("a_client_of_many_that_is_gone_leaves", a_client_of_many_that_is_gone_leaves),
        test("a_network_that_is_gone_takes_the_peer_along", a_network_that_is_gone),
    ]
}

const FORGETTING: &str = "echo 1 > /proc/sys/net/ipv4/tcp_fin_timeout; ip link set lo up";

/// Whether a network of one's own can be told to forget connections soon.
fn can_forget(unshare: &[&str]) -> bool {
    let mut command = Command::new(unshare[0]);
    command.args(&unshare[1..]).args(["-n", "sh", "-c", FORGETTING]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The arguments of a connecting run, where the peer listens, and the other way round. The options of the peer
/// follow, those of the run under test stand before.
fn sides(options: &str, peer: &str) -> [(String, String); 2] {
    let connect = |options: &str| {
        format!("connect --retry 1000 --retry-delay 20ms --timeout 25 {options} 127.0.0.1 7000")
    };
    let listen = |options: &str| format!("listen --timeout 25 {options} 127.0.0.1 7000");
    [(connect(options), listen(peer)), (listen(options), connect(peer))]
}

/// A run in a network that forgets, with its peer in the background.
fn beside(unshare: &[&str], line: &str, peer: &str, stdin: Input) -> Running {
    let script = format!("{FORGETTING}\nword=$1; shift\n{{ {peer}; }} &\nset -- \"$word\" \"$@\"");
    let peers = script.replace("PKTCAT", "\"$1\"");
    inside(pktcat_line(line).stdin(stdin), unshare, "-n", &peers, "").spawn()
}

/// A peer that says something, closes for good at once and reads nothing.
const LEAVES: &str = "--send bye --send-only";

fn an_idle_pipe_waits_for_nobody(unshare: &[&'static str]) {
    for way in ways() {
        for (line, peer) in sides(&format!("-v {way}"), LEAVES) {
            let running = beside(unshare, &line, &format!("PKTCAT {peer}"), Input::Pipe);
            assert_eq!(running.wait_stdout_end(), b"bye");
            // Its standard input is still open.
            let ended = running.wait().expect_code(0);
            let summary = ended.stderr.lines().last().unwrap();
            assert!(summary.contains(", peer closed first"), "{}", ended.stderr);
            let broke = ["pktcat: send", "pktcat: receive"].map(|what| ended.stderr.contains(what));
            assert_eq!(broke, [false; 2], "{}", ended.stderr);
        }
    }
}

fn a_half_closed_peer_gets_late_data(unshare: &[&'static str]) {
    let folder = tempfile::tempdir().unwrap();
    for (at, (line, peer)) in sides("", "--send bye").into_iter().enumerate() {
        let heard = folder.path().join(at.to_string());
        let peer = format!("PKTCAT {peer} > '{}'", heard.display());
        let mut running = beside(unshare, &line, &peer, Input::Pipe);
        running.wait_stdout_end();
        // Two probes and more.
        std::thread::sleep(std::time::Duration::from_millis(11_500));
        running.expect_running();
        running.send(b"late");
        running.close_stdin();
        running.wait().expect_code(0);
        let all = crate::util::eventually("what the peer heard", || {
            std::fs::read(&heard).ok().filter(|all| !all.is_empty())
        });
        assert_eq!(all, b"late");
    }
}

/// Its system answers our FIN with a reset.
fn the_end_of_stdin_meets_nobody(unshare: &[&'static str]) {
    for (line, peer) in sides("", LEAVES) {
        let peer = format!("PKTCAT {peer}");
        let mut running = beside(unshare, &line, &peer, Input::Pipe);
        running.wait_stdout_end();
        // It is forgotten, and not probed yet.
        std::thread::sleep(std::time::Duration::from_millis(2_500));
        running.expect_running();
        running.close_stdin();
        let ended = running.wait().expect_code(0);
        assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("pktcat")).count(), 0);
    }
}

fn what_reaches_nobody_is_8(unshare: &[&'static str]) {
    for (line, peer) in sides("", LEAVES) {
        let mut running = beside(unshare, &line, &format!("PKTCAT {peer}"), Input::Pipe);
        running.wait_stdout_end();
        std::thread::sleep(std::time::Duration::from_millis(2_500));
        running.send(b"late");
        running.wait().expect_code(8);
    }
    // What waits for its time is not sent when the peer is found gone.
    for (line, peer) in sides("-I lines --interval 10s", LEAVES) {
        let mut running = beside(unshare, &line, &format!("PKTCAT {peer}"), Input::Pipe);
        running.send(b"in time\nlate\n");
        running.wait_stdout_end();
        running.wait().expect_code(8);
    }
}

fn more_frequent_probes_stay(unshare: &[&'static str]) {
    let often = "echo 1 > /proc/sys/net/ipv4/tcp_keepalive_time; \
                 echo 1 > /proc/sys/net/ipv4/tcp_keepalive_intvl";
    for options in ["", "--keepalive"] {
        // Less than the first of the usual probes takes.
        let line = format!(
            "connect --retry 1000 --retry-delay 20ms --timeout 25 {options} 127.0.0.1 7000"
        );
        let peer = format!("{often}; PKTCAT listen --timeout 25 {LEAVES} 127.0.0.1 7000");
        let running = beside(unshare, &line, &peer, Input::Pipe);
        running.wait_stdout_end();
        let since = std::time::Instant::now();
        running.wait().expect_code(0);
        assert!(since.elapsed() < std::time::Duration::from_millis(4_500), "{:?}", since.elapsed());
    }
}

fn a_client_of_many_that_is_gone_leaves(unshare: &[&'static str]) {
    for options in ["-k", "--chat", "-k -O lines"] {
        let line = format!("listen --timeout 25 -v {options} 127.0.0.1 7000");
        let connect = "PKTCAT connect --retry 1000 --retry-delay 20ms --timeout 25";
        let stays = format!("{connect} -d 127.0.0.1 7000 > /dev/null");
        let peer = format!("{connect} {LEAVES} 127.0.0.1 7000; {stays}");
        let running = beside(unshare, &line, &peer, Input::Pipe);
        let lines = running.wait_lines("accepted ", 2);
        let gone = lines[0].strip_prefix("accepted ").unwrap().to_owned();
        let closed = running.wait_line("closed ");
        let prefix = format!("closed {gone}, sent 0 bytes, received 3 bytes, ");
        assert!(closed.starts_with(&prefix), "{closed:?} is not {prefix:?}");
        running.expect_running();
        // Whoever still reads is there.
        assert_eq!(running.stderr_now().matches("closed ").count(), 1, "{}", running.stderr_now());
        assert!(!running.stderr_now().contains("pktcat: "), "{}", running.stderr_now());
        running.signal(Signal::SIGTERM);
        running.wait().expect_signal(Signal::SIGTERM);
    }
}

/// Nobody answers at all: the cable is pulled, or the machine was switched off after its FIN.
fn a_network_that_is_gone(unshare: &[&'static str]) {
    let few = "echo 2 > /proc/sys/net/ipv4/tcp_keepalive_probes; \
               echo 1 > /proc/sys/net/ipv4/tcp_keepalive_intvl";
    let line = "connect --retry 1000 --retry-delay 20ms --timeout 25 127.0.0.1 7000";
    let peer =
        format!("{few}; PKTCAT listen --timeout 25 {LEAVES} 127.0.0.1 7000; ip link set lo down");
    let running = beside(unshare, line, &peer, Input::Pipe);
    running.wait_stdout_end();
    running.wait().expect_code(0);
}
