//! Chooses the files of a model: those that [`ModelFiles::open`](crate::weights::ModelFiles::open) would read.

use super::FetchError;
use super::address::{PUBLISHED_BASE, Repository};
use super::listing::Entry;
use crate::shown;
use crate::weights::{has_pickles, weights_in};
use std::collections::{BTreeMap, BTreeSet};

/// Directories that are no UNets, although their weights have the same file names.
const NO_UNETS: &[&str] = &["vae", "controlnet", "image_encoder", "safety_checker", "transformer"];
/// Largest config.json or similar file, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// Largest index of shards, in bytes.
const MAX_INDEX: u64 = 16 << 20;

/// A repository's files by their paths.
pub(super) struct Tree<'a> {
    repository: &'a Repository,
    files: BTreeMap<&'a str, &'a Entry>,
}

/// The files to fetch.
#[derive(Default)]
pub(super) struct Chosen<'a> {
    pub files: Vec<&'a Entry>,
    /// Indices of shards among them.
    pub indices: Vec<&'a Entry>,
    /// The directory with `vae/` in it; empty at the top.
    pub base: Option<String>,
    /// The UNet's directory, if it is not the base's own.
    pub unet: Option<String>,
}

/// The path of `name` in `dir`, which is empty at the top.
fn within(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A directory for messages.
fn named(dir: &str) -> String {
    if dir.is_empty() { "its top".into() } else { format!("`{dir}`") }
}

impl<'a> Tree<'a> {
    pub fn new(repository: &'a Repository, listing: &'a [Entry]) -> Result<Tree<'a>, FetchError> {
        let mut files = BTreeMap::new();
        let mut folded = BTreeSet::new();
        for entry in listing {
            // Names that differ only in case would be one file on some systems.
            if !folded.insert(entry.path.to_ascii_lowercase()) {
                let (address, reason) = (repository.listing(), format!("`{}` is in it twice", entry.path));
                return Err(FetchError::Listing { address, reason });
            }
            files.insert(entry.path.as_str(), entry);
        }
        Ok(Tree { repository, files })
    }

    fn absent(&self, reason: String) -> FetchError {
        FetchError::Absent { repository: self.repository.address(), reason }
    }

    /// Names of the files in a directory.
    fn names(&self, dir: &str) -> BTreeSet<String> {
        let inside = self.files.keys().filter(|path| parent(path) == dir && !path.is_empty());
        inside.map(|path| last(path).to_owned()).collect()
    }

    /// A JSON file of at most `most` bytes.
    fn small(&self, path: &str, most: u64) -> Result<&'a Entry, FetchError> {
        let entry = self.files.get(path).ok_or_else(|| self.absent(format!("there is no `{path}`")))?;
        if entry.size > most {
            return Err(self.absent(format!("`{path}` has {} bytes, more than the {most} of such a file", entry.size)));
        }
        Ok(entry)
    }

    /// The directories of UNets.
    fn unets(&self) -> Vec<&'a str> {
        let dirs = self.files.keys().filter(|path| last(path) == "config.json").map(|path| parent(path));
        let is_unet = |dir: &&str| {
            let names = self.names(dir);
            !NO_UNETS.contains(&last(dir)) && (weights_in(&names, "unet").is_some() || has_unet_pickles(&names))
        };
        dirs.filter(is_unet).collect()
    }

    fn base(&self) -> Result<Option<String>, FetchError> {
        let all: Vec<&str> = self.files.keys().filter_map(|path| path.strip_suffix("vae/config.json")).collect();
        let all: Vec<&str> =
            all.into_iter().filter_map(|p| if p.is_empty() { Some(p) } else { p.strip_suffix('/') }).collect();
        let preferred = all.iter().find(|dir| last(dir) == PUBLISHED_BASE || dir.is_empty());
        match (preferred, all.as_slice()) {
            (Some(dir), _) | (None, [dir]) => Ok(Some((*dir).to_owned())),
            (None, []) => Ok(None),
            _ => {
                let all: Vec<String> = all.iter().map(|dir| named(dir)).collect();
                let all = shown::first(&all, shown::MOST_TENSORS).join(", ");
                Err(self.absent(format!("it holds several models; fetch one by a repository of its own: {all}")))
            }
        }
    }

    /// The UNet of this name, else the base's own, else the only one.
    fn unet(&self, name: Option<&str>, base: Option<&str>) -> Result<&'a str, FetchError> {
        let all = self.unets();
        let told = || {
            let all: Vec<String> = all.iter().map(|dir| named(dir)).collect();
            let all = shown::first(&all, shown::MOST_TENSORS).join(", ");
            if all.is_empty() { "it holds no UNet".to_owned() } else { format!("its UNets are {all}") }
        };
        let Some(name) = name else {
            let own = base.map(|base| within(base, "unet"));
            return match (all.iter().find(|dir| Some(**dir) == own.as_deref()), all.as_slice()) {
                (Some(dir), _) | (None, [dir]) => Ok(dir),
                _ => Err(self.absent(format!("choose a UNet by its name: {}", told()))),
            };
        };
        let name = name.trim_matches('/');
        let inner = within(name, "unet");
        let exact = all.iter().find(|dir| **dir == name || **dir == inner);
        let ends = |dir: &&&str| {
            [name, &inner].iter().any(|end| dir.strip_suffix(end).is_some_and(|rest| rest.ends_with('/')))
        };
        let found: Vec<_> = exact.into_iter().chain(all.iter().filter(ends).filter(|_| exact.is_none())).collect();
        match found.as_slice() {
            [dir] => Ok(dir),
            [] => Err(self.absent(format!("there is no UNet `{}`; {}", shown::text(name), told()))),
            _ => Err(self.absent(format!("several UNets have the name `{}`; {}", shown::text(name), told()))),
        }
    }

    /// Adds a component's configuration and weights.
    fn component(&self, dir: &str, component: &str, chosen: &mut Chosen<'a>) -> Result<(), FetchError> {
        chosen.files.push(self.small(&within(dir, "config.json"), MAX_CONFIG)?);
        let names = self.names(dir);
        let Some(name) = weights_in(&names, component) else {
            let pickled = has_pickles(&names);
            let why = if pickled { ", only pickles, which are refused because they can run code" } else { "" };
            return Err(self.absent(format!("there are no weights in safetensors in {}{why}", named(dir))));
        };
        let path = within(dir, &name);
        if name.ends_with(".json") {
            chosen.indices.push(self.small(&path, MAX_INDEX)?);
        } else {
            chosen.files.extend(self.files.get(path.as_str()));
        }
        Ok(())
    }

    pub fn choose(&self, unet: Option<&str>) -> Result<Chosen<'a>, FetchError> {
        let base = self.base()?;
        let unet = self.unet(unet, base.as_deref())?;
        let own = base.as_ref().is_some_and(|base| within(base, "unet") == unet);
        let mut chosen = Chosen::default();
        self.component(unet, "unet", &mut chosen)?;
        // Files nearer to the UNet take precedence.
        let mut places: Vec<&str> = if own { Vec::new() } else { vec![unet] };
        if !own && last(unet) == "unet" {
            places.push(parent(unet));
        }
        places.extend(base.as_deref());
        let first =
            |name: &str| places.iter().map(|dir| within(dir, name)).find(|path| self.files.contains_key(path.as_str()));
        let prompt = first("empty_prompt.safetensors");
        chosen.files.extend(prompt.as_ref().and_then(|path| self.files.get(path.as_str())));
        for name in ["diffews.json", "scheduler/scheduler_config.json"] {
            if let Some(path) = first(name) {
                chosen.files.push(self.small(&path, MAX_CONFIG)?);
            }
        }
        if let Some(base) = &base {
            self.component(&within(base, "vae"), "vae", &mut chosen)?;
            if prompt.is_none() {
                self.component(&within(base, "text_encoder"), "text_encoder", &mut chosen)?;
            }
        }
        chosen.unet = (!own).then(|| unet.to_owned());
        chosen.base = base;
        Ok(chosen)
    }

    /// The shard of this name beside an index.
    pub fn shard(&self, index: &Entry, name: &str) -> Result<&'a Entry, FetchError> {
        let path = within(parent(&index.path), name);
        let absent =
            || self.absent(format!("`{}` names the shard `{}`, which does not exist", index.path, shown::text(name)));
        self.files.get(path.as_str()).copied().ok_or_else(absent)
    }
}

