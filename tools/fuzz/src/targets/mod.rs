//! The fuzz targets: each is one way of files into the library. To add one, add a line to [`TARGETS`].

mod annotations;
mod bank;
mod bundle;
mod config;
mod eval;
mod pictures;
mod planted;
mod report;
mod seeds;
mod text;
mod weights;

use crate::mutate::{self, Source};
use std::path::{Path, PathBuf};

/// The result of one input.
pub struct Ran {
    /// It was read to the end without an error.
    pub accepted: bool,
    /// Bytes of memory beyond the general limit that its own header justifies.
    pub allowed: usize,
}

impl Ran {
    fn new(accepted: bool) -> Ran {
        Ran { accepted, allowed: 0 }
    }
}

/// A valid picture.
pub fn picture() -> PathBuf {
    seeds::repository("tests/golden/images/grey.png")
}

/// Runs one input: its bytes, and the file that holds them.
pub type Runner = Box<dyn FnMut(&[u8], &Path) -> Ran>;

pub struct Target {
    pub name: &'static str,
    pub about: &'static str,
    pub mutate: fn(&mut Vec<u8>, &mut Source),
    /// Made from files of the repository or by code, always the same.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Prepares a runner, in an empty directory.
    pub open: fn(&Path) -> Runner,
    /// Longest input that is kept for further changes.
    pub longest: usize,
}

pub const TARGETS: &[Target] = &[
    of_pictures("png", "PNG pictures, masks and class numbers", mutate::chunks::mutate, || seeds::pictures(b"\x89PNG")),
    of_pictures("jpeg", "JPEG pictures and masks", mutate::chunks::mutate, || seeds::pictures(b"\xff\xd8")),
    of_pictures("tiff", "TIFF pictures and masks", mutate::tiff::mutate, seeds::tiff),
    of_pictures("webp", "WebP pictures and masks", mutate::chunks::mutate, || seeds::pictures(b"RIFF")),
    of_pictures("bmp", "BMP pictures and masks", pictures::mutate_bmp, seeds::bmp),
    of_pictures("gif", "GIF pictures and masks", pictures::mutate_gif, seeds::gif),
    target(
        "resize",
        "resizing of pictures, masks and maps",
        mutate::bytes,
        pictures::resize_seeds,
        pictures::open_resize,
    ),
    target(
        "safetensors",
        "headers, and decoding of every tensor",
        mutate::safetensors::mutate,
        seeds::safetensors,
        weights::open,
    ),
    target("bank", "banks in files", mutate::safetensors::mutate, bank::seeds, bank::open),
    target(
        "shards",
        "the index of a sharded component",
        mutate::json::mutate,
        weights::index_seeds,
        weights::open_shards,
    ),
    target("config", "configurations of whole models, their plans", mutate::json::mutate, config::seeds, config::open),
    target(
        "layers",
        "tensors of whole models, their constants",
        mutate::json::mutate,
        config::layer_seeds,
        config::open_layers,
    ),
    target("diffews", "diffews.json", mutate::json::mutate, text::diffews_seeds, text::open_diffews),
    target("episodes", "files of episodes", mutate::json::mutate, eval::episodes_seeds, eval::open_episodes),
    target(
        "results",
        "results, merging, tables and sums",
        mutate::json::mutate_lines,
        eval::results_seeds,
        eval::open_results,
    ),
    target("coco", "COCO's instances", mutate::json::mutate, annotations::coco_seeds, annotations::open_coco),
    target("labelme", "labelme's files", mutate::json::mutate, annotations::labelme_seeds, annotations::open_labelme),
    target(
        "label-studio",
        "regions of Label Studio's annotations",
        mutate::json::mutate,
        annotations::label_studio_seeds,
        annotations::open_label_studio,
    ),
    target(
        "strokes",
        "strokes on a picture",
        mutate::json::mutate,
        annotations::strokes_seeds,
        annotations::open_strokes,
    ),
    target("rows", "TIFF pictures by rows", mutate::tiff::mutate, seeds::tiff, pictures::open_rows),
    target("report", "conformance reports: joined, compared, written", report::mutate, report::seeds, report::open),
    Target {
        longest: 1 << 17,
        ..target("bundle", "cases of conformance report", bundle::mutate, bundle::seeds, bundle::open)
    },
    target("lists", "lists of ids and of expectations", mutate::bytes, bundle::list_seeds, bundle::open_lists),
    target("flags", "what stands behind flags", mutate::bytes, text::flag_seeds, text::open_flags),
];

/// Not in the list, because it is faulty on purpose.
static PLANTED: Target = target("planted", "", mutate::bytes, Vec::new, planted::open);

/// The target of a name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().chain([&PLANTED]).find(|t| t.name == name)
}

const fn target(
    name: &'static str,
    about: &'static str,
    mutate: fn(&mut Vec<u8>, &mut Source),
    seeds: fn() -> Vec<Vec<u8>>,
    open: fn(&Path) -> Runner,
) -> Target {
    Target { name, about, mutate, seeds, open, longest: 1 << 15 }
}

const fn of_pictures(
    name: &'static str,
    about: &'static str,
    mutate: fn(&mut Vec<u8>, &mut Source),
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    target(name, about, mutate, seeds, pictures::open)
}
