//! Settings: one TOML file, overridden by `SIGHTLINE_…` variables, overridden by flags of the command line.
//!
//! Every limit is a setting with its unit in its name. An unknown key of the file is an error that names it; an unknown
//! variable is not, since programs that call Sightline keep variables of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sightline_index::{Recency, SourcePolicy};
use toml::{Table, Value};

/// The file that is read from the working directory when none is named.
pub const DEFAULT_FILE: &str = "sightline.toml";
const VARIABLE_PREFIX: &str = "SIGHTLINE_";
const DEFAULT_RECENCY_WEIGHT: f32 = 0.5;

/// The settings of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The address and port that the server listens on.
    pub listen: String,
    /// The folder of the embedding model; with the feature `hub` also `hub:NAME`, one of fastembed's. Absent: `./model`, or
    /// `model` beside an ancestor of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// How many instances of the model embed at the same time; 0 turns the vector half off.
    pub embedder_instances: usize,
    /// The folder of a cross-encoder that re-ranks the best passages. Absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<PathBuf>,
    /// How many instances of it score at the same time; absent: as many as embed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker_instances: Option<usize>,
    /// The largest body of a request, and the largest line of a batch.
    pub max_request_body_bytes: usize,
    /// How many searches and reads run at the same time.
    pub max_concurrent_searches: usize,
    /// How many documents are extracted, embedded and stored at the same time.
    pub max_concurrent_puts: usize,
    /// How many deletions and permission changes run at the same time.
    pub max_concurrent_changes: usize,
    /// How many more requests of each kind wait for their turn; beyond that they are turned away.
    pub max_waiting_requests: usize,
    /// How many receipts of one batch are kept for a client that does not read while it writes.
    pub max_batch_receipts_waiting: usize,
    /// How long a request may take; in a batch, how long the client may pause.
    pub request_timeout_seconds: u64,
    /// How long requests under way may take to end when the server is told to stop.
    pub shutdown_grace_seconds: u64,
    /// Whether an app with `assert-user` may also name groups, in `Sightline-Groups`.
    pub allow_asserted_groups: bool,
    /// What holds for single sources, by their ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, SourceSettings>,
    /// A language model that answers from passages; absent, nothing is sent anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
}

/// The section `[answers]`. The endpoint's key is in the variable `SIGHTLINE_ANSWERS_KEY`, or in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The base URL of an API as OpenAI has it, such as `http://127.0.0.1:8000/v1`, or the whole URL of its chat completions.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
    /// A file that holds the endpoint's key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// How long an answer may take.
    #[serde(default = "default_answer_seconds")]
    pub timeout_seconds: u64,
    /// The longest answer, in the model's tokens.
    #[serde(default = "default_answer_tokens")]
    pub max_tokens: u32,
    /// How many passages the model is given at most.
    #[serde(default = "default_answer_passages")]
    pub passages: usize,
    /// How many answers are made at the same time; searches do not wait for them.
    #[serde(default = "default_concurrent_answers")]
    pub max_concurrent: usize,
}

fn default_answer_seconds() -> u64 {
    45
}

fn default_answer_tokens() -> u32 {
    800
}

fn default_answer_passages() -> usize {
    8
}

fn default_concurrent_answers() -> usize {
    4
}

/// What holds for one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// How the scores of its passages fall with age, where a search does not say.
    pub recency: Option<RecencySettings>,
    /// Such as `2d`: answers with a document that was not seen in the source for longer carry a warning.
    pub stale_after: Option<String>,
}

/// How scores fall with age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecencySettings {
    /// Such as `90d`: after this time half of the weight is lost.
    pub half_life: String,
    /// The share of a score that age can take, 0 to 1; absent 0.5.
    pub weight: Option<f32>,
}

impl RecencySettings {
    /// # Errors
    /// What is wrong, for a person.
    pub fn read(&self) -> Result<Recency, &'static str> {
        let half_life = age(&self.half_life).filter(|age| !age.is_zero());
        let half_life_seconds = half_life.ok_or("half_life is a number above 0 and one of s, m, h, d, w, such as `90d`")?.as_secs();
        let weight = self.weight.unwrap_or(DEFAULT_RECENCY_WEIGHT);
        if (0.0..=1.0).contains(&weight) { Ok(Recency { half_life_seconds, weight }) } else { Err("weight is 0 to 1") }
    }
}

