//! What holds of the parsers whatever they are given. A broken property is a panic.
//!
//! The tests try each function with some thousand inputs of proptest, the fuzz targets of `fuzz/` with as many as
//! there is time for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use pktcat::config::impair;
use pktcat::engine::framing::{Assembler, Format, Malformed, Position, encode, parse_hex};
use pktcat::engine::impair::{Line, Passage, Shaper, Spec, Tally, Traffic};
use pktcat::net::access::{AccessList, block};
use pktcat::net::address::{
    Address, Family, HostPort, Lookup, Protocol, port_number, without_server,
};
use pktcat::scan::ports::Ports;
use pktcat::setup::proxy::{Destination, Dialogue, Proxy, Refusal, Step};
use pktcat::units;

/// Messages written as lines of hex digits, and one given as a word.
pub fn hex(bytes: &[u8]) {
    messages(Format::Hex, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        match parse_hex(text, bytes.len()) {
            Ok(message) => {
                let mut written = Vec::new();
                encode(Format::Hex, &message, &mut written);
                let written = String::from_utf8(written).expect("digits");
                assert_eq!(parse_hex(&written, message.len()), Ok(message));
            }
            Err(error) => assert!(error.to_string().starts_with("line "), "{error}"),
        }
    }
}

/// Messages that are lines.
pub fn lines(bytes: &[u8]) {
    messages(Format::Lines, bytes);
}

/// Messages with their length before them.
pub fn frames(bytes: &[u8]) {
    messages(Format::Frames, bytes);
}

/// Takes how the rest is cut and how long a message may be from the first two bytes.
fn messages(format: Format, bytes: &[u8]) {
    let [piece, limit, input @ ..] = bytes else { return };
    let (piece, limit) = (usize::from(*piece).max(1), usize::from(*limit));

    let (whole, error) = assembled(format, limit, [input]);
    let (cut, cut_error) = assembled(format, limit, input.chunks(piece));
    assert_eq!(whole, cut, "the same, however the input is cut");
    assert_eq!(error, cut_error, "the same, however the input is cut");
    assert!(whole.iter().all(|message| message.len() <= limit), "longer than the limit");
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= input.len(), "made up");
    if let Some(Malformed { position, .. }) = error {
        let newlines = input.iter().filter(|byte| **byte == b'\n').count() as u64;
        match position {
            Position::Text { line, column } => {
                assert!((1..=newlines + 1).contains(&line) && column > 0, "{position:?}");
            }
            Position::Byte(offset) => assert!(offset <= input.len() as u64, "{position:?}"),
        }
    }
    is_read_back(format, &whole);

    // Any bytes can be a message, but for a line, which ends at its newline, and an empty one of hex digits.
    let any: Vec<Vec<u8>> = input.chunks(piece).map(<[u8]>::to_vec).collect();
    if format != Format::Lines {
        is_read_back(format, &any);
    }
}

fn is_read_back(format: Format, messages: &[Vec<u8>]) {
    let mut written = Vec::new();
    messages.iter().for_each(|message| encode(format, message, &mut written));
    let limit = messages.iter().map(Vec::len).max().unwrap_or(0);
    assert_eq!(assembled(format, limit, [&written[..]]), (messages.to_vec(), None));
}

/// The messages in these pieces, up to the first error: nothing that comes behind it is a message.
fn assembled<'a>(
    format: Format,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Vec<u8>>, Option<Malformed>) {
    let mut assembler = Assembler::new(format, limit);
    let mut messages = Vec::new();
    let mut keep = |message: &[u8]| messages.push(message.to_vec());
    let mut error: Option<Malformed> = None;
    for piece in pieces {
        let fault = assembler.feed(piece, &mut keep).err();
        assert!(error.is_none() || error == fault, "{error:?}, and then {fault:?}");
        error = fault;
    }
    let fault = assembler.finish(&mut keep).err();
    assert!(error.is_none() || error == fault, "{error:?}, and then {fault:?}");
    (messages, fault)
}

