//! Who may see what: principals, ACLs, the directory, and permits.
//!
//! The tables live in memory and mirror the catalog. A class is what documents with the same effective guards share
//! (source, labels, rule, section rule); a permit is the set of classes that one caller may read. A change to an ACL, a
//! container or a group touches one row here, whatever it covers.

mod acl;
mod aliases;
mod bits;
mod caller;
mod directory;
mod names;
mod permit;
mod principal;
mod review;
mod tables;
#[cfg(test)]
mod tests;
mod why;

pub use acl::{AclState, Grant, MAX_ACL_ENTRIES, Rule};
pub(crate) use bits::Bits;
pub use caller::{Caller, Guard};
pub use permit::Permit;
pub(crate) use permit::PermitCache;
pub use principal::{MAX_PRINCIPAL_ID_BYTES, Principal};
pub(crate) use review::HeldName;
pub(crate) use tables::{Access, Class, RuleNo};

/// Number of an ACL class. 0 is the class of dead chunks, which no permit admits.
pub(crate) type ClassNo = u32;
/// Number of a source.
pub(crate) type SourceNo = u32;
/// Number of an interned set of labels.
pub(crate) type LabelsNo = u32;

/// The class of chunks that no longer exist.
pub(crate) const DEAD: ClassNo = 0;
