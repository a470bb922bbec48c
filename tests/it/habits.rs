//! Command lines of other netcats, and near misses: status 2, and one line that says how it is here.

use std::ffi::OsString;

use libtest_mimic::Trial;
use pktcat::cli::{Parsed, parse};

use crate::tests;
use crate::util::{binary, net, pktcat, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        another_netcats_words_are_told_as_they_are_here,
        what_is_told_can_be_run,
        an_address_of_socat_is_told_as_ours,
        a_url_is_told_as_an_address,
        standard_output_is_no_file_to_write,
        help_is_the_help,
        only_near_misses_are_guessed,
        v_may_be_said_more_than_once,
    ]
}

/// The words of a line as a shell without variables reads them.
fn words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {line}");
    let ended = program("sh", ["-c", &script]).run().expect_code(0);
    ended.stdout_text().lines().map(str::to_owned).collect()
}

/// The error and the hint of a command line that makes no sense.
#[track_caller]
fn told(line: &str) -> (String, String) {
    let mut all = program(binary(), words(line));
    if line.is_empty() {
        all = program(binary(), [""; 0]);
    }
    let ended = all.run().expect_code(2);
    assert_eq!((ended.stderr.lines().count(), &*ended.stdout), (1, &b""[..]), "{}", ended.stderr);
    let line = ended.stderr.trim_end().strip_prefix("pktcat: usage: ").unwrap().to_owned();
    let (error, hint) = line.split_once(" (").unwrap_or((&line, ""));
    (error.to_owned(), hint.trim_end_matches(')').to_owned())
}

const OPTION: &str = "is no option here";

