//! `contains` and `matches` on streams: across chunks, however the octets are cut, in bounded memory.
//!
//! All texts that the rules on one stream look for are one automaton (Aho-Corasick; a second one for those in any case),
//! all its regular expressions another (a deterministic one, made when the policy is loaded and bounded then). A flow keeps
//! the number of a state for each, and which of the texts were found. Nothing is held, nothing is looked at twice.

use std::ops::Range;

use aho_corasick::automaton::{Automaton as _, Candidate, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Span};
use portcullis_lang::scheme::event_slots;
use portcullis_lang::{EventId, Formula, Host, Place, Position, Scope, Value};
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored as RegexAnchored, MatchKind};
use smallvec::SmallVec;

use crate::limits::{MAX_STREAM_EXPRESSION_BYTES, MAX_STREAM_EXPRESSIONS_BYTES};

/// The subject of `contains` and `matches` on a stream.
pub(crate) const STREAM: Place = Place { scope: Scope::Event, slot: event_slots::STREAM };

/// What is looked for in one stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamPlan {
    /// Its events.
    pub(crate) start: EventId,
    pub(crate) chunk: EventId,
    pub(crate) end: EventId,
    /// How many patterns there are; each has a bit.
    patterns: u16,
    texts: Vec<Texts>,
    expressions: Vec<Expressions>,
}

/// Texts of one kind.
#[derive(Clone, Debug)]
struct Texts {
    automaton: NFA,
    /// The pattern that each text belongs to.
    patterns: Vec<u16>,
    /// Octets of the longest.
    longest: usize,
}

/// Regular expressions.
#[derive(Clone, Debug)]
struct Expressions {
    automaton: dense::DFA<Vec<u32>>,
    start: u32,
    /// The pattern of each.
    patterns: Vec<u16>,
}

/// What is looked for in a stream, before the automata are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamPatterns {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// One of these texts; in any case, or as they stand.
    Texts(Vec<Box<[u8]>>, bool),
    Expression(String),
}

impl StreamPatterns {
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Puts, for each test of the whole stream in a condition, the place that tells whether it holds. False if there are
    /// more patterns than there can be, or if the stream is read in another way.
    pub(crate) fn take(&mut self, formula: &mut Formula) -> bool {
        let pattern = match formula {
            Formula::Finds { position: Position::Anywhere, text, needles } if reads_stream(text) => {
                Pattern::Texts(needles.texts().to_vec(), needles.fold())
            }
            Formula::Matches { text, expression } if reads_stream(text) => {
                Pattern::Expression(expression.as_str().to_owned())
            }
            Formula::And(parts) | Formula::Or(parts) => return parts.iter_mut().all(|part| self.take(part)),
            Formula::Not(inner) => return self.take(inner),
            other => return !crate::demand::reads(other, STREAM),
        };
        let known = self.patterns.iter().position(|known| *known == pattern);
        let number = known.unwrap_or(self.patterns.len());
        let Some(slot) = u16::try_from(number).ok().and_then(|number| event_slots::FOUND.checked_add(number)) else {
            return false;
        };
        if known.is_none() {
            self.patterns.push(pattern);
        }
        *formula = Formula::Place(Place { scope: Scope::Event, slot });
        true
    }

    /// Makes the automata. An error is that of a pattern that was not checked before.
    pub(crate) fn plan(&self, start: EventId, chunk: EventId, end: EventId) -> StreamPlan {
        let mut plan = StreamPlan {
            start,
            chunk,
            end,
            patterns: u16::try_from(self.patterns.len()).unwrap_or(u16::MAX),
            texts: Vec::new(),
            expressions: Vec::new(),
        };
        for any_case in [false, true] {
            let mut all: Vec<(&[u8], u16)> = Vec::new();
            for (number, pattern) in (0..).zip(&self.patterns) {
                if let Pattern::Texts(texts, fold) = pattern
                    && *fold == any_case
                {
                    all.extend(texts.iter().map(|text| (text.as_ref(), number)));
                }
            }
            plan.texts.extend(Texts::new(&all, any_case));
        }
        let mut expressions: Vec<(&str, u16)> = Vec::new();
        for (number, pattern) in (0..).zip(&self.patterns) {
            if let Pattern::Expression(text) = pattern {
                expressions.push((text, number));
            }
        }
        match Expressions::new(&expressions, MAX_STREAM_EXPRESSIONS_BYTES) {
            Some(all) => plan.expressions.push(all),
            // Together they are too large: each goes its own way.
            None => {
                let alone = expressions
                    .iter()
                    .filter_map(|one| Expressions::new(std::slice::from_ref(one), MAX_STREAM_EXPRESSION_BYTES));
                plan.expressions.extend(alone);
            }
        }
        plan.expressions.retain(|expressions| !expressions.patterns.is_empty());
        plan
    }
}

