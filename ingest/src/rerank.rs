//! Re-ranking: a cross-encoder reads query and passage together, through fastembed, several instances side by side.
//!
//! A folder holds the ONNX graph and the tokenizer's files, as models for fastembed are published. One pair is scored at a
//! time: in a batch a score would depend, by padding and quantization, on the other passages.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fastembed::{RerankInitOptionsUserDefined, TextRerank, TokenizerFiles, UserDefinedRerankingModel};
use serde_json::Value;

use crate::pool::Pool;
use crate::runtime::{self, RuntimeError};

const GRAPH: &str = "model.onnx";
const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const FILES: [&str; 5] = [GRAPH, TOKENIZER, CONFIG, SPECIAL_TOKENS, TOKENIZER_CONFIG];

const LENGTH: &str = "model_max_length";
/// How many tokens a pair has at most where the folder does not say.
const DEFAULT_TOKENS: u64 = 512;
/// Tokenizers that know no length write a number far above this one.
const MAX_TOKENS: u64 = 1 << 20;

/// Why passages were not re-ranked.
#[derive(Debug, thiserror::Error)]
pub enum RerankError {
    /// The folder lacks files.
    #[error("{dir} has no {}; a re-ranker's folder holds {}", .missing.join(", "), FILES.join(", "))]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// What is not there.
        missing: Vec<&'static str>,
    },
    /// A file of the folder cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The ONNX runtime cannot be loaded.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model could not be loaded, or failed on a passage.
    #[error("the re-ranker failed: {0}")]
    Model(String),
}

/// A pool of model instances; each scores one pair at a time on one thread.
pub struct Reranker {
    pool: Pool<TextRerank>,
}

impl std::fmt::Debug for Reranker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reranker").field("instances", &self.pool.instances()).finish_non_exhaustive()
    }
}

impl Reranker {
    /// Loads the model in `dir`, `instances` times (at least once). The ONNX runtime is the one that the process has, else
    /// the library in `dir`, else that in `model`, the folder of the embedding model.
    ///
    /// # Errors
    /// [`RerankError`], which names the folder or file.
    pub fn open(dir: &Path, model: Option<&Path>, instances: usize) -> Result<Reranker, RerankError> {
        let missing: Vec<&str> = FILES.into_iter().filter(|name| !dir.join(name).is_file()).collect();
        if !missing.is_empty() {
            return Err(RerankError::Missing { dir: dir.to_owned(), missing });
        }
        let (tokenizer_config, tokens) = tokenizer_config(dir)?;
        // The graph stays a path: its weights may stand in a file beside it.
        let definition = UserDefinedRerankingModel::new(
            dir.join(GRAPH),
            TokenizerFiles {
                tokenizer_file: read(dir, TOKENIZER)?,
                config_file: read(dir, CONFIG)?,
                special_tokens_map_file: read(dir, SPECIAL_TOKENS)?,
                tokenizer_config_file: tokenizer_config,
            },
        );
        let mut options = RerankInitOptionsUserDefined::new().with_max_length(tokens).with_intra_threads(1);
        let folders: Vec<&Path> = std::iter::once(dir).chain(model).collect();
        options.environment = runtime::environment(&folders)?;
        let load = |_| TextRerank::try_new_from_user_defined(definition.clone(), options.clone());
        let loaded = (0..instances.max(1)).map(load).collect::<Result<Vec<_>, _>>();
        Ok(Reranker { pool: Pool::new(loaded.map_err(|error| RerankError::Model(format!("{}: {error}", dir.display())))?) })
    }

    /// What the model makes of each passage as an answer to the query, in their order: a log-odds, the higher the better.
    /// Waits for idle instances, and uses as many as there are.
    ///
    /// # Errors
    /// [`RerankError::Model`] when it fails on any of them.
    pub fn scores(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>, RerankError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scored = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(passage) = passages.get(at) else { return Ok(scored) };
                match self.score(query, passage) {
                    Ok(score) => scored.push((at, score)),
                    Err(error) => {
                        // The others need not go on.
                        next.store(passages.len(), Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        let mut scored = std::thread::scope(|scope| {
            let others = 1..self.pool.instances().min(passages.len());
            let others: Vec<_> = others.map(|_| scope.spawn(work)).collect();
            let own = work();
            let panicked = |_| Err(RerankError::Model("it panicked".to_owned()));
            others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).chain([own]).collect::<Result<Vec<_>, _>>()
        })?
        .concat();
        scored.sort_unstable_by_key(|(at, _)| *at);
        Ok(scored.into_iter().map(|(_, score)| score).collect())
    }

    fn score(&self, query: &str, passage: &str) -> Result<f32, RerankError> {
        let failed = |error: String| RerankError::Model(error);
        let ranked = self.pool.lend().rerank(query, [passage], false, Some(1)).map_err(|error| failed(error.to_string()))?;
        ranked.first().map(|result| result.score).ok_or_else(|| failed("it gave no score".to_owned()))
    }
}

/// The tokenizer's configuration with the most tokens of a pair, which fastembed expects in it, and that number.
fn tokenizer_config(dir: &Path) -> Result<(Vec<u8>, usize), RerankError> {
    let bytes = read(dir, TOKENIZER_CONFIG)?;
    let wrong = |reason: &str| RerankError::File { path: dir.join(TOKENIZER_CONFIG), reason: reason.to_owned() };
    let mut config: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    let config = config.as_object_mut().ok_or_else(|| wrong("an object is expected"))?;
    let given = config.get(LENGTH).and_then(Value::as_u64).filter(|tokens| (1..=MAX_TOKENS).contains(tokens));
    let tokens = given.unwrap_or(DEFAULT_TOKENS);
    config.insert(LENGTH.to_owned(), tokens.into());
    let bytes = serde_json::to_vec(config).map_err(|error| wrong(&error.to_string()))?;
    Ok((bytes, usize::try_from(tokens).map_err(|error| wrong(&error.to_string()))?))
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, RerankError> {
    let path = dir.join(name);
    std::fs::read(&path).map_err(|error| RerankError::File { path, reason: error.to_string() })
}
