//! One transaction: applies writes to the catalog and collects what they change in memory.

use std::num::NonZeroU32;
use std::sync::Arc;

use rusqlite::Transaction;
use serde_json::Value;

use super::input::{NewDocument, Write};
use super::state::{Effect, Facts, NewRow};
use crate::access::{AclState, Class, ClassNo, DEAD, Principal, Rule, RuleNo, SourceNo};
use crate::catalog::sums::Sums;
use crate::catalog::{self, ChunkRecord, DocumentRecord, SectionRecord, VersionRecord, directory, documents, intern, sources};
use crate::error::{Error, Result};
use crate::keyword::Indexed;
use crate::timestamp::Timestamp;

const PAGE_DOCUMENTS: u32 = 1_000;

/// What became of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A document, container or group that was not there before.
    Created,
    /// It was there and is now as written.
    Updated,
    /// It was already so; only times may have changed.
    Unchanged,
    /// It was there and is gone.
    Deleted,
    /// It was not there.
    Missing,
}

/// The answer to one write.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Counts every write.
    pub seq: u64,
    /// Counts every change that can alter visibility.
    pub epoch: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The document's version after the write; 0 where there is none.
    pub version: u32,
    /// What the ACL of the document or container was read as, and why where it withholds.
    pub acl: Option<(AclState, String)>,
}

/// A transaction under way.
pub(super) struct Writing<'a> {
    pub(super) tx: Transaction<'a>,
    pub(super) sums: &'a Sums,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
}

