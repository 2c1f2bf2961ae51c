//! A run: what was ranked for each query and how well, kept in a file to compare later ones with.
//!
//! The file is JSON: `format` (`sightline-run/1`), `sightline` (the version), `model` (its name, or null), and `collections`,
//! each with `name`, `blake3` (of corpus, queries and judgements), `documents`, and `modes`. A mode has `mode`, `measures`
//! (the means) and `queries`: by id `measures` and `ranking`, up to 100 of `[document, score]`, best first. Fields may be
//! added; what changes otherwise changes the number of the format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sightline_index::Mode;

use super::{EvalError, Measures, Report};

const FORMAT: &str = "sightline-run/1";

/// A document of a ranking, and the score of its best passage.
pub type Ranked = (String, f32);

/// One evaluation, of one or more collections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    format: String,
    /// The version of the program.
    pub sightline: String,
    /// The model; without one, keywords alone were searched.
    pub model: Option<String>,
    /// What was evaluated.
    pub collections: Vec<CollectionRun>,
}

/// What was ranked of one collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CollectionRun {
    /// What it is called.
    pub name: String,
    /// Which one it is: blake3 of its files, in hex.
    pub blake3: String,
    /// Documents of the collection.
    pub documents: usize,
    /// By mode.
    pub modes: Vec<ModeRun>,
}

/// What one mode ranked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModeRun {
    /// The mode.
    pub mode: Mode,
    /// The means.
    pub measures: Measures,
    /// By query.
    pub queries: BTreeMap<String, QueryRun>,
}

/// What was ranked for one query.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct QueryRun {
    /// How well.
    pub measures: Measures,
    /// Best first.
    pub ranking: Vec<Ranked>,
}

impl Run {
    /// The run that reports are of.
    pub fn of(model: Option<String>, reports: &[Report]) -> Run {
        let collections = reports.iter().map(|report| CollectionRun {
            name: report.collection.clone(),
            blake3: report.blake3.clone(),
            documents: report.documents,
            modes: report.modes.iter().map(|mode| mode.run.clone()).collect(),
        });
        Run {
            format: FORMAT.to_owned(),
            sightline: env!("CARGO_PKG_VERSION").to_owned(),
            model,
            collections: collections.collect(),
        }
    }

    /// Reads a saved run.
    pub fn read(path: &Path) -> Result<Run, EvalError> {
        let bytes = std::fs::read(path).map_err(|source| EvalError::File { path: path.to_owned(), source })?;
        let malformed = |detail: String| EvalError::Run { path: path.to_owned(), detail };
        let run: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        match run.get("format").and_then(serde_json::Value::as_str) {
            Some(FORMAT) => serde_json::from_value(run).map_err(|error| malformed(error.to_string())),
            Some(other) => Err(malformed(format!("its format is `{other}`, this program reads `{FORMAT}`"))),
            None => Err(malformed(format!("it does not say that its format is `{FORMAT}`"))),
        }
    }

    /// Writes the run.
    pub fn save(&self, path: &Path) -> Result<(), EvalError> {
        let failed = |source| EvalError::File { path: path.to_owned(), source };
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        serde_json::to_writer(&mut out, self).map_err(|error| failed(error.into()))?;
        out.write_all(b"\n").and_then(|()| out.flush()).map_err(failed)
    }

    /// Writes each mode's rankings as trec_eval reads them, into `COLLECTION.MODE.trec` in a folder.
    pub fn save_trec(&self, folder: &Path) -> Result<(), EvalError> {
        std::fs::create_dir_all(folder).map_err(|source| EvalError::File { path: folder.to_owned(), source })?;
        for collection in &self.collections {
            for run in &collection.modes {
                let path = folder.join(format!("{}.{}.trec", collection.name.replace('/', "-"), name_of(run.mode)));
                std::fs::write(&path, run.trec()).map_err(|source| EvalError::File { path, source })?;
            }
        }
        Ok(())
    }

    /// The run of the collection with this digest.
    pub fn collection(&self, blake3: &str) -> Option<&CollectionRun> {
        self.collections.iter().find(|collection| collection.blake3 == blake3)
    }
}

impl ModeRun {
    /// Lines of `query Q0 document rank score tag`; white space in an id becomes `_`, since the format has no other way.
    fn trec(&self) -> String {
        let mut lines = String::new();
        let word = |id: &str| id.replace(char::is_whitespace, "_");
        for (query, run) in &self.queries {
            for (rank, (document, score)) in (1..).zip(&run.ranking) {
                lines += &format!("{} Q0 {} {rank} {score} sightline-{}\n", word(query), word(document), name_of(self.mode));
            }
        }
        lines
    }
}

/// A mode as it is written.
pub(crate) fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Keyword => "keyword",
        Mode::Vector => "vector",
        Mode::Hybrid => "hybrid",
    }
}
