//! Embedding: texts to vectors through fastembed, several model instances side by side.
//!
//! A model folder holds the runtime, the ONNX graph, the tokenizer and `model.json` (see `make model`). Texts are
//! embedded one at a time and without padding: dynamic quantization over a batch would make a vector depend on its
//! neighbours, and so on what else is ingested.

use std::path::{Path, PathBuf};

use fastembed::{InitOptionsUserDefined, Pooling, QuantizationMode, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel};
use serde::Deserialize;
use sightline_index::Model;

use crate::pool::Pool;
use crate::runtime::{self, RuntimeError};

const MANIFEST: &str = "model.json";
const MODEL_FOLDER: &str = "model";
const MODEL_VARIABLE: &str = "SIGHTLINE_MODEL";

/// Why a text was not embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file of the model folder cannot be read.
    #[error("{path}: {source} (run `make model`)")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// `model.json` is not what this release reads.
    #[error("{path}: {detail} (run `make model`)")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The ONNX runtime cannot be loaded.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model failed on a text.
    #[error("the embedding model failed: {0}")]
    Model(String),
}

/// A pool of model instances; each embeds one text at a time on one thread.
pub struct Embedder {
    model: Model,
    pool: Pool<TextEmbedding>,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder").field("model", &self.model).field("instances", &self.instances()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    dimensions: usize,
    max_tokens: usize,
    /// The graph to use: `int8` or `fp32`.
    default: String,
}

impl Embedder {
    /// The model folder: the one given, else `$SIGHTLINE_MODEL`, else `model` in the working directory or beside the
    /// program or one of the folders above it.
    pub fn find(explicit: Option<&Path>) -> Option<PathBuf> {
        if let Some(dir) = explicit {
            return Some(dir.to_owned());
        }
        if let Some(dir) = std::env::var_os(MODEL_VARIABLE) {
            return Some(dir.into());
        }
        let program = std::env::current_exe().ok();
        let above = program.iter().flat_map(|program| program.ancestors().skip(1)).map(|dir| dir.join(MODEL_FOLDER));
        std::iter::once(PathBuf::from(MODEL_FOLDER)).chain(above).find(|dir| dir.join(MANIFEST).is_file())
    }

    /// Loads the model in `dir`, `instances` times (at least once).
    pub fn open(dir: &Path, instances: usize) -> Result<Embedder, EmbedError> {
        let instances = instances.max(1);
        let path = dir.join(MANIFEST);
        let manifest: Manifest = serde_json::from_slice(&read(&path)?)
            .map_err(|error| EmbedError::Manifest { path: path.clone(), detail: error.to_string() })?;
        let (graph, quantization) = match manifest.default.as_str() {
            "int8" => ("model.int8.onnx", QuantizationMode::Dynamic),
            "fp32" => ("model.onnx", QuantizationMode::None),
            other => return Err(EmbedError::Manifest { path, detail: format!("`default` is `{other}`, not int8 or fp32") }),
        };
        let mut options = InitOptionsUserDefined::new().with_max_length(manifest.max_tokens).with_intra_threads(1);
        options.environment = runtime::environment(&[dir])?;
        let definition = UserDefinedEmbeddingModel::new(
            read(&dir.join(graph))?,
            TokenizerFiles {
                tokenizer_file: read(&dir.join("tokenizer.json"))?,
                config_file: read(&dir.join("config.json"))?,
                special_tokens_map_file: read(&dir.join("special_tokens_map.json"))?,
                tokenizer_config_file: read(&dir.join("tokenizer_config.json"))?,
            },
        )
        .with_pooling(Pooling::Mean)
        .with_quantization(quantization);
        let load = |_| TextEmbedding::try_new_from_user_defined(definition.clone(), options.clone());
        let idle = (0..instances).map(load).collect::<Result<Vec<_>, _>>().map_err(|error| EmbedError::Model(error.to_string()))?;
        Ok(Embedder::new(format!("{} {}", manifest.name, manifest.default), manifest.dimensions, idle))
    }

    /// Loads one of fastembed's models by its name, downloading it when it is not in the cache.
    #[cfg(feature = "hub")]
    pub fn from_hub(name: &str, instances: usize) -> Result<Embedder, EmbedError> {
        use fastembed::{EmbeddingModel, TextInitOptions};
        let failed = |error: String| EmbedError::Model(error);
        let model: EmbeddingModel = name.parse().map_err(failed)?;
        let info = TextEmbedding::get_model_info(&model).map_err(|error| failed(error.to_string()))?;
        let (code, dimensions) = (info.model_code.clone(), info.dim);
        let load = |_| TextEmbedding::try_new(TextInitOptions::new(model.clone()).with_intra_threads(1));
        let idle = (0..instances.max(1)).map(load).collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.to_string()))?;
        Ok(Embedder::new(code, dimensions, idle))
    }

    fn new(name: String, dimensions: usize, idle: Vec<TextEmbedding>) -> Embedder {
        Embedder { model: Model { name, dimensions }, pool: Pool::new(idle) }
    }

    /// What the catalog records of the model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many texts are embedded side by side.
    pub fn instances(&self) -> usize {
        self.pool.instances()
    }

    /// The vector of a text, of length 1. Waits for an idle instance.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let embedded = self.pool.lend().embed([text], None);
        let vector = embedded.map_err(|error| EmbedError::Model(error.to_string()))?.pop().unwrap_or_default();
        sightline_index::normalized(&vector, self.model.dimensions).map_err(|error| EmbedError::Model(error.to_string()))
    }
}

/// How many characters the model's word pieces have on average in a text that it hardly knows, and in one that it knows
/// well. Of a language that it was not trained on it knows single letters only, or nothing.
const STRANGE_PIECE_CHARS: f32 = 1.5;
const FAMILIAR_PIECE_CHARS: f32 = 3.0;
/// A Chinese or Japanese character says as much as so many letters.
const WIDE_CHAR: f32 = 2.5;

impl Embedder {
    /// How well the model knows the language of a text, 0 to 1, from how long its word pieces are; unknown ones count as
    /// empty. A text without letters or digits is known.
    pub fn fluency(&self, text: &str) -> f32 {
        let encoding = self.pool.lend().tokenizer.encode(text, false);
        let Ok(encoding) = encoding else { return 1.0 };
        let (mut pieces, mut chars) = (0.0, 0.0);
        for (piece, (start, end)) in encoding.get_tokens().iter().zip(encoding.get_offsets()) {
            let written = text.get(*start..*end).unwrap_or_default();
            if written.chars().any(char::is_alphanumeric) {
                pieces += 1.0;
                if !UNKNOWN_PIECES.contains(&piece.as_str()) {
                    let width = |c: char| if u32::from(c) >= 0x3000 { WIDE_CHAR } else { 1.0 };
                    chars += written.chars().filter(|c| c.is_alphanumeric()).map(width).sum::<f32>();
                }
            }
        }
        if pieces == 0.0 {
            return 1.0;
        }
        ((chars / pieces - STRANGE_PIECE_CHARS) / (FAMILIAR_PIECE_CHARS - STRANGE_PIECE_CHARS)).clamp(0.0, 1.0)
    }
}

/// What tokenizers call a piece that is not in their vocabulary.
const UNKNOWN_PIECES: [&str; 2] = ["[UNK]", "<unk>"];

fn read(path: &Path) -> Result<Vec<u8>, EmbedError> {
    std::fs::read(path).map_err(|source| EmbedError::File { path: path.to_owned(), source })
}
