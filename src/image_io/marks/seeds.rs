//! Marks as pixels of the picture's small copy.

use super::{Mark, Marks};
use std::ops::Range;

/// Radius of a point without a width, as a part of the picture's longer side.
const POINT: f32 = 0.015;
/// Log odds that the middle of a box belongs to the thing, and how much they fall at the edge of the
/// inscribed ellipse. Tuned on training scenes, like the two below.
const IN_BOX: [f32; 2] = [2.0, 2.0];
/// The same around points and strokes without a box, with a quarter of the longer side instead of the ellipse.
const NEAR_MARK: [f32; 2] = [1.0, 2.0];
const NEAR: f32 = 0.25;

/// Prior knowledge of each pixel.
pub(super) struct Seeds {
    /// `[height, width]`
    pub marks: Vec<Option<Mark>>,
    /// Log odds that a pixel belongs to the thing, from its position.
    pub odds: Vec<f32>,
    /// Whether boxes limit the thing.
    pub boxed: bool,
}

impl Seeds {
    /// For a copy of (width, height) pixels of a picture of size `of`.
    pub fn new(marks: &Marks, of: (u32, u32), (width, height): (usize, usize)) -> Seeds {
        let scale = [width as f32 / of.0 as f32, height as f32 / of.1 as f32];
        let place = |at: usize| [(at % width) as f32 + 0.5, (at / width) as f32 + 0.5];
        let boxed = !marks.boxes.is_empty();
        let mut seeds =
            Seeds { marks: vec![None; width * height], odds: vec![f32::NEG_INFINITY; width * height], boxed };
        for b in &marks.boxes {
            let (left, top) = (b.x as f32 * scale[0], b.y as f32 * scale[1]);
            let half = [b.width as f32 * scale[0] / 2.0, b.height as f32 * scale[1] / 2.0];
            let middle = [left + half[0], top + half[1]];
            // Even a small box covers a pixel.
            let half = half.map(|side| side.max(0.5));
            for (at, odds) in seeds.odds.iter_mut().enumerate() {
                let away: [f32; 2] = std::array::from_fn(|axis| (place(at)[axis] - middle[axis]) / half[axis]);
                if away.iter().all(|a| a.abs() <= 1.0) {
                    let far = away[0] * away[0] + away[1] * away[1];
                    *odds = odds.max(IN_BOX[0] - IN_BOX[1] * far);
                }
            }
        }
        if boxed {
            let outside = seeds.odds.iter().map(|odds| (*odds == f32::NEG_INFINITY).then_some(Mark::Outside));
            seeds.marks = outside.collect();
        }
        if let Some(painted) = &marks.painted {
            // If several marks fall on a pixel of the copy, the last one counts.
            for (at, mark) in painted.iter().enumerate().filter(|(_, mark)| mark.is_some()) {
                let [x, y] = [at % of.0 as usize, at / of.0 as usize];
                let near = |at: usize, axis: usize, most: usize| ((at as f32 * scale[axis]) as usize).min(most - 1);
                seeds.marks[near(y, 1, height) * width + near(x, 0, width)] = *mark;
            }
        }
        let least = POINT * width.max(height) as f32;
        for stroke in &marks.strokes {
            let points: Vec<[f32; 2]> = stroke.points.iter().map(|p| [p[0] * scale[0], p[1] * scale[1]]).collect();
            let radius = stroke.width.map_or(least, |width| width * scale[0].max(scale[1]) / 2.0).max(0.75);
            let ends = points.windows(2).map(|ends| [ends[0], ends[1]]);
            for [from, to] in ends.chain(points.first().map(|&p| [p, p])) {
                // Visit only pixels near the line: strokes have many.
                let reach = |axis: usize, most: usize| -> Range<usize> {
                    let (low, high) = (from[axis].min(to[axis]) - radius, from[axis].max(to[axis]) + radius);
                    low.max(0.0) as usize..((high + 1.0).max(0.0) as usize).min(most)
                };
                for y in reach(1, height) {
                    for x in reach(0, width) {
                        let at = y * width + x;
                        if distance(place(at), from, to) <= radius {
                            seeds.marks[at] = Some(stroke.mark);
                        }
                    }
                }
            }
        }
        if !boxed {
            seeds.surround(width, height);
        }
        seeds
    }

