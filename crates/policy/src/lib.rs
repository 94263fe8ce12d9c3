//! Policy files, checked against the schemes that grammars export, and their evaluation.
//!
//! A policy says what to do about the events of a protocol: alert, make a note, pass, drop. It is read once, against the
//! [`ProtocolScheme`](portcullis_lang::ProtocolScheme)s of the grammars that are loaded; what is wrong with it is said
//! then, with the place, the reason and a way out ([`Diagnostics`](portcullis_lang::Diagnostics)). A [`PolicySet`] that was
//! made cannot fail while it runs: tests are total, texts are bounded, what was not there reads `-`.
//!
//! From text to decision it goes this way: [`syntax`] makes a tree of a file; [`PolicySet::compile`] looks up its events and
//! fields, types its tests and finds rules that are never reached; what remains is, for each event, a list of rules in the
//! order in which they are read, with the tests of one field by many rules merged into one look-up. The engine asks
//! [`PolicySet::demand`] what is read at all, [`PolicySet::applicable`] once per flow, and [`PolicySet::judge`] at each event.
//!
//! This crate reads no files (lists come through a [`ListLoader`]) and knows nothing of packets.
//!
//! ```
//! use std::sync::Arc;
//!
//! use portcullis_lang::scheme::{EventKind, EventType, FieldInfo, Layout, ProtocolScheme, Type};
//! use portcullis_lang::{EventId, Host, Place, Sources, Value};
//! use portcullis_policy::{Action, Memory, Occurrence, PolicySet, no_files};
//!
//! // What a grammar exports: one record `hello` with one field.
//! let field = FieldInfo { path: "domain".into(), slot: 0, kind: Type::Text { max: 255 }, presence: vec![] };
//! let layout = Arc::new(Layout { name: "hello".into(), fields: vec![field], width: 1 });
//! let event = EventType { name: "hello".into(), kind: EventKind::Record, layout, states: vec![] };
//! let scheme = Arc::new(ProtocolScheme {
//!     name: "toy".into(),
//!     events: vec![event],
//!     states: vec![],
//!     anomalies: vec![],
//!     flow: Layout::default(),
//!     keywords_ignore_case: false,
//!     refusal: None,
//!     writable: Vec::new(),
//!     canonical: Vec::new(),
//!     follows: Vec::new(),
//! });
//!
//! let mut sources = Sources::new();
//! let file = sources.add("toy.policy", r#"
//!     list banned = ["banned.example"]
//!     policy gate for toy {
//!         rule banned id 1001 { on toy.hello  when domain in banned  alert high "hello from {domain}"  drop }
//!     }
//! "#);
//! let compiled = PolicySet::compile(&sources, &[file], &[scheme], &mut no_files).expect("a policy without errors");
//!
//! // What an engine knows of the event.
//! struct Hello(&'static str);
//! impl Host for Hello {
//!     fn read(&self, _: Place) -> Value<'_> { Value::bytes(self.0.as_bytes()) }
//!     fn count(&self, _: Place) -> u32 { 0 }
//!     fn element(&self, _: Place, _: u32, _: u16) -> Value<'_> { Value::Absent }
//! }
//!
//! let policies = compiled.policies;
//! let protocol = policies.protocol("toy").expect("its scheme was given");
//! let host = Hello("Banned.Example");
//! let applicable = policies.applicable(protocol, &host);
//! let hello = Occurrence { protocol, event: EventId(0), time: 0 };
//! let mut decisions = Vec::new();
//! policies.judge(hello, &host, &applicable, &mut Memory::new(), &mut decisions);
//! let actions: Vec<Action> = decisions.into_iter().map(|decision| decision.action).collect();
//! assert!(matches!(&actions[..], [Action::Alert { text, .. }, Action::Drop] if text == "hello from Banned.Example"));
//! ```
#![forbid(unsafe_code)]

mod answers;
mod compile;
mod decision;
mod demand;
mod edits;
mod elements;
mod events;
mod fields;
mod fixes;
mod holds;
mod index;
mod inserts;
mod limits;
mod lists;
mod memory;
mod names;
mod plan;
mod reach;
mod rules;
mod streams;
pub mod syntax;
mod testing;
mod text;
mod trace;

pub use compile::Compiled;
pub use decision::{Action, Decision, FlowEnd, RuleId, RuleInfo, Severity, Splice, StreamChange};
pub use demand::{Demand, EventDemand};
pub use limits::{
    MAX_ABOUT, MAX_ALERT_TEXT, MAX_ALERT_VALUE, MAX_BLOCK_TIME, MAX_COUNTED_KEYS, MAX_COUNTED_TIMES, MAX_EDIT_BYTES,
    MAX_EDITS, MAX_ENTRY_BYTES, MAX_HOLD, MAX_HOLDS, MAX_KEY_BYTES, MAX_LIST_BYTES, MAX_LIST_ENTRIES, MAX_NETWORKS,
    MAX_POLICIES, MAX_REFUSAL, MAX_RULES, MAX_STEM_BYTES, MAX_STREAM_EXPRESSION_BYTES, MAX_STREAM_EXPRESSIONS_BYTES,
    MAX_STREAM_PATTERNS, MAX_TEST_STEPS, MAX_THRESHOLD, MAX_THRESHOLD_WINDOW, MAX_TRIGGERS,
};
pub use lists::{ListLoader, ListRequest, no_files};
pub use memory::Memory;
pub use plan::{Applicable, Occurrence, PolicySet, ProtocolId};
pub use streams::{Scans, StreamCost};
pub use testing::{Expected, PolicyTest, PolicyTestStep};
pub use trace::Reading;
