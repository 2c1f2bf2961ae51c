//! A language model behind an endpoint for chat completions as OpenAI has it, streaming or whole.
//!
//! Everything that it sends is bounded in time and size. An answer counts only when the endpoint says that it is complete.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sightline_index::MAX_ANSWER_BYTES;

use super::prompt::Message;
use crate::config::{Answers, ConfigError};

/// The variable with the endpoint's key.
const KEY_VARIABLE: &str = "SIGHTLINE_ANSWERS_KEY";
const COMPLETIONS: &str = "/chat/completions";
/// Each piece of a streamed answer is wrapped in some hundred bytes.
const MAX_RESPONSE_BYTES: u64 = 16 << 20;

/// A configured model.
#[derive(Debug)]
pub struct Model {
    agent: ureq::Agent,
    url: String,
    name: String,
    key: Option<String>,
    max_tokens: u32,
}

/// Why there is no answer of a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The endpoint could not be reached, took too long, or broke off.
    #[error("the model's endpoint failed: {0}")]
    Unreachable(String),
    /// The endpoint refused.
    #[error("the model's endpoint answered with status {0}")]
    Status(u16),
    /// What it sent is no chat completion.
    #[error("the model's endpoint sent what is no chat completion")]
    Garbage,
    /// The answer ended before it was complete.
    #[error("the model's answer broke off")]
    CutOff,
    /// The answer is longer than an answer may be.
    #[error("the model's answer is too long")]
    TooLong,
    /// Nobody waits for the answer any more.
    #[error("nobody waits for the answer")]
    Unwanted,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message", default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

impl Model {
    /// The model of the settings. The key comes from the environment, else from the file that they name.
    ///
    /// # Errors
    /// When the key's file cannot be read.
    pub fn new(settings: &Answers) -> Result<Model, ConfigError> {
        let mut key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        if let (None, Some(path)) = (&key, &settings.key_file) {
            let read = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.clone(), source })?;
            key = Some(read.trim().to_owned());
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(settings.timeout_seconds)))
            .http_status_as_error(false)
            // A redirect would carry passages to another place.
            .max_redirects(0)
            .build()
            .new_agent();
        let base = settings.endpoint.trim_end_matches('/');
        let url = if base.ends_with(COMPLETIONS) { base.to_owned() } else { format!("{base}{COMPLETIONS}") };
        Ok(Model { agent, url, name: settings.model.clone(), key, max_tokens: settings.max_tokens })
    }

    /// Asks the model and hands on its answer piece by piece, until `each` is false.
    ///
    /// # Errors
    /// [`ModelError`]; what was handed on before is then no whole answer.
    pub fn answer(&self, messages: &[Message], mut each: impl FnMut(&str) -> bool) -> Result<(), ModelError> {
        let unreachable = |error: &dyn std::fmt::Display| ModelError::Unreachable(error.to_string());
        let mut request = self.agent.post(&self.url);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = json!({
            "model": self.name, "messages": messages, "max_tokens": self.max_tokens, "temperature": 0, "stream": true,
        });
        let mut response = request.send_json(body).map_err(|error| unreachable(&error))?;
        if response.status() != 200 {
            return Err(ModelError::Status(response.status().as_u16()));
        }
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let streams = kind.starts_with("text/event-stream");
        let body = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES);
        let mut said = 0;
        let mut hand_on = |text: &str| {
            said += text.len();
            match said > MAX_ANSWER_BYTES {
                true => Err(ModelError::TooLong),
                false if text.is_empty() || each(text) => Ok(()),
                false => Err(ModelError::Unwanted),
            }
        };
        if !streams {
            let whole = body.read_to_string().map_err(|error| unreachable(&error))?;
            let (text, finished) = read(&whole)?;
            hand_on(&text)?;
            return if finished { Ok(()) } else { Err(ModelError::CutOff) };
        }
        let mut lines = BufReader::new(body.reader());
        let (mut line, mut complete) = (String::new(), false);
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|error| unreachable(&error))? == 0 {
                return if complete { Ok(()) } else { Err(ModelError::CutOff) };
            }
            let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
            if data == "[DONE]" {
                return if complete { Ok(()) } else { Err(ModelError::CutOff) };
            }
            let (text, finished) = read(data)?;
            complete |= finished;
            hand_on(&text)?;
        }
    }
}

/// The text of a completion or of a piece of it, and whether it is the last.
fn read(data: &str) -> Result<(String, bool), ModelError> {
    let completion: Completion = serde_json::from_str(data).map_err(|_| ModelError::Garbage)?;
    // The last piece may tell what was used and have no choice.
    let Some(choice) = completion.choices.into_iter().next() else { return Ok((String::new(), false)) };
    let text = choice.delta.and_then(|delta| delta.content).unwrap_or_default();
    match choice.finish_reason.as_deref() {
        None => Ok((text, false)),
        Some("stop") => Ok((text, true)),
        Some(_) => Err(ModelError::CutOff),
    }
}
