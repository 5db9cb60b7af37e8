//! The driver's pipeline cache, as bytes that a later run passes back to it, where the adapter supports that (Vulkan). Drivers trust these
//! bytes, so they are sealed: damaged or foreign data never reaches the driver.

use super::Gpu;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Largest cache that is kept, in bytes.
pub(crate) const MOST_KEPT: u64 = 64 << 20;

const MAGIC: &[u8; 20] = b"diffews pipelines 1\n";

/// Headers of wgpu and Vulkan that precede the data. A driver that keeps nothing writes only these.
const HEADERS: usize = 64 + 32;

impl Gpu {
    /// Starts keeping pipelines, and reuses those in `sealed`: the result of [`Gpu::pipelines_to_keep`] for the adapter, driver and program
    /// that `subject` names. Does nothing where the adapter does not support it, or on a second call.
    ///
    /// # Errors
    /// Why `sealed` is unusable; pipelines are kept nevertheless.
    pub(crate) fn keep_pipelines(&self, subject: &str, sealed: Option<&[u8]>) -> Result<(), String> {
        let (device, cache) = (&self.shared.device, &self.shared.pipelines.cache);
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) || cache.get().is_some() {
            return Ok(());
        }
        let opened = sealed.map(|sealed| opened(subject, sealed)).transpose();
        let data = opened.as_ref().ok().copied().flatten().flatten();
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data, fallback: true };
        // SAFETY: the seal proves that wgpu gave these bytes for such an adapter and driver; wgpu and the driver check both again.
        let made = self.guarded("keeping pipelines", 0, || unsafe { device.create_pipeline_cache(&descriptor) });
        let _ = cache.set(made.map_err(|error| error.to_string())?);
        opened.map(drop)
    }

    /// The sealed cache of all pipelines made so far. `None` where the driver keeps nothing or too much.
    pub(crate) fn pipelines_to_keep(&self, subject: &str) -> Option<Vec<u8>> {
        let data = self.shared.pipelines.cache.get()?.get_data()?;
        (data.len() > HEADERS && (data.len() as u64) < MOST_KEPT / 2).then(|| seal(subject, &data))
    }
}

fn hash(subject: &str, data: &[u8]) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    (subject, data).hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// `[magic, hash, bytes of the subject, subject, data]`.
fn seal(subject: &str, data: &[u8]) -> Vec<u8> {
    let length = (subject.len() as u64).to_le_bytes();
    [&MAGIC[..], &hash(subject, data), &length, subject.as_bytes(), data].concat()
}

/// The data; `None` if it belongs to another subject.
///
/// # Errors
/// It is damaged.
fn opened<'a>(subject: &str, sealed: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    let parts = || {
        let rest = sealed.strip_prefix(MAGIC)?;
        let (hash, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (of, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some((*hash, std::str::from_utf8(of).ok()?, data))
    };
    match parts() {
        Some((found, of, data)) if found == hash(of, data) => Ok((of == subject).then_some(data)),
        _ => Err("it is damaged or not from this program".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_of_the_same_subject_is_opened() {
        let sealed = seal("a GPU", b"machine code");
        assert_eq!(opened("a GPU", &sealed), Ok(Some(&b"machine code"[..])));
        assert_eq!(opened("another", &sealed), Ok(None));
        assert_eq!(opened("a GPU", &seal("a GPU", b"")), Ok(Some(&b""[..])));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(opened("a GPU", &changed).is_err(), "byte {at}");
            assert!(opened("a GPU", &sealed[..at]).is_err(), "{at} bytes");
        }
        // A length beyond the end.
        let mut long = sealed.clone();
        long[MAGIC.len() + 8..][..8].fill(0xff);
        assert!(opened("a GPU", &long).is_err() && opened("a GPU", b"").is_err());
        assert!(opened("a GPU", &[&sealed[..], b"more"].concat()).is_err());
    }

    /// The next device accepts what a driver keeps, and a damaged cache is not an error.
    #[test]
    fn a_device_takes_what_another_has_kept() {
        let open = || Gpu::new(&crate::environment::choice(None, None).unwrap()).expect("an adapter is present");
        let gpu = open();
        if !gpu.shared.device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return;
        }
        gpu.keep_pipelines("a", None).unwrap();
        gpu.submit("a beat", 0, |_| {}).unwrap();
        let data = gpu.shared.pipelines.cache.get().and_then(|cache| cache.get_data()).expect("Vulkan gives a header");
        println!("{} bytes are kept on {}", data.len(), gpu.facts().name);
        let next = open();
        next.keep_pipelines("a", Some(&seal("a", &data))).unwrap();
        next.submit("a beat", 0, |_| {}).unwrap();
        let broken = open();
        assert!(broken.keep_pipelines("a", Some(b"nonsense")).unwrap_err().contains("damaged"));
        broken.submit("a beat", 0, |_| {}).unwrap();
    }
}
