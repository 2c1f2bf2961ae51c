//! Lanes: how many requests of one kind run and wait at the same time.
//!
//! Work runs on the blocking pool, never on the async executor. A lane that is full turns requests away at once rather
//! than let them pile up, and work that nobody waits for any more still counts until it ends.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::errors::Problem;

/// A bound on the requests of one kind.
#[derive(Debug)]
pub(super) struct Lane {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The right to run one piece of work, once it is its turn.
#[derive(Debug)]
pub(super) struct Place {
    running: Arc<Semaphore>,
    admitted: OwnedSemaphorePermit,
}

impl Lane {
    /// A lane on which `running` requests run and `waiting` more wait.
    pub(super) fn new(running: usize, waiting: usize) -> Lane {
        let limit = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Lane { admitted: limit(running.saturating_add(waiting)), running: limit(running) }
    }

    /// Takes a place; it is taken before the body is read, so that bodies are bounded too.
    ///
    /// # Errors
    /// The problem `overloaded` when the lane is full.
    pub(super) fn enter(&self) -> Result<Place, Problem> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
        Ok(Place { running: self.running.clone(), admitted })
    }

    /// Waits for a place, for work that is already bounded elsewhere.
    pub(super) async fn wait(&self) -> Result<Place, Problem> {
        let admitted = self.admitted.clone().acquire_owned().await.map_err(|_| Problem::overloaded())?;
        Ok(Place { running: self.running.clone(), admitted })
    }
}

impl Place {
    /// Runs `work` on the blocking pool when it is its turn.
    ///
    /// # Errors
    /// What `work` returns, or an internal problem when it panics.
    pub(super) async fn run<T, E>(self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let Place { running, admitted } = self;
        let turn = running.acquire_owned().await.map_err(|_| Problem::overloaded())?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((turn, admitted));
            result
        });
        match done.await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(Problem::internal(format!("a worker panicked: {error}"))),
        }
    }
}
