//! From the text of a grammar file to its checked model.

use portcullis_lang::{Diagnostics, Sources};

use crate::check;
use crate::lower;
use crate::model::Protocol;
use crate::syntax;

/// Reads, lowers and checks a grammar.
///
/// The text is added to `sources` under `name`, so that the messages can be shown. Warnings come beside the protocol;
/// if there is an error there is no protocol, and all errors that are independent of each other are told.
///
/// ```
/// # use portcullis_grammar::load;
/// # use portcullis_lang::{Sources, render_all};
/// let mut sources = Sources::new();
/// let text = "protocol echo over tcp port 7
///             line message max 512 { text: rest }
///             machine { start talk  state talk { up message  down message  on message -> talk  on timeout 5 min -> finish } }";
/// match load(&mut sources, "echo.grammar", text) {
///     Ok((protocol, warnings)) => assert!(protocol.scheme.event("message").is_some() && !warnings.has_errors()),
///     Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
/// }
/// ```
///
/// # Errors
///
/// Whatever is wrong with the text, as diagnostics with stable codes.
pub fn load(sources: &mut Sources, name: &str, text: &str) -> Result<(Protocol, Diagnostics), Diagnostics> {
    let source = sources.add(name, text);
    let (file, mut diagnostics) = syntax::parse(source, sources.text(source));
    if diagnostics.has_errors() {
        // What is missing from the tree would be called unknown.
        return Err(diagnostics);
    }
    let Some(protocol) = lower::lower(&file, &mut diagnostics) else { return Err(diagnostics) };
    check::check(&protocol, &mut diagnostics);
    match diagnostics.has_errors() {
        true => Err(diagnostics),
        false => Ok((protocol, diagnostics)),
    }
}
