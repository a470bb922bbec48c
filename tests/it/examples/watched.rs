//! Services that are watched through a forwarder, and made slow and lossy by it.

use super::scripts::{Example, example};

pub(super) const WATCHED: &[Example] = &[
    example(
        "services_that_are_watched",
        &[
            "pktcat forward -x 6380 localhost:6379",
            "pktcat forward -x 5433 localhost:5432",
            "pktcat forward --json 6380 localhost:6379 2> events",
            "pktcat forward --pcap redis.pcap 6380 localhost:6379",
        ],
        r#"
background 'pktcat listen -k --echo 127.0.0.1 6379'
background 'pktcat listen -k --echo 127.0.0.1 5432'
ready 6379
ready 5432
background "$line2 2> dump2"
ready 5433
[ "$(pktcat connect --send hello localhost 5433)" = hello ]
until [ "$(grep -c '|hello|' dump2)" = 2 ]; do sleep 0.02; done
background "$line1 2> dump1"
ready 6380
[ "$(pktcat connect --send hello localhost 6380)" = hello ]
until [ "$(grep -c '|hello|' dump1)" = 2 ]; do sleep 0.02; done
kill $last; wait $last || :
background "$line3"
ready 6380
[ "$(pktcat connect --send hello localhost 6380)" = hello ]
until [ "$(grep -c '"event":"data".*"bytes":5' events)" = 2 ]; do sleep 0.02; done
kill $last; wait $last || :
background "$line4"
ready 6380
[ "$(pktcat connect --send hello localhost 6380)" = hello ]
kill $last; wait $last || :
grep -aq hello redis.pcap
"#,
    ),
    example(
        "datagrams_that_are_watched_and_lost",
        &[
            "pktcat forward -x -u 5300 localhost:53",
            "pktcat forward -v -u --impair loss=30%,seed=4 5300 localhost:53",
        ],
        r#"
background 'pktcat listen -u --echo 127.0.0.1 53'
ready_udp 53
background "$line1 2> dump"
ready_udp 5300
[ "$(pktcat connect -u --send hello --count 1 -q 20s 127.0.0.1 5300)" = hello ]
until [ "$(grep -c '|hello|' dump)" = 2 ]; do sleep 0.02; done
kill $last; wait $last || :
background "$line2 2> told"
ready_udp 5300
seq 40 | pktcat connect -u -I lines -O lines 127.0.0.1 5300 > answers
came=$(wc -l < answers)
[ "$came" -gt 4 ] && [ "$came" -lt 36 ]
kill $last; wait $last || :
grep -q 'impaired up: lost [0-9]*, impaired down: lost' told
"#,
    ),
    example(
        "services_that_are_slow",
        &[
            "pktcat forward -v --impair delay=200ms 6380 localhost:6379",
            "pktcat forward -v --impair-down rate=2M 8080 localhost:80",
        ],
        r#"
background 'pktcat listen -k --echo 127.0.0.1 6379'
background 'pktcat listen -k --echo 127.0.0.1 80'
ready 6379
ready 80
background "$line1"
ready 6380
# Nobody answers before the delay of both ways is over.
pktcat connect --idle-timeout 300ms --send hello localhost 6380 > early && exit 1
! [ -s early ]
[ "$(pktcat connect --send hello localhost 6380)" = hello ]
background "$line2"
ready 8080
pktcat connect localhost 8080 < file > slow
cmp file slow
"#,
    ),
];
