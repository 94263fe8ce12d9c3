//! What was typed, as it was typed. What it means is settled in [`crate::plan`].

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use portcullis_capture::queue::Backend;
use portcullis_lang::Code;
use portcullis_policy::Severity;
use portcullis_stream::{Reassembly, UnknownReassembly};

use crate::limits::LimitArguments;

/// The text below the options of `--help`.
const AFTER_HELP: &str = "\
Exit status: 0 if all went well; 1 if what was asked about was found (an alert of the severity of --fail-on, a file \
that fmt would change, a test that fails); 2 if the command line, a grammar, a policy or a part of a capture cannot be used.";

/// A gate in front of servers: dissects what they are told, and judges it by policies.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to write in colour
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,

    /// Say more about what is done, on standard error; twice for much more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to write in colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR says otherwise
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Analyse capture files
    Read(ReadArguments),
    /// Stand in the way of packets: judge what the firewall sends to a queue
    Inline(InlineArguments),
    /// Analyse the packets of an interface, without touching any
    Live(LiveArguments),
    /// Ask or direct a gate that is running
    Ctl(ControlArguments),
    /// Set, show or remove the firewall rules that send packets to `inline`
    Rules(RulesArguments),
    /// Say what this machine lacks for `inline`, and how to mend it
    Doctor(DoctorArguments),
    /// Tell what happened in a flow of a capture or of a running gate, and why
    Explain(ExplainArguments),
    /// Check grammars and policies, and say what is wrong with them
    Check(CheckArguments),
    /// Bring grammars into the common layout
    Fmt(FormatArguments),
    /// Draw the machine of a protocol
    Graph(GraphArguments),
    /// Run the tests that policies carry
    Test(TestArguments),
    /// List every bound and timeout of the program, and what tells that one was met
    Limits(LimitsArguments),
    /// Kill a gate that stands still; `inline` starts it
    #[command(hide = true)]
    Guard {
        /// The process to kill
        process: i32,
        /// After how many milliseconds of silence
        milliseconds: u64,
    },
    /// Write the manual page or completions for a shell
    #[command(hide = true)]
    Generate {
        #[arg(value_enum)]
        what: Generated,
    },
}

/// Analyse capture files: pcap and pcapng, plain or compressed with gzip or zstd, recognised by their content.
///
/// Several files are read as one, merged by time. Without --eve, one screen says what was found. In a capture nothing can
/// be dropped any more: an alert that is `blocked` says what a gateway with this policy would have stopped, and what
/// follows in that flow is not looked at, because it would not have got through.
#[derive(Args, Debug)]
pub(crate) struct ReadArguments {
    /// Capture files; `-` is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) captures: Vec<PathBuf>,

    /// Policy to judge by: a file, the name of a shipped one, or `none` [default: all shipped ones that only alert]
    ///
    /// Can be given several times; the policies are read in this order.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Vec<PathBuf>,

    /// Write records as JSON lines to this file, or to standard output if it is `-`
    ///
    /// Event types are smtp, dns, alert, anomaly, flow and stats. The file is appended to. With `-`, the screen for
    /// people is left out.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) eve: Option<PathBuf>,

    /// Look only at packets that match a filter in the language of tcpdump
    #[arg(long, short, value_name = "BPF")]
    pub(crate) filter: Option<String>,

    /// Take all grammars from a folder instead of the shipped ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) grammars: Option<PathBuf>,

    /// End with status 1 if there is an alert at least this severe
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    pub(crate) fail_on: Option<Severity>,

    /// Leave out the screen for people and the progress bar
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Ignore flows whose beginning is not in the capture
    #[arg(long)]
    pub(crate) no_midstream: bool,

    /// Whose reading of overlapping TCP segments is inspected: linux (the default), windows, bsd, first or last
    ///
    /// Where segments bring different bytes for the same place, receivers differ in what they keep, and an attacker can show
    /// one thing to the inspector and another to the server. Choose what the servers behind the capture run: `windows` is
    /// Vista, Server 2008 and later, `bsd` also older ones. `first` and `last` keep, byte by byte, what came first or last.
    /// An `overlap_diff` anomaly says that it mattered. Overlapping fragments of IPv4 are read likewise: linux discards their
    /// datagram.
    #[arg(long, value_name = "RECEIVER", default_value = "linux", hide_default_value = true, value_parser = reassembly)]
    pub(crate) reassembly: Reassembly,

