//! From policy files to a policy set.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_lang::typing::{Checker, Facts, NamedSet};
use portcullis_lang::{
    Code, Diagnostic, Diagnostics, Name, ProtocolScheme, SourceId, Sources, Span, Text, TextSet, suggest,
};
use smallvec::SmallVec;

use crate::decision::{RuleId, RuleInfo};
use crate::events::{self, Protocol};
use crate::limits::{MAX_ENTRY_BYTES, MAX_LIST_BYTES, MAX_LIST_ENTRIES, MAX_POLICIES, MAX_RULES, MAX_STEM_BYTES};
use crate::lists::{self, ListError, ListLoader, ListRequest};
use crate::names::{ConnectionNames, NamedSets};
use crate::plan::{Planner, PolicySet};
use crate::reach::Reach;
use crate::rules::{self, PolicyContext};
use crate::syntax::{
    ExpectationKind, Item, ListItem, ListSource, NetworkItem, PolicyFile, PolicyItem, RuleItem, TestItem, TestStep,
};
use crate::testing::{Expected, PolicyTest, PolicyTestStep};

/// Policies that can be used, and what is probably not meant in them.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The policies.
    pub policies: PolicySet,
    /// Warnings.
    pub warnings: Diagnostics,
}

impl PolicySet {
    /// Checks policy files against the schemes of the loaded grammars, and arranges their rules.
    ///
    /// `files` are sources in the order in which their policies are read; [`ProtocolId`](crate::ProtocolId)s count
    /// `schemes`. `loader` reads the files that policies name.
    ///
    /// # Errors
    ///
    /// All that is wrong with the files, warnings included. What loads cannot fail while it runs.
    pub fn compile(
        sources: &Sources,
        files: &[SourceId],
        schemes: &[Arc<ProtocolScheme>],
        loader: &mut dyn ListLoader,
    ) -> Result<Compiled, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let parsed: Vec<(SourceId, PolicyFile)> = files
            .iter()
            .map(|file| (*file, crate::syntax::parse(*file, sources.text(*file), &mut diagnostics)))
            .collect();
        let planner = Planner::new(schemes.iter().map(Arc::as_ref));
        let mut compiler = Compiler {
            schemes,
            diagnostics,
            planner,
            reach: Reach::default(),
            policies: BTreeMap::new(),
            ids: BTreeMap::new(),
            rules: 0,
        };
        for (source, file) in &parsed {
            compiler.file(sources.name(*source), file, loader);
        }
        for item in parsed.iter().flat_map(|(_, file)| &file.items) {
            if let Item::Test(test) = item {
                compiler.test(test);
            }
        }
        if compiler.diagnostics.has_errors() {
            return Err(compiler.diagnostics);
        }
        Ok(Compiled { policies: compiler.planner.finish(), warnings: compiler.diagnostics })
    }
}

struct Compiler<'t> {
    schemes: &'t [Arc<ProtocolScheme>],
    diagnostics: Diagnostics,
    planner: Planner,
    reach: Reach<'t>,
    /// Policies of all files, by name.
    policies: BTreeMap<&'t str, (Arc<str>, Span)>,
    /// Rules of all files, by number.
    ids: BTreeMap<u32, Span>,
    rules: usize,
}

impl<'t> Compiler<'t> {
    fn file(&mut self, source: &str, file: &'t PolicyFile, loader: &mut dyn ListLoader) {
        // A file that is given before another overrules it, and is meant to: rules are unreachable within their file.
        self.reach = Reach::default();
        let mut sets = NamedSets::new();
        let mut declared: BTreeMap<&str, Span> = BTreeMap::new();
        for item in &file.items {
            let (name, set) = match item {
                Item::Use(names) => {
                    for name in names {
                        events::protocol(name, self.schemes, &mut self.diagnostics);
                    }
                    continue;
                }
                Item::List(list) => (&list.name, self.list(source, list, loader)),
                Item::Network(network) => (&network.name, self.network(network)),
                Item::Policy(_) | Item::Test(_) => continue,
            };
            if let Some(first) = declared.insert(&name.text, name.span) {
                self.twice(&format!("there are two lists or networks `{name}` in this file"), name, first);
                continue;
            }
            sets.insert(name.text.clone(), set);
        }
        for item in &file.items {
            if let Item::Policy(policy) = item {
                self.policy(policy, &sets);
            }
        }
    }

