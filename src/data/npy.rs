//! Reading of NumPy's `.npy` and `.npz` files: any integer, float or boolean type, C or Fortran order.

use super::bounded::fault;
use super::npy_header::{Kind, NpyHeader};
use crate::data::DataError;
use crate::io::open_file;
use ndarray::{Array2, ArrayD, IxDyn, ShapeBuilder};
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use zip::ZipArchive;

/// Bytes that are converted together.
const BLOCK: usize = 1 << 16;
/// Most bytes that one byte of a deflate stream unpacks to (Gailly and Adler's zlib: 1032).
const MOST_UNPACKED: u64 = 1032;

/// Says whether an array of a shape can be used, before its entries are read.
pub type Fits<'a> = &'a dyn Fn(&[usize]) -> Result<(), String>;

/// Reads a `.npy` file.
///
/// # Errors
/// [`DataError::File`]: missing, not `.npy`, truncated or too long, or of a type that is not a number.
pub fn read_npy(path: &Path) -> Result<ArrayD<f64>, DataError> {
    read_npy_that(path, &|_| Ok(()))
}

/// [`read_npy`] of an array whose shape `fits`.
///
/// # Errors
/// As [`read_npy`], or what is wrong with the shape.
pub fn read_npy_that(path: &Path, fits: Fits) -> Result<ArrayD<f64>, DataError> {
    let (file, length) = open_file(path).map_err(|error| fault(path, format!("cannot read the file ({error})")))?;
    read_array(&mut BufReader::new(file), length, fits).map_err(|reason| fault(path, reason))
}

/// Reads a `.npy` file in memory.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn parse_npy(bytes: &[u8]) -> Result<ArrayD<f64>, String> {
    read_array(&mut &*bytes, bytes.len() as u64, &|_| Ok(()))
}

/// Reads array `name` of an `.npz` file.
///
/// # Errors
/// [`DataError::File`]: as [`read_npy`], or the archive or the array in it is missing or damaged.
pub fn read_npz(path: &Path, name: &str) -> Result<ArrayD<f64>, DataError> {
    read_npz_that(path, name, &|_| Ok(()))
}

/// [`read_npz`] of an array whose shape `fits`.
///
/// # Errors
/// As [`read_npz`], or what is wrong with the shape.
pub fn read_npz_that(path: &Path, name: &str, fits: Fits) -> Result<ArrayD<f64>, DataError> {
    let (file, _) = open_file(path).map_err(|error| fault(path, format!("cannot read the file ({error})")))?;
    read_entry(&mut BufReader::new(file), name, fits).map_err(|reason| fault(path, reason))
}

/// The shape of array `name` of an `.npz` file; its entries are not read.
///
/// # Errors
/// As [`read_npz`].
pub(super) fn npz_shape(path: &Path, name: &str) -> Result<Vec<usize>, DataError> {
    let shape = std::cell::RefCell::new(None);
    let look = |found: &[usize]| {
        *shape.borrow_mut() = Some(found.to_vec());
        Err(String::new())
    };
    let outcome = read_npz_that(path, name, &look);
    match (shape.into_inner(), outcome) {
        (Some(shape), _) => Ok(shape),
        (None, Err(error)) => Err(error),
        (None, Ok(array)) => Ok(array.shape().to_vec()),
    }
}

/// Reads array `name` of an `.npz` archive in memory.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn parse_npz(bytes: &[u8], name: &str) -> Result<ArrayD<f64>, String> {
    read_entry(&mut Cursor::new(bytes), name, &|_| Ok(()))
}

/// The array's rows, further axes flattened; entries in C order are not copied.
///
/// # Panics
/// If the array has no axis.
pub fn rows_of(array: ArrayD<f64>) -> Array2<f64> {
    let shape: (usize, usize) = (array.shape()[0], array.shape()[1..].iter().product());
    // Fortran-ordered entries must not be read in memory order.
    let array = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
    array.into_shape_with_order(shape).expect("same number of entries")
}

/// What the directory of an archive says of a member.
struct Member {
    start: u64,
    name: Vec<u8>,
    packed: u64,
    unpacked: u64,
    checksum: u32,
}

fn read_entry<R: Read + Seek>(reader: &mut R, name: &str, fits: Fits) -> Result<ArrayD<f64>, String> {
    let file_name = format!("{name}.npy");
    let damaged = |what: &str| format!("array '{name}': the archive is damaged ({what})");
    let member = {
        let mut archive = ZipArchive::new(&mut *reader).map_err(|error| format!("not an .npz archive ({error})"))?;
        let arrays = archive.file_names().filter_map(|file| file.strip_suffix(".npy"));
        let mut names: Vec<String> = arrays.map(str::to_owned).collect();
        names.sort();
        names.truncate(20);
        let entry = archive
            .by_name(&file_name)
            .map_err(|error| format!("array '{name}' cannot be read ({error}); found {names:?}"))?;
        Member {
            start: entry.header_start(),
            name: entry.name_raw().to_vec(),
            packed: entry.compressed_size(),
            unpacked: entry.size(),
            checksum: entry.crc32(),
        }
    };
    check_local_header(reader, &member).map_err(|what| damaged(&what))?;
    if member.unpacked > MOST_UNPACKED * member.packed.saturating_add(1) {
        return Err(damaged("its size is more than its bytes can unpack to"));
    }
    let mut archive = ZipArchive::new(reader).map_err(|error| format!("not an .npz archive ({error})"))?;
    let mut entry = archive.by_name(&file_name).map_err(|error| damaged(&error.to_string()))?;
    read_array(&mut entry, member.unpacked, fits).map_err(|reason| format!("array '{name}': {reason}"))
}

