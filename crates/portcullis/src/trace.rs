//! What `portcullis explain` tells: a flow as a story, with what rules made of each event and what a gate did about it.
//!
//! | module | is |
//! |---|---|
//! | `page` | the story of one flow: its lines, within a bound |
//! | `tell` | what an engine finds as lines of a page |
//! | `fields` | a record as text |
//! | `wanted` | which flows, or which event, somebody asks about |
//! | `capture` | the stories of the flows of captures |
//!
//! Stories of a running gate are kept by `gateway::stories`.

mod capture;
mod fields;
pub(crate) mod page;
pub(crate) mod tell;
mod wanted;

pub(crate) use capture::{ALL_TEXT, FLOW_TEXT, Story};
pub(crate) use page::{Page, Room};
pub(crate) use wanted::Wanted;
