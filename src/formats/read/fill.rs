//! Polygons as pixels.

/// A polygon of more points is refused.
const MOST_POINTS: usize = 100_000;

/// Adds the pixels of `[height, width]` whose middles lie in a polygon, by the even-odd rule. Points are x and y in pixels from the top
/// left corner, and may lie beyond the picture.
///
/// # Errors
/// In words: fewer than three points, too many, or numbers that are not finite.
pub(super) fn fill(points: &[[f64; 2]], (width, height): (u32, u32), mask: &mut [bool]) -> Result<(), String> {
    if points.len() < 3 {
        return Err(format!("a polygon has {} points, and must have three", points.len()));
    }
    if points.len() > MOST_POINTS {
        return Err(format!("a polygon has {} points; {MOST_POINTS} are the most", points.len()));
    }
    if !points.iter().flatten().all(|v| v.is_finite()) {
        return Err("a polygon has a point that is not finite".into());
    }
    let of = |pick: fn(f64, f64) -> f64, first: f64| points.iter().map(|p| p[1]).fold(first, pick);
    let rows = of(f64::min, f64::INFINITY).max(0.0) as u32
        ..(of(f64::max, f64::NEG_INFINITY).max(0.0).ceil() as u32).min(height);
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    let mut crossings: Vec<f64> = Vec::new();
    for (y, row) in rows.clone().zip(mask.chunks_exact_mut(width.max(1) as usize).skip(rows.start as usize)) {
        let middle = f64::from(y) + 0.5;
        crossings.clear();
        for (a, b) in edges.clone() {
            if (a[1] <= middle) != (b[1] <= middle) {
                crossings.push(a[0] + (middle - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
            }
        }
        crossings.sort_unstable_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            // The first pixel whose middle is not left of a crossing.
            let pixel = |x: f64| ((x - 0.5).ceil().max(0.0) as usize).min(row.len());
            let (from, to) = (pixel(pair[0]), pixel(pair[1]));
            row[from..to].fill(true);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(points: &[[f64; 2]], width: u32, height: u32) -> Vec<String> {
        let mut mask = vec![false; (width * height) as usize];
        fill(points, (width, height), &mut mask).unwrap();
        mask.chunks(width as usize).map(|row| row.iter().map(|&p| if p { '#' } else { '.' }).collect()).collect()
    }

    #[test]
    fn pixels_whose_middles_lie_inside() {
        let square = [[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]];
        assert_eq!(filled(&square, 4, 4), ["....", ".##.", ".##.", "...."]);
        // A middle on a slanting edge is the first pixel that is not left of the crossing: outside.
        assert_eq!(filled(&[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], 4, 4), ["###.", "##..", "#...", "...."]);
        // Beyond the picture, and twice around.
        assert_eq!(filled(&[[-9.0, -9.0], [9.0, -9.0], [9.0, 9.0], [-9.0, 9.0]], 2, 2), ["##", "##"]);
        assert_eq!(filled(&[[50.0, 50.0], [60.0, 50.0], [60.0, 60.0]], 2, 1), [".."]);
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        for bad in [vec![], vec![[0.0, 0.0], [1.0, 1.0]], vec![[f64::NAN, 0.0]; 3], vec![[0.0, f64::INFINITY]; 3]] {
            assert!(fill(&bad, (4, 4), &mut [false; 16]).is_err());
        }
        assert!(fill(&vec![[0.0, 0.0]; MOST_POINTS + 1], (1, 1), &mut [false]).is_err());
        assert!(fill(&[[0.0, 0.0], [1.0, 0.0], [0.0, 1e300]], (0, 0), &mut []).is_ok());
    }
}
