//! What two peers have agreed on in a TLS handshake, or why they have not: facts for people and programs.

use std::fmt::Write as _;

use serde::Serialize;

/// What is known of a certificate (X.509, RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Certificate {
    /// Whose it is: a distinguished name, such as `CN=example.com`.
    pub subject: String,
    /// The names it is for, such as `DNS:example.com` or `IP:192.0.2.1`.
    pub names: Vec<String>,
    /// Who has signed it.
    pub issuer: String,
    /// From when on it is valid (RFC 3339, UTC).
    #[serde(rename = "not_before")]
    pub valid_from: String,
    /// Until when it is valid.
    #[serde(rename = "not_after")]
    pub valid_until: String,
    /// SHA-256 of its DER form, in hex digits.
    pub sha256: String,
}

/// What the peer's certificate was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trust {
    /// Its name, its dates and its issuers are right.
    Verified,
    /// It is the one that was asked for (`--pin`).
    Pinned,
    /// Nobody has looked (`--insecure`).
    Unverified,
    /// The peer, a client, was not asked for one.
    NotAsked,
    /// The handshake has failed.
    Refused,
}

impl Trust {
    /// In one or two words.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Pinned => "pinned",
            Self::Unverified => "not verified",
            Self::NotAsked => "no certificate asked for",
            Self::Refused => "failed",
        }
    }
}

/// A handshake that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Handshake {
    /// `TLS 1.3`; `None` when it failed before that was agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'static str>,
    /// The cipher suite's name (IANA's registry).
    #[serde(rename = "cipher_suite", skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The protocol that was agreed on by ALPN (RFC 7301).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// What the peer's certificate was taken for.
    pub trust: Trust,
    /// Why the handshake failed, if it did.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What the peer has shown, its own certificate first.
    #[serde(rename = "certificates")]
    pub chain: Vec<Certificate>,
}

impl Handshake {
    /// `TLS 1.3, TLS_AES_128_GCM_SHA256, no ALPN, verified`
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        for part in [self.version, self.suite.as_deref()].into_iter().flatten() {
            let _ = write!(line, "{part}, ");
        }
        match &self.alpn {
            Some(name) => {
                let _ = write!(line, "ALPN {name}, ");
            }
            None if self.version.is_some() => line.push_str("no ALPN, "),
            None => {}
        }
        line.push_str(self.trust.name());
        if let Some(failure) = &self.failure {
            let _ = write!(line, ": {failure}");
        }
        line
    }
}

impl Certificate {
    /// `subject CN=example.com, names DNS:example.com, issuer CN=..., valid ... to ..., SHA-256 ...`
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let names = if self.names.is_empty() { "none".to_owned() } else { self.names.join(" ") };
        let Self { subject, issuer, valid_from, valid_until, sha256, .. } = self;
        format!(
            "subject {subject}, names {names}, issuer {issuer}, valid from {valid_from} until {valid_until}, SHA-256 {sha256}"
        )
    }
}
