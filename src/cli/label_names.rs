//! Masks of several classes: names of their values.

use super::errors::usage;
use diffews_wgpu::image_io::{self, MOST_CLASSES};
use diffews_wgpu::shown;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file of names.
const MAX_BYTES: u64 = 1 << 20;
/// First lines that name the value 0.
const BACKGROUND: [&str; 3] = ["background", "__background__", "_background_"];

#[derive(clap::Args)]
#[command(next_help_heading = "Masks")]
pub struct LabelNames {
    /// Make each value of the masks except 0 and 255 a class
    #[arg(long, conflicts_with_all = ["mask_source", "invert_mask"])]
    pub all_values: bool,
    /// Names of the values from 1, one per line; a first line "background" names 0 [default: the values themselves]
    #[arg(long, value_name = "FILE.txt", requires = "all_values")]
    pub names: Option<PathBuf>,
    /// In labelme files, find the shapes with this label
    #[arg(long, value_name = "LABEL")]
    pub mask_label: Option<String>,
}

impl LabelNames {
    /// The values of a mask, and their names.
    ///
    /// # Errors
    /// A mask without values or with too many; names that cannot be read, or too few names.
    pub fn of(&self, mask: &Path) -> anyhow::Result<Vec<(u16, String)>> {
        let numbers = image_io::label_numbers(mask)?;
        let shown_mask = mask.display();
        match numbers.len() {
            0 => return Err(usage(format!("{shown_mask}: the mask has no values except 0 and 255"))),
            many if many > MOST_CLASSES => {
                return Err(usage(format!(
                    "{shown_mask}: the mask has {many} values, as a greyscale picture; a label map holds {MOST_CLASSES}"
                )));
            }
            _ => {}
        }
        let Some(file) = &self.names else {
            return Ok(numbers.into_iter().map(|number| (number, number.to_string())).collect());
        };
        let names = read(file)?;
        let named = |number: u16| match names.get(usize::from(number) - 1) {
            Some(name) if name.is_empty() => Err(usage(format!(
                "{}: the line for value {number}, which {shown_mask} uses, is empty",
                file.display()
            ))),
            Some(name) => Ok((number, name.clone())),
            None => Err(usage(format!(
                "{}: has {} names, but {shown_mask} has the value {number}",
                file.display(),
                names.len()
            ))),
        };
        numbers.into_iter().map(named).collect()
    }
}

/// The names from 1 on.
fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    // Refuse a pipe, which may never send anything.
    image_io::check_ordinary(path)?;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    let unusable = |reason: &str| usage(format!("{}: cannot be read as names: {reason}", path.display()));
    read.map_err(|error| unusable(&error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unusable("it has more than 1 MiB"));
    }
    let lines: Vec<String> = text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().to_owned()).collect();
    let skip = usize::from(lines.first().is_some_and(|first| BACKGROUND.contains(&first.to_lowercase().as_str())));
    let names: Vec<String> = lines.into_iter().skip(skip).collect();
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|name| !name.is_empty() && !seen.insert(name.as_str())) {
        Some(twice) => Err(usage(format!("{}: two lines have the name {}", path.display(), shown::text(twice)))),
        None => Ok(names),
    }
}
