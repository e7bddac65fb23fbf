//! Unfinished work on disk: a line of JSON that says what it is, then words (u64, little endian), then a checksum of
//! everything before it.

use crate::io::{Checksum, open_file, write_atomically_with};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// Longest first line: an architecture of thousands of layers is shorter.
const LONGEST_HEADER: u64 = 1 << 24;

/// Why a file of unfinished work cannot be gone on from.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The file system refuses.
    Io(io::Error),
    /// Its first line is not that of unfinished work.
    Header,
    /// It is not what was written; in a few words, why.
    Damaged(&'static str),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the file ({error})"),
            Self::Header => f.write_str(
                "it is damaged or something else (its first line is not that of unfinished work); remove it or choose another \
                 place for the result",
            ),
            Self::Damaged(what) => write!(f, "it is damaged ({what}); remove it to start anew"),
        }
    }
}

/// Writes a file of unfinished work, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write_unfinished(path: &Path, header: &Value, words: impl IntoIterator<Item = u64>) -> io::Result<()> {
    let line = header.to_string() + "\n";
    write_atomically_with(path, |file| {
        file.write_all(line.as_bytes())?;
        let mut checksum = Checksum::default().bytes(line.as_bytes());
        for word in words {
            file.write_all(&word.to_le_bytes())?;
            checksum = checksum.word(word);
        }
        file.write_all(&checksum.value().to_le_bytes())
    })
}

/// A file of unfinished work, read word by word. Nothing of it counts before [`Unfinished::finish`] has seen the checksum.
pub(crate) struct Unfinished {
    /// What its first line says.
    pub header: Value,
    file: BufReader<File>,
    checksum: Checksum,
}

impl Unfinished {
    /// Opens a file and reads its first line; `None` if there is no file.
    ///
    /// # Errors
    /// [`Fault::Io`], [`Fault::Header`].
    pub fn open(path: &Path) -> Result<Option<Self>, Fault> {
        let mut file = match open_file(path) {
            Ok((file, _)) => BufReader::with_capacity(1 << 20, file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault::Io(error)),
        };
        let mut line = Vec::new();
        file.by_ref().take(LONGEST_HEADER).read_until(b'\n', &mut line).map_err(Fault::Io)?;
        let header = serde_json::from_slice(&line).map_err(|_| Fault::Header)?;
        Ok(Some(Self { header, file, checksum: Checksum::default().bytes(&line) }))
    }

    fn next(&mut self) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes).map_err(|_| Fault::Damaged("it is too short"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The next word.
    ///
    /// # Errors
    /// [`Fault::Damaged`]: there is none.
    pub fn word(&mut self) -> Result<u64, Fault> {
        let word = self.next()?;
        self.checksum = self.checksum.word(word);
        Ok(word)
    }

    /// Sees that what was read is all there is, and what was written.
    ///
    /// # Errors
    /// [`Fault::Damaged`]: it is not.
    pub fn finish(mut self) -> Result<(), Fault> {
        if self.next()? != self.checksum.value() || self.file.read(&mut [0]).map_err(Fault::Io)? > 0 {
            return Err(Fault::Damaged("its checksum is another"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(path: &Path, count: usize) -> Result<(Value, Vec<u64>), Fault> {
        let mut file = Unfinished::open(path)?.expect("the file is there");
        let words = (0..count).map(|_| file.word()).collect::<Result<_, _>>()?;
        let header = file.header.clone();
        file.finish().map(|()| (header, words))
    }

    #[test]
    fn what_was_written_is_read_and_every_changed_bit_and_length_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work");
        assert!(Unfinished::open(&path).unwrap().is_none());
        let (header, words) = (json!({"of": "this", "n": 3}), [1, u64::MAX, 7]);
        write_unfinished(&path, &header, words).unwrap();
        assert_eq!(read(&path, 3).unwrap(), (header, words.to_vec()));
        assert!(read(&path, 2).is_err() && read(&path, 4).is_err());
        let bytes = std::fs::read(&path).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &changed).unwrap();
            assert!(read(&path, 3).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path, 3).is_err(), "{length} bytes");
        }
        std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        assert!(matches!(read(&path, 3), Err(Fault::Damaged("its checksum is another"))));
    }
}
