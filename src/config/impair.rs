//! The words of `--impair`: `loss=5%,delay=20ms,rate=1M,seed=1`.

use crate::engine::impair::{Key, Spec, Traffic};
use crate::error::{Error, Result};
use crate::units;

/// Reads them, each key at most once. `option` is where they stand, for what is said of them; a
/// key that means nothing for `traffic` is refused. Without a seed one is drawn.
///
/// # Errors
/// A usage error that names the part.
pub fn spec(option: &str, words: &str, traffic: Traffic) -> Result<Spec> {
    // Few digits, as people copy it from the output by hand.
    let mut spec = Spec { seed: fastrand::u64(1..10_000), ..Spec::default() };
    let mut seen = Vec::new();
    for word in words.split(',') {
        let wrong = |why: &str| Error::usage(format!("{option} {word}"), why);
        let Some((name, value)) = word.split_once('=') else {
            return Err(wrong("is written NAME=VALUE").hint(traffic.keys()));
        };
        let key = Key::ALL.into_iter().find(|key| key.name() == name);
        let key = key.ok_or_else(|| wrong("is nothing it can do").hint(traffic.keys()))?;
        if !traffic.has(key) {
            let why = format!("means nothing for {traffic}");
            return Err(wrong(&why).hint(traffic.keys()));
        }
        if seen.contains(&key) {
            return Err(wrong("stands there twice"));
        }
        seen.push(key);
        set(&mut spec, key, value).map_err(|why| wrong(&why))?;
    }
    if spec.queue.is_some() && spec.rate.is_none() {
        let error = Error::usage(format!("{option} {words}"), "queue= needs rate=");
        return Err(error.hint("it is what may wait for the rate"));
    }
    Ok(spec)
}

fn set(spec: &mut Spec, key: Key, value: &str) -> std::result::Result<(), String> {
    match key {
        Key::Loss => spec.loss = Some(share(value)?),
        Key::Duplicate => spec.duplicate = Some(share(value)?),
        Key::Reorder => spec.reorder = Some(share(value)?),
        Key::Corrupt => spec.corrupt = Some(share(value)?),
        Key::Delay => spec.delay = Some(units::duration(value)?),
        Key::Jitter => spec.jitter = Some(units::duration(value)?),
        Key::Rate => spec.rate = Some(at_least(1, units::bits(value)?, "a bit a second")?),
        Key::Queue => spec.queue = Some(units::size(value)?),
        Key::Mtu => spec.mtu = Some(mtu(value)?),
        Key::Slice => {
            let bytes = at_least(1, units::size(value)?, "a byte")?;
            spec.slice = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Key::Reset => spec.reset = Some(units::size(value)?),
        Key::Stall => spec.stall = Some(units::size(value)?),
        Key::Seed => {
            spec.seed =
                value.parse().map_err(|_| format!("a seed is a number from 0 to {}", u64::MAX))?
        }
    }
    Ok(())
}

fn at_least(least: u64, value: u64, what: &str) -> std::result::Result<u64, String> {
    if value < least { Err(format!("must be at least {what}")) } else { Ok(value) }
}

/// The bounds of an IP packet: what every IPv4 host takes (RFC 791) and what the length field can say.
const MTU: std::ops::RangeInclusive<u64> = 576..=65_535;

fn mtu(value: &str) -> std::result::Result<u32, String> {
    let bytes = units::size(value)?;
    let why = || format!("must be {} to {} bytes", MTU.start(), MTU.end());
    u32::try_from(bytes).ok().filter(|_| MTU.contains(&bytes)).ok_or_else(why)
}

/// Parses a share such as `5%` or `0.05`.
fn share(text: &str) -> std::result::Result<f64, String> {
    let (number, of) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok().map(|number| number / of);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is written 5% or 0.05, and is 100% at most".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packets(words: &str) -> Result<Spec> {
        spec("--impair", words, Traffic::Packets)
    }

    #[test]
    fn damage_is_read_part_by_part() {
        let words = "loss=5%,dup=0.01,reorder=2.5%,corrupt=1%,delay=20ms,jitter=5ms,rate=10M,queue=64KiB,mtu=1500,seed=7";
        let want = Spec {
            loss: Some(0.05),
            duplicate: Some(0.01),
            reorder: Some(0.025),
            corrupt: Some(0.01),
            delay: Some(Duration::from_millis(20)),
            jitter: Some(Duration::from_millis(5)),
            rate: Some(10_000_000),
            queue: Some(65_536),
            mtu: Some(1500),
            seed: 7,
            ..Spec::default()
        };
        let all = packets(words).unwrap();
        assert_eq!(all, want);
        assert_eq!(packets(&all.to_string()).unwrap(), want);
        assert!((1..10_000).contains(&packets("loss=0%").unwrap().seed));
        let streams = spec("--impair", "slice=3,reset=1k,stall=1KiB", Traffic::Streams).unwrap();
        assert_eq!(
            (streams.slice, streams.reset, streams.stall),
            (Some(3), Some(1000), Some(1024))
        );
    }

    #[test]
    fn what_is_wrong_is_refused_and_named() {
        for bad in [
            "",
            "loss",
            "loss=",
            "loss=101%",
            "loss=-1%",
            "loss=nan",
            "loss=1%,loss=2%",
            "lost=1%",
            "delay=x",
            "seed=-1",
            "loss=1%,",
            "rate=0",
            "rate=x",
            "mtu=10",
            "mtu=65536",
            "queue=1k",
            "slice=1",
            "seed=1,seed=1",
        ] {
            assert!(packets(bad).is_err(), "{bad:?}");
        }
        for (words, traffic) in [
            ("loss=1%", Traffic::Streams),
            ("mtu=1500", Traffic::Streams),
            ("slice=1", Traffic::Datagrams),
            ("rate=1M,queue=64KiB", Traffic::Datagrams),
        ] {
            let error = spec("--impair-up", words, traffic).unwrap_err().to_string();
            assert!(error.contains("means nothing for"), "{error}");
            assert!(error.contains("--impair-up"), "{error}");
        }
        assert!(spec("--impair", "slice=0", Traffic::Streams).is_err());
    }
}
