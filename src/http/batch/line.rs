//! Lines of a batch: cut from parts as they come in, and read.

use serde::Deserialize;
use serde_json::Value;
use sightline_ingest::Incoming;

use super::body;
use crate::http::errors::Problem;
use crate::http::incoming::DocumentBody;

/// What a line asks for.
pub(super) enum Operation {
    Put(Box<Incoming>),
    Delete { source: String, id: String },
}

/// A line with its number, from 1.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: usize,
    pub(super) read: Result<Operation, Problem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteBody {
    #[serde(rename = "op")]
    _op: String,
    source: String,
    id: String,
}

impl Operation {
    /// The source and id that the line is about.
    pub(super) fn item(&self) -> (Option<String>, Option<String>) {
        let (source, id) = match self {
            Operation::Put(incoming) => (&incoming.source, &incoming.id),
            Operation::Delete { source, id } => (source, id),
        };
        (Some(source.clone()), Some(id.clone()))
    }

    fn read(bytes: &[u8]) -> Result<Operation, Problem> {
        // The member `op` decides what the other members are; a document in itself has none.
        let mut line: Value = body::parse(bytes)?;
        let op = line.as_object_mut().and_then(|members| match members.get("op") {
            Some(Value::String(op)) if op == "put" => members.remove("op"),
            op => op.cloned(),
        });
        match op.as_ref().map(Value::as_str) {
            None | Some(Some("put")) => {
                body::object::<DocumentBody>(line)?.of_line().map(|document| Operation::Put(Box::new(document)))
            }
            Some(Some("delete")) => {
                body::object::<DeleteBody>(line).map(|DeleteBody { source, id, .. }| Operation::Delete { source, id })
            }
            Some(_) => Err(Problem::bad_request("invalid_field", "op: `put` or `delete` is expected")),
        }
    }
}

/// Cuts a stream of bytes into lines.
pub(super) struct Lines {
    max_line_bytes: usize,
    number: u64,
    /// What came in and was not yet cut.
    pending: Vec<u8>,
    /// Where in it the next line begins.
    from: usize,
    /// Up to where in it no end of a line was found.
    searched: usize,
    /// The line that comes in is too long; the rest of it is dropped.
    overlong: bool,
}

impl Lines {
    /// Lines of at most `max_line_bytes`.
    pub(super) fn new(max_line_bytes: usize) -> Lines {
        Lines { max_line_bytes, number: 0, pending: Vec::new(), from: 0, searched: 0, overlong: false }
    }

    /// Takes what came in.
    pub(super) fn push(&mut self, part: &[u8]) {
        self.pending.drain(..self.from);
        self.searched -= self.from;
        self.from = 0;
        self.pending.extend_from_slice(part);
    }

    /// The next whole line that is not blank.
    pub(super) fn next(&mut self) -> Option<Line> {
        while let Some(length) = self.pending.get(self.searched..)?.iter().position(|byte| *byte == b'\n') {
            let end = self.searched + length;
            let line = self.line(end);
            (self.from, self.searched) = (end + 1, end + 1);
            if line.is_some() {
                return line;
            }
        }
        self.searched = self.pending.len();
        if self.pending.len() - self.from > self.max_line_bytes {
            self.overlong = true;
            self.from = self.pending.len();
        }
        None
    }

    /// What stands after the last end of a line.
    pub(super) fn last(&mut self) -> Option<Line> {
        self.line(self.pending.len())
    }

    /// A line in place of those that do not come any more.
    pub(super) fn broken(&mut self, problem: Problem) -> Line {
        self.number += 1;
        Line { number: self.number, bytes: 0, read: Err(problem) }
    }

    fn line(&mut self, end: usize) -> Option<Line> {
        self.number += 1;
        let bytes = self.pending.get(self.from..end).unwrap_or_default().trim_ascii();
        if std::mem::take(&mut self.overlong) || bytes.len() > self.max_line_bytes {
            return Some(Line { number: self.number, bytes: 0, read: Err(Problem::too_large(self.max_line_bytes)) });
        }
        (!bytes.is_empty()).then(|| Line { number: self.number, bytes: bytes.len(), read: Operation::read(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&str]) -> Vec<(u64, bool)> {
        let mut lines = Lines::new(60);
        let mut cut = Vec::new();
        for part in parts {
            lines.push(part.as_bytes());
            while let Some(line) = lines.next() {
                cut.push((line.number, line.read.is_ok()));
            }
        }
        cut.extend(lines.last().map(|line| (line.number, line.read.is_ok())));
        cut
    }

    #[test]
    fn lines_are_cut_wherever_parts_end() {
        let text = "{\"op\":\"delete\",\"source\":\"s\",\"id\":\"i\"}\r\n\n{\"source\":\"s\",\"id\":\"i\",\"text\":\"t\"}\nnonsense\n{\"op\":\"x\"}";
        let whole = cut(&[text]);
        assert_eq!(whole, [(1, true), (3, true), (4, false), (5, false)]);
        for at in 0..text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(cut(&[head, tail]), whole, "{at}");
        }
        let single: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(cut(&single.iter().map(String::as_str).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn a_long_line_is_dropped_alone() {
        let long = "x".repeat(40);
        let good = "{\"op\":\"delete\",\"source\":\"s\",\"id\":\"i\"}\n";
        assert_eq!(cut(&[&long, &long, &long, "\n", good]), [(1, false), (2, true)]);
        assert_eq!(cut(&[&format!("{long}{long}\n{good}")]), [(1, false), (2, true)]);
    }
}
