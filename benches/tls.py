#!/usr/bin/env python3
"""Compares pktcat's TLS with that of ncat, socat and stunnel, over loopback. Linux, Python 3.9 or newer.

    python3 benches/tls.py                     all of it, five rounds, some minutes
    python3 benches/tls.py --rounds 3 --mib 256 stream
    python3 benches/tls.py handshakes

The binary is target/release/pktcat, or what --pktcat names. Peers that are not installed are left out; openssl makes the
certificate and the load. In each round every tool has one turn, and every other round goes backwards. Medians are
shown; the ratios are what to look at.

stream      a file through TLS into /dev/null: GiB a second, and processor seconds a GiB of both ends together
handshakes  new connections a second, as openssl s_time makes them, two of them at once, and the processor time that
            the server has for each
"""
import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HOST = "127.0.0.1"
PATIENCE = 120
TICK = os.sysconf("SC_CLK_TCK")

# {p} is the port, {c} the certificate, {k} its key.
STREAM = {
    "pktcat": (
        "{pktcat} listen --tls --cert {c} --key {k} {h} {p}",
        "{pktcat} connect --tls --ca {c} {h} {p}",
    ),
    "ncat --ssl": (
        "ncat --ssl --ssl-cert {c} --ssl-key {k} -n -l --recv-only {h} {p}",
        "ncat --ssl -n --send-only {h} {p}",
    ),
    "socat OPENSSL": (
        "socat -u -b 65536 OPENSSL-LISTEN:{p},bind={h},reuseaddr,cert={c},key={k},verify=0 STDOUT",
        "socat -u -b 65536 STDIN OPENSSL:{h}:{p},cafile={c}",
    ),
}


def free_port():
    with socket.socket() as one:
        one.bind((HOST, 0))
        return one.getsockname()[1]


def wait_listening(port, process):
    ending = f":{port:04X}"
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"ended before it listened: {process.args}")
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table) as rows:
                for row in rows:
                    fields = row.split()
                    if fields[1].endswith(ending) and fields[3] == "0A":
                        return
        time.sleep(0.005)
    raise SystemExit(f"does not listen: {process.args}")


