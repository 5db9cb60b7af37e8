//! The classes to find: one without a name, or several with names.

use super::errors::usage;
use super::examples::{ExampleArgs, Kind, Planned};
use super::notes::Notes;
use super::report::Support;
use diffews_wgpu::BankFile;
use diffews_wgpu::image_io::{MOST_CLASSES, PictureOptions};
use std::path::{Path, PathBuf};

/// The banks of the command line.
#[derive(clap::Args)]
pub struct ClassArgs {
    /// Examples encoded by `bank encode`; several form one set, together with --support
    #[arg(long, value_name = "FILE.bank", num_args = 1.., help_heading = "What to find")]
    bank: Vec<PathBuf>,
    /// A class and its bank; with several classes each query is encoded once and gets a label map. --support NAME:IMAGE also names a class
    #[arg(long, value_name = "NAME=FILE.bank", num_args = 1.., value_parser = class, help_heading = "What to find")]
    class: Vec<(String, PathBuf)>,
}

/// A class and its examples.
pub struct Class {
    /// `None` for a single class without a name.
    pub name: Option<String>,
    /// A negative class: it keeps its pixels from the others and is not found itself. It is the last one, if any.
    pub negative: bool,
    pub banks: Vec<BankFile>,
    pub supports: Vec<Support>,
}

impl Class {
    pub fn shots(&self) -> usize {
        self.supports.len() + self.banks.iter().map(BankFile::shots).sum::<usize>()
    }
}

impl ClassArgs {
    /// Whether any of them has a name.
    pub fn are_named(&self) -> bool {
        !self.class.is_empty()
    }

    /// All files of banks.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.bank.iter().chain(self.class.iter().map(|(_, path)| path)).map(PathBuf::as_path)
    }

    /// Names of the classes in the order of the command line, classes of banks first. Reads no files.
    ///
    /// # Errors
    /// No example, or classes with and without names.
    pub fn names(&self, planned: &[Planned]) -> anyhow::Result<Vec<Option<String>>> {
        let named = self.class.iter().map(|(name, _)| Some(name.clone()));
        let unnamed = self.bank.iter().map(|_| None);
        let mut names: Vec<Option<String>> = Vec::new();
        let of_examples = planned.iter().filter_map(|example| match &example.kind {
            Kind::Thing(name) => Some(name.clone()),
            Kind::Negative => None,
        });
        for name in named.chain(unnamed).chain(of_examples) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > 1 && names.contains(&None) {
            return Err(usage(
                "some examples have a class and some do not: name the class of each, as --support cat:a.png or --class cat=a.bank",
            ));
        }
        if names.is_empty() {
            return Err(usage("--negative needs a --support, --bank, --class or --coco that shows what to find"));
        }
        let negatives = usize::from(planned.iter().any(|example| example.kind == Kind::Negative));
        let most = MOST_CLASSES - negatives;
        match names.len() > most {
            true => Err(usage(format!("{} classes are too many: the label map holds at most {most}", names.len()))),
            false => Ok(names),
        }
    }

    /// Reads all examples and banks.
    ///
    /// # Errors
    /// A file that cannot be read or is invalid.
    pub fn load(
        &self,
        (examples, planned): (&ExampleArgs, Vec<Planned>),
        told: (&mut PictureOptions, &mut Notes),
        quiet: bool,
        force: bool,
    ) -> anyhow::Result<Vec<Class>> {
        let empty = |name, negative| Class { name, negative, banks: Vec::new(), supports: Vec::new() };
        let mut classes: Vec<Class> = self.names(&planned)?.into_iter().map(|name| empty(name, false)).collect();
        if planned.iter().any(|example| example.kind == Kind::Negative) {
            classes.push(empty(None, true));
        }
        let mut of = |name: Option<&String>, negative: bool, add: &mut dyn FnMut(&mut Class)| {
            classes.iter_mut().filter(|c| c.name.as_ref() == name && c.negative == negative).for_each(add);
        };
        for (name, path) in
            self.class.iter().map(|(name, path)| (Some(name), path)).chain(self.bank.iter().map(|p| (None, p)))
        {
            let bank = BankFile::open(path)?;
            of(name, false, &mut |class| class.banks.push(bank.clone()));
        }
        for (kind, support) in examples.load(planned, told, quiet, force)? {
            let mut support = Some(support);
            let (name, negative) = match &kind {
                Kind::Thing(name) => (name.as_ref(), false),
                Kind::Negative => (None, true),
            };
            of(name, negative, &mut |class| class.supports.extend(support.take()));
        }
        Ok(classes)
    }
}

fn class(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("it must be a name and a file, as cat=cat.bank")?;
    match name.trim().is_empty() || path.is_empty() {
        true => Err("it must be a name and a file, as cat=cat.bank".into()),
        false => Ok((name.trim().to_owned(), path.into())),
    }
}
