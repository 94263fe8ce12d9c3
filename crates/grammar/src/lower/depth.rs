//! How often a rule may contain itself, where its grammar does not say and its jumps already prove that it ends.

use crate::limits::FOLLOW_DEPTH;
use crate::model::{Item, RuleId};

use super::Lowering;

impl Lowering<'_> {
    /// Bounds rules that lead back to themselves only by way of a jump backwards, or of a rule that has a bound.
    ///
    /// Every such jump goes further back, so the loop ends by itself; the bound is for the memory that it takes.
    pub(super) fn bound_jumps(&mut self) {
        let mut steps: Vec<Vec<(RuleId, bool)>> = Vec::new();
        let mut bounded: Vec<bool> = Vec::new();
        for slot in &self.rules {
            let mut found = Vec::new();
            if let Some(rule) = &slot.rule {
                collect(&rule.items, &mut found);
            }
            steps.push(found);
            bounded.push(slot.rule.as_ref().is_some_and(|rule| rule.depth > 0));
        }
        for at in 0..self.rules.len() {
            let any = |_: &(RuleId, bool)| true;
            let unbounded =
                |step: &(RuleId, bool)| !step.1 && !bounded.get(usize::from(step.0.0)).copied().unwrap_or(false);
            let ends = leads_back(&steps, at, &any) && !leads_back(&steps, at, &unbounded);
            if let Some(rule) = self.rules.get_mut(at).and_then(|slot| slot.rule.as_mut())
                && ends
                && rule.depth == 0
            {
                rule.depth = FOLLOW_DEPTH;
            }
        }
    }
}

fn leads_back(steps: &[Vec<(RuleId, bool)>], from: usize, wanted: &dyn Fn(&(RuleId, bool)) -> bool) -> bool {
    let mut seen = vec![false; steps.len()];
    let mut to_do = vec![from];
    while let Some(rule) = to_do.pop() {
        for step in steps.get(rule).into_iter().flatten().filter(|step| wanted(step)) {
            let to = usize::from(step.0.0);
            if to == from {
                return true;
            }
            if let Some(seen) = seen.get_mut(to).filter(|seen| !**seen) {
                *seen = true;
                to_do.push(to);
            }
        }
    }
    false
}

/// The rules that items lead to, and whether by a jump.
fn collect(items: &[Item], found: &mut Vec<(RuleId, bool)>) {
    for item in items {
        match item {
            Item::Many(many) => found.push((many.element, false)),
            Item::Value { rule, .. } => found.push((*rule, false)),
            Item::Follow { rule, .. } => found.push((*rule, true)),
            Item::Optional { items, .. }
            | Item::When { items, .. }
            | Item::Window { items, .. }
            | Item::Line { items, .. } => collect(items, found),
            Item::Switch { arms, otherwise, .. } => {
                arms.iter().for_each(|arm| collect(&arm.items, found));
                otherwise.iter().for_each(|items| collect(items, found));
            }
            Item::Choose { arms, otherwise, .. } => {
                arms.iter().for_each(|arm| collect(&arm.items, found));
                otherwise.iter().for_each(|items| collect(items, found));
            }
            Item::Literal(_) | Item::Field(_) | Item::Let { .. } | Item::Check { .. } | Item::Fail { .. } => {}
        }
    }
}
