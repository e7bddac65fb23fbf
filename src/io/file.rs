//! Files that are there whole or not at all, and reading of files that have an end.

use std::collections::BTreeSet;
use std::fs::{File, FileType, Metadata, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What the names of files that are being written begin with.
const TEMPORARY: &str = ".flatgauge-";
/// Links of a chain of symbolic links, beyond which it is called a circle (as Linux does).
const MOST_LINKS: usize = 40;

/// Writes `bytes` to a temporary file beside `path` and renames it into place, so that a crash or a
/// full disk leaves either the old file or the new one, never half of one.
///
/// A symbolic link is followed: the file it names is written. A file that is replaced keeps its permissions; a new one has
/// those that the user's mask leaves. Temporary files that killed runs left in the folder are removed.
///
/// # Errors
/// Those of the file system, or something other than a regular file at `path`; then `path` is as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// [`write_atomically`] of what `write` writes, piece by piece.
///
/// # Errors
/// Those of [`write_atomically`] and of `write`; then `path` is as it was.
pub fn write_atomically_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let target = Target::find(path)?;
    let mut file = target.temporary()?;
    let mut buffered = BufWriter::with_capacity(1 << 20, &mut file);
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    if let Some(permissions) = target.permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.persist(&target.path).map_err(|error| error.error)?;
    Ok(())
}

/// Sees that [`write_atomically`] could write `path`, before hours are spent on what goes into it.
///
/// # Errors
/// Those of [`write_atomically`].
pub fn check_writable(path: &Path) -> io::Result<()> {
    Target::find(path)?.temporary().map(drop)
}

/// All bytes of a regular file, of which there may be `most`.
///
/// # Errors
/// Those of the file system; something other than a regular file, as a device, which might have no end; a longer file.
pub fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open_file(path)?;
    let too_long = || refusal(format!("it has more than the {most} bytes that are read"));
    if length > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize)?;
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long()) } else { Ok(bytes) }
}

/// [`read_file`] of text.
///
/// # Errors
/// Those of [`read_file`]; bytes that are not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read_file(path, most)?)
        .map_err(|error| refusal(format!("it is not UTF-8 text from byte {} on", error.utf8_error().valid_up_to())))
}

