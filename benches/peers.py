"""The tools that compare.py compares, and what each of them is told."""

# What each tool is told. {p} is the port, {n} the bytes of a datagram.
TOOLS = {
    "pktcat": {
        "binary": "pktcat",
        "receive": "listen {h} {p}",
        "send": "connect {h} {p}",
        "udp-receive": "listen -u {h} {p}",
        "udp-send": "connect -u -q 0 --datagram-size {n} {h} {p}",
        "talk": "connect {h} {p}",
        "udp-talk": "connect -u {h} {p}",
    },
    "pktcat --portable": {
        "binary": "pktcat",
        "receive": "listen --portable {h} {p}",
        "send": "connect --portable {h} {p}",
        "udp-receive": "listen -u --portable {h} {p}",
        "udp-send": "connect -u --portable -q 0 --datagram-size {n} {h} {p}",
    },
    "pktcat --hex-file": {
        "binary": "pktcat",
        "only": ("dump",),
        "receive": "listen --hex-file {dump} {h} {p}",
        "send": "connect {h} {p}",
    },
    "nc.openbsd": {
        "binary": "nc.openbsd",
        "receive": "-n -l {h} {p}",
        "send": "-n -N {h} {p}",
        "talk": "-n -N {h} {p}",
        "udp-talk": "-n -u {h} {p}",
    },
    "ncat": {
        "binary": "ncat",
        "receive": "-n -l --recv-only {h} {p}",
        "send": "-n --send-only {h} {p}",
        "talk": "-n {h} {p}",
        "udp-talk": "-n -u {h} {p}",
    },
    "socat": {
        "binary": "socat",
        "receive": "-u TCP-LISTEN:{p},bind={h},reuseaddr STDOUT",
        "send": "-u STDIN TCP:{h}:{p}",
        "udp-receive": "-u UDP-RECV:{p},bind={h} STDOUT",
        "udp-send": "-u -b {n} STDIN UDP:{h}:{p}",
        "talk": "STDIO TCP:{h}:{p}",
        "udp-talk": "STDIO UDP:{h}:{p}",
    },
    "socat -b 65536": {
        "binary": "socat",
        "receive": "-u -b 65536 TCP-LISTEN:{p},bind={h},reuseaddr STDOUT",
        "send": "-u -b 65536 STDIN TCP:{h}:{p}",
    },
    "iperf3": {
        "binary": "iperf3",
        "only": ("file-null",),
        "receive": "-s -1 -B {h} -p {p}",
        "send": "-c {h} -p {p} -n {bytes}",
    },
}
# The peer that ratios are taken of: the first of these that took part.
BASES = ("nc.openbsd", "socat", "ncat", "before")
