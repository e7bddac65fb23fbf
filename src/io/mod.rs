//! Files: written whole or not at all, read with a limit, and unfinished work with the checksum that guards it.

mod checksum;
mod file;
mod unfinished;

pub use checksum::Checksum;
pub use file::{
    check_writable, open_file, read_file, read_text, with_appended, write_atomically, write_atomically_with,
};
pub(crate) use unfinished::{Fault, Unfinished, write_unfinished};
