//! The shipped grammars, loaded from their files.

use std::path::Path;
use std::sync::Arc;

use portcullis_engine::Grammars;
use portcullis_grammar::Program;
use portcullis_stream::FlowKey;

/// The shipped grammars.
pub struct Shipped {
    /// Loaded and compiled.
    pub grammars: Arc<Grammars>,
}

impl Shipped {
    /// The program of the protocol that is expected on the server's port of a flow.
    pub fn for_flow(&self, key: &FlowKey) -> Option<&Arc<Program>> {
        let id = self.grammars.on_port(key.protocol, key.server.port())?;
        self.grammars.program(id)
    }
}

/// Loads the shipped grammars.
///
/// # Panics
///
/// If one of them does not load.
pub fn shipped() -> Shipped {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grammars");
    let programs = ["smtp", "dns"].map(|name| Arc::new(program(&folder.join(format!("{name}.grammar")))));
    Shipped { grammars: Arc::new(Grammars::new(programs.into())) }
}

/// Loads a grammar file.
///
/// # Panics
///
/// If it does not load; the message says why.
#[allow(clippy::panic, reason = "a test without its grammar is over")]
pub fn program(path: &Path) -> Program {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    compile(&path.display().to_string(), &text)
}

/// Compiles the text of a grammar.
///
/// # Panics
///
/// If it does not load; the message says why.
#[allow(clippy::panic, reason = "a test without its grammar is over")]
pub fn compile(name: &str, text: &str) -> Program {
    let mut sources = portcullis_lang::Sources::new();
    match portcullis_grammar::load(&mut sources, name, text) {
        Ok((protocol, _)) => Program::compile(Arc::new(protocol)),
        Err(diagnostics) => panic!("{}", portcullis_lang::render_all(&diagnostics, &sources, false)),
    }
}
