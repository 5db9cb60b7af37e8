//! Contents of a case's tensors.

use std::sync::OnceLock;

/// The contents of a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Fill {
    Normal {
        mean: f64,
        std: f64,
    },
    /// Multiples of `unit`, up to a limit of either sign: one for even channels, one for odd channels.
    Whole {
        unit: f64,
        most: [u32; 2],
    },
    /// Integers up to a limit of either sign, each the negative of the one a fixed distance before it, so that the mean is 0.
    Balanced {
        most: u32,
        apart: usize,
    },
    /// These values in order, starting one later each time, so that each occurs at every position of a vec4.
    Of(&'static [f32]),
    /// By position and channel.
    At(fn(usize, usize) -> f32),
}

impl Fill {
    /// Two factors of `k` products, multiples of `unit[0]` and `unit[1]`, such that f32 holds all products and sums exactly. Even channels
    /// have up to 12 bits in the first factor and few in the second, odd ones the opposite: this reveals any rounding of a factor to 11
    /// bits.
    pub fn products(k: u32, unit: [f64; 2]) -> [Fill; 2] {
        // Out of 2^24, with a margin; on average, a product is about a quarter of its maximum.
        let most = 4 * 9_500_000;
        let narrow = (most / 4095 / k).clamp(1, 4095);
        let wide = (most / k / narrow).min(4095);
        [Fill::Whole { unit: unit[0], most: [wide, narrow] }, Fill::Whole { unit: unit[1], most: [narrow, wide] }]
    }

    /// The standard deviation of the sum of [`Fill::products`].
    pub fn deviation(k: u32, unit: [f64; 2]) -> f64 {
        let [Fill::Whole { most: [wide, narrow], .. }, _] = Fill::products(k, unit) else { return 0.0 };
        f64::from(k).sqrt() * f64::from(wide * narrow) / 3.0 * unit[0] * unit[1]
    }

    /// Draws `n` values; `place` maps an index to position and channel.
    pub(super) fn draw(self, rng: &mut fastrand::Rng, n: usize, place: impl Fn(usize) -> (usize, usize)) -> Vec<f32> {
        match self {
            Fill::Normal { mean, std } => normals(rng, n).map(|v| (mean + std * v) as f32).collect(),
            Fill::Whole { unit, most } => {
                let most = most.map(|most| most as i32);
                let mut one = |most: i32| (unit * f64::from(rng.i32(-most..=most))) as f32;
                (0..n).map(|i| one(most[place(i).1 % 2])).collect()
            }
            Fill::Of(list) => (0..n).map(|i| list[(i + i / list.len()) % list.len()]).collect(),
            Fill::At(of) => (0..n).map(place).map(|(position, channel)| of(position, channel)).collect(),
            Fill::Balanced { most, apart } => {
                let most = most as i32;
                let mut all: Vec<f32> = (0..n).map(|_| rng.i32(-most..=most) as f32).collect();
                for i in 0..n {
                    match i / apart % 2 {
                        1 => all[i] = -all[i - apart],
                        _ if i + apart >= n => all[i] = 0.0,
                        _ => {}
                    }
                }
                all
            }
        }
    }
}

/// Standard normal numbers, drawn from 65,536 that were made once by the Box-Muller transform: cases need millions, and a logarithm and a
/// cosine for each would take longer than the kernels.
fn normals(rng: &mut fastrand::Rng, n: usize) -> impl Iterator<Item = f64> + '_ {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut one = || {
            let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
            radius * (std::f64::consts::TAU * rng.f64()).cos()
        };
        (0..1 << 16).map(|_| one()).collect()
    });
    (0..n).map(|_| table[rng.u16(..) as usize])
}
