//! Pseudo-random bytes that the sending and the receiving side of a test can each generate, so that large
//! transfers need not be kept in memory.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// A stream of bytes that depends only on its seed, and not on the sizes in which it is read.
///
/// It repeats one block of xorshift64* numbers, with the number of the repetition at the start of each. That
/// costs little to generate, and lost, duplicated or moved bytes are noticed.
#[derive(Debug, Clone)]
pub struct Random {
    block: Vec<u8>,
    at: usize,
    round: u64,
}

/// A prime number, so that it is no multiple of a usual buffer size.
const BLOCK: usize = 262_139;

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_F491_4F6C_DD1D)
        };
        let mut block: Vec<u8> = (0..BLOCK / 8 + 1).flat_map(|_| next().to_le_bytes()).collect();
        block.truncate(BLOCK);
        Self { block, at: 0, round: 0 }
    }

    /// Fills a buffer with the next bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        let mut rest = buffer;
        while !rest.is_empty() {
            if self.at == BLOCK {
                self.at = 0;
                self.round += 1;
                self.block[..8].copy_from_slice(&self.round.to_le_bytes());
            }
            let count = rest.len().min(BLOCK - self.at);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&self.block[self.at..self.at + count]);
            self.at += count;
            rest = later;
        }
    }
}

/// The first `len` bytes of a seed's stream.
pub fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Random::new(seed).fill(&mut bytes);
    bytes
}

/// Writes the first `len` bytes of a seed's stream in pieces of an unusual size; returns how many were
/// written before an error, if there was one.
pub fn write_random(mut sink: impl Write, seed: u64, len: u64) -> u64 {
    // Neither a divisor nor a multiple of any buffer size in use.
    let mut buffer = vec![0; 50_021];
    let mut random = Random::new(seed);
    let mut written = 0;
    while written < len {
        let count = usize::try_from(len - written).unwrap_or(usize::MAX).min(buffer.len());
        random.fill(&mut buffer[..count]);
        if sink.write_all(&buffer[..count]).is_err() {
            break;
        }
        written += count as u64;
    }
    written
}

/// Writes a seed's stream to a non-blocking sink until it has taken nothing for a while; returns how many
/// bytes it took. Tests use it to fill everything up to where backpressure stops the sender.
#[track_caller]
pub fn write_until_stalled(sink: &mut impl Write, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let (mut buffer, mut left, mut total) = (vec![0; 50_021], 0, 0);
    settled("the writing to stall", || {
        loop {
            if left == 0 {
                random.fill(&mut buffer);
                left = buffer.len();
            }
            match sink.write(&buffer[buffer.len() - left..]) {
                Ok(count) => {
                    left -= count;
                    total += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return total,
                Err(error) => panic!("after {total} bytes: {error}"),
            }
        }
    })
}

/// Reads to the end and compares with a seed's stream; returns how many bytes there were.
#[track_caller]
pub fn check_random(mut source: impl Read, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let (mut got, mut wanted) = (vec![0; 65536], vec![0; 65536]);
    let mut total = 0;
    loop {
        let count =
            source.read(&mut got).unwrap_or_else(|error| panic!("after {total} bytes: {error}"));
        if count == 0 {
            return total;
        }
        random.fill(&mut wanted[..count]);
        assert!(
            got[..count] == wanted[..count],
            "other bytes between {total} and {}",
            total + count as u64
        );
        total += count as u64;
    }
}

/// Panics unless both are equal; the message has the lengths and the first difference, and not megabytes of
/// numbers.
#[track_caller]
pub fn assert_same(got: &[u8], wanted: &[u8]) {
    if got != wanted {
        let at = got.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        panic!("got {} bytes, wanted {}; they differ from byte {at} on", got.len(), wanted.len());
    }
}

/// Waits until a growing number has not changed for a while, that is until a transfer has stalled; returns
/// the number.
#[track_caller]
pub fn settled(what: &str, mut number: impl FnMut() -> u64) -> u64 {
    let (mut last, mut since) = (number(), Instant::now());
    super::eventually(what, || {
        let now = number();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(250)).then_some(last)
    })
}
