//! What commands print: text for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};

use serde::Serialize;

use crate::error::Error;

const MATCH: &str = "\x1b[1;33m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Prints text. A reader that has gone away, such as `head`, is no failure.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(error)),
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::io("standard output")(error.into()))?;
    print(&(text + "\n"))
}

/// True when results are read by a person who sees colours.
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text that cannot steer a terminal: documents come from strangers.
pub(super) fn tame(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() && !matches!(character, '\n' | '\t') { '\u{fffd}' } else { character })
        .collect()
}

/// [`tame`] text on one line, so that a file's name cannot pass for a line of the report.
pub(super) fn tame_line(text: &str) -> String {
    tame(text).replace(['\n', '\t'], "\u{fffd}")
}

/// Text in bold.
pub(super) fn bold(text: &str, colours: bool) -> String {
    let text = tame(text);
    if colours { format!("{BOLD}{text}{PLAIN}") } else { text }
}

/// A passage with its matches marked, each line after `indent`.
pub(super) fn passage(text: &str, matches: &[[usize; 2]], colours: bool, indent: &str) -> String {
    let mut marked = String::new();
    let mut from = 0;
    for [start, end] in matches.iter().filter(|_| colours) {
        let (Some(before), Some(matched)) = (text.get(from..*start), text.get(*start..*end)) else { continue };
        // Writing to a string cannot fail.
        let _infallible = write!(marked, "{}{MATCH}{}{PLAIN}", tame(before), tame(matched));
        from = *end;
    }
    marked.push_str(&tame(text.get(from..).unwrap_or_default()));
    let lines = marked.lines().filter(|line| !line.trim().is_empty());
    lines.fold(String::new(), |printed, line| printed + indent + line.trim_end() + "\n")
}

/// Numbers in groups of three, as in `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines of cells in columns as wide as their widest cell. The first `left` columns begin at the left, others end at the
/// right.
pub(super) fn columns(lines: &[Vec<String>], left: usize) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        widths.resize(widths.len().max(line.len()), 0);
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let mut text = String::new();
    for line in lines {
        let cells = (0..).zip(line.iter().zip(&widths));
        let padded = cells.map(|(at, (cell, width))| if at < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let lines = [["mode", "nDCG"], ["wörter", "1"], ["b", ""]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(columns(&lines, 1), "mode    nDCG\nwörter     1\nb\n");
    }

    #[test]
    fn a_document_cannot_steer_the_terminal() {
        assert_eq!(passage("a \x1b[2Jb\n\n c", &[], false, "> "), "> a \u{fffd}[2Jb\n>  c\n");
        assert_eq!(passage("über alles", &[[0, 5]], true, ""), "\x1b[1;33müber\x1b[0m alles\n");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