    /// What becomes of flows that meet a bound which lets something escape inspection, unless --on-limit says it
    #[arg(long, value_enum, default_value_t = FailureChoice::Open, value_name = "CHOICE")]
    pub(crate) on_failure: FailureChoice,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Tell what happened in a flow, and why: states, records with their fields, what the tests of each rule came to, what was
/// decided, and what a gate sent.
///
/// With a FILE, of a capture; evidence that a gate has kept is one. Without, of a gate that is running here: `portcullis
/// explain 192.0.2.1:40000`, or the `flow_id` or the `event_id` of an alert. A gate keeps a short story of each flow with an
/// alert, and whole ones of flows that `portcullis ctl follow` has named; `portcullis explain` alone lists them.
#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    /// Capture files (`-` is standard input), and the flow or event that is asked about
    ///
    /// A flow is named by the `flow_id` of its records, by a host or by an end, as `192.0.2.1:40000`; an event by
    /// `alert.metadata.event_id` of an alert.
    #[arg(value_name = "FLOW|EVENT|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) what: Vec<PathBuf>,

    /// Only this flow or event; also a part of addresses and ports
    #[arg(long, value_name = "FLOW|EVENT")]
    pub(crate) flow: Option<String>,

    /// The socket of the gate that is asked if there is no FILE
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL, value_hint = ValueHint::FilePath)]
    pub(crate) control: PathBuf,

    /// Policy to judge by: a file, the name of a shipped one, or `none` [default: all shipped ones that only alert]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Vec<PathBuf>,

    /// Take all grammars from a folder instead of the shipped ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) grammars: Option<PathBuf>,

    /// Whose reading of overlapping TCP segments is taken: linux (the default), windows, bsd, first or last
    #[arg(long, value_name = "RECEIVER", default_value = "linux", hide_default_value = true, value_parser = reassembly)]
    pub(crate) reassembly: Reassembly,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Stand in the way of packets: judge what the firewall sends to a queue (NFQUEUE), and let it go on or not.
///
/// A new gate observes: everything passes, and records say what would have been stopped. With --mode enforce it does what
/// the policies say. The firewall rule is to be made when the gate stands, and with --queue-bypass, so that packets pass
/// when it does not.
///
/// SIGHUP loads grammars and policies again and opens the file of records again; SIGUSR1 only opens the file; SIGTERM ends
/// the gate in order.
#[derive(Args, Debug)]
pub(crate) struct InlineArguments {
    /// Queue, or queues as `0-3`: one worker each; the firewall rule has the same numbers
    #[arg(long, short = 'Q', value_name = "N[-M]", default_value = "0", value_parser = queues)]
    pub(crate) queue: RangeInclusive<u16>,

    /// Policy to judge by: a file, the name of a shipped one, or `none` [default: all shipped ones that only alert]
    ///
    /// Can be given several times; the policies are read in this order.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Vec<PathBuf>,