/// What is written, the error, and the same here.
const HABITS: &[(&str, &str, &str)] = &[
    ("localhost 80", "localhost: is no command", "connect localhost 80"),
    ("localhost:80", "localhost:80: is no command", "connect localhost:80"),
    ("-u localhost 53", "a command is missing", "connect -u localhost 53"),
    ("9000", "9000: is no command", "listen 9000"),
    ("-l 9000", "-l", "listen 9000"),
    ("-lvkp 9000", "-l", "listen -v -k 9000"),
    ("-l -p 9000 127.0.0.1", "-l", "listen 127.0.0.1 9000"),
    ("-lw 5 9000", "-l", "listen --idle-timeout 5 9000"),
    ("-lU /tmp/socket", "-l", "listen -U /tmp/socket"),
    ("--listen 9000 --keep-open", "--listen", "listen --keep-open 9000"),
    ("-z host 20-30", "-z", "scan host 20-30"),
    ("-zv -w1 host 22 80", "-z", "scan -v -w 1 host 22,80"),
    ("-l 9000 -e /bin/sh", "-l", "listen HOST 9000 -- /bin/sh"),
    ("-lp 9000 -c 'a | b'", "-l", "listen HOST 9000 -- sh -c 'a | b'"),
    ("-l 9000 --sh-exec 'a | b'", "-l", "listen HOST 9000 -- sh -c 'a | b'"),
    ("-l --ssl 443", "-l", "listen --tls 443"),
    ("--ssl host 443", "--ssl", "connect --tls host 443"),
    ("-i 2 -o dump host 80", "-i", "connect --interval 2 --hex-file dump host 80"),
    ("listen -p 9000", "-p", "listen 9000"),
    ("listen 127.0.0.1 -p 9000 -k", "-p", "listen -k 127.0.0.1 9000"),
    ("listen -l 9000", "-l", "listen 9000"),
    ("listen 127.0.0.1 9000 -e cat", "-e", "listen 127.0.0.1 9000 -- cat"),
    ("listen --exec cat 9000", "--exec", "listen HOST 9000 -- cat"),
    ("listen --ssl 443", "--ssl", "listen --tls 443"),
    ("connect -z host 80", "-z", "scan host 80"),
    ("connect --ssl host 443", "--ssl", "connect --tls host 443"),
    ("-l", "-l", "listen PORT"),
    ("-z host", "-z", "scan host PORTS"),
    ("-lvvp 9", "-l", "listen -v 9"),
    ("-vv host 9", "a command is missing", "connect -v host 9"),
    ("-zvv host 9", "-z", "scan -v host 9"),
    ("-rz host 1-3", "-r", "scan --shuffle host 1-3"),
    ("-l -s 127.0.0.1 -p 9", "-l", "listen 127.0.0.1 9"),
    ("connect -l -k 9", "-l", "listen -k 9"),
    ("-k -l 9", "-l", "listen -k 9"),
    ("listen -p 9 -w 5", "-p", "listen --idle-timeout 5 9"),
    ("-U -l -k /tmp/socket", "-l", "listen -U /tmp/socket -k"),
    ("-U -v /tmp/socket", "a command is missing", "connect -U /tmp/socket -v"),
    ("--ssl-trustfile f host 1", "--ssl-trustfile", "connect --tls --ca f host 1"),
    ("--ssl-alpn h2 host 1", "--ssl-alpn", "connect --tls --alpn h2 host 1"),
    ("--ssl-servername n host 1", "--ssl-servername", "connect --tls --server-name n host 1"),
    ("-x proxy:1080 host 1", "a command is missing", "connect --proxy socks5://proxy:1080 host 1"),
    ("-X connect -x proxy host 1", "-X", "connect --proxy http://proxy:3128 host 1"),
    ("--proxy p:1 host 1", "a command is missing", "connect --proxy http://p:1 host 1"),
    (
        "--proxy http://me:secret@p:3 --ssl host 80",
        "--ssl",
        "connect --proxy http://USER:PASS@p:3 --tls host 80",
    ),
    (
        "--proxy p --proxy-type socks5 --proxy-auth me:secret host 1",
        "--proxy-type",
        "connect --proxy socks5://USER:PASS@p:1080 host 1",
    ),
    ("--proxy socks5://p:1 host 1", "a command is missing", "connect --proxy socks5://p:1 host 1"),
    ("-x file host 80", "a command is missing", "connect --hex-file file host 80"),
    ("-T lowdelay host 1", "-T", "connect --tos 16 host 1"),
    ("-T af41 -O 4096 host 1", "-T", "connect --tos 136 --sndbuf 4096 host 1"),
    ("-u -W 1 host 1", "-W", "connect -u --count 1 host 1"),
];

/// What is left out, as it is not here or does not go with the rest.
const LEFT_OUT: &[(&str, &str, &str, &str)] = &[
    ("-z -s 127.0.0.1 host 1", "-z", "-s", "scan host 1"),
    ("-zp 9 -q 1 -i 1 host 1", "-z", "-p, -q and -i", "scan host 1"),
    ("-l -r 9", "-l", "-r", "listen 9"),
    ("-r -l 9", "-r", "-r", "listen 9"),
    ("-l --strange 9", "-l", "--strange", "listen 9"),
    ("--strange -l 9", "-l", "--strange", "listen 9"),
    ("-q -1 host 9", "a command is missing", "-q", "connect host 9"),
    ("-W 3 host 9", "-W", "-W", "connect host 9"),
    ("-z -x proxy:1080 host 9", "-z", "a proxy", "scan host 9"),
    ("-X 4 -x proxy:1080 host 9", "-X", "a proxy", "connect host 9"),
    ("-u --ssl host 9", "--ssl", "--ssl", "connect -u host 9"),
    ("host 1 2 3", "host: is no command", "2 and 3", "connect host 1"),
];

