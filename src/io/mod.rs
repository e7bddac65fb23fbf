//! Files: written whole or not at all, read with a limit, and the checksum that guards unfinished work.

mod checksum;
mod file;

pub use checksum::Checksum;
pub use file::{
    check_writable, open_file, read_file, read_text, with_appended, write_atomically, write_atomically_with,
};
