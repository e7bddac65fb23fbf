//! The width of the network, and what it does to the correlations with generalisation.

use crate::study::grouped::{Variable, compare};
use crate::study::{Findings, Request, Study, StudyError, Workspace};

/// Units of each of the two hidden layers.
const VALUES: [usize; 5] = [10, 20, 40, 80, 160];
const QUICK_VALUES: [usize; 2] = [20, 80];

/// Registry entry.
pub(super) struct WidthStudy;

impl Study for WidthStudy {
    fn id(&self) -> &'static str {
        "width"
    }

    fn summary(&self) -> &'static str {
        "flatness and log P(f) against generalisation for networks of several widths"
    }

    fn source(&self) -> &'static str {
        "this program's own experiment: no source states it"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        request.refuse_architecture("fully connected ones of several widths")?;
        let variable = Variable {
            study: self.id(),
            key: "width",
            label: "width",
            values: if request.quick { &QUICK_VALUES } else { &VALUES },
            set: |setting, settings, value| settings.architecture = setting.fully_connected(value),
        };
        compare(&variable, request, workspace)
    }
}
