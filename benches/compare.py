#!/usr/bin/env python3
"""Compares pktcat with the netcats that are installed, over loopback. Linux, Python 3.9 or newer.

    python3 benches/compare.py                 all of it, five rounds, some minutes
    python3 benches/compare.py --rounds 3 --mib 256 pipe udp
    python3 benches/compare.py --before OLD    two builds of pktcat in one run

The binary is target/release/pktcat, or what --pktcat names. Peers that are not installed are left out.
In each round every tool has one turn, and every other round goes backwards, so that what else the machine does
hits all of them alike. Medians are shown; the ratios are what to look at, not the absolute figures.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from peers import BASES, TOOLS

HOST = "127.0.0.1"
BLOCK = 128 * 1024
PATIENCE = 60

class Failed(Exception):
    """A tool did not do what the test asked of it: a result, not an end."""


class Tool:
    """A running tool; ended and reaped at the end of the `with` block whatever happens."""

    def __init__(self, words, stdin, stdout):
        self.process = subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)
        self.cpu = None
        self.peak = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.cpu is None:
            self.process.kill()
            os.waitpid(self.process.pid, 0)
            self.process.returncode = -9

    def look(self):
        """Notes the peak of its memory in MiB (getrusage would count what forked it too)."""
        try:
            with open(f"/proc/{self.process.pid}/status") as status:
                for line in status:
                    if line.startswith("VmHWM"):
                        self.peak = max(self.peak, int(line.split()[1]) / 1024)
        except OSError:
            pass

    def wait(self, patience=PATIENCE):
        """Waits for its end; the processor seconds it took, user and system."""
        end = time.monotonic() + patience
        while True:
            self.look()
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                raise Failed("did not end")
            time.sleep(0.002)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        return self.cpu


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.next_port = 20000 + os.getpid() % 5000

    def words(self, name, role, **facts):
        tool = TOOLS[name]
        binary = self.options.pktcat if tool["binary"] == "pktcat" else shutil.which(tool["binary"])
        facts.update(h=HOST, dump=os.path.join(self.folder, "dump"))
        return [binary] + tool[role].format(**facts).split()

    def present(self, kind, *roles):
        for name, tool in TOOLS.items():
            there = tool["binary"] == "pktcat" or shutil.which(tool["binary"])
            if there and all(role in tool for role in roles) and kind in tool.get("only", (kind,)):
                if kind != "dump" or "--hex-file" in name:
                    yield name

    def port(self, kind):
        while True:
            self.next_port += 1
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind((HOST, self.next_port))
                    return self.next_port
                except OSError:
                    continue

    def rounds(self, kind, roles, turn):
        """The results of every tool, a list each."""
        names = list(self.present(kind, *roles))
        results = {name: [] for name in names}
        for number in range(self.options.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                try:
                    results[name].append(turn(name))
                except Failed as failure:
                    print(f"{kind}: {name}: {failure}", file=sys.stderr)
        return {name: some for name, some in results.items() if some}

    # -- streams

    def stream(self, kind):
        # A dump is five times as long: more of it would measure the disk.
        total = (min(self.options.mib, 256) if kind == "dump" else self.options.mib) << 20
        source = os.path.join(self.folder, "source" if kind != "dump" else "dump-source")
        if kind != "pipe" and not os.path.exists(source):
            with open(source, "wb") as file:
                block = os.urandom(1 << 20)
                for _ in range(total >> 20):
                    file.write(block)
        return self.rounds(kind, ("receive", "send"), lambda name: self.one_stream(name, kind, source, total))

    def one_stream(self, name, kind, source, total):
        port = self.port(socket.SOCK_STREAM)
        copy = os.path.join(self.folder, "copy")
        counted = [0]
        reader = writer = None
        if kind == "pipe":
            out, stdout = os.pipe()
            reader = threading.Thread(target=swallow, args=(out, counted))
            reader.start()
        else:
            stdout = os.open(copy if kind == "file-file" else os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        receiver = Tool(self.words(name, "receive", p=port, bytes=total), subprocess.DEVNULL, stdout)
        os.close(stdout)
        with receiver:
            wait_bound(port, "tcp")
            if kind == "pipe":
                stdin, feed = os.pipe()
            else:
                stdin = os.open(source, os.O_RDONLY)
            began = time.monotonic()
            sender = Tool(self.words(name, "send", p=port, bytes=total), stdin, subprocess.DEVNULL)
            os.close(stdin)
            with sender:
                if kind == "pipe":
                    writer = threading.Thread(target=pour, args=(feed, total, BLOCK))
                    writer.start()
                cpu = receiver.wait()
                if reader:
                    reader.join()
                took = time.monotonic() - began
                cpu += sender.wait()
                if writer:
                    writer.join()
        if kind == "file-file":
            counted[0] = os.path.getsize(copy)
            os.unlink(copy)
        if kind == "dump":
            # Writing over a file anew makes ext4 wait for the disk when it is closed.
            os.unlink(os.path.join(self.folder, "dump"))
        if kind in ("pipe", "file-file") and counted[0] != total:
            raise Failed(f"{counted[0]} of {total} bytes came")
        return {"MiB/s": total / 2**20 / took, "CPU s/GiB": cpu / (total / 2**30),
                "peak MiB": max(receiver.peak, sender.peak)}

    # -- datagrams

    def datagrams(self, size):
        return self.rounds(f"udp-{size}", ("udp-receive", "udp-send"), lambda name: self.one_flood(name, size))

    def one_flood(self, name, size):
        count = min(1_000_000, (self.options.mib << 19) // size)
        port = self.port(socket.SOCK_DGRAM)
        counted = [0, 0.0]
        out, stdout = os.pipe()
        reader = threading.Thread(target=swallow, args=(out, counted))
        reader.start()
        # A stdin that stays open: some receivers stop at its end.
        idle, held = os.pipe()
        receiver = Tool(self.words(name, "udp-receive", p=port, n=size), idle, stdout)
        os.close(stdout)
        with receiver:
            wait_bound(port, "udp")
            stdin, feed = os.pipe()
            began = time.monotonic()
            sender = Tool(self.words(name, "udp-send", p=port, n=size), stdin, subprocess.DEVNULL)
            os.close(stdin)
            with sender:
                pour(feed, count * size, max(1, 65536 // size) * size)
                sender.wait()
            sent = time.monotonic()
            before = -1
            while counted[0] != before:
                before = counted[0]
                time.sleep(0.4)
            receiver.process.send_signal(signal.SIGTERM)
            receiver.wait()
        reader.join()
        os.close(idle)
        os.close(held)
        took = max(sent, counted[1]) - began
        return {"1000/s": counted[0] / size / took / 1000, "loss %": 100 * (1 - counted[0] / (count * size)),
                "peak MiB": max(receiver.peak, sender.peak)}

    # -- small messages

    def trips(self, protocol):
        role = "talk" if protocol == "tcp" else "udp-talk"
        return self.rounds(f"trip-{protocol}", (role,), lambda name: self.one_talk(name, role, protocol))

    def one_talk(self, name, role, protocol):
        with Echo(protocol) as port:
            stdin, ask = os.pipe()
            answer, stdout = os.pipe()
            with Tool(self.words(name, role, p=port), stdin, stdout):
                os.close(stdin)
                os.close(stdout)
                times = []
                for _ in range(4200):
                    began = time.perf_counter()
                    os.write(ask, b"x" * 63 + b"\n")
                    got = 0
                    while got < 64:
                        came = len(os.read(answer, 64))
                        if came == 0:
                            raise Failed("ended early")
                        got += came
                    times.append((time.perf_counter() - began) * 1e6)
            os.close(ask)
            os.close(answer)
        times = sorted(times[200:])
        return {"median us": times[len(times) // 2], "p99 us": times[len(times) * 99 // 100]}

    def starts(self):
        return self.rounds("start", ("talk",), self.one_start)

    def one_start(self, name):
        line = os.path.join(self.folder, "line")
        with open(line, "w") as file:
            file.write("hello\n")
        times = []
        with Echo("tcp", hangs_up=True) as port:
            words = self.words(name, "talk", p=port)
            for _ in range(40):
                answer, stdout = os.pipe()
                stdin = os.open(line, os.O_RDONLY)
                began = time.perf_counter()
                actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1),
                           (os.POSIX_SPAWN_CLOSE, answer)]
                pid = os.posix_spawn(words[0], words, os.environ, file_actions=actions)
                os.close(stdout)
                came = b"".join(iter(lambda: os.read(answer, 100), b""))
                os.waitpid(pid, 0)
                times.append((time.perf_counter() - began) * 1e3)
                os.close(stdin)
                os.close(answer)
                if came != b"hello\n":
                    raise Failed(f"answered {came!r}")
        return {"median ms": statistics.median(times)}


class Echo:
    """An echo server in a process of its own; with `hangs_up` it answers once and closes."""

    def __init__(self, protocol, hangs_up=False):
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind((HOST, 0))
        self.serve = self.datagrams if protocol == "udp" else self.streams
        self.hangs_up = hangs_up
        if protocol == "tcp":
            self.socket.listen(100)

    def datagrams(self):
        while True:
            message, peer = self.socket.recvfrom(65536)
            self.socket.sendto(message, peer)

    def streams(self):
        while True:
            stream, _ = self.socket.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while message := stream.recv(65536):
                stream.sendall(message)
                if self.hangs_up:
                    break
            stream.close()

    def __enter__(self):
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.serve()
            finally:
                os._exit(1)
        port = self.socket.getsockname()[1]
        self.socket.close()
        return port

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def swallow(descriptor, counted):
    """Reads to the end; counts bytes, and notes when the last ones came."""
    room = [bytearray(BLOCK)]
    while (count := os.readv(descriptor, room)) > 0:
        counted[0] += count
        if len(counted) > 1:
            counted[1] = time.monotonic()
    os.close(descriptor)


def pour(descriptor, total, block):
    """Writes so many bytes; a reader that is gone is noticed elsewhere."""
    piece = bytes(block)
    try:
        while total > 0:
            total -= os.write(descriptor, piece[:total])
    except BrokenPipeError:
        pass
    os.close(descriptor)


def wait_bound(port, protocol):
    """Waits until somebody listens there, without touching it."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for name in (protocol, protocol + "6"):
            with open(f"/proc/net/{name}") as table:
                for line in table:
                    fields = line.split()
                    if fields[1].endswith(f":{port:04X}") and (protocol == "udp" or fields[3] == "0A"):
                        return
        time.sleep(0.005)
    raise Failed("did not listen")


