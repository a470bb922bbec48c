//! `--df`: a datagram that does not fit the path is an error, and names how long one may be.

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Ended, binary, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_datagram_that_is_too_long_names_the_path_mtu
            needs [Need::Root, Need::Program("unshare"), Need::Program("ip")],
        a_listener_tells_it_and_goes_on
            needs [Need::Root, Need::Program("unshare"), Need::Program("ip")],
    ]
}

/// What a shell script ends with in a network whose packets have at most 1,500 bytes; `$0` is pktcat.
fn narrow(script: &str) -> Ended {
    let script = format!("ip link set lo up mtu 1500 || exit 99\n{script}");
    program("unshare", ["-n", "sh", "-c", &script, binary()]).run()
}

fn a_datagram_that_is_too_long_names_the_path_mtu() {
    for (host, place, longest) in
        [("127.0.0.1", "127.0.0.1:7000", 1472), ("::1", "[::1]:7000", 1452)]
    {
        for (option, size, status) in
            [("", longest + 1, 0), ("--df", longest, 0), ("--df", longest + 1, 1)]
        {
            for any in ["", "--any-peer"] {
                let ended = narrow(&format!(
                    "f=$(mktemp); \"$0\" listen -u --echo --port-file $f {host} 7000 & l=$!
                    until [ -s $f ]; do sleep 0.05; done; rm $f
                    head -c {size} /dev/zero | \"$0\" connect -u {any} {option} --datagram-size {size} --count 1 -q 10s {host} 7000
                    s=$?; kill $l; exit $s"
                ))
                .expect_code(status);
                let wanted = if status == 0 { size } else { 0 };
                assert_eq!(ended.stdout.len(), wanted, "{option} {size} {any}: {}", ended.stderr);
                if status == 1 {
                    let hint =
                        format!("(the path MTU is 1500: at most {longest} bytes of payload)");
                    let line = format!("pktcat: send: {place} (udp): message too long {hint}\n");
                    assert_eq!(ended.stderr, line, "{any}");
                }
            }
        }
    }
}

fn a_listener_tells_it_and_goes_on() {
    let ended = narrow(
        "f=$(mktemp); (\"$0\" listen -u --df --reply-hex $(head -c 1600 /dev/zero | od -An -v -tx1 | tr -d ' \\n') \\
            --port-file $f 127.0.0.1 7000 --count 1 2>&1 >/dev/null) >&2 &
        until [ -s $f ]; do sleep 0.05; done; rm $f
        \"$0\" connect -u --send x 127.0.0.1 7000; wait",
    );
    let hint = "(the path MTU is 1500: at most 1472 bytes of payload)";
    assert!(ended.stderr.contains(hint), "{}", ended.stderr);
}
