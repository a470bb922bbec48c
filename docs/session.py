#!/usr/bin/env python3
"""Records a session with pktcat and draws it: docs/session.py SVG [PKTCAT]

    docs/session.py docs/session.svg target/release/pktcat

Each command below runs on a pseudo-terminal, as it would under somebody's hands; what it prints there is drawn as it came, with
its colours. TCP port 9000 and UDP port 9000 have to be free, and 9001; `unshare -n`, with `lo` up, has them free. Python 3.9 or
newer, nothing else to install.
"""

import codecs
import errno
import fcntl
import html
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

PATIENCE = 20
PORT = 9000
# Columns of a terminal, the size of one character, and the space around.
COLUMNS, WIDTH, HEIGHT, SPACE = 68, 7.2, 17, 12

TALK = "-x --send one --send two 127.0.0.1 9000"
# Two terminals side by side, row by row: title, commands. A command that listens runs until the next ones are done.
ROWS = (
    (("TCP carries a stream: what arrives has offsets, not writes", "pktcat listen -d -x 9000 > received"),
     ("UDP carries datagrams: each comes whole, with a number", "pktcat listen -u -d -x --count 2 9000 > received")),
    (("", "pktcat connect " + TALK),
     ("", "pktcat connect -u " + TALK)),
    (("An error is one line, and its status says which", "pktcat connect 127.0.0.1 9001; echo $?",
      "echo hello | pktcat connect 127.0.0.1 9000 > /dev/full; echo $?"),
     ("Which ports are open?", "pktcat listen -k --echo 9000 &", "pktcat scan 127.0.0.1 8998-9001; kill $!")),
)


class Terminal:
    """A command on a terminal of its own, and the screen that it leaves."""

    def __init__(self, command, folder, pktcat):
        self.command = command
        self.screen = Screen()
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, COLUMNS, 0, 0))
                os.chdir(folder)
                os.execve("/bin/bash", ["bash", "--norc", "-c", command], environment)
            finally:
                os._exit(127)

    def finish(self):
        """Reads until the command has ended."""
        deadline = time.monotonic() + PATIENCE
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            if not select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                self.kill()
                sys.exit(f"{self.command}: not done within {PATIENCE} s: {self.screen.text()}")
            try:
                data = os.read(self.terminal, 65536)
            except OSError as error:
                # What a terminal gives when nobody has it open any more.
                if error.errno != errno.EIO:
                    raise
                data = b""
            if not data:
                break
            self.screen.write(decoder.decode(data))
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.terminal)
        if status not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            sys.exit(f"{self.command}: status {status}: {self.screen.text()}")

    def kill(self):
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Screen:
    """As much of a terminal (ECMA-48) as pktcat uses: colours, and lines that are written anew."""

    def __init__(self):
        self.lines, self.row, self.column, self.style = [[]], 0, 0, ""

    def write(self, text):
        for control, sign in re.findall(r"(\x1b\[[0-9;?]*[A-Za-z])|([\s\S])", text):
            if control:
                self.control(control[2:-1], control[-1])
            elif sign == "\r":
                self.column = 0
            elif sign == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append([])
            elif sign >= " ":
                self.put(sign)
            else:
                sys.exit(f"what is {sign!r}?")

    def put(self, sign):
        if self.column == COLUMNS:
            self.write("\r\n")
        line = self.lines[self.row]
        line.extend([(" ", "")] * (self.column + 1 - len(line)))
        line[self.column] = (sign, self.style)
        self.column += 1

    def control(self, words, kind):
        numbers = [int(word or 0) for word in words.split(";")] if not words.startswith("?") else []
        if kind == "m":
            for number in numbers:
                self.style = "" if number in (0, 39) else f"{self.style} s{number}".strip()
        elif kind == "K":
            line = self.lines[self.row]
            del line[(0 if numbers == [2] else self.column):]
        elif kind == "A":
            self.row = max(0, self.row - max(1, numbers[0]))
        elif kind not in "hl":
            sys.exit(f"what is the control sequence {words}{kind}?")

    def text(self):
        return "\n".join("".join(sign for sign, _ in line).rstrip() for line in self.lines).rstrip()


