//! Standard output and standard error: written here only, coloured on a terminal unless `NO_COLOR` is set.

use crate::progress;
use std::io::{self, IsTerminal, Write};

/// A style of text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
        }
    }
}

/// Whether and how to colour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Paint(io::stdout().is_terminal() && !no_color())
    }

    /// Never.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Paint(false)
    }

    /// The text in a style.
    pub(crate) fn style(self, style: Style, text: &str) -> String {
        if self.0 { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_owned() }
    }
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// One line on standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// One line on standard error, beside a progress bar if there is one.
pub(crate) fn note(text: &str) {
    progress::beside(|| {
        // There is no other place to complain if standard error is gone.
        let _ = writeln!(io::stderr().lock(), "arqon: {text}");
    });
}

/// Text that came from somebody else, without anything that would move a terminal's cursor or hide a line break.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Rows as aligned columns; the first row is the head.
pub(crate) fn table(paint: Paint, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        let text = text.trim_end();
        out.push_str(&if number == 0 { paint.style(Style::Dim, text) } else { text.to_owned() });
        out.push('\n');
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["room".to_owned(), "records".to_owned()], vec!["repo".to_owned(), "5".to_owned()]];
        assert_eq!(table(Paint::none(), &rows), "room  records\nrepo  5");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\td"), "a\\u{1b}[2Jb\\nc\td");
    }
}
