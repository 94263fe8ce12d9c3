//! What the command line means. The rest of the program sees nothing else of it.

use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use portcullis_capture::limits::messages_in;
use portcullis_capture::queue::{Backend, QueueSettings};
use portcullis_engine::{Failure, GateSettings, Mode, Settings, WhenMet};
use portcullis_lang::Code;
use portcullis_policy::Severity;
use portcullis_stream::{Midstream, NormaliserSettings};

use crate::arguments::{
    Arguments, CheckArguments, ColorChoice, Command, ControlArguments, DoctorArguments, ExplainArguments,
    FailureChoice, FamilyChoice, FormatArguments, GateMode, Generated, GraphArguments, GraphFormat, InlineArguments,
    LimitsArguments, LiveArguments, MessageFormat, MidstreamChoice, ReadArguments, RuleSetArguments, RulesArguments,
    RulesCommand, SandboxChoice, SetUpChoice, TestArguments,
};
use crate::doctor::Purpose;
use crate::firewall::{self, Families, Rules, SetUp};
use crate::grammars::GrammarChoice;
use crate::limits::LimitArguments;
use crate::policies::PolicyChoice;
use crate::trace::Wanted;

/// What is to be done, and how it is to be told.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) task: Task,
    pub(crate) colour: Colour,
    pub(crate) verbosity: u8,
}

/// Where colour is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

#[derive(Debug)]
pub(crate) enum Task {
    Read(Box<ReadTask>),
    Inline(Box<InlineTask>),
    Live(Box<LiveTask>),
    Control(ControlTask),
    Guard(GuardTask),
    Rules(RulesTask),
    Doctor(DoctorTask),
    Check(CheckTask),
    Story(Box<StoryTask>),
    GateStory(GateStoryTask),
    Explain(Code),
    Format(FormatTask),
    Graph(GraphTask),
    Test(TestTask),
    Limits(Box<LimitsTask>),
    Generate(Generated),
}

/// `portcullis read`
#[derive(Debug)]
pub(crate) struct ReadTask {
    pub(crate) captures: Vec<PathBuf>,
    pub(crate) grammars: GrammarChoice,
    pub(crate) policies: PolicyChoice,
    pub(crate) filter: Option<String>,
    pub(crate) fail_on: Option<Severity>,
    pub(crate) settings: Settings,
    /// What is to be changed in them.
    pub(crate) limits: LimitArguments,
    /// Where records go; nowhere if nobody asked for them.
    pub(crate) records: Option<Destination>,
    /// Whether a screen for people is written to standard output at the end.
    pub(crate) screen: bool,
    /// Whether somebody looks at standard error while the work is done.
    pub(crate) progress: bool,
}

/// `portcullis explain`
#[derive(Debug)]
pub(crate) struct StoryTask {
    pub(crate) captures: Vec<PathBuf>,
    /// Nothing: all flows.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) grammars: GrammarChoice,
    pub(crate) policies: PolicyChoice,
    pub(crate) settings: Settings,
    pub(crate) limits: LimitArguments,
}

/// `portcullis explain` without captures
#[derive(Debug)]
pub(crate) struct GateStoryTask {
    pub(crate) socket: PathBuf,
    /// Nothing: which stories there are.
    pub(crate) wanted: Option<Wanted>,
}

/// `portcullis inline`
#[derive(Debug)]
pub(crate) struct InlineTask {
    pub(crate) queues: RangeInclusive<u16>,
    pub(crate) grammars: GrammarChoice,
    pub(crate) policies: PolicyChoice,
    pub(crate) settings: Settings,
    /// What is to be changed in them.
    pub(crate) limits: LimitArguments,
    pub(crate) gate: GateSettings,
    pub(crate) records: Option<Destination>,
    pub(crate) evidence: Option<PathBuf>,
    /// Octets of all captures in that folder.
    pub(crate) evidence_quota: u64,
    pub(crate) control: Option<PathBuf>,
    pub(crate) statistics_interval: Duration,
    pub(crate) queue_length: u32,
    pub(crate) receive_buffer: usize,
    pub(crate) backend: Backend,
    /// How long a worker, or the whole process, may stand still.
    pub(crate) patience: Duration,
    pub(crate) guard: bool,
    pub(crate) sandbox: SandboxChoice,
    pub(crate) user: Option<String>,
}

/// `portcullis live`
#[derive(Debug)]
pub(crate) struct LiveTask {
    pub(crate) interface: String,
    pub(crate) filter: Option<String>,
    pub(crate) promiscuous: bool,
    pub(crate) grammars: GrammarChoice,
    pub(crate) policies: PolicyChoice,
    pub(crate) settings: Settings,
    pub(crate) records: Option<Destination>,
    /// Whether a screen for people is written at the end.
    pub(crate) screen: bool,
    pub(crate) statistics_interval: Duration,
    pub(crate) sandbox: SandboxChoice,
    pub(crate) user: Option<String>,
    pub(crate) limits: LimitArguments,
}