def wait_for(kind):
    """Until somebody listens at the port: then nobody else can have it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # So that only a listener counts, not what is left of connections.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", PORT))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return
        time.sleep(0.02)
    sys.exit(f"nobody listens at port {PORT}")


def record(folder, pktcat):
    """The panes of each row: a title, and screens behind their commands."""
    panes = [[(title, [Recorded(command) for command in commands]) for title, *commands in row] for row in ROWS]
    run = lambda command: Terminal(command, folder, pktcat)
    for side, kind in enumerate((socket.SOCK_STREAM, socket.SOCK_DGRAM)):
        listener, sender = panes[0][side][1][0], panes[1][side][1][0]
        listening = run(listener.command)
        wait_for(kind)
        sending = run(sender.command)
        for terminal, recorded in ((sending, sender), (listening, listener)):
            terminal.finish()
            recorded.screen = terminal.screen
    (listener, scan), failures = panes[2][1][1], panes[2][0][1]
    listening = run("exec " + listener.command.removesuffix(" &"))
    wait_for(socket.SOCK_STREAM)
    # The last one ends the listener, which a shell would know as its job.
    for recorded in (*failures, scan):
        terminal = run(recorded.command.replace("$!", str(listening.pid)))
        terminal.finish()
        recorded.screen = terminal.screen
    listening.finish()
    return panes


class Recorded:
    """A command, and what it has printed."""

    def __init__(self, command):
        self.command, self.screen = command, Screen()

    def lines(self):
        prompt = [("$", "p"), (" ", "")] + [(sign, "c") for sign in self.command]
        printed = list(self.screen.lines)
        while printed and not printed[-1]:
            printed.pop()
        return [prompt] + printed


STYLE = """
text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2328;white-space:pre}
.t{font:600 13px system-ui,'DejaVu Sans',sans-serif}.w{fill:#f6f8fa;stroke:#d0d7de}
.p{fill:#57606a}.c{font-weight:600}.s1{font-weight:600}.s2{opacity:.7}
.s31,.s91{fill:#b3261e}.s32,.s92{fill:#116329}.s33,.s93{fill:#7d4e00}.s34,.s94{fill:#0550ae}.s35,.s95{fill:#8250df}.s36,.s96{fill:#0a6a70}.s90{fill:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.w{fill:#161b22;stroke:#30363d}.p,.s90{fill:#9198a1}
.s31,.s91{fill:#ff8a80}.s32,.s92{fill:#6fdd8b}.s33,.s93{fill:#e3b341}.s34,.s94{fill:#79c0ff}.s35,.s95{fill:#d2a8ff}.s36,.s96{fill:#76e3ea}}
""".strip()


def draw(panes):
    """The picture."""
    pane_width = COLUMNS * WIDTH + 2 * SPACE
    total = 2 * pane_width + 3 * SPACE
    y, body = SPACE, []
    for row in panes:
        if any(title for title, _ in row):
            for side, (title, _) in enumerate(row):
                x = SPACE + side * (pane_width + SPACE)
                body.append(f'<text class="t" x="{x:.0f}" y="{y + 14:.0f}">{html.escape(title)}</text>')
            y += 24
        texts = [[line for recorded in pane for line in recorded.lines()] for _, pane in row]
        height = max(map(len, texts)) * HEIGHT + SPACE
        for side, lines in enumerate(texts):
            x = SPACE + side * (pane_width + SPACE)
            body.append(f'<rect class="w" x="{x:.0f}" y="{y}" width="{pane_width:.0f}" height="{height}" rx="6"/>')
            for number, line in enumerate(lines):
                body.append(draw_line(line, x + SPACE, y + (number + 1) * HEIGHT + 2))
        y += height + 10
    y += SPACE - 10
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {y}" width="{total:.0f}" height="{y}" role="img">',
        "<title>A session with pktcat: TCP beside UDP, errors and their statuses, a scan</title>",
        f"<style>{STYLE}</style>", *body, "</svg>", ""])


def draw_line(line, x, y):
    """Characters of one style are drawn together, at their column and as wide as they are in a terminal."""
    parts, column = [], 0
    while column < len(line):
        style = line[column][1]
        end = column
        while end < len(line) and line[end][1] == style:
            end += 1
        text = "".join(sign for sign, _ in line[column:end])
        word = f' class="{style}"' if style else ""
        place = f'x="{x + column * WIDTH:.1f}" textLength="{len(text) * WIDTH:.1f}"'
        parts.append(f"<tspan{word} {place}>{html.escape(text, quote=False)}</tspan>")
        column = end
    return f'<text y="{y}" xml:space="preserve">{"".join(parts)}</text>'


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    pktcat = sys.argv[2] if len(sys.argv) == 3 else os.path.join(root, "target", "release", "pktcat")
    if not os.access(pktcat, os.X_OK):
        sys.exit(f"no {pktcat}: build it first, cargo build --release")
    with tempfile.TemporaryDirectory(prefix="session-") as folder:
        os.mkdir(f"{folder}/bin")
        os.symlink(os.path.abspath(pktcat), f"{folder}/bin/pktcat")
        picture = draw(record(folder, pktcat))
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(picture)


if __name__ == "__main__":
    main()