fn has_unet_pickles(names: &BTreeSet<String>) -> bool {
    has_pickles(names) && names.iter().any(|name| name.starts_with("diffusion_pytorch_model."))
}

#[cfg(test)]
mod tests {
    use super::super::address::{Mirrors, PUBLISHED};
    use super::*;

    /// Files, base and UNet.
    type Choice = (Vec<String>, Option<String>, Option<String>);

    fn chosen(paths: &[&str], unet: Option<&str>) -> Result<Choice, String> {
        let repository = Repository::new(PUBLISHED, &Mirrors::default()).unwrap();
        let entries: Vec<Entry> =
            paths.iter().map(|path| Entry { path: (*path).to_owned(), size: 9, sha256: None }).collect();
        let tree = Tree::new(&repository, &entries).map_err(|e| e.to_string())?;
        let chosen = tree.choose(unet).map_err(|e| e.to_string())?;
        let mut files: Vec<String> = chosen.files.iter().chain(&chosen.indices).map(|e| e.path.clone()).collect();
        files.sort();
        Ok((files, chosen.base, chosen.unet))
    }

    const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

    fn model(base: &str) -> Vec<String> {
        let own = |path: &str| within(base, path);
        let mut all =
            vec![own("vae/config.json"), own("text_encoder/config.json"), own("text_encoder/model.safetensors")];
        all.extend([own("scheduler/scheduler_config.json"), own(&format!("vae/{WEIGHTS}"))]);
        all
    }