/// `portcullis ctl`
#[derive(Debug)]
pub(crate) struct ControlTask {
    pub(crate) socket: PathBuf,
    pub(crate) command: String,
}

/// `portcullis guard`
#[derive(Debug)]
pub(crate) struct GuardTask {
    pub(crate) process: i32,
    pub(crate) patience: Duration,
}

/// `portcullis rules`
#[derive(Debug)]
pub(crate) struct RulesTask {
    pub(crate) action: RulesAction,
    /// Nothing: whichever can.
    pub(crate) backend: Option<firewall::Backend>,
}

#[derive(Debug)]
pub(crate) enum RulesAction {
    Show(Rules),
    Apply(Rules),
    Remove,
}

/// `portcullis doctor`
#[derive(Debug)]
pub(crate) struct DoctorTask {
    pub(crate) purpose: Purpose,
    pub(crate) json: bool,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    StandardOutput,
    File(PathBuf),
}

/// `portcullis check`
#[derive(Debug)]
pub(crate) struct CheckTask {
    /// Nothing: the shipped ones.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) grammars: GrammarChoice,
    pub(crate) cost: bool,
    pub(crate) limits: LimitArguments,
    pub(crate) list: bool,
    pub(crate) json: bool,
}

/// `portcullis limits`
#[derive(Debug)]
pub(crate) struct LimitsTask {
    pub(crate) settings: Settings,
    pub(crate) limits: LimitArguments,
}

/// `portcullis fmt`
#[derive(Debug)]
pub(crate) struct FormatTask {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) check: bool,
}

/// `portcullis graph`
#[derive(Debug)]
pub(crate) struct GraphTask {
    pub(crate) grammar: PathBuf,
    pub(crate) format: GraphFormat,
}

/// `portcullis test`
#[derive(Debug)]
pub(crate) struct TestTask {
    /// Nothing: the shipped ones.
    pub(crate) policies: Vec<PathBuf>,
    pub(crate) grammars: GrammarChoice,
}

impl Plan {
    pub(crate) fn new(arguments: Arguments) -> Plan {
        let Arguments { command, color, verbose } = arguments;
        let task = match command {
            Command::Read(read) => Task::Read(Box::new(ReadTask::new(read))),
            Command::Inline(inline) => Task::Inline(Box::new(InlineTask::new(inline))),
            Command::Live(live) => Task::Live(Box::new(LiveTask::new(live))),
            Command::Ctl(ControlArguments { command, control }) => {
                Task::Control(ControlTask { socket: control, command: command.join(" ") })
            }
            Command::Guard { process, milliseconds } => {
                Task::Guard(GuardTask { process, patience: Duration::from_millis(milliseconds) })
            }
            Command::Rules(RulesArguments { action }) => Task::Rules(RulesTask::new(action)),
            Command::Doctor(DoctorArguments { setup, queue, eve, backend, json }) => {
                let set_up = set_up(setup);
                Task::Doctor(DoctorTask { purpose: Purpose { set_up, queues: queue, records: eve, backend }, json })
            }
            Command::Explain(explain) => explained(explain),
            Command::Check(CheckArguments { explain: Some(code), .. }) => Task::Explain(code),
            Command::Check(check) => Task::Check(CheckTask {
                files: check.files,
                grammars: GrammarChoice::new(check.grammars),
                cost: check.cost,
                limits: check.limits,
                list: check.list,
                json: check.format == MessageFormat::Json,
            }),
            Command::Fmt(FormatArguments { files, check }) => Task::Format(FormatTask { files, check }),
            Command::Graph(GraphArguments { grammar, format }) => Task::Graph(GraphTask { grammar, format }),
            Command::Test(TestArguments { policies, grammars }) => {
                Task::Test(TestTask { policies, grammars: GrammarChoice::new(grammars) })
            }
            Command::Limits(LimitsArguments { on_failure, limits }) => {
                Task::Limits(Box::new(LimitsTask { settings: settings(on_failure), limits }))
            }
            Command::Generate { what } => Task::Generate(what),
        };
        Plan { task, colour: Colour::new(color), verbosity: verbose }
    }
}

