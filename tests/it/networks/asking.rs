//! What `scan` and `ping` ask, on machines made for it: real services at their own ports, names and routes
//! that come late.

use libtest_mimic::Trial;

use super::with_namespaces;
use crate::util::harness::{self, Need};
use crate::util::{Ended, binary, pktcat_line, program};

/// A test in namespaces that these words make.
type Run = Box<dyn Fn(&[&'static str]) + Send + Sync>;

pub(super) fn tests(unshare: Option<&Vec<&'static str>>) -> Vec<Trial> {
    let prefix = unshare.cloned().unwrap_or_default();
    let allowed = unshare.is_some();
    let test = |name: &'static str, needs: &[Need], run: Run| {
        let prefix = prefix.clone();
        let needs: Vec<_> = needs.iter().copied().chain([Need::Program("ip")]).collect();
        let trial = harness::test(module_path!(), name, &needs, move || run(&prefix));
        with_namespaces(trial, allowed)
    };
    let mut tests = vec![
        test(
            "a_name_that_comes_late_is_waited_for",
            &[Need::Program("python3")],
            Box::new(late_name),
        ),
        test(
            "a_server_that_falls_silent_hides_no_answer",
            &[Need::Program("python3")],
            Box::new(silent_server),
        ),
        test("a_route_that_comes_late_is_waited_for", &[], Box::new(late_route)),
        test("without_a_route_a_probe_is_unreachable", &[], Box::new(no_route)),
    ];
    for service in SERVICES {
        // Some of them drop privileges, or refuse to run without any.
        let needs = [Need::Program(service.program), Need::Root];
        tests.push(test(service.test, &needs, Box::new(move |unshare| answers(unshare, &service))));
    }
    tests
}

/// A server that has to answer what is sent to its port by itself.
struct Service {
    test: &'static str,
    program: &'static str,
    /// How it is started; `$1` is a folder of its own.
    command: &'static str,
    port: u16,
}

const SERVICES: [Service; 7] = [
    Service {
        test: "dnsmasq_answers_as_name_server",
        program: "dnsmasq",
        command: "dnsmasq --no-daemon --no-resolv --no-hosts --conf-file=/dev/null --port=53 \
                  --listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file=$1/pid",
        port: 53,
    },
    Service {
        test: "dnsmasq_answers_as_tftp_server",
        program: "dnsmasq",
        command: "dnsmasq --no-daemon --conf-file=/dev/null --port=0 --enable-tftp --tftp-root=$1 \
                  --listen-address=127.0.0.1 --user=root --pid-file=$1/pid",
        port: 69,
    },
    Service {
        test: "tftpd_answers",
        program: "in.tftpd",
        command: "in.tftpd --foreground --ipv4 --user nobody --secure $1",
        port: 69,
    },
    Service {
        test: "chrony_answers",
        program: "chronyd",
        command: "chronyd -x -d -U -u root 'allow 127.0.0.1' 'local stratum 8' \
                  'bindaddress 127.0.0.1' 'cmdport 0' 'pidfile $1/pid'",
        port: 123,
    },
    Service {
        test: "snmpd_answers",
        program: "snmpd",
        // Without a configuration it knows no community at all.
        command: "env SNMP_PERSISTENT_DIR=$1 SNMPCONFPATH=$1 snmpd -f -Lo -C -r -p $1/pid \
                  --agentaddress=udp:127.0.0.1:161",
        port: 161,
    },
    Service { test: "rpcbind_answers", program: "rpcbind", command: "rpcbind -f", port: 111 },
    Service {
        test: "memcached_answers",
        program: "memcached",
        command: "memcached -u root -U 11211 -p 0 -l 127.0.0.1",
        port: 11211,
    },
];

/// `$2` is pktcat, the words after it are a server; while it starts, its port is asked again and again.
const SERVER: &str = r#"
ip link set lo up
folder=$1 pktcat=$2 port=$3
shift 3
"$@" > "$folder/log" 2>&1 &
server=$!
trap 'kill $server 2> /dev/null; wait' EXIT
"$pktcat" scan -u -n --wait 20s -w 500ms 127.0.0.1 "$port" || { cat "$folder/log" >&2; exit 1; }
"$pktcat" scan -u -n --all 127.0.0.1 "$port,9"
"#;

fn answers(unshare: &[&'static str], service: &Service) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    // A server may give up root's rights to its folder.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let command = service.command.replace("$1", path);
    let port = service.port.to_string();
    let script = format!("{SERVER}\n");
    let wrapped = format!("exec {command}");
    let words = unshare.iter().copied().chain(["-n", "-m", "sh", "-uc", &script, "sh"]);
    let words = words.chain([path, binary(), &port, "sh", "-c", &wrapped]);
    let ended = program("env", words).run();
    // The port beside it has no service.
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
    let text = ended.stdout_text();
    let open = text.lines().filter(|line| line.starts_with(&format!("{port}/udp open "))).count();
    assert_eq!(open, 2, "{text}");
    assert!(text.contains("9/udp closed\n"), "{text}");
}

/// The command while something is not there yet, which comes half a second later.
fn comes_late(unshare: &[&'static str], before: &str, later: &str, line: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let script = format!(
        r#"
ip link set lo up
cp /etc/hosts "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
: > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
others=
{before}
"$2" listen -k --echo --quiet --timeout 60 --port-file "$1/port" 0.0.0.0 0 < /dev/null > /dev/null &
server=$!
trap 'kill $server $others 2> /dev/null || :' EXIT
while ! [ -s "$1/port" ]; do kill -0 $server; sleep 0.02; done
port=$(cat "$1/port")
(sleep 0.5; {later}) > /dev/null 2>&1 &
"$2" {}"#,
        line.replace("PORT", "$port")
    );
    let words = unshare.iter().copied().chain(["-n", "-m", "sh", "-euc", &script, "sh"]);
    program("env", words.chain([path, binary()])).run()
}

fn late_name(unshare: &[&'static str]) {
    let later = "echo 127.0.0.1 late.test >> /etc/hosts";
    for line in [
        "scan --wait 20s late.test PORT",
        "ping --until-open --interval 50ms late.test PORT",
        "connect --retry 1000 --retry-delay 50ms --send x --until-fin --no-shutdown -q 1 late.test PORT",
    ] {
        let ended = comes_late(unshare, "", later, line);
        assert_eq!(ended.status.code(), Some(0), "{line}: {}", ended.stderr);
    }
    for (line, status) in [
        ("scan --wait 1s never.test PORT", 3),
        ("ping --until-open --count 3 --interval 50ms never.test PORT", 3),
        ("ping --count 3 never.test PORT", 3),
    ] {
        // A resolver may wait for seconds for a server that is not there.
        let ended = comes_late(unshare, &name_server(60.0), later, line);
        assert_eq!(ended.status.code(), Some(status), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains("never.test"), "{line}: {}", ended.stderr);
    }
}

fn late_route(unshare: &[&'static str]) {
    // An address of this machine that is not there yet; until then there is no route to it.
    let later = "ip address add 192.0.2.1/24 dev lo";
    for line in [
        "scan --wait 20s 192.0.2.1 PORT",
        "ping --until-open --interval 50ms 192.0.2.1 PORT",
        "connect --retry 1000 --retry-delay 50ms --send x --until-fin --no-shutdown -q 1 192.0.2.1 PORT",
    ] {
        let ended = comes_late(unshare, "", later, line);
        assert_eq!(ended.status.code(), Some(0), "{line}: {}", ended.stderr);
    }
    let ended = comes_late(unshare, "", ":", "scan --wait 1s 192.0.2.1 PORT");
    assert_eq!(ended.status.code(), Some(7), "{}", ended.stderr);
}

fn no_route(unshare: &[&'static str]) {
    for (options, protocol) in [("", "tcp"), ("-u", "udp"), ("--echo", "tcp"), ("-u --echo", "udp")]
    {
        let line = format!("ping {options} --count 2 --interval 10ms 192.0.2.1 9");
        let ended = super::inside(pktcat_line(&line), unshare, "-n", "", "").run().expect_code(7);
        let lines: String =
            (1..=2).map(|seq| format!("{protocol} 192.0.2.1:9 seq {seq} unreachable\n")).collect();
        assert_eq!(ended.stdout_text(), lines, "{line}");
        assert!(ended.stderr.contains("unreachable 2, lost 2 (100%)"), "{}", ended.stderr);
    }
}

/// Knows no name, and says so for some seconds from the first question on.
const KNOWS_NOTHING: &str = r#"
import select, socket, sys, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
open(sys.argv[1], 'w').write('ready')
first = None
while True:
    question, peer = server.recvfrom(512)
    first = first or time.monotonic()
    if time.monotonic() < first + float(sys.argv[2]):
        end = question.index(b'\0', 12) + 5
        server.sendto(question[:2] + b'\x85\x83\0\1\0\0\0\0\0\0' + question[12:end], peer)
"#;

/// Starts that server, which answers for so many seconds.
fn name_server(seconds: f32) -> String {
    format!(
        r#"
echo "nameserver 127.0.0.1" > "$1/resolv.conf"
python3 -c "{KNOWS_NOTHING}" "$1/ready" {seconds} > /dev/null 2>&1 &
others=$!
while ! [ -s "$1/ready" ]; do kill -0 $others; sleep 0.02; done"#
    )
}

fn silent_server(unshare: &[&'static str]) {
    let line = "scan --wait 1s never.test PORT";
    let ended = comes_late(unshare, &name_server(0.3), ":", line);
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    let ended = comes_late(unshare, &name_server(0.0), ":", line);
    assert_eq!(ended.status.code(), Some(5), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(" has not answered for never.test after 1s (--wait)"),
        "{}",
        ended.stderr
    );
}
