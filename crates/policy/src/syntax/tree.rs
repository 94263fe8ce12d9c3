//! The syntax tree of a policy file: what was written, nothing resolved.

use std::net::IpAddr;

use portcullis_lang::{Direction, Expression, Name, Path, Span, Template, Text};

/// One policy file.
#[derive(Clone, Debug, Default)]
pub struct PolicyFile {
    /// Its declarations, in the order of the file.
    pub items: Vec<Item>,
}

/// A declaration at top level.
#[derive(Clone, Debug)]
pub enum Item {
    /// `use smtp, dns`
    Use(Vec<Name>),
    /// `list banned from "..."`
    List(ListItem),
    /// `network inside = [...]`
    Network(NetworkItem),
    /// `policy NAME for PROTOCOL { ... }`
    Policy(PolicyItem),
    /// `test "..." { ... }`
    Test(TestItem),
}

/// A named list of texts.
#[derive(Clone, Debug)]
pub struct ListItem {
    /// `banned`
    pub name: Name,
    /// Where its entries are.
    pub source: ListSource,
    /// All of it.
    pub span: Span,
}

/// Where the entries of a list are.
#[derive(Clone, Debug)]
pub enum ListSource {
    /// In a file, one a line.
    File(Text),
    /// Here, in brackets.
    Entries(Vec<Text>),
}

/// Named networks.
#[derive(Clone, Debug)]
pub struct NetworkItem {
    /// `inside`
    pub name: Name,
    /// Its networks.
    pub networks: Vec<NetworkEntry>,
    /// All of it.
    pub span: Span,
}

/// One network or one address.
#[derive(Clone, Debug)]
pub struct NetworkEntry {
    /// The address.
    pub address: IpAddr,
    /// How many of its leading bits count.
    pub prefix: u8,
    /// Where.
    pub span: Span,
}

/// `policy NAME for PROTOCOL [when TEST] { [mode observe] rule ... }`
#[derive(Clone, Debug)]
pub struct PolicyItem {
    /// `mail_gateway`
    pub name: Name,
    /// `smtp`
    pub protocol: Name,
    /// What has to hold of the connection.
    pub when: Option<Expression>,
    /// Where `mode observe` stands, if it does.
    pub observe: Option<Span>,
    /// Its rules, in order.
    pub rules: Vec<RuleItem>,
    /// The first line, without the block.
    pub span: Span,
}

/// `rule NAME id N { ... }`
#[derive(Clone, Debug)]
pub struct RuleItem {
    /// `banned_sender`
    pub name: Name,
    /// The number and where it stands; none if it was left out, which is an error of its own.
    pub id: Option<(u32, Span)>,
    /// The events.
    pub triggers: Vec<Trigger>,
    /// The test for all events.
    pub when: Option<Expression>,
    /// `after 5 per client.address in 10 min`
    pub after: Option<Threshold>,
    /// `alert`
    pub alert: Option<AlertClause>,
    /// `log "text"`, each of them.
    pub logs: Vec<Template>,
    /// What ends the reading.
    pub verdict: Option<(VerdictClause, Span)>,
    /// The text of `refuse`.
    pub refusal: Option<Text>,
    /// `block client.address for 1 h`
    pub block: Option<BlockClause>,
    /// `hold EVENT until EVENT max SIZE`; its first event is the rule's trigger.
    pub hold: Option<HoldClause>,
    /// `edit ...`, each of them.
    pub edits: Vec<EditClause>,
    /// Where `mode observe` stands, if it does.
    pub observe: Option<Span>,
    /// The pairs after `about`.
    pub about: Vec<(Name, Text)>,
    /// Whether a clause was refused: then a missing action is a consequence, not an error of its own.
    pub refused: bool,
    /// The first line, without the block.
    pub span: Span,
}

/// `on EVENT [when TEST]`
#[derive(Clone, Debug)]
pub struct Trigger {
    /// `smtp.command`
    pub event: Path,
    /// The test for this event alone.
    pub when: Option<Expression>,
}

