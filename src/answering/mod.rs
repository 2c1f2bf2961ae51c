//! Answers by a language model over cited passages: what it is asked, and its endpoint. Off unless `[answers]` is set.
//!
//! What the model says is a draft: it reaches a caller only through the check of the engine, sentence by sentence.

mod model;
mod prompt;

pub use model::{Model, ModelError};
pub use prompt::{Message, messages};
