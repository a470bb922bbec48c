//! What SIGUSR1 is told in the middle of a run.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::peer;
use crate::tests;
use crate::util::harness::Need;
use crate::util::{Running, eventually, pktcat_line};

pub(super) fn tests() -> Vec<Trial> {
    tests![
        a_signal_asks_for_the_messages_of_the_protocol_that_runs,
        a_signal_while_the_network_lets_nobody_connect needs [Need::PrivateNetwork],
    ]
}

/// A run that hears SIGUSR1, which would end it before.
fn hearing(line: &str) -> Running {
    let run = pktcat_line(line).spawn();
    eventually("a handler of SIGUSR1", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught >> (Signal::SIGUSR1 as i32 - 1) & 1 == 1).then_some(())
    });
    run
}

fn whole_lines(run: &Running) -> Vec<String> {
    let text = run.stderr_now();
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}

fn a_signal_asks_for_the_messages_of_the_protocol_that_runs() {
    let peer = peer::echo();
    let line = format!("compare --interval 20ms --count 20 127.0.0.1 {}", peer.port);
    let run = hearing(&line);
    // Until the first answer comes, the line may be about the connection.
    let told = eventually("counts over TCP", || {
        run.signal(Signal::SIGUSR1);
        whole_lines(&run).into_iter().rfind(|line| line.starts_with("tcp: "))
    });
    let words = told.strip_prefix("tcp: sent ").unwrap();
    let (sent, rest) = words.split_once(" of 20 messages, received ").unwrap();
    let (received, rest) = rest.split_once(", lost 0, ").unwrap();
    let [sent, received] = [sent, received].map(|number| number.parse::<u64>().unwrap());
    let awaited = match sent - received {
        0 => String::new(),
        awaited => format!("still awaited {awaited}, "),
    };
    assert!(received <= sent && sent <= 20 && rest.starts_with(&awaited), "{told}");
    assert!(rest[awaited.len()..].trim_end_matches(" s").parse::<f64>().is_ok(), "{told}");
    let both = eventually("counts over both", || {
        run.signal(Signal::SIGUSR1);
        let mut lines = whole_lines(&run);
        let udp = lines.pop().filter(|line| line.starts_with("udp: sent "))?;
        Some([lines.pop()?, udp])
    });
    assert!(both[0].starts_with("tcp: sent 20 of 20 messages, received 20, lost 0, "), "{both:?}");
    let ended = run.wait().expect_code(0);
    assert!(!ended.stderr.contains("datagram"), "{}", ended.stderr);
}

fn a_signal_while_the_network_lets_nobody_connect() {
    let run = hearing("compare --count 5 -w 300ms --impair loss=100%");
    eventually("an answer", || {
        run.signal(Signal::SIGUSR1);
        run.stderr_now().contains("nothing is sent yet").then_some(())
    });
    // It is not -w that sets the limit.
    let ended = run.wait().expect_code(5);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("no answer within 8s (--impair loses every packet)"), "{last}");
}