def show(title, results, less_is_better=False, bases=BASES):
    """A Markdown table; the ratio is above 1 where a tool is better than the base."""
    if not results:
        return
    middle = {name: {key: statistics.median(one[key] for one in some) for key in some[0]}
              for name, some in results.items()}
    base = next((name for name in bases if name in middle), None)
    first = next(iter(next(iter(middle.values()))))
    keys = list(next(iter(middle.values())))
    print(f"\n### {title}\n")
    print("| tool | " + " | ".join(keys) + f" | " + (f"ratio to {base} |" if base else "|"))
    print("|---|" + "---|" * (len(keys) + 1))
    for name, values in middle.items():
        ratio = ""
        if base:
            ratio = values[first] / middle[base][first]
            ratio = f"{1 / ratio if less_is_better else ratio:.2f}"
        print(f"| {name} | " + " | ".join(f"{values[key]:.4g}" for key in keys) + f" | {ratio} |", flush=True)


def installed(binary, there):
    """Copies a program as an installer does. The file that a linker has just written starts a tenth later than its own
    copy; most likely the kernel caches it in smaller pieces."""
    return shutil.copy(binary, there)


def between_builds(before):
    """Leaves pktcat, and beside each way of it the same way of another build."""
    ours = {name: tool for name, tool in TOOLS.items() if tool["binary"] == "pktcat"}
    TOOLS.clear()
    for name, tool in ours.items():
        TOOLS[name] = tool
        TOOLS[name.replace("pktcat", "before")] = dict(tool, binary=before)