    /// Write records as JSON lines to this file, or to standard output if it is `-`
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) eve: Option<PathBuf>,

    /// Take all grammars from a folder instead of the shipped ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) grammars: Option<PathBuf>,

    /// Whether anything is stopped
    #[arg(long, value_enum, default_value_t = GateMode::Observe)]
    pub(crate) mode: GateMode,

    /// What becomes of what cannot be inspected: packets that are too long or too many, waits that take too long
    #[arg(long, value_enum, default_value_t = FailureChoice::Open, value_name = "CHOICE")]
    pub(crate) on_failure: FailureChoice,

    /// What becomes of connections that began before the gate
    #[arg(long, value_enum, default_value_t = MidstreamChoice::Inspect, value_name = "CHOICE")]
    pub(crate) midstream: MidstreamChoice,

    /// How long octets wait for an answer that decides what they are, such as mail before the answer to DATA
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) hold_time: Duration,

    /// Send servers of this protocol (`smtp`) one command at a time, though their clients send several at once
    ///
    /// A command leaves when the one before is answered; answers go to the client as they come. For servers that cannot do
    /// with pipelining, or whose logs are to show which answer belongs to which command. Can be given several times. See
    /// `serialise-time` and `hold-bytes` in `portcullis limits`.
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub(crate) serialise: Vec<String>,

    /// Least time to live (hop limit) of packets that pass; lower ones are raised to it
    #[arg(long, value_name = "N")]
    pub(crate) minimum_ttl: Option<u8>,

    /// Most octets of packets of the gate's own, with their IP header
    #[arg(long, value_name = "OCTETS", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: u16,

    /// Packets that the kernel lets wait in a queue; by default more than the receive buffer can hold
    ///
    /// With `--on-failure open`, a queue that is full before its receive buffer is refused: packets would pass that no counter
    /// shows.
    #[arg(long, value_name = "PACKETS")]
    pub(crate) queue_length: Option<u32>,

    /// Octets of the buffer between the kernel and a worker
    #[arg(long, value_name = "OCTETS")]
    pub(crate) receive_buffer: Option<usize>,

    /// The code that speaks with the kernel: `netlink` or `nfq`
    #[arg(long, value_name = "NAME", default_value = "netlink")]
    pub(crate) backend: Backend,

    /// Write a capture (pcapng) of each flow that a rule alerts about into this folder, with the alerts as comments
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) evidence: Option<PathBuf>,

    /// Octets that the captures in that folder may take all together: `500MiB`, `10GiB`
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size, requires = "evidence")]
    pub(crate) evidence_quota: u64,

    /// Socket for `portcullis ctl`; `none` for no socket
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL, value_hint = ValueHint::FilePath)]
    pub(crate) control: PathBuf,

    /// How often a `stats` record is written; 0 for only one at the end
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) stats_interval: Duration,

    /// End the process when a worker has stood still for so long, so that packets pass it by
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) watchdog: Duration,

    /// What the process gives up when everything is open: files, programs, sockets, the rights of root
    #[arg(long, value_enum, default_value_t = SandboxChoice::Auto, value_name = "CHOICE")]
    pub(crate) sandbox: SandboxChoice,

    /// Become this user, who must be able to write records and evidence [default: root without the rights of root]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    /// Start no second process that ends this one when it stands still as a whole (systemd's WatchdogSec does the same)
    #[arg(long)]
    pub(crate) no_guard: bool,
}

/// Where `portcullis ctl` finds a gate unless it is told otherwise.
pub(crate) const DEFAULT_CONTROL: &str = "/run/portcullis/control.sock";

/// Whether anything is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GateMode {
    /// Everything passes, and records say what would have been stopped
    Observe,
    /// What the policies say is done
    Enforce,
}

/// What becomes of what cannot be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailureChoice {
    /// It passes, counted and told
    Open,
    /// It is stopped, counted and told
    Closed,
}

/// What the process gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxChoice {
    /// All that this kernel lets it give up
    Auto,
    /// The same, and the gate does not start where the kernel lacks something of it
    Strict,
    /// Nothing
    Off,
}

/// What becomes of connections that began before the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MidstreamChoice {
    /// They are inspected from now on
    Inspect,
    /// They pass
    Pass,
    /// They do not pass
    Drop,
}

/// Analyse the packets of an interface, without touching any: of a mirror port, a tap, or this machine.
///
/// It runs until Ctrl-C or SIGTERM; SIGHUP loads grammars and policies again and opens the file of records again, SIGUSR1
/// only opens the file. Packets that the kernel could not hand over in time are counted and told in an alert.
#[derive(Args, Debug)]
pub(crate) struct LiveArguments {
    /// Interface to capture on, as `ip link` names it, or `any`
    #[arg(long, short, value_name = "NAME")]
    pub(crate) interface: String,

