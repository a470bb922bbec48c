//! What is said to a proxy and what its answers mean, whichever protocol it speaks.

use super::http;
use super::place::{Destination, Kind, Proxy};
use super::refusal::{Refusal, Step};
use super::socks;

/// What is said to a proxy, and what it answers: bytes in, bytes out.
#[derive(Debug)]
pub struct Dialogue {
    speaker: Speaker,
    output: Vec<u8>,
}

#[derive(Debug)]
enum Speaker {
    Socks(socks::Client),
    Http(http::Client),
}

impl Dialogue {
    /// The beginning of a dialogue that asks this proxy for a connection.
    #[must_use]
    pub fn new(proxy: &Proxy, destination: &Destination) -> Self {
        let credentials = proxy.credentials.clone();
        let mut output = Vec::new();
        let speaker = match proxy.kind {
            Kind::Socks5 => {
                let client = socks::Client::new(credentials, destination.clone());
                client.greet(&mut output);
                Speaker::Socks(client)
            }
            Kind::Http => {
                http::ask(credentials.as_ref(), destination, &mut output);
                Speaker::Http(http::Client::default())
            }
        };
        Self { speaker, output }
    }

    /// What is to be sent now. Whatever of it has been sent is to be removed.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes what the proxy sends: how many bytes of it belong to its answers, at least one unless
    /// there are none, and how far the dialogue has come. What follows `Done` is the destination's.
    ///
    /// # Errors
    /// When the proxy refuses, or what it sends is no answer.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, Step), Refusal> {
        match &mut self.speaker {
            Speaker::Socks(client) => client.take(bytes, &mut self.output),
            Speaker::Http(client) => client.take(bytes),
        }
    }
}