impl Writing<'_> {
    /// Applies one write. `terms` are those of a put's chunks.
    pub(super) fn apply(&mut self, write: Write, terms: Vec<Indexed>) -> Result<Receipt> {
        self.seq += 1;
        let (outcome, version, acl) = match write {
            Write::Put(document) => self.put(*document, terms)?,
            Write::Delete { source, id } => self.delete(&source, &id)?,
            Write::SetAcl { source, id, acl } => self.set_acl(&source, &id, acl.as_ref())?,
            Write::SetContainer { source, id, acl } => self.set_container(&source, &id, acl.as_ref())?,
            Write::DeleteContainer { source, id } => (self.delete_container(&source, &id)?, 0, None),
            Write::SetGroup { group, members } => (self.set_group(&group, &members)?, 0, None),
            Write::ChangeGroup { group, add, remove } => (self.change_group(&group, &add, &remove)?, 0, None),
            Write::DeleteGroup { group } => (self.delete_group(&group)?, 0, None),
            Write::SetAlias { source, alias, canonical } => (self.set_alias(&source, &alias, canonical.as_ref())?, 0, None),
            Write::SetAclMaxAge { source, seconds } => (self.set_acl_max_age(&source, seconds)?, 0, None),
            Write::Verify { source, ids } => (self.verify(&source, &ids)?, 0, None),
        };
        let acl = acl.map(|rule| (rule.state, rule.problem));
        Ok(Receipt { seq: self.seq, epoch: self.epoch, outcome, version, acl })
    }

    fn put(&mut self, new: NewDocument, terms: Vec<Indexed>) -> Result<(Outcome, u32, Option<Rule>)> {
        let source = self.source(&new.source)?;
        let rule = Rule::read(new.acl.as_ref());
        let labels = intern::labels(&self.tx, &new.labels)?;
        if labels.fresh {
            self.effects.push(Effect::Labels(labels.number, new.labels.clone().into_iter().collect()));
        }
        let rule_no = self.rule(source, &rule)?;
        let read_at = self.read_at(source, self.now)?;
        let class = self.class(Class { source, labels: labels.number, rule: rule_no, section: None, read_at })?;
        let (content, passages) = (new.content(), new.passages());
        let old = DocumentRecord::by_id(&self.tx, source, &new.id)?;
        let live = old.as_ref().filter(|old| old.deleted_at.is_none());
        if let Some(old) = old.as_ref().filter(|_| !new.replaces.is_empty()) {
            let held = documents::labels(&self.tx, old.labels)?;
            if let Some((key, value)) = new.replaces.iter().find(|(key, value)| held.get(*key) != Some(value)) {
                return Err(Error::NotReplaceable { label: format!("{key}={value}") });
            }
        }
        let same = live.is_some_and(|old| old.content == content);
        let cut_alike = same && live.is_some_and(|old| old.passages == passages);
        let version = old.as_ref().map_or(1, |old| if same { old.version } else { old.version + 1 });
        let outcome = match live {
            None => Outcome::Created,
            Some(_) if cut_alike => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        };
        let mut record = DocumentRecord {
            num: old.as_ref().map_or(0, |old| old.num),
            source,
            id: new.id.clone(),
            title: new.title.clone(),
            uri: new.uri.clone(),
            mime: new.mime.clone(),
            labels: labels.number,
            rule: rule_no,
            class,
            content,
            passages,
            version,
            source_version: new.source_version.clone(),
            modified_at: new.modified_at,
            ingested_at: live.filter(|_| same).map_or(self.now, |old| old.ingested_at),
            acl_read_at: self.now,
            verified_at: self.now,
            deleted_at: None,
        };
        record.num = record.save(&self.tx)?;
        let reclassed = live.is_none_or(|old| old.class != class);
        let resectioned = match (&old, new.sections.is_empty()) {
            (None, true) => false,
            _ => self.save_sections(&record, &new)?,
        };
        if reclassed || resectioned {
            self.epoch += 1;
        }
        match same {
            true => VersionRecord::confirm(&self.tx, (record.num, version), new.source_version.as_deref(), new.modified_at)?,
            false => self.insert_version(&record, &new, live.is_none())?,
        }
        if cut_alike {
            self.refresh(&record)?;
        } else {
            if let Some(old) = live {
                self.kill_chunks(old.num)?;
            }
            self.insert_chunks(&record, &new, terms)?;
        }
        Ok((outcome, version, Some(rule)))
    }

    /// Writes the sections of the document's version, and takes those of older versions to the document's rule. True when
    /// the rule of any section changed.
    fn save_sections(&mut self, document: &DocumentRecord, new: &NewDocument) -> Result<bool> {
        let old = SectionRecord::of(&self.tx, document.num, None)?;
        let mut changed = false;
        for (ordinal, section) in (0..).zip(&new.sections) {
            let rule = self.rule(document.source, &Rule::read(Some(&section.acl)))?;
            let known = old.iter().find(|old| old.version == document.version && old.ordinal == ordinal);
            changed |= known.is_none_or(|known| known.rule != rule);
            SectionRecord {
                version: document.version,
                ordinal,
                name: section.name.clone(),
                start: section.start,
                end: section.end,
                rule,
                class: self.section_class(document, rule)?,
                hash: new.section_hash(ordinal as usize),
            }
            .save(&self.tx, document.num)?;
        }
        for mut section in old.into_iter().filter(|old| old.version != document.version) {
            section.class = self.section_class(document, section.rule)?;
            section.save(&self.tx, document.num)?;
        }
        Ok(changed)
    }

    /// The class of a document's section with this rule.
    fn section_class(&mut self, document: &DocumentRecord, rule: RuleNo) -> Result<ClassNo> {
        let read_at = self.read_at(document.source, document.acl_read_at)?;
        let (source, labels) = (document.source, document.labels);
        self.class(Class { source, labels, rule: document.rule, section: NonZeroU32::new(rule), read_at })
    }

    /// Brings a document, its sections and its chunks to the class that its rule and the time of its ACL make. True when
    /// the class changed.
    fn reclass(&mut self, document: &mut DocumentRecord) -> Result<bool> {
        let read_at = self.read_at(document.source, document.acl_read_at)?;
        let class = Class { source: document.source, labels: document.labels, rule: document.rule, section: None, read_at };
        let class = self.class(class)?;
        let changed = std::mem::replace(&mut document.class, class) != class;
        document.save(&self.tx)?;
        if changed {
            for mut section in SectionRecord::of(&self.tx, document.num, None)? {
                section.class = self.section_class(document, section.rule)?;
                section.save(&self.tx, document.num)?;
            }
            self.refresh(document)?;
        }
        Ok(changed)
    }

    /// The time at which an ACL was read, as classes have it: rounded down to a sixteenth of the time that it holds, so
    /// that documents read at about the same time share a class. `None` where the source's ACLs do not age.
    fn read_at(&self, source: SourceNo, at: Timestamp) -> Result<Option<NonZeroU32>> {
        let Some(max_age) = sources::acl_max_age(&self.tx, source)? else { return Ok(None) };
        let step = (max_age / 16).max(1);
        Ok(NonZeroU32::new((at.seconds() / step * step).max(1)))
    }

    /// Brings the classes and times of a document's chunks to what its rows say.
    fn refresh(&mut self, document: &DocumentRecord) -> Result<()> {
        let sections = SectionRecord::of(&self.tx, document.num, Some(document.version))?;
        for chunk in ChunkRecord::of(&self.tx, document.num)? {
            let section = chunk.section.and_then(|ordinal| sections.iter().find(|section| section.ordinal == ordinal));
            let class = section.map_or(document.class, |section| section.class);
            self.effects.push(Effect::Reclass { chunk: chunk.num, class, tokens: chunk.tokens });
            self.effects.push(Effect::Modified { chunk: chunk.num, at: document.modified_at.unwrap_or(document.ingested_at) });
        }
        Ok(())
    }

    fn insert_chunks(&mut self, document: &DocumentRecord, new: &NewDocument, terms: Vec<Indexed>) -> Result<()> {
        let sections = match new.sections.is_empty() {
            true => Vec::new(),
            false => SectionRecord::of(&self.tx, document.num, Some(document.version))?,
        };
        for (ordinal, (chunk, Indexed { terms, count, language })) in (0..).zip(new.chunks.iter().zip(terms)) {
            let section = new.section_of(chunk).and_then(|at| sections.get(at));
            let (vector_no, values) = match &chunk.vector {
                None => (0, None),
                Some(vector) => self.vector(&vector.key, vector.values.clone())?,
            };
            let num = ChunkRecord {
                num: 0,
                doc: document.num,
                version: document.version,
                ordinal,
                start: chunk.start,
                end: chunk.end,
                section: section.map(|section| section.ordinal),
                headings: chunk.headings.clone(),
                page: chunk.page,
                part: chunk.part.clone(),
                tokens: count,
                language: Some(language),
                vector: vector_no,
                seq: self.seq,
            }
            .insert(&self.tx)?;
            let at = document.modified_at.unwrap_or(document.ingested_at);
            self.effects.push(Effect::Chunk(Box::new(NewRow {
                chunk: num,
                class: section.map_or(document.class, |section| section.class),
                tokens: count,
                terms,
                facts: Facts::new(&new.source, &document.id, ordinal, at, values.is_some()),
                vector: values,
            })));
        }
        Ok(())
    }

    fn insert_version(&mut self, document: &DocumentRecord, new: &NewDocument, born: bool) -> Result<()> {
        VersionRecord {
            version: document.version,
            title: new.title.clone(),
            text_hash: *blake3::hash(new.text.as_bytes()).as_bytes(),
            text: new.text.as_str().into(),
            source_version: new.source_version.clone(),
            modified_at: new.modified_at,
            ingested_at: self.now,
            born,
            main_hash: new.main_hash(),
        }
        .insert(&self.tx, document.num)
    }

    fn vector(&mut self, key: &[u8; 32], values: Option<Arc<[f32]>>) -> Result<(i64, Option<Arc<[f32]>>)> {
        if let Some(number) = documents::find_vector(&self.tx, key)? {
            let kept = documents::vector(&self.tx, number)?.ok_or_else(|| Error::corrupt("vector", number))?;
            return Ok((number, Some(kept.into())));
        }
        let values = values.ok_or_else(|| Error::invalid("vector", "no vector is kept under this key"))?;
        let values = crate::vector::normalized(&values, values.len())?;
        Ok((documents::insert_vector(&self.tx, key, &values)?, Some(values.into())))
    }

    fn delete(&mut self, source: &str, id: &str) -> Result<(Outcome, u32, Option<Rule>)> {
        let Some(mut document) = self.live(source, id)? else { return Ok((Outcome::Missing, 0, None)) };
        self.kill_chunks(document.num)?;
        document.deleted_at = Some(self.now);
        document.save(&self.tx)?;
        self.epoch += 1;
        Ok((Outcome::Deleted, document.version, None))
    }

    fn kill_chunks(&mut self, doc: i64) -> Result<()> {
        for chunk in ChunkRecord::of(&self.tx, doc)? {
            self.effects.push(Effect::Reclass { chunk: chunk.num, class: DEAD, tokens: chunk.tokens });
        }
        ChunkRecord::delete_of(&self.tx, doc)
    }

    fn set_acl(&mut self, source: &str, id: &str, acl: Option<&Value>) -> Result<(Outcome, u32, Option<Rule>)> {
        let Some(mut document) = self.live(source, id)? else { return Ok((Outcome::Missing, 0, None)) };
        let rule = Rule::read(acl);
        let number = self.rule(document.source, &rule)?;
        let outcome = if document.rule == number { Outcome::Unchanged } else { Outcome::Updated };
        document.rule = number;
        document.acl_read_at = self.now;
        if self.reclass(&mut document)? {
            self.epoch += 1;
        }
        Ok((outcome, document.version, Some(rule)))
    }

    fn set_container(&mut self, source: &str, id: &str, acl: Option<&Value>) -> Result<(Outcome, u32, Option<Rule>)> {
        let source = self.source(source)?;
        let rule = Rule::read(acl);
        let number = self.rule(source, &rule)?;
        let outcome = match directory::container(&self.tx, source, id)? {
            Some((old, _)) if old == number => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
            None => Outcome::Created,
        };
        directory::set_container(&self.tx, source, id, number, self.now)?;
        if outcome != Outcome::Unchanged {
            self.effects.push(Effect::Container(source, id.to_owned(), Some(number)));
            self.epoch += 1;
        }
        Ok((outcome, 0, Some(rule)))
    }

    fn delete_container(&mut self, source: &str, id: &str) -> Result<Outcome> {
        let Some(source) = sources::find(&self.tx, source)? else { return Ok(Outcome::Missing) };
        if !directory::delete_container(&self.tx, source, id)? {
            return Ok(Outcome::Missing);
        }
        self.effects.push(Effect::Container(source, id.to_owned(), None));
        self.epoch += 1;
        Ok(Outcome::Deleted)
    }

    fn set_group(&mut self, group: &Principal, members: &[Principal]) -> Result<Outcome> {
        let created = directory::add_group(&self.tx, group.as_str())?;
        let mut wanted: Vec<&str> = members.iter().map(Principal::as_str).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if !created && directory::members(&self.tx, group.as_str())?.is_some_and(|members| members == wanted) {
            return Ok(Outcome::Unchanged);
        }
        directory::clear_group(&self.tx, group.as_str())?;
        self.effects.push(Effect::EmptyGroup(group.to_string()));
        for member in wanted {
            self.add_member(group, member)?;
        }
        self.epoch += 1;
        Ok(if created { Outcome::Created } else { Outcome::Updated })
    }

    fn change_group(&mut self, group: &Principal, add: &[Principal], remove: &[Principal]) -> Result<Outcome> {
        let created = directory::add_group(&self.tx, group.as_str())?;
        for member in add {
            self.add_member(group, member.as_str())?;
        }
        for member in remove {
            directory::remove_member(&self.tx, group.as_str(), member.as_str())?;
            self.effects.push(Effect::NotMember(group.to_string(), member.to_string()));
        }
        self.epoch += 1;
        Ok(if created { Outcome::Created } else { Outcome::Updated })
    }

    fn delete_group(&mut self, group: &Principal) -> Result<Outcome> {
        if !directory::delete_group(&self.tx, group.as_str())? {
            return Ok(Outcome::Missing);
        }
        self.effects.push(Effect::EmptyGroup(group.to_string()));
        self.epoch += 1;
        Ok(Outcome::Deleted)
    }

    fn verify(&mut self, source: &str, ids: &[String]) -> Result<Outcome> {
        let Some(source) = sources::find(&self.tx, source)? else { return Ok(Outcome::Missing) };
        documents::verify(&self.tx, source, ids, self.now)?;
        if sources::acl_max_age(&self.tx, source)?.is_some() {
            for id in ids {
                if let Some(mut document) = DocumentRecord::by_id(&self.tx, source, id)?.filter(|found| found.deleted_at.is_none())
                    && self.reclass(&mut document)?
                {
                    self.epoch += 1;
                }
            }
        }
        Ok(Outcome::Unchanged)
    }

    fn set_alias(&mut self, source: &str, alias: &Principal, canonical: Option<&Principal>) -> Result<Outcome> {
        let source = self.source(source)?;
        let old = directory::alias(&self.tx, source, alias.as_str())?;
        let outcome = match (&old, canonical) {
            (None, None) => return Ok(Outcome::Missing),
            (Some(old), Some(new)) if old == new.as_str() => return Ok(Outcome::Unchanged),
            (Some(_), Some(_)) => Outcome::Updated,
            (None, Some(_)) => Outcome::Created,
            (Some(_), None) => Outcome::Deleted,
        };
        directory::set_alias(&self.tx, source, alias.as_str(), canonical.map(Principal::as_str))?;
        self.effects.push(Effect::Alias(source, alias.to_string(), canonical.map(Principal::to_string)));
        self.epoch += 1;
        Ok(outcome)
    }

    /// Costs what the source holds: it is a setting of the source and not a change of permissions.
    fn set_acl_max_age(&mut self, source: &str, seconds: Option<u32>) -> Result<Outcome> {
        let source = self.source(source)?;
        if sources::acl_max_age(&self.tx, source)? == seconds {
            return Ok(Outcome::Unchanged);
        }
        sources::set_acl_max_age(&self.tx, source, seconds)?;
        self.effects.push(Effect::MaxAge(source, seconds));
        let mut after = String::new();
        loop {
            // Deleted ones too: their citations can still be opened.
            let page = DocumentRecord::page(&self.tx, source, &after, PAGE_DOCUMENTS, true)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            for mut document in page {
                self.reclass(&mut document)?;
            }
        }
        self.epoch += 1;
        Ok(Outcome::Updated)
    }

    fn add_member(&mut self, group: &Principal, member: &str) -> Result<()> {
        directory::add_member(&self.tx, group.as_str(), member)?;
        self.effects.push(Effect::Member(group.to_string(), member.to_owned()));
        Ok(())
    }

    fn live(&self, source: &str, id: &str) -> Result<Option<DocumentRecord>> {
        let Some(source) = sources::find(&self.tx, source)? else { return Ok(None) };
        Ok(DocumentRecord::by_id(&self.tx, source, id)?.filter(|document| document.deleted_at.is_none()))
    }

    pub(super) fn source(&mut self, id: &str) -> Result<SourceNo> {
        if let Some(number) = sources::find(&self.tx, id)? {
            return Ok(number);
        }
        let number = sources::insert(&self.tx, id, self.now)?;
        self.effects.push(Effect::Source(number, id.to_owned()));
        Ok(number)
    }

    fn rule(&mut self, source: SourceNo, rule: &Rule) -> Result<RuleNo> {
        let interned = intern::rule(&self.tx, source, rule)?;
        if interned.fresh {
            self.effects.push(Effect::Rule(interned.number, source, Box::new(rule.clone())));
        }
        Ok(interned.number)
    }

    fn class(&mut self, class: Class) -> Result<ClassNo> {
        let interned = intern::class(&self.tx, class)?;
        if interned.fresh {
            self.effects.push(Effect::Class(interned.number, class));
        }
        Ok(interned.number)
    }

    /// Commits: from here on the writes are acknowledged.
    pub(super) fn commit(self) -> Result<Vec<Effect>> {
        catalog::set_meta(&self.tx, "seq", &self.seq.cast_signed())?;
        catalog::set_meta(&self.tx, "epoch", &self.epoch.cast_signed())?;
        self.sums.store(&self.tx)?;
        self.tx.commit()?;
        Ok(self.effects)
    }
}