/// What is to be explained: words that name flows or events, and are no files, ask about those; without a file, a running
/// gate is asked.
fn explained(explain: ExplainArguments) -> Task {
    let mut named: Vec<Wanted> = explain.flow.as_deref().map(Wanted::parse).into_iter().collect();
    let mut captures = Vec::new();
    for word in explain.what {
        let wanted = word.to_str().map(Wanted::parse).filter(|wanted| wanted.is_exact() && !word.exists());
        match wanted {
            Some(wanted) => named.push(wanted),
            None => captures.push(word),
        }
    }
    if named.len() > 1 {
        let problem = format!("one flow or event at a time: {} and {} are two", named[0], named[1]);
        Arguments::command().error(clap::error::ErrorKind::TooManyValues, problem).exit()
    }
    let wanted = named.pop();
    if captures.is_empty() {
        if !explain.policy.is_empty() || explain.grammars.is_some() {
            let problem = "--policy and --grammars are for captures, and no FILE is named; a running gate has its own";
            Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, problem).exit()
        }
        return Task::GateStory(GateStoryTask { socket: explain.control, wanted });
    }
    Task::Story(Box::new(StoryTask {
        captures,
        wanted,
        grammars: GrammarChoice::new(explain.grammars),
        policies: PolicyChoice::new(explain.policy),
        settings: Settings { reassembly: explain.reassembly, ..Settings::default() },
        limits: explain.limits,
    }))
}

/// The settings of an engine where nothing else was said.
fn settings(on_failure: FailureChoice) -> Settings {
    let mut settings = Settings::default();
    settings.failures.general = match on_failure {
        FailureChoice::Open => WhenMet::Accept,
        FailureChoice::Closed => WhenMet::Drop,
    };
    settings
}

impl ReadTask {
    fn new(read: ReadArguments) -> ReadTask {
        let records = read.eve.map(Destination::new);
        ReadTask {
            captures: read.captures,
            grammars: GrammarChoice::new(read.grammars),
            policies: PolicyChoice::new(read.policy),
            filter: read.filter,
            fail_on: read.fail_on,
            settings: Settings {
                midstream: !read.no_midstream,
                reassembly: read.reassembly,
                ..settings(read.on_failure)
            },
            limits: read.limits,
            screen: !read.quiet && records != Some(Destination::StandardOutput),
            progress: !read.quiet && std::io::stderr().is_terminal(),
            records,
        }
    }
}

impl LiveTask {
    fn new(live: LiveArguments) -> LiveTask {
        let records = live.eve.map(Destination::new);
        LiveTask {
            interface: live.interface,
            filter: live.filter,
            promiscuous: !live.no_promiscuous,
            grammars: GrammarChoice::new(live.grammars),
            policies: PolicyChoice::new(live.policy),
            settings: Settings { midstream: !live.no_midstream, reassembly: live.reassembly, ..Settings::default() },
            screen: !live.quiet && records != Some(Destination::StandardOutput),
            records,
            statistics_interval: live.stats_interval,
            sandbox: live.sandbox,
            user: live.user,
            limits: live.limits,
        }
    }
}

impl InlineTask {
    fn new(inline: InlineArguments) -> InlineTask {
        let normaliser = NormaliserSettings {
            minimum_ttl: inline.minimum_ttl,
            midstream: match inline.midstream {
                MidstreamChoice::Inspect => Midstream::Inspect,
                MidstreamChoice::Pass => Midstream::Pass,
                MidstreamChoice::Drop => Midstream::Drop,
            },
        };
        let gate = GateSettings {
            mode: match inline.mode {
                GateMode::Observe => Mode::Observe,
                GateMode::Enforce => Mode::Enforce,
            },
            on_failure: match inline.on_failure {
                FailureChoice::Open => Failure::Open,
                FailureChoice::Closed => Failure::Closed,
            },
            normaliser,
            mtu: inline.mtu,
            serialise: inline.serialise,
        };
        let mut settings = settings(inline.on_failure);
        settings.engine.hold_time = inline.hold_time;
        let queue = QueueSettings::new(*inline.queue.start());
        let receive_buffer = inline.receive_buffer.unwrap_or(queue.receive_buffer);
        InlineTask {
            queues: inline.queue,
            grammars: GrammarChoice::new(inline.grammars),
            policies: PolicyChoice::new(inline.policy),
            settings,
            limits: inline.limits,
            gate,
            records: inline.eve.map(Destination::new),
            evidence: inline.evidence,
            evidence_quota: inline.evidence_quota,
            control: Some(inline.control).filter(|path| path != Path::new("none")),
            statistics_interval: inline.stats_interval,
            queue_length: inline.queue_length.unwrap_or(queue.length.max(messages_in(receive_buffer))),
            receive_buffer,
            backend: inline.backend,
            patience: inline.watchdog,
            guard: !inline.no_guard,
            sandbox: inline.sandbox,
            user: inline.user,
        }
    }
}

