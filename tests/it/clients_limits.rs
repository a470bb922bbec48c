//! `listen --keep-open` under pressure: slow clients, too many clients, no descriptors left, floods.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use socket2::{Domain, Socket, Type};

use crate::tests;
use crate::util::data::{check_random, write_random};
use crate::util::{Input, Output, Running, eventually, net, pktcat_line, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_client_that_takes_nothing_is_dropped_and_named,
        the_queue_is_as_long_as_asked_for,
        stdin_waits_for_a_client_that_makes_progress,
        chat_drops_whoever_takes_nothing,
        the_client_too_many_is_named,
        sixty_four_descriptors_serve_two_hundred_clients,
        floods_leave_nothing_behind,
        five_hundred_clients_are_echoed_at_once,
        a_message_without_end_costs_its_client_alone,
        the_longest_of_too_many_unfinished_messages_goes,
        long_messages_come_whole,
    ]
}

fn listen(options: &str, stdin: Input) -> (Running, u16) {
    let server = pktcat_line(&format!("listen -k {options} 127.0.0.1 0")).stdin(stdin).spawn();
    let port = server.port();
    (server, port)
}

fn name(client: &TcpStream) -> String {
    client.local_addr().unwrap().to_string()
}

/// The bytes that this client missed, and those of them in its queue, from the line that says that it was dropped.
#[track_caller]
fn missed(server: &Running, client: &TcpStream) -> (u64, u64) {
    let start = format!("pktcat: send: {} (tcp): dropped", name(client));
    let line = server.wait_line(&start);
    let words: Vec<_> = line.split_whitespace().collect();
    let before = |what| {
        let at = words.iter().position(|word| *word == what).unwrap_or_else(|| panic!("{line}"));
        words[at - 1].parse().unwrap_or_else(|_| panic!("{line}"))
    };
    (before("bytes"), before("of"))
}

fn a_client_that_takes_nothing_is_dropped_and_named() {
    const SIZE: u64 = 40 << 20;
    let (mut server, port) = listen("-v", Input::Pipe);
    let stuck = net::connect(port);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let client = net::connect(port);
            thread::spawn(move || check_random(client, 5))
        })
        .collect();
    server.wait_lines("accepted ", 4);
    let mut stdin = server.take_stdin();
    let writer = thread::spawn(move || write_random(&mut stdin, 5, SIZE));
    let (missed, queued) = missed(&server, &stuck);
    assert!((1..=1 << 20).contains(&queued) && queued < missed, "{queued} of {missed}");
    // A stream that was cut off does not look like one that is whole.
    let mut rest = Vec::new();
    let end = (&stuck).read_to_end(&mut rest);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(writer.join().unwrap(), SIZE);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), SIZE);
    }
    // Four queues of 1 MiB each, shared between those that want the same, and not more.
    let peak = proc::memory_kib(server.pid(), "VmHWM");
    assert!(peak < 24 << 10, "{peak} KiB");
    server.expect_running();
}

fn the_queue_is_as_long_as_asked_for() {
    for (queue, least, most) in [("100k", 1, 100_000), ("8MiB", 7 << 20, 8 << 20)] {
        let (mut server, port) = listen(&format!("-v --queue {queue}"), Input::Pipe);
        let stuck = net::connect(port);
        server.wait_line("accepted ");
        let mut stdin = server.take_stdin();
        thread::spawn(move || write_random(&mut stdin, 5, 64 << 20));
        let (_, queued) = missed(&server, &stuck);
        assert!((least..=most).contains(&queued), "{queue}: {queued}");
    }
}

/// A connection with a small receive buffer, so that what it has not read is seen soon.
fn narrow(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
    socket.into()
}

fn stdin_waits_for_a_client_that_makes_progress() {
    const SIZE: u64 = 16 << 20;
    let (mut server, port) = listen("-v --queue 64KiB", Input::Pipe);
    let (mut slow, quick) = (narrow(port), net::connect(port));
    server.wait_lines("accepted ", 2);
    let quick = thread::spawn(move || check_random(quick, 6));
    let mut stdin = server.take_stdin();
    let writer = thread::spawn(move || write_random(&mut stdin, 6, SIZE));
    // Some 600 kB a second for much longer than a client may stand still.
    let (mut came, mut piece) = (Vec::new(), vec![0; 30_000]);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        let count = slow.read(&mut piece).unwrap();
        assert_ne!(count, 0, "dropped after {}:\n{}", came.len(), server.stderr_now());
        came.extend_from_slice(&piece[..count]);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!writer.is_finished(), "stdin did not wait");
    slow.read_to_end(&mut came).unwrap();
    assert_eq!(check_random(&came[..], 6), SIZE);
    assert_eq!((writer.join().unwrap(), quick.join().unwrap()), (SIZE, SIZE));
    assert!(!server.stderr_now().contains("dropped"), "{}", server.stderr_now());
}

