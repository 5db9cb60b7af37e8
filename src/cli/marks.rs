//! Marks on example pictures instead of masks.

use super::errors::usage;
use super::output;
use diffews_wgpu::image_io::{self, BoundingBox, ImageError, Mark, Marks, Mask, RgbImage, Stroke};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Marks, each for the example of a number from 1, or for the only example.
#[derive(clap::Args)]
#[command(next_help_heading = "Marks in place of masks")]
pub struct MarkArgs {
    /// Box around the thing: two corners in pixels from the top left. N is the number of the --support or --negative, from 1, if there
    /// are several
    #[arg(long = "box", value_name = "[N:]X0,Y0,X1,Y1", value_parser = boxed)]
    boxes: Vec<Of<BoundingBox>>,
    /// Point on the thing (+) or off it (-)
    #[arg(long = "point", value_name = "[N:]X,Y[,+|-]", value_parser = point)]
    points: Vec<Of<Stroke>>,
    /// Strokes: a picture of the same size with the thing in green or white and the rest in red, or JSON (docs/pictures.md)
    #[arg(long, value_name = "[N:]FILE.png|FILE.json", value_parser = scribble)]
    scribble: Vec<Of<PathBuf>>,
    /// Also write the masks made from marks (in DIR: <support>_mask.png)
    #[arg(long, value_name = "FILE.png|DIR")]
    save_mask: Option<PathBuf>,
}

/// A mark with the index of its example from 0, if given.
type Of<T> = (Option<usize>, T);

impl MarkArgs {
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.scribble.iter().map(|(_, path)| path.as_path())
    }

    /// Indices of the examples that have marks, of `count`.
    ///
    /// # Errors
    /// A mark for an example that does not exist.
    pub fn marked(&self, count: usize) -> anyhow::Result<BTreeSet<usize>> {
        let of_boxes = self.boxes.iter().map(|b| ("--box", b.0));
        let of_points = self.points.iter().map(|p| ("--point", p.0));
        let of_scribbles = self.scribble.iter().map(|s| ("--scribble", s.0));
        let all = of_boxes.chain(of_points).chain(of_scribbles);
        let index = |(flag, index): (&str, Option<usize>)| match index.or((count == 1).then_some(0)) {
            Some(index) if index < count => Ok(index),
            _ if count == 0 => Err(usage(format!("{flag} marks a --support or --negative; add one"))),
            Some(index) => Err(usage(format!("{flag} {}:...: there are only {count} examples", index + 1))),
            None => Err(usage(format!("{flag}: there are {count} examples; name one by its number, as {flag} 1:..."))),
        };
        let marked = all.map(index).collect::<anyhow::Result<BTreeSet<usize>>>()?;
        match (&self.save_mask, marked.is_empty()) {
            (Some(_), true) => Err(usage("--save-mask: there are no marks to make a mask from")),
            _ => Ok(marked),
        }
    }

    /// Checked paths for the masks made from marks.
    ///
    /// # Errors
    /// Paths that exist, and inputs of the run.
    pub fn places<'a>(
        &self,
        marked: &[&Path],
        inputs: impl Iterator<Item = &'a Path> + Clone,
    ) -> anyhow::Result<Vec<Option<PathBuf>>> {
        let Some(given) = &self.save_mask else { return Ok(vec![None; marked.len()]) };
        if marked.len() > 1 && !given.is_dir() {
            return Err(usage(format!(
                "--save-mask {}: there are several masks, so name a directory that exists",
                given.display()
            )));
        }
        let mut taken = BTreeSet::new();
        let place = |picture: &&Path| {
            let mut name = picture.file_stem().unwrap_or_default().to_owned();
            name.push("_mask.png");
            let path = if given.is_dir() { given.join(name) } else { given.clone() };
            if !taken.insert(path.clone()) {
                return Err(usage(format!("--save-mask: the masks of two pictures would go to {}", path.display())));
            }
            output::refuse_input_as_output(&path, inputs.clone())?;
            // The same mask of an earlier run may exist.
            image_io::check_output(&path, "png", true)?;
            Ok(Some(path))
        };
        marked.iter().map(place).collect()
    }

    /// The mask that the marks of an example give.
    ///
    /// # Errors
    /// Marks that give no mask, with the picture's name.
    pub fn mask(&self, index: usize, name: &Path, picture: &RgbImage) -> anyhow::Result<Mask> {
        let of = |given: &Option<usize>| given.is_none_or(|given| given == index);
        let mut marks = Marks {
            boxes: self.boxes.iter().filter(|b| of(&b.0)).map(|b| b.1).collect(),
            strokes: self.points.iter().filter(|p| of(&p.0)).map(|p| p.1.clone()).collect(),
            painted: None,
        };
        for (_, path) in self.scribble.iter().filter(|s| of(&s.0)) {
            marks.add_scribble(path, picture.dimensions())?;
        }
        marks.mask(picture).map_err(|error| match error {
            ImageError::Marks { reason } => usage(format!("{}: {reason}", name.display())),
            other => other.into(),
        })
    }
}

