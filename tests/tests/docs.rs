//! The documentation for people: grammars in it load, policies compile, commands print what it says they print.
//!
//! A block may say more behind its language: `file=NAME` writes it down for the commands of the page, `error=CODE` says
//! that it is refused with this code. `UPDATE_DOCS=1` writes what the commands printed into the page.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_lang::{Diagnostics, Sources, render_all};
use portcullis_policy::{PolicySet, no_files};
use portcullis_tests::grammars::shipped;
use portcullis_tests::{portcullis_in, project};

#[test]
fn the_tutorial() {
    let page = Page::read("tutorial.md");
    assert!(page.grammars() >= 3 && page.policies() >= 1);
    assert!(page.commands() >= 5);
}

#[test]
fn the_reference_of_the_grammar_language() {
    let page = Page::read("grammar-language.md");
    assert!(page.grammars() >= 20);
    page.policies();
    page.commands();
}

#[test]
fn links_lead_somewhere() {
    for name in ["README.md", "tutorial.md", "grammar-language.md"] {
        let page = Page::read(name);
        let folder = page.path.parent().expect("a page lies in a folder").to_owned();
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            assert!(file.starts_with("http") || folder.join(file).exists(), "{name}: {link}");
            if file.is_empty() {
                let is_it = |line: &str| line.starts_with('#') && slug(line.trim_start_matches('#')) == anchor;
                assert!(page.text.lines().any(is_it), "{name}: no heading for {link}");
            }
        }
    }
}

/// How a heading is named in links.
fn slug(heading: &str) -> String {
    heading.trim().to_lowercase().replace(' ', "-").replace([',', '.', '`'], "")
}

/// A page of `docs/`.
struct Page {
    path: PathBuf,
    text: String,
    blocks: Vec<Block>,
}

/// A fenced block.
struct Block {
    language: String,
    file: Option<String>,
    error: Option<String>,
    /// The line of its fence, counted from 1.
    line: usize,
    text: String,
}

impl Page {
    fn read(name: &str) -> Page {
        let path = project().join("docs").join(name);
        let text = fs::read_to_string(&path).expect("a page of the documentation");
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (line, content) in (1..).zip(text.lines()) {
            match (&mut open, content.strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{content}\n"),
                (None, Some(info)) => open = Some(Block::new(info, line)),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a block without an end");
        Page { path, text, blocks }
    }

    fn of<'a>(&'a self, language: &'a str) -> impl Iterator<Item = &'a Block> {
        self.blocks.iter().filter(move |block| block.language == language)
    }

    /// Loads the grammars; how many there are.
    fn grammars(&self) -> usize {
        for block in self.of("grammar") {
            let mut sources = Sources::new();
            let text = block.as_grammar();
            let diagnostics = match portcullis_grammar::load(&mut sources, "page.grammar", &text) {
                Ok((protocol, warnings)) => {
                    let complete = text == block.text;
                    assert!(!complete || warnings.is_empty(), "{}", self.said(block, &warnings, &sources));
                    portcullis_grammar::Program::compile(Arc::new(protocol));
                    None
                }
                Err(diagnostics) => Some(diagnostics),
            };
            self.judge(block, diagnostics, &sources);
        }
        self.of("grammar").count()
    }

    /// Compiles the policies; how many there are.
    fn policies(&self) -> usize {
        let schemes = shipped().grammars.schemes();
        for block in self.of("policy") {
            let mut sources = Sources::new();
            let file = sources.add("page.policy", block.text.as_str());
            let compiled = PolicySet::compile(&sources, &[file], &schemes, &mut no_files);
            self.judge(block, compiled.err(), &sources);
        }
        self.of("policy").count()
    }

    fn judge(&self, block: &Block, diagnostics: Option<Diagnostics>, sources: &Sources) {
        match (diagnostics, &block.error) {
            (None, None) => {}
            (None, Some(code)) => panic!("{}: {code} is not raised", self.place(block)),
            (Some(diagnostics), None) => panic!("{}", self.said(block, &diagnostics, sources)),
            (Some(diagnostics), Some(code)) => {
                let errors: Vec<String> = diagnostics
                    .iter()
                    .filter(|diagnostic| diagnostic.severity == portcullis_lang::Severity::Error)
                    .map(|diagnostic| diagnostic.code.to_string())
                    .collect();
                assert!(errors.iter().all(|error| error == code), "{}", self.said(block, &diagnostics, sources));
            }
        }
    }

    fn said(&self, block: &Block, diagnostics: &Diagnostics, sources: &Sources) -> String {
        format!("{}\n{}", self.place(block), render_all(diagnostics, sources, false))
    }

    fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.path.display(), block.line)
    }

