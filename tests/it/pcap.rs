//! `--pcap`, judged by those it is for: tcpdump and tshark find nothing wrong and all the bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::util::data::{assert_same, random};
use crate::util::harness::{self, Need};
use crate::util::{Input, net, pktcat, pktcat_line, program, udp};

const TSHARK: &[Need] = &[Need::Program("tshark")];

pub(crate) fn tests() -> Vec<Trial> {
    let on = |name: &'static str, needs: &[Need], run: fn()| {
        harness::test(module_path!(), name, needs, run)
    };
    vec![
        on("a_tcp_capture_is_whole_and_sound", TSHARK, a_tcp_capture_is_whole_and_sound),
        on("the_same_over_ipv6", &[TSHARK[0], Need::Ipv6], the_same_over_ipv6),
        on("datagrams_are_packets_of_their_own", TSHARK, datagrams_are_packets_of_their_own),
        on("a_reset_is_marked", TSHARK, a_reset_is_marked),
        on("tcpdump_reads_it", &[Need::Program("tcpdump")], tcpdump_reads_it),
        on("headers_are_in_place_without_any_tool", &[], headers_are_in_place_without_any_tool),
    ]
}

/// Checks every checksum, too.
fn tshark(file: &Path, words: &[&str]) -> String {
    let mut cmd = program("tshark", ["-n", "-r", file.to_str().unwrap()]);
    for protocol in ["ip", "tcp", "udp"] {
        cmd = cmd.arg("-o").arg(format!("{protocol}.check_checksum:TRUE"));
    }
    words.iter().fold(cmd, |cmd, word| cmd.arg(word)).run().expect_code(0).stdout_text()
}

/// Panics when tshark has anything to say against it.
#[track_caller]
fn expect_sound(file: &Path) {
    let wrong = "tcp.analysis.flags || _ws.malformed || _ws.short || ip.checksum.status == 0 \
                 || tcp.checksum.status == 0 || udp.checksum.status == 0";
    assert_eq!(tshark(file, &["-Y", wrong]), "");
    assert!(!tshark(file, &["-c", "1"]).is_empty());
}

/// Both ends of a connection with this much to say each, and their captures.
fn conversation(host: &str, up: &[u8], down: &[u8]) -> (TempDir, [std::path::PathBuf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let files = ["listen", "connect"].map(|name| folder.path().join(name));
    let server = pktcat(["listen", "--pcap", files[0].to_str().unwrap(), host, "0"])
        .stdin(Input::Bytes(down.to_vec()))
        .spawn();
    let port = server.port().to_string();
    let client = pktcat(["connect", "--pcap", files[1].to_str().unwrap(), host, &port])
        .stdin(Input::Bytes(up.to_vec()))
        .run()
        .expect_code(0);
    assert_same(&client.stdout, down);
    assert_same(&server.wait().expect_code(0).stdout, up);
    (folder, files)
}

/// The two streams of the first connection, as "follow stream" shows them: that of the opener first.
fn follow(file: &Path) -> [Vec<u8>; 2] {
    let text = tshark(file, &["-q", "-z", "follow,tcp,raw,0"]);
    let mut streams = [Vec::new(), Vec::new()];
    for line in text.lines() {
        let (node, digits) = match line.strip_prefix('\t') {
            Some(digits) => (1, digits),
            None => (0, line),
        };
        if let Ok(bytes) = hex::decode(digits) {
            streams[node].extend(bytes);
        }
    }
    streams
}

fn is_whole_and_sound(host: &str) {
    let (up, down) = (random(1, 3_000_000), random(2, 200_001));
    let (_folder, files) = conversation(host, &up, &down);
    for file in &files {
        expect_sound(file);
        let [first, second] = follow(file);
        assert_same(&first, &up);
        assert_same(&second, &down);
        let packets = tshark(
            file,
            &"-T fields -e frame.time_epoch -e tcp.flags -e tcp.completeness"
                .split(' ')
                .collect::<Vec<_>>(),
        );
        let packets: Vec<_> = packets.lines().map(Packet::read).collect();
        let count = |flag: u16| packets.iter().filter(|packet| packet.flags & flag != 0).count();
        assert_eq!([SYN, FIN, RST].map(count), [2, 2, 0]);
        // Opened, with data, and closed by both.
        assert!(packets.iter().any(|packet| packet.completeness == 31));
        let times: Vec<f64> = packets.iter().map(|packet| packet.time).collect();
        assert!(times.is_sorted());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 60.0..now).contains(&times[0]), "{} is not about {now}", times[0]);
    }
}

/// Flags of TCP (RFC 9293).
const FIN: u16 = 1;
const SYN: u16 = 2;
const RST: u16 = 4;

