//! The integration tests, all in one binary that drives the real program.
//!
//! Every module gives a list of its tests, whose names begin with its own: `cargo test udp::` runs those of
//! `udp.rs`. Most run side by side; those of [`IDLE`] and of [`ALONE`] follow.

#![allow(missing_docs, clippy::unwrap_used)]

mod abstract_names;
mod accepting;
mod answers;
mod any_peer;
mod architecture;
mod attempts;
mod beginners;
mod bounded;
mod bulk;
mod clients;
mod clients_limits;
mod commands;
mod commands_endings;
mod compare;
mod datagrams;
mod descriptors;
mod dialogues;
mod docs;
mod dump;
mod endings;
mod errors;
mod examples;
mod expect;
mod failures;
mod faults;
mod forged;
mod formats;
mod forward;
mod habits;
mod half_closed;
mod hints;
mod inherited_files;
mod interop;
mod json;
mod messages;
mod messages_to_all;
mod multihomed;
mod networks;
mod options;
mod packages;
mod pcap;
mod ping;
mod port_files;
mod progress;
mod properties;
mod proxies;
mod recording;
mod refused_calls;
mod relay_matrix;
mod replies;
mod round_trips;
mod same_files;
mod scan;
mod scan_networks;
mod scan_udp;
mod scan_wait;
mod services;
mod services_udp;
mod storms;
mod taking_over;
mod telling;
mod timeouts;
mod timestamps;
mod tls;
mod udp;
mod unfragmented;
mod unix;
mod unreachable;
mod util;
mod words;

use libtest_mimic::Trial;

/// How the names of tests begin that look for a program that does nothing: they may run beside each other,
/// and beside nothing that works.
const IDLE: &[&str] = &[
    "bounded::",
    "descriptors::unprivileged::an_idle_pipe_of_root_costs_nothing",
    "formats::pacing_sleeps_and_does_not_spin",
    "forward::idle::",
];

/// How the names of tests begin that measure rates or latencies, or that need a whole machine for many
/// clients. What ran beside them would be measured with them.
const ALONE: &[&str] = &[
    "clients_limits::five_hundred_clients_are_echoed_at_once",
    "clients_limits::floods_leave_nothing_behind",
    "clients_limits::sixty_four_descriptors_serve_two_hundred_clients",
    "commands::a_storm_of_two_hundred_leaves_nothing_behind",
    "compare::lab::measured::",
    "compare::clock::no_message_leaves_before_its_time",
    "faults::",
    "forged::two_services_that_answer_each_other_are_stopped",
    "forward::load::",
    "formats::the_pace_is_right_on_average",
    "ping::outages::",
    "ping::timing::",
    "progress::a_file_has_a_bar_with_a_size_that_goes_away",
    "round_trips::",
    "scan_wait::it_ends_soon_after_a_port_opens",
    "scan::probes_keep_the_rate",
    "storms::",
    "tls::clients::a_thousand_clients_are_echoed_at_once",
];

fn main() {
    if round_trips::is_bare_client() {
        return;
    }
    util::harness::main(all(), IDLE, ALONE);
}

/// The compiler calls what is in no list dead code.
fn all() -> Vec<Trial> {
    [
        abstract_names::tests(),
        accepting::tests(),
        answers::tests(),
        any_peer::tests(),
        attempts::tests(),
        architecture::tests(),
        beginners::tests(),
        bounded::tests(),
        bulk::tests(),
        clients::tests(),
        clients_limits::tests(),
        commands::tests(),
        commands_endings::tests(),
        compare::tests(),
        datagrams::tests(),
        descriptors::tests(),
        dialogues::tests(),
        docs::tests(),
        dump::tests(),
        endings::tests(),
        errors::tests(),
        examples::tests(),
        expect::tests(),
        failures::tests(),
        faults::tests(),
        forged::tests(),
        formats::tests(),
        forward::tests(),
        half_closed::tests(),
        habits::tests(),
        hints::tests(),
        inherited_files::tests(),
        interop::tests(),
        json::tests(),
        messages::tests(),
        messages_to_all::tests(),
        multihomed::tests(),
        networks::tests(),
        options::tests(),
        packages::tests(),
        pcap::tests(),
        ping::tests(),
        port_files::tests(),
        progress::tests(),
        refused_calls::tests(),
        properties::tests(),
        proxies::tests(),
        recording::tests(),
        relay_matrix::tests(),
        replies::tests(),
        round_trips::tests(),
        same_files::tests(),
        scan::tests(),
        scan_networks::tests(),
        scan_udp::tests(),
        scan_wait::tests(),
        services::tests(),
        services_udp::tests(),
        storms::tests(),
        taking_over::tests(),
        telling::tests(),
        timeouts::tests(),
        timestamps::tests(),
        tls::tests(),
        udp::tests(),
        unfragmented::tests(),
        unix::tests(),
        unreachable::tests(),
        words::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
