//! `listen -- COMMAND`: a program for each TCP connection, the socket as its standard input and output.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, TcpStream};
use std::thread;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::{check_random, write_random};
use crate::util::harness::Need;
use crate::util::{Running, eventually, net, pktcat, pktcat_line, proc, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_socket_is_stdin_and_stdout,
        without_keep_open_it_is_one,
        a_parent_that_blocks_sigchld_hides_no_child,
        the_environment_says_who_and_where,
        the_environment_says_it_for_ipv4_on_a_socket_for_both needs [Need::Ipv6],
        no_shell_sees_the_words,
        a_program_gets_descriptors_that_wait_and_no_others,
        limits_are_inherited,
        exit_statuses_are_told_with_v,
        the_summary_counts_what_programs_said,
        a_program_that_does_not_exist_is_an_error_for_each,
        children_are_reaped_and_max_clients_holds,
        sigterm_ends_the_children,
        a_storm_of_two_hundred_leaves_nothing_behind,
        the_gate_is_before_the_program,
        words_that_make_no_sense_are_usage_errors,
    ]
}

fn listen(options: &str, command: &[&str]) -> (Running, u16) {
    let words = format!("listen {options} 127.0.0.1 0 --");
    let server = pktcat(words.split_whitespace().chain(command.iter().copied())).spawn();
    let port = server.port();
    (server, port)
}

