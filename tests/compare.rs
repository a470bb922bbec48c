//! `pktcat compare`: exact accounts, an honest clock, and a table that fits the screen.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "compare/accounts.rs"]
mod accounts;
#[path = "compare/capture.rs"]
mod capture;
#[path = "compare/clock.rs"]
mod clock;
#[path = "compare/peer.rs"]
mod peer;
#[path = "compare/shown.rs"]
mod shown;
#[path = "compare/statuses.rs"]
mod statuses;
mod util;

use serde_json::Value;

use util::harness::{self, Need};
use util::pktcat_line;

fn main() {
    harness::main(tests![
        accounts::a_hundred_thousand_messages_are_accounted_for_exactly,
        accounts::own_messages_are_accounted_for_exactly,
        accounts::equal_messages_are_accounted_for_exactly,
        accounts::a_seed_does_the_same_damage_each_time,
        accounts::a_reply_after_the_limit_is_late,
        accounts::a_million_messages_take_bounded_memory,
        accounts::the_longest_messages_come_back,
        accounts::messages_are_cut_as_asked_and_sent_unchanged,
        capture::packets_and_bytes_are_those_of_a_capture
            needs [Need::Program("tcpdump"), Need::Root],
        clock::no_message_leaves_before_its_time,
        clock::the_window_bounds_what_is_outstanding,
        clock::round_trips_are_those_of_a_bare_socket,
        shown::plain_compare_is_quick_and_fits_the_screen,
        shown::everything_that_can_be_shown_fits_the_screen,
        shown::json_has_the_rows_as_keys,
        shown::the_picture_is_well_formed,
        shown::works_over_ipv6 needs [Need::Ipv6],
        statuses::nobody_there,
        statuses::nobody_there_for_datagrams,
        statuses::no_such_name,
        statuses::no_answer_to_anything,
        statuses::no_answer_to_datagrams_is_a_result,
        statuses::a_connection_that_ends_early_is_broken,
        statuses::what_makes_no_sense_is_usage,
        statuses::messages_that_are_none,
    ]);
}

/// The JSON object of a run that must end well.
#[track_caller]
fn compare(words: &str) -> Value {
    let ended = pktcat_line(&format!("compare --json {words}")).run().expect_code(0);
    assert_eq!(ended.stderr, "");
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// The numbers under these keys.
#[track_caller]
fn numbers<const N: usize>(side: &Value, keys: [&str; N]) -> [u64; N] {
    keys.map(|key| side[key].as_u64().unwrap_or_else(|| panic!("{key} in {side}")))
}
