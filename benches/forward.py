#!/usr/bin/env python3
"""Compares `pktcat forward` with the forwarders that are installed, over loopback. Linux, Python 3.9 or newer.

    python3 benches/forward.py                 all of it, five rounds, some minutes
    python3 benches/forward.py --rounds 3 bulk rate
    python3 benches/forward.py --before OLD    two builds of pktcat in one run

The binary is target/release/pktcat, or what --pktcat names. haproxy (one thread), nginx (one worker) and socat take
part where they are installed; `bulk` needs iperf3. In each round every forwarder has one turn, and every other round
goes backwards, so that what else the machine does hits all of them alike. Medians are shown; the ratios are what to
look at, not the absolute figures.
"""
import argparse
import collections
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from compare import HOST, PATIENCE, Echo, Failed, show, swallow, wait_bound
from proxies import PROXIES, words

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS_AT_ONCE = 32
IDLE_CLIENTS = 1000
TRIPS = 5000
DATAGRAMS = 1_000_000
SIZE = 64
BASES = ("haproxy", "nginx stream", "socat")


class Proxy:
    """A forwarder that listens; ended with all its children at the end of the `with` block."""

    def __init__(self, command, port, kind):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.port = port
        self.kind = kind

    def __enter__(self):
        try:
            wait_bound(self.port, self.kind)
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # It has a session of its own, so that its children, too, are of its group.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def family(self):
        """The forwarder and its children that run."""
        pids = [self.process.pid]
        for pid in pids:
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    pids += [int(child) for child in file.read().split()]
            except OSError:
                pass
        return pids

    def cpu(self):
        """Processor seconds that it and its children have taken so far, user and system."""
        ticks = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    fields = file.read().rpartition(")")[2].split()
                    # utime, stime, and those of the children that were waited for (proc(5)).
                    ticks += sum(int(field) for field in fields[11:15])
            except OSError:
                pass
        return ticks / TICKS

    def memory(self):
        """KiB of memory; what processes share is counted once."""
        total = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                    total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            except OSError:
                pass
        return total