    /// A list that cannot be had is reported, and empty for those who use it.
    fn list(&mut self, source: &str, item: &ListItem, loader: &mut dyn ListLoader) -> NamedSet {
        let read = match &item.source {
            ListSource::Entries(entries) => {
                let numbered = (0..).zip(entries.iter().map(|entry| entry.bytes.as_slice()));
                lists::set_of(numbered).map_err(|error| {
                    let place = match &error {
                        ListError::EmptyEntry(number) | ListError::LongEntry(number) => {
                            entries.get(*number).map_or(item.name.span, |entry| entry.span)
                        }
                        _ => item.name.span,
                    };
                    explain_list(&error, &format!("list `{}`", item.name), None).primary(place, "")
                })
            }
            ListSource::File(path) => {
                let shown = path.lossy();
                let request = ListRequest { policy: source, path: &shown, max: MAX_LIST_BYTES };
                match loader.load(&request) {
                    Ok(file) => lists::read(&file).map_err(|error| {
                        let diagnostic = explain_list(&error, &format!("`{shown}`"), Some(&shown));
                        diagnostic.primary(path.span, "read for this list")
                    }),
                    Err(why) => Err(Diagnostic::error(Code::S8, format!("cannot read `{shown}`: {why}"))
                        .primary(path.span, "")
                        .help("the path is relative to the folder of the policy; an empty file makes an empty list")),
                }
            }
        };
        let set = read.unwrap_or_else(|diagnostic| {
            self.diagnostics.push(diagnostic);
            TextSet::default()
        });
        NamedSet::Texts(Arc::new(set))
    }

    fn network(&mut self, item: &NetworkItem) -> NamedSet {
        for entry in &item.networks {
            let most = if entry.address.is_ipv4() { 32 } else { 128 };
            let (inside, kept) = (u32::from(most - entry.prefix.min(most)), most);
            let host_bits = match entry.address {
                std::net::IpAddr::V4(address) => {
                    u32::from(address) & 1u32.checked_shl(inside).map_or(u32::MAX, |bit| bit - 1) != 0
                }
                std::net::IpAddr::V6(address) => {
                    u128::from(address) & 1u128.checked_shl(inside).map_or(u128::MAX, |bit| bit - 1) != 0
                }
            };
            if host_bits && entry.prefix < kept {
                let network = masked(entry.address, entry.prefix);
                self.diagnostics.push(
                    Diagnostic::warning(Code::C21, "bits behind the prefix of this network have no effect")
                        .primary(entry.span, format!("the same as {network}/{}", entry.prefix))
                        .help(format!(
                            "write {network}/{}, or {}/{most} if one address is meant",
                            entry.prefix, entry.address
                        )),
                );
            }
        }
        NamedSet::Networks(item.networks.iter().map(|entry| (entry.address, entry.prefix)).collect())
    }