impl SourceSettings {
    fn read(&self) -> Result<SourcePolicy, &'static str> {
        let stale_after = self.stale_after.as_deref().map(|text| age(text).ok_or("stale_after is an age such as `2d`"));
        Ok(SourcePolicy {
            recency: self.recency.as_ref().map(RecencySettings::read).transpose()?,
            stale_after_seconds: stale_after.transpose()?.map(|age| age.as_secs()),
        })
    }
}

/// Reads an age: a whole number and one of s, m, h, d, w.
pub fn age(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let seconds: u64 = match text.get(digits.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let count = Some(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?.parse::<u64>().ok()?;
    Some(Duration::from_secs(count.saturating_mul(seconds)))
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Config {
            data: PathBuf::from("./sightline-data"),
            listen: "127.0.0.1:8600".to_owned(),
            model: None,
            embedder_instances: cores.min(8),
            reranker: None,
            reranker_instances: None,
            max_request_body_bytes: 32 << 20,
            max_concurrent_searches: (cores * 2).max(4),
            max_concurrent_puts: cores.max(2),
            max_concurrent_changes: 16,
            max_waiting_requests: 256,
            max_batch_receipts_waiting: 100_000,
            request_timeout_seconds: 60,
            shutdown_grace_seconds: 20,
            allow_asserted_groups: false,
            sources: BTreeMap::new(),
            answers: None,
        }
    }
}

/// Why the settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a key or value that is not a setting.
    #[error("{origin}: {reason}")]
    Invalid {
        /// The file or variable.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads `file`, or [`DEFAULT_FILE`] where it is present, and then the process's variables.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file or variable and the key.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        let mut table = Table::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
            let invalid = |error: toml::de::Error| ConfigError::Invalid {
                origin: path.display().to_string(),
                reason: error.to_string().trim_end().to_owned(),
            };
            table = toml::from_str(&text).map_err(invalid)?;
            // Read once without variables, so that an error points at its line.
            toml::from_str::<Config>(&text).map_err(invalid)?.check(&path.display().to_string())?;
        }
        Config::overridden(table, |name| std::env::var(name).ok())
    }

    fn overridden(mut table: Table, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let path = Some(PathBuf::new());
        let all = Config { model: path.clone(), reranker: path, reranker_instances: Some(1), ..Config::default() };
        let defaults = Table::try_from(all).expect("INVARIANT: settings are plain values");
        let mut origin = "settings".to_owned();
        for (key, default) in defaults {
            let name = format!("{VARIABLE_PREFIX}{}", key.to_uppercase());
            let Some(text) = variable(&name).filter(|text| !text.is_empty()) else { continue };
            let value = match default {
                Value::String(_) => Value::String(text),
                Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| wrong(&name, &text, "true or false"))?),
                _ => Value::Integer(text.parse().map_err(|_| wrong(&name, &text, "a whole number"))?),
            };
            table.insert(key, value);
            origin = name;
        }
        let config: Config =
            table.try_into().map_err(|error| ConfigError::Invalid { origin: origin.clone(), reason: error.to_string() })?;
        config.check(&origin)?;
        Ok(config)
    }

    fn check(&self, origin: &str) -> Result<(), ConfigError> {
        for (key, value) in [
            ("max_request_body_bytes", self.max_request_body_bytes),
            ("max_concurrent_searches", self.max_concurrent_searches),
            ("max_concurrent_puts", self.max_concurrent_puts),
            ("max_concurrent_changes", self.max_concurrent_changes),
            ("max_batch_receipts_waiting", self.max_batch_receipts_waiting),
            ("request_timeout_seconds", usize::try_from(self.request_timeout_seconds).unwrap_or(usize::MAX)),
        ] {
            if value == 0 {
                return Err(ConfigError::Invalid { origin: origin.to_owned(), reason: format!("{key} must be at least 1") });
            }
        }
        for (id, settings) in &self.sources {
            let wrong = |reason| ConfigError::Invalid { origin: origin.to_owned(), reason: format!("sources.{id}: {reason}") };
            settings.read().map_err(wrong)?;
        }
        match &self.answers {
            Some(answers) => answers.check(origin),
            None => Ok(()),
        }
    }

    /// What searches obey for single sources.
    pub fn policies(&self) -> BTreeMap<String, SourcePolicy> {
        let read = |(id, settings): (&String, &SourceSettings)| Some((id.clone(), settings.read().ok()?));
        self.sources.iter().filter_map(read).collect()
    }
}

