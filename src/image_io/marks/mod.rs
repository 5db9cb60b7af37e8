//! A mask from a few marks on a picture: boxes, points and strokes. Colours inside and outside are learned from the marks, and a random
//! walker spreads them up to the picture's edges, as GrabCut does with a graph cut (Rother et al., SIGGRAPH 2004).

mod colours;
mod read;
mod seeds;
mod walker;

use super::{BoundingBox, ImageError, Mask, resize_bilinear_rgb, resize_map};
use colours::Histogram;
use image::RgbImage;
use seeds::Seeds;
use walker::Graph;

/// Most boxes of a picture: each is a pass over its small copy.
const MOST_BOXES: usize = 1000;

/// Longer side of the small copy to work on, in pixels: masks are used at the network's size, and edges are as clear there.
const SIDE: u32 = 256;
/// How often colours are learned again from the current mask.
const ROUNDS: usize = 4;
/// Weight of a pixel's own colour relative to its neighbours. Tuned on training scenes.
const PULL: f32 = 0.15;
/// The same for a marked pixel.
const CERTAIN: f32 = 1e3;
/// Most points of all strokes of a picture.
const MOST_POINTS: usize = 10_000;
/// Density of an unseen colour.
const UNSEEN: f32 = 1e-5;

/// The meaning of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The pixels belong to the thing.
    Inside,
    /// The pixels do not.
    Outside,
}

/// A line drawn on a picture, or a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    /// x and y in pixels from the picture's top left corner.
    pub points: Vec<[f32; 2]>,
    /// Width in pixels; by default 3 % of the picture's longer side.
    pub width: Option<f32>,
    pub mark: Mark,
}

/// A user's marks on a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Tight boxes around the thing.
    pub boxes: Vec<BoundingBox>,
    pub strokes: Vec<Stroke>,
    /// A mark or none for each pixel of the picture, `[height, width]`.
    pub painted: Option<Vec<Option<Mark>>>,
}

impl Marks {
    /// Makes a mask for `picture`. Without a box, unmarked pixels are more likely outside the farther they are from marks,
    /// and the picture's border is outside.
    ///
    /// # Errors
    /// [`ImageError::Marks`]: neither a box nor an inside mark, marks beyond the picture, or a thing that does not stand out.
    pub fn mask(&self, picture: &RgbImage) -> Result<Mask, ImageError> {
        let size = picture.dimensions();
        self.check(size).map_err(|reason| ImageError::Marks { reason })?;
        let (width, height) = small_size(size);
        let small = resize_bilinear_rgb(picture, width, height);
        let colours: Vec<[f32; 3]> = small.pixels().map(|p| p.0.map(|v| f32::from(v) / 255.0)).collect();
        let seeds = Seeds::new(self, size, (width as usize, height as usize));
        let values = spread(&colours, width as usize, &seeds);
        let enlarged = if (width, height) == size { values } else { resize_map(&values, (width, height), size)? };
        let mask = Mask::new(size.0, size.1, enlarged.iter().map(|&v| v > 0.5).collect())?;
        match mask.foreground().contains(&true) {
            true => Ok(mask),
            false => Err(ImageError::Marks { reason: "nothing stands out there; add a stroke along the thing".into() }),
        }
    }

