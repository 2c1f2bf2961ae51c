//! HTML to readable text in Markdown's notation, with its headings as marks.
//!
//! What a reader came for is kept: link and image texts without their addresses, table rows as `a | b | c`, no
//! scripts, styles or navigation, no emphasis, and none of the backslashes that Markdown needs, so that `snake_case` is
//! found as it is written. Runs in the child process: the parser takes quadratic time for deep nesting and for a tag
//! with very many attributes.

use std::{
    ops::Range,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use htmd::{
    Element, HtmlToMarkdown, Node,
    element_handler::{HandlerResult, Handlers},
    options::{BulletListMarker, Options},
};
use pulldown_cmark::{Event, Parser, Tag};

use super::{ExtractError, Extracted, Format, Mark, first_heading, markdown};

/// Browsers cut the tree at 512; real pages stay below 100, long mail threads below 300.
const MAX_DEPTH: usize = 512;
/// The converter recurses: this is enough for [`MAX_DEPTH`] even without optimization.
const STACK_BYTES: usize = 64 << 20;
/// Separates the cells of a row until its end; cannot occur in HTML text once removed from the input.
const CELL_END: char = '\u{1}';

/// Reads an HTML file.
pub(super) fn read(html: &str) -> Result<Extracted, ExtractError> {
    let failed = |detail: &str| ExtractError::Damaged { format: Format::Html, detail: detail.into() };
    let run = || {
        let html = html.replace(['\0', CELL_END], " ");
        convert(&html)
    };
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK_BYTES);
        let handle = builder.spawn_scoped(scope, run).map_err(|_| failed("no memory for its parser"))?;
        handle.join().map_err(|_| failed("its parser panicked"))?
    })
}

fn convert(html: &str) -> Result<Extracted, ExtractError> {
    let too_deep = ExtractError::TooDeep { format: Format::Html, limit: MAX_DEPTH as u64 };
    if opens_too_much(html) {
        return Err(too_deep);
    }
    let title = Arc::new(Mutex::new(None));
    let converter = converter(Arc::clone(&title));
    let tree =
        converter.html_to_tree(html).map_err(|error| ExtractError::Damaged { format: Format::Html, detail: error.to_string() })?;
    if is_too_deep(&tree) {
        return Err(too_deep);
    }
    let (text, marks) = unescape(&converter.tree_to_markdown(&tree));
    let title = title.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(Extracted { title: title.or_else(|| first_heading(&marks)), text, marks })
}

fn converter(title: Arc<Mutex<Option<String>>>) -> HtmlToMarkdown {
    let options =
        Options { bullet_list_marker: BulletListMarker::Dash, ul_bullet_spacing: 1, ol_number_spacing: 1, ..Options::default() };
    HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(vec!["script", "style", "noscript", "template", "svg", "iframe", "object", "nav"])
        .add_handler(vec!["title"], move |handlers: &dyn Handlers, element: Element| {
            let text = handlers.walk_children(element.node).content;
            let mut title = title.lock().unwrap_or_else(PoisonError::into_inner);
            if title.is_none() && !text.trim().is_empty() {
                *title = Some(text);
            }
            None
        })
        .add_handler(vec!["a", "b", "strong", "i", "em", "thead", "tbody", "tfoot"], |handlers: &dyn Handlers, element: Element| {
            Some(handlers.walk_children(element.node))
        })
        .add_handler(vec!["pre"], |handlers: &dyn Handlers, element: Element| {
            Some(fenced(&handlers.walk_children(element.node).content).into())
        })
        .add_handler(vec!["img"], |_: &dyn Handlers, element: Element| {
            let alt = element.attrs.iter().find(|attribute| &*attribute.name.local == "alt")?;
            Some(HandlerResult::from(&*alt.value))
        })
        .add_handler(vec!["td", "th"], |handlers: &dyn Handlers, element: Element| {
            let cell = handlers.walk_children(element.node).content;
            Some(format!("{}{CELL_END}", cell.trim()).into())
        })
        .add_handler(vec!["tr"], |handlers: &dyn Handlers, element: Element| {
            Some(row(&handlers.walk_children(element.node).content).into())
        })
        .add_handler(vec!["table"], |handlers: &dyn Handlers, element: Element| {
            Some(format!("\n\n{}\n\n", handlers.walk_children(element.node).content.trim()).into())
        })
        .build()
}

