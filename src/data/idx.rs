//! The IDX format of MNIST: arrays of unsigned bytes.
//!
//! Two zero bytes, the type (0x08: unsigned bytes), the number of dimensions, each dimension as a
//! big-endian 32-bit number, and the entries row by row (LeCun, Cortes and Burges 1998).

use crate::data::bounded::read_exactly;
use std::io::Read;

/// Most entries that are read (1 GiB): twice the largest set of the family, EMNIST ByClass.
const MAX_ENTRIES: usize = 1 << 30;
/// Type code of unsigned bytes.
const UNSIGNED_BYTES: u8 = 0x08;

/// An IDX file whose header was read.
pub(crate) struct Idx<R> {
    reader: R,
    /// The dimensions, first the number of items.
    pub shape: Vec<usize>,
}

impl<R: Read> Idx<R> {
    /// Reads the header of an array of `dimensions` dimensions.
    pub fn open(mut reader: R, dimensions: u8) -> Result<Self, String> {
        let mut header = Vec::new();
        let length = 4 + 4 * u64::from(dimensions);
        reader.by_ref().take(length).read_to_end(&mut header).map_err(|error| format!("cannot be read ({error})"))?;
        let expected = [0, 0, UNSIGNED_BYTES, dimensions];
        if !header.starts_with(&expected) {
            let magic: String = header.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            return Err(format!(
                "starts with 0x{magic}, expected 0x{:08x} (IDX, unsigned bytes in {dimensions} dimensions)",
                u32::from_be_bytes(expected)
            ));
        }
        if header.len() < length as usize {
            return Err(format!("truncated: {} of the {length} bytes of the header", header.len()));
        }
        let shape: Vec<usize> = header[4..]
            .chunks_exact(4)
            .map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize)
            .collect();
        let entries = shape.iter().try_fold(1_usize, |product, extent| product.checked_mul(*extent));
        if entries.is_none_or(|entries| entries > MAX_ENTRIES) {
            return Err(format!("claims {shape:?} entries, more than the {MAX_ENTRIES} that are read"));
        }
        Ok(Self { reader, shape })
    }

    /// Reads all entries, after which the file must end.
    pub fn read(mut self) -> Result<Vec<u8>, String> {
        read_exactly(&mut self.reader, self.shape.iter().product())
    }
}