impl Answers {
    fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let wrong = |reason: &str| Err(ConfigError::Invalid { origin: origin.to_owned(), reason: format!("answers: {reason}") });
        if self.endpoint.starts_with("https://") && !cfg!(feature = "tls") {
            return wrong("this program was built without TLS; build it with `--features tls`, or name an `http://` endpoint");
        }
        if !self.endpoint.starts_with("http://") && !self.endpoint.starts_with("https://") {
            return wrong("endpoint must be an URL, such as `http://127.0.0.1:8000/v1`");
        }
        if self.timeout_seconds == 0
            || self.max_tokens == 0
            || self.max_concurrent == 0
            || !(1..=sightline_index::MAX_CITATIONS).contains(&self.passages)
        {
            return wrong("timeout_seconds, max_tokens and max_concurrent must be at least 1, and passages from 1 to 100");
        }
        Ok(())
    }
}

fn wrong(name: &str, text: &str, accepted: &str) -> ConfigError {
    ConfigError::Invalid { origin: name.to_owned(), reason: format!("`{text}` is not {accepted}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_override_the_file() {
        let table: Table = toml::from_str("listen = '0.0.0.0:1'\nmax_request_body_bytes = 5").unwrap();
        let variable = |name: &str| match name {
            "SIGHTLINE_LISTEN" => Some("127.0.0.1:9".to_owned()),
            "SIGHTLINE_ALLOW_ASSERTED_GROUPS" => Some("true".to_owned()),
            "SIGHTLINE_MODEL" => Some("/models/7".to_owned()),
            "SIGHTLINE_RERANKER" => Some("/models/8".to_owned()),
            "SIGHTLINE_RERANKER_INSTANCES" => Some("3".to_owned()),
            _ => None,
        };
        let config = Config::overridden(table, variable).unwrap();
        assert_eq!((config.listen.as_str(), config.max_request_body_bytes), ("127.0.0.1:9", 5));
        assert_eq!(config.model, Some(PathBuf::from("/models/7")));
        assert_eq!((config.reranker, config.reranker_instances), (Some(PathBuf::from("/models/8")), Some(3)));
        assert!(config.allow_asserted_groups);
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named() {
        let unknown = Config::overridden(toml::from_str("lisen = 'x'").unwrap(), |_| None).unwrap_err();
        assert!(unknown.to_string().contains("lisen"), "{unknown}");
        let variable = |name: &str| (name == "SIGHTLINE_EMBEDDER_INSTANCES").then(|| "many".to_owned());
        let wrong = Config::overridden(Table::new(), variable).unwrap_err();
        assert!(wrong.to_string().contains("SIGHTLINE_EMBEDDER_INSTANCES"), "{wrong}");
        let source = toml::from_str("[sources.wiki]\nrecency = { half_life = '90' }").unwrap();
        let source = Config::overridden(source, |_| None).unwrap_err();
        assert!(source.to_string().contains("sources.wiki: half_life"), "{source}");
        let endpoint = "[answers]\nendpoint = 'localhost'\nmodel = 'm'";
        let wrong = Config::overridden(toml::from_str(endpoint).unwrap(), |_| None).unwrap_err();
        assert!(wrong.to_string().contains("http://"), "{wrong}");
        let zero = Config::overridden(toml::from_str("max_concurrent_puts = 0").unwrap(), |_| None).unwrap_err();
        assert!(zero.to_string().contains("max_concurrent_puts"), "{zero}");
    }
}
