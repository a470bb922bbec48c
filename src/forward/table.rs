//! The clients of a forwarder, and which of them may have something to do: because a descriptor of
//! theirs is ready, or because their time has come.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Instant;

/// Members by their place in the table. Each has any number of latches and at most one deadline.
#[derive(Debug)]
pub(super) struct Table<M> {
    members: Vec<Option<Box<M>>>,
    places: Vec<Place>,
    free: Vec<usize>,
    present: usize,
    /// The place of the member that a latch belongs to, by the latch's id.
    owners: Vec<Option<usize>>,
    /// Places of members that may have something to do, each once.
    ready: VecDeque<usize>,
    /// When members are due, with their places.
    due: BTreeSet<(Instant, usize)>,
    /// Those that would give up their places for others, and since when.
    yielding: BTreeSet<(Instant, usize)>,
}

/// What is known of a place, whoever has it.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    listed: bool,
    deadline: Option<Instant>,
    yields: Option<Instant>,
}

impl<M> Table<M> {
    pub(super) fn new() -> Self {
        Self {
            members: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            present: 0,
            owners: Vec::new(),
            ready: VecDeque::new(),
            due: BTreeSet::new(),
            yielding: BTreeSet::new(),
        }
    }

    /// How many members there are, with the one that has its turn.
    pub(super) fn present(&self) -> usize {
        self.present
    }

    /// Adds a member, which may have something to do; its place.
    pub(super) fn add(&mut self, member: Box<M>) -> usize {
        let place = self.free.pop().unwrap_or(self.members.len());
        if place == self.members.len() {
            self.members.push(None);
            self.places.push(Place::default());
        }
        self.members[place] = Some(member);
        self.present += 1;
        self.list(place);
        place
    }

    /// The member at a place.
    pub(super) fn get(&self, place: usize) -> Option<&M> {
        self.members.get(place)?.as_deref()
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut M> {
        self.members.get_mut(place)?.as_deref_mut()
    }

    /// All places; there is not a member at each.
    pub(super) fn places(&self) -> Range<usize> {
        0..self.members.len()
    }

    /// Takes a member out.
    pub(super) fn take(&mut self, place: usize) -> Option<Box<M>> {
        self.members.get_mut(place)?.take()
    }

    /// From now on what happens to this latch concerns this member.
    pub(super) fn own(&mut self, latch: usize, place: usize) {
        if self.owners.len() <= latch {
            self.owners.resize(latch + 1, None);
        }
        self.owners[latch] = Some(place);
    }

    /// Something has happened to a latch.
    pub(super) fn fired(&mut self, latch: usize) {
        if let Some(Some(place)) = self.owners.get(latch).copied() {
            self.list(place);
        }
    }

    /// A member may have something to do.
    pub(super) fn list(&mut self, place: usize) {
        if self.members[place].is_some() && !self.places[place].listed {
            self.places[place].listed = true;
            self.ready.push_back(place);
        }
    }

    /// Lists those whose time has come.
    pub(super) fn list_due(&mut self, now: Instant) {
        while let Some((at, place)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, place));
            self.places[place].deadline = None;
            self.list(place);
        }
    }

    /// When the next member is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many members are listed.
    pub(super) fn listed(&self) -> usize {
        self.ready.len()
    }

    /// Takes out the next member that is listed, with its place: it has its turn.
    pub(super) fn take_listed(&mut self) -> Option<(usize, Box<M>)> {
        let place = self.ready.pop_front()?;
        self.places[place].listed = false;
        Some((place, self.members[place].take()?))
    }

    /// A member's turn is over; when it is due next.
    pub(super) fn put_back(&mut self, place: usize, member: Box<M>, deadline: Option<Instant>) {
        self.members[place] = Some(member);
        self.set_deadline(place, deadline);
    }

    /// A member that was taken out does not come back. Its latches are no more, or will belong to
    /// whoever gets their ids.
    pub(super) fn forget(&mut self, place: usize) {
        self.set_deadline(place, None);
        self.set_yielding(place, None);
        self.free.push(place);
        self.present -= 1;
    }

    /// Takes all members out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<M>> {
        self.due.clear();
        self.yielding.clear();
        self.ready.clear();
        self.present = 0;
        self.places.clear();
        self.free.clear();
        std::mem::take(&mut self.members).into_iter().flatten()
    }

    /// Since when a member would give up its place for another one, if it would.
    pub(super) fn set_yielding(&mut self, place: usize, since: Option<Instant>) {
        change(&mut self.yielding, place, &mut self.places[place].yields, since);
    }

    /// The places of those that would give them up, and who gives it up first comes first.
    pub(super) fn yielding(&self) -> impl Iterator<Item = usize> {
        self.yielding.iter().map(|(_, place)| *place)
    }

    fn set_deadline(&mut self, place: usize, deadline: Option<Instant>) {
        change(&mut self.due, place, &mut self.places[place].deadline, deadline);
    }
}

/// A place has another time, or none, among `times`.
fn change(
    times: &mut BTreeSet<(Instant, usize)>,
    place: usize,
    time: &mut Option<Instant>,
    new: Option<Instant>,
) {
    let before = std::mem::replace(time, new);
    if before == new {
        return;
    }
    if let Some(at) = before {
        times.remove(&(at, place));
    }
    if let Some(at) = new {
        times.insert((at, place));
    }
}
