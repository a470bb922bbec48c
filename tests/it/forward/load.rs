//! A forwarder with very many clients, and with very much of each.
//!
//! A part of it runs with the other tests, all of it with `PKTCAT_ALL_FAULTS=1`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::SockRef;

use super::{forwarder, joined};
use crate::tests;
use crate::util::data::{assert_same, check_random, random, settled, write_random};
use crate::util::harness::Need;
use crate::util::{Running, eventually, net, pktcat_line, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        ten_thousand_clients_at_once_or_as_many_as_the_limit_allows
            needs [Need::Descriptors(FEWEST)],
        a_thousand_stalled_clients_harm_nobody,
        connections_leave_no_descriptor_and_no_memory_behind,
        very_much_both_ways_at_once,
        at_the_descriptor_limit_clients_wait_and_nobody_is_reset,
        idle_clients_keep_no_pipes,
        more_bulk_than_there_may_be_pipes,
    ]
}

/// Clients that are there at once.
const MANY: u64 = 10_000;
/// Descriptors for everything but clients, each of which takes two: here, and in the forwarder.
const OTHERS: u64 = 2_000;
/// With fewer descriptors it would not be many clients.
const FEWEST: u64 = 2 * 1_000 + OTHERS;

/// So many or so much, and less with the other tests.
fn whole<T>(all: T, part: T) -> T {
    if std::env::var_os("PKTCAT_ALL_FAULTS").is_some() { all } else { part }
}

/// How many descriptors it has that are no pipes.
fn descriptors_of(running: &Running) -> u64 {
    let all = || proc::descriptors(running.pid()).len() as u64;
    settled("descriptors", || all() - pipes_of(running))
}

/// How many descriptors of pipes it has.
fn pipes_of(running: &Running) -> u64 {
    let all = proc::descriptors(running.pid());
    all.iter().filter(|(_, name)| name.to_string_lossy().starts_with("pipe:")).count() as u64
}

/// A client through the forwarder, and the server's end.
fn pair(port: u16, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = net::connect(port);
    (client, net::accept(listener))
}

fn say(from: &mut TcpStream, to: &TcpStream, text: &str) {
    from.write_all(text.as_bytes()).unwrap();
    assert_eq!(net::read_exactly(to, text.len()), text.as_bytes());
}

fn ten_thousand_clients_at_once_or_as_many_as_the_limit_allows() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let many = MANY.min((hard - OTHERS) / 2);
    println!("{many} clients");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let (running, listener) = forwarder("");
    let port = running.port();
    let idle = descriptors_of(&running);
    let mut pairs: Vec<_> = (0..many).map(|_| pair(port, &listener)).collect();
    // First all of them, then all of them: nobody's words come to anybody else.
    for (number, (client, _)) in pairs.iter_mut().enumerate() {
        client.write_all(format!("up {number:>5}").as_bytes()).unwrap();
    }
    for (number, (client, server)) in pairs.iter_mut().enumerate() {
        assert_eq!(net::read_exactly(server, 8), format!("up {number:>5}").as_bytes());
        say(server, client, &format!("down {number}"));
    }
    let kib = proc::memory_kib(running.pid(), "VmRSS");
    assert!(kib < 100 << 10, "{kib} KiB for {many} clients");
    drop(pairs);
    assert_eq!(descriptors_of(&running), idle);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}

fn a_thousand_stalled_clients_harm_nobody() {
    const STALLED: usize = 1_000;
    const SIZE: u64 = 8 << 20;
    // With buffers of an ordinary size they would fill the machine.
    let (running, listener) = forwarder("--rcvbuf 20000 --sndbuf 20000");
    SockRef::from(&listener).set_recv_buffer_size(20_000).unwrap();
    let port = running.port();
    let mut stalled: Vec<_> = (0..STALLED)
        .map(|number| {
            let (client, server) = pair(port, &listener);
            // By turns nothing is read by the server and by the client.
            let (writer, reader) =
                if number % 2 == 0 { (client, server) } else { (server, client) };
            SockRef::from(&writer).set_send_buffer_size(20_000).unwrap();
            writer.set_nonblocking(true).unwrap();
            (writer, reader, 0)
        })
        .collect();
    let bytes = random(9, 1 << 20);
    settled("all of them to stall", || {
        for (writer, _, written) in &mut stalled {
            while let Ok(count) = writer.write(&bytes[*written..]) {
                *written += count;
            }
        }
        stalled.iter().map(|(_, _, written)| *written as u64).sum()
    });
    let (client, server) = pair(port, &listener);
    let (to_server, to_client) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(write_random(&to_server, 1, SIZE), SIZE));
        scope.spawn(|| assert_eq!(write_random(&to_client, 2, SIZE), SIZE));
        scope.spawn(|| {
            let read = check_random((&server).take(SIZE), 1);
            assert_eq!(read, SIZE);
        });
        assert_eq!(check_random((&client).take(SIZE), 2), SIZE);
    });
    // Nothing can be done for the others, and nothing is.
    let ticks = proc::cpu_ticks(running.pid());
    thread::sleep(Duration::from_secs(1));
    let spent = proc::cpu_ticks(running.pid()) - ticks;
    assert!(spent <= 10, "{spent} ticks of CPU while everybody is stalled");
    // Whoever is read at last gets everything.
    for (writer, reader, written) in stalled.drain(..).step_by(50) {
        net::finish(&writer);
        assert_same(&net::read_to_fin(&reader), &bytes[..written]);
    }
    running.expect_running();
}

