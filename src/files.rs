//! Files that others have put there, read without a wait and without an end.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file to read it; a symbolic link to one is one. A pipe, a device, a socket or a directory is refused
/// without waiting for it.
///
/// # Errors
/// Whatever the system says, and [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    // Opening alone may do something to a device, so it is looked at first; what is opened may be another one by then.
    regular(&fs::metadata(path)?)?;
    let file = at_once(OpenOptions::new().read(true), 0).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// All of a regular file of at most `most` bytes; `None` where it has more.
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

/// Opens a regular file to write to it, or makes it; what it holds stays. Where `path` is a symbolic link or anything else,
/// nothing is opened, made or waited for.
///
/// # Errors
/// Whatever the system says, and [`io::ErrorKind::InvalidInput`] for what is no regular file.
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

/// With the system's flag for opening without a wait, where it has one, and `more`.
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
    io::Error::new(io::ErrorKind::InvalidInput, "is no regular file")
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
            // Nor where the link came up after it was looked for.
            let opened = at_once(OpenOptions::new().write(true).create(true).truncate(false), NO_LINK).open(path);
            assert!(opened.is_err(), "{}", path.display());
        }
        assert!(!dir.path().join("new").exists());
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }
}