    fn check(&self, (width, height): (u32, u32)) -> Result<(), String> {
        if self.boxes.len() > MOST_BOXES {
            return Err(format!("there are {} boxes; at most {MOST_BOXES} are allowed", self.boxes.len()));
        }
        let fits = |b: &&BoundingBox| {
            let end =
                |first: u32, length: u32, most: u32| length > 0 && first.checked_add(length).is_some_and(|e| e <= most);
            end(b.x, b.width, width) && end(b.y, b.height, height)
        };
        let picture = format!("the picture, which has {width} x {height} pixels");
        if let Some(b) = self.boxes.iter().find(|b| !fits(b)) {
            let (right, bottom) = (u64::from(b.x) + u64::from(b.width), u64::from(b.y) + u64::from(b.height));
            return Err(format!("the box {},{},{right},{bottom} is empty or outside {picture}", b.x, b.y));
        }
        let inside = |p: &[f32; 2]| (0.0..=width as f32).contains(&p[0]) && (0.0..=height as f32).contains(&p[1]);
        if let Some([x, y]) = self.strokes.iter().flat_map(|s| &s.points).find(|p| !inside(p)) {
            return Err(format!("the point {x},{y} is outside {picture}"));
        }
        if let Some(width) = self.strokes.iter().filter_map(|s| s.width).find(|w| !(w.is_finite() && *w > 0.0)) {
            return Err(format!("a stroke has an invalid width of {width} pixels"));
        }
        let points = self.strokes.iter().map(|s| s.points.len()).sum::<usize>();
        if points > MOST_POINTS {
            return Err(format!("strokes have {points} points; at most {MOST_POINTS} are allowed"));
        }
        let painted = self.painted.as_deref().unwrap_or_default();
        if self.painted.is_some() && painted.len() != width as usize * height as usize {
            return Err(format!("there are marks for {} pixels, which does not match {picture}", painted.len()));
        }
        let says =
            |mark| painted.contains(&Some(mark)) || self.strokes.iter().any(|s| s.mark == mark && !s.points.is_empty());
        match self.boxes.is_empty() && !says(Mark::Inside) {
            true => Err("nothing is marked as the thing; give a box, a point or a stroke on it".into()),
            false => Ok(()),
        }
    }
}

/// (width, height) of the small copy.
fn small_size((width, height): (u32, u32)) -> (u32, u32) {
    let longer = width.max(height);
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE)).div_ceil(u64::from(longer)) as u32;
    if longer <= SIDE { (width, height) } else { (scaled(width), scaled(height)) }
}

