//! Markers of an answer: what in it points at citations.
//!
//! Read are `[1]`, `[1, 2]`, `[1-3]`, `[^1]`, `【1】`, `【1†source】` and any declared name in brackets. A Markdown link is none.

use std::collections::HashSet;
use std::ops::Range;

/// A number of more digits, such as a year, is no marker unless it is declared.
const MAX_MARKER_DIGITS: usize = 3;
/// Brackets that hold more are text, in bytes.
const MAX_BRACKET_BYTES: usize = 256;
/// The most markers of one range such as `[1-9]`.
const MAX_RANGE: u32 = 100;

/// Brackets in an answer that name citations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Markers {
    /// With the brackets, in bytes of the answer.
    pub(super) span: Range<usize>,
    pub(super) names: Vec<String>,
}

/// The markers of an answer, in order.
pub(super) fn find(answer: &str, declared: &HashSet<&str>) -> Vec<Markers> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((start, opening)) = next_opening(answer, from) {
        from = start + opening.len_utf8();
        let closing = if opening == '[' { ']' } else { '】' };
        let limit = answer.floor_char_boundary(answer.len().min(from + MAX_BRACKET_BYTES));
        let Some(inner) = answer.get(from..limit) else { continue };
        let Some(length) = inner.find(closing) else { continue };
        let inner = inner.get(..length).unwrap_or_default();
        let end = from + length + closing.len_utf8();
        let is_link = opening == '[' && answer.get(end..).is_some_and(|after| after.starts_with('('));
        if let Some(names) = names(inner, declared).filter(|_| !is_link) {
            found.push(Markers { span: start..end, names });
            from = end;
        }
    }
    found
}

/// The answer with its markers and line breaks blanked, so that neither stands in the way of a sentence. Bytes keep their
/// places.
pub(super) fn blank(answer: &str, markers: &[Markers]) -> String {
    let mut blanked = String::with_capacity(answer.len());
    let mut from = 0;
    for Markers { span, .. } in markers {
        blanked.push_str(answer.get(from..span.start).unwrap_or_default());
        blanked.extend(std::iter::repeat_n(' ', span.len()));
        from = span.end;
    }
    blanked.push_str(answer.get(from..).unwrap_or_default());
    blanked
}

fn next_opening(answer: &str, from: usize) -> Option<(usize, char)> {
    let rest = answer.get(from..)?;
    let at = rest.find(['[', '【'])?;
    Some((from + at, rest.get(at..)?.chars().next()?))
}

/// What stands between brackets, when all of it names citations.
fn names(inner: &str, declared: &HashSet<&str>) -> Option<Vec<String>> {
    let inner = inner.trim();
    if declared.contains(inner) {
        return Some(vec![inner.to_owned()]);
    }
    let mut names = Vec::new();
    for item in inner.split([',', ';', '、', '，']) {
        let item = item.trim();
        let item = item.strip_prefix('^').unwrap_or(item);
        let item = item.split('†').next().unwrap_or(item).trim();
        if declared.contains(item) || is_number(item) {
            names.push(item.to_owned());
            continue;
        }
        let (first, last) = item.split_once(['-', '–'])?;
        let (first, last) = (first.trim(), last.trim().trim_start_matches('^'));
        let (low, high) = (number(first)?, number(last)?);
        if low > high || high - low >= MAX_RANGE {
            return None;
        }
        names.extend((low..=high).map(|number| number.to_string()));
    }
    Some(names).filter(|names| !names.is_empty())
}

fn is_number(text: &str) -> bool {
    (1..=MAX_MARKER_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str) -> Option<u32> {
    if is_number(text) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Vec<Vec<String>> {
        find(answer, &["1", "2", "a", "Lee 2020"].into()).into_iter().map(|markers| markers.names).collect()
    }

    #[test]
    fn markers_of_all_kinds_are_read() {
        assert_eq!(
            read("A [1]. B [1][2]. C [1, 2]; D [1-3]. E [^2] 【1】 【2†lines】 [a] [Lee 2020] [7]"),
            [
                vec!["1"],
                vec!["1"],
                vec!["2"],
                vec!["1", "2"],
                vec!["1", "2", "3"],
                vec!["2"],
                vec!["1"],
                vec!["2"],
                vec!["a"],
                vec!["Lee 2020"],
                vec!["7"],
            ]
        );
    }

    #[test]
    fn other_brackets_are_text() {
        assert_eq!(read("[1](https://x) [b] [2024] [...] [] [1-x] [3-1] [1-999] a[i] [1, b] [ [the"), Vec::<Vec<String>>::new());
        assert_eq!(read("[[1]]"), [["1"]]);
    }

    #[test]
    fn blanking_moves_nothing() {
        let answer = "日本【1】 is [1, 2].";
        let blanked = blank(answer, &find(answer, &HashSet::new()));
        assert_eq!((blanked.len(), blanked.trim_start_matches("日本").trim()), (answer.len(), "is       ."));
    }
}