fn connections_leave_no_descriptor_and_no_memory_behind() {
    let (running, listener) = forwarder("");
    let port = running.port();
    let round = |count: usize| {
        for number in 0..count {
            let (mut client, mut server) = pair(port, &listener);
            match number % 5 {
                0 => drop(client),
                1 => net::reset(client),
                2 => net::reset(server),
                3 => {
                    client.write_all(&[b'x'; 40_000]).unwrap();
                    net::reset(server);
                }
                _ => {
                    say(&mut client, &server, "hello");
                    say(&mut server, &client, "hello to you");
                    net::finish(&client);
                    assert_eq!(net::read_to_fin(&server), b"");
                }
            }
        }
    };
    round(1_000);
    let descriptors = descriptors_of(&running);
    let before = proc::memory_kib(running.pid(), "VmRSS");
    round(whole(100_000, 10_000));
    assert_eq!(descriptors_of(&running), descriptors);
    let after = proc::memory_kib(running.pid(), "VmRSS");
    assert!(after < before + 1024, "{before} KiB grew to {after}");
}

fn very_much_both_ways_at_once() {
    let size: u64 = whole(256 << 20, 24 << 20);
    let (running, client, server) = joined("");
    thread::scope(|scope| {
        let write = |stream: &TcpStream, seed| {
            assert_eq!(write_random(stream, seed, size), size);
            net::finish(stream);
        };
        let (one, other) = (&client, &server);
        scope.spawn(move || write(one, 1));
        scope.spawn(move || write(other, 2));
        scope.spawn(move || assert_eq!(check_random(other, 1), size));
        assert_eq!(check_random(one, 2), size);
    });
    let peak = proc::memory_kib(running.pid(), "VmHWM");
    assert!(peak < 20 << 10, "{peak} KiB");
}

fn at_the_descriptor_limit_clients_wait_and_nobody_is_reset() {
    const CLIENTS: usize = 100;
    let (listener, to) = net::listener();
    let running = pktcat_line(&format!("forward 0 127.0.0.1:{to}"))
        .through(["/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"])
        .spawn();
    let port = running.port();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| net::connect(port)).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"me too").unwrap());
    let mut servers = std::collections::VecDeque::new();
    listener.set_nonblocking(true).unwrap();
    let mut here = || {
        while let Ok((server, _)) = listener.accept() {
            server.set_nonblocking(false).unwrap();
            servers.push_back(server);
        }
        servers.len() as u64
    };
    let served = settled("all to come for whom there is room", &mut here);
    assert!((30..64).contains(&served), "{served} clients within 128 descriptors");
    // Nobody leaves: nothing is to be done, and nothing is done.
    let (ticks, since) = (proc::cpu_ticks(running.pid()), Instant::now());
    eventually("two seconds", || (since.elapsed() > Duration::from_secs(2)).then_some(()));
    let spent = proc::cpu_ticks(running.pid()) - ticks;
    assert!(spent <= 10, "{spent} ticks of CPU while nothing could be done");
    // In the order in which they came each is served, and makes room for another.
    let mut servers = std::mem::take(&mut servers);
    for client in clients {
        let server = servers
            .pop_front()
            .unwrap_or_else(|| eventually("the next client", || listener.accept().ok()).0);
        server.set_nonblocking(false).unwrap();
        assert_eq!(net::read_exactly(&server, 6), b"me too");
        drop(server);
        assert_eq!(net::read_to_fin(&client), b"");
    }
    assert_eq!(running.stderr_now().lines().filter(|line| line.contains("reset")).count(), 0);
    running.expect_running();
}

/// What is not there with `--portable`, or where the system has no splice(2).
fn is_spliced() -> bool {
    crate::util::ways().contains(&"--portable")
}

fn idle_clients_keep_no_pipes() {
    const CLIENTS: usize = 40;
    const SIZE: usize = 1 << 20;
    let (running, listener) = forwarder("");
    let port = running.port();
    let (idle, others) = (descriptors_of(&running), pipes_of(&running));
    let bytes = random(3, SIZE);
    let pairs: Vec<_> = (0..CLIENTS).map(|_| pair(port, &listener)).collect();
    for (client, server) in &pairs {
        for (mut from, to) in [(client, server), (server, client)] {
            thread::scope(|scope| {
                scope.spawn(|| from.write_all(&bytes).unwrap());
                assert_same(&net::read_exactly(to, SIZE), &bytes);
            });
        }
    }
    assert_eq!(descriptors_of(&running), idle + 2 * CLIENTS as u64);
    let pipes = pipes_of(&running) - others;
    assert!(pipes <= 8, "{pipes} ends of pipes for {CLIENTS} idle clients");
    assert!(pipes > 0 || !is_spliced(), "nothing was spliced");
}

fn more_bulk_than_there_may_be_pipes() {
    const CLIENTS: usize = 100;
    const SIZE: usize = 400_000;
    let (running, listener) = forwarder("--rcvbuf 100000 --sndbuf 20000");
    SockRef::from(&listener).set_recv_buffer_size(20_000).unwrap();
    let port = running.port();
    let bytes = random(4, SIZE);
    let pairs: Vec<_> = (0..CLIENTS).map(|_| pair(port, &listener)).collect();
    thread::scope(|scope| {
        // All of them stall, and then all are read.
        for (mut client, _) in pairs.iter().map(|(client, server)| (client, server)) {
            let bytes = &bytes;
            scope.spawn(move || {
                client.write_all(bytes).unwrap();
                net::finish(client);
            });
        }
        let count = || proc::descriptors(running.pid()).len() as u64;
        let most = settled("all of them to stall", count);
        assert!(most <= 2 * CLIENTS as u64 + 2 * 64 + 32, "{most} descriptors");
        for (_, server) in &pairs {
            assert_same(&net::read_to_fin(server), &bytes);
        }
    });
}
