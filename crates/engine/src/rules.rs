//! What a flow is read and judged by: grammars and policies that belong together.

use std::sync::Arc;

use portcullis_policy::{Memory, PolicySet};

use crate::grammars::Grammars;

/// Grammars with the policies that were compiled against their schemes.
///
/// A flow keeps the grammars it began with until it ends, and takes newer policies on the same grammars where none of its
/// streams is in its middle; [`Rules::generation`] tells them apart.
#[derive(Debug, Default)]
pub struct Rules {
    /// The grammars.
    pub grammars: Arc<Grammars>,
    /// The policies.
    pub policies: Arc<PolicySet>,
    /// How many rules the engine had before these.
    pub generation: u32,
}

/// What the rules of each generation that is in use remember between events.
#[derive(Debug, Default)]
pub(crate) struct Memories {
    /// The newest last; there is one unless a reload has left flows behind.
    all: Vec<(Arc<Rules>, Memory)>,
}

impl Memories {
    /// Begins to remember for new rules, and forgets what no flow needs any more.
    pub(crate) fn begin(&mut self, rules: &Arc<Rules>) {
        // One reference is the list's own, and nobody else can get another from it.
        self.all.retain(|(rules, _)| Arc::strong_count(rules) > 1);
        self.all.push((Arc::clone(rules), Memory::new()));
    }

    /// What these rules remember.
    pub(crate) fn of(&mut self, rules: &Arc<Rules>) -> Option<&mut Memory> {
        let found = self.all.iter_mut().rev().find(|(other, _)| Arc::ptr_eq(other, rules));
        found.map(|(_, memory)| memory)
    }
}