impl RulesTask {
    fn new(command: RulesCommand) -> RulesTask {
        match command {
            RulesCommand::Show(rules) => {
                let backend = rules.backend;
                RulesTask { action: RulesAction::Show(rule_set(rules)), backend }
            }
            RulesCommand::Apply(rules) => {
                let backend = rules.backend;
                RulesTask { action: RulesAction::Apply(rule_set(rules)), backend }
            }
            RulesCommand::Remove { backend } => RulesTask { action: RulesAction::Remove, backend },
        }
    }
}

fn set_up(choice: SetUpChoice) -> SetUp {
    match choice {
        SetUpChoice::Router => SetUp::Router,
        SetUpChoice::Bridge => SetUp::Bridge,
        SetUpChoice::Host => SetUp::Host,
    }
}

fn rule_set(arguments: RuleSetArguments) -> Rules {
    let families = match arguments.family {
        FamilyChoice::Both => Families::Both,
        FamilyChoice::Ipv4 => Families::Ipv4,
        FamilyChoice::Ipv6 => Families::Ipv6,
    };
    let mut rules = Rules::new(set_up(arguments.setup), arguments.port, arguments.queue).unwrap_or_else(|problem| {
        Arguments::command().error(clap::error::ErrorKind::ValueValidation, format!("--port: {problem}")).exit()
    });
    rules.queue_bypass = !arguments.no_queue_bypass;
    rules.drop_invalid = !arguments.keep_invalid;
    rules.families = families;
    rules
}

impl Destination {
    fn new(path: PathBuf) -> Destination {
        match path == Path::new("-") {
            true => Destination::StandardOutput,
            false => Destination::File(path),
        }
    }
}

impl Colour {
    fn new(choice: ColorChoice) -> Colour {
        match choice {
            ColorChoice::Always => Colour { stdout: true, stderr: true },
            ColorChoice::Never => Colour { stdout: false, stderr: false },
            // anstream knows NO_COLOR, CLICOLOR, CLICOLOR_FORCE and terminals that show none.
            ColorChoice::Auto => Colour {
                stdout: anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
                stderr: anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use portcullis_stream::Reassembly;

    use super::*;

    fn read(words: &[&str]) -> ReadTask {
        let words = ["portcullis", "read"].iter().chain(words);
        match Plan::new(Arguments::try_parse_from(words).unwrap()).task {
            Task::Read(task) => *task,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_on_standard_output_leave_no_room_for_a_screen() {
        assert!(read(&["x.pcap"]).screen);
        assert!(!read(&["x.pcap", "--quiet"]).screen);
        assert!(!read(&["x.pcap", "--eve", "-"]).screen);
        let to_file = read(&["x.pcap", "--eve", "eve.json"]);
        assert!(to_file.screen);
        assert_eq!(to_file.records, Some(Destination::File("eve.json".into())));
    }

    #[test]
    fn flows_are_joined_unless_told_otherwise() {
        assert!(read(&["x.pcap"]).settings.midstream);
        assert!(!read(&["x.pcap", "--no-midstream"]).settings.midstream);
    }

    #[test]
    fn overlaps_are_read_as_linux_reads_them_unless_told_otherwise() {
        assert_eq!(read(&["x.pcap"]).settings.reassembly, Reassembly::Linux);
        assert_eq!(read(&["x.pcap", "--reassembly", "last"]).settings.reassembly, Reassembly::Last);
    }

    #[test]
    fn what_is_explained_is_told_by_its_name() {
        let task = |words: &[&str]| {
            let words = ["portcullis", "explain"].iter().chain(words);
            Plan::new(Arguments::try_parse_from(words).unwrap()).task
        };
        let of_gate = |words: &[&str]| match task(words) {
            Task::GateStory(task) => task.wanted.map(|wanted| wanted.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(of_gate(&[]), None);
        for name in ["4711", "4711-c57", "192.0.2.1", "[2001:db8::1]:25"] {
            assert_eq!(of_gate(&[name]).as_deref(), Some(name));
        }
        assert_eq!(of_gate(&["--flow", "192.0."]).as_deref(), Some("192.0."));
        for words in [&["a.pcap", "4711-c57"], &["4711-c57", "a.pcap"]] {
            let Task::Story(story) = task(words) else { panic!("a capture is read") };
            assert_eq!(
                (story.captures.len(), story.wanted.map(|wanted| wanted.to_string())),
                (1, Some(words.concat().replace("a.pcap", "")))
            );
        }
        let Task::Story(story) = task(&["4711.pcapng"]) else { panic!("a capture is read") };
        assert_eq!(story.wanted, None);
    }

    #[test]
    fn explaining_a_code_is_a_task_of_its_own() {
        let arguments = Arguments::try_parse_from(["portcullis", "check", "--explain", "c4"]).unwrap();
        assert!(matches!(Plan::new(arguments).task, Task::Explain(Code::C4)));
        assert!(Arguments::try_parse_from(["portcullis", "check", "--explain", "c4", "--cost"]).is_err());
    }
}
