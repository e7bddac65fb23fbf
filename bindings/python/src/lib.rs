//! The extension module `flatgauge._flatgauge`: what the Python package needs of the crate, with numpy arrays and JSON in
//! between. Users see `python/flatgauge`, which documents and types all of it.

mod arrays;
mod command;
mod errors;
mod gate;
mod golden;
mod interrupt;
mod network;
mod numbers;
mod operator;
mod registries;
mod subject;

use pyo3::prelude::*;

#[pymodule]
mod _flatgauge {
    #[pymodule_export]
    use crate::command::main;
    #[pymodule_export]
    use crate::gate::Gate;
    #[pymodule_export]
    use crate::golden::{golden_file, golden_files};
    #[pymodule_export]
    use crate::network::{
        corpus_networks, layout, load_network, logits, read_architecture, rescaled, sample_network, save_network,
    };
    #[pymodule_export]
    use crate::numbers::{kernel_matrix, log_prob, log_prob_posterior, measured, pac_bayes_bound};
    #[pymodule_export]
    use crate::operator::{operator_dense, operator_eigenvalues, operator_spectrum, operator_trace};
    #[pymodule_export]
    use crate::registries::{registry, version};
}
