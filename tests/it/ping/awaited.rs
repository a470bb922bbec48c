//! Probes that have left, and of which nothing is known when somebody asks or the run ends.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::objects;
use crate::tests;
use crate::util::{net, pktcat_line};

pub(super) fn tests() -> Vec<Trial> {
    tests![
        what_has_left_is_sent_though_nothing_is_known_of_it,
        a_probe_that_is_awaited_hides_no_outage_after_it,
        a_service_that_came_up_has_lost_nothing_that_is_awaited,
    ]
}

fn what_has_left_is_sent_though_nothing_is_known_of_it() {
    let (mute, port) = net::udp();
    for options in ["", "--count 20", "--echo"] {
        let options = format!("-u {options} --interval 10ms -w 1m");
        let run = pktcat_line(&format!("ping {options} 127.0.0.1 {port}")).spawn();
        for _ in 0..5 {
            mute.recv_from(&mut [0; 100]).unwrap();
        }
        run.signal(Signal::SIGUSR1);
        let between = run.wait_line("udp ");
        let (sent, rest) = counted(&between);
        let awaited = format!("answered 0, lost 0 (0%), still awaited {sent}");
        assert!(sent >= 5 && rest == awaited, "{options}: {between}");
        run.signal(Signal::SIGINT);
        let ended = run.wait().expect_code(5);
        let (all, rest) = counted(ended.stderr.lines().last().unwrap());
        let lost = format!("answered 0, lost {all} (100%)");
        assert!(all >= sent && rest == lost, "{options}: {}", ended.stderr);
        while mute.set_nonblocking(true).is_ok() && mute.recv_from(&mut [0; 100]).is_ok() {}
        mute.set_nonblocking(false).unwrap();
    }
    let run =
        pktcat_line(&format!("ping -u --json --interval 10ms -w 1m 127.0.0.1 {port}")).spawn();
    for _ in 0..5 {
        mute.recv_from(&mut [0; 100]).unwrap();
    }
    run.signal(Signal::SIGUSR1);
    run.wait_stdout(1);
    run.signal(Signal::SIGINT);
    let all = objects(&run.wait().expect_code(5).stdout_text());
    let [between, last] = [&all[0]["udp"], &all[1]["udp"]];
    let sent = between["sent"].as_u64().unwrap();
    assert!(sent >= 5 && between["awaited"] == sent && between["lost"] == 0, "{between}");
    let sent = last["sent"].as_u64().unwrap();
    assert!(last["awaited"] == 0 && last["lost"] == sent && last["loss"] == 1.0, "{last}");
    // Nobody knows that there was an outage.
    assert_eq!((&last["outages"], &last["longest_outage"]), (&0.into(), &Value::Null));
}

/// How many probes a summary says were sent, and what it says after that.
fn counted(summary: &str) -> (u64, &str) {
    let (_, counts) = summary.split_once(": sent ").unwrap();
    let (sent, rest) = counts.split_once(", ").unwrap();
    (sent.parse().unwrap(), rest)
}

fn a_probe_that_is_awaited_hides_no_outage_after_it() {
    // The first datagram is taken and not answered, and all after it are refused.
    let (mute, port) = net::udp();
    let run = pktcat_line(&format!("ping -u --interval 20ms -w 1m 127.0.0.1 {port}")).spawn();
    mute.recv_from(&mut [0; 100]).unwrap();
    drop(mute);
    run.wait_stdout(1);
    run.signal(Signal::SIGUSR1);
    let counts = run.wait_line("udp ");
    assert!(counts.contains("refused ") && counts.contains("still awaited "), "{counts}");
    run.wait_line("  longest outage ");
    run.signal(Signal::SIGINT);
    let ended = run.wait().expect_code(4);
    assert_eq!(ended.stderr.matches("  longest outage ").count(), 2, "{}", ended.stderr);
}

fn a_service_that_came_up_has_lost_nothing_that_is_awaited() {
    let (socket, port) = net::udp();
    let server = std::thread::spawn(move || {
        let (_, first) = socket.recv_from(&mut [0; 100]).unwrap();
        for _ in 0..3 {
            socket.recv_from(&mut [0; 100]).unwrap();
        }
        socket.send_to(b"x", first).unwrap();
        socket
    });
    let line = format!("ping -u --until-open --interval 20ms -w 1m 127.0.0.1 {port}");
    let ended = pktcat_line(&line).run().expect_code(0);
    drop(server.join().unwrap());
    let (sent, rest) = counted(ended.stderr.lines().next().unwrap());
    let awaited = format!("answered 1, lost 0 (0%), still awaited {}", sent - 1);
    assert!(sent >= 4 && rest == awaited, "{}", ended.stderr);
}
