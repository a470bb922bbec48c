//! `pktcat` itself and its subcommands, with the text at the end of each one's help.

use clap::{Parser, Subcommand};

use super::compare::{self, CompareArgs};
use super::connect::{self, ConnectArgs};
use super::forward::{self, ForwardArgs};
use super::listen::{self, ListenArgs};
use super::ping::{self, PingArgs};
use super::scan::{self, ScanArgs};
use super::values::CompletionShell;

/// Send and receive over TCP and UDP: stdin to the socket, the socket to stdout.
#[derive(Debug, Parser)]
#[command(
    name = "pktcat",
    version,
    about = "Send and receive over TCP and UDP: stdin to the socket, the socket to stdout",
    after_help = "\
Examples:
  pktcat listen 9000 > copy              receive one TCP stream
  pktcat connect localhost 9000 < file   send it
  echo hello | pktcat connect -u -x localhost 9000
Exit status: 0 done, 1 other failure, 2 usage, 3 not resolved, 4 refused,
5 timed out, 6 local I/O, 7 unreachable, 8 broken, 9 TLS, 10 not expected.",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands. clap builds the options of a subcommand only when that one is used (`defer`):
/// building all of them would be a twentieth of the time of a short run.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// `pktcat listen`
    #[command(about = listen::ABOUT, after_help = "\
Examples:
  pktcat listen 9000 > copy                     what one client sends, in a file
  pktcat listen -k -O lines --tag 9000          many clients, line by line
  pktcat listen -k --echo 127.0.0.1 9000        an echo service for this machine
  pktcat listen -u -d -v -O lines 5514          syslog messages over UDP
  pktcat listen -k 127.0.0.1 9000 -- sort       a program for each connection

PORT 0 takes a free port and prints it. Without HOST one socket hears IPv4 and IPv6.
A TCP listener whose stdin is /dev/null or closed keeps its half open until the peer's end.
An idle pipe as stdin keeps the run alive: -d sends nothing, --until-fin ends at the peer's end.
A TCP peer that has ended is probed every 5 s (keepalive): one that still reads stays, one that
has closed for good is found once its system forgets the connection (a minute on Linux), and not
waited for. With -k a client that has ended gives up its place when another one needs it (at
--max-clients, or when descriptors run out), the one that ended first before the others.
With -k and -O lines or frames a client whose message is longer than --queue (16MiB at most) is
dropped, and so is the one with the longest unfinished message when all of them together are
over 64MiB (or over --queue).
Over UDP --echo, --chargen and --reply answer no port below 1024 and no port of their own
number, and a peer that got over 1000 answers a second for 10 s gets none for the next 10 s:
two services could go on answering each other for ever.
Over 65536 UDP peers, those silent for longest are forgotten.
A TCP run that fails while it sends, or is stopped or timed out with something left to send, ends
with a reset: what is cut off never looks whole. One with nothing left to send ends with a FIN.
Files to be written keep what they hold until the run listens.
A command's connection is closed once the command has ended, its output has arrived and the
client has closed its side too; a client that does not is waited for 5 s, and for 30 s while it
goes on sending. A process that the command leaves behind with the connection open keeps it.
With --tls stdin's end sends a close_notify and then the FIN; the peer's close_notify ends receiving.
A FIN without one may have cut the stream off: status 8, unless --accept-fin (ncat sends none).
Clients that are still shaking hands count for --max-clients, and hold nobody up.
--send and --expect are done in the order of the words: a --send after an --expect leaves once that has
come, and when the last word is an --expect the run ends with it; while one is waited for the sending half
stays open, as many a server takes a FIN for the end. Each --expect is looked for in what
comes after the match of the one before it, as in a text of its own (so ^ is where that begins, (?m)^
a line), over UDP in one datagram at a time. It is met by the first bytes that complete a match, of any
length and however they are cut; $ needs the peer's end. While one is waited for, a time limit other
than --accept-timeout, -q and the peer's end are status 10.
A device as stdin holds nothing up where it can be polled (poll(2)); others are read like files.
The byte of TCP's urgent data is no part of what is received (tcp(7)); all around it is.
D is 250ms, 2s, 1m or a number of seconds; SIZE and BYTES are 64k (64,000) or 64KiB (65,536).
SIGUSR1 prints the summary so far.")]
    Listen(ListenArgs),
    /// `pktcat connect`
    #[command(about = connect::ABOUT, after_help = "\
Examples:
  pktcat connect localhost 9000 < file
  pktcat connect -x --send hello localhost 9000
  pktcat connect -u --count 1 -q 3 --send hello localhost 9000
  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | pktcat connect --no-shutdown localhost 8080
The last one keeps its half open: some servers take the end of input for a client that
has left, and cut the answer short.

