//! What can go wrong with the demonstration.

use std::error::Error;

/// A network of the demonstration that cannot be trained or measured at all.
#[derive(Debug, thiserror::Error)]
#[error("demonstration, network {network}: {source}")]
#[non_exhaustive]
pub struct DemonstrationError {
    /// Name of the network.
    network: String,
    /// What went wrong.
    source: Box<dyn Error + Send + Sync>,
}

impl DemonstrationError {
    /// Names the network that an error met.
    pub(super) fn of(network: &str) -> impl Fn(Box<dyn Error + Send + Sync>) -> Self + Copy {
        move |source| Self { network: network.to_owned(), source }
    }

    /// Name of the network.
    pub fn network(&self) -> &str {
        &self.network
    }
}
