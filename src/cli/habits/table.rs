//! The options of other netcats that are written otherwise here.

/// What an option of another netcat is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// The command `listen`.
    Listen,
    /// The command `scan`.
    Scan,
    /// The listener's last word.
    Port,
    /// A program behind `--`, or with `sh -c` a line for a shell.
    Program,
    /// The same for a line that a shell reads.
    Shell,
    /// Another option; one for `connect`, one for `listen`.
    Option(&'static str, &'static str),
    /// What happens anyway; what is said of that.
    Default(&'static str),
}

/// The options of other netcats: a letter, long names, whether a value follows, what it is here.
/// Those of the same name and meaning are not in it.
pub(super) type Habit = (char, &'static [&'static str], bool, Here);

/// Stands where an option has no letter.
const NONE: char = '\0';

pub(super) const HABITS: &[Habit] = &[
    ('l', &["listen"], false, Here::Listen),
    ('z', &["zero"], false, Here::Scan),
    (
        'N',
        &["shutdown"],
        false,
        Here::Default("the sending half is closed when stdin ends anyway:"),
    ),
    ('e', &["exec"], true, Here::Program),
    ('c', &["sh-exec"], true, Here::Shell),
    ('i', &[], true, Here::Option("--interval", "--interval")),
    ('o', &["output"], true, Here::Option("--hex-file", "--hex-file")),
    ('w', &["wait"], true, Here::Option("-w", "--idle-timeout")),
    ('m', &["max-conns"], true, Here::Option("--max-clients", "--max-clients")),
    ('b', &[], false, Here::Option("--broadcast", "--broadcast")),
    ('T', &[], true, Here::Option("--tos", "--tos")),
    ('M', &[], true, Here::Option("--ttl", "--ttl")),
    ('W', &[], true, Here::Option("--count", "--count")),
    (NONE, &["ssl", "ssl-verify"], false, Here::Option("--tls", "--tls")),
    (NONE, &["ssl-cert"], true, Here::Option("--cert", "--cert")),
    (NONE, &["ssl-key"], true, Here::Option("--key", "--key")),
    (NONE, &["ssl-trustfile"], true, Here::Option("--ca", "--ca")),
    (NONE, &["ssl-servername"], true, Here::Option("--server-name", "--server-name")),
    (NONE, &["ssl-alpn"], true, Here::Option("--alpn", "--alpn")),
];

/// A listener has no source port.
pub(super) const PORT: Habit = ('p', &["source-port", "port"], true, Here::Port);