/// The children of a process, zombies included.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn the_socket_is_stdin_and_stdout() {
    const SIZE: u64 = 4 << 20;
    let (server, port) = listen("-k", &["cat"]);
    let clients: Vec<_> = (0..3)
        .map(|seed| {
            let client = net::connect(port);
            let back = client.try_clone().unwrap();
            thread::spawn(move || {
                let writer = thread::spawn(move || {
                    write_random(&client, seed, SIZE);
                    net::finish(&client);
                });
                assert_eq!(check_random(back, seed), SIZE);
                writer.join().unwrap();
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(server.stdout_now(), b"");
    server.expect_running();
}

fn without_keep_open_it_is_one() {
    let (server, port) = listen("", &["cat"]);
    let mut client = net::connect(port);
    client.write_all(b"hello").unwrap();
    net::finish(&client);
    assert_eq!(net::read_to_fin(&client), b"hello");
    server.wait().expect_code(0);
}

fn a_parent_that_blocks_sigchld_hides_no_child() {
    let cmd = pktcat(["listen", "127.0.0.1", "0", "--", "true"]);
    let server = cmd.through(["env", "--block-signal=CHLD"]).spawn();
    let client = net::connect(server.port());
    assert_eq!(net::read_to_fin(&client), b"");
    server.wait().expect_code(0);
}

const PRINT: &str =
    "echo $PKTCAT_PEER_ADDR $PKTCAT_PEER_PORT $PKTCAT_LOCAL_ADDR $PKTCAT_LOCAL_PORT";

fn the_environment_says_who_and_where() {
    let (_server, port) = listen("-k", &["sh", "-c", PRINT]);
    for _ in 0..2 {
        let client = net::connect(port);
        let own = client.local_addr().unwrap().port();
        let text = String::from_utf8(net::read_to_fin(&client)).unwrap();
        assert_eq!(text, format!("127.0.0.1 {own} 127.0.0.1 {port}\n"));
    }
}

fn the_environment_says_it_for_ipv4_on_a_socket_for_both() {
    let words = ["listen", "-k", "::", "0", "--", "sh", "-c", PRINT];
    let server = pktcat(words).spawn();
    let port = server.port();
    let client = net::connect_to((Ipv6Addr::LOCALHOST, port).into());
    let own = client.local_addr().unwrap().port();
    let text = String::from_utf8(net::read_to_fin(&client)).unwrap();
    assert_eq!(text, format!("::1 {own} ::1 {port}\n"));
}

fn no_shell_sees_the_words() {
    let (_server, port) = listen("-k", &["printf", "%s|", "$HOME", "a  b", "*", "; exit", "-k"]);
    assert_eq!(net::read_to_fin(&net::connect(port)), b"$HOME|a  b|*|; exit|-k|");
}

fn a_program_gets_descriptors_that_wait_and_no_others() {
    let script = "grep -h ^flags /proc/self/fdinfo/0 /proc/self/fdinfo/1; echo /proc/self/fd/*";
    let (_server, port) = listen("-k", &["sh", "-c", script]);
    let text = String::from_utf8(net::read_to_fin(&net::connect(port))).unwrap();
    let flags = text.lines().filter_map(|line| line.strip_prefix("flags:"));
    for flags in flags {
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_eq!(flags & libc::O_NONBLOCK as u32, 0, "{text}");
    }
    // As many as in a program that the test itself runs.
    let direct = program("sh", ["-c", script]).run().stdout_text();
    assert_eq!(text.lines().last(), direct.lines().last());
}

fn limits_are_inherited() {
    let words = ["listen", "-k", "127.0.0.1", "0", "--", "sh", "-c", "ulimit -S -n"];
    let limited = ["/bin/sh", "-c", "ulimit -S -n 123; exec \"$@\"", "sh"];
    let server = pktcat(words).through(limited).spawn();
    assert_eq!(net::read_to_fin(&net::connect(server.port())), b"123\n");
}

fn exit_statuses_are_told_with_v() {
    let script = "read how; eval \"$how\"";
    let (server, port) = listen("-v -k", &["sh", "-c", script]);
    for (how, wanted) in
        [("exit 0", "exit status: 0"), ("exit 7", "exit status: 7"), ("kill -9 $$", "signal: 9")]
    {
        let mut client = net::connect(port);
        writeln!(client, "{how}").unwrap();
        net::read_to_fin(&client);
        let own = client.local_addr().unwrap();
        eventually("the status to be told", || {
            let text = server.stderr_now();
            let line =
                text.lines().find(|l| l.starts_with("command ") && l.contains(&own.to_string()))?;
            assert!(line.contains(wanted), "{how}: {line}");
            Some(())
        });
    }
}

/// Whether a connection to this port ends with a reset, perhaps before connecting has returned.
fn is_reset(port: u16) -> bool {
    let read = |mut client: TcpStream| client.read_to_end(&mut Vec::new());
    let ended = TcpStream::connect(("127.0.0.1", port)).and_then(read);
    ended.is_err_and(|cause| cause.kind() == ErrorKind::ConnectionReset)
}

fn the_summary_counts_what_programs_said() {
    for (options, clients) in [("-v", 1), ("-k -v", 3)] {
        let (server, port) = listen(options, &["sed", "s/a/bb/"]);
        for _ in 0..clients {
            let mut client = net::connect(port);
            client.write_all(b"a\n").unwrap();
            net::finish(&client);
            assert_eq!(net::read_to_fin(&client), b"bb\n");
        }
        let stderr = if options == "-v" {
            server.wait().expect_code(0).stderr
        } else {
            server.wait_lines("closed ", clients);
            server.signal(Signal::SIGTERM);
            server.wait().expect_signal(Signal::SIGTERM).stderr
        };
        let wanted = format!("sent {} bytes, received {} bytes, ", 3 * clients, 2 * clients);
        assert!(stderr.lines().last().unwrap().starts_with(&wanted), "{stderr}");
    }
}

fn a_program_that_does_not_exist_is_an_error_for_each() {
    let (server, port) = listen("-k", &["/nonexistent/program"]);
    for count in 1..=2 {
        assert!(is_reset(port), "an end would look like that of an empty answer");
        let told = server.wait_lines("pktcat: ", count);
        assert!(told[count - 1].contains("/nonexistent/program"), "{told:?}");
    }
    server.expect_running();
    let (server, port) = listen("", &["/nonexistent/program"]);
    assert!(is_reset(port));
    let ended = server.wait();
    assert_ne!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("/nonexistent/program"), "{}", ended.stderr);
}

fn children_are_reaped_and_max_clients_holds() {
    let (server, port) = listen("-k --max-clients 2", &["cat"]);
    let echoed = |mut client: &TcpStream| {
        client.write_all(b"x").unwrap();
        assert_eq!(net::read_exactly(client, 1), b"x");
    };
    let (one, two) = (net::connect(port), net::connect(port));
    echoed(&one);
    echoed(&two);
    assert_eq!(children(server.pid()).len(), 2);
    let refused = net::connect(port);
    assert_eq!(net::read_to_fin(&refused), b"");
    let line = server.wait_line("pktcat: accept: ");
    assert!(line.contains(&refused.local_addr().unwrap().to_string()), "{line}");
    drop(one);
    eventually("the child to be reaped", || (children(server.pid()).len() == 1).then_some(()));
    let next = net::connect(port);
    echoed(&next);
    echoed(&two);
}

fn sigterm_ends_the_children() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (server, port) = listen("-k", &["sh", "-c", "echo here; exec sleep 1000"]);
        let clients = [net::connect(port), net::connect(port)];
        clients.iter().for_each(|client| drop(net::read_exactly(client, 5)));
        let pids = children(server.pid());
        assert_eq!(pids.len(), 2);
        server.signal(signal);
        server.wait().expect_signal(signal);
        // Nobody holds their connections any more.
        clients.iter().for_each(|client| assert_eq!(net::read_to_fin(client), b""));
    }
}

