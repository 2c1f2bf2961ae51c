//! The answer to a write.

use serde::Serialize;
use sightline_index::{AclState, Outcome, Receipt};

use super::errors::Problem;

/// A receipt as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ReceiptBody {
    seq: u64,
    epoch: u64,
    outcome: &'static str,
    /// Of documents alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acl_state: Option<AclState>,
    /// Why an ACL withholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    acl_problem: Option<String>,
}

impl ReceiptBody {
    /// The answer to a receipt.
    ///
    /// # Errors
    /// Not found, when the write found nothing to change.
    pub(super) fn of(receipt: Receipt) -> Result<ReceiptBody, Problem> {
        let outcome = match receipt.outcome {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
            Outcome::Deleted => "deleted",
            Outcome::Missing => return Err(Problem::not_found()),
        };
        let (acl_state, acl_problem) = receipt.acl.unzip();
        Ok(ReceiptBody {
            seq: receipt.seq,
            epoch: receipt.epoch,
            outcome,
            version: Some(receipt.version).filter(|version| *version > 0),
            acl_state,
            acl_problem: acl_problem.filter(|problem| !problem.is_empty()),
        })
    }
}
