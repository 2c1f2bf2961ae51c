//! The ranking of a vector search alone, without texts and citations.

use super::query::{Mode, Query};
use super::rank::{Scope, rank};
use crate::access::Caller;
use crate::engine::Engine;
use crate::error::Result;
use crate::keyword::Question;
use crate::timestamp::Timestamp;

impl Engine {
    /// The chunks nearest to the query's vector among those that the caller may read, as (number, cosine), best first. For
    /// measuring; what an application needs is [`Engine::search`].
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for a query out of bounds.
    pub fn nearest(&self, caller: &Caller, query: &Query, now: Timestamp) -> Result<Vec<(u32, f32)>> {
        query.check(self.model().map_or(0, |model| model.dimensions))?;
        let (permit, view) = self.permit(caller, now);
        let scope = Scope::new(&self.state.read().access, &permit, &view, &query.filter);
        let ranked = rank(&scope, query, Mode::Vector, &Question::default(), query.limit)?;
        Ok(ranked.into_iter().map(|candidate| (candidate.chunk, candidate.score)).collect())
    }
}
