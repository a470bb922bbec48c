//! Rates and times of the network, which need a machine with little else to do.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::impaired;
use crate::compare::compare;
use crate::tests;
use crate::util::harness::Need;
use crate::util::{pktcat_line, proc};

pub(super) fn tests() -> Vec<Trial> {
    tests![
        the_usual_lesson_takes_less_than_a_quarter_of_a_minute needs [Need::PrivateNetwork],
        the_rate_is_that_of_ip_bytes needs [Need::PrivateNetwork],
        the_queue_bounds_the_delay needs [Need::PrivateNetwork],
        a_clean_network_adds_little needs [Need::PrivateNetwork],
        waiting_for_packets_costs_nothing needs [Need::PrivateNetwork],
        tcp_and_udp_take_as_long_one_at_a_time needs [Need::Quiet],
    ]
}

/// A busy machine may spoil a run, but hardly each of several.
#[track_caller]
fn once(what: &str, mut run: impl FnMut() -> Result<(), String>) {
    let failures: Vec<_> = (0..4).map_while(|_| run().err()).collect();
    assert!(failures.len() < 4, "{what}: {failures:#?}");
}

fn median(side: &Value, key: &str) -> f64 {
    side[key]["median"].as_f64().unwrap()
}

fn the_usual_lesson_takes_less_than_a_quarter_of_a_minute() {
    once("the time", || {
        let begun = Instant::now();
        pktcat_line("compare --impair loss=2%,delay=20ms,seed=1").run().expect_code(0);
        let took = begun.elapsed();
        if took < Duration::from_secs(15) { Ok(()) } else { Err(format!("{took:?}")) }
    });
}

fn the_rate_is_that_of_ip_bytes() {
    once("the rate", || {
        let result = impaired("rate=10M,seed=1", "--size 1400 --window 32 --count 4000");
        // IP, UDP and TCP headers, timestamps among them.
        for (side, headers) in [("tcp", 52.0), ("udp", 28.0)] {
            let payload = result[side]["bytes_per_second"].as_f64().unwrap();
            let bits = payload * 8.0 * (1400.0 + headers) / 1400.0;
            if !(9.0e6..=10.0e6).contains(&bits) {
                return Err(format!("{side}: {bits} bit/s"));
            }
        }
        Ok(())
    });
}

fn the_queue_bounds_the_delay() {
    once("the delay", || {
        let words = "--size 1400 --window 400 --count 2500";
        let result = impaired("rate=10M,queue=256KiB,seed=1", words);
        // 256 KiB at 10 Mbit/s are 210 ms.
        let full = median(&result["udp"], "all_round_trips_us");
        let result = impaired("rate=10M,queue=16KiB,seed=1", words);
        let short = median(&result["udp"], "all_round_trips_us");
        let is_right = (150e3..260e3).contains(&full) && short < 40e3;
        if is_right { Ok(()) } else { Err(format!("{full} and {short} us")) }
    });
}

fn a_clean_network_adds_little() {
    once("the delay", || {
        let outside = compare("");
        let inside = impaired("seed=1", "");
        for side in ["tcp", "udp"] {
            let [without, with] =
                [&outside, &inside].map(|result| median(&result[side], "round_trip_us"));
            if with > without + 300.0 {
                return Err(format!("{side}: {with} us, and {without} on loopback"));
            }
        }
        Ok(())
    });
}

fn waiting_for_packets_costs_nothing() {
    once("the processor time", || {
        let running =
            pktcat_line("compare --impair delay=300ms,jitter=1ms,seed=1 --window 2").spawn();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            running.expect_running();
        }
        let before = proc::cpu_ticks(running.pid());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            running.expect_running();
        }
        let ticks = proc::cpu_ticks(running.pid()) - before;
        running.signal(Signal::SIGKILL);
        running.wait();
        if ticks <= 4 { Ok(()) } else { Err(format!("{ticks} clock ticks in 2 s")) }
    });
}

fn tcp_and_udp_take_as_long_one_at_a_time() {
    once("the ratio", || {
        let result = compare("--count 4000");
        let ratio =
            median(&result["tcp"], "round_trip_us") / median(&result["udp"], "round_trip_us");
        if (0.8..1.25).contains(&ratio) { Ok(()) } else { Err(format!("{ratio}")) }
    });
}
