//! flatgauge
fn main() {}
