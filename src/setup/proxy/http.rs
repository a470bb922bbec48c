//! HTTP CONNECT as a client (RFC 9110, 9.3.6; RFC 9112), with the Basic scheme of RFC 7617.

use data_encoding::BASE64;
use httparse::{EMPTY_HEADER, Error as Malformed, Response, Status as Parsed};

use super::place::Destination;
use super::refusal::{Refusal, Step};
use crate::error::Status;

/// The longest head of an answer, in bytes, interim answers included.
const LONGEST_HEAD: usize = 16 * 1024;

/// The most header fields of an answer.
const MOST_FIELDS: usize = 128;

/// How every answer begins.
const BEGINNING: &[u8] = b"HTTP/1.";

/// The request.
pub(super) fn ask(
    credentials: Option<&(Vec<u8>, Vec<u8>)>,
    destination: &Destination,
    output: &mut Vec<u8>,
) {
    let mut text = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
    if let Some((user, password)) = credentials {
        let both = [user, b":".as_slice(), password].concat();
        text += &format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(&both));
    }
    text += "\r\n";
    output.extend_from_slice(text.as_bytes());
}

/// The client's side, once it has asked.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// What has come of the present answer.
    head: Vec<u8>,
    /// Bytes of all answers.
    total: usize,
}

impl Client {
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Step), Refusal> {
        let mut taken = 0;
        while taken < bytes.len() {
            // Up to the end of a line: nothing behind the head may be taken.
            let rest = &bytes[taken..];
            let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            self.head.extend_from_slice(&rest[..line]);
            taken += line;
            self.total += line;
            let known = self.head.len().min(BEGINNING.len());
            if self.head[..known] != BEGINNING[..known] {
                return Err(Refusal::by_proxy("what it answers is not HTTP"));
            }
            if self.total > LONGEST_HEAD {
                let why = format!("its answer has a head of more than {LONGEST_HEAD} bytes");
                return Err(Refusal::by_proxy(why));
            }
            if self.head.ends_with(b"\n") && self.is_done()? {
                return Ok((taken, Step::Done));
            }
        }
        Ok((taken, Step::More))
    }

    /// Whether the proxy has connected. An interim answer is forgotten.
    fn is_done(&mut self) -> Result<bool, Refusal> {
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut response = Response::new(&mut fields);
        match response.parse(&self.head) {
            Ok(Parsed::Partial) => return Ok(false),
            Ok(Parsed::Complete(_)) => {}
            Err(Malformed::TooManyHeaders) => {
                let why = format!("its answer has more than {MOST_FIELDS} header fields");
                return Err(Refusal::by_proxy(why));
            }
            Err(cause) => {
                return Err(Refusal::by_proxy(format!("what it answers is not HTTP: {cause}")));
            }
        }
        match response.code.unwrap_or_default() {
            200..=299 => Ok(true),
            100..=199 => {
                self.head.clear();
                Ok(false)
            }
            code => Err(refused(code, &response)),
        }
    }
}

/// Why there is no connection. Of the status codes only that of a timeout says why the destination was not reached
/// (RFC 9110, 15.6); the others mean whatever a proxy takes them for. Proxy-Status (RFC 9209) tells, and so does Squid in
/// a field of its own.
fn refused(code: u16, response: &Response<'_, '_>) -> Refusal {
    let field = |name: &str| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).into_owned())
    };
    let mut words = format!("{code} {}", response.reason.unwrap_or_default()).trim_end().to_owned();
    let (status, squid) = (field("Proxy-Status"), field("X-Squid-Error"));
    for detail in [&status, &squid].into_iter().flatten() {
        words += &format!("; {detail}");
    }
    let says = |name: &str| {
        status.as_ref().is_some_and(|status| status.contains(&format!("error={name}")))
    };
    // ERR_CONNECT_FAIL and the number of Linux's errno.
    let errno = squid
        .as_deref()
        .and_then(|text| text.strip_prefix("ERR_CONNECT_FAIL ")?.trim().parse().ok());
    let refusal = if says("connection_refused") || errno == Some(libc::ECONNREFUSED) {
        Refusal::by_destination(Status::Refused, "connection refused")
    } else if says("destination_ip_unroutable")
        || matches!(errno, Some(libc::EHOSTUNREACH | libc::ENETUNREACH))
    {
        Refusal::by_destination(Status::Unreachable, "no route to host")
    } else if says("connection_timeout") || errno == Some(libc::ETIMEDOUT) {
        Refusal::by_destination(Status::TimedOut, "timed out")
    } else {
        match code {
            407 => Refusal::by_proxy("wants to know who asks: --proxy takes USER:PASS@"),
            504 => Refusal::by_destination(Status::TimedOut, "timed out"),
            502 | 503 => Refusal::by_destination(Status::Failure, "not reached"),
            300..=399 => Refusal::by_proxy("sends us elsewhere"),
            _ => Refusal::by_proxy("refuses"),
        }
    };
    refusal.in_words(words)
}