When stdin ends, TCP is half-closed and receiving goes on until the peer's end; UDP waits
--linger for replies. An idle pipe as stdin keeps the run alive: -d is for scripts with
nothing to send, --until-fin ends the run at the peer's end. A TCP peer that has ended is probed
every 5 s (keepalive): one that still reads stays, one that has closed for good is found once its
system forgets the connection (a minute on Linux), and not waited for.
A TCP run that fails while it sends, or is stopped or timed out with something left to send, ends
with a reset: what is cut off never looks whole. One with nothing left to send ends with a FIN.
With --tls the server's certificate is verified: by the system's roots or those of --ca, for HOST or
--server-name, or it is the one of --pin. -v prints it, also when it is refused.
With --tls stdin's end sends a close_notify and then the FIN; the peer's close_notify ends receiving.
A FIN without one may have cut the stream off: status 8, unless --accept-fin (ncat sends none).
Files to be written keep what they hold until the run is connected.
--send and --expect are done in the order of the words: a --send after an --expect leaves once that has
come, and when the last word is an --expect the run ends with it; while one is waited for the sending half
stays open, as many a server takes a FIN for the end. Each --expect is looked for in what
comes after the match of the one before it, as in a text of its own (so ^ is where that begins, (?m)^
a line), over UDP in one datagram at a time. It is met by the first bytes that complete a match, of any
length and however they are cut; $ needs the peer's end. While one is waited for, a time limit other
than -w, -q and the peer's end are status 10.
A device as stdin holds nothing up where it can be polled (poll(2)); others are read like files.
The byte of TCP's urgent data is no part of what is received (tcp(7)); all around it is.
D is 250ms, 2s, 1m or a number of seconds; SIZE and BYTES are 64k (64,000) or 64KiB (65,536).
SIGUSR1 prints the summary so far.")]
    Connect(ConnectArgs),
    /// `pktcat ping`
    #[command(about = ping::ABOUT, after_help = "\
Examples:
  pktcat ping web.example 80
  pktcat ping -u --count 10 --plot dns.example 53
  pktcat ping --until-open --quiet db.example 5432 && echo up

TCP: open or refused, with the time from SYN to SYN-ACK or RST; the connection is closed at once.
UDP: answered (with the length) or refused (ICMP); well-known ports get a datagram that their
service answers, as with scan -u, others an empty one.
One line a probe, on stdout; the summary, on stderr, also at SIGUSR1. SIGINT ends the run as its
--count does. Probes leave at fixed times, whatever the answers do; -t -u has N of each.
Of a name with several addresses all are asked until one of them is there.
An outage lasts from the leaving of the first probe that found nobody to that of the next that did.
Status 0 if any probe was open or answered, else 4 if any was refused, else 7 if any was
unreachable, else 5.
D is 250ms, 2s, 1m or a number of seconds.")]
    Ping(PingArgs),
    /// `pktcat forward`
    #[command(about = forward::ABOUT, after_help = "\
Examples:
  pktcat forward -x 8080 localhost:80           see what passes, both ways
  pktcat forward 8080 unix:/run/app.sock        a TCP port for a local socket

Runs until it is stopped, or with --once until its first client is done. stdin and stdout are not
used. TO is looked up at the start, dialled when a client comes, and the client is read only then.
A FIN is passed on as a FIN, a reset as a reset once all before it is delivered; when TO cannot be
reached the client is reset, and one line says why.
Where nobody looks bytes stay in the kernel (splice(2)).
Datagrams: each client has a socket of its own to TO, and nobody but TO, from its own port, can
answer. A service that answers from another port does not get through, such as TFTP: connect -u
--follow speaks with it. To a multicast group or a broadcast address (--broadcast) anybody may
answer. Of a name with several addresses the next one gets what was sent when nobody is at the one
before (ICMP) and nothing has come from it; after the last the first one is tried again.
D is 250ms, 2s, 1m or a number of seconds; SIZE is 64k (64,000) or 64KiB (65,536).
SIGUSR1 prints the summary so far.")]
    Forward(ForwardArgs),
    /// `pktcat scan`
    #[command(about = scan::ABOUT, after_help = "\
Examples:
  pktcat scan localhost 22,80,8000-8100
  pktcat scan --quiet localhost 5432 && echo up
  pktcat scan --quiet --wait 1m localhost 5432,6379 && echo all up

TCP: open, closed (refused), filtered (no answer).
UDP: open (replied), closed (ICMP), no answer. Without --send well-known ports get a datagram that
their service answers, others an empty one: echo 7, daytime 13, time 37, DNS 53, TFTP 69,
portmapper 111, NTP 123, NetBIOS names 137, SNMP 161, QUIC 443, RIP 520, DNS over QUIC 853,
SSDP 1900, NFS 2049, STUN 3478, SIP 5060, NAT-PMP and PCP 5351, mDNS 5353, CoAP 5683,
memcached 11211.
--wait D asks until all ports are open at once, and says then, or after D, what they are.
One line a port, on stdout; without --all only open ports, unless one was asked.
Status 0 if every asked port is open (--any: one), else 4 if any is closed,
else 5. Of a name's addresses the first with a route is asked; if all of them
are this machine's own loopback, each is.")]
    Scan(ScanArgs),
    /// `pktcat compare`
    #[command(about = compare::ABOUT, after_help = "\
Examples:
  pktcat compare
  pktcat compare --count 20000 --window 1 --plot
  pktcat compare --explain --impair loss=2%,delay=20ms,seed=1

Without an address it starts an echoing peer of its own on this machine. 'pktcat listen -t -u
-k --echo PORT' is one for other machines, as is any echo service (RFC 862). Every message ends
as received, late or lost; TCP and UDP run one after the other.")]
    Compare(CompareArgs),
    /// Print the completions for a shell
    #[command(after_help = "\
Examples:
  pktcat completions bash > ~/.local/share/bash-completion/completions/pktcat
  pktcat completions fish > ~/.config/fish/completions/pktcat.fish
  pktcat completions zsh > ~/.zsh/completions/_pktcat

For zsh the folder has to be in fpath before compinit is called.")]
    Completions {
        /// Which shell
        shell: CompletionShell,
    },
}
