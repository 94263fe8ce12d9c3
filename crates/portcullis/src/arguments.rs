//! What was typed, as it was typed. What it means is settled in [`crate::plan`].

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use portcullis_lang::Code;
use portcullis_policy::Severity;
use portcullis_stream::{Reassembly, UnknownReassembly};

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
    /// Check grammars and policies, and say what is wrong with them
    Check(CheckArguments),
    /// Bring grammars into the common layout
    Fmt(FormatArguments),
    /// Draw the machine of a protocol
    Graph(GraphArguments),
    /// Run the tests that policies carry
    Test(TestArguments),
    /// List every bound of the program
    Limits,
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
    /// An `overlap_diff` anomaly says that it mattered.
    #[arg(long, value_name = "RECEIVER", default_value = "linux", hide_default_value = true, value_parser = reassembly)]
    pub(crate) reassembly: Reassembly,
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

    /// Say how much memory a flow of each protocol can take
    #[arg(long)]
    pub(crate) cost: bool,

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

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Generated {
    Man,
    CompleteBash,
    CompleteFish,
    CompleteZsh,
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
    fn words_are_understood_or_explained() {
        assert_eq!(severity("high"), Ok(Severity::High));
        assert_eq!(severity("HIGH").unwrap_err(), "a severity is one of low, medium, high, critical");
        assert_eq!(reassembly("bsd"), Ok(Reassembly::Bsd));
        assert!(reassembly("BSD").unwrap_err().contains("there are linux, windows, bsd, first, last"));
        assert_eq!(code("c4"), Ok(Code::C4));
        assert!(code("C99").unwrap_err().contains("there are S1, S2"));
    }
}
