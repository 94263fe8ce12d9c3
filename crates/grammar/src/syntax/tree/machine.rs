//! The machine of a grammar: states, what each side may say in them, and rules.

use portcullis_lang::{Direction, Expression, Name, Path, Span, Template};

use super::{Check, Maximum, Pattern, SpanOf, TransportKind};

/// `machine { start S  join S on R  state S { ... }  any state { ... } }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// `start STATE`.
    pub start: Option<Name>,
    /// `join STATE on RECORD, ...`: where flows that were first seen in the middle may begin.
    pub joins: Vec<Join>,
    /// `state NAME { ... }`, in order.
    pub states: Vec<State>,
    /// `any state { ... }`: rules for all states, after their own.
    pub any_state: Option<AnyState>,
}

/// `join command on command`.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The state that may be entered blind.
    pub state: Name,
    /// The records that open it; at least one.
    pub records: Vec<Path>,
    /// All of it.
    pub span: SpanOf,
}

/// `state NAME { ... }`.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name.
    pub name: Name,
    /// What either side may say, in order.
    pub expectations: Vec<Expectation>,
    /// Its rules, in order: the first that matches applies.
    pub rules: Vec<Rule>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        self.name == other.name && self.expectations == other.expectations && self.rules == other.rules
    }
}

/// `any state { ... }`.
#[derive(Clone, Debug)]
pub struct AnyState {
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for AnyState {
    fn eq(&self, other: &AnyState) -> bool {
        self.rules == other.rules
    }
}

/// `up X`, `down X as NAME matches Q in order`, `up waits max N`.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Who speaks.
    pub direction: Direction,
    /// What.
    pub grammar: ExpectedGrammar,
    /// The question that it answers.
    pub matching: Option<Matching>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Expectation {
    fn eq(&self, other: &Expectation) -> bool {
        self.direction == other.direction && self.grammar == other.grammar && self.matching == other.matching
    }
}

/// What is expected of one side.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedGrammar {
    /// `waits max 64 KB`: it may run ahead, its bytes wait.
    Waits {
        /// How many bytes at most.
        max: Option<Maximum>,
    },
    /// `A then B`: a record, then its stream; at least one.
    Sequence(Vec<ExpectedRecord>),
    /// `choose asked.verb { DATA => content  BDAT => chunk }`.
    Choose {
        /// What is compared; without it the first bytes decide.
        subject: Option<Expression>,
        /// In order.
        branches: Vec<ExpectedBranch>,
    },
}

/// `message as query`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedRecord {
    /// The record or stream; `nothing` is one too.
    pub record: Path,
    /// The name of its event, if it is another.
    pub event: Option<Name>,
}

/// `DATA => content`.
#[derive(Clone, Debug)]
pub struct ExpectedBranch {
    /// What leads here; at least one.
    pub patterns: Vec<Pattern>,
    /// What is expected then; at least one.
    pub sequence: Vec<ExpectedRecord>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for ExpectedBranch {
    fn eq(&self, other: &ExpectedBranch) -> bool {
        self.patterns == other.patterns && self.sequence == other.sequence
    }
}

/// `matches query by id max 256 for 10 s`, `matches request in order, except status in 100..199 max 100`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// The event of the question.
    pub question: Path,
    /// How they are paired.
    pub by: MatchBy,
    /// Answers for which this holds answer nothing: `except status in 100..199`.
    pub except: Option<Expression>,
    /// How many questions may be open.
    pub max: Option<Maximum>,
    /// For how long a question stays open: `for 10 s`.
    pub lifetime: Option<Expression>,
    /// All of it.
    pub span: SpanOf,
}

/// How questions and answers are paired.
#[derive(Clone, Debug, PartialEq)]
pub enum MatchBy {
    /// `in order`.
    Order,
    /// `by id`: by a field that both have.
    Field(Path),
}

/// `on EVENT, EVENT [when TEST] [{ ACTIONS }] [-> TARGET]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is about; at least one.
    pub events: Vec<RuleEvent>,
    /// The guard.
    pub when: Option<Expression>,
    /// What is done.
    pub actions: Vec<Action>,
    /// `resync at reply, command`: where to take up again after a gap.
    pub resync: Vec<Path>,
    /// Where it goes; without it the state stays.
    pub target: Option<Target>,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.events == other.events
            && self.when == other.when
            && self.actions == other.actions
            && self.resync == other.resync
            && self.target == other.target
    }
}

/// What a rule is about: `command`, `parse_error`, `timeout 5 min`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleEvent {
    /// The event.
    pub name: Path,
    /// How long, of a `timeout`.
    pub duration: Option<Expression>,
}

/// Where a rule leads.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which kind.
    pub kind: TargetKind,
    /// All of it, without the arrow.
    pub span: Span,
}

impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        self.kind == other.kind
    }
}

/// Which kind of [`Target`].
#[derive(Clone, Debug, PartialEq)]
pub enum TargetKind {
    /// `-> response`.
    State(Name),
    /// `-> fail "service refused: {code}"`.
    Fail(Option<Template>),
    /// `-> finish`, `-> finish, then tls`, `-> finish, then fields["Upgrade"]`.
    Finish {
        /// The protocol that takes over.
        then: Option<Expression>,
    },
}

/// Something that a rule does.
#[derive(Clone, Debug)]
pub struct Action {
    /// What.
    pub kind: ActionKind,
    /// All of it.
    pub span: Span,
}

impl PartialEq for Action {
    fn eq(&self, other: &Action) -> bool {
        self.kind == other.kind
    }
}

/// What an [`Action`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// `anomaly answer_from_client`.
    Anomaly(Name),
    /// `close mail`: the channel has come to its end.
    Close(Path),
    /// `abort mail`: the channel is given up.
    Abort(Path),
    /// `should up.waiting == 0 as starttls_injection`, or `must`.
    Check(Check),
    /// `expect tcp to address:port as ftp_data for 60 s`.
    Expect {
        /// TCP or UDP.
        transport: TransportKind,
        /// The address, or address and port in one.
        address: Expression,
        /// The port, if it stands apart.
        port: Option<Expression>,
        /// The protocol that is expected there.
        protocol: Path,
        /// For how long.
        lifetime: Option<Expression>,
    },
    /// `NAME = EXPR`: of a variable of the flow.
    Set(Name, Expression),
}
