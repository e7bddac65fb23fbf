//! The size of mini-batches, and what it does to the correlations with generalisation.

use crate::study::grouped::{Variable, compare};
use crate::study::{Findings, Request, Study, StudyError, Workspace};

/// Rows of a mini-batch.
const VALUES: [usize; 5] = [8, 16, 32, 64, 128];
const QUICK_VALUES: [usize; 2] = [16, 64];

/// Registry entry.
pub(super) struct BatchSizeStudy;

impl Study for BatchSizeStudy {
    fn id(&self) -> &'static str {
        "batch_size"
    }

    fn summary(&self) -> &'static str {
        "flatness and log P(f) against generalisation for mini-batches of several sizes"
    }

    fn source(&self) -> &'static str {
        "Keskar et al. 2017 (batch size and sharpness); against log P(f), this program's own experiment"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        if let Some(batch) = request.batch {
            return Err(StudyError::Request {
                name: "batch",
                found: batch.to_string(),
                expected: "no batch size: this study compares several".to_owned(),
            });
        }
        let variable = Variable {
            study: self.id(),
            key: "batch_size",
            label: "batch size",
            values: if request.quick { &QUICK_VALUES } else { &VALUES },
            set: |_, settings, value| settings.trainer.batch_size = value,
        };
        compare(&variable, request, workspace)
    }
}
