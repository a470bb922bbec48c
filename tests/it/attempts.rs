//! What `-v` says of attempts that failed: each address, each retry; and a summary behind a typed ^C.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::harness::Need;
use crate::util::tty::Pty;
use crate::util::{Cmd, Input, Output, net, pktcat, pktcat_line, udp};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        each_address_that_failed_is_named needs [Need::Root, Need::Program("unshare")],
        each_address_without_an_answer_over_udp_is_named needs [Need::Root, Need::Program("unshare")],
        one_address_is_named_by_its_error_alone,
        retries_are_counted,
        a_summary_begins_behind_a_typed_interrupt needs [Need::Program("setsid")],
    ]
}

/// The same with a host `many` that has these addresses.
fn with_many(cmd: Cmd, addresses: &[&str]) -> Cmd {
    let hosts: String = addresses.iter().map(|address| format!("{address} many\n")).collect();
    let script = "f=$(mktemp) && printf %s \"$0\" > $f && mount --bind $f /etc/hosts && rm $f && exec \"$@\"";
    cmd.through(["unshare", "-m", "sh", "-c", script, &hosts])
}

fn each_address_that_failed_is_named() {
    let (listener, port) = net::listener_at(&net::only_at("127.0.0.4"));
    let line = format!("connect -v many {port}");
    let client = with_many(pktcat_line(&line), &["127.0.0.2", "127.0.0.3", "127.0.0.4"]).spawn();
    drop(net::accept(&listener));
    let ended = client.wait().expect_code(0);
    let tried: Vec<_> = ended.stderr.lines().take(3).collect();
    let refused = |address: &str| format!("tried {address}:{port} (tcp): connection refused");
    let connected = format!("connected to 127.0.0.4:{port} (tcp)");
    assert_eq!(tried, [refused("127.0.0.2"), refused("127.0.0.3"), connected]);
    drop(listener);
    // Without -v, and when all have failed.
    let ended = with_many(pktcat_line(&line), &["127.0.0.2", "127.0.0.3"]).run().expect_code(4);
    let tried: Vec<_> = ended.stderr.lines().take(2).collect();
    assert_eq!(tried, [refused("127.0.0.2"), refused("127.0.0.3")]);
    let quiet = pktcat_line(&format!("connect many {port}"));
    let ended = with_many(quiet, &["127.0.0.2", "127.0.0.3"]).run().expect_code(4);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

fn each_address_without_an_answer_over_udp_is_named() {
    // An address that the resolver does not prefer to the others.
    let (socket, port) = net::udp_at(&net::only_at("127.0.0.3"));
    let line = format!("connect -u -v --send x -q 20s --count 1 many {port}");
    let client = with_many(pktcat_line(&line), &["127.0.0.2", "127.0.0.3"]).spawn();
    let (datagram, peer) = udp::receive_from(&socket);
    assert_eq!(datagram, b"x");
    socket.send_to(b"y", peer).unwrap();
    let ended = client.wait().expect_code(0);
    let tried = format!(
        "tried 127.0.0.2:{port} (udp): connection refused (ICMP port unreachable: nobody listens there)"
    );
    assert!(
        ended.stderr.contains(&format!("\n{tried}\nconnected to 127.0.0.3:{port} (udp)\n")),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.matches("tried").count(), 1, "{}", ended.stderr);
}

fn one_address_is_named_by_its_error_alone() {
    let (_held, port) = net::refusing_port();
    let ended = pktcat_line(&format!("connect -v 127.0.0.1 {port}")).run().expect_code(4);
    assert!(!ended.stderr.contains("tried"), "{}", ended.stderr);
}

fn retries_are_counted() {
    let (_held, port) = net::refusing_port();
    for protocol in ["", "-u --send x"] {
        let line = format!("connect {protocol} -v --retry 2 --retry-delay 10ms 127.0.0.1 {port}");
        let ended = pktcat_line(&line).run().expect_code(4);
        let counted: Vec<_> =
            ended.stderr.lines().filter(|line| line.starts_with("retry")).collect();
        assert_eq!(counted, ["retry 1 of 2", "retry 2 of 2"], "{}", ended.stderr);
        let line = line.replace("-v ", "");
        let ended = pktcat_line(&line).run().expect_code(4);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

fn a_summary_begins_behind_a_typed_interrupt() {
    let pty = Pty::open();
    let server = pktcat(["listen", "-v", "127.0.0.1", "0"])
        .through(["setsid", "--ctty"])
        .stdin(Input::Fd(pty.slave_fd()))
        .stdout(Output::Null)
        .stderr(Output::Fd(pty.slave_fd()))
        .spawn();
    let mut shown = String::new();
    while !shown.contains("listening on ") || !shown.ends_with('\n') {
        let mut piece = [0; 1000];
        let count = nix::unistd::read(&pty.master, &mut piece).unwrap();
        shown += &String::from_utf8_lossy(&piece[..count]);
    }
    nix::unistd::write(&pty.master, b"\x03").unwrap();
    server.wait().expect_signal(Signal::SIGINT);
    let shown = pty.shown();
    assert!(shown.contains("^C\nsent 0 bytes"), "{shown:?}");
}