    /// Policy to judge by: a file, the name of a shipped one, or `none` [default: all shipped ones that only alert]
    ///
    /// Can be given several times; the policies are read in this order.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Vec<PathBuf>,

    /// Write records as JSON lines to this file, or to standard output if it is `-`
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) eve: Option<PathBuf>,

    /// Look only at packets that match a filter in the language of tcpdump
    #[arg(long, short, value_name = "BPF")]
    pub(crate) filter: Option<String>,

    /// Take all grammars from a folder instead of the shipped ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) grammars: Option<PathBuf>,

    /// Which of several octets for one place of a stream the receiver is taken to read
    #[arg(long, value_name = "RECEIVER", default_value = "linux", hide_default_value = true, value_parser = reassembly)]
    pub(crate) reassembly: Reassembly,

    /// Ignore flows whose beginning was not captured
    #[arg(long)]
    pub(crate) no_midstream: bool,

    /// Capture only what is for this machine
    #[arg(long)]
    pub(crate) no_promiscuous: bool,

    /// How often a `stats` record is written; 0 for only one at the end
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) stats_interval: Duration,

    /// What the process gives up when the interface is open: files, programs, sockets, the rights of root
    #[arg(long, value_enum, default_value_t = SandboxChoice::Auto, value_name = "CHOICE")]
    pub(crate) sandbox: SandboxChoice,

    /// Become this user, who must be able to write records [default: root without the rights of root]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Leave out the screen for people at the end
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Ask or direct a gate that is running: status, stats, reload, reopen, mode observe|enforce, flows, follow, unfollow, explain.
///
/// `follow FLOW`, `follow HOST` and `follow next N` have the gate write down whole stories of flows that there are and that
/// begin from now on; `follow` says which; `unfollow` (or `unfollow HOST`) ends it. `portcullis explain FLOW` tells them;
/// `ctl explain FLOW` is the same as JSON.
#[derive(Args, Debug)]
pub(crate) struct ControlArguments {
    /// What is asked
    #[arg(required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,

    /// The socket of the gate
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL, value_hint = ValueHint::FilePath)]
    pub(crate) control: PathBuf,
}

/// Set, show or remove the firewall rules that send packets to `inline`.
///
/// They stand in chains or a table of their own, before the filter rules of the machine, which still decide about what the
/// gate accepts. Setting them again replaces them in one step; removing them leaves nothing behind.
#[derive(Args, Debug)]
pub(crate) struct RulesArguments {
    #[command(subcommand)]
    pub(crate) action: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Print what `apply` would do, as a shell script; for every backend unless one is named
    Show(RuleSetArguments),
    /// Set the rules; those that are there are replaced
    Apply(RuleSetArguments),
    /// Remove all of ours
    Remove {
        /// The program whose rules are removed: nft, iptables-nft or iptables-legacy [default: all]
        #[arg(long, value_name = "NAME", value_parser = backend)]
        backend: Option<crate::firewall::Backend>,
    },
}

/// Which rules.
#[derive(Args, Debug)]
pub(crate) struct RuleSetArguments {
    /// Where the gate stands
    #[arg(long, value_enum, default_value_t = SetUpChoice::Router, value_name = "SET-UP")]
    pub(crate) setup: SetUpChoice,

    /// Ports that are guarded, as `25,587` or `25/tcp,53/udp`; at most 15 of each transport
    #[arg(long, value_name = "PORT,...", default_value = "25,587", value_delimiter = ',')]
    pub(crate) port: Vec<crate::firewall::Port>,

    /// Queue, or queues as `0-3`: the same numbers as `inline --queue`
    #[arg(long, short = 'Q', value_name = "N[-M]", default_value = "0", value_parser = queues)]
    pub(crate) queue: RangeInclusive<u16>,

    /// Let packets pass while no gate runs; this is so unless told otherwise
    #[arg(long, overrides_with = "no_queue_bypass")]
    pub(crate) queue_bypass: bool,

    /// Drop packets while no gate runs
    #[arg(long)]
    pub(crate) no_queue_bypass: bool,

