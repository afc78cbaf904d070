//! What arrived: where to cut, and the staged rows of a batch as typed events.
//!
//! [`cut`] and [`transaction`] decide up to which offset of each partition a batch goes, by what [`end`] reads; `position` says where
//! a row or an END stands at its source; [`events`] reads those rows once into a temporary
//! table per dataset; [`replay`], [`refusal`], [`fill`] and [`quarantine`] then mark and mend them, each only where
//! a check of the events says that there is something to do; [`delivery`] tells rows without a key apart, [`generation`] a topic
//! that was made again. `snapshot` finds the way on where rows can never be merged.

pub mod cut;
pub mod delivery;
pub mod end;
pub mod events;
pub mod fill;
pub mod generation;
pub(crate) mod key_cast;
pub mod missing;
pub(crate) mod position;
pub mod quarantine;
pub mod refusal;
pub mod replay;
pub mod resumed;
pub(crate) mod snapshot;
pub mod taken;
pub mod transaction;
pub mod truncate;