/// Opens a regular file; also says how many bytes it has.
///
/// # Errors
/// Those of the file system; something other than a regular file.
pub fn open_file(path: &Path) -> io::Result<(File, u64)> {
    // Before it is opened: opening a pipe waits for a writer.
    check_regular(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn refusal(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(refusal(format!("it is {}, expected a regular file", name_of(kind))))
}

fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if kind.is_dir() { "a folder" } else { "something else" }
}

/// Where a file goes, behind symbolic links.
struct Target {
    path: PathBuf,
    folder: PathBuf,
    /// Those of the file that is replaced.
    permissions: Option<Permissions>,
}

impl Target {
    fn find(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        let mut links = 0;
        while path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(refusal("its symbolic links lead in a circle".to_owned()));
            }
            // What a link says is relative to its own folder.
            path = folder_of(&path).join(std::fs::read_link(&path)?);
        }
        if path.file_name().is_none() {
            return Err(refusal("it is a folder, expected a file".to_owned()));
        }
        let permissions = match std::fs::metadata(&path) {
            Ok(metadata) => {
                check_regular(&metadata)?;
                Some(metadata.permissions())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder_of(&path), path, permissions })
    }

    /// An empty file in the target's folder, locked for as long as it is open.
    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        remove_leftovers(&self.folder);
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY);
        #[cfg(unix)]
        {
            // Less what the user's mask takes away.
            use std::os::unix::fs::PermissionsExt;
            let mode = self.permissions.as_ref().map_or(0o666, |old| old.mode() & 0o666);
            builder.permissions(Permissions::from_mode(mode | 0o600));
        }
        loop {
            let file = builder.tempfile_in(&self.folder)?;
            // Where there are no locks nothing is removed either.
            let locked = !matches!(file.as_file().try_lock(), Err(std::fs::TryLockError::WouldBlock));
            // Another process may have taken it for a leftover before it was locked.
            if locked && file.path().exists() {
                return Ok(file);
            }
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Removes the temporary files of runs that were killed, once for each folder. A file that is being written is locked, and the
/// system unlocks it when its process ends, however it ends.
fn remove_leftovers(folder: &Path) {
    static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let first = SEEN.lock().expect("no thread panics with the lock").insert(folder.to_owned());
    if !first {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY));
        if is_temporary && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // What cannot be opened, locked or removed stays.
            if let Ok(file) = File::open(entry.path())
                && file.try_lock().is_ok()
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// `path` with `ending` behind its whole name: `a.npy` and `partial` give `a.npy.partial`. Names that differ stay different.
pub fn with_appended(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn leftovers_go_and_files_being_written_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path(".flatgauge-killed"), b"half").unwrap();
        std::fs::write(path(".flatgauge.toml"), b"another's").unwrap();
        std::fs::create_dir(path(".flatgauge-folder")).unwrap();
        let busy = File::create(path(".flatgauge-busy")).unwrap();
        busy.lock().unwrap();
        write_atomically(&path("a"), b"a").unwrap();
        assert_eq!(names(folder.path()), [".flatgauge-busy", ".flatgauge-folder", ".flatgauge.toml", "a"]);
    }

    #[test]
    fn many_writers_of_one_folder_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = folder.path().join(format!("file-{writer}"));
                scope.spawn(move || (0..50_u32).for_each(|k| write_atomically(&path, &k.to_le_bytes()).unwrap()));
            }
        });
        assert_eq!(names(folder.path()).len(), 8);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_written_through_and_other_things_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("inner")).unwrap();
        for (link, target) in [("link", "inner/file"), ("second", "link"), ("dangling", "inner/new"), ("loop", "loop")]
        {
            symlink(target, path(link)).unwrap();
        }
        std::fs::write(path("inner/file"), b"old").unwrap();
        std::fs::set_permissions(path("inner/file"), Permissions::from_mode(0o640)).unwrap();
        write_atomically(&path("second"), b"new").unwrap();
        assert!(path("link").is_symlink() && path("second").is_symlink());
        assert_eq!(std::fs::read(path("inner/file")).unwrap(), b"new");
        assert_eq!(path("inner/file").metadata().unwrap().permissions().mode() & 0o777, 0o640);
        write_atomically(&path("dangling"), b"new").unwrap();
        assert!(path("dangling").is_symlink() && path("inner/new").is_file());
        for (place, word) in [
            (path("loop"), "circle"),
            (path("inner"), "a folder"),
            (PathBuf::from("/dev/null"), "a device"),
            (path(".."), "a folder"),
        ] {
            let error = write_atomically(&place, b"x").unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert_eq!(check_writable(&place).unwrap_err().to_string(), error);
        }
        assert!(write_atomically(&path("none/file"), b"x").is_err());
        assert_eq!(names(folder.path()), ["dangling", "inner", "link", "loop", "second"]);
    }

    #[test]
    fn only_regular_files_of_bounded_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap(), b"12345");
        assert!(read_file(&path, 4).unwrap_err().to_string().contains("more than the 4 bytes"));
        std::fs::write(&path, b"ab\xff").unwrap();
        assert!(read_text(&path, 5).unwrap_err().to_string().contains("from byte 2 on"));
        assert!(read_file(folder.path(), 5).unwrap_err().to_string().contains("a folder"));
        #[cfg(unix)]
        assert!(read_file(Path::new("/dev/zero"), 5).unwrap_err().to_string().contains("a device"));
    }

    #[test]
    fn an_ending_is_appended() {
        assert_eq!(with_appended(Path::new("x/lr-0.05"), "partial"), Path::new("x/lr-0.05.partial"));
    }
}