fn another_netcats_words_are_told_as_they_are_here() {
    for (line, error, same) in HABITS {
        let (said, hint) = told(line);
        let wanted =
            if error.contains(' ') { (*error).to_owned() } else { format!("{error}: {OPTION}") };
        assert_eq!(said, wanted, "{line}");
        assert_eq!(hint, format!("the same is 'pktcat {same}'"), "{line}");
    }
    for (line, error, without, same) in LEFT_OUT {
        let (said, hint) = told(line);
        let wanted =
            if error.contains(' ') { (*error).to_owned() } else { format!("{error}: {OPTION}") };
        assert_eq!(said, wanted, "{line}");
        assert_eq!(hint, format!("the same without {without} is 'pktcat {same}'"), "{line}");
    }
    for (line, option, says) in [
        (
            "-N -r host 80",
            "-N",
            "the sending half is closed when stdin ends anyway: 'pktcat connect host 80', \
             without -r",
        ),
        (
            "-ulp 9000 -e /bin/cat",
            "-l",
            "a command is run for TCP connections only, as in \
             'pktcat listen HOST 9000 -- /bin/cat'",
        ),
        (
            "scan --ssl 127.0.0.1 9",
            "--ssl",
            "scan speaks no TLS; whether the port is open tells: 'pktcat scan 127.0.0.1 9'",
        ),
        (
            "-N host 80",
            "-N",
            "the sending half is closed when stdin ends anyway: 'pktcat connect host 80'",
        ),
        (
            "connect -N host 80",
            "-N",
            "the sending half is closed when stdin ends anyway: 'pktcat connect host 80'",
        ),
        (
            "-e /bin/sh host 80",
            "-e",
            "only a listener runs a command, as in 'pktcat listen HOST 80 -- /bin/sh'",
        ),
        (
            "connect -c 'a b' host 80",
            "-c",
            "only a listener runs a command, as in 'pktcat listen HOST 80 -- sh -c 'a b''",
        ),
    ] {
        assert_eq!(told(line), (format!("{option}: {OPTION}"), says.to_owned()), "{line}");
    }
}

fn what_is_told_can_be_run() {
    for (line, _, same) in HABITS {
        let all = std::iter::once("pktcat".to_owned()).chain(words(same));
        let parsed = parse(all.map(OsString::from));
        assert!(matches!(parsed, Ok(Parsed::Run(..))), "{line}: {same}: {parsed:?}");
    }
}

fn an_address_of_socat_is_told_as_ours() {
    for (line, same) in [
        ("TCP:host:80", "connect host:80"),
        ("- TCP4:host:80", "connect host:80"),
        ("TCP-LISTEN:1234,reuseaddr,fork", "listen 1234"),
        ("UDP:host:53", "connect -u host:53"),
        ("udp6-recv:1234", "listen -u 1234"),
        ("OPENSSL:host:443,verify=0", "connect --tls host:443"),
        ("openssl-listen:443", "listen --tls 443"),
        ("UNIX-LISTEN:/run/x,fork", "listen -U /run/x"),
        ("tcp:host", "connect host PORT"),
    ] {
        let (error, hint) = told(line);
        let word = line.trim_start_matches("- ");
        assert_eq!(error, format!("{word}: is an address of socat"));
        assert_eq!(hint, format!("the same is 'pktcat {same}'"));
    }
}

fn a_url_is_told_as_an_address() {
    for (line, url, same) in [
        ("http://example.org/x?y#z", "http://example.org/x?y#z", "connect example.org 80"),
        (
            "connect https://me@example.org",
            "https://me@example.org",
            "connect --tls example.org 443",
        ),
        ("connect http://[::1]:8080/", "http://[::1]:8080/", "connect ::1 8080"),
        ("connect http://[::1]/", "http://[::1]/", "connect ::1 80"),
        ("connect -v tcp://host:9/", "tcp://host:9/", "connect host 9"),
        ("connect udp://host", "udp://host", "connect -u host PORT"),
        ("connect unix:///run/x", "unix:///run/x", "connect -U /run/x"),
        (
            "connect socks5://gate:1080",
            "socks5://gate:1080",
            "connect --proxy socks5://gate:1080 HOST PORT",
        ),
        ("scan http://host/ 80", "http://host/", "scan host 80"),
        ("scan https://host/", "https://host/", "scan host 443"),
        ("ping wss://host", "wss://host", "ping host 443"),
        ("scan unix:///run/x", "unix:///run/x", "connect -U /run/x"),
        (
            "listen socks5h://me:secret@gate",
            "socks5h://me:secret@gate",
            "connect --proxy socks5://USER:PASS@gate:1080 HOST PORT",
        ),
        ("listen tcp://127.0.0.1:9000", "tcp://127.0.0.1:9000", "listen 127.0.0.1 9000"),
    ] {
        let (error, hint) = told(&format!("'{}'", line.replace(' ', "' '")));
        assert_eq!(error, format!("{url}: is a URL, and no address"), "{line}");
        assert_eq!(hint, format!("the same is 'pktcat {same}'"), "{line}");
    }
}

