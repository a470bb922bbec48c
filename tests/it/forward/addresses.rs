//! A forwarder of datagrams whose TO is a name with several addresses, a group, or a broadcast address.

use std::io::{Read, Write};
use std::net::Shutdown;

use libtest_mimic::Trial;

use super::datagrams::client_of;
use crate::tests;
use crate::util::harness::Need;
use crate::util::udp::{receive, receive_from};
use crate::util::{Running, binary, net, pktcat_line, program, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        answers_are_the_clients_however_to_is_spelt,
        localhost_is_served_at_either_address
            needs [Need::Root, Need::Program("unshare"), Need::Ipv6],
        the_address_where_somebody_is_gets_everything needs [Need::Root, Need::Program("unshare")],
        a_client_that_goes_on_elsewhere_keeps_its_counts needs [Need::Root, Need::Program("unshare")],
        nobody_at_any_address_is_told_and_the_first_is_asked_again needs [Need::Root, Need::Program("unshare")],
        a_stream_of_frames_finds_the_address_too needs [Need::Root, Need::Program("unshare")],
        a_broadcast_is_answered_by_anybody,
        a_broadcast_has_to_be_allowed,
        a_group_is_answered_by_anybody needs [Need::Root, Need::Program("unshare"), Need::Program("ip")],
    ]
}

/// A forwarder to `many`, which has these addresses in this order.
fn to_many(options: &str, port: u16, addresses: &[&str]) -> Running {
    to_name("many", options, port, addresses)
}

/// The same with another name.
fn to_name(name: &str, options: &str, port: u16, addresses: &[&str]) -> Running {
    let hosts: String = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
    let script = "f=$(mktemp) && printf %s \"$0\" > $f && mount --bind $f /etc/hosts && rm $f && exec \"$@\"";
    let line = format!("forward {options} udp:{name}:{port}");
    pktcat_line(&line).through(["unshare", "-m", "sh", "-c", script, &hosts]).spawn()
}

fn localhost_is_served_at_either_address() {
    for way in ways() {
        for host in ["127.0.0.1", "[::1]"] {
            let (server, port) = net::udp_at(&net::only_at(host));
            let addresses = ["::1", "127.0.0.1"];
            let running = to_name("localhost", &format!("{way} udp:0"), port, &addresses);
            let client = client_of(&running);
            client.send(b"who?").unwrap();
            let (came, route) = receive_from(&server);
            assert_eq!(came, b"who?");
            server.send_to(b"me", route).unwrap();
            assert_eq!(receive(&client), b"me");
        }
    }
}

fn the_address_where_somebody_is_gets_everything() {
    for impairment in ["", "--impair-up delay=1ms"] {
        let (server, port) = net::udp_at(&net::only_at("127.0.0.3"));
        let options = format!("-v {impairment} udp:0");
        let running = to_many(&options, port, &["127.0.0.2", "127.0.0.3"]);
        for number in 1..=2 {
            let client = client_of(&running);
            let mut route = None;
            for word in [&b"one"[..], b"", b"three"] {
                client.send(word).unwrap();
                let (came, from) = receive_from(&server);
                assert_eq!(came, word);
                assert_eq!(*route.get_or_insert(from), from);
                server.send_to(word, from).unwrap();
                assert_eq!(receive(&client), word);
            }
            running.wait_line(&format!("#{number} connected 127.0.0.2:{port}"));
            running.wait_line(&format!("#{number} connected 127.0.0.3:{port}"));
        }
        assert!(
            running.stderr_now().contains(&format!("tried 127.0.0.2:{port} (udp): connection"))
        );
        assert!(!running.stderr_now().contains("pktcat: "), "{}", running.stderr_now());
    }
}

fn a_client_that_goes_on_elsewhere_keeps_its_counts() {
    for from in ["udp:0", "tcp:0"] {
        let (server, port) = net::udp_at(&net::only_at("127.0.0.3"));
        let running = to_many(&format!("-v -x {from}"), port, &["127.0.0.2", "127.0.0.3"]);
        let udp = client_of(&running);
        if from == "udp:0" {
            udp.send(b"who?").unwrap();
        } else {
            net::connect(running.port()).write_all(b"\0\0\0\x04who?").unwrap();
        }
        assert_eq!(receive(&server), b"who?");
        running.signal(nix::sys::signal::Signal::SIGTERM);
        let text = running.wait().stderr;
        // It was sent to both addresses, which the summary and the dump say as well.
        assert!(text.contains("#1 closed, 8 bytes up, 0 bytes down, "), "{text}");
        assert!(text.contains("\nsent 8 bytes in 2 "), "{text}");
        let second = if from == "udp:0" { " 4 bytes #2\n" } else { " 4 bytes at 4\n" };
        assert!(text.contains(second), "{text}");
    }
}