/// Whether a formula is the stream itself.
fn reads_stream(formula: &Formula) -> bool {
    matches!(formula, Formula::Place(place) if *place == STREAM)
}

/// Whether a regular expression can be looked for in streams: its automaton has at most so many octets.
pub(crate) fn expression_fits(text: &str) -> bool {
    Expressions::new(&[(text, 0)], MAX_STREAM_EXPRESSION_BYTES).is_some()
}

impl Texts {
    fn new(texts: &[(&[u8], u16)], any_case: bool) -> Option<Texts> {
        if texts.is_empty() {
            return None;
        }
        let octets = texts.iter().map(|(text, _)| *text);
        let automaton = NFA::builder().ascii_case_insensitive(any_case).build(octets).ok()?;
        let longest = texts.iter().map(|(text, _)| text.len()).max().unwrap_or(1);
        Some(Texts { automaton, patterns: texts.iter().map(|(_, pattern)| *pattern).collect(), longest })
    }

    fn start(&self) -> u32 {
        self.automaton.start_state(Anchored::No).map_or(0, |state| state.as_u32())
    }

    /// Steps over the octets; tells each end of a text, in octets from their first.
    fn scan(&self, state: u32, octets: &[u8], found: &mut dyn FnMut(u16, usize)) -> u32 {
        let begin = self.start();
        let mut state = StateID::new_unchecked(state as usize);
        // A text that begins before this octet ends within these octets, if it is there at all.
        let sure = octets.len().saturating_sub(self.longest.saturating_sub(1));
        let mut at = 0;
        while let Some(octet) = octets.get(at) {
            if state.as_u32() == begin
                && at < sure
                && let Some(prefilter) = self.automaton.prefilter()
            {
                let next = match prefilter.find_in(octets, Span { start: at, end: octets.len() }) {
                    Candidate::None => sure,
                    Candidate::Match(found) => found.start().min(sure),
                    Candidate::PossibleStartOfMatch(start) => start.min(sure),
                };
                if next > at {
                    at = next;
                    continue;
                }
            }
            state = self.automaton.next_state(Anchored::No, state, *octet);
            at += 1;
            if self.automaton.is_match(state) {
                for index in 0..self.automaton.match_len(state) {
                    let text = self.automaton.match_pattern(state, index).as_usize();
                    if let Some(pattern) = self.patterns.get(text) {
                        found(*pattern, at);
                    }
                }
            }
        }
        state.as_u32()
    }
}

impl Expressions {
    fn new(expressions: &[(&str, u16)], most: usize) -> Option<Expressions> {
        let texts: Vec<&str> = expressions.iter().map(|(text, _)| *text).collect();
        let automaton = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Unanchored)
                    .dfa_size_limit(Some(most))
                    .determinize_size_limit(Some(most.saturating_mul(4))),
            )
            // Octets, not characters: what is on the wire need not be UTF-8.
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(most)))
            .build_many(&texts)
            .ok()?;
        let start = automaton.start_state(&start::Config::new().anchored(RegexAnchored::No)).ok()?;
        let patterns = expressions.iter().map(|(_, pattern)| *pattern).collect();
        Some(Expressions { start: start.as_u32(), automaton, patterns })
    }

    /// Steps over the octets; tells each end of a match, in octets from their first. An end is seen one octet late.
    fn scan(&self, state: u32, octets: &[u8], found: &mut dyn FnMut(u16, usize)) -> u32 {
        let mut state = regex_automata::util::primitives::StateID::new_unchecked(state as usize);
        for (at, octet) in octets.iter().enumerate() {
            state = self.automaton.next_state(state, *octet);
            if self.automaton.is_special_state(state) {
                self.matches(state, at, found);
            }
        }
        state.as_u32()
    }

    /// The stream has ended.
    fn end(&self, state: u32, found: &mut dyn FnMut(u16, usize)) {
        let state = regex_automata::util::primitives::StateID::new_unchecked(state as usize);
        self.matches(self.automaton.next_eoi_state(state), 0, found);
    }

    fn matches(&self, state: regex_automata::util::primitives::StateID, at: usize, found: &mut dyn FnMut(u16, usize)) {
        if self.automaton.is_match_state(state) {
            for index in 0..self.automaton.match_len(state) {
                let expression = self.automaton.match_pattern(state, index).as_usize();
                if let Some(pattern) = self.patterns.get(expression) {
                    found(*pattern, at);
                }
            }
        }
    }
}

