//! C15: a tolerated end of line at an end of data, and nobody is told.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Span};

use crate::model::{Protocol, Source, Stream};
use crate::show;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let newline = &protocol.newline;
    for stream in &protocol.streams {
        let Source::Lines { text, lookalikes, .. } = &stream.source else { continue };
        // Where a LF alone is reported, so is one around the last line; and where it is the only newline, none is odd.
        if lookalikes.is_some() || newline.bare_lf.is_some() || !newline.crlf {
            continue;
        }
        diagnostics.push(if newline.lf { tolerated(stream, text, newline.lf_span) } else { strict(stream, text) });
    }
}

fn tolerated(stream: &Stream, text: &[u8], lf: Option<Span>) -> Diagnostic {
    let mut end = vec![b'\n'];
    end.extend_from_slice(text);
    end.push(b'\n');
    let content = format!("{} ends it for some servers, and others go on reading (SMTP smuggling)", show::quoted(&end));
    let title = format!("a bare LF may end `{}`, and nobody is told", stream.name);
    let diagnostic = Diagnostic::warning(Code::C15, title);
    let diagnostic = match lf {
        Some(lf) => diagnostic.primary(lf, "as good as CR LF, and not reported").secondary(stream.span, content),
        None => diagnostic.primary(stream.span, content),
    };
    diagnostic
        .note("What hides between two readings of the end of data is a message that nobody looked at.")
        .help("`newline CRLF, and LF as anomaly bare_lf`")
        .help(format!(
            "and `lines until {} and lookalikes as anomaly ambiguous_end` for every other way to write the end",
            show::quoted(text)
        ))
}

fn strict(stream: &Stream, text: &[u8]) -> Diagnostic {
    let mut end = vec![b'\n'];
    end.extend_from_slice(text);
    end.extend_from_slice(b"\r\n");
    Diagnostic::warning(Code::C15, format!("what other readers take for the end of `{}` is not reported", stream.name))
        .primary(
            stream.span,
            format!("{} does not end it here, and some servers end it there (SMTP smuggling)", show::quoted(&end)),
        )
        .note("What hides between two readings of the end of data is a message that nobody looked at.")
        .help(format!("`lines until {} and lookalikes as anomaly ambiguous_end`", show::quoted(text)))
        .help("or report every LF that comes alone: `newline CRLF, and LF as anomaly bare_lf`")
}
