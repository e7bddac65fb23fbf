//! log Phi and its hazard against mpmath (`golden/normal`).

use approx::assert_relative_eq;
use flatgauge::numeric::normal::{hazard, log_ndtr};
use serde_json::Value;

#[test]
fn log_phi_and_hazard_to_thirteen_digits() {
    let text = include_str!("../golden/normal/log_ndtr.json");
    let record: Value = serde_json::from_str(text).unwrap();
    let rows = record["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 44);
    for row in rows {
        let z = row["z"].as_f64().unwrap();
        let (expected, slope) = (row["log_ndtr"].as_f64().unwrap(), row["hazard"].as_f64().unwrap());
        assert_relative_eq!(log_ndtr(z), expected, max_relative = 1e-13, epsilon = f64::MIN_POSITIVE);
        assert_relative_eq!(hazard(z), slope, max_relative = 1e-13, epsilon = f64::MIN_POSITIVE);
    }
}
