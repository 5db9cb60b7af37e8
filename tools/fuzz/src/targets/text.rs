//! Short texts: values of flags, and `diffews.json`.

use super::{Ran, Runner};
use diffews_wgpu::GuidedFilter;
use diffews_wgpu::eval::Shard;
use diffews_wgpu::settings::DiffewsJson;
use std::path::Path;

pub fn flag_seeds() -> Vec<Vec<u8>> {
    ["8", "8,1e-5", "0", "0/4", "3/4"].map(|s| s.as_bytes().to_vec()).to_vec()
}

pub fn open_flags(_: &Path) -> Runner {
    Box::new(|bytes, _| {
        let text = String::from_utf8_lossy(bytes);
        let filter = text.parse::<GuidedFilter>();
        assert!(filter.as_ref().is_ok_and(|f| f.radius <= 64 && f.epsilon.is_finite()) || filter.is_err());
        let shard = text.parse::<Shard>().map(|shard| shard.holds(3));
        Ran::new(filter.is_ok() || shard.is_ok())
    })
}

pub fn diffews_seeds() -> Vec<Vec<u8>> {
    let whole = r#"{"size": 256, "threshold": 0.25, "guided_filter": {"radius": 8, "epsilon": 1e-5}}"#;
    [whole, r#"{"absolute_threshold": 0.5}"#, "{}"].map(|s| s.as_bytes().to_vec()).to_vec()
}

pub fn open_diffews(_: &Path) -> Runner {
    Box::new(|bytes, _| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let parsed = DiffewsJson::parse(&text);
        if let Ok(parsed) = &parsed {
            assert!((1..=16_384).contains(&parsed.size_or_default()));
            assert!(parsed.threshold.is_none_or(|t| t.check().is_ok()), "a valid threshold");
        }
        Ran::new(parsed.is_ok())
    })
}