/// Hosts and ports, one or two words on lines of their own.
pub fn addresses(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let Ok(target) = HostPort::parse(&words) else { return };
    if let Ok(port) = port_number(&target.port, Protocol::Tcp)
        && target.port.starts_with(|first: char| first.is_ascii_digit())
        && target.port.bytes().all(|byte| byte.is_ascii_digit())
    {
        assert_eq!(target.port.parse(), Ok(port));
    }
    let Some(host) = &target.host else { return };
    assert!(!host.is_empty());
    if !host.contains(']') {
        let bracketed = format!("[{host}]:{}", target.port);
        assert_eq!(HostPort::parse(&[bracketed]).ok().as_ref(), Some(&target));
    }
    // What is an address is the same one when it is written down and read again.
    if let Ok(Some(address)) = without_server(host, 80, Family::Any, Lookup::Numeric) {
        let shown = Address::from(address).to_string();
        let again = HostPort::parse(std::slice::from_ref(&shown)).expect("an address");
        let host = again.host.expect("a host");
        let read = without_server(&host, 80, Family::Any, Lookup::Numeric);
        assert_eq!(read.ok().flatten(), Some(address), "{shown}");
    }
}

/// Lists of ports.
pub fn ports(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(ports) = Ports::parse(text, Protocol::Tcp) else { return };
    let all = ports.as_slice();
    assert!(!all.is_empty() && all.is_sorted_by(|a, b| 0 < *a && a < b), "{all:?}");
    let list: Vec<_> = all.iter().map(u16::to_string).collect();
    assert_eq!(Ports::parse(&list.join(","), Protocol::Udp).ok(), Some(ports));
}

/// Blocks of addresses.
pub fn cidr(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(net) = block(text) else { return };
    assert_eq!(block(&net.to_string()), Some(net));
    if let IpNet::V6(net) = net {
        let is_mapped = net.prefix_len() >= 96 && net.addr().to_ipv4_mapped().is_some();
        assert!(!is_mapped, "{net} is a block of IPv4");
    }
    for ip in [net.network(), net.addr(), net.broadcast()] {
        let peer = Address::from(SocketAddr::new(ip, 1));
        let gate = |allowed: &[IpNet], denied: &[IpNet]| AccessList {
            allowed: allowed.to_vec(),
            denied: denied.to_vec(),
        };
        // A wide block of IPv6 may have IPv4-mapped addresses in it, which count as IPv4.
        if ip == ip.to_canonical() {
            assert_eq!(gate(&[net], &[]).refusal(&peer), None);
            assert!(gate(&[], &[net]).refusal(&peer).is_some());
        }
        assert!(gate(&[net], &[net]).refusal(&peer).is_some());
    }
}

/// Durations and sizes.
pub fn quantities(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(time) = units::duration(text) {
        assert_eq!(units::duration(&written(time)), Ok(time));
        // Several of them are added to a clock.
        assert!(Instant::now().checked_add(time * 4).is_some());
    }
    if let Ok(size) = units::size(text) {
        assert_eq!(units::size(&size.to_string()), Ok(size));
        assert!(!units::human_bytes(size).is_empty());
    }
}

fn written(time: Duration) -> String {
    format!("{}s {}ns", time.as_secs(), time.subsec_nanos())
}

/// A bad network, made on purpose.
pub fn impairments(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for traffic in [Traffic::Datagrams, Traffic::Streams, Traffic::Packets] {
        let Ok(spec) = impair::spec("--impair", text, traffic) else { continue };
        let shares = [spec.loss, spec.duplicate, spec.reorder, spec.corrupt];
        assert!(shares.iter().flatten().all(|share| (0.0..=1.0).contains(share)));
        assert!(spec.meaningless_for(traffic).next().is_none());
        let again = spec.to_string();
        assert_eq!(impair::spec("--impair", &again, traffic).ok(), Some(spec), "{again}");
        match traffic {
            Traffic::Datagrams | Traffic::Packets => impaired(&spec),
            Traffic::Streams => impaired_stream(&spec),
        }
    }
}

/// The answers of a proxy. The first byte says which protocol it speaks, whether it wants a password and
/// how the rest is cut; the dialogue is the same however that is.
pub fn proxies(bytes: &[u8]) {
    let [how, input @ ..] = bytes else { return };
    let proxy = match how % 3 {
        0 => "socks5://proxy:1",
        1 => "socks5://user:password@proxy:1",
        _ => "http://user:password@proxy:1",
    };
    let proxy = Proxy::parse(proxy).expect("a proxy");
    let destination = Destination::new("example.com", 443).expect("a destination");
    let piece = usize::from(how / 3).max(1);
    let whole = dialogue(&proxy, &destination, &[input]);
    let cut = dialogue(&proxy, &destination, &input.chunks(piece).collect::<Vec<_>>());
    assert_eq!(whole, cut, "the same, however the input is cut");
}