/// For each pixel the probability of being inside, from 0 to 1.
fn spread(colours: &[[f32; 3]], width: usize, seeds: &Seeds) -> Vec<f32> {
    let graph = Graph::new(colours, width);
    let marked = |mark: Option<Mark>| match mark {
        Some(Mark::Inside) => Some(1.0),
        Some(Mark::Outside) => Some(0.0),
        None => None,
    };
    let known: Vec<Option<f32>> = seeds.marks.iter().map(|&mark| marked(mark)).collect();
    let pull = |free: f32| -> Vec<f32> { known.iter().map(|k| if k.is_some() { CERTAIN } else { free }).collect() };
    let free = if seeds.boxed { 1.0 } else { 0.0 };
    let mut values: Vec<f32> = known.iter().map(|k| k.unwrap_or(free)).collect();
    if !seeds.boxed {
        // With strokes only, the reach of their colours is a first guess.
        let prior = values.clone();
        graph.relax(&pull(UNSEEN), &prior, &mut values);
    }
    for _ in 0..ROUNDS {
        let part = |inside: bool| {
            let weight = |(known, value): (&Option<f32>, &f32)| {
                let value = known.unwrap_or(f32::from(*value > 0.5));
                if inside { value } else { 1.0 - value }
            };
            Histogram::of(colours.iter().copied().zip(known.iter().zip(&values).map(weight)))
        };
        let (inside, outside) = (part(true), part(false));
        let likely = |(at, &colour): (usize, &[f32; 3])| {
            let ratio = (inside.density(colour) + UNSEEN) / (outside.density(colour) + UNSEEN);
            known[at].unwrap_or_else(|| 1.0 / (1.0 + (-(ratio.ln() + seeds.odds[at])).exp()))
        };
        let prior: Vec<f32> = colours.iter().enumerate().map(likely).collect();
        graph.relax(&pull(PULL), &prior, &mut values);
        if !values.iter().any(|&v| v > 0.5) {
            break;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// A red disc with a dark spot on a green ground that gets brighter.
    fn scene() -> (RgbImage, Mask) {
        let inside = |x: u32, y: u32| (x as f32 - 60.0).hypot(y as f32 - 50.0) < 25.0;
        let picture = RgbImage::from_fn(140, 110, |x, y| match (inside(x, y), x.abs_diff(60) + y.abs_diff(50) < 6) {
            (true, false) => Rgb([190 + (x * 7 + y * 3) as u8 % 20, 60, 50]),
            (true, true) => Rgb([90, 30, 30]),
            _ => Rgb([60, 120 + (x % 90) as u8, 70 + (y * 5 + x) as u8 % 16]),
        });
        let mask = Mask::new(140, 110, (0..140 * 110).map(|i| inside(i % 140, i / 140)).collect()).unwrap();
        (picture, mask)
    }

    fn iou(a: &Mask, b: &Mask) -> f64 {
        let both = |of: fn(bool, bool) -> bool| {
            a.foreground().iter().zip(b.foreground()).filter(|(a, b)| of(**a, **b)).count()
        };
        both(|a, b| a && b) as f64 / both(|a, b| a || b) as f64
    }

    #[test]
    fn a_box_a_point_and_strokes_find_the_disc() {
        let (picture, truth) = scene();
        let stroke = |points: &[[f32; 2]], mark| Stroke { points: points.to_vec(), width: None, mark };
        let boxed = Marks { boxes: vec![BoundingBox { x: 33, y: 23, width: 54, height: 54 }], ..Default::default() };
        let point = Marks { strokes: vec![stroke(&[[70.0, 60.0]], Mark::Inside)], ..Default::default() };
        let both = vec![
            stroke(&[[45.0, 50.0], [75.0, 50.0]], Mark::Inside),
            stroke(&[[10.0, 95.0], [120.0, 95.0], [120.0, 10.0]], Mark::Outside),
        ];
        let strokes = Marks { strokes: both, ..Default::default() };
        for (name, marks) in [("box", boxed), ("point", point), ("strokes", strokes)] {
            let made = marks.mask(&picture).unwrap();
            assert!(iou(&made, &truth) > 0.95, "{name}: {}", iou(&made, &truth));
            // Deterministic, and also for a larger picture.
            assert_eq!(made, marks.mask(&picture).unwrap());
        }
    }

    #[test]
    fn a_larger_picture_is_worked_at_in_small() {
        let (picture, truth) = scene();
        let large = resize_bilinear_rgb(&picture, 700, 550);
        let marks =
            Marks { boxes: vec![BoundingBox { x: 165, y: 115, width: 270, height: 270 }], ..Default::default() };
        let made = marks.mask(&large).unwrap();
        assert_eq!((made.size(), small_size((700, 550)), small_size((1, 100_000))), ((700, 550), (256, 202), (1, 256)));
        assert!(iou(&made, &crate::image_io::resize_nearest_mask(&truth, 700, 550)) > 0.95);
    }

    #[test]
    fn marks_that_say_nothing_or_lie_outside_are_refused() {
        let (picture, _) = scene();
        let told = |marks: Marks| marks.mask(&picture).unwrap_err().to_string();
        let at = |points: &[[f32; 2]], mark| Stroke { points: points.to_vec(), width: None, mark };
        let of = |strokes| Marks { strokes, ..Default::default() };
        assert!(told(Marks::default()).contains("nothing is marked"));
        assert!(told(of(vec![at(&[[1.0, 1.0]], Mark::Outside)])).contains("nothing is marked"));
        assert!(told(of(vec![at(&[[1.0, 111.0]], Mark::Inside)])).contains("the point 1,111"));
        assert!(told(of(vec![at(&[[f32::NAN, 1.0]], Mark::Inside)])).contains("NaN"));
        let boxed = |x, width| Marks { boxes: vec![BoundingBox { x, y: 0, width, height: 9 }], ..Default::default() };
        for marks in [boxed(100, 41), boxed(3, 0), boxed(u32::MAX, 2)] {
            assert!(told(marks).contains("the box"));
        }
        assert!(told(Marks { painted: Some(vec![None; 3]), ..Default::default() }).contains("3 pixels"));
    }

    #[test]
    fn one_colour_and_single_pixels_are_no_trouble() {
        for (width, height) in [(1, 1), (1, 9), (40, 1), (30, 20)] {
            let picture = RgbImage::from_pixel(width, height, Rgb([9, 9, 9]));
            let whole = Marks { boxes: vec![BoundingBox { x: 0, y: 0, width, height }], ..Default::default() };
            assert_eq!(whole.mask(&picture).unwrap().foreground_fraction(), 1.0);
        }
    }
}
