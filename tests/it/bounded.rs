//! A stalled end costs neither memory nor processor time, and an idle one no processor time.

use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::{Random, settled};
use crate::util::{Input, Output, Running, net, pktcat_line, proc};

/// What is offered at most; it is made piece by piece, as it is taken.
const OFFERED: u64 = 1 << 30;
/// What a run may have resident, at its peak.
const MEMORY_KIB: u64 = 16 * 1024;

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        client_whose_peer_never_reads,
        server_whose_peer_never_reads,
        a_pace_whose_peer_never_reads,
        client_whose_stdout_is_never_read,
        server_whose_stdout_is_never_read,
        both_directions_stalled,
        udp_listener_whose_stdout_is_never_read,
        a_paced_dump_that_is_never_read,
        a_handshake_past_its_time_behind_a_dump_that_is_never_read,
        a_message_whose_time_has_come_when_nobody_is_there,
        idle_connection,
        idle_after_the_peers_fin,
        idle_after_the_end_of_stdin,
        idle_without_stdin,
        idle_listener,
    ]
}

/// Whom the test is to pktcat.
fn client(options: &str) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let line = format!("connect {options} 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    (running, net::accept(&listener))
}

fn server(options: &str) -> (Running, TcpStream) {
    let line = format!("listen {options} 127.0.0.1 0");
    let running = pktcat_line(&line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let peer = net::connect(running.port());
    (running, peer)
}

/// Offers data from a thread, and counts what is taken.
fn offer(mut sink: impl std::io::Write + Send + 'static) -> Arc<AtomicU64> {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    thread::spawn(move || {
        let (mut random, mut piece) = (Random::new(3), vec![0; 50_021]);
        while counter.load(Ordering::Relaxed) < OFFERED {
            random.fill(&mut piece);
            // It ends with an error when the test is over and the other end is gone.
            let Ok(count) = sink.write(&piece) else {
                return;
            };
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    });
    taken
}

/// Waits until nothing is taken any more, then looks at memory and processor time.
#[track_caller]
fn expect_bounded(running: &Running, taken: &[&AtomicU64]) {
    let all = || taken.iter().map(|taken| taken.load(Ordering::Relaxed)).sum::<u64>();
    let stalled_at = settled("the transfer to stall", all);
    assert!(stalled_at > 0 && stalled_at < OFFERED, "{stalled_at} of {OFFERED} bytes taken");
    expect_no_cpu(running);
    let peak = proc::memory_kib(running.pid(), "VmHWM");
    assert!(peak < MEMORY_KIB, "{peak} KiB resident with {stalled_at} bytes on their way");
}

/// Watches for a second. The clock tick of processor time is 10 ms: a run that spins shows a hundred.
#[track_caller]
pub(crate) fn expect_no_cpu(running: &Running) {
    // What just happened may still be in work.
    settled("the processor time to stand still", || proc::cpu_ticks(running.pid()));
    let before = proc::cpu_ticks(running.pid());
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    let ticks = proc::cpu_ticks(running.pid()) - before;
    assert!(running.ended().is_none());
    assert!(ticks <= 2, "{ticks} clock ticks of processor time in a second of nothing");
}

fn client_whose_peer_never_reads() {
    let (mut running, _peer) = client("");
    let taken = offer(running.take_stdin());
    expect_bounded(&running, &[&taken]);
}

fn server_whose_peer_never_reads() {
    let (mut running, _peer) = server("");
    let taken = offer(running.take_stdin());
    expect_bounded(&running, &[&taken]);
}

fn a_pace_whose_peer_never_reads() {
    for pace in ["--rate 100M", "--interval 1us"] {
        for (mut running, _peer) in [client(pace), server(pace)] {
            let taken = offer(running.take_stdin());
            expect_bounded(&running, &[&taken]);
        }
    }
}

fn client_whose_stdout_is_never_read() {
    let (running, peer) = client("");
    let taken = offer(peer.try_clone().unwrap());
    expect_bounded(&running, &[&taken]);
    drop(peer.shutdown(Shutdown::Both));
}

fn server_whose_stdout_is_never_read() {
    let (running, peer) = server("");
    let taken = offer(peer.try_clone().unwrap());
    expect_bounded(&running, &[&taken]);
    drop(peer.shutdown(Shutdown::Both));
}

fn both_directions_stalled() {
    let (mut running, peer) = client("");
    let taken = [offer(running.take_stdin()), offer(peer.try_clone().unwrap())];
    expect_bounded(&running, &[&taken[0], &taken[1]]);
    drop(peer.shutdown(Shutdown::Both));
}