    fn policy(&mut self, item: &'t PolicyItem, sets: &NamedSets) {
        let name: Arc<str> = item.name.text.as_str().into();
        if let Some((_, first)) = self.policies.get(item.name.text.as_str()) {
            let first = *first;
            self.twice(&format!("there are two policies `{name}`"), &item.name, first);
        } else if self.policies.len() >= MAX_POLICIES {
            let title = format!("there are more than {MAX_POLICIES} policies");
            self.diagnostics.push(Diagnostic::error(Code::S5, title).primary(item.name.span, "one too many"));
            return;
        }
        let number = self.policies.len();
        self.policies.insert(&item.name.text, (Arc::clone(&name), item.name.span));
        self.planner.add_policy(Arc::clone(&name));
        let protocol = events::protocol(&item.protocol, self.schemes, &mut self.diagnostics);
        let gates = self.gates(item, protocol, sets);
        if item.rules.is_empty() && !self.diagnostics.has_errors() {
            self.diagnostics.push(
                Diagnostic::warning(Code::C21, format!("policy `{name}` has no rules"))
                    .primary(item.span, "it decides nothing"),
            );
        }
        let mut names: BTreeMap<&str, Span> = BTreeMap::new();
        for rule in &item.rules {
            if let Some(first) = names.insert(&rule.name.text, rule.name.span) {
                self.twice(&format!("there are two rules `{}` in policy `{name}`", rule.name), &rule.name, first);
            }
            let id = self.id(rule);
            let info = Arc::new(RuleInfo {
                policy: Arc::clone(&name),
                name: rule.name.text.clone(),
                id: RuleId(id),
                about: rule.about.iter().map(|(key, text)| (key.text.clone(), text.lossy())).collect(),
            });
            self.planner.add_info(Arc::clone(&info));
            self.rules = self.rules.saturating_add(1);
            if self.rules > MAX_RULES {
                let title = format!("there are more than {MAX_RULES} rules");
                self.diagnostics.push(Diagnostic::error(Code::S5, title).primary(rule.name.span, "one too many"));
                return;
            }
            let Some(protocol) = protocol else { continue };
            let context = PolicyContext { item, number, protocol, schemes: self.schemes, sets, gates: &gates };
            rules::compile(rule, info, &context, &mut self.planner, &mut self.reach, &mut self.diagnostics);
        }
    }

    /// The condition of a policy on the connection.
    fn gates(&mut self, item: &PolicyItem, protocol: Option<Protocol<'_>>, sets: &NamedSets) -> SmallVec<[u32; 2]> {
        let (Some(when), Some(protocol)) = (&item.when, protocol) else { return SmallVec::new() };
        let names = ConnectionNames { sets };
        let mut found = Diagnostics::new();
        let formula = Checker::new(&names, &mut found).condition(when, &mut Facts::new());
        for mut diagnostic in found.sorted().into_iter().cloned() {
            if diagnostic.code == Code::C1 {
                diagnostic.notes.push(
                    "the `when` of a policy is asked once for each flow, before any event: it can read `client`, `server` and `flow`"
                        .into(),
                );
            }
            self.diagnostics.push(diagnostic);
        }
        formula.and_then(|formula| self.planner.add_gate(protocol.id, formula)).into_iter().collect()
    }

    /// The number of a rule; 0 if it has none, which is reported.
    fn id(&mut self, rule: &RuleItem) -> u32 {
        let Some((id, place)) = rule.id else {
            let free = self.ids.keys().next_back().map_or(1001, |last| last.saturating_add(1));
            self.diagnostics.push(
                Diagnostic::error(Code::S1, format!("rule `{}` has no number", rule.name))
                    .primary(rule.span, "alerts would not tell which rule they are of")
                    .help(format!("`rule {} id {free} {{`", rule.name)),
            );
            return 0;
        };
        if let Some(first) = self.ids.get(&id) {
            self.diagnostics.push(
                Diagnostic::error(Code::S7, format!("two rules have the number {id}"))
                    .primary(place, "the second one")
                    .secondary(*first, "the first one")
                    .note("alerts name rules by their number, over all policies that are loaded together"),
            );
        } else {
            self.ids.insert(id, place);
        }
        id
    }

    fn twice(&mut self, title: &str, name: &Name, first: Span) {
        self.diagnostics.push(
            Diagnostic::error(Code::S7, title).primary(name.span, "the second one").secondary(first, "the first one"),
        );
    }

