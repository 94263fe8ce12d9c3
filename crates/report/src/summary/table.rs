//! Columns of text.

/// How a column is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Most characters; longer cells are shortened.
    pub(super) max: usize,
    pub(super) right: bool,
}

/// The lines of a table, without newlines; the first has the titles.
///
/// Each column is as wide as its widest cell, up to its bound; if all together are wider than `width`, the widest that
/// may be shortened give way.
pub(super) fn lines(columns: &[Column], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let widths = widths(columns, rows, width);
    let titles = columns.iter().map(|column| column.title.to_owned()).collect();
    let all = std::iter::once(&titles).chain(rows);
    all.map(|row: &Vec<String>| line(columns, &widths, row)).collect()
}

fn widths(columns: &[Column], rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
            cells.max().unwrap_or(0).min(column.max).max(column.title.len())
        })
        .collect();
    let gaps = columns.len().saturating_sub(1).saturating_mul(GAP.len());
    let most = width.saturating_sub(gaps);
    while widths.iter().sum::<usize>() > most {
        let widest = widths.iter_mut().zip(columns).filter(|(_, column)| !column.right);
        match widest.max_by_key(|(width, _)| **width) {
            Some((width, column)) if *width > column.title.len() => *width = width.saturating_sub(1),
            _ => break,
        }
    }
    widths
}

const GAP: &str = "  ";

fn line(columns: &[Column], widths: &[usize], row: &[String]) -> String {
    let cells = columns.iter().zip(widths).zip(row).map(|((column, width), cell)| {
        let width = *width;
        let cell = shortened(cell, width);
        // `format!` fills by characters, and what we show has one column for each of most scripts.
        if column.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// The text in at most `width` characters; what is left out shows as an ellipsis.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}
