//! The loop of a forwarder: turns while something moves, looks at the rest of the world in between, and
//! waits when nothing does.

use crate::error::Result;
use crate::forward::table::Table;
use crate::run::between::{Between, TURNS_BETWEEN_LOOKS};
use crate::run::session::Session;

/// What a forwarder does in its loop.
pub(super) trait Rounds {
    /// What it keeps of each client.
    type Member;

    /// The clients.
    fn members(&mut self) -> &mut Table<Self::Member>;

    /// Does what can be done now; whether anything moved.
    ///
    /// # Errors
    /// What ends the run.
    fn round(&mut self, session: &mut Session) -> Result<bool>;

    /// How the run ends, once it does.
    fn ended(&mut self) -> Option<Result<()>>;

    /// Waits until something is ready or due. While text waits for its reader, which is when it is
    /// congested, nothing moves, however due it is.
    ///
    /// # Errors
    /// A limit of the run, or a signal.
    fn wait(&mut self, congested: bool, session: &mut Session) -> Result<()>;
}

/// Goes on until the forwarder has ended.
///
/// # Errors
/// As the forwarder's own, and signals and limits.
pub(super) fn run_to_end(forwarder: &mut impl Rounds, session: &mut Session) -> Result<()> {
    let mut between = Between::new(TURNS_BETWEEN_LOOKS);
    loop {
        let congested = session.is_congested();
        let moved = !congested && forwarder.round(session)?;
        if let Some(result) = forwarder.ended() {
            return result;
        }
        let looked = between.turns(moved, session, |session| forwarder.wait(congested, session))?;
        if !looked {
            continue;
        }
        let members = forwarder.members();
        for latch in session.reactor.fired() {
            members.fired(latch);
        }
        members.list_due(session.looked_at());
    }
}
