//! Random orders of events for tests: each has a number, and can be walked again by it.

/// Walks the orders with the numbers from 0 to `count`, or the one that `PKTCAT_SEED` names. One that fails
/// names itself.
pub(super) fn walk_seeds(count: u64, walk: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let seeds = match std::env::var("PKTCAT_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("PKTCAT_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| walk(seed)) {
            eprintln!("PKTCAT_SEED={seed} walks this order again");
            std::panic::resume_unwind(panic);
        }
    }
}
