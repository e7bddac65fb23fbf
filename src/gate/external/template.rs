//! Working examples of external estimators.

/// What an example is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// Python with numpy and scipy.
    Python,
    /// Python with PyTorch.
    Torch,
    /// Python with JAX.
    Jax,
}

/// A program that answers the protocol, to start from: it builds every architecture of the corpus and its loss.
pub fn template(language: Language) -> &'static str {
    match language {
        Language::Python => include_str!("templates/numpy.py"),
        Language::Torch => include_str!("templates/torch.py"),
        Language::Jax => include_str!("templates/jax.py"),
    }
}