/// Where a flow is in the streams that rules look through; nothing while no such stream is going on.
#[derive(Clone, Debug, Default)]
pub struct Scans {
    all: Vec<Scan>,
}

impl Scans {
    /// Octets that it takes beside itself.
    pub fn memory(&self) -> usize {
        self.all.capacity().saturating_mul(size_of::<Scan>()).saturating_add(self.all.iter().map(Scan::memory).sum())
    }

    /// Begins a stream; one of the same kind that has not ended is forgotten.
    pub(crate) fn begin(&mut self, number: u16, plan: &StreamPlan, offset: u64, rules: usize) {
        self.all.retain(|scan| scan.number != number);
        let texts = plan.texts.iter().map(Texts::start);
        let states = texts.chain(plan.expressions.iter().map(|expressions| expressions.start)).collect();
        self.all.push(Scan {
            number,
            begin: offset,
            position: 0,
            states,
            found: Bits::new(usize::from(plan.patterns)),
            acted: Bits::new(rules),
            closed: false,
        });
    }

    pub(crate) fn get_mut(&mut self, number: u16) -> Option<&mut Scan> {
        self.all.iter_mut().find(|scan| scan.number == number)
    }

    pub(crate) fn take(&mut self, number: u16) -> Option<Scan> {
        let index = self.all.iter().position(|scan| scan.number == number)?;
        let scan = self.all.swap_remove(index);
        if self.all.is_empty() {
            self.all = Vec::new();
        }
        Some(scan)
    }
}

/// Where a flow is in one stream.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    number: u16,
    /// Octets of the direction before the stream.
    begin: u64,
    /// Octets of the stream so far.
    position: u64,
    states: SmallVec<[u32; 3]>,
    found: Bits,
    /// The rules that have acted.
    pub(crate) acted: Bits,
    /// A rule has ended the reading.
    pub(crate) closed: bool,
}

/// Something was found for the first time: up to which octet of the stream, and which pattern.
///
/// The order is that in which they are told. At one octet texts come before expressions, because they may have been told
/// with the chunk before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    position: u64,
    expression: bool,
    pattern: u16,
}

impl Hit {
    /// Whether both are judged at once.
    pub(crate) fn with(&self, other: &Hit) -> bool {
        (self.position, self.expression) == (other.position, other.expression)
    }
}

impl Scan {
    fn memory(&self) -> usize {
        let states = if self.states.spilled() { self.states.capacity().saturating_mul(size_of::<u32>()) } else { 0 };
        states.saturating_add(self.found.memory()).saturating_add(self.acted.memory())
    }

    /// Goes over octets; gives what was found for the first time, in order.
    pub(crate) fn scan(&mut self, plan: &StreamPlan, octets: &[u8]) -> SmallVec<[Hit; 4]> {
        let mut hits = SmallVec::new();
        let (before, found) = (self.position, &self.found);
        let mut hit = |pattern: u16, at: usize, expression: bool| {
            let hit = Hit { position: before.saturating_add(at as u64), expression, pattern };
            let known = found.has(usize::from(pattern));
            if !known && !hits.iter().any(|earlier: &Hit| earlier.pattern == pattern && *earlier <= hit) {
                hits.push(hit);
            }
        };
        let mut states = self.states.iter_mut();
        for (texts, state) in plan.texts.iter().zip(&mut states) {
            *state = texts.scan(*state, octets, &mut |pattern, at| hit(pattern, at, false));
        }
        for (expressions, state) in plan.expressions.iter().zip(&mut states) {
            *state = expressions.scan(*state, octets, &mut |pattern, at| hit(pattern, at, true));
        }
        self.position = self.position.saturating_add(octets.len() as u64);
        hits.sort_unstable();
        hits
    }

