//! The driver's pipeline cache, in a file for each adapter, if the driver has one. The file is untrusted: if it cannot be read, it is
//! ignored.

use crate::cache::{Subject, write};
use crate::files::read_regular;
use crate::gpu::{Gpu, MOST_KEPT};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Largest file in bytes: the cache and its seal.
const MOST: u64 = MOST_KEPT + 4096;

pub(super) struct KeptPipelines {
    path: PathBuf,
    subject: String,
    /// The file's content, if it belongs to the adapter, its driver and this program.
    held: Mutex<Option<Vec<u8>>>,
}

impl KeptPipelines {
    /// Makes `gpu` keep its pipelines and load those of the file in `dir`; returns the reason if they cannot be loaded.
    pub fn read(dir: &Path, gpu: &Gpu) -> (KeptPipelines, Option<String>) {
        let subject = Subject::of(gpu.facts());
        let path = dir.join(format!("pipelines-{:016x}.bin", subject.adapter_number()));
        let subject = subject.whole();
        let (held, fault) = match read_regular(&path, MOST) {
            Ok(Some(bytes)) => (Some(bytes), None),
            Ok(None) => (None, Some(format!("it has more than {MOST} bytes"))),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let refused = gpu.keep_pipelines(&subject, held.as_deref()).err();
        let fault = fault.or(refused).map(|fault| format!("{}: {fault}", path.display()));
        (KeptPipelines { path, subject, held: Mutex::new(held) }, fault)
    }

    /// Writes the cache if it has changed. If that fails, later runs compile the pipelines again.
    pub fn write(&self, gpu: &Gpu) {
        let (Some(sealed), Ok(mut held)) = (gpu.pipelines_to_keep(&self.subject), self.held.lock()) else { return };
        // The same content in another order has the same length.
        if held.as_ref().map(Vec::len) == Some(sealed.len()) {
            return;
        }
        match write(&self.path, &sealed) {
            Ok(()) => log::info!("{} bytes of pipelines are kept in {}", sealed.len(), self.path.display()),
            Err(error) => log::info!("pipelines are not kept: {error}"),
        }
        *held = Some(sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_is_none_is_a_word_and_no_error() {
        let gpu = || Gpu::new(&crate::environment::choice(None, None).unwrap()).expect("an adapter is present");
        let dir = tempfile::tempdir().unwrap();
        let (kept, fault) = KeptPipelines::read(dir.path(), &gpu());
        assert_eq!(fault, None, "not there yet");
        let path = kept.path;
        let keeps = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            let gpu = gpu();
            let (kept, fault) = KeptPipelines::read(dir.path(), &gpu);
            gpu.finish("nothing").unwrap();
            kept.write(&gpu);
            fault
        };
        // An adapter without a pipeline cache ignores the file.
        for text in [&b""[..], b"{}", &[0xff; 1000]] {
            assert!(keeps(text).is_none_or(|fault| fault.contains("pipelines-") && fault.contains("damaged")));
        }
        fs::File::create(&path).unwrap().set_len(MOST + 1).unwrap();
        assert!(KeptPipelines::read(dir.path(), &gpu()).1.unwrap().contains("more than"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let gpu = gpu();
        let (kept, fault) = KeptPipelines::read(dir.path(), &gpu);
        assert!(fault.unwrap().contains("regular file"));
        kept.write(&gpu);
        let (kept, fault) = KeptPipelines::read(Path::new("/dev/null/x"), &gpu);
        kept.write(&gpu);
        assert!(fault.is_some());
    }
}
