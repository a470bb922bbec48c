//! A pattern, and the search for it in bytes that come one piece after the other.
//!
//! The search is a finite automaton that is made as it runs (a lazy DFA). It looks at each byte once and
//! keeps none, so that a match may be of any length, and what it finds does not depend on how the
//! bytes are cut: the match that is complete first.

use std::fmt;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ast::{self, Ast, Flag, Visitor};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::engine::framing::escape;

/// What an automaton may take in memory before it is refused: the limit of the `regex` crate.
const LARGEST: usize = 10 << 20;

/// What the states that were made in searching may take; then they are dropped and made anew.
const CACHE: usize = 512 << 10;

/// Bytes of a pattern that errors show.
const SHOWN: usize = 60;

/// What is waited for.
#[derive(Clone)]
pub(crate) struct Pattern {
    dfa: DFA,
    /// Whether what follows a match may decide on it.
    looks_around: bool,
    /// Bytes that one more state takes in the cache, at most.
    largest_state: usize,
    /// How errors name it.
    shown: String,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.shown).finish()
    }
}

impl Pattern {
    /// Exactly these bytes.
    ///
    /// # Errors
    /// Why it is no pattern.
    pub(crate) fn literal(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("is empty, and would always be there".to_owned());
        }
        Self::new(&Hir::literal(bytes), format!("\"{}\"", shortened(&escape(bytes))))
    }

    /// A regular expression in the syntax of the `regex` crate, on bytes. A word boundary is that of
    /// ASCII: others cannot be told by looking at one byte at a time. One with `(?i)` is all of ASCII: each
    /// start of the program, whatever it is to do, would pay for the table of Unicode's cases (3,000
    /// addresses that are relocated, ld.so(8)).
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn regex(text: &str) -> Result<Self, String> {
        let ast = ast::parse::Parser::new().parse(text);
        let ast = ast.map_err(|error| error.kind().to_string())?;
        let unicode = ast::visit(&ast, AnyCaseInsensitive).is_ok();
        let mut translator = TranslatorBuilder::new().utf8(false).unicode(unicode).build();
        let hir = translator.translate(text, &ast);
        let hir = hir.map_err(|error| error.kind().to_string())?;
        Self::new(&with_ascii_words(hir), format!("/{}/", shortened(text)))
    }

    fn new(hir: &Hir, shown: String) -> Result<Self, String> {
        let limits = thompson::Config::new().utf8(false).nfa_size_limit(Some(LARGEST));
        let nfa = thompson::Compiler::new().configure(limits).build_from_hir(hir);
        let nfa = nfa.map_err(|error| error.to_string())?;
        // A row for every byte, and the numbers of all states of the NFA.
        let largest_state = 512 * size_of::<u32>() + 6 * nfa.states().len() + 1024;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa);
        let dfa = dfa.map_err(|error| error.to_string())?;
        let looks_around = !hir.properties().look_set().is_empty();
        Ok(Self { dfa, looks_around, largest_state, shown })
    }

    /// How errors name it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

/// Fails where a regular expression has `(?i)` somewhere.
struct AnyCaseInsensitive;

impl Visitor for AnyCaseInsensitive {
    type Output = ();
    type Err = ();

    fn finish(self) -> Result<(), ()> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        let flags = match ast {
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => group.flags(),
            _ => None,
        };
        match flags.and_then(|flags| flags.flag_state(Flag::CaseInsensitive)) {
            Some(true) => Err(()),
            Some(false) | None => Ok(()),
        }
    }
}

/// The front of a text that may be long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The same with the word boundaries of ASCII.
fn with_ascii_words(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            other => other,
        }),
        HirKind::Repetition(mut repeated) => {
            *repeated.sub = with_ascii_words(*repeated.sub);
            Hir::repetition(repeated)
        }
        // Nobody asks what a group has found.
        HirKind::Capture(group) => with_ascii_words(*group.sub),
        HirKind::Concat(all) => Hir::concat(all.into_iter().map(with_ascii_words).collect()),
        HirKind::Alternation(all) => {
            Hir::alternation(all.into_iter().map(with_ascii_words).collect())
        }
    }
}

/// A search under way, in a text of its own: what comes first is the beginning of it.
#[derive(Debug)]
pub(super) struct Search {
    cache: Cache,
    state: Option<LazyStateID>,
}

impl Search {
    /// A search for this pattern, which every call has to be given.
    pub(super) fn new(pattern: &Pattern) -> Self {
        let mut cache = pattern.dfa.create_cache();
        let beginning = start::Config::new().anchored(Anchored::No);
        // It only fails where bytes are given up on, of which there are none.
        let state = pattern.dfa.start_state(&mut cache, &beginning).ok();
        Self { cache, state }
    }

    /// Looks at the bytes that follow: how many of them belong to the match or stand before it, once it is
    /// known that nothing that may follow could undo it.
    pub(super) fn feed(&mut self, pattern: &Pattern, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            // A match is known when the byte behind it is (the crate calls it a delay).
            if self.step(pattern, byte) {
                return Some(at);
            }
        }
        self.is_settled(pattern).then_some(bytes.len())
    }

    /// Whether the text matches if it ends here.
    pub(super) fn matches_at_end(&mut self, pattern: &Pattern) -> bool {
        self.would_match(pattern, None)
    }

    fn step(&mut self, pattern: &Pattern, byte: u8) -> bool {
        let Some(state) = self.state else { return false };
        // It only fails where it is asked to give up when the cache is full.
        self.state = pattern.dfa.next_state(&mut self.cache, state, byte).ok();
        self.state.is_some_and(|state| state.is_match())
    }

    /// Whether there is a match whatever follows.
    fn is_settled(&mut self, pattern: &Pattern) -> bool {
        if !self.matches_at_end(pattern) {
            return false;
        }
        // Bytes of one class lead to the same state.
        let representatives = pattern.dfa.byte_classes().representatives(..);
        let mut bytes = representatives.filter_map(|unit| unit.as_u8());
        !pattern.looks_around || bytes.all(|byte| self.would_match(pattern, Some(byte)))
    }

    /// Whether there is a match if this byte follows, or nothing. The search stays where it is.
    fn would_match(&mut self, pattern: &Pattern, next: Option<u8>) -> bool {
        let Some(state) = self.state else { return false };
        let look = |cache: &mut Cache| match next {
            Some(byte) => pattern.dfa.next_state(cache, state, byte),
            None => pattern.dfa.next_eoi_state(cache, state),
        };
        // A full cache is emptied, and the state would not be known by its number any more.
        let has_room = self.cache.memory_usage() + pattern.largest_state < CACHE;
        let next = if has_room { look(&mut self.cache) } else { look(&mut self.cache.clone()) };
        next.is_ok_and(|state| state.is_match())
    }
}
