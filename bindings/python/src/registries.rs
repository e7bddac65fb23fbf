//! What the registries hold.

use crate::errors::unusable;
use flatgauge::gate::Scope;
use flatgauge::{flatness, gate, kernel, prior, rescale};
use pyo3::prelude::*;
use serde_json::{Value, json};

/// Version of the package.
#[pyfunction]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The entries of a registry as a JSON list.
#[pyfunction]
pub fn registry(what: &str) -> PyResult<String> {
    let entries: Vec<Value> = match what {
        "laws" => {
            let scope = |scope| match scope {
                Scope::Every => "every",
                Scope::Generic => "generic",
                Scope::Certified => "certified",
                _ => "other",
            };
            let entry = |law: &&dyn gate::Law| json!({"id": law.id(), "statement": law.statement(), "scope": scope(law.scope())});
            gate::registry().iter().map(entry).collect()
        }
        "measures" => {
            let entry = |measure: &&dyn flatness::Measure| {
                json!({
                    "id": measure.id(), "summary": measure.summary(), "source": measure.source(),
                    "responses": measure.responses(), "is_stochastic": measure.is_stochastic(),
                })
            };
            flatness::registry().iter().map(entry).collect()
        }
        "methods" => {
            let entry = |method: &&dyn prior::LogProbMethod| {
                json!({
                    "id": method.id(), "summary": method.summary(), "source": method.source(),
                    "links": method.links(), "exactness": method.exactness(),
                })
            };
            prior::registry().iter().map(entry).collect()
        }
        "kernels" => {
            let entry = |method: &&dyn kernel::KernelMethod| {
                json!({
                    "id": method.id(), "summary": method.summary(), "source": method.source(), "kinds": method.kinds(),
                })
            };
            kernel::registry().iter().map(entry).collect()
        }
        "rescalings" => rescale::registry().iter().map(|r| json!({"id": r.id(), "summary": r.summary()})).collect(),
        other => return Err(unusable(format!("there is no registry '{other}'"))),
    };
    Ok(Value::from(entries).to_string())
}
