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
    /// Another option; one for `connect`, one for `listen`. Commands may lack it.
    Option(&'static str, &'static str),
    /// With a number the first of these options; else the second, which is ours.
    Size(&'static str, &'static str),
    /// A type of service, which may have a name.
    Tos,
    /// The proxy's address, without a scheme.
    Proxy,
    /// Which protocol the proxy speaks.
    ProxyKind,
    /// Who asks the proxy.
    ProxyUser,
    /// What happens anyway; what is said of that.
    Default(&'static str),
    /// Nothing.
    Nothing,
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
    ('o', &["output", "hex-dump"], true, Here::Option("--hex-file", "--hex-file")),
    ('w', &["wait"], true, Here::Option("-w", "--idle-timeout")),
    ('m', &["max-conns"], true, Here::Option("--max-clients", "--max-clients")),
    ('b', &[], false, Here::Option("--broadcast", "--broadcast")),
    ('r', &[], false, Here::Option("--shuffle", "--shuffle")),
    ('T', &[], true, Here::Tos),
    ('M', &[], true, Here::Option("--ttl", "--ttl")),
    ('W', &[], true, Here::Option("--count", "--count")),
    ('I', &[], true, Here::Size("--rcvbuf", "-I")),
    ('O', &[], true, Here::Size("--sndbuf", "-O")),
    ('X', &["proxy-type"], true, Here::ProxyKind),
    ('P', &["proxy-auth"], true, Here::ProxyUser),
    (NONE, &["proxy"], true, Here::Proxy),
    (NONE, &["nodns"], false, Here::Option("-n", "-n")),
    (NONE, &["unixsock"], false, Here::Option("-U", "-U")),
    (NONE, &["broker"], false, Here::Option("", "--chat")),
    (NONE, &["ssl", "ssl-verify"], false, Here::Option("--tls", "--tls")),
    (NONE, &["ssl-cert"], true, Here::Option("--cert", "--cert")),
    (NONE, &["ssl-key"], true, Here::Option("--key", "--key")),
    (NONE, &["ssl-trustfile"], true, Here::Option("--ca", "--client-ca")),
    (NONE, &["ssl-servername"], true, Here::Option("--server-name", "--server-name")),
    (NONE, &["ssl-alpn"], true, Here::Option("--alpn", "--alpn")),
    ('D', &["append-output", "telnet", "sctp", "vsock"], false, Here::Nothing),
    ('F', &[], false, Here::Nothing),
    ('S', &[], false, Here::Nothing),
    ('Z', &[], false, Here::Nothing),
    ('V', &["ssl-ciphers", "proxy-dns", "lua-exec"], true, Here::Nothing),
    (NONE, &["allowfile", "denyfile"], true, Here::Nothing),
];

/// A listener has no source port.
pub(super) const PORT: Habit = ('p', &["source-port", "port"], true, Here::Port);

/// The number of a type of service by nc's name for it (IPTOS_* of ip(7), RFC 2474, RFC 2597).
pub(super) fn tos(word: &str) -> Option<u8> {
    let digit = |at: usize| word.as_bytes().get(at).map(|byte| byte.wrapping_sub(b'0'));
    Some(match word {
        "lowdelay" => 0x10,
        "throughput" => 0x08,
        "reliability" => 0x04,
        "lowcost" => 0x02,
        "critical" => 0xa0,
        "inetcontrol" => 0xc0,
        "netcontrol" => 0xe0,
        "ef" => 0xb8,
        _ if word.len() == 4 && word.starts_with("af") => match (digit(2)?, digit(3)?) {
            (class @ 1..=4, drop @ 1..=3) => class * 32 + drop * 8,
            _ => return None,
        },
        _ if word.len() == 3 && word.starts_with("cs") => match digit(2)? {
            class @ 0..=7 => class * 32,
            _ => return None,
        },
        _ => match word.strip_prefix("0x") {
            Some(digits) => u8::from_str_radix(digits, 16).ok()?,
            None => word.parse().ok()?,
        },
    })
}
