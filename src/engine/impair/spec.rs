//! What is asked for: the keys of `--impair` with their values.

use std::fmt;
use std::time::Duration;

/// A key of `--impair`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The share of messages that are lost.
    Loss,
    /// The share that arrive twice.
    Duplicate,
    /// The share that the next one overtakes.
    Reorder,
    /// The share that arrive with one bit changed.
    Corrupt,
    /// How long each takes.
    Delay,
    /// How much longer or shorter than that.
    Jitter,
    /// Bits a second.
    Rate,
    /// What may wait for the rate, in bytes.
    Queue,
    /// The longest packet, in bytes.
    Mtu,
    /// The most bytes a write.
    Slice,
    /// After how many bytes a connection is reset.
    Reset,
    /// After how many bytes nothing more passes.
    Stall,
    /// Where the draws begin.
    Seed,
}

impl Key {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 13] = [
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Corrupt,
        Self::Delay,
        Self::Jitter,
        Self::Rate,
        Self::Queue,
        Self::Mtu,
        Self::Slice,
        Self::Reset,
        Self::Stall,
        Self::Seed,
    ];

    /// The word of the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplicate => "dup",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
            Self::Delay => "delay",
            Self::Jitter => "jitter",
            Self::Rate => "rate",
            Self::Queue => "queue",
            Self::Mtu => "mtu",
            Self::Slice => "slice",
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::Seed => "seed",
        }
    }
}

/// What is impaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Datagrams of a socket.
    Datagrams,
    /// The bytes of a connection.
    Streams,
    /// IP packets of a network.
    Packets,
}

impl Traffic {
    /// Whether a key means anything here.
    #[must_use]
    pub fn has(self, key: Key) -> bool {
        match key {
            Key::Delay | Key::Jitter | Key::Rate | Key::Seed => true,
            Key::Loss | Key::Duplicate | Key::Reorder | Key::Corrupt => self != Self::Streams,
            Key::Slice | Key::Reset | Key::Stall => self == Self::Streams,
            Key::Queue | Key::Mtu => self == Self::Packets,
        }
    }

    /// The keys that mean something here, in a sentence: `loss, dup and seed`.
    #[must_use]
    pub fn keys(self) -> String {
        let known = Key::ALL.into_iter().filter(|key| self.has(*key)).map(Key::name);
        let known: Vec<_> = known.collect();
        match known.split_last() {
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Datagrams => "datagrams",
            Self::Streams => "a byte stream",
            Self::Packets => "packets",
        })
    }
}

/// Everything asked for in one `--impair`. What is `None` was not.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spec {
    /// The share of messages that are lost, from 0 to 1, as are the next three.
    pub loss: Option<f64>,
    /// The share that arrive twice.
    pub duplicate: Option<f64>,
    /// The share that the next one overtakes.
    pub reorder: Option<f64>,
    /// The share that arrive with one bit changed.
    pub corrupt: Option<f64>,
    /// How long each message, or piece of a stream, takes.
    pub delay: Option<Duration>,
    /// How much longer or shorter than that it may take. It changes no order.
    pub jitter: Option<Duration>,
    /// Bits a second, at least 1: of payload for datagrams and streams, of IP for packets.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate; what comes on top is dropped.
    pub queue: Option<u64>,
    /// Bytes of the longest packet.
    pub mtu: Option<u32>,
    /// The most bytes that are written to a stream at once, at least 1.
    pub slice: Option<usize>,
    /// A connection is reset after so many bytes.
    pub reset: Option<u64>,
    /// Nothing passes any more after so many bytes.
    pub stall: Option<u64>,
    /// Where the draws begin. Always there after parsing, so that a run can be had again.
    pub seed: u64,
}

impl Spec {
    /// Whether this key was given. The seed does nothing by itself and counts as given nowhere.
    #[must_use]
    pub fn has(&self, key: Key) -> bool {
        match key {
            Key::Loss => self.loss.is_some(),
            Key::Duplicate => self.duplicate.is_some(),
            Key::Reorder => self.reorder.is_some(),
            Key::Corrupt => self.corrupt.is_some(),
            Key::Delay => self.delay.is_some(),
            Key::Jitter => self.jitter.is_some(),
            Key::Rate => self.rate.is_some(),
            Key::Queue => self.queue.is_some(),
            Key::Mtu => self.mtu.is_some(),
            Key::Slice => self.slice.is_some(),
            Key::Reset => self.reset.is_some(),
            Key::Stall => self.stall.is_some(),
            Key::Seed => false,
        }
    }