    fn unet(dir: &str) -> Vec<String> {
        vec![format!("{dir}/config.json"), format!("{dir}/{WEIGHTS}")]
    }

    #[test]
    fn what_is_published_is_found_whatever_lies_beside_it() {
        let base = model(PUBLISHED_BASE);
        let mut wanted = [base.clone(), unet("incontext/unet")].concat();
        wanted.sort();
        let others =
            [unet(&format!("{PUBLISHED_BASE}/unet")), unet("coco_fold0/unet"), unet("other/incontext/unet")].concat();
        let more = ["README.md", "incontext/unet/notes.txt", "incontext/optimizer.bin"].map(String::from);
        let all = [base, unet("incontext/unet"), others, more.to_vec()].concat();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let (files, base, unet) = chosen(&all, Some("incontext")).unwrap();
        assert_eq!((files, base.as_deref(), unet.as_deref()), (wanted, Some(PUBLISHED_BASE), Some("incontext/unet")));
        assert!(chosen(&all, Some("none")).unwrap_err().contains("`coco_fold0/unet`"));
        // Without a name the base's own.
        assert_eq!(chosen(&all, None).unwrap().2, None);
    }

    #[test]
    fn a_model_at_the_top_and_a_unet_alone() {
        let mut all =
            [model(""), unet("unet"), vec!["empty_prompt.safetensors".into(), "diffews.json".into()]].concat();
        let (files, base, own) = chosen(&all.iter().map(String::as_str).collect::<Vec<_>>(), None).unwrap();
        all.retain(|path| !path.starts_with("text_encoder"));
        all.sort();
        assert_eq!((files, base.as_deref(), own), (all, Some(""), None));
        let alone = unet("deep/unet");
        let (files, base, own) = chosen(&alone.iter().map(String::as_str).collect::<Vec<_>>(), None).unwrap();
        assert_eq!((files, base, own.as_deref()), (alone, None, Some("deep/unet")));
    }

    #[test]
    fn what_cannot_be_used_is_told_before_it_is_fetched() {
        let strings = |all: &[String]| all.to_vec();
        let told = |all: Vec<String>| chosen(&all.iter().map(String::as_str).collect::<Vec<_>>(), None).unwrap_err();
        assert!(told(vec!["README.md".into()]).contains("no UNet"));
        let pickles = vec!["unet/config.json".into(), "unet/diffusion_pytorch_model.bin".into()];
        assert!(told(pickles).contains("pickles"));
        let twice = [unet("unet"), vec!["UNet/config.json".into()]].concat();
        assert!(told(strings(&twice)).contains("twice"));
        assert!(told([unet("a"), unet("b")].concat()).contains("`a`, `b`"));
        let several = [model("x"), model("y"), unet("x/unet")].concat();
        assert!(told(several).contains("several models"));
        let mut lacking = [model(""), unet("unet")].concat();
        lacking.retain(|path| path != "text_encoder/model.safetensors");
        assert!(told(lacking).contains("`text_encoder`"));
    }
}