    /// Do not drop what connection tracking calls invalid
    #[arg(long)]
    pub(crate) keep_invalid: bool,

    /// The versions of IP
    #[arg(long, value_enum, default_value_t = FamilyChoice::Both, value_name = "FAMILY")]
    pub(crate) family: FamilyChoice,

    /// The program that sets them: nft, iptables-nft or iptables-legacy [default: the first that can]
    #[arg(long, value_name = "NAME", value_parser = backend)]
    pub(crate) backend: Option<crate::firewall::Backend>,
}

/// Say what this machine lacks for `inline`, and how to mend it.
///
/// Nothing is changed: rules are tried in a network namespace of their own. The exit status is 1 if there is an error, which
/// keeps a gate from working; warnings do not change it.
#[derive(Args, Debug)]
pub(crate) struct DoctorArguments {
    /// Where the gate is to stand
    #[arg(long, value_enum, default_value_t = SetUpChoice::Router, value_name = "SET-UP")]
    pub(crate) setup: SetUpChoice,

    /// Queue, or queues as `0-3`: the same numbers as `inline --queue`
    #[arg(long, short = 'Q', value_name = "N[-M]", default_value = "0", value_parser = queues)]
    pub(crate) queue: RangeInclusive<u16>,

    /// The file that records are to be written to
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) eve: Option<PathBuf>,

    /// The program that is to set the rules: nft, iptables-nft or iptables-legacy [default: the first that can]
    #[arg(long, value_name = "NAME", value_parser = backend)]
    pub(crate) backend: Option<crate::firewall::Backend>,

    /// Answer with one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetUpChoice {
    /// It forwards packets between networks
    Router,
    /// It forwards frames between links of one network
    Bridge,
    /// It is the mail server
    Host,
}

/// The versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FamilyChoice {
    Both,
    Ipv4,
    Ipv6,
}

/// Check grammars and policies, each file by itself.
///
/// Without files, the shipped ones are checked. Warnings do not change the exit status.
#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    /// Files to check, `*.grammar` and `*.policy` [default: the shipped ones]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// Check policies against the grammars of a folder instead of the shipped ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) grammars: Option<PathBuf>,

    /// Say how much memory a flow of each protocol can take, and all flows together, and by which bounds
    #[arg(long)]
    pub(crate) cost: bool,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    /// List the events and fields that each grammar gives to policies
    #[arg(long)]
    pub(crate) list: bool,

    /// How messages are written
    #[arg(long, value_enum, default_value_t = MessageFormat::Text)]
    pub(crate) format: MessageFormat,

    /// Explain a code, and what to do about it
    #[arg(long, value_name = "CODE", value_parser = code, exclusive = true)]
    pub(crate) explain: Option<Code>,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people, on standard error
    Text,
    /// One JSON object a line, on standard output
    Json,
}

/// Bring grammars into the common layout, in place.
#[derive(Args, Debug)]
pub(crate) struct FormatArguments {
    /// Grammars to format; `-` formats standard input to standard output
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// Change nothing; name the files that would be, and end with status 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
}

/// Draw the machine of a protocol: its states, and what leads from one to the other.
#[derive(Args, Debug)]
pub(crate) struct GraphArguments {
    /// A shipped protocol, or a grammar file
    #[arg(value_name = "PROTOCOL|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) grammar: PathBuf,

    /// The language of the drawing
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub(crate) format: GraphFormat,
}

/// The language of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Graphviz: `portcullis graph smtp | dot -Tsvg`
    Dot,
    /// For Markdown
    Mermaid,
}

/// Run the `test` blocks of policies through the engine, as if their dialogues were packets.
#[derive(Args, Debug)]
pub(crate) struct TestArguments {
    /// Policies, files or names of shipped ones [default: the shipped ones]
    #[arg(value_name = "POLICY", value_hint = ValueHint::FilePath)]
    pub(crate) policies: Vec<PathBuf>,

    /// Take all grammars from a folder instead of the shipped ones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) grammars: Option<PathBuf>,
}