/// What a dialogue makes of these pieces: bytes taken, whether it is done, why it failed; and what it said.
fn dialogue(
    proxy: &Proxy,
    destination: &Destination,
    pieces: &[&[u8]],
) -> (usize, Result<Step, Refusal>, Vec<u8>) {
    let mut dialogue = Dialogue::new(proxy, destination);
    let mut said = std::mem::take(dialogue.output());
    assert!(!said.is_empty(), "the client speaks first");
    let (mut total, mut result) = (0, Ok(Step::More));
    'all: for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            match dialogue.take(rest) {
                Ok((taken, step)) => {
                    assert!(0 < taken && taken <= rest.len(), "{taken} of {}", rest.len());
                    said.append(dialogue.output());
                    total += taken;
                    rest = &rest[taken..];
                    result = Ok(step);
                    if step == Step::Done {
                        break 'all;
                    }
                }
                Err(refusal) => {
                    said.append(dialogue.output());
                    // How much was looked at before depends on the cuts.
                    (total, result) = (0, Err(refusal));
                    break 'all;
                }
            }
        }
    }
    // An answer is never longer than this, and nothing that is no answer is read on and on.
    assert!(total <= 16 * 1024 + 4096, "{total} bytes were taken for answers");
    assert!(said.len() < 4096);
    (total, result, said)
}

/// The words that name a proxy.
pub fn proxy_urls(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(proxy) = Proxy::parse(text) {
        assert!(proxy.place.host.is_some_and(|host| !host.is_empty()));
    }
}

/// What holds of messages whatever is done to them.
fn impaired(spec: &Spec) {
    const MESSAGES: u8 = 50;
    let start = Instant::now();
    let run = || {
        let mut line = Line::new(spec, 0, Duration::from_millis(5));
        for number in 0..MESSAGES {
            line.push(vec![number; 16], start + Duration::from_millis(number.into()));
        }
        let (mut out, mut last) = (Vec::new(), start);
        while let Some(due) = line.deadline() {
            assert!(due >= last, "before its time");
            last = due;
            // A message that was held back begins its way when nothing has overtaken it.
            out.extend(line.pop_due(due));
        }
        (out, line.tally())
    };
    let (out, tally) = run();
    assert!((&out, tally) == (&run().0, run().1), "the same each time");
    let Tally { offered, passed, lost, duplicated, dropped, reordered, corrupted } = tally;
    assert_eq!(offered + duplicated, passed + lost + dropped);
    assert_eq!((offered, passed), (u64::from(MESSAGES), out.len() as u64));
    let zero = |share: Option<f64>| share.is_none_or(|share| share == 0.0);
    assert!(lost == 0 || !zero(spec.loss));
    assert!(dropped == 0 || spec.rate.is_some());
    assert!(duplicated == 0 || !zero(spec.duplicate));
    assert!(reordered == 0 || !zero(spec.reorder));
    assert!(corrupted == 0 || !zero(spec.corrupt));
    if zero(spec.reorder) && zero(spec.corrupt) {
        assert!(out.is_sorted(), "out of order: {out:?}");
    }
}

/// What holds of a stream whatever is done to it: what comes out is what went in, from its beginning.
fn impaired_stream(spec: &Spec) {
    let bytes: Vec<u8> = (0..3000u16).map(|n| (n % 251) as u8).collect();
    let mut now = Instant::now();
    let (mut shaper, mut sent, mut out) = (Shaper::new(spec, 0), 0, Vec::new());
    let is_broken = loop {
        sent += shaper.push(&bytes[sent..bytes.len().min(sent + 700)], now);
        if sent == bytes.len() {
            shaper.end(now);
        }
        let count = match shaper.next(now) {
            Passage::Bytes(some) => {
                assert!(!some.is_empty() && spec.slice.is_none_or(|slice| some.len() <= slice));
                out.extend(some);
                some.len()
            }
            Passage::Nothing => {
                // Once nothing is on its way and all was sent, the stream has stalled.
                let Some(due) = shaper.deadline() else { break true };
                assert!(due > now, "what is due was handed out");
                now = due;
                continue;
            }
            Passage::Reset => break true,
            Passage::End => break false,
        };
        shaper.passed(count);
    };
    let tally = shaper.tally();
    assert!(bytes.starts_with(&out) && tally.passed == out.len() as u64);
    assert_eq!(is_broken, tally.resets + tally.stalls == 1);
    let limit = spec.reset.into_iter().chain(spec.stall).min().filter(|_| is_broken);
    assert_eq!(tally.passed, limit.unwrap_or(bytes.len() as u64));
}
