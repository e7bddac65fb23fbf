//! The header of NumPy's `.npy` format: a magic number, a version, and a Python dictionary that tells the array's type, order
//! and shape (NumPy Enhancement Proposal 1).

use std::io::Read;

/// The first bytes of every file.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest dictionary accepted; NumPy writes 118 bytes for plain arrays.
const MAX_HEADER_BYTES: u32 = 1 << 16;
/// Most entries accepted in one array (2 GiB as f64): larger claims are damage or attacks.
pub(super) const MAX_ENTRIES: u64 = 1 << 28;
/// Characters of a file that a message shows.
const SHOWN: usize = 40;

/// The type of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Uint,
    Bool,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NpyHeader {
    pub kind: Kind,
    /// Bytes of an entry.
    pub size: usize,
    pub big_endian: bool,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
    /// Bytes of magic number, version and dictionary.
    pub length: u64,
}

impl NpyHeader {
    /// Reads the header, whose array has at most [`MAX_ENTRIES`] entries.
    pub fn read(reader: &mut dyn Read) -> Result<Self, String> {
        let mut start = Vec::new();
        take(reader, 8, &mut start)?;
        if !start.starts_with(MAGIC) {
            return Err(r"not a NumPy array (it does not begin with \x93NUMPY)".to_owned());
        }
        let cut = || "not a NumPy array (its header is cut short)".to_owned();
        let version = *start.get(6).ok_or_else(cut)?;
        let wide = match version {
            1 => false,
            2 | 3 => true,
            other => return Err(format!("not a NumPy array (format version {other}, expected 1, 2 or 3)")),
        };
        let mut length = Vec::new();
        take(reader, if wide { 4 } else { 2 }, &mut length)?;
        let length = match *length.as_slice() {
            [a, b] if !wide => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => return Err(cut()),
        };
        if length > MAX_HEADER_BYTES {
            return Err(format!("not a NumPy array (a header of {length} bytes, expected at most {MAX_HEADER_BYTES})"));
        }
        let mut text = Vec::new();
        take(reader, u64::from(length), &mut text)?;
        if text.len() < length as usize {
            return Err(cut());
        }
        let fault = |reason: String| format!("not a NumPy array (its header {reason})");
        let mut header = Parser { text: &text, place: 0 }.header().map_err(fault)?;
        header.length = 8 + if wide { 4 } else { 2 } + u64::from(length);
        // Extents of 0 count as 1: memory is addressed by the others.
        let extents = header.shape.iter().map(|&extent| extent.max(1) as u64);
        let entries = extents.into_iter().try_fold(1_u64, |product, extent| product.checked_mul(extent));
        if entries.is_none_or(|entries| entries > MAX_ENTRIES) {
            return Err(format!("shape {:?} has more than {MAX_ENTRIES} entries, the most that is read", header.shape));
        }
        Ok(header)
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.shape.iter().product()
    }
}

fn take(reader: &mut dyn Read, most: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
    reader.take(most).read_to_end(bytes).map(drop).map_err(|error| format!("cannot be read ({error})"))
}

/// Reads the dictionary `{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }`.
struct Parser<'a> {
    text: &'a [u8],
    place: usize,
}

impl Parser<'_> {
    fn header(mut self) -> Result<NpyHeader, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.found(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let first = match key.as_str() {
                "descr" => descr.replace(self.descr()?).is_none(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                other => return Err(format!("has an unknown key '{}'", shown(other.as_bytes()))),
            };
            if !first {
                return Err(format!("has the key '{key}' twice"));
            }
            if !self.found(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        if self.peek().is_some() {
            return Err(format!("goes on behind its dictionary with '{}'", self.rest()));
        }
        let missing = |key: &str| format!("has no key '{key}'");
        let (kind, size, big_endian) = descr.ok_or_else(|| missing("descr"))?;
        Ok(NpyHeader {
            kind,
            size,
            big_endian,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            length: 0,
        })
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.place).is_some_and(u8::is_ascii_whitespace) {
            self.place += 1;
        }
        self.text.get(self.place).copied()
    }

    fn found(&mut self, character: u8) -> bool {
        let found = self.peek() == Some(character);
        self.place += usize::from(found);
        found
    }

    fn rest(&self) -> String {
        shown(&self.text[self.place..])
    }

    fn expect(&mut self, character: u8) -> Result<(), String> {
        match self.found(character) {
            true => Ok(()),
            false => Err(format!("has '{}' where '{}' is expected", self.rest(), char::from(character))),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(format!("has '{}' where a string is expected", self.rest())),
        };
        let inside = &self.text[self.place + 1..];
        let end = inside.iter().position(|byte| *byte == quote).ok_or_else(|| "has a string without end".to_owned())?;
        self.place += end + 2;
        Ok(String::from_utf8_lossy(&inside[..end]).into_owned())
    }

    fn word(&mut self) -> String {
        self.peek();
        let rest = &self.text[self.place..];
        let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
        self.place += end;
        String::from_utf8_lossy(&rest[..end]).into_owned()
    }

    fn boolean(&mut self) -> Result<bool, String> {
        let at = self.place;
        match self.word().as_str() {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => {
                self.place = at;
                Err(format!("has '{}' where True or False is expected", self.rest()))
            }
        }
    }

    /// A tuple of sizes; Python 2 wrote long integers as `2L`.
    fn shape(&mut self) -> Result<Vec<usize>, String> {
        self.expect(b'(')?;
        let mut shape = Vec::new();
        while !self.found(b')') {
            self.peek();
            let at = self.place;
            let word = self.word();
            let digits = word.strip_suffix('L').unwrap_or(&word);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let Some(extent) = digits.parse().ok().filter(|_| is_number) else {
                self.place = at;
                return Err(format!("has '{}' where a size is expected", self.rest()));
            };
            shape.push(extent);
            if !self.found(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn descr(&mut self) -> Result<(Kind, usize, bool), String> {
        if self.peek() == Some(b'[') {
            return Err("tells of records, expected plain numbers".to_owned());
        }
        let text = self.string()?;
        let (order, name) = match text.as_bytes() {
            [order @ (b'<' | b'>' | b'=' | b'|'), rest @ ..] => (*order, rest),
            rest => (b'=', rest),
        };
        let kind = match name {
            b"f2" | b"f4" | b"f8" => Kind::Float,
            b"i1" | b"i2" | b"i4" | b"i8" => Kind::Int,
            b"u1" | b"u2" | b"u4" | b"u8" => Kind::Uint,
            b"b1" | b"?" => Kind::Bool,
            _ => {
                let text = shown(text.as_bytes());
                return Err(format!("has type '{text}', expected an integer, float or boolean of 1 to 8 bytes"));
            }
        };
        let size = if kind == Kind::Bool { 1 } else { usize::from(name[1] - b'0') };
        Ok((kind, size, order == b'>' || order == b'=' && cfg!(target_endian = "big")))
    }
}

/// The beginning of a text from a file, harmless on a terminal.
fn shown(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(SHOWN).collect();
    text.trim_end().escape_debug().to_string()
}
