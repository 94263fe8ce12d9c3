//! `measures` and `counts`: a relation is written at the number and lowered at what it describes.

use std::collections::HashMap;

use portcullis_lang::{Arithmetic, Code, Diagnostic, ExpressionKind, Formula, Name, Place, Scope, Span, Type, suggest};

use crate::syntax::tree::{self, ElementKind, FieldLabel, RelationKind, TypeKind};

use super::Lowering;
use super::fields::in_record;
use super::rules::RuleBuilder;

/// The relations between the fields of one block.
pub(super) struct Relations<'a> {
    windows: Vec<Window>,
    /// The repetition that is counted, the number that counts it.
    counts: HashMap<usize, (usize, Span)>,
    /// Slots of numbers that have been read.
    values: HashMap<usize, (u16, Type)>,
    names: Vec<(usize, &'a Name)>,
}

/// Fields whose size a number gives.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The first field of the window.
    first: usize,
    /// The last one.
    pub(super) last: usize,
    /// The number.
    source: usize,
    /// Octets that the number counts and that are read before the window begins.
    consumed: u32,
    /// Where the relation stands.
    pub(super) span: Span,
    opened: bool,
}

impl<'a> Relations<'a> {
    /// Finds out what is measured and counted.
    pub(super) fn of(builder: &mut RuleBuilder<'_, 'a>, fields: &'a [tree::Field]) -> Relations<'a> {
        let names = fields.iter().enumerate().filter_map(|(index, field)| match &field.label {
            Some(FieldLabel::Name(name)) => Some((index, name)),
            _ => None,
        });
        let mut relations =
            Relations { windows: Vec::new(), counts: HashMap::new(), values: HashMap::new(), names: names.collect() };
        for (source, field) in fields.iter().enumerate() {
            for relation in &field.element.modifiers.relations {
                match &relation.kind {
                    RelationKind::Measures(ranges) => {
                        relations.measures(builder, fields, source, ranges, relation.span);
                    }
                    RelationKind::Counts(target) => {
                        relations.counts(builder.low, source, target, relation.span);
                    }
                    RelationKind::Checksum { .. } => builder.low.not_supported(relation.span, "a checksum"),
                }
            }
        }
        relations
    }

    fn index(&self, low: &mut Lowering<'_>, name: &Name) -> Option<usize> {
        if let Some((index, _)) = self.names.iter().find(|(_, known)| known.text == name.text) {
            return Some(*index);
        }
        let diagnostic = Diagnostic::error(Code::C1, format!("there is no field `{name}` beside this one"))
            .primary(name.span, "")
            .suggest(suggest(&name.text, self.names.iter().map(|(_, name)| name.text.as_str())));
        low.diagnostics.push(diagnostic);
        None
    }

    fn measures(
        &mut self,
        builder: &mut RuleBuilder<'_, 'a>,
        fields: &'a [tree::Field],
        source: usize,
        ranges: &[tree::FieldRange],
        span: Span,
    ) {
        let low = &mut *builder.low;
        let mut targets = Vec::new();
        for range in ranges {
            let Some(from) = self.index(low, &range.from) else { return };
            let to = match &range.to {
                Some(to) => match self.index(low, to) {
                    Some(to) => to,
                    None => return,
                },
                None => from,
            };
            targets.extend(from..=to.max(from));
        }
        targets.sort_unstable();
        targets.dedup();
        let (Some(&first), Some(&last)) = (targets.first(), targets.last()) else { return };
        if last <= source {
            let target = self.names.iter().find(|(index, _)| *index == last).map(|(_, name)| *name);
            let mut diagnostic = Diagnostic::error(Code::C19, "this size stands behind what it measures")
                .primary(span, "read too late to say where that ends");
            if let Some(target) = target {
                diagnostic = diagnostic.secondary(target.span, "has ended by then");
            }
            low.diagnostics.push(diagnostic.help("move the size before what it measures"));
            return;
        }
        // Fields without a name between the named ones (literals, padding) lie in the window as well.
        let holes = (first..=last).filter(|index| !targets.contains(index));
        let named = |index: &usize| self.names.iter().any(|(known, _)| known == index);
        if let Some(hole) = holes.clone().find(named) {
            let name = self.names.iter().find(|(index, _)| *index == hole).map(|(_, name)| *name);
            let mut diagnostic =
                Diagnostic::error(Code::S6, "a size of fields that do not follow each other is not supported yet")
                    .primary(span, "measures some fields and not those between them");
            if let Some(name) = name {
                diagnostic = diagnostic.secondary(name.span, "this one is left out");
            }
            low.diagnostics.push(diagnostic);
            return;
        }
        let mut consumed = 0u64;
        if first <= source {
            let mut bits = 0u64;
            for field in fields.get(first..=source).unwrap_or_default() {
                match fixed_bits(low, &field.element) {
                    Some(size) => bits = bits.saturating_add(size),
                    None => {
                        low.diagnostics.push(
                            Diagnostic::error(
                                Code::S6,
                                "a size that covers a variable field before it is not supported yet",
                            )
                            .primary(span, "what is left of it cannot be computed when the grammar is loaded")
                            .secondary(field.span, "not always of the same size"),
                        );
                        return;
                    }
                }
            }
            consumed = bits / 8;
        }
        let window = Window {
            first: first.max(source + 1),
            last,
            source,
            consumed: u32::try_from(consumed).unwrap_or(u32::MAX),
            span,
            opened: false,
        };
        let clash = self.windows.iter().find(|other| {
            let same = other.first == window.first && other.last == window.last;
            let apart = other.last < window.first || window.last < other.first;
            let inside = (other.first <= window.first && window.last <= other.last)
                || (window.first <= other.first && other.last <= window.last);
            same || !(apart || inside)
        });
        if let Some(clash) = clash {
            low.diagnostics.push(
                Diagnostic::error(Code::C21, "two sizes measure parts of the same fields")
                    .primary(span, "one field cannot end at two places")
                    .secondary(clash.span, "measured here already"),
            );
            return;
        }
        self.windows.push(window);
    }

    fn counts(&mut self, low: &mut Lowering<'_>, source: usize, target: &Name, span: Span) {
        let Some(index) = self.index(low, target) else { return };
        if index <= source {
            low.diagnostics.push(
                Diagnostic::error(Code::C19, "this count stands behind what it counts")
                    .primary(span, "read too late to say how many there are")
                    .help("move the count before the repetition"),
            );
            return;
        }
        if let Some((_, first)) = self.counts.insert(index, (source, span)) {
            low.diagnostics.push(
                Diagnostic::error(Code::C21, format!("`{target}` is counted twice"))
                    .primary(span, "again here")
                    .secondary(first, "first here"),
            );
        }
    }

    /// The widest window that begins at a field and has not been opened yet.
    pub(super) fn open(&mut self, at: usize, to: usize) -> Option<Window> {
        let widest = self
            .windows
            .iter_mut()
            .filter(|window| window.first == at && !window.opened && window.last < to)
            .max_by_key(|window| window.last)?;
        widest.opened = true;
        Some(*widest)
    }

    /// How many octets a window has.
    pub(super) fn size(
        &self,
        builder: &mut RuleBuilder<'_, 'a>,
        fields: &'a [tree::Field],
        window: Window,
    ) -> Option<Formula> {
        let field = fields.get(window.source)?;
        let (slot, kind) = self.values.get(&window.source)?;
        let place = Formula::Place(Place { scope: Scope::Record, slot: *slot });
        let declared = match kind {
            Type::Number { min, max } => (*min, *max),
            Type::Enumeration(_) => (0, i64::MAX),
            other => {
                let label = other.describe();
                builder.low.type_error(field.span, "a size is a number", label);
                return None;
            }
        };
        let (low, high) = builder.facts.range(in_record(*slot), declared);
        let consumed = i64::from(window.consumed);
        if low < consumed {
            let name = field_name(field);
            let mut diagnostic = Diagnostic::error(Code::C9, "this size can be negative")
                .primary(window.span, format!("{} to {}", low.saturating_sub(consumed), high.saturating_sub(consumed)));
            diagnostic = diagnostic.secondary(field.span, format!("{low} to {high}"));
            let why = match consumed {
                0 => "a size below nothing has no meaning".to_owned(),
                _ => format!(
                    "with {name} = {low} the window would end before it begins: {consumed} octets of it are read already"
                ),
            };
            builder
                .low
                .diagnostics
                .push(diagnostic.note(why).help(format!("write `{name}: ... must be >= {consumed}`")));
            return None;
        }
        Some(match consumed {
            0 => place,
            _ => Formula::Arithmetic {
                operator: Arithmetic::Subtract,
                left: Box::new(place),
                right: Box::new(Formula::Number(consumed)),
            },
        })
    }

    /// The number that counts a repetition.
    pub(super) fn count_of(&self, at: usize) -> Option<(Formula, Span)> {
        let (source, span) = self.counts.get(&at)?;
        let (slot, _) = self.values.get(source)?;
        Some((Formula::Place(Place { scope: Scope::Record, slot: *slot }), *span))
    }

    /// A field was read.
    pub(super) fn read(&mut self, at: usize, slot: Option<u16>, kind: &Type) {
        if let Some(slot) = slot {
            self.values.insert(at, (slot, kind.clone()));
        }
    }

    /// Says what of it has had no effect.
    pub(super) fn finish(self, builder: &mut RuleBuilder<'_, 'a>) {
        for (source, span) in self.counts.values() {
            if !self.values.contains_key(source) {
                builder.low.without_effect(*span, "this counts nothing", "what stands before it is no number");
            }
        }
    }
}

fn field_name(field: &tree::Field) -> String {
    match &field.label {
        Some(FieldLabel::Name(name)) => name.text.clone(),
        _ => "_".into(),
    }
}

/// The size of an element in bits, if it is always the same.
fn fixed_bits(low: &Lowering<'_>, element: &tree::Element) -> Option<u64> {
    if element.modifiers.when.is_some() {
        return None;
    }
    let ElementKind::Type(kind) = &element.kind else { return None };
    Some(match &kind.kind {
        TypeKind::Integer { bits, .. } => u64::from(*bits),
        TypeKind::Bit => 1,
        TypeKind::Ipv4 => 32,
        TypeKind::Ipv6 => 128,
        TypeKind::Bytes(size) => match size.kind {
            ExpressionKind::Number(octets) => octets.checked_mul(8)?,
            _ => return None,
        },
        TypeKind::Literal(text) => u64::try_from(text.bytes.len()).ok()?.checked_mul(8)?,
        TypeKind::Named(path) => u64::from(low.enumerations.get(path.single()?.text.as_str())?.bits),
        _ => return None,
    })
}
