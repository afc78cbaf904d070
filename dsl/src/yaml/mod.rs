//! YAML text → a tree whose every word knows its place → typed specs, with every problem on the way.

mod decode;
mod node;
mod record;

pub(crate) use decode::{Decode, Decoder, Fields, peek};
pub(crate) use node::{Node, Value, read};
pub(crate) use record::{choice, record};