fn a_storm_of_two_hundred_leaves_nothing_behind() {
    let (server, port) = listen("-v -k", &["sh", "-c", "exec cat 2>&-"]);
    let pid = server.pid();
    let before = proc::descriptors(pid);
    let storms: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                for round in 0..50 {
                    let mut client = net::connect(port);
                    match round % 3 {
                        0 => drop(client),
                        1 => net::reset(client),
                        _ => {
                            client.write_all(b"quick").unwrap();
                            net::finish(&client);
                            assert_eq!(net::read_to_fin(&client), b"quick");
                        }
                    }
                }
            })
        })
        .collect();
    storms.into_iter().for_each(|storm| storm.join().unwrap());
    let told = server.wait_lines("command ", 200);
    let pids: BTreeSet<_> = told.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(pids.len(), 200, "each child's end is told once");
    assert_eq!(children(pid), [0; 0]);
    eventually("the connections to be closed", || (proc::descriptors(pid) == before).then_some(()));
    let mut client = net::connect(port);
    client.write_all(b"alive").unwrap();
    assert_eq!(net::read_exactly(&client, 5), b"alive");
}

fn the_gate_is_before_the_program() {
    let (server, port) = listen("-k --deny 127.0.0.0/8", &["echo", "run"]);
    assert_eq!(net::read_to_fin(&net::connect(port)), b"");
    assert!(server.wait_line("pktcat: accept: ").contains("--deny"));
}

fn words_that_make_no_sense_are_usage_errors() {
    for line in [
        "listen 0 -- cat",
        "listen -k :0 -- cat",
        "listen -u 127.0.0.1 0 -- cat",
        "listen -t -u -k 127.0.0.1 0 -- cat",
        "listen --echo 127.0.0.1 0 -- cat",
        "listen -u --max-clients 3 127.0.0.1 0",
        "listen -O lines --timeout 0 127.0.0.1 0 -- cat",
        "listen -I hex --timeout 0 127.0.0.1 0 -- cat",
        "listen --until-fin --timeout 0 127.0.0.1 0 -- cat",
        "listen --no-shutdown --timeout 0 127.0.0.1 0 -- cat",
        "listen --datagram-size 9 --timeout 0 127.0.0.1 0 -- cat",
        "listen --queue 9k --timeout 0 127.0.0.1 0 -- cat",
        "listen --to-all --timeout 0 127.0.0.1 0 -- cat",
    ] {
        let ended = pktcat_line(line).run().expect_code(2);
        assert!(ended.stderr.starts_with("pktcat: "), "{line}: {}", ended.stderr);
        assert!(!ended.stderr.contains("listening"), "{line}: {}", ended.stderr);
    }
}