class Server:
    """A process of this script; killed at the end of the `with` block."""

    def __init__(self, kind, serve):
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind((HOST, 0))
        if kind == socket.SOCK_STREAM:
            self.socket.listen(4096)
        self.serve = serve

    def __enter__(self):
        port = self.socket.getsockname()[1]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.serve(self.socket)
            finally:
                os._exit(1)
        self.socket.close()
        return port

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.next_port = 25000 + os.getpid() % 5000

    def port(self):
        while True:
            self.next_port += 1
            with socket.socket() as probe:
                try:
                    probe.bind((HOST, self.next_port))
                    return self.next_port
                except OSError:
                    continue

    def binary(self, name):
        binary = PROXIES[name]["binary"]
        return self.options.pktcat if binary == "pktcat" else shutil.which(binary, path=PATH)

    def present(self, kind):
        for name, tool in PROXIES.items():
            if kind in tool and self.binary(name) and os.path.exists(tool.get("needs", "/")):
                yield name

    def proxy(self, name, to, kind="tcp"):
        port = self.port()
        binary = PROXIES[name].get("build") or self.binary(name)
        return Proxy([binary] + words(name, kind, self.folder, port, to, HOST), port, kind)

    def rounds(self, title, turn, kind="tcp", also=()):
        """The results of every forwarder, a list each."""
        names = [*also, *self.present(kind)]
        results = {name: [] for name in names}
        for number in range(self.options.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                try:
                    results[name].append(turn(name))
                except (Failed, OSError) as failure:
                    print(f"{title}: {name}: {failure}", file=sys.stderr)
        return {name: some for name, some in results.items() if some}

    # -- much in one connection

    def bulk(self, backwards):
        port = self.port()
        command = ["iperf3", "-s", "-B", HOST, "-p", str(port)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_bound(port, "tcp")
            return self.rounds("bulk", lambda name: self.one_bulk(name, port, backwards))
        finally:
            server.kill()
            server.wait()

    def one_bulk(self, name, to, backwards):
        with self.proxy(name, to) as proxy:
            before = proxy.cpu()
            command = ["iperf3", "-J", "-c", HOST, "-p", str(proxy.port), "-t", str(self.options.seconds)]
            done = subprocess.run(command + ["-R"] * backwards, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=PATIENCE, check=False)
            result = json.loads(done.stdout)
            if "error" in result:
                raise Failed(result["error"])
            cpu = proxy.cpu() - before
            received = result["end"]["sum_received"]
            return {"MiB/s": received["bits_per_second"] / 8 / 2**20, "CPU s/GiB": cpu / (received["bytes"] / 2**30)}

    # -- many connections

    def rate(self):
        with Server(socket.SOCK_STREAM, answer_each) as to:
            return self.rounds("rate", lambda name: self.one_rate(name, to))

    def one_rate(self, name, to):
        with self.proxy(name, to) as proxy:
            ask_each(proxy.port, 0.2)
            before = proxy.cpu()
            began = time.monotonic()
            done = ask_each(proxy.port, self.options.seconds)
            took = time.monotonic() - began
            time.sleep(0.1)
            return {"connections/s": done / took, "CPU us each": (proxy.cpu() - before) / done * 1e6}

    # -- small messages

    def trips(self):
        with Echo("tcp") as to:
            return self.rounds("trips", lambda name: self.one_trip(name, to), also=("(direct)",))

    def one_trip(self, name, to):
        if name == "(direct)":
            return trips_to(to)
        with self.proxy(name, to) as proxy:
            return trips_to(proxy.port)

    # -- idle clients

    def idle(self):
        with Server(socket.SOCK_STREAM, hold_all) as to:
            return self.rounds("idle", lambda name: self.one_idle(name, to))

    def one_idle(self, name, to):
        with self.proxy(name, to) as proxy:
            before = proxy.memory()
            clients = []
            try:
                for _ in range(IDLE_CLIENTS):
                    client = socket.create_connection((HOST, proxy.port), PATIENCE)
                    clients.append(client)
                    client.sendall(b"x" * 64)
                    if not client.recv(64):
                        raise Failed("a client was turned away")
                time.sleep(0.2)
                return {"KiB a client": (proxy.memory() - before) / IDLE_CLIENTS}
            finally:
                for client in clients:
                    client.close()

    # -- datagrams

    def datagrams(self, sender):
        return self.rounds("udp", lambda name: self.one_flood(name, sender), kind="udp", also=("(direct)",))

    def one_flood(self, name, sender):
        port = self.port()
        out, stdout = os.pipe()
        counted = [0, 0.0]
        reader = threading.Thread(target=swallow, args=(out, counted))
        reader.start()
        sink = subprocess.Popen([self.options.pktcat, "listen", "-u", "-d", HOST, str(port)], stdin=subprocess.DEVNULL,
                                stdout=stdout, stderr=subprocess.DEVNULL)
        os.close(stdout)
        try:
            wait_bound(port, "udp")
            if name == "(direct)":
                return self.flood(port, sender, counted, lambda: 0.0)
            with self.proxy(name, port, "udp") as proxy:
                return self.flood(proxy.port, sender, counted, proxy.cpu)
        finally:
            sink.kill()
            sink.wait()
            reader.join()

    def flood(self, port, sender, counted, cpu):
        """A client sends as fast as it can; what comes out at the other side."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            # socat needs some time to have a child for its first client, and listens anew.
            first.sendto(bytes(SIZE), (HOST, port))
            time.sleep(0.1)
        counted[0] = 0
        before = cpu()
        payload = os.path.join(self.folder, "payload")
        with open(payload, "wb") as file:
            file.truncate(DATAGRAMS * SIZE)
        began = time.monotonic()
        with open(payload, "rb") as file:
            command = [self.options.pktcat, "connect", "-u", "-q", "0", "--datagram-size", str(SIZE), *sender]
            subprocess.run([*command, HOST, str(port)], stdin=file, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=PATIENCE, check=True)
        seen = -1
        while counted[0] != seen:
            seen = counted[0]
            time.sleep(0.3)
        came = seen / SIZE
        if came < 1000:
            raise Failed(f"{came} of {DATAGRAMS} datagrams came")
        return {"1000/s": came / (counted[1] - began) / 1000, "loss %": 100 * (1 - came / DATAGRAMS),
                "CPU us each": (cpu() - before) / came * 1e6}


def ask_each(port, seconds):
    """Connects, asks, is answered and closes, some at a time; how often that was done."""
    done = 0
    end = time.monotonic() + seconds
    waiting = collections.deque()
    while time.monotonic() < end:
        while len(waiting) < CLIENTS_AT_ONCE:
            client = socket.socket()
            client.settimeout(PATIENCE)
            client.connect((HOST, port))
            client.send(b"x")
            waiting.append(client)
        for _ in range(CLIENTS_AT_ONCE // 2):
            client = waiting.popleft()
            if client.recv(8) != b"y":
                raise Failed("a client was not answered")
            # The server has closed its side, so that what lingers in TIME-WAIT is not ours.
            if client.recv(8):
                raise Failed("a client was answered twice")
            client.close()
            done += 1
    for client in waiting:
        client.close()
    return done


def answer_each(listener):
    while True:
        client, _ = listener.accept()
        try:
            client.recv(8)
            client.send(b"y")
        except OSError:
            pass
        client.close()


def hold_all(listener):
    held = []
    while True:
        client, _ = listener.accept()
        client.sendall(client.recv(64))
        held.append(client)


def trips_to(port):
    with socket.create_connection((HOST, port), PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = b"x" * 64
        times = []
        for _ in range(TRIPS):
            began = time.perf_counter()
            client.send(message)
            got = 0
            while got < 64:
                came = len(client.recv(64))
                if came == 0:
                    raise Failed("ended early")
                got += came
            times.append((time.perf_counter() - began) * 1e6)
    times = sorted(times[TRIPS // 20:])
    return {"median us": times[len(times) // 2], "p99 us": times[len(times) * 99 // 100]}


def between_builds(before):
    """Leaves pktcat, and beside each way of it the same way of another build."""
    ours = {name: tool for name, tool in PROXIES.items() if tool["binary"] == "pktcat"}
    PROXIES.clear()
    for name, tool in ours.items():
        PROXIES[name] = tool
        PROXIES[name.replace("pktcat", "before")] = dict(tool, build=os.path.abspath(before))


# Where Debian has servers is not in every user's PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def main():
    kinds = ("bulk", "rate", "trip", "idle", "udp")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="some of: " + " ".join(kinds))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="how long each turn of bulk and rate takes")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--pktcat", default=os.path.join(root, "target", "release", "pktcat"))
    parser.add_argument("--before", metavar="PKTCAT", help="another build of pktcat: only the two are compared")
    parser.add_argument("--only", metavar="TEXT", action="append", help="only forwarders whose names hold this")
    options = parser.parse_args()
    if options.before:
        between_builds(options.before)
    if options.only:
        for name in [name for name in PROXIES if not any(text in name for text in options.only)]:
            del PROXIES[name]
    if unknown := set(options.kinds) - set(kinds):
        parser.error("unknown: " + " ".join(sorted(unknown)))
    if not os.access(options.pktcat, os.X_OK):
        sys.exit(f"no {options.pktcat}: build it first, cargo build --release")
    # Both ends of all clients are here.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="forward-") as folder:
        bench = Bench(options, folder)
        for kind in options.kinds or kinds:
            if kind == "bulk" and shutil.which("iperf3"):
                show("One stream, client to server", bench.bulk(False), bases=BASES)
                show("One stream, server to client", bench.bulk(True), bases=BASES)
            elif kind == "bulk":
                print("bulk: iperf3 is not installed", file=sys.stderr)
            elif kind == "rate":
                show(f"Connections, {CLIENTS_AT_ONCE} at a time", bench.rate(), bases=BASES)
            elif kind == "trip":
                show("Round trip of 64 bytes", bench.trips(), less_is_better=True, bases=BASES)
            elif kind == "idle":
                show(f"Memory, {IDLE_CLIENTS} idle clients", bench.idle(), less_is_better=True, bases=BASES)
            else:
                show("UDP: 64-byte datagrams, sent one by one", bench.datagrams(["--portable"]), bases=("socat",))
                show("UDP: 64-byte datagrams, sent in trains", bench.datagrams([]), bases=("socat",))


if __name__ == "__main__":
    main()
