//! Probability of a colour in a part of a picture.

/// Histogram cells per channel.
const CELLS: usize = 16;
const ALL: usize = CELLS * CELLS * CELLS;

/// A slightly smoothed histogram of colours, because marks may cover few pixels.
pub(super) struct Histogram(Vec<f32>);

impl Histogram {
    /// From colours in [0, 1] and their weights.
    pub fn of(colours: impl Iterator<Item = ([f32; 3], f32)>) -> Histogram {
        let mut cells = vec![0.0; ALL];
        for (colour, weight) in colours {
            around(colour).into_iter().for_each(|(cell, share)| cells[cell] += share * weight);
        }
        for step in [1, CELLS, CELLS * CELLS] {
            let old = cells.clone();
            for (at, value) in cells.iter_mut().enumerate() {
                let place = at / step % CELLS;
                let below = old[if place > 0 { at - step } else { at }];
                let above = old[if place + 1 < CELLS { at + step } else { at }];
                *value = 0.5 * old[at] + 0.25 * (below + above);
            }
        }
        let sum = cells.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        cells.iter_mut().for_each(|v| *v /= sum);
        Histogram(cells)
    }

    /// The density near a colour.
    pub fn density(&self, colour: [f32; 3]) -> f32 {
        around(colour).iter().map(|&(cell, share)| share * self.0[cell]).sum()
    }
}

/// The eight cells around a colour, with weights that sum to 1.
fn around(colour: [f32; 3]) -> [(usize, f32); 8] {
    let place = colour.map(|v| (v * CELLS as f32 - 0.5).clamp(0.0, (CELLS - 1) as f32));
    let low = place.map(|p| (p as usize).min(CELLS - 2));
    std::array::from_fn(|corner| {
        let (mut cell, mut share) = (0, 1.0);
        for axis in 0..3 {
            let (high, part) = (corner >> axis & 1, place[axis] - low[axis] as f32);
            cell = cell * CELLS + low[axis] + high;
            share *= if high == 1 { part } else { 1.0 - part };
        }
        (cell, share)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_near_colours_are_likelier() {
        for colour in [[0.0; 3], [1.0; 3], [0.3, 0.7, 0.999], [0.5, 0.0, 1.0]] {
            let sum: f32 = around(colour).iter().map(|(cell, share)| share * f32::from(*cell < ALL)).sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
        let reds = Histogram::of([([0.9, 0.1, 0.1], 1.0), ([0.8, 0.2, 0.1], 1.0), ([0.0, 0.0, 1.0], 0.0)].into_iter());
        let at = |colour| reds.density(colour);
        assert!(at([0.9, 0.1, 0.1]) > at([0.7, 0.3, 0.1]) && at([0.0, 0.0, 1.0]) == 0.0);
        assert_eq!(Histogram::of(std::iter::empty()).density([0.5; 3]), 0.0);
    }
}
