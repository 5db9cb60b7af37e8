//! What a driver made of pipelines, in a file for each adapter, where the driver gives it out. It may be anyone's: what cannot be read is
//! as good as nothing.

use crate::cache::{Subject, write};
use crate::files::read_regular;
use crate::gpu::{Gpu, MOST_KEPT};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Bytes of a file, at most: what is kept, and what it is sealed with.
const MOST: u64 = MOST_KEPT + 4096;

pub(super) struct KeptPipelines {
    path: PathBuf,
    subject: String,
    /// What the file holds, if it is of the adapter, its driver and this program.
    held: Mutex<Option<Vec<u8>>>,
}

impl KeptPipelines {
    /// Has `gpu` keep its pipelines, and take those of the file in `dir`; why it cannot take them, if so.
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

    /// Writes what is kept now, where that is more. Where it cannot be, pipelines are made anew the next time.
    pub fn write(&self, gpu: &Gpu) {
        let (Some(sealed), Ok(mut held)) = (gpu.pipelines_to_keep(&self.subject), self.held.lock()) else { return };
        // The same in another order is as long.
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
        // An adapter that offers nothing looks at nothing.
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
