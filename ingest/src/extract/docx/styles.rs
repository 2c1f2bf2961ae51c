//! The small parts of a DOCX: which entry is the main text, which styles are headings, and the title.

use std::{collections::HashMap, io::BufRead};

use super::{
    archive::Entry,
    xml::{Step, attribute, walk},
};
use crate::extract::ExtractError;

/// What a paragraph style means for the text's structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A heading of this level, from 1 to 9.
    Heading(u8),
    /// The document's title.
    Title,
    /// An item of a list.
    Item,
}

/// The styles that mean something, by their id.
#[derive(Debug, Default)]
pub(super) struct Styles {
    roles: HashMap<String, Role>,
}

impl Styles {
    /// The role of a style; without a definition its id is taken for its name.
    pub(super) fn role(&self, id: &str) -> Option<Role> {
        self.roles.get(id).copied().or_else(|| role_of_name(id))
    }
}

#[derive(Default)]
struct Definition {
    id: String,
    role: Option<Role>,
    based_on: Option<String>,
}

/// A style is based on another at most this many steps away; a cycle ends here.
const MAX_BASES: usize = 10;

/// Reads `styles.xml`.
pub(super) fn read<R: BufRead>(entry: Entry<R>) -> Result<Styles, ExtractError> {
    let mut definitions: HashMap<String, Definition> = HashMap::new();
    let mut open = Definition::default();
    walk(entry, |step| {
        match step {
            Step::Open(element) => match element.local_name().as_ref() {
                "style" => {
                    open = Definition { id: attribute(element, "styleId").unwrap_or_default(), ..Definition::default() };
                }
                "name" => {
                    let named = attribute(element, "val").and_then(|name| role_of_name(&name));
                    open.role = named.or(open.role);
                }
                "outlineLvl" => open.role = open.role.or_else(|| outline_role(attribute(element, "val")?)),
                "basedOn" => open.based_on = attribute(element, "val"),
                _ => {}
            },
            Step::Close("style") => {
                let closed = std::mem::take(&mut open);
                definitions.insert(closed.id.clone(), closed);
            }
            _ => {}
        }
        Ok(())
    })?;
    let mut roles = HashMap::new();
    for id in definitions.keys() {
        let mut style = definitions.get(id);
        for _ in 0..MAX_BASES {
            let Some(definition) = style else { break };
            if let Some(role) = definition.role {
                roles.insert(id.clone(), role);
                break;
            }
            style = definition.based_on.as_ref().and_then(|base| definitions.get(base));
        }
    }
    Ok(Styles { roles })
}

/// The role of an outline level as it is written: 0 is the outermost, 9 is body text (ECMA-376, 17.3.1.20).
pub(super) fn outline_role(level: String) -> Option<Role> {
    let level: u8 = level.parse().ok()?;
    (level < 9).then(|| Role::Heading(level + 1))
}

/// The role of one of the built-in names, which are English in every language's version of a word processor.
fn role_of_name(name: &str) -> Option<Role> {
    let name = name.to_ascii_lowercase();
    if name == "title" {
        return Some(Role::Title);
    }
    if name.starts_with("list bullet") || name.starts_with("list number") {
        return Some(Role::Item);
    }
    let level: u8 = name.strip_prefix("heading")?.trim_start().parse().ok()?;
    (1..=9).contains(&level).then_some(Role::Heading(level))
}

/// The entry that `_rels/.rels` names as the main document.
pub(super) fn main_document<R: BufRead>(entry: Entry<R>) -> Result<Option<String>, ExtractError> {
    let mut target = None;
    walk(entry, |step| {
        if let Step::Open(element) = step
            && attribute(element, "Type").is_some_and(|kind| kind.ends_with("/officeDocument"))
        {
            target = attribute(element, "Target").map(|name| name.trim_start_matches('/').to_owned());
        }
        Ok(())
    })?;
    Ok(target)
}

/// The title in `docProps/core.xml`.
pub(super) fn core_title<R: BufRead>(entry: Entry<R>) -> Result<Option<String>, ExtractError> {
    let mut title = String::new();
    let mut in_title = false;
    walk(entry, |step| {
        match step {
            Step::Open(element) => in_title = element.local_name().as_ref() == "title",
            Step::Close(_) => in_title = false,
            Step::Text(text) if in_title => title.push_str(text),
            Step::Text(_) => {}
        }
        Ok(())
    })?;
    Ok((!title.trim().is_empty()).then_some(title))
}