/// What tshark says of a packet.
struct Packet {
    time: f64,
    flags: u16,
    completeness: u16,
}

impl Packet {
    fn read(line: &str) -> Self {
        let fields: Vec<_> = line.split('\t').collect();
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).unwrap(),
            None => text.parse().unwrap(),
        };
        let [flags, completeness] = [1, 2].map(|at| number(fields[at]));
        Self { time: seconds(fields[0]), flags, completeness }
    }
}

/// Seconds since 1970, or an RFC 3339 time, which newer versions print.
fn seconds(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| {
        let time = humantime::parse_rfc3339_weak(text.trim_end_matches("+0000")).unwrap();
        time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
    })
}

fn a_tcp_capture_is_whole_and_sound() {
    is_whole_and_sound("127.0.0.1");
}

fn the_same_over_ipv6() {
    is_whole_and_sound("::1");
}

fn datagrams_are_packets_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("udp");
    let options = format!("--pcap {} --count 8", file.display());
    // On every address: the capture names the one that the peer spoke to.
    let server = pktcat_line(&format!("listen -u {options} 0")).spawn();
    let port = server.port();
    let mut wanted: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut peers = vec![std::net::UdpSocket::bind("127.0.0.1:0").unwrap()];
    peers.extend(std::net::UdpSocket::bind("[::1]:0"));
    for (index, length) in [0, 1, 1000, 65_507, 0, 3, 4, 5].into_iter().enumerate() {
        let peer = &peers[index % peers.len()];
        let host = peer.local_addr().unwrap().ip();
        let message = random(index as u64, length);
        peer.send_to(&message, (host, port)).unwrap();
        let ends = format!("{host} {host} {}", peer.local_addr().unwrap().port());
        wanted.entry(ends).or_default().push(message);
    }
    server.wait().expect_code(0);
    expect_sound(&file);
    let fields =
        ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport", "udp.payload"];
    let mut words = vec!["-T", "fields", "-E", "separator=,"];
    words.extend(fields.iter().flat_map(|field| ["-e", field]));
    let mut got: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for line in tshark(&file, &words).lines() {
        let f: Vec<&str> = line.split(',').collect();
        assert_eq!(f[5], port.to_string());
        let ends = format!("{}{} {}{} {}", f[0], f[2], f[1], f[3], f[4]);
        got.entry(ends).or_default().push(hex::decode(f[6].replace(':', "")).unwrap());
    }
    assert!(got == wanted, "{:?}, not {:?}", got.keys(), wanted.keys());
}

fn a_reset_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reset");
    let (listener, port) = net::listener();
    let client = pktcat_line(&format!("connect --pcap {} 127.0.0.1 {port}", file.display()))
        .stdin(Input::Pipe)
        .spawn();
    let stream = net::accept(&listener);
    (&stream).write_all(b"before").unwrap();
    client.wait_stdout(6);
    net::reset(stream);
    client.wait().expect_code(8);
    expect_sound(&file);
    assert_eq!(tshark(&file, &["-Y", "tcp.flags.reset == 1"]).lines().count(), 1);
    assert_eq!(tshark(&file, &["-Y", "tcp.flags.fin == 1"]).lines().count(), 0);
    assert_eq!(follow(&file)[1], b"before");
}

fn tcpdump_reads_it() {
    let (_folder, files) = conversation("127.0.0.1", b"hello", b"world");
    let read = |file: &Path| {
        let ended = program("tcpdump", ["-nvv", "-r", file.to_str().unwrap()]).run();
        ended.expect_code(0).stdout_text()
    };
    for file in &files {
        let text = read(file);
        assert!(!text.contains("incorrect") && !text.contains("bad cksum"), "{text}");
        assert!(text.contains("Flags [S]") && text.contains("Flags [F.]"), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("udp");
    let (server, peer) = udp::listen(&format!("--count 1 --pcap {}", file.display()), Input::Null);
    peer.send(b"hello").unwrap();
    server.wait().expect_code(0);
    let text = read(&file);
    assert!(text.contains("[udp sum ok] UDP, length 5"), "{text}");
}

fn headers_are_in_place_without_any_tool() {
    let (_folder, files) = conversation("127.0.0.1", b"hello", b"");
    let bytes = std::fs::read(&files[1]).unwrap();
    assert_eq!(bytes[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(bytes[20..24], [101, 0, 0, 0]);
    let mut rest = &bytes[24..];
    let mut payload = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let packet = &rest[16..16 + length];
        assert_eq!(packet[0], 0x45);
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), length);
        payload.extend_from_slice(&packet[20 + usize::from(packet[32] >> 4) * 4..]);
        rest = &rest[16 + length..];
    }
    assert_eq!(payload, b"hello");
}