fn chat_drops_whoever_takes_nothing() {
    const SIZE: u64 = 20 << 20;
    let line = "listen -v --chat 127.0.0.1 0";
    let server = pktcat_line(line).stdout(Output::Null).spawn();
    let port = server.port();
    let (stuck, talker, hearer) = (net::connect(port), net::connect(port), net::connect(port));
    server.wait_lines("accepted ", 3);
    let hearer = thread::spawn(move || {
        let mut counted = hearer.take(SIZE);
        check_random(&mut counted, 7)
    });
    let writer = thread::spawn(move || write_random(&talker, 7, SIZE));
    assert!(missed(&server, &stuck).0 > 0);
    assert_eq!((writer.join().unwrap(), hearer.join().unwrap()), (SIZE, SIZE));
}

fn the_client_too_many_is_named() {
    let (server, port) = listen("-v --echo --max-clients 2", Input::Null);
    let mut clients = vec![net::connect(port), net::connect(port)];
    server.wait_lines("accepted ", 2);
    let refused = net::connect(port);
    assert_eq!(net::read_to_fin(&refused), b"");
    let line = server.wait_line("pktcat: ");
    assert_eq!(
        line,
        format!("pktcat: accept: {} (tcp): turned away by --max-clients", name(&refused))
    );
    // There is room again as soon as one has left.
    drop(clients.pop());
    let mut next = eventually("room for another", || {
        let mut client = net::connect(port);
        client.write_all(b"x").ok()?;
        let answered = matches!(client.read(&mut [0]), Ok(1));
        answered.then_some(client)
    });
    next.write_all(b"still").unwrap();
    assert_eq!(net::read_exactly(&next, 5), b"still");
    clients[0].write_all(b"here").unwrap();
    assert_eq!(net::read_exactly(&clients[0], 4), b"here");
}

fn sixty_four_descriptors_serve_two_hundred_clients() {
    let server = pktcat_line("listen -k --echo 127.0.0.1 0")
        .through(["/bin/sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"])
        .spawn();
    let port = server.port();
    let mut clients: Vec<_> = (0..200).map(|_| net::connect(port)).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"me too").unwrap());
    server.wait_line("pktcat: accept: ");
    // Nobody leaves: nothing is to be done, and nothing is done.
    let (ticks, since) = (proc::cpu_ticks(server.pid()), Instant::now());
    eventually("two seconds", || (since.elapsed() > Duration::from_secs(2)).then_some(()));
    let spent = proc::cpu_ticks(server.pid()) - ticks;
    assert!(spent <= 10, "{spent} ticks of CPU while nothing could be done");
    // In the order in which they came each is served, and makes room for another.
    for client in clients {
        assert_eq!(net::read_exactly(&client, 6), b"me too");
    }
    let stderr = server.stderr_now();
    let told: Vec<_> = stderr.lines().filter(|line| line.starts_with("pktcat: ")).collect();
    assert_eq!(told.len(), 1, "said once:\n{stderr}");
}

/// Clients that come and leave in every way there is.
fn flood(port: u16) {
    for round in 0..400 {
        let mut client = net::connect(port);
        match round % 5 {
            0 => drop(client),
            1 => net::reset(client),
            2 => {
                client.write_all(&[b'x'; 40_000]).unwrap();
                net::reset(client);
            }
            3 => {
                client.write_all(b"hello").unwrap();
                net::finish(&client);
                assert_eq!(net::read_to_fin(&client), b"hello");
            }
            _ => {
                client.write_all(b"a").unwrap();
                net::read_exactly(&client, 1);
            }
        }
    }
}

fn floods_leave_nothing_behind() {
    let (server, port) = listen("--echo", Input::Null);
    let pid = server.pid();
    // Once it has echoed something, it has opened all that it keeps open.
    let mut client = net::connect(port);
    client.write_all(b"a").unwrap();
    net::read_exactly(&client, 1);
    let first = proc::descriptors(pid).len() - 1;
    drop(client);
    let settled = || {
        eventually("the clients to be forgotten", || {
            (proc::descriptors(pid).len() == first).then_some(())
        });
        proc::memory_kib(pid, "VmRSS")
    };
    // A client that says one byte now and then is there all the time, and is not forgotten.
    let mut slow = net::connect(port);
    flood(port);
    slow.write_all(b"1").unwrap();
    net::read_exactly(&slow, 1);
    drop(slow);
    let before = settled();
    let floods: Vec<_> = (0..4).map(|_| thread::spawn(move || flood(port))).collect();
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    let after = settled();
    assert_eq!(proc::descriptors(pid).len(), first);
    assert!(after <= before + 1024, "{before} KiB before, {after} KiB after");
    net::connect(port).write_all(b"alive").unwrap();
    server.expect_running();
}