    /// Without a box: the thing is near inside marks, and reaches the picture's border only where it is marked there.
    fn surround(&mut self, width: usize, height: usize) {
        let unit = NEAR * width.max(height) as f32;
        let far = squared_distances(&self.marks, width, height);
        for (odds, far) in self.odds.iter_mut().zip(far) {
            *odds = NEAR_MARK[0] - NEAR_MARK[1] * far / (unit * unit);
        }
        for (at, mark) in self.marks.iter_mut().enumerate().filter(|(_, mark)| mark.is_none()) {
            let (x, y) = (at % width, at / width);
            if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
                *mark = Some(Mark::Outside);
            }
        }
    }
}

/// Squared distance of each pixel to the nearest inside mark: first along columns, then along rows.
fn squared_distances(marks: &[Option<Mark>], width: usize, height: usize) -> Vec<f32> {
    let mut columns = vec![f32::INFINITY; marks.len()];
    for x in 0..width {
        for rows in [&mut (0..height) as &mut dyn Iterator<Item = usize>, &mut (0..height).rev()] {
            let mut last = f32::INFINITY;
            for y in rows {
                let at = y * width + x;
                last = if marks[at] == Some(Mark::Inside) { 0.0 } else { last + 1.0 };
                columns[at] = columns[at].min(last);
            }
        }
    }
    let nearest = |at: usize| {
        let (x, y) = (at % width, at / width);
        (0..width)
            .map(|other| columns[y * width + other].powi(2) + (x.abs_diff(other) as f32).powi(2))
            .fold(f32::INFINITY, f32::min)
    };
    (0..marks.len()).map(nearest).collect()
}

/// Distance of a point from a segment.
fn distance(point: [f32; 2], from: [f32; 2], to: [f32; 2]) -> f32 {
    let [along, to_point] = [to, point].map(|p| [p[0] - from[0], p[1] - from[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let part =
        if length > 0.0 { ((along[0] * to_point[0] + along[1] * to_point[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
    (to_point[0] - part * along[0]).hypot(to_point[1] - part * along[1])
}

#[cfg(test)]
mod tests {
    use super::super::Stroke;
    use super::*;
    use crate::image_io::BoundingBox;

    #[test]
    fn strokes_are_lines_and_boxes_have_an_outside() {
        let stroke = |points: &[[f32; 2]], mark| Stroke { points: points.to_vec(), width: Some(2.0), mark };
        let marks = Marks {
            boxes: vec![BoundingBox { x: 4, y: 4, width: 12, height: 12 }],
            strokes: vec![stroke(&[[8.0, 8.0], [12.0, 8.0]], Mark::Inside), stroke(&[[15.0, 15.0]], Mark::Outside)],
            painted: None,
        };
        // At half the size.
        let seeds = Seeds::new(&marks, (20, 20), (10, 10));
        let at = |x: usize, y: usize| seeds.marks[y * 10 + x];
        assert_eq!((at(0, 0), at(9, 5), at(3, 6)), (Some(Mark::Outside), Some(Mark::Outside), None));
        assert_eq!((at(4, 4), at(5, 3), at(7, 7)), (Some(Mark::Inside), Some(Mark::Inside), Some(Mark::Outside)));
        assert!(seeds.odds[44] > seeds.odds[22] && seeds.odds[22].is_finite() && seeds.odds[0] == f32::NEG_INFINITY);
    }

    #[test]
    fn without_a_box_what_is_near_is_likelier_and_the_border_is_outside() {
        let point = Stroke { points: vec![[3.5, 2.5]], width: None, mark: Mark::Inside };
        let marks = Marks { strokes: vec![point], ..Default::default() };
        let seeds = Seeds::new(&marks, (9, 7), (9, 7));
        assert_eq!(
            (seeds.marks[2 * 9 + 3], seeds.marks[0], seeds.marks[2 * 9 + 6]),
            (Some(Mark::Inside), Some(Mark::Outside), None)
        );
        assert!(seeds.odds[2 * 9 + 5] > seeds.odds[5 * 9 + 7]);
        assert_eq!(squared_distances(&seeds.marks, 9, 7)[5 * 9 + 7], 25.0);
    }
}
