//! SOCKS5 as a client: RFC 1928, with user and password by RFC 1929.

use std::net::IpAddr;

use super::place::Destination;
use super::refusal::{Refusal, Step};
use crate::error::Status;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
/// The version of the dialogue about user and password.
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What the next answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The method of authentication.
    Method,
    /// Whether user and password are right.
    Verdict,
    /// What became of the request, up to the first byte of an address.
    Reply,
    /// The rest of it: an address and a port that mean nothing to us.
    Rest,
}

impl Expected {
    /// Bytes of this part of an answer.
    fn length(self) -> usize {
        match self {
            Self::Method | Self::Verdict => 2,
            // Version, reply, reserved, type of address, and what may be the length of a name.
            Self::Reply => 5,
            Self::Rest => 0,
        }
    }
}

/// The client's side.
#[derive(Debug)]
pub(super) struct Client {
    credentials: Option<(Vec<u8>, Vec<u8>)>,
    destination: Destination,
    expected: Expected,
    /// What has come of the answer, and how long it is.
    answer: Vec<u8>,
    length: usize,
}

impl Client {
    pub(super) fn new(credentials: Option<(Vec<u8>, Vec<u8>)>, destination: Destination) -> Self {
        let expected = Expected::Method;
        Self { credentials, destination, expected, answer: Vec::new(), length: expected.length() }
    }

    /// Says which methods of authentication there are.
    pub(super) fn greet(&self, output: &mut Vec<u8>) {
        match self.credentials {
            None => output.extend([VERSION, 1, NO_AUTHENTICATION]),
            Some(_) => output.extend([VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD]),
        }
    }

    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(usize, Step), Refusal> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            let n = rest.len().min(self.length - self.answer.len());
            self.answer.extend_from_slice(&rest[..n]);
            taken += n;
            if self.answer.len() < self.length {
                // What is wrong already is not waited for.
                self.check_version()?;
                return Ok((taken, Step::More));
            }
            match self.answered(output)? {
                None => return Ok((taken, Step::Done)),
                Some(expected) => {
                    self.expected = expected;
                    if expected != Expected::Rest {
                        self.length = expected.length();
                        self.answer.clear();
                    }
                }
            }
            if taken == bytes.len() {
                return Ok((taken, Step::More));
            }
        }
    }

    fn check_version(&self) -> Result<(), Refusal> {
        let wanted = match self.expected {
            Expected::Verdict => PASSWORD_VERSION,
            _ => VERSION,
        };
        match self.answer.first() {
            Some(&version) if version != wanted => Err(Refusal::by_proxy(format!(
                "what it answers is not SOCKS5: it begins with byte {version}"
            ))),
            _ => Ok(()),
        }
    }

    /// Deals with a whole part of an answer: what is expected next, if anything.
    fn answered(&mut self, output: &mut Vec<u8>) -> Result<Option<Expected>, Refusal> {
        self.check_version()?;
        let second = self.answer.get(1).copied().unwrap_or_default();
        match (self.expected, second) {
            (Expected::Method, NO_AUTHENTICATION) | (Expected::Verdict, 0) => {
                self.request(output);
                Ok(Some(Expected::Reply))
            }
            (Expected::Method, USER_AND_PASSWORD) if self.credentials.is_some() => {
                self.authenticate(output);
                Ok(Some(Expected::Verdict))
            }
            (Expected::Method, method) => Err(match (method, &self.credentials) {
                (0xff, None) => Refusal::by_proxy("wants to know who asks")
                    .in_words("no acceptable method; --proxy takes USER:PASS@"),
                (0xff, Some(_)) => Refusal::by_proxy("takes neither nobody nor user and password"),
                _ => Refusal::by_proxy(format!("chose method {method}, which it was not offered")),
            }),
            (Expected::Verdict, code) => {
                Err(Refusal::by_proxy("does not know this user and password")
                    .in_words(format!("status {code}")))
            }
            (Expected::Reply, 0) => {
                let address = match self.answer[3] {
                    IPV4 => 4,
                    IPV6 => 16,
                    // The length is the byte that has been read already.
                    NAME => 1 + usize::from(self.answer[4]),
                    other => {
                        let why = format!("what it answers is not SOCKS5: type of address {other}");
                        return Err(Refusal::by_proxy(why));
                    }
                };
                self.length = 4 + address + 2;
                Ok(Some(Expected::Rest))
            }
            (Expected::Reply, code) => Err(refused(code)),
            (Expected::Rest, _) => Ok(None),
        }
    }

    fn authenticate(&self, output: &mut Vec<u8>) {
        let Some((user, password)) = &self.credentials else { return };
        output.push(PASSWORD_VERSION);
        for part in [user, password] {
            // At most 255: that was checked when they were read.
            output.push(part.len() as u8);
            output.extend_from_slice(part);
        }
    }

    fn request(&self, output: &mut Vec<u8>) {
        output.extend([VERSION, CONNECT, 0]);
        match self.destination.address() {
            Some(IpAddr::V4(address)) => {
                output.push(IPV4);
                output.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                output.push(IPV6);
                output.extend(address.octets());
            }
            None => {
                output.extend([NAME, self.destination.host.len() as u8]);
                output.extend_from_slice(self.destination.host.as_bytes());
            }
        }
        output.extend(self.destination.port.to_be_bytes());
    }
}

/// What the reply means (RFC 1928, 6).
fn refused(code: u8) -> Refusal {
    let words = |name: &str| format!("{name} (reply {code})");
    match code {
        1 => Refusal::by_proxy("has failed").in_words(words("general SOCKS server failure")),
        2 => Refusal::by_proxy("does not allow it")
            .in_words(words("connection not allowed by ruleset")),
        3 => Refusal::by_destination(Status::Unreachable, "network is unreachable")
            .in_words(words("network unreachable")),
        4 => Refusal::by_destination(Status::Unreachable, "no route to host")
            .in_words(words("host unreachable")),
        5 => Refusal::by_destination(Status::Refused, "connection refused")
            .in_words(words("connection refused")),
        // The time to live of a packet is nothing that a proxy hears of: proxies such as Dante and Tor reply this when
        // time has run out.
        6 => Refusal::by_destination(Status::TimedOut, "timed out").in_words(words("TTL expired")),
        7 => Refusal::by_proxy("makes no connections").in_words(words("command not supported")),
        8 => Refusal::by_proxy("knows no such addresses")
            .in_words(words("address type not supported")),
        _ => Refusal::by_proxy("has failed").in_words(format!("reply {code}")),
    }
}