/// `N per KEY in TIME`
#[derive(Clone, Debug)]
pub struct Threshold {
    /// How often.
    pub count: u32,
    /// What is counted by.
    pub key: Expression,
    /// Within how many nanoseconds.
    pub window: u64,
    /// All of it.
    pub span: Span,
}

/// `alert SEVERITY "text" [at most N per KEY in TIME]`
#[derive(Clone, Debug)]
pub struct AlertClause {
    /// How bad it is.
    pub severity: crate::Severity,
    /// What it says.
    pub text: Template,
    /// How often it may be said.
    pub at_most: Option<Threshold>,
    /// Where `alert` stands.
    pub span: Span,
}

/// What ends the reading of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictClause {
    /// `pass`
    Pass,
    /// `drop`
    Drop,
    /// `reset`
    Reset,
    /// `refuse "..."`
    Refuse,
    /// `bypass`
    Bypass,
}

/// `block KEY for TIME`
#[derive(Clone, Debug)]
pub struct BlockClause {
    /// `client.address`
    pub key: Path,
    /// For how many nanoseconds.
    pub time: u64,
    /// All of it.
    pub span: Span,
}

/// `until EVENT max SIZE` of a hold
#[derive(Clone, Debug)]
pub struct HoldClause {
    /// The event that ends it.
    pub until: Path,
    /// How many octets are held at most.
    pub max: u32,
    /// All of it.
    pub span: Span,
}

/// `edit ...`
#[derive(Clone, Debug)]
pub struct EditClause {
    /// What is done.
    pub kind: EditKind,
    /// All of it.
    pub span: Span,
}

/// What an edit does.
#[derive(Clone, Debug)]
pub enum EditKind {
    /// `set FIELD = EXPRESSION`
    Set(Path, Expression),
    /// `delete LIST where TEST`
    Delete(Path, Expression),
    /// `replace /re/ with "..." in FIELD`
    Replace {
        /// The regular expression.
        pattern: Expression,
        /// What comes in the place of each match.
        with: Text,
        /// The field.
        field: Path,
    },
    /// `insert "..." SPOT`
    Insert {
        /// What is put in.
        text: Template,
        /// Where.
        spot: InsertSpot,
    },
    /// `fix`
    Fix,
}

/// Where a text is put in.
#[derive(Clone, Debug)]
pub enum InsertSpot {
    /// `before FIELD`, `after LIST where TEST`
    Beside {
        /// Whether before it; else after it.
        before: bool,
        /// The field or list.
        path: Path,
        /// Which elements of the list; all if nothing is said.
        test: Option<Expression>,
    },
    /// `at start`, `at end`: of a line or a stream.
    Edge {
        /// Whether at the start.
        before: bool,
        /// Both words.
        span: Span,
    },
}

/// `test "..." { ... }`
#[derive(Clone, Debug)]
pub struct TestItem {
    /// What it shows.
    pub name: Text,
    /// What happens, in order.
    pub steps: Vec<TestStep>,
    /// The first line, without the block.
    pub span: Span,
}

/// A step of a test.
#[derive(Clone, Debug)]
pub enum TestStep {
    /// `policy NAME`: the policy under test.
    Policy(Name),
    /// `up "..."` or `down "..."`: what a side sends.
    Send(Direction, Text),
    /// `expect ...`: what has to have come of it.
    Expect(Vec<Expectation>),
}

/// Something that a test expects.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What.
    pub kind: ExpectationKind,
    /// Where.
    pub span: Span,
}

/// What a test can expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectationKind {
    /// `alert 1001`
    Alert(u32),
    /// `no alert`, or `no alert 1001`
    NoAlert(Option<u32>),
    /// `pass`
    Pass,
    /// `drop`
    Drop,
    /// `reset`
    Reset,
    /// `bypass`
    Bypass,
    /// `block`
    Block,
    /// `refuse`, or `refuse "550 5.7.1"`: with a text that begins so.
    Refuse(Option<Text>),
    /// `edit`, or `edit "..."`: the record as it becomes.
    Edit(Option<Text>),
}