/// List every bound and timeout of the program.
///
/// Those with a name can be set by --limit and --limits of `read` and `inline`; with the same options, this command shows
/// what they amount to.
#[derive(Args, Debug)]
pub(crate) struct LimitsArguments {
    /// What becomes of flows that meet a bound which lets something escape inspection, unless --on-limit says it
    #[arg(long, value_enum, default_value_t = FailureChoice::Open, value_name = "CHOICE")]
    pub(crate) on_failure: FailureChoice,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Generated {
    Man,
    CompleteBash,
    CompleteFish,
    CompleteZsh,
}

fn queues(word: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("{text:?} is no number of a queue (0 to 65535)"));
    let (first, last) = match word.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(word)?, number(word)?),
    };
    if first > last {
        return Err(format!("queues are counted upwards: {last}-{first}"));
    }
    if last - first >= MOST_QUEUES {
        return Err(format!("at most {MOST_QUEUES} queues, one for each processor"));
    }
    Ok(first..=last)
}

/// Most queues of a gate, each of which has a worker.
const MOST_QUEUES: u16 = 256;

/// A number of octets with its unit.
pub(crate) fn size(word: &str) -> Result<u64, String> {
    let split = word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(split);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(format!("{unit:?} is no unit of octets; there are KiB, MiB, GiB and TiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{word:?} is no size; write it as 500MiB"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{word:?} is too much"))
}

/// A time with its unit.
pub(crate) fn duration(word: &str) -> Result<Duration, String> {
    let split = word.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(word.len());
    let (digits, unit) = word.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time; there are ms, s, min and h")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{word:?} is no time; write it as 500ms, 30s or 5min"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| format!("{word:?} is no time: {error}"))
}

fn backend(word: &str) -> Result<crate::firewall::Backend, String> {
    use crate::firewall::Backend;

    Backend::ALL.into_iter().find(|backend| backend.name() == word).ok_or_else(|| {
        let names = Backend::ALL.map(Backend::name);
        format!("a backend is one of {}", names.join(", "))
    })
}

fn severity(word: &str) -> Result<Severity, String> {
    Severity::parse(word).ok_or_else(|| {
        let words = Severity::ALL.map(Severity::as_str);
        format!("a severity is one of {}", words.join(", "))
    })
}

fn reassembly(word: &str) -> Result<Reassembly, String> {
    word.parse().map_err(|error: UnknownReassembly| error.to_string())
}

fn code(word: &str) -> Result<Code, String> {
    Code::parse(word).ok_or_else(|| {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        format!("there is no such code; there are {}", codes.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn queues_and_times_are_understood_or_explained() {
        assert_eq!(queues("7"), Ok(7..=7));
        assert_eq!(queues("0-3"), Ok(0..=3));
        assert!(queues("3-0").unwrap_err().contains("0-3"));
        assert!(queues("70000").unwrap_err().contains("is no number of a queue"));
        assert!(queues("0-999").unwrap_err().contains("at most 256"));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1.5min"), Ok(Duration::from_secs(90)));
        assert!(duration("5d").unwrap_err().contains("there are ms, s, min and h"));
        assert!(duration("soon").unwrap_err().contains("no unit"));
        assert!(duration("s").unwrap_err().contains("is no time"));
        assert_eq!(size("500MiB"), Ok(500 << 20));
        assert!(size("5MB").unwrap_err().contains("there are KiB"));
        assert!(size("99999999TiB").unwrap_err().contains("too much"));
    }

    #[test]
    fn words_are_understood_or_explained() {
        assert_eq!(severity("high"), Ok(Severity::High));
        assert_eq!(severity("HIGH").unwrap_err(), "a severity is one of low, medium, high, critical");
        assert_eq!(reassembly("bsd"), Ok(Reassembly::Bsd));
        assert!(reassembly("BSD").unwrap_err().contains("there are linux, windows, bsd, first, last"));
        assert_eq!(code("c4"), Ok(Code::C4));
        assert!(code("C99").unwrap_err().contains("there are S1, S2"));
    }
}
