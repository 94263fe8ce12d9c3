//! C15: a tolerated end of line at an end of data, and nobody is told.

use portcullis_lang::{Code, Diagnostic, Diagnostics};

use crate::model::{Protocol, Source, Stream};
use crate::show;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let newline = &protocol.newline;
    for stream in &protocol.streams {
        let Source::Lines { text, lookalikes, .. } = &stream.source else { continue };
        let silent_lf = newline.lf && newline.bare_lf.is_none();
        // Where a LF alone is reported, so is one around the last line.
        if silent_lf {
            diagnostics.push(tolerated(stream, text));
        } else if lookalikes.is_none() && newline.bare_lf.is_none() {
            diagnostics.push(strict(stream, text));
        }
    }
}

fn tolerated(stream: &Stream, text: &[u8]) -> Diagnostic {
    let mut end = vec![b'\n'];
    end.extend_from_slice(text);
    end.push(b'\n');
    Diagnostic::warning(Code::C15, format!("a bare LF stands for an end of line around `{}`, and nobody is told", stream.name))
        .primary(stream.span, format!("{} ends here for one reader; many servers go on reading (SMTP smuggling)", show::quoted(&end)))
        .note("The grammar takes CR LF and LF alone for the same. What hides between two readings of the end of data is a message that nobody looked at.")
        .help("`newline CRLF, and LF as anomaly bare_lf`")
        .help(format!("and `lines until {} and lookalikes as anomaly ambiguous_end` for every other way to write the end", show::quoted(text)))
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