/// UDP has no backpressure: what finds no room is dropped by the kernel, and not kept here.
fn udp_listener_whose_stdout_is_never_read() {
    let running =
        pktcat_line("listen -u 127.0.0.1 0").stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let (socket, _) = net::udp();
    socket.connect(("127.0.0.1", running.port())).unwrap();
    for _ in 0..20_000 {
        socket.send(&[7; 1400]).unwrap();
    }
    expect_no_cpu(&running);
    let peak = proc::memory_kib(running.pid(), "VmHWM");
    assert!(peak < MEMORY_KIB, "{peak} KiB resident");
}

/// What is due to be sent has to wait for who reads the dump, and must not be asked for meanwhile.
fn a_paced_dump_that_is_never_read() {
    for options in ["", "-k", "-k -u -t", "-u"] {
        let (dump, text) = std::io::pipe().unwrap();
        let line = format!("listen {options} -x --rate 2000000 127.0.0.1 0");
        let stderr = Output::Fd(text.into());
        let mut running = pktcat_line(&line).stdin(Input::Pipe).stderr(stderr).spawn();
        let mut dump = BufReader::new(dump);
        let mut listening = String::new();
        dump.read_line(&mut listening).unwrap();
        let address = listening.split_whitespace().nth(2).unwrap().to_owned();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = (options != "-u").then(|| net::connect_to(address.parse().unwrap()));
        if options.contains("-u") {
            udp.send_to(b"here", address).unwrap();
        }
        let taken = offer(running.take_stdin());
        if let Some(mut tcp) = tcp.as_ref().map(|tcp| tcp.try_clone().unwrap()) {
            thread::spawn(move || std::io::copy(&mut tcp, &mut std::io::sink()));
        }
        expect_bounded(&running, &[&taken]);
        tcp.map(|tcp| tcp.shutdown(Shutdown::Both));
    }
}

fn a_handshake_past_its_time_behind_a_dump_that_is_never_read() {
    let (dump, text) = std::io::pipe().unwrap();
    let server = pktcat_line("listen -k --tls --echo -x -w 1s 127.0.0.1 0")
        .stderr(Output::Fd(text.into()))
        .spawn();
    let mut dump = BufReader::new(dump);
    let mut listening = String::new();
    while !listening.starts_with("listening on ") {
        listening.clear();
        dump.read_line(&mut listening).unwrap();
    }
    let address = listening.split_whitespace().nth(2).unwrap().to_owned();
    let _says_nothing = net::connect_to(address.parse().unwrap());
    let line = format!("connect --tls --insecure -v {address}");
    let mut client = pktcat_line(&line).stdin(Input::Pipe).stdout(Output::Null).spawn();
    // The one before has been accepted by then.
    client.wait_line("tls with ");
    let taken = offer(client.take_stdin());
    settled("the transfer to stall", || taken.load(Ordering::Relaxed));
    expect_no_cpu(&server);
}

fn a_message_whose_time_has_come_when_nobody_is_there() {
    for options in ["-k", "-k -t -u"] {
        let line = format!("listen {options} -v -I lines --interval 300ms 127.0.0.1 0");
        let mut server = pktcat_line(&line).stdin(Input::Pipe).spawn();
        let peer = net::connect(server.port());
        server.send(b"one\ntwo\nthree\n");
        assert_eq!(net::read_exactly(&peer, 4), b"one\n");
        drop(peer);
        server.wait_line("closed ");
        expect_no_cpu(&server);
    }
}

fn idle_connection() {
    let (running, _peer) = client("");
    expect_no_cpu(&running);
}

/// A hang-up that stays reported must not be asked for again and again.
fn idle_after_the_peers_fin() {
    for (running, peer) in [client(""), server("")] {
        net::finish(&peer);
        expect_no_cpu(&running);
    }
}

fn idle_after_the_end_of_stdin() {
    let (mut running, peer) = client("");
    running.close_stdin();
    assert_eq!(net::read_to_fin(&peer), b"");
    expect_no_cpu(&running);
}

fn idle_without_stdin() {
    let (mut running, _peer) = client("-d");
    // The end of a pipe that is not read is there all the time.
    running.close_stdin();
    expect_no_cpu(&running);
}

fn idle_listener() {
    let mut running = pktcat_line("listen 127.0.0.1 0").stdin(Input::Pipe).spawn();
    running.port();
    running.send(b"nobody is here yet");
    running.close_stdin();
    expect_no_cpu(&running);
}