/// The header before a member's bytes must say what the directory at the end says: of two names either may be the right one.
fn check_local_header<R: Read + Seek>(reader: &mut R, member: &Member) -> Result<(), String> {
    let mut fixed = [0; 30];
    reader
        .seek(SeekFrom::Start(member.start))
        .and_then(|_| reader.read_exact(&mut fixed))
        .map_err(|error| format!("a header cannot be read: {error}"))?;
    let word = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let double = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let mut name = vec![0; usize::from(word(26))];
    reader.read_exact(&mut name).map_err(|error| format!("a header cannot be read: {error}"))?;
    if name != member.name {
        return Err("directory and header name different members".to_owned());
    }
    // Bit 3: checksum and sizes follow the data; sizes of 2^32 - 1 stand elsewhere.
    let follows = word(6) & 8 != 0;
    let differs = |at: usize, value: u64| double(at) != u32::MAX && u64::from(double(at)) != value;
    let checksum_differs = double(14) != member.checksum;
    if !follows && (checksum_differs || differs(18, member.packed) || differs(22, member.unpacked)) {
        return Err("directory and header tell different sizes or checksums".to_owned());
    }
    Ok(())
}

/// Reads one array, after which `reader`, of `length` bytes in all, must end.
fn read_array(reader: &mut dyn Read, length: u64, fits: Fits) -> Result<ArrayD<f64>, String> {
    let header = NpyHeader::read(reader)?;
    fits(&header.shape)?;
    let (entries, size) = (header.entries(), header.size);
    let expected = header.length + (entries * size) as u64;
    if length < expected {
        let there = length.saturating_sub(header.length) / size as u64;
        return Err(format!("truncated after {there} of {entries} entries"));
    }
    let mut values = Vec::new();
    let no_memory = |_| format!("shape {:?} takes {} bytes of memory, more than there are", header.shape, 8 * entries);
    values.try_reserve_exact(entries).map_err(no_memory)?;
    let mut block = vec![0; BLOCK.min(entries * size)];
    while values.len() < entries {
        let wanted = block.len().min((entries - values.len()) * size);
        fill(reader, &mut block[..wanted]).map_err(|(there, reason)| {
            let there = values.len() + there / size;
            if reason.is_empty() {
                format!("truncated after {there} of {entries} entries")
            } else {
                format!("damaged after {there} of {entries} entries ({reason})")
            }
        })?;
        append(&header, &mut block[..wanted], &mut values)?;
    }
    // An archive compares its checksum when it is read to the end.
    let mut surplus = [0];
    match reader.read(&mut surplus) {
        Ok(0) => {}
        Ok(_) => {
            let surplus = length - expected;
            return Err(format!(
                "{surplus} bytes follow the array of {entries} entries, expected one array and no more"
            ));
        }
        Err(error) => return Err(format!("damaged ({error})")),
    }
    let shape = IxDyn(&header.shape).set_f(header.fortran_order);
    Ok(ArrayD::from_shape_vec(shape, values).expect("as many values were read as the shape holds"))
}

/// Fills `block`; else the bytes that were there, and why there were no more if that is known.
fn fill(reader: &mut dyn Read, block: &mut [u8]) -> Result<(), (usize, String)> {
    let mut there = 0;
    while there < block.len() {
        match reader.read(&mut block[there..]) {
            Ok(0) => return Err((there, String::new())),
            Ok(more) => there += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err((there, error.to_string())),
        }
    }
    Ok(())
}

/// Appends the entries of `block`, which is turned into little endian on the way.
fn append(header: &NpyHeader, block: &mut [u8], values: &mut Vec<f64>) -> Result<(), String> {
    if header.big_endian {
        block.chunks_exact_mut(header.size).for_each(<[u8]>::reverse);
    }
    fn all<const N: usize>(block: &[u8], values: &mut Vec<f64>, convert: impl Fn([u8; N]) -> f64) {
        values.extend(block.as_chunks().0.iter().map(|bytes| convert(*bytes)));
    }
    match (header.kind, header.size) {
        (Kind::Float, 2) => all(block, values, |bytes| half::f16::from_le_bytes(bytes).to_f64()),
        (Kind::Float, 4) => all(block, values, |bytes| f64::from(f32::from_le_bytes(bytes))),
        (Kind::Float, _) => all(block, values, f64::from_le_bytes),
        (Kind::Int, 1) => all(block, values, |bytes| f64::from(i8::from_le_bytes(bytes))),
        (Kind::Int, 2) => all(block, values, |bytes| f64::from(i16::from_le_bytes(bytes))),
        (Kind::Int, 4) => all(block, values, |bytes| f64::from(i32::from_le_bytes(bytes))),
        (Kind::Int, _) => all(block, values, |bytes| i64::from_le_bytes(bytes) as f64),
        (Kind::Uint, 1) => all(block, values, |bytes| f64::from(u8::from_le_bytes(bytes))),
        (Kind::Uint, 2) => all(block, values, |bytes| f64::from(u16::from_le_bytes(bytes))),
        (Kind::Uint, 4) => all(block, values, |bytes| f64::from(u32::from_le_bytes(bytes))),
        (Kind::Uint, _) => all(block, values, |bytes| u64::from_le_bytes(bytes) as f64),
        (Kind::Bool, _) => {
            if let Some(place) = block.iter().position(|byte| *byte > 1) {
                let entry = values.len() + place;
                return Err(format!("entry {entry} of an array of booleans is {}, expected 0 or 1", block[place]));
            }
            all(block, values, |[byte]| f64::from(byte));
        }
    }
    Ok(())
}
