//! Reads a judged collection in BEIR layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Judged documents by query: relevance above 0 is relevant.
pub(crate) type Judgements = BTreeMap<String, BTreeMap<String, i64>>;

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
}

/// A corpus, queries and judgements.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The corpus.
    pub documents: Vec<Document>,
    /// The queries, judged or not.
    pub queries: Vec<Question>,
    /// What is relevant.
    pub judgements: Judgements,
}

impl Collection {
    /// Reads the collection in `dir`.
    pub fn read(dir: &Path) -> Result<Collection, CollectionError> {
        Ok(Collection {
            documents: lines(&dir.join("corpus.jsonl"))?,
            queries: lines(&dir.join("queries.jsonl"))?,
            judgements: judgements(&dir.join("qrels"))?,
        })
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CollectionError> {
    let file = |source| CollectionError::File { path: path.to_owned(), source };
    let mut items = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(File::open(path).map_err(file)?).lines()) {
        let line = line.map_err(file)?;
        if !line.trim().is_empty() {
            let wrong =
                |error: serde_json::Error| CollectionError::Line { path: path.to_owned(), line: number, detail: error.to_string() };
            items.push(serde_json::from_str(&line).map_err(wrong)?);
        }
    }
    Ok(items)
}

fn judgements(dir: &Path) -> Result<Judgements, CollectionError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| CollectionError::File { path, source }
    };
    let mut judgements = Judgements::new();
    for entry in std::fs::read_dir(dir).map_err(file(dir))? {
        let path = entry.map_err(file(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "tsv") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(file(&path))?;
        // The first line is a header.
        for (number, line) in (1..).zip(text.lines()).skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let parsed = match fields.as_slice() {
                [query, document, score] => score.trim().parse().ok().map(|score| (query, document, score)),
                _ => None,
            };
            let (query, document, score) = parsed.ok_or_else(|| CollectionError::Line {
                path: path.clone(),
                line: number,
                detail: "it is not `query-id<tab>corpus-id<tab>score`".to_owned(),
            })?;
            judgements.entry((*query).to_owned()).or_default().insert((*document).to_owned(), score);
        }
    }
    Ok(judgements)
}