    /// The stream is complete: what has to stand at its end is found now.
    pub(crate) fn finish(&mut self, plan: &StreamPlan) {
        let states = self.states.iter().skip(plan.texts.len());
        for (expressions, state) in plan.expressions.iter().zip(states) {
            expressions.end(*state, &mut |pattern, _| self.found.set(usize::from(pattern)));
        }
    }

    /// Takes note of something that was found.
    pub(crate) fn note(&mut self, hit: &Hit) {
        self.found.set(usize::from(hit.pattern));
    }

    /// The stream event at a place in the stream, while the stream goes on.
    pub(crate) fn at<'a>(&'a self, hit: &Hit, host: &'a dyn Host) -> OfStream<'a> {
        OfStream { host, found: &self.found, position: hit.position, begin: Some(self.begin), complete: true }
    }

    /// The stream event at the end of the stream.
    pub(crate) fn at_end<'a>(&'a self, host: &'a dyn Host, complete: bool) -> OfStream<'a> {
        OfStream { host, found: &self.found, position: self.position, begin: None, complete }
    }
}

/// A stream event with what was found in the stream.
pub(crate) struct OfStream<'a> {
    host: &'a dyn Host,
    found: &'a Bits,
    position: u64,
    /// Where the stream begins, if the event at hand does not tell.
    begin: Option<u64>,
    /// Whether what was not found is not there.
    complete: bool,
}

impl Host for OfStream<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        let number = |value: u64| Value::Number(i64::try_from(value).unwrap_or(i64::MAX));
        if place.scope != Scope::Event {
            return self.host.read(place);
        }
        match place.slot {
            slot @ event_slots::FOUND.. => match self.found.has(usize::from(slot - event_slots::FOUND)) {
                true => Value::Boolean(true),
                false if self.complete => Value::Boolean(false),
                // What is missing may have had it.
                false => Value::Unknown,
            },
            event_slots::POSITION => number(self.position),
            event_slots::OFFSET => self.begin.map_or_else(|| self.host.read(place), number),
            _ => self.host.read(place),
        }
    }

    fn count(&self, list: Place) -> u32 {
        self.host.count(list)
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        self.host.element(list, index, slot)
    }

    fn octets(&self, place: Place) -> Option<Range<u32>> {
        self.host.octets(place)
    }
}

/// A set of small numbers, below a bound that is known when it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: SmallVec<[u64; 2]>,
}

impl Bits {
    fn new(most: usize) -> Bits {
        Bits { words: SmallVec::from_elem(0, most.div_ceil(64)) }
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.words.get(number >> 6).is_some_and(|word| word & (1 << (number & 63)) != 0)
    }

    pub(crate) fn set(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number >> 6) {
            *word |= 1 << (number & 63);
        }
    }

    fn memory(&self) -> usize {
        if self.words.spilled() { self.words.capacity().saturating_mul(size_of::<u64>()) } else { 0 }
    }
}

/// What looking through one stream costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCost {
    /// `smtp.content`.
    pub stream: String,
    /// Texts that are looked for.
    pub texts: usize,
    /// Regular expressions.
    pub expressions: usize,
    /// Octets of the automata, for all flows together.
    pub automata: usize,
    /// Automata, each of which takes a step for every octet of the stream.
    pub steps: usize,
    /// Octets that a flow keeps while such a stream goes on.
    pub per_flow: usize,
}

impl StreamPlan {
    /// What it costs; `rules` are on the stream.
    pub(crate) fn cost(&self, stream: String, rules: usize) -> StreamCost {
        let texts: usize = self.texts.iter().map(|texts| texts.automaton.memory_usage()).sum();
        let expressions: usize = self.expressions.iter().map(|expressions| expressions.automaton.memory_usage()).sum();
        let mut scans = Scans::default();
        scans.begin(0, self, 0, rules);
        StreamCost {
            stream,
            texts: self.texts.iter().map(|texts| texts.patterns.len()).sum(),
            expressions: self.expressions.iter().map(|expressions| expressions.patterns.len()).sum(),
            automata: texts.saturating_add(expressions),
            steps: self.texts.len().saturating_add(self.expressions.len()),
            per_flow: scans.memory(),
        }
    }
}
