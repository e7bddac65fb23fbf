//! What the tests share. Each test program uses its own part of it.
#![allow(dead_code)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod drawn;
pub mod files;
pub mod golden;
pub mod need;
pub mod tier;
