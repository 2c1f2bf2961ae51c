//! A walk over the elements of one XML entry: bounded in depth, without document types or entities of their own.

use std::io::{BufRead, ErrorKind};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use super::{FORMAT, archive::Entry, damaged};
use crate::extract::ExtractError;

/// One step of the walk. Names are without their namespace prefix.
pub(super) enum Step<'a> {
    /// An element begins; an empty one begins and ends.
    Open(&'a BytesStart<'a>),
    /// The element of this name ends.
    Close(&'a str),
    /// Character data.
    Text(&'a str),
}

/// Word nests text boxes in tables in text boxes; still no document comes near this depth.
const MAX_DEPTH: usize = 256;

/// Calls `visit` for each element and text of an entry.
pub(super) fn walk<R: BufRead>(
    entry: Entry<R>,
    mut visit: impl FnMut(Step<'_>) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    let mut reader = Reader::from_reader(entry.reader);
    let mut buffer = Vec::new();
    let mut depth = 0_usize;
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|error| match &error {
            quick_xml::Error::Io(io) if io.kind() == ErrorKind::QuotaExceeded => {
                ExtractError::ZipBomb { entry: entry.name.clone(), limit: entry.limit }
            }
            _ => damaged(format!("{}: {error}", entry.name)),
        })?;
        match &event {
            Event::Start(start) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(ExtractError::TooDeep { format: FORMAT, limit: MAX_DEPTH as u64 });
                }
                visit(Step::Open(start))?;
            }
            Event::Empty(start) => {
                visit(Step::Open(start))?;
                visit(Step::Close(start.local_name().as_ref()))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit(Step::Close(end.local_name().as_ref()))?;
            }
            Event::Text(text) => visit(Step::Text(&text.xml10_content()))?,
            Event::CData(text) => visit(Step::Text(&text.xml10_content()))?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(damaged)?;
                let known = quick_xml::escape::resolve_xml_entity(reference);
                match (character, known) {
                    (Some(character), _) => visit(Step::Text(character.encode_utf8(&mut [0; 4])))?,
                    (None, Some(text)) => visit(Step::Text(text))?,
                    (None, None) => {
                        return Err(damaged(format!("unknown entity in {}", entry.name)));
                    }
                }
            }
            Event::DocType(_) => {
                return Err(damaged(format!("{} declares a document type", entry.name)));
            }
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// The value of an attribute by its name without prefix.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}
