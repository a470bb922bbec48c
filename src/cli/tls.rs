//! The words of TLS: what both roles have, whom a client trusts, whom a listener lets in.

use std::path::PathBuf;

use clap::Args;

/// What both roles of TLS have in common.
#[derive(Debug, Default, Args)]
pub struct TlsArgs {
    /// Show this chain of certificates (PEM); a listener without makes one for this run
    #[arg(long, value_name = "FILE", help_heading = "TLS (exit status 9)")]
    pub cert: Option<PathBuf>,

    /// The private key of --cert (PEM) [default: in its file]
    #[arg(long, value_name = "FILE", help_heading = "TLS (exit status 9)")]
    pub key: Option<PathBuf>,

    /// Agree on this protocol (ALPN); may repeat, the best first
    #[arg(long, value_name = "NAME", help_heading = "TLS (exit status 9)")]
    pub alpn: Vec<String>,

    /// Add the secrets to FILE, for Wireshark [default: $SSLKEYLOGFILE]
    #[arg(long, value_name = "FILE", help_heading = "TLS (exit status 9)")]
    pub keylog: Option<PathBuf>,

    /// Take a FIN without a close_notify for an end like any other
    #[arg(long, help_heading = "TLS (exit status 9)")]
    pub accept_fin: bool,
}

/// Whom a client asks for and trusts.
#[derive(Debug, Default, Args)]
pub struct TrustArgs {
    /// Ask for NAME and verify it [default: HOST]
    #[arg(long, value_name = "NAME", help_heading = "TLS (exit status 9)")]
    pub server_name: Option<String>,

    /// Trust these roots (PEM) instead of the system's
    #[arg(long, value_name = "FILE", group = "trust", help_heading = "TLS (exit status 9)")]
    pub ca: Option<PathBuf>,

    /// Trust exactly the certificate with this SHA-256
    #[arg(long, value_name = "SHA256", group = "trust", help_heading = "TLS (exit status 9)")]
    pub pin: Option<String>,

    /// Trust anybody
    #[arg(long, group = "trust", help_heading = "TLS (exit status 9)")]
    pub insecure: bool,
}

/// Whom a listener lets in.
#[derive(Debug, Default, Args)]
pub struct AdmitArgs {
    /// Let in only clients with a certificate from these (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS (exit status 9)")]
    pub client_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// The first option given.
    #[must_use]
    pub fn given(&self) -> Option<&'static str> {
        let options = [
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--alpn", !self.alpn.is_empty()),
            ("--keylog", self.keylog.is_some()),
            ("--accept-fin", self.accept_fin),
        ];
        first(options)
    }
}

impl TrustArgs {
    /// The first option given.
    #[must_use]
    pub fn given(&self) -> Option<&'static str> {
        let options = [
            ("--server-name", self.server_name.is_some()),
            ("--ca", self.ca.is_some()),
            ("--pin", self.pin.is_some()),
            ("--insecure", self.insecure),
        ];
        first(options)
    }
}

impl AdmitArgs {
    /// The first option given.
    #[must_use]
    pub fn given(&self) -> Option<&'static str> {
        first([("--client-ca", self.client_ca.is_some())])
    }
}

fn first<const N: usize>(options: [(&'static str, bool); N]) -> Option<&'static str> {
    options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}
