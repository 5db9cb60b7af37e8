//! Opening foreign files without blocking, and reading them with a limit.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file, or a symbolic link to one, for reading. Refuses a pipe, device, socket or directory
/// without blocking.
///
/// # Errors
/// I/O errors; [`io::ErrorKind::InvalidInput`] if it is not a regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    // Opening may affect a device, so check first; check again after opening, because the path may have changed.
    regular(&fs::metadata(path)?)?;
    let file = at_once(OpenOptions::new().read(true), 0).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file of at most `most` bytes; `None` if it has more.
///
/// # Errors
/// As [`open_regular`].
pub(crate) fn read_regular(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    use io::Read;
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Opens or creates a regular file for writing and keeps its content. Refuses a symbolic link and anything else without
/// opening it or blocking.
///
/// # Errors
/// I/O errors; [`io::ErrorKind::InvalidInput`] if it is not a regular file.
#[cfg(any(feature = "eval", feature = "fetch", test))]
pub(crate) fn open_or_make(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(about) => regular(&about)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    let file = at_once(options.write(true).create(true).truncate(false), NO_LINK).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

#[cfg(all(unix, any(feature = "eval", feature = "fetch", test)))]
const NO_LINK: i32 = libc::O_NOFOLLOW;
#[cfg(all(not(unix), any(feature = "eval", feature = "fetch", test)))]
const NO_LINK: i32 = 0;

/// Adds the system's flag for opening without blocking, if it has one, and `more`.
#[cfg(unix)]
fn at_once(options: &mut OpenOptions, more: i32) -> &OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | more)
}

#[cfg(not(unix))]
fn at_once(options: &mut OpenOptions, _more: i32) -> &OpenOptions {
    options
}

fn regular(about: &Metadata) -> io::Result<()> {
    if about.is_file() { Ok(()) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_are_read_to_a_limit_and_others_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read_regular(&path, 4).unwrap(), None);
        assert_eq!(read_regular(dir.path(), 9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_regular(&dir.path().join("none"), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_there_stays_when_it_is_opened_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        drop(open_or_make(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        drop(open_or_make(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(open_or_make(dir.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_links_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let [pipe, link, dangling, victim] = ["pipe", "link", "dangling", "victim"].map(|n| dir.path().join(n));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        std::os::unix::fs::symlink(dir.path().join("new"), &dangling).unwrap();
        for path in [&pipe, Path::new("/dev/zero")] {
            assert_eq!(read_regular(path, 9).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", path.display());
            assert!(open_or_make(path).is_err(), "{}", path.display());
        }
        assert_eq!(read_regular(&link, 9).unwrap().as_deref(), Some(&b"mine"[..]));
        for path in [&link, &dangling] {
            assert!(open_or_make(path).is_err(), "{}", path.display());
            // Also if the link appears after the check.
            let opened = at_once(OpenOptions::new().write(true).create(true).truncate(false), NO_LINK).open(path);
            assert!(opened.is_err(), "{}", path.display());
        }
        assert!(!dir.path().join("new").exists());
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }
}
