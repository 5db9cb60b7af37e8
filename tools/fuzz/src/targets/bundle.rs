//! Other inputs of `conformance`: the files of `conformance report`, and lists of ids and of expectations.

use super::{Ran, Runner, seeds};
use crate::mutate::{self, Source};
use diffews_wgpu::conformance::{Expectations, read_bundle, read_caselist};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::io::Read;
use std::path::Path;

/// The same limit as in the library.
const LONGEST: u64 = 512 << 20;

fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).take(LONGEST).read_to_end(&mut out).is_ok().then_some(out)
}

fn files(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let bytes = unpacked(bytes)?;
    let mut archive = tar::Archive::new(bytes.as_slice());
    let file = |entry: std::io::Result<tar::Entry<&[u8]>>| {
        let mut entry = entry.ok()?;
        let name = entry.path().ok()?.to_str()?.to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).ok()?;
        Some((name, bytes))
    };
    archive.entries().ok()?.map(file).collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut all = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        all.append_data(&mut header, name, bytes.as_slice()).ok()?;
    }
    all.into_inner().ok()?.finish().ok()
}

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    let Some(mut all) = files(input).filter(|all| !all.is_empty() && !source.once_in(8)) else {
        return mutate::bytes(input, source);
    };
    // Change the description or its data.
    let json = all.iter().position(|(name, _)| name == "case/case.json").filter(|_| !source.once_in(3));
    match json {
        Some(at) => mutate::json::mutate(&mut all[at].1, source),
        None => {
            let at = source.below(all.len());
            mutate::bytes(&mut all[at].1, source);
        }
    }
    if let Some(bytes) = packed(&all) {
        *input = bytes;
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![seeds::read("tests/golden/conformance/convert.tar.gz")]
}

pub fn open(_: &Path) -> Runner {
    Box::new(|bytes, file| {
        let allowed = 8 * unpacked(bytes).map_or(0, |bytes| bytes.len());
        let accepted = match read_bundle(file) {
            Ok(bundle) => !bundle.row().id.is_empty(),
            Err(error) => {
                let told = error.to_string();
                assert!(told.len() < 2000 && !told.contains('\n'), "{told}");
                false
            }
        };
        Ran { accepted, allowed }
    })
}

pub fn list_seeds() -> Vec<Vec<u8>> {
    let lists = [
        "# a driver's\nlanguage.numbers.plain.f32.exp,Fail\nlanguage.numbers.plain.f32.tanh,Crash,0.5\n",
        "language.numbers.plain.f32.exp\n\nkernels.conv2d.tiled-64.f32.1x1x1-1-linear\n",
        "^kernels\\..*\\.f16\\.\n(exp|tanh)$\n\\w{3,9}[a-z]+?\n",
    ];
    lists.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub fn open_lists(_: &Path) -> Runner {
    Box::new(|_, file| {
        let list = [file.to_owned()];
        let ids = read_caselist(file);
        let all = [
            ids.as_ref().map(|_| ()).map_err(ToString::to_string),
            Expectations::read(&list, &[], &[]).map(|_| ()).map_err(|e| e.to_string()),
            Expectations::read(&[], &list, &list).map(|_| ()).map_err(|e| e.to_string()),
        ];
        for told in all.iter().filter_map(|result| result.as_ref().err()) {
            assert!(!told.contains('\n'), "{told}");
        }
        // Sets of patterns have a limit of their own.
        Ran { accepted: all.iter().any(Result::is_ok), allowed: 256 << 20 }
    })
}