fn five_hundred_clients_are_echoed_at_once() {
    let (server, port) = listen("--echo", Input::Null);
    let pid = server.pid();
    let before = proc::memory_kib(pid, "RssAnon");
    // Half of the usual limit of 1,024 descriptors is left to the rest of the test.
    let count = 500;
    let mut clients: Vec<_> = (0..count).map(|_| net::connect(port)).collect();
    for round in 0..3 {
        for (at, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("client {at:5}, round {round}").as_bytes()).unwrap();
        }
        for (at, client) in clients.iter().enumerate() {
            let wanted = format!("client {at:5}, round {round}");
            assert_eq!(net::read_exactly(client, wanted.len()), wanted.as_bytes());
        }
    }
    let grown = proc::memory_kib(pid, "RssAnon").saturating_sub(before);
    // 2 KiB a client, and 256 KiB for the buffer that all of them share.
    assert!(grown <= 2 * count + 256, "{grown} KiB for {count} clients");
}

/// Sends so many bytes that are no end of anything; whether all were taken.
fn send_on_and_on(client: &mut TcpStream, size: usize) -> bool {
    let piece = [b'x'; 64 << 10];
    (0..size).step_by(piece.len()).all(|_| client.write_all(&piece).is_ok())
}

fn a_message_without_end_costs_its_client_alone() {
    // A line, a frame that is too long, and one that is not counted out but counted.
    for (options, begin) in [
        ("-O lines", &b""[..]),
        ("-O frames", b"\0\xf0\0\0"),
        ("--discard --count 9 -O lines", b""),
    ] {
        let (server, port) = listen(options, Input::Null);
        let mut honest = net::connect(port);
        honest.write_all(b"\0\0").unwrap();
        let floods = [(); 4].map(|()| {
            thread::spawn(move || {
                for _ in 0..6 {
                    let mut client = net::connect(port);
                    client.write_all(begin).unwrap();
                    assert!(!send_on_and_on(&mut client, 15 << 20), "nobody ended it");
                }
            })
        });
        floods.into_iter().for_each(|flood| flood.join().unwrap());
        if !options.starts_with("--discard") {
            let told = server.wait_lines("pktcat: receive: ", 24);
            assert!(told.iter().all(|line| line.ends_with("(--queue sets the limit)")), "{told:?}");
            honest.write_all(b"\0\x05hello\n").unwrap();
            let length = if begin.is_empty() { 10 } else { 9 };
            // Nothing of the others' messages, which were none.
            assert_eq!(&server.wait_stdout(length)[..9], b"\0\0\0\x05hello");
        }
        let peak = proc::memory_kib(server.pid(), "VmHWM");
        assert!(peak < 64 << 10, "{options}: {peak} KiB");
        server.expect_running();
    }
}

fn the_longest_of_too_many_unfinished_messages_goes() {
    let (server, port) = listen("--queue 16MiB -O lines", Input::Null);
    let mut honest = net::connect(port);
    honest.write_all(b"begun").unwrap();
    let mut clients: Vec<_> = (0..12).map(|_| net::connect(port)).collect();
    for client in &mut clients {
        // One that has gone already takes nothing.
        send_on_and_on(client, 12 << 20);
    }
    let line = server.wait_line("pktcat: receive: ");
    assert!(line.contains("dropped, its unfinished message is the longest"), "{line}");
    honest.write_all(b" and ended\n").unwrap();
    assert_eq!(server.wait_stdout(16), b"begun and ended\n");
    let peak = proc::memory_kib(server.pid(), "VmHWM");
    assert!(peak < 112 << 10, "{peak} KiB");
}

fn long_messages_come_whole() {
    let long = 12 << 20;
    for (options, keep_open) in [("-k --queue 16MiB", true), ("", false), ("--reply x", false)] {
        let line = format!("listen {options} -O lines 127.0.0.1 0");
        let server = pktcat_line(&line).spawn();
        let mut client = net::connect(server.port());
        assert!(send_on_and_on(&mut client, long));
        client.write_all(b"\n").unwrap();
        let got = server.wait_stdout(long + 1);
        assert!(got.len() == long + 1 && got.ends_with(b"x\n"), "{options}");
        net::finish(&client);
        net::read_to_fin(&client);
        if !keep_open {
            server.wait().expect_code(0);
        }
    }
}