/// The number before a colon, from 1, and the rest.
fn numbered(text: &str) -> Result<(Option<usize>, &str), String> {
    let Some((number, rest)) = text.split_once(':') else { return Ok((None, text)) };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Ok((None, text));
    }
    match number.parse::<usize>() {
        Ok(number) if number > 0 => Ok((Some(number - 1), rest)),
        _ => Err("examples are counted from 1".into()),
    }
}

fn boxed(text: &str) -> Result<Of<BoundingBox>, String> {
    let (number, text) = numbered(text)?;
    let corners: Option<Vec<u32>> = text.split(',').map(|v| v.trim().parse().ok()).collect();
    match corners.as_deref() {
        Some(&[x, y, right, bottom]) if x < right && y < bottom => {
            Ok((number, BoundingBox { x, y, width: right - x, height: bottom - y }))
        }
        _ => Err("it must be two corners in whole pixels, the upper left one first, as 40,30,200,180".into()),
    }
}

fn point(text: &str) -> Result<Of<Stroke>, String> {
    let (number, text) = numbered(text)?;
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let mark = match parts.get(2) {
        None | Some(&"+") => Mark::Inside,
        Some(&"-") => Mark::Outside,
        Some(_) => return Err("a point may end in + (on the thing) or - (off it), as 120,80,-".into()),
    };
    let coordinate = |at: usize| parts.get(at).and_then(|v| v.parse::<f32>().ok()).filter(|v| v.is_finite());
    match (coordinate(0), coordinate(1), parts.len()) {
        (Some(x), Some(y), 2 | 3) => Ok((number, Stroke { points: vec![[x, y]], width: None, mark })),
        _ => Err("it must be a position in pixels, as 120,80 or 120,80,-".into()),
    }
}

fn scribble(text: &str) -> Result<Of<PathBuf>, String> {
    let (number, text) = numbered(text)?;
    if text.is_empty() { Err("it must be a file".into()) } else { Ok((number, text.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_as_users_write_them() {
        let corners = |text| boxed(text).map(|(n, b)| (n, b.x, b.y, b.width, b.height));
        assert_eq!(corners("1,2,4,8"), Ok((None, 1, 2, 3, 6)));
        assert_eq!(corners("2:1, 2, 4, 8"), Ok((Some(1), 1, 2, 3, 6)));
        for bad in ["", "1,2,3", "4,2,1,8", "1,2,1,8", "0:1,2,4,8", "x:1,2,4,8", "1.5,2,4,8", "-1,2,4,8"] {
            assert!(boxed(bad).is_err(), "{bad}");
        }
        let at = |text| point(text).map(|(n, s)| (n, s.points[0], s.mark));
        assert_eq!(at("3.5,4"), Ok((None, [3.5, 4.0], Mark::Inside)));
        assert_eq!(at("1:3,4,-"), Ok((Some(0), [3.0, 4.0], Mark::Outside)));
        for bad in ["", "3", "3,4,5", "nan,4", "3,4,+,1"] {
            assert!(point(bad).is_err(), "{bad}");
        }
        assert_eq!(scribble("2:a.png"), Ok((Some(1), "a.png".into())));
        assert_eq!(scribble("c:a.png"), Ok((None, "c:a.png".into())));
    }
}