    fn test(&mut self, item: &TestItem) {
        let mut test = PolicyTest { name: item.name.lossy(), policies: Vec::new(), steps: Vec::new(), span: item.span };
        let mut expects = false;
        for step in &item.steps {
            match step {
                TestStep::Policy(name) => match self.policies.get(name.text.as_str()) {
                    Some((policy, _)) => test.policies.push(Arc::clone(policy)),
                    None => self.diagnostics.push(
                        Diagnostic::error(Code::C1, format!("unknown policy `{name}`"))
                            .primary(name.span, "")
                            .suggest(suggest(&name.text, self.policies.keys().copied())),
                    ),
                },
                TestStep::Send(direction, text) => {
                    test.steps.push(PolicyTestStep::Send(*direction, text.bytes.clone().into()));
                }
                TestStep::Expect(expected) => {
                    expects = true;
                    for expectation in expected {
                        let octets = |text: &Text| text.bytes.clone().into_boxed_slice();
                        let expected = match &expectation.kind {
                            ExpectationKind::Reset => Some(Expected::Reset),
                            ExpectationKind::Bypass => Some(Expected::Bypass),
                            ExpectationKind::Block => Some(Expected::Block),
                            ExpectationKind::Refuse(text) => {
                                Some(Expected::Refuse(text.as_ref().map(octets).unwrap_or_default()))
                            }
                            ExpectationKind::Edit(text) => Some(Expected::Edit(text.as_ref().map(octets))),
                            ExpectationKind::Alert(id) => self.known_id(*id, expectation.span).map(Expected::Alert),
                            ExpectationKind::NoAlert(None) => Some(Expected::NoAlert(None)),
                            ExpectationKind::NoAlert(Some(id)) => {
                                self.known_id(*id, expectation.span).map(|id| Expected::NoAlert(Some(id)))
                            }
                            ExpectationKind::Pass => Some(Expected::Pass),
                            ExpectationKind::Drop => Some(Expected::Drop),
                        };
                        test.steps.extend(expected.map(|expected| PolicyTestStep::Expect(expected, expectation.span)));
                    }
                }
            }
        }
        if !expects {
            self.diagnostics.push(
                Diagnostic::error(Code::C21, format!("the test \"{}\" expects nothing", test.name))
                    .primary(item.span, "it cannot fail")
                    .help("for example `expect alert 1001`, or `expect no alert`"),
            );
        }
        self.planner.add_test(test);
    }

    fn known_id(&mut self, id: u32, place: Span) -> Option<RuleId> {
        if self.ids.contains_key(&id) {
            return Some(RuleId(id));
        }
        self.diagnostics.push(
            Diagnostic::error(Code::C1, format!("no rule has the number {id}"))
                .primary(place, "")
                .help("the number of a rule stands behind its name: `rule NAME id N {`"),
        );
        None
    }
}

fn masked(address: std::net::IpAddr, prefix: u8) -> std::net::IpAddr {
    match address {
        std::net::IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            std::net::Ipv4Addr::from(u32::from(address) & mask).into()
        }
        std::net::IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            std::net::Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

/// What is wrong with a list; `file` is the path if it was read from one.
fn explain_list(error: &ListError, what: &str, file: Option<&str>) -> Diagnostic {
    let at = |number: &usize| file.map_or(String::new(), |file| format!(" ({file}:{number})"));
    let code = if matches!(error, ListError::TooLarge | ListError::TooMany) { Code::S5 } else { Code::S8 };
    match error {
        ListError::TooLarge => Diagnostic::error(code, format!("{what} has more than {} MB", MAX_LIST_BYTES >> 20))
            .help("take it apart into several lists: `domain in one or domain in two`"),
        ListError::TooMany => Diagnostic::error(code, format!("{what} has more than {MAX_LIST_ENTRIES} entries"))
            .help("one entry `.example.com` stands for all names below example.com"),
        ListError::LongEntry(number) => {
            Diagnostic::error(code, format!("{what} has an entry that is too long{}", at(number)))
                .note(format!("{MAX_ENTRY_BYTES} octets are the most, {MAX_STEM_BYTES} for one that begins with a dot"))
                .help("a list has one entry a line")
        }
        ListError::EmptyEntry(number) => Diagnostic::error(code, format!("{what} has an empty entry{}", at(number)))
            .note("every text begins and ends with it")
            .help("leave it out; `is empty` asks whether a text is empty"),
        ListError::Columns(number, entry) => {
            Diagnostic::error(code, format!("{what} has a line with a blank inside{}", at(number)))
                .note(format!("the line is `{entry}`"))
                .help("a list has one entry a line; a comment begins with # behind a blank")
        }
    }
}