    /// The keys given that mean nothing for this traffic.
    pub fn meaningless_for(&self, traffic: Traffic) -> impl Iterator<Item = Key> {
        Key::ALL.into_iter().filter(move |key| self.has(*key) && !traffic.has(*key))
    }

    /// The delay of one message: that asked for, shifted by up to the jitter either way. `draw` is
    /// between 0 and 1.
    pub(super) fn delayed(&self, draw: f64) -> Duration {
        let jitter = self.jitter.unwrap_or_default();
        (self.delay.unwrap_or_default() + jitter.mul_f64(2.0 * draw)).saturating_sub(jitter)
    }

    /// The generator of one direction. Each direction, and each client, has its own: what one of
    /// them sees must not change the fate of what another one sends.
    pub(super) fn random(&self, lane: u64) -> fastrand::Rng {
        // The multiplier spreads neighbouring numbers (Steele et al., splitmix64).
        let apart = lane.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        fastrand::Rng::with_seed(self.seed.wrapping_add(apart))
    }
}

/// As it is written on the command line: `loss=5%,delay=20ms,seed=1`.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |share: Option<f64>| share.map(percent);
        let time = |time: Option<Duration>| time.map(exact_time);
        let values = [
            share(self.loss),
            share(self.duplicate),
            share(self.reorder),
            share(self.corrupt),
            time(self.delay),
            time(self.jitter),
            self.rate.map(|bits| bits.to_string()),
            self.queue.map(|bytes| bytes.to_string()),
            self.mtu.map(|bytes| bytes.to_string()),
            self.slice.map(|bytes| bytes.to_string()),
            self.reset.map(|bytes| bytes.to_string()),
            self.stall.map(|bytes| bytes.to_string()),
            Some(self.seed.to_string()),
        ];
        let mut comma = "";
        for (key, value) in Key::ALL.into_iter().zip(values) {
            if let Some(value) = value {
                write!(f, "{comma}{}={value}", key.name())?;
                comma = ",";
            }
        }
        Ok(())
    }
}

/// `5%`, `2.5%`; what is no round number of thousandths of a percent is written as a share.
fn percent(share: f64) -> String {
    let percent = (share * 1e5).round() / 1e3;
    if percent / 100.0 == share { format!("{percent}%") } else { share.to_string() }
}

fn exact_time(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_means_something_to_somebody_and_the_common_ones_to_all() {
        for key in Key::ALL {
            let whom = [Traffic::Datagrams, Traffic::Streams, Traffic::Packets];
            let known = whom.into_iter().filter(|traffic| traffic.has(key)).count();
            let want = match key {
                Key::Delay | Key::Jitter | Key::Rate | Key::Seed => 3,
                Key::Slice | Key::Reset | Key::Stall | Key::Queue | Key::Mtu => 1,
                Key::Loss | Key::Duplicate | Key::Reorder | Key::Corrupt => 2,
            };
            assert_eq!(known, want, "{key:?}");
        }
        assert_eq!(Traffic::Streams.keys(), "delay, jitter, rate, slice, reset, stall and seed");
    }

    #[test]
    fn what_means_nothing_is_named() {
        let spec = Spec { loss: Some(0.0), slice: Some(1), seed: 3, ..Spec::default() };
        let of = |traffic| spec.meaningless_for(traffic).collect::<Vec<_>>();
        assert_eq!(of(Traffic::Datagrams), [Key::Slice]);
        assert_eq!(of(Traffic::Streams), [Key::Loss]);
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let spec = Spec {
            loss: Some(0.05),
            duplicate: Some(0.025),
            delay: Some(Duration::from_millis(1500)),
            rate: Some(10_000_000),
            seed: 7,
            ..Spec::default()
        };
        let want = "loss=5%,dup=2.5%,delay=1s500ms,rate=10000000,seed=7";
        assert_eq!(spec.to_string(), want);
    }
}