/// A code block, also where the preformatted text is not marked as code: it must not be taken for headings.
fn fenced(content: &str) -> String {
    let content = content.trim_matches('\n');
    if content.starts_with("```") {
        return format!("\n\n{content}\n\n");
    }
    let runs = content.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().map_or(3, |longest| 3.max(longest + 1)));
    format!("\n\n{fence}\n{content}\n{fence}\n\n")
}

/// One line for a row of data; paragraphs for a row that only arranges blocks.
fn row(content: &str) -> String {
    let cells: Vec<&str> = content.split(CELL_END).map(str::trim).collect();
    let filled = || cells.iter().copied().filter(|cell| !cell.is_empty());
    if filled().any(|cell| cell.contains('\n') || cell.starts_with('#')) {
        return format!("\n\n{}\n\n", filled().collect::<Vec<_>>().join("\n\n"));
    }
    // What follows the last cell's end is no cell.
    let data = cells.strip_suffix(&[""]).unwrap_or(&cells);
    if filled().next().is_none() { String::new() } else { format!("\n{}", data.join(" | ")) }
}

/// Whether the tree is deeper than the converter may recurse; the check itself does not.
fn is_too_deep(root: &Rc<Node>) -> bool {
    let mut pending = vec![(Rc::clone(root), 0_usize)];
    while let Some((node, depth)) = pending.pop() {
        if depth > MAX_DEPTH {
            return true;
        }
        pending.extend(node.children.borrow().iter().map(|child| (Rc::clone(child), depth + 1)));
    }
    false
}

/// Elements without an end tag, or whose end tag is optional or commonly forgotten without harm.
const SELF_ENDING: [&str; 54] = [
    "a", "area", "b", "base", "basefont", "bgsound", "big", "body", "br", "code", "col", "colgroup", "dd", "dt", "em", "embed",
    "font", "frame", "head", "hr", "html", "i", "image", "img", "input", "keygen", "li", "link", "meta", "nobr", "optgroup",
    "option", "p", "param", "rb", "rp", "rt", "rtc", "s", "small", "source", "strike", "strong", "tbody", "td", "tfoot", "th",
    "thead", "tr", "track", "tt", "u", "wbr", "xmp",
];

/// Whether so many more elements begin than end that the tree must be far too deep; linear in time, where the parser
/// would take a minute. It may miss a deep tree, which [`is_too_deep`] and the deadline then catch.
fn opens_too_much(html: &str) -> bool {
    let mut open = 0_usize;
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        let ends = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        rest = match name.as_str() {
            _ if tag.starts_with("!--") => tag.split_once("-->").map_or("", |(_, after)| after),
            "script" | "style" if !ends => tag.split_once("</").map_or("", |(_, after)| after),
            _ => tag,
        };
        if name.is_empty() || SELF_ENDING.contains(&name.as_str()) {
            continue;
        }
        open = if ends { open.saturating_sub(1) } else { open + 1 };
        if open > 8 * MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Finds the headings, then removes the escapes outside of code and moves the headings along.
fn unescape(markdown: &str) -> (String, Vec<Mark>) {
    let mut marks = markdown::headings(markdown);
    let mut moving = marks.iter_mut().peekable();
    let mut code = code_ranges(markdown).into_iter().peekable();
    let mut text = String::with_capacity(markdown.len());
    let mut characters = markdown.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        while let Some(mark) = moving.next_if(|mark| mark.at <= at) {
            mark.at = text.len();
        }
        while code.next_if(|range| range.end <= at).is_some() {}
        let in_code = code.peek().is_some_and(|range| range.start <= at);
        let escapes = characters.peek().is_some_and(|(_, next)| next.is_ascii_punctuation());
        if character != '\\' || in_code || !escapes {
            text.push(character);
        } else if let Some((_, escaped)) = characters.next() {
            text.push(escaped);
        }
    }
    (text, marks)
}

fn code_ranges(markdown: &str) -> Vec<Range<usize>> {
    let events = Parser::new(markdown).into_offset_iter();
    events.filter(|(event, _)| matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_)))).map(|(_, range)| range).collect()
}
