//! The `flatgauge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    flatgauge::cli::run()
}
