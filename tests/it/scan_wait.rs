//! `pktcat scan --wait`: until every port is open, and not before.

use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::{Running, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        it_ends_when_the_last_port_is_open,
        a_port_that_went_away_is_waited_for_again,
        one_port_is_enough_for_any,
        a_port_that_is_asked_again_does_not_keep_the_others_from_being_asked,
        it_gives_up_in_time_and_says_what_is_open,
        datagrams_are_sent_until_somebody_answers,
        what_is_open_is_not_waited_for,
        it_ends_soon_after_a_port_opens,
        a_signal_ends_it,
    ]
}

fn waiting(options: &str, ports: &[u16]) -> Running {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    pktcat_line(&format!("scan -n {options} 127.0.0.1 {}", ports.join(","))).spawn()
}

fn it_ends_when_the_last_port_is_open() {
    let (_there, first) = net::listener();
    let (held, second) = net::refusing_port();
    let (held_too, third) = net::refusing_port();
    let run = waiting("--wait 1m", &[first, second, third]);
    run.expect_running();
    let _second = net::open(held);
    run.expect_running();
    let _third = net::open(held_too);
    let ended = run.wait().expect_code(0);
    let mut ports = [first, second, third];
    ports.sort_unstable();
    let shown: Vec<_> = ended
        .stdout_text()
        .lines()
        .map(|line| line.split_once('/').unwrap().0.parse::<u16>().unwrap())
        .collect();
    assert_eq!(shown, ports);
    assert!(ended.stderr.starts_with("3 open, 0 closed, 0 filtered, "), "{}", ended.stderr);
}

/// The first is open only until the second is: they never were at the same time.
fn a_port_that_went_away_is_waited_for_again() {
    let (first_held, first) = net::refusing_port();
    let (second_held, second) = net::refusing_port();
    let (always, third) = net::listener();
    let run = waiting("--wait 1m", &[first, second, third]);
    // It is the last that is asked: the others have refused before.
    net::accept(&always);
    let listener = net::open(first_held);
    listener.accept().unwrap();
    let first_held = net::close(listener);
    let _second = net::open(second_held);
    run.expect_running();
    let _first = net::open(first_held);
    run.wait().expect_code(0);
}

fn one_port_is_enough_for_any() {
    let (_held, closed) = net::refusing_port();
    let (held, port) = net::refusing_port();
    let run = waiting("--any --wait 1m", &[closed, port]);
    run.expect_running();
    let _listener = net::open(held);
    run.wait().expect_code(0);
}

/// The first is due to be asked again before the rate allows the second, or before the only one that may be
/// asked at a time is given up.
fn a_port_that_is_asked_again_does_not_keep_the_others_from_being_asked() {
    let mut held = [net::refusing_port(), net::refusing_port()];
    held.sort_by_key(|(_, port)| *port);
    let [(_closed, closed), (last, open)] = held;
    let _listener = net::open(last);
    waiting("--any --rate 20 --wait 5s", &[closed, open]).wait().expect_code(0);

    let mut mute = [net::udp(), net::udp(), net::udp()];
    mute.sort_by_key(|(_, port)| *port);
    let ports = mute.each_ref().map(|(_, port)| *port);
    let run = waiting("-u -w 100ms --concurrency 1 --wait 1m", &ports);
    for (socket, _) in &mute {
        socket.recv_from(&mut [0; 100]).unwrap();
    }
    run.signal(Signal::SIGTERM);
    run.wait().expect_signal(Signal::SIGTERM);
}

fn it_gives_up_in_time_and_says_what_is_open() {
    let (_listener, there) = net::listener();
    let (_held, closed) = net::refusing_port();
    let begun = Instant::now();
    let ended = waiting("--all --wait 300ms", &[there, closed]).wait().expect_code(4);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let text = ended.stdout_text();
    assert!(text.contains(&format!("{there}/tcp open ")), "{text}");
    assert!(text.contains(&format!("{closed}/tcp closed")), "{text}");
    let (_queue, silent) = net::unanswering_port();
    waiting("--wait 300ms", &[silent]).wait().expect_code(5);
}

fn datagrams_are_sent_until_somebody_answers() {
    let (_deaf, port) = net::refusing_udp_port();
    let run = waiting("-u --wait 1m", &[port]);
    run.expect_running();
    let socket = net::open_udp(port);
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 100]) {
            drop(socket.send_to(b"x", peer));
        }
    });
    run.wait().expect_code(0);
}

fn what_is_open_is_not_waited_for() {
    let (_listener, port) = net::listener();
    let begun = Instant::now();
    waiting("--wait 1m", &[port]).wait().expect_code(0);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// Timed: the best of some tries, as the machine may be late itself.
fn it_ends_soon_after_a_port_opens() {
    let late = (0..5).map(|_| {
        let (held, port) = net::refusing_port();
        let run = waiting("--wait 1m", &[port]);
        thread::sleep(Duration::from_millis(200));
        let _listener = net::open(held);
        let opened = Instant::now();
        run.wait().expect_code(0);
        opened.elapsed()
    });
    let late: Vec<_> = late.collect();
    let soon = late.iter().filter(|late| **late <= Duration::from_millis(50)).count();
    assert!(soon >= 3, "{late:?}");
}

fn a_signal_ends_it() {
    let (_held, port) = net::refusing_port();
    let run = waiting("--wait 1m", &[port]);
    run.expect_running();
    run.signal(Signal::SIGTERM);
    run.wait().expect_signal(Signal::SIGTERM);
}
