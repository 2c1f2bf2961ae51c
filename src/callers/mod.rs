//! Who calls. Identity is made here and nowhere else: credentials in, an [`Identity`] or a [`Refusal`] out.
//!
//! An identity names the app by its key, the [`Caller`](sightline_index::Caller) whose rights a search obeys, and what
//! the key may change. It is made anew for each request, so that a revoked key works no longer.

mod credentials;
mod identity;
mod refusal;

pub use identity::{Identity, Reach};
pub use refusal::Refusal;
