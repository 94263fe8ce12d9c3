//! Which protocol a flow speaks on a port that no grammar names.

use portcullis_lang::Direction;
use portcullis_policy::ProtocolId;

use crate::grammars::Grammars;

/// The protocol whose grammar the first octets of both sides fit without anything odd. What the server has said before
/// the client (a greeting) has to fit too.
pub(crate) fn recognise(grammars: &Grammars, server: &[u8], client: &[u8]) -> Option<ProtocolId> {
    let fits = |id: &(ProtocolId, &std::sync::Arc<portcullis_grammar::Program>)| {
        let program = id.1;
        program.recognises(Direction::Up, client) && (server.is_empty() || program.recognises(Direction::Down, server))
    };
    grammars.iter().find(fits).map(|found| found.0)
}
