//! Merges on a real Postgres by the real binary: real events, random histories, kills, bad input.
//!
//! One test binary, so that one private cluster serves all of it.

mod reference;