def wait_cpu(process):
    """Waits for a process; the processor seconds it took."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pid, _, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = 0
            return usage.ru_utime + usage.ru_stime
        time.sleep(0.001)
    process.kill()
    raise SystemExit(f"did not end: {process.args}")


def stream_once(words, names, payload):
    port = free_port()
    server_words, client_words = (part.format(p=port, **names).split() for part in words)
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(server_words, stdin=quiet, stdout=quiet, stderr=quiet)
    wait_listening(port, server)
    with open(payload, "rb") as file:
        begun = time.monotonic()
        client = subprocess.Popen(client_words, stdin=file, stdout=quiet, stderr=quiet)
        cpu = wait_cpu(client) + wait_cpu(server)
    return time.monotonic() - begun, cpu


def turns(names, rounds, once):
    """The results of all tools, one of each in a round, every other round backwards."""
    results = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(once(name))
    return results


def stream(options, names, folder):
    payload = os.path.join(folder, "payload")
    with open(payload, "wb") as file:
        block = os.urandom(1 << 20)
        for _ in range(options.mib):
            file.write(block)
    gib = options.mib / 1024
    tools = [tool for tool in STREAM if tool == "pktcat" or shutil.which(tool.split()[0])]
    results = turns(tools, options.rounds, lambda tool: stream_once(STREAM[tool], names, payload))
    print(f"\nstream, {options.mib} MiB, median of {options.rounds}\n{'':16}{'GiB/s':>8}{'CPU s/GiB':>12}")
    rates, costs = {}, {}
    for tool, runs in results.items():
        rates[tool] = statistics.median(gib / seconds for seconds, _ in runs)
        costs[tool] = statistics.median(cpu / gib for _, cpu in runs)
        print(f"{tool:16}{rates[tool]:8.2f}{costs[tool]:12.2f}")
    others = [tool for tool in tools if tool != "pktcat"]
    if others:
        best = max(others, key=rates.get)
        print(f"pktcat / {best}: {rates['pktcat'] / rates[best]:.2f} of its rate, "
              f"{costs['pktcat'] / costs[best]:.2f} of its processor time")


def server_cpu(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def handshakes_once(start, seconds):
    port = free_port()
    servers = start(port)
    wait_listening(port, servers[0])
    try:
        before = server_cpu(servers[0].pid)
        words = ["openssl", "s_time", "-connect", f"{HOST}:{port}", "-new", "-time", str(seconds)]
        loads = [
            subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
            for _ in range(2)
        ]
        count, rate = 0, 0.0
        for load in loads:
            text = load.communicate(timeout=PATIENCE)[0]
            found = re.search(r"(\d+) connections in (\d+) real seconds", text)
            count += int(found[1])
            rate += int(found[1]) / int(found[2])
        cpu = server_cpu(servers[0].pid) - before
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
            server.wait()
    return rate, cpu / count * 1e6


def handshakes(options, names, folder):
    quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    key = dict(c=names["c"], k=names["k"])

    def pktcat(port):
        words = "{pktcat} listen -k --tls --quiet --discard --cert {c} --key {k} {h} {p}"
        return [subprocess.Popen(words.format(p=port, **names).split(), **quiet)]

    def stunnel(port):
        behind = free_port()
        words = "{pktcat} listen -k --quiet --discard {h} {p}".format(p=behind, **names).split()
        service = subprocess.Popen(words, **quiet)
        wait_listening(behind, service)
        path = os.path.join(folder, "stunnel.conf")
        with open(path, "w") as file:
            file.write(f"foreground = yes\npid =\nsyslog = no\noutput = /dev/null\n[tls]\naccept = {HOST}:{port}\n"
                       f"connect = {HOST}:{behind}\ncert = {key['c']}\nkey = {key['k']}\n"
                       "sessionCacheSize = 1\nTIMEOUTclose = 0\n")
        return [subprocess.Popen(["stunnel", path], **quiet), service]

    tools = {"pktcat": pktcat}
    if shutil.which("stunnel"):
        tools["stunnel"] = stunnel
    results = turns(list(tools), options.rounds, lambda tool: handshakes_once(tools[tool], options.seconds))
    print(f"\nhandshakes, two s_time, median of {options.rounds} of {options.seconds} s\n"
          f"{'':16}{'a second':>10}{'us of CPU each':>16}")
    for tool, runs in results.items():
        rate = statistics.median(rate for rate, _ in runs)
        cpu = statistics.median(cpu for _, cpu in runs)
        print(f"{tool:16}{rate:10.0f}{cpu:16.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="stream, handshakes (default: both)")
    parser.add_argument("--pktcat", default="target/release/pktcat", help="the binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024, help="bytes of a stream")
    parser.add_argument("--seconds", type=int, default=3, help="for each turn of handshakes")
    options = parser.parse_args()
    parts = {"stream": stream, "handshakes": handshakes}
    wanted = options.what or list(parts)
    if unknown := [part for part in wanted if part not in parts]:
        parser.error(f"no such part: {unknown[0]}")
    if not os.access(options.pktcat, os.X_OK):
        sys.exit(f"{options.pktcat} is not there: cargo build --release")
    # Memory, where there is some for it: a disk is not what is measured.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        names = {"pktcat": os.path.abspath(options.pktcat), "h": HOST,
                 "c": os.path.join(folder, "cert.pem"), "k": os.path.join(folder, "key.pem")}
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", names["k"], "-out", names["c"], "-days", "2", "-subj", "/CN=localhost",
                        "-addext", f"subjectAltName=DNS:localhost,IP:{HOST}"],
                       check=True, stderr=subprocess.DEVNULL)
        for part in wanted:
            parts[part](options, names, folder)


if __name__ == "__main__":
    main()
