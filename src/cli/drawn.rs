//! Examples drawn at random from COCO annotations.

use super::errors::usage;
use diffews_wgpu::formats::read::coco::{Instances, Shot};
use diffews_wgpu::shown;
use std::path::{Component, Path, PathBuf};

#[derive(clap::Args)]
#[command(next_help_heading = "Examples from COCO")]
pub struct CocoArgs {
    /// Draw the examples at random from a COCO instances file
    #[arg(long, value_name = "instances.json", requires = "category")]
    pub coco: Option<PathBuf>,
    /// Category to draw; several are classes
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "coco")]
    category: Vec<String>,
    /// Examples of each category
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), requires = "coco")]
    shots: u16,
    /// Seed of the draw
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "coco")]
    seed: u64,
    /// Directory of the pictures [default: the file's own]
    #[arg(long, value_name = "DIR", requires = "coco")]
    coco_images: Option<PathBuf>,
}

/// A drawn picture, and its class if there are several.
pub struct Drawn {
    pub class: Option<String>,
    pub image: PathBuf,
    pub shot: Shot,
}

impl CocoArgs {
    /// Draws the examples. A single category is a class if other classes are `named`.
    ///
    /// # Errors
    /// An invalid file, or pictures outside the folder.
    pub fn draw(&self, named: bool) -> anyhow::Result<Vec<Drawn>> {
        let Some(path) = &self.coco else { return Ok(Vec::new()) };
        let folder = self.coco_images.as_deref().or(path.parent()).unwrap_or(Path::new(""));
        let instances = Instances::open(path)?;
        let mut all = Vec::new();
        for category in &self.category {
            let class = (named || self.category.len() > 1).then(|| category.clone());
            for shot in instances.draw(category, self.shots.into(), self.seed)? {
                let name = Path::new(shot.file_name());
                if name.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
                    let name = shown::text(shot.file_name());
                    return Err(usage(format!(
                        "{}: the picture {name} is outside the folder of pictures",
                        path.display()
                    )));
                }
                all.push(Drawn { class: class.clone(), image: folder.join(name), shot });
            }
        }
        Ok(all)
    }
}