def main():
    kinds = ("pipe", "file-null", "file-file", "udp", "trip", "start", "dump")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="some of: " + " ".join(kinds))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024, help="size of a stream")
    parser.add_argument("--folder", help="where files are made; on tmpfs the disk is left out")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--pktcat", default=os.path.join(root, "target", "release", "pktcat"))
    parser.add_argument("--before", metavar="PKTCAT", help="another build of pktcat: only the two are compared")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(kinds):
        parser.error("unknown: " + " ".join(sorted(unknown)))
    if not os.access(options.pktcat, os.X_OK):
        sys.exit(f"no {options.pktcat}: build it first, cargo build --release")
    if options.before and not os.access(options.before, os.X_OK):
        sys.exit(f"no {options.before}")
    wanted = options.kinds or kinds
    streams = {"pipe": "TCP: pipe to pipe", "file-null": "TCP: file to /dev/null", "file-file": "TCP: file to file",
               "dump": "TCP: file to /dev/null, with a hex dump of all of it"}
    with tempfile.TemporaryDirectory(prefix="compare-", dir=options.folder) as folder:
        options.pktcat = installed(options.pktcat, os.path.join(folder, "pktcat"))
        if options.before:
            between_builds(installed(options.before, os.path.join(folder, "before")))
        bench = Bench(options, folder)
        for kind in wanted:
            if kind in streams:
                mib = min(options.mib, 256) if kind == "dump" else options.mib
                show(f"{streams[kind]}, {mib} MiB", bench.stream(kind))
            elif kind == "udp":
                for size in (64, 1400):
                    show(f"UDP: {size}-byte datagrams", bench.datagrams(size))
            elif kind == "trip":
                for protocol in ("tcp", "udp"):
                    show(f"Round trip of 64 bytes, {protocol}", bench.trips(protocol), less_is_better=True)
            else:
                show("Start, one line each way, exit", bench.starts(), less_is_better=True)


if __name__ == "__main__":
    main()
