//! JUnit's XML, which every CI shows.

use super::escape::escaped;
use crate::gate::{Report, Verdict};

/// The report as JUnit XML: one suite a law, one test case a check, named `estimator on case`.
pub fn junit(report: &Report) -> String {
    let counts = report.counts;
    let total = counts.pass + counts.fail + counts.skip;
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"flatgauge\" tests=\"{total}\" failures=\"{}\" \
         skipped=\"{}\" errors=\"0\">\n",
        counts.fail, counts.skip
    );
    let matrix = super::matrix::Matrix::new(report);
    for law in matrix.laws {
        let outcomes: Vec<_> = report.laws.iter().filter(|outcome| outcome.law == law).collect();
        let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
        text += &format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"0\">\n",
            escaped(law),
            outcomes.len(),
            count(Verdict::Fail),
            count(Verdict::Skip)
        );
        for outcome in outcomes {
            let name = format!("{} on {}", outcome.estimator, outcome.case);
            text += &format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(law), escaped(&name));
            let reason = escaped(&outcome.reason);
            text += &match outcome.verdict {
                Verdict::Pass => "/>\n".to_owned(),
                Verdict::Skip => format!("><skipped message=\"{reason}\"/></testcase>\n"),
                Verdict::Fail => format!(
                    ">\n      <failure message=\"{reason}\">{}</failure>\n    </testcase>\n",
                    escaped(&outcome.reproduce)
                ),
            };
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}
