//! Markdown: the text is kept byte for byte; headings become marks.
//!
//! Headings are those of CommonMark outside of quotes, lists and code, in both notations. Front matter (YAML or TOML)
//! stays in the text, is not parsed as Markdown, and gives the title.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Extracted, Mark, MarkKind, first_heading};

/// Reads a Markdown file.
pub(super) fn read(text: String) -> Extracted {
    let front_bytes = front_matter_bytes(&text);
    let (front, body) = text.split_at_checked(front_bytes).unwrap_or(("", &text));
    let mut marks = headings(body);
    for mark in &mut marks {
        mark.at += front_bytes;
    }
    let title = title_of(front).or_else(|| first_heading(&marks));
    Extracted { title, marks, text }
}

/// The headings of a Markdown text, without those inside quotes and lists: they begin no section.
pub(super) fn headings(text: &str) -> Vec<Mark> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES;
    let mut marks = Vec::new();
    let mut containers = 0_usize;
    let mut open: Option<(usize, u8, String)> = None;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::BlockQuote(_) | Tag::List(_)) => containers += 1,
            Event::End(TagEnd::BlockQuote(_) | TagEnd::List(_)) => containers = containers.saturating_sub(1),
            Event::Start(Tag::Heading { level, .. }) if containers == 0 => {
                open = Some((range.start, level as u8, String::new()));
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((at, level, words)) = open.take() {
                    let text = words.split_whitespace().collect::<Vec<_>>().join(" ");
                    if !text.is_empty() {
                        marks.push(Mark { at, kind: MarkKind::Heading { level, text } });
                    }
                }
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some((_, _, heading)) = &mut open {
                    heading.push_str(&words);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, _, heading)) = &mut open {
                    heading.push(' ');
                }
            }
            _ => {}
        }
    }
    marks
}

/// The length of the front matter, fences included; 0 when there is none.
fn front_matter_bytes(text: &str) -> usize {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next() else { return 0 };
    let fence = first.trim_end();
    if fence != "---" && fence != "+++" {
        return 0;
    }
    let mut bytes = first.len();
    for (index, line) in lines.enumerate() {
        // A fence before an empty line is a rule between paragraphs.
        if index == 0 && line.trim().is_empty() {
            return 0;
        }
        bytes += line.len();
        if line.trim_end() == fence {
            return bytes;
        }
    }
    0
}

/// The top-level `title` of front matter, in YAML or TOML notation.
fn title_of(front: &str) -> Option<String> {
    front.lines().find_map(|line| {
        let value = line.strip_prefix("title")?.trim_start();
        let value = value.strip_prefix(':').or_else(|| value.strip_prefix('='))?.trim();
        let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let title = unquoted.unwrap_or(value);
        // `|` and `>` announce a block scalar on the following lines.
        (!title.is_empty() && !title.starts_with(['|', '>'])).then(|| title.to_owned())
    })
}
