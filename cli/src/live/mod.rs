//! What runs right now, as facts: asked of Kafka Connect, of sources and of the platform's Postgres, changing nothing.
//!
//! Nothing here judges. A question that gets no answer is a [`Trouble`] in the place of the answer, so that it hides no other.

pub(crate) mod connect;
pub(crate) mod platform;
mod postgres;
pub(crate) mod said;
pub(crate) mod secret;
pub(crate) mod source;
pub(crate) mod streams;
mod tls;
mod trouble;

pub(crate) use trouble::{Answer, Trouble};

use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;

/// What questions run on: they wait and do not compute.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("the runtime does not start: {error}")))
}