    /// Runs the commands of the page in a folder with its files; how many there are.
    fn commands(&self) -> usize {
        let stem = self.path.file_stem().expect("a page has a name");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs").join(stem);
        fs::create_dir_all(folder.join("pcaps")).expect("a folder for the files of the page");
        for block in &self.blocks {
            if let Some(file) = &block.file {
                fs::write(folder.join(file), &block.text).expect("a file of the page");
            }
        }
        let mut count = 0;
        let mut status = 0;
        let mut text = self.text.clone();
        for block in self.of("console") {
            let mut printed = String::new();
            for line in block.text.lines().filter(|line| line.starts_with("$ ")) {
                count += 1;
                let command = line.trim_start_matches("$ ");
                printed += &format!("{line}\n");
                if command == "echo $?" {
                    printed += &format!("{status}\n");
                    continue;
                }
                let mut words = command.split_whitespace();
                assert_eq!(words.next(), Some("portcullis"), "{}: {command}", self.place(block));
                let arguments: Vec<&str> = words.collect();
                for capture in arguments.iter().filter(|argument| argument.starts_with("pcaps/")) {
                    fs::copy(project().join(capture), folder.join(capture)).expect("one of our own captures");
                }
                let run = portcullis_in(&folder, &arguments, b"");
                status = run.status;
                for output in [run.stdout, run.stderr] {
                    printed += &output;
                }
            }
            let printed: String = printed.lines().map(|line| format!("{}\n", line.trim_end())).collect();
            if std::env::var_os("UPDATE_DOCS").is_some() {
                text =
                    text.replacen(&format!("```console\n{}```", block.text), &format!("```console\n{printed}```"), 1);
            } else {
                assert_eq!(block.text, printed, "{}: UPDATE_DOCS=1 writes it into the page", self.place(block));
            }
        }
        if text != self.text {
            fs::write(&self.path, text).expect("the page can be written");
        }
        count
    }
}

impl Block {
    fn new(info: &str, line: usize) -> Block {
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default().to_owned();
        let mut block = Block { language, file: None, error: None, line, text: String::new() };
        for word in words {
            match word.split_once('=') {
                Some(("file", name)) => block.file = Some(name.to_owned()),
                Some(("error", code)) => block.error = Some(code.to_owned()),
                _ => panic!("line {line}: nobody knows `{word}`"),
            }
        }
        block
    }

    /// The block as a whole grammar: a part gets a head, and a machine in which its lines and records follow each other.
    fn as_grammar(&self) -> String {
        let mut text = self.text.clone();
        if !text.contains("protocol ") {
            text = format!("protocol page over tcp port 7\n{text}");
        }
        if !text.contains("machine {") {
            let mut names: Vec<&str> = Vec::new();
            for line in self.text.lines() {
                let mut words = line.split_whitespace();
                if let (Some("line" | "record"), Some(name)) = (words.next(), words.next()) {
                    names.push(name);
                }
            }
            let states = names.iter().enumerate().map(|(number, name)| {
                let next = (number + 1) % names.len();
                format!("state s{number} {{ up {name}  on {name} -> s{next}  on timeout 5 min -> finish }}\n")
            });
            text = format!("{text}\nmachine {{\nstart s0\n{}}}\n", states.collect::<String>());
        }
        text
    }
}
