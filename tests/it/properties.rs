//! What holds of the parsers whatever they are given: what `fuzz/` searches for without end, some thousand times.

use libtest_mimic::Trial;
use pktcat::units;
use proptest::prelude::*;

use crate::tests;

// For the fuzz targets it is a library of its own.
#[allow(unreachable_pub)]
mod parsers;

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        hex_is_read_back_however_it_is_cut,
        lines_are_read_back_however_they_are_cut,
        frames_are_read_back_however_they_are_cut,
        addresses_are_read_or_refused,
        ports_are_read_or_refused,
        blocks_are_read_or_refused,
        quantities_are_read_or_refused,
        sizes_mean_what_they_say,
        impairments_are_read_or_refused,
        proxies_are_understood_or_refused,
        names_of_proxies_are_read_or_refused,
        any_bytes_are_read_or_refused,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    fn hex_is_read_back_however_it_is_cut(
        cut in any::<[u8; 2]>(),
        text in "([0-9a-fA-F]{0,6}|[: #xg\n])*",
    ) {
        parsers::hex(&[&cut, text.as_bytes()].concat());
    }

    fn lines_are_read_back_however_they_are_cut(
        cut in any::<[u8; 2]>(),
        text in "([a-z\r]{0,9}|\n)*",
    ) {
        parsers::lines(&[&cut, text.as_bytes()].concat());
    }

    fn frames_are_read_back_however_they_are_cut(
        cut in any::<[u8; 2]>(),
        frames in prop::collection::vec((0u8..40, 0usize..40), 0..8),
    ) {
        // The lengths are often those of what follows.
        let frame = |(said, length): (u8, usize)| {
            let said = if said < 20 { said } else { length as u8 };
            [&[0, 0, 0, said], &vec![7; length][..]].concat()
        };
        let input: Vec<u8> = frames.into_iter().flat_map(frame).collect();
        parsers::frames(&[&cut[..], &input].concat());
    }

    fn addresses_are_read_or_refused(
        text in "(\\[?[:.%0-9a-f]{0,20}\\]?|\\[fe80::1%[0-9]{1,2}|localhost|\\PC{0,9})(:|\n|\\]:)([0-9]{0,6}|http)",
    ) {
        parsers::addresses(text.as_bytes());
    }

    fn ports_are_read_or_refused(
        text in "([0-9]{1,5}(-[0-9]{1,5})?|http| |[a-z+]{0,3})(,([0-9]{1,3}(-[0-9]{1,5})?|http| ))*",
    ) {
        parsers::ports(text.as_bytes());
    }

    fn blocks_are_read_or_refused(
        text in "(([0-9]{1,3}\\.){3}[0-9]{1,3}|(::ffff)?[:0-9a-f]{0,12}(::)?[0-9a-f.]{0,9})(/[0-9]{1,3})?",
    ) {
        parsers::cidr(text.as_bytes());
    }

    fn quantities_are_read_or_refused(
        text in "[0-9]{0,25}(\\.[0-9]{0,25})? ?([a-zA-Z]{0,4}|ns|us|ms|min|y|KiB)",
    ) {
        parsers::quantities(text.as_bytes());
    }

    fn sizes_mean_what_they_say(number in 0u64..1 << 40, unit in 0usize..3) {
        let (word, factor) = [("", 1), ("k", 1000), ("KiB", 1024)][unit];
        prop_assert_eq!(units::size(&format!("{number}{word}")), Ok(number * factor));
    }

    fn impairments_are_read_or_refused(
        text in "(loss|dup|reorder|corrupt|slice)=[0-9.]{1,4}%?(,dup=[0-9]{1,2}%)?(,delay=[0-9]{1,4}ms)?(,jitter=[0-9]{1,12}s)?(,rate=[0-9]{1,6}[kM]?(,queue=[0-9]{1,4})?)?(,reset=[0-9]k)?",
    ) {
        parsers::impairments(text.as_bytes());
    }

    fn proxies_are_understood_or_refused(
        how in any::<u8>(),
        http in "(HTTP/1\\.[01] (100|200|407|502|503)( [a-zA-Z ]{0,9})?\r?\n([A-Za-z-]{1,9}: ?[ -~]{0,9}\r?\n){0,3}\r?\n){0,3}[a-z\r\n]{0,9}",
        socks in prop::collection::vec(prop_oneof![Just(5u8), Just(0), Just(1), Just(2), Just(3), Just(4), any::<u8>()], 0..40),
        long in 0usize..20_000,
    ) {
        parsers::proxies(&[&[how], http.as_bytes()].concat());
        parsers::proxies(&[&[how], &socks[..]].concat());
        parsers::proxies(&[&[how], b"HTTP/1.1 200 ok\r\nx: ".as_slice(), &vec![b'x'; long]].concat());
    }

    fn names_of_proxies_are_read_or_refused(
        text in "(socks5|http|https|socks5h)?(://)?(\\PC{0,5}(:\\PC{0,5})?@)?(\\[?[:0-9a-z.]{0,9}\\]?)(:[0-9]{0,5})?/?",
    ) {
        parsers::proxy_urls(text.as_bytes());
    }

    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        text in "\\PC{0,20}",
    ) {
        for input in [&bytes, text.as_bytes()] {
            parsers::hex(input);
            parsers::lines(input);
            parsers::frames(input);
            parsers::addresses(input);
            parsers::ports(input);
            parsers::cidr(input);
            parsers::quantities(input);
            parsers::impairments(input);
            parsers::proxies(input);
            parsers::proxy_urls(input);
        }
    }
}
