//! The extractors on generated files: what they keep, and what hostile files get for an answer.

mod documents;
mod fixtures;
mod sandboxed;
mod texts;

use super::*;

fn in_process(bytes: &[u8], mime: &str) -> Result<Extracted, ExtractError> {
    extract(bytes, mime, &ExtractLimits::default(), &Sandbox::in_process())
}

fn code(result: Result<Extracted, ExtractError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

/// The marks with the text that follows each, in a form that is easy to read and compare.
fn outline(extracted: &Extracted) -> Vec<String> {
    let line = |at| extracted.text[at..].lines().next().unwrap_or_default();
    let marks = extracted.marks.iter();
    marks
        .map(|mark| match &mark.kind {
            MarkKind::Heading { level, text } => format!("h{level} {text} @ {}", line(mark.at)),
            MarkKind::Page(number) => format!("page {number} @ {}", line(mark.at)),
            MarkKind::Part(name) => format!("part {name} @ {}", line(mark.at)),
        })
        .collect()
}
