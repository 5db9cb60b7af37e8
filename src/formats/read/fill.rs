//! Rasterizing polygons.

/// Most points for one mask.
const MOST_POINTS: usize = 100_000;

/// A mask `[height, width]` to which polygons are added.
pub(super) struct Fill<'a> {
    size: (u32, u32),
    pixels: &'a mut [bool],
    points: usize,
    /// For each pixel, whether an odd number of edges crosses its row between the previous pixel's centre and its own.
    crossed: Vec<bool>,
}

impl Fill<'_> {
    /// `size` is (width, height).
    pub fn new(size: (u32, u32), pixels: &mut [bool]) -> Fill<'_> {
        Fill { size, pixels, points: 0, crossed: Vec::new() }
    }

    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    pub fn pixels(&mut self) -> &mut [bool] {
        self.pixels
    }

    /// Adds the pixels whose centres lie in a polygon, by the even-odd rule. Points are x and y in pixels from the top left corner, and may lie
    /// outside the picture.
    ///
    /// # Errors
    /// As text: fewer than three points, too many, or numbers that are not finite.
    pub fn polygon(&mut self, points: &[[f64; 2]]) -> Result<(), String> {
        if points.len() < 3 {
            return Err(format!("a polygon has {} points; it must have at least three", points.len()));
        }
        self.points += points.len();
        if self.points > MOST_POINTS {
            return Err(format!("its polygons have more than {MOST_POINTS} points"));
        }
        if !points.iter().flatten().all(|v| v.is_finite()) {
            return Err("a polygon has a point that is not finite".into());
        }
        let (width, height) = (self.size.0 as usize, f64::from(self.size.1));
        // The first row or pixel whose centre is not before `v`.
        let first = |v: f64, most: f64| (v - 0.5).ceil().clamp(0.0, most) as usize;
        let rows = |a: f64, b: f64| first(a.min(b), height)..first(a.max(b), height);
        let whole = points.iter().map(|p| p[1]);
        let whole = rows(whole.clone().fold(f64::INFINITY, f64::min), whole.fold(f64::NEG_INFINITY, f64::max));
        self.crossed.clear();
        self.crossed.resize(whole.len() * width, false);
        for (a, b) in points.iter().zip(points.iter().cycle().skip(1)) {
            for y in rows(a[1], b[1]) {
                let x = a[0] + (y as f64 + 0.5 - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
                if let Some(crossed) =
                    self.crossed[(y - whole.start) * width..][..width].get_mut(first(x, width as f64))
                {
                    *crossed ^= true;
                }
            }
        }
        let rows = self.pixels.chunks_exact_mut(width.max(1)).skip(whole.start);
        for (row, crossed) in rows.zip(self.crossed.chunks_exact(width.max(1))) {
            let mut inside = false;
            for (pixel, crossed) in row.iter_mut().zip(crossed) {
                inside ^= crossed;
                *pixel |= inside;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(points: &[[f64; 2]], width: u32, height: u32) -> Vec<String> {
        let mut mask = vec![false; (width * height) as usize];
        Fill::new((width, height), &mut mask).polygon(points).unwrap();
        mask.chunks(width as usize).map(|row| row.iter().map(|&p| if p { '#' } else { '.' }).collect()).collect()
    }

    #[test]
    fn pixels_whose_middles_lie_inside() {
        let square = [[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]];
        assert_eq!(filled(&square, 4, 4), ["....", ".##.", ".##.", "...."]);
        // A centre on a slanted edge belongs to the first pixel that is not left of the crossing: outside.
        assert_eq!(filled(&[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], 4, 4), ["###.", "##..", "#...", "...."]);
        // Beyond the picture, and around it twice.
        assert_eq!(filled(&[[-9.0, -9.0], [9.0, -9.0], [9.0, 9.0], [-9.0, 9.0]], 2, 2), ["##", "##"]);
        assert_eq!(filled(&[[50.0, 50.0], [60.0, 50.0], [60.0, 60.0]], 2, 1), [".."]);
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        for bad in [vec![], vec![[0.0, 0.0], [1.0, 1.0]], vec![[f64::NAN, 0.0]; 3], vec![[0.0, f64::INFINITY]; 3]] {
            assert!(Fill::new((4, 4), &mut [false; 16]).polygon(&bad).is_err());
        }
        assert!(Fill::new((1, 1), &mut [false]).polygon(&vec![[0.0, 0.0]; MOST_POINTS + 1]).is_err());
        assert!(Fill::new((0, 0), &mut []).polygon(&[[0.0, 0.0], [1.0, 0.0], [0.0, 1e300]]).is_ok());
    }
}
