//! Ports for servers of ours.

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;

/// The range is below that of outgoing connections: a client that keeps trying to reach a dead server there may be connected
/// to itself, and then the server cannot come back.
const LOWEST: u16 = 10_000;
const COUNT: u64 = 20_000;

/// A port of 127.0.0.1 that nobody listens on now.
///
/// # Panics
/// If there is none.
#[must_use]
pub(crate) fn free() -> u16 {
    // The one source of chance in the standard library.
    let random = RandomState::new();
    (0..1000)
        .filter_map(|attempt: u32| u16::try_from(random.hash_one(attempt) % COUNT).ok())
        .map(|offset| LOWEST + offset)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("one of a thousand ports is free")
}
