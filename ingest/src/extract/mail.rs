//! Mail: a short head, the body, and the text of textual attachments; every part begins with a mark.
//!
//! The head (subject, people, date) stands in the body's part, so that the first passage says who wrote what to whom.
//! Attachments that are not text are named only. Runs in the child process.

use mail_parser::{Address, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::{ExtractError, ExtractLimits, Extracted, Format, Mark, MarkKind, Measure, html};

/// How many messages may be nested; the text of deeper ones is left out and their place says so.
const MAX_NESTED_MESSAGES: usize = 3;
const BODY: &str = "body";

/// Reads a mail message.
pub(super) fn read(bytes: &[u8], limits: &ExtractLimits) -> Result<Extracted, ExtractError> {
    let damaged = |detail: &str| ExtractError::Damaged { format: Format::Mail, detail: detail.to_owned() };
    let message = MessageParser::default().parse(bytes).ok_or_else(|| damaged("it has no header"))?;
    if message.headers().iter().all(|header| matches!(header.name, HeaderName::Other(_))) {
        return Err(damaged("it has none of the headers of a mail"));
    }
    if !has_all_parts(&message, bytes) {
        return Err(damaged("it was cut off, or its parts are not where its header says"));
    }
    let mut writer = Writer { extracted: Extracted::default(), max_text_bytes: limits.max_text_bytes };
    writer.extracted.title = message.subject().map(str::to_owned);
    writer.message(&message, BODY, MAX_NESTED_MESSAGES)?;
    Ok(writer.extracted)
}

/// Whether every multipart is closed as its header says (RFC 2046, 5.1.1). Otherwise parts are missing, or taken for text.
fn has_all_parts(message: &Message<'_>, bytes: &[u8]) -> bool {
    let kinds = message.parts.iter().filter_map(|part| part.content_type());
    kinds.filter(|kind| kind.ctype().eq_ignore_ascii_case("multipart")).all(|kind| {
        let close = kind.attribute("boundary").map(|boundary| format!("--{boundary}--"));
        close.is_some_and(|close| bytes.windows(close.len()).any(|window| window == close.as_bytes()))
    })
}

struct Writer {
    extracted: Extracted,
    max_text_bytes: u64,
}

impl Writer {
    fn message(&mut self, message: &Message<'_>, part: &str, depth: usize) -> Result<(), ExtractError> {
        self.part(part);
        self.text(&head(message))?;
        for body in message.text_bodies() {
            self.separate();
            self.content(body)?;
        }
        let named: Vec<String> = message.attachments().filter(|part| !is_read(part, depth)).map(label).collect();
        if !named.is_empty() {
            self.separate();
            self.text(&named.join("\n"))?;
        }
        for attachment in message.attachments().filter(|part| is_read(part, depth)) {
            match &attachment.body {
                PartType::Message(nested) => {
                    let name = attachment.attachment_name().or_else(|| nested.subject()).unwrap_or("message");
                    self.message(nested, name, depth - 1)?;
                }
                _ => {
                    self.part(attachment.attachment_name().unwrap_or("attachment"));
                    self.content(attachment)?;
                }
            }
        }
        Ok(())
    }

    /// Appends the text of a textual part.
    fn content(&mut self, part: &MessagePart<'_>) -> Result<(), ExtractError> {
        match &part.body {
            PartType::Text(text) => self.text(&text.trim_end().replace("\r\n", "\n")),
            PartType::Html(source) => {
                let read = html::read(source)?;
                let base = self.extracted.text.len();
                let marks = read.marks.into_iter().map(|mark| Mark { at: base + mark.at, ..mark });
                self.extracted.marks.extend(marks);
                self.text(&read.text)
            }
            _ => Ok(()),
        }
    }

    fn part(&mut self, name: &str) {
        self.separate();
        let kind = MarkKind::Part(name.to_owned());
        self.extracted.marks.push(Mark { at: self.extracted.text.len(), kind });
    }

    fn separate(&mut self) {
        if !self.extracted.text.is_empty() && !self.extracted.text.ends_with("\n\n") {
            self.extracted.text.push_str("\n\n");
        }
    }

    fn text(&mut self, text: &str) -> Result<(), ExtractError> {
        // One for one, so that marks stay where they are.
        self.extracted.text.extend(text.chars().map(|c| if c == '\0' { ' ' } else { c }));
        if self.extracted.text.len() as u64 > self.max_text_bytes {
            return Err(ExtractError::TooLarge { measure: Measure::Text, limit: self.max_text_bytes });
        }
        Ok(())
    }
}

/// Whether a part's text is appended, rather than its name only.
fn is_read(part: &MessagePart<'_>, depth: usize) -> bool {
    match &part.body {
        PartType::Text(_) | PartType::Html(_) => true,
        PartType::Message(_) => depth > 0,
        _ => false,
    }
}

fn label(part: &MessagePart<'_>) -> String {
    let name = part.attachment_name().unwrap_or("without a name");
    let mime = part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("*")));
    format!("Attachment: {name} ({})", mime.as_deref().unwrap_or("unknown type"))
}

/// The lines that say what the message is about, and who wrote it to whom and when.
fn head(message: &Message<'_>) -> String {
    let lines = [
        ("Subject", message.subject().map(str::to_owned)),
        ("From", message.from().map(people)),
        ("To", message.to().map(people)),
        ("Cc", message.cc().map(people)),
        ("Date", message.date().map(mail_parser::DateTime::to_rfc3339)),
    ];
    let present = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut head: String = present.map(|(name, value)| format!("{name}: {value}\n")).collect();
    head.push('\n');
    head
}

fn people(address: &Address<'_>) -> String {
    let people = address.iter().map(|person| match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => name.or(address).unwrap_or_default().to_owned(),
    });
    people.collect::<Vec<_>>().join(", ")
}