fn nobody_at_any_address_is_told_and_the_first_is_asked_again() {
    let port = net::free_port();
    let running = to_many("udp:0", port, &["127.0.0.2", "127.0.0.3"]);
    let client = client_of(&running);
    client.send(b"anybody?").unwrap();
    running.wait_line(&format!(
        "pktcat: receive: 127.0.0.3:{port} (udp): connection refused (for #1 "
    ));
    let (server, _) = net::udp_at(&format!("127.0.0.2:{port}"));
    client.send(b"and now?").unwrap();
    let (came, route) = receive_from(&server);
    assert_eq!(came, b"and now?");
    server.send_to(b"yes", route).unwrap();
    assert_eq!(receive(&client), b"yes");
    assert_eq!(running.stderr_now().matches("refused").count(), 1, "{}", running.stderr_now());
}

fn a_stream_of_frames_finds_the_address_too() {
    let (server, port) = net::udp_at(&net::only_at("127.0.0.3"));
    let running = to_many("0", port, &["127.0.0.2", "127.0.0.3"]);
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0\0\x03one").unwrap();
    let (came, route) = receive_from(&server);
    assert_eq!(came, b"one");
    server.send_to(b"two", route).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut text = Vec::new();
    client.read_to_end(&mut text).unwrap();
    assert_eq!(text, b"\0\0\0\x03two");
}

fn a_broadcast_is_answered_by_anybody() {
    for way in ways() {
        let (server, port) = net::udp_at("0.0.0.0:0");
        let line = format!("forward -u --broadcast -v -x {way} 0 127.255.255.255:{port}");
        let running = pktcat_line(&line).spawn();
        let client = client_of(&running);
        client.send(b"who is there?").unwrap();
        let (came, mut route) = receive_from(&server);
        assert_eq!(came, b"who is there?");
        route.set_ip([127, 0, 0, 1].into());
        let others = [net::udp().0, net::udp().0];
        for (number, other) in others.iter().enumerate() {
            other.send_to(b"I am", route).unwrap();
            assert_eq!(receive(&client), b"I am");
            let answerer = other.local_addr().unwrap();
            running.wait_line(&format!("#1 answered by {answerer}"));
            let own = client.local_addr().unwrap();
            let header = format!(" udp #1 {own} 4 bytes #{}", number + 1);
            running.wait_line("< ");
            assert!(running.stderr_now().contains(&header), "{}", running.stderr_now());
        }
        // What the client says next goes to all of them again.
        client.send(b"thanks").unwrap();
        assert_eq!(receive(&server), b"thanks");
        running.signal(nix::sys::signal::Signal::SIGTERM);
        let ended = running.wait();
        assert!(
            ended.stderr.contains("#1 closed, 19 bytes up, 8 bytes down, "),
            "{}",
            ended.stderr
        );
    }
}

fn a_broadcast_has_to_be_allowed() {
    let (_server, port) = net::udp_at("0.0.0.0:0");
    let ended = pktcat_line(&format!("forward -u 0 127.255.255.255:{port}")).run().expect_code(1);
    let hint = "(a broadcast address: --broadcast allows it)\n";
    assert!(ended.stderr.ends_with(hint), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

fn a_group_is_answered_by_anybody() {
    // In a network of its own, where the group is on loopback; two members of it share a port.
    let script = "ip link set lo up multicast on && ip route add 239.0.0.0/8 dev lo || exit 99
        for n in 1 2; do
            \"$0\" listen -u --reply $n --join 239.1.2.3%lo --port-file \"$1/$n\" 0.0.0.0 7000 --timeout 20s --count 1 > /dev/null &
        done
        \"$0\" forward -u --port-file \"$1/port\" --json --timeout 20s 0 239.1.2.3:7000 2> \"$1/events\" &
        forwarder=$!
        until [ -s \"$1/1\" ] && [ -s \"$1/2\" ] && [ -s \"$1/port\" ]; do sleep 0.05; done
        \"$0\" connect -u --send x --count 2 --timeout 20s 127.0.0.1 $(cat \"$1/port\") || exit 98
        until grep -q '\"event\":\"peer\"' \"$1/events\"; do sleep 0.05; done
        kill $forwarder
        wait";
    let folder = tempfile::tempdir().unwrap();
    let words = ["-n", "sh", "-c", script, binary(), folder.path().to_str().unwrap()];
    let ended = program("unshare", words).run().expect_code(0);
    let mut answers = ended.stdout;
    answers.sort_unstable();
    assert_eq!(answers, b"12");
}

fn answers_are_the_clients_however_to_is_spelt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo").display().to_string();
    let local = pktcat_line(&format!("listen -u -v --echo -U {path}")).spawn();
    local.wait_line("listening on ");
    let any = pktcat_line("listen -u --echo 0.0.0.0 0").spawn();
    for to in
        [format!("udp:0.0.0.0:{}", any.port()), format!("unix:{path}").replace("/echo", "/./echo")]
    {
        let running =
            pktcat_line(&format!("forward -u -v -x --once --idle-timeout 300ms 0 {to}")).spawn();
        let client = client_of(&running);
        client.send(b"hello").unwrap();
        assert_eq!(receive(&client), b"hello");
        let ended = running.wait().expect_code(0);
        let told = &ended.stderr;
        assert!(told.contains("#1 closed, 5 bytes up, 5 bytes down"), "{told}");
        let answer = told.lines().find(|line| line.starts_with("< ")).unwrap();
        assert!(answer.contains(" #1 "), "{told}");
    }
}
