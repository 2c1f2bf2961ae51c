//! Reads a judged collection in BEIR layout, and the ACLs and directory that may lie beside it.
//!
//! Ids are unique, and every judged query is there; what is not so is refused, since a measure would silently be of
//! something else.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sightline_index::Principal;
use sightline_ingest::{from_json, read_directory};

const CORPUS: &str = "corpus.jsonl";
const QUERIES: &str = "queries.jsonl";
const JUDGEMENTS: &str = "qrels";
const ACLS: &str = "acl.jsonl";
const DIRECTORY: &str = "directory.json";

/// What is judged of one query, by document: relevance above 0 is relevant.
pub(super) type Judged = BTreeMap<String, i64>;

/// Why a collection cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// A file is missing or cannot be read.
    #[error("{path}: {source} (a collection has corpus.jsonl, queries.jsonl and qrels/*.tsv)")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path}:{line}: {detail}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// Judgements name a query that is not there.
    #[error("{path}: query `{query}` is judged and not in queries.jsonl; add it, or take its judgements out")]
    NoQuery {
        /// The folder of judgements.
        path: PathBuf,
        /// The query.
        query: String,
    },
    /// The directory of groups cannot be read.
    #[error(transparent)]
    Directory(#[from] sightline_ingest::IngestError),
}

/// A document of the corpus.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its title; may be empty.
    #[serde(default)]
    pub title: String,
    /// What it says.
    pub text: String,
}

/// A query.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// What is asked.
    pub text: String,
    /// What else is known of it.
    #[serde(default)]
    pub metadata: Value,
}

impl Question {
    /// Right answers, as they stand in a relevant document: `metadata.answers`, objects with a `text`.
    pub fn answers(&self) -> impl Iterator<Item = &str> {
        let answers = self.metadata.get("answers").and_then(Value::as_array).into_iter().flatten();
        answers.filter_map(|answer| answer.get("text")?.as_str())
    }
}

/// A corpus, queries and judgements.
#[derive(Clone, Debug)]
pub struct Collection {
    /// What it is called in reports.
    pub name: String,
    /// blake3 over the names and contents of corpus, queries and judgements, in hex.
    pub blake3: String,
    /// The corpus.
    pub documents: Vec<Document>,
    /// The queries, judged or not.
    pub queries: Vec<Question>,
    /// What is relevant, by query.
    pub judgements: BTreeMap<String, Judged>,
    /// ACLs by document, where the collection has some.
    pub acls: Option<BTreeMap<String, Value>>,
    /// Groups and their members.
    pub directory: Vec<(Principal, Vec<Principal>)>,
}

impl Collection {
    /// Reads the collection in `dir`.
    pub fn read(dir: &Path, name: &str) -> Result<Collection, CollectionError> {
        let mut digest = blake3::Hasher::new();
        let documents: Vec<Document> = lines(&dir.join(CORPUS), &read(&dir.join(CORPUS), &mut digest)?)?;
        unique(&dir.join(CORPUS), documents.iter().map(|document| &document.id))?;
        let queries: Vec<Question> = lines(&dir.join(QUERIES), &read(&dir.join(QUERIES), &mut digest)?)?;
        unique(&dir.join(QUERIES), queries.iter().map(|query| &query.id))?;
        let judgements = judgements(&dir.join(JUDGEMENTS), &mut digest)?;
        let known: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
        if let Some(query) = judgements.keys().find(|query| !known.contains(query.as_str())) {
            return Err(CollectionError::NoQuery { path: dir.join(JUDGEMENTS), query: query.clone() });
        }
        // Not in the digest: they change nothing that a saved run holds.
        let mut unhashed = blake3::Hasher::new();
        let (acls, directory) = (dir.join(ACLS), dir.join(DIRECTORY));
        let acls = acls.is_file().then(|| lines::<Governed>(&acls, &read(&acls, &mut unhashed)?)).transpose()?;
        Ok(Collection {
            name: name.to_owned(),
            blake3: digest.finalize().to_hex().to_string(),
            documents,
            queries,
            judgements,
            acls: acls.map(|lines| lines.into_iter().filter_map(|line| Some((line.id, line.acl?))).collect()),
            directory: if directory.is_file() { read_directory(&directory)? } else { Vec::new() },
        })
    }
}

/// A line of the ACLs.
#[derive(Deserialize)]
struct Governed {
    #[serde(rename = "_id")]
    id: String,
    acl: Option<Value>,
}

/// Reads a file and adds its name and content to the digest, each after its length.
fn read(path: &Path, digest: &mut blake3::Hasher) -> Result<String, CollectionError> {
    let text = std::fs::read_to_string(path).map_err(|source| CollectionError::File { path: path.to_owned(), source })?;
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    for part in [name, text.as_bytes()] {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    Ok(text)
}

fn wrong(path: &Path, line: usize, detail: String) -> CollectionError {
    CollectionError::Line { path: path.to_owned(), line, detail }
}

fn lines<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>, CollectionError> {
    let parse = |(number, line): (usize, &str)| {
        from_json(line.as_bytes()).map_err(|error: serde_json::Error| wrong(path, number, error.to_string()))
    };
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

/// Refuses an id that comes twice.
fn unique<'a>(path: &Path, ids: impl Iterator<Item = &'a String>) -> Result<(), CollectionError> {
    let mut seen = HashSet::new();
    match (1..).zip(ids).find(|(_, id)| !seen.insert(*id)) {
        Some((number, id)) => Err(wrong(path, number, format!("`_id` `{id}` comes twice"))),
        None => Ok(()),
    }
}

fn judgements(dir: &Path, digest: &mut blake3::Hasher) -> Result<BTreeMap<String, Judged>, CollectionError> {
    let file = |source| CollectionError::File { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(file)? {
        let path = entry.map_err(file)?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut judgements: BTreeMap<String, Judged> = BTreeMap::new();
    for path in paths {
        let text = read(&path, digest)?;
        // The first line is a header.
        for (number, line) in (1..).zip(text.lines()).skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let parsed = match fields.as_slice() {
                [query, document, score] => score.trim().parse().ok().map(|score| (query, document, score)),
                _ => None,
            };
            let (query, document, score) =
                parsed.ok_or_else(|| wrong(&path, number, "it is not `query-id<tab>corpus-id<tab>score`".to_owned()))?;
            judgements.entry((*query).to_owned()).or_default().insert((*document).to_owned(), score);
        }
    }
    Ok(judgements)
}
