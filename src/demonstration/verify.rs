//! What `flatgauge verify` runs: the demonstration, then the gate.

use crate::demonstration::{Demonstration, DemonstrationError, demonstrate};
use crate::gate::{self, Context, Progress, Report};

/// The demonstration on digits, then the whole law book.
///
/// # Errors
/// [`DemonstrationError`], where the demonstration cannot be made at all.
pub fn verify(
    context: &Context,
    only: Option<&str>,
    command: &str,
    progress: Progress,
) -> Result<(Option<Demonstration>, Report), DemonstrationError> {
    let shown = demonstrate(context, only, command, &|what| progress(0, 0, what))?;
    let laws = gate::run(gate::registry(), context, only, command, progress);
    let (demonstration, mut outcomes) = shown.map_or((None, Vec::new()), |(shown, outcomes)| (Some(shown), outcomes));
    outcomes.extend(laws);
    Ok((demonstration, Report::new(outcomes, context.seed)))
}
