//! Reading files that may be damaged or hostile: plain or gzip, never more bytes than expected.

use crate::data::DataError;
use crate::io::open_file;
use flate2::read::MultiGzDecoder;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// The first bytes of a gzip stream (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A [`DataError::File`].
pub(crate) fn fault(path: &Path, reason: impl Into<String>) -> DataError {
    DataError::File { path: path.display().to_string(), reason: reason.into() }
}

/// The contents of `reader`, unpacked if they are gzip.
pub(crate) fn unpacked<'a>(mut reader: impl Read + 'a) -> Result<Box<dyn Read + 'a>, String> {
    let mut start = Vec::new();
    let wanted = GZIP_MAGIC.len() as u64;
    reader.by_ref().take(wanted).read_to_end(&mut start).map_err(|error| format!("cannot be read ({error})"))?;
    let is_gzip = start == GZIP_MAGIC;
    let whole = Cursor::new(start).chain(reader);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) })
}

/// Opens a plain or gzip file.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let (file, _) = open_file(path).map_err(|error| fault(path, format!("cannot read the file ({error})")))?;
    unpacked(BufReader::new(file)).map_err(|reason| fault(path, reason))
}

/// Exactly `expected` bytes, after which the contents must end. Memory grows with what is really there.
pub(crate) fn read_exactly(reader: &mut dyn Read, expected: usize) -> Result<Vec<u8>, String> {
    let bytes = read_at_most(reader, expected)?;
    if bytes.len() < expected {
        return Err(format!("truncated: {} of {expected} bytes", bytes.len()));
    }
    Ok(bytes)
}

/// All bytes, of which there may be `most`.
pub(crate) fn read_at_most(reader: &mut dyn Read, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read ({error})"))?;
    if bytes.len() > most {
        return Err(format!("more than the expected {most} bytes"));
    }
    Ok(bytes)
}

/// The first of `folder/name` and `folder/name.gz` that exists.
pub(crate) fn find(folder: &Path, names: &[String]) -> Option<PathBuf> {
    names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]).find(|path| path.is_file())
}