fn standard_output_is_no_file_to_write() {
    let connect =
        ("connect 127.0.0.1 9", &["--pcap", "--hex-file", "--tls --keylog"][..], "payload");
    let (listen, forward) = ("listen 127.0.0.1 0", "forward 0 127.0.0.1:9");
    let listening = &["--pcap", "--hex-file", "--port-file"][..];
    let listen = [(listen, listening, "payload"), (forward, listening, "payload")];
    let compare = ("compare", &["--pcap", "--svg"][..], "table");
    for (command, options, whose) in listen.into_iter().chain([connect, compare]) {
        for words in options {
            let option = words.split(' ').next_back().unwrap();
            for written in [format!("{words} -"), format!("{words}=-")] {
                let (error, hint) = told(&format!("{command} {written}"));
                assert_eq!(error, format!("{option} -: standard output is the {whose}'s"));
                assert!(hint.contains("FIFO") && hint.contains("/dev/stderr"), "{hint}");
            }
        }
    }
}

fn help_is_the_help() {
    let same = |one: &[&str], other: &[&str]| {
        let text = |words: &[&str]| pktcat(words).run().expect_code(0).stdout_text();
        assert_eq!(text(one), text(other), "{one:?}");
    };
    same(&["help"], &["--help"]);
    for command in ["listen", "connect", "ping", "forward", "scan", "compare", "completions"] {
        same(&["help", command], &[command, "--help"]);
    }
    let (error, _) = told("help nosuch");
    assert_eq!(error, "unrecognized subcommand 'nosuch'");
    let (error, hint) = told("help connect listen");
    assert_eq!((&*error, &*hint), ("help: takes one command", "pktcat help connect"));
}

fn only_near_misses_are_guessed() {
    for (line, guess) in [
        ("conect host 80", "did you mean connect?"),
        ("lisen 80", "did you mean listen?"),
        ("scna host 80", "did you mean scan?"),
        ("connect --verbse host 80", "did you mean --verbose?"),
        ("connect --time 5 host 80", "did you mean --timeout?"),
        ("connect --idel-timeout 5 host 80", "did you mean --idle-timeout?"),
        // Only letters in common.
        ("connect --tso host 80", "see 'pktcat connect --help'"),
        ("connect --sink host 80", "see 'pktcat connect --help'"),
        ("listen --alow 127.0.0.0/8 80", "did you mean --allow?"),
        ("frobnicate", "see 'pktcat --help'"),
    ] {
        assert_eq!(told(line).1, guess, "{line}");
    }
}

fn v_may_be_said_more_than_once() {
    let (_held, port) = net::refusing_port();
    for (line, status, says) in [
        ("listen -vv --timeout 50ms 127.0.0.1 0".to_owned(), 5, "listening on "),
        (format!("connect -v --verbose 127.0.0.1 {port}"), 4, "sent 0 bytes"),
        ("forward -vvv --timeout 50ms 0 127.0.0.1:9".to_owned(), 5, "listening on "),
        (format!("scan -vv localhost {port}"), 4, "127.0.0.1"),
    ] {
        let ended = program(binary(), words(&line)).run().expect_code(status);
        assert!(ended.stderr.contains(says), "{line}: {}", ended.stderr);
    }
}
