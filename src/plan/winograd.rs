//! Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016). For 6 x 6
//! inputs d and a 3 x 3 window g, the 4 x 4 outputs are A^T ((G g G^T) * (B^T d B)) A: 36 products where direct sums take 144.
//!
//! The points are 0, 1/sqrt 2, -1/sqrt 2, sqrt 2, -sqrt 2 and infinity. Barabasz and others ("Error Analysis and Improving the Accuracy of
//! Winograd Convolution", 2020) search among such points. The rows of B^T sum to at most 5.1 in magnitude, where 0, +-1, +-2 give 10.

use std::f64::consts::{FRAC_1_SQRT_2 as H, SQRT_2 as S};

/// Output rows and columns per tile.
pub const TILE: u32 = 4;
/// Products per tile, and so the matrices that are multiplied.
pub const MATRICES: u32 = 36;

/// Upper bound on how much larger an output's terms are here than in direct sums, where inputs and windows are independent, with one
/// variance each: the square root of sum |A_ia|^2 |B_a|^2 |G_a|^2 / 3, for both directions.
pub const GAIN: f64 = 7.2;

/// The transform of inputs.
pub const BT: [[f64; 6]; 6] = [
    [1.0, 0.0, -2.5, 0.0, 1.0, 0.0],
    [0.0, -S, -2.0, H, 1.0, 0.0],
    [0.0, S, -2.0, -H, 1.0, 0.0],
    [0.0, -H, -0.5, S, 1.0, 0.0],
    [0.0, H, -0.5, -S, 1.0, 0.0],
    [0.0, 1.0, 0.0, -2.5, 0.0, 1.0],
];

/// The transform of windows.
pub const G: [[f64; 3]; 6] = [
    [1.0, 0.0, 0.0],
    [-2.0 / 3.0, -2.0 / 3.0 * H, -1.0 / 3.0],
    [-2.0 / 3.0, 2.0 / 3.0 * H, -1.0 / 3.0],
    [1.0 / 6.0, S / 6.0, 1.0 / 3.0],
    [1.0 / 6.0, -S / 6.0, 1.0 / 3.0],
    [0.0, 0.0, 1.0],
];

/// The transform of outputs.
pub const AT: [[f64; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, H, -H, S, -S, 0.0],
    [0.0, 0.5, 0.5, 2.0, 2.0, 0.0],
    [0.0, 0.5 * H, -0.5 * H, 2.0 * S, -2.0 * S, 1.0],
];

/// M x M^T.
pub fn both<const R: usize, const C: usize>(m: &[[f64; C]; R], x: &[[f64; C]; C]) -> [[f64; R]; R] {
    let half: [[f64; C]; R] = std::array::from_fn(|i| std::array::from_fn(|l| (0..C).map(|k| m[i][k] * x[k][l]).sum()));
    std::array::from_fn(|i| std::array::from_fn(|j| (0..C).map(|l| half[i][l] * m[j][l]).sum()))
}

/// G g G^T of many windows g, rounded once. The sums have the order of [`both`].
pub fn turned<const N: usize>(g: &[[f32; N]; 9]) -> [[f32; N]; MATRICES as usize] {
    let sum = |f: [f64; 3], x: [f64; 3]| f[0] * x[0] + f[1] * x[1] + f[2] * x[2];
    let mut half = [[[0.0; N]; 3]; 6];
    for (i, l) in (0..6).flat_map(|i| (0..3).map(move |l| (i, l))) {
        (0..N).for_each(|n| half[i][l][n] = sum(G[i], [g[l][n], g[3 + l][n], g[6 + l][n]].map(f64::from)));
    }
    let mut out = [[0.0; N]; MATRICES as usize];
    for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
        let [a, b, c] = &half[i];
        (0..N).for_each(|n| out[6 * i + j][n] = sum(G[j], [a[n], b[n], c[n]]) as f32);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_terms_are_larger_by_so_much() {
        let square = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>();
        let of = |row: &[f64; 6]| (0..6).map(|a| row[a] * row[a] * square(&BT[a]) * square(&G[a])).sum::<f64>() / 3.0;
        let most = AT.iter().map(of).fold(0.0, f64::max);
        assert!(most < GAIN && most > GAIN - 0.1, "{most}");
    }

    #[test]
    fn it_is_the_convolution() {
        let mut rng = fastrand::Rng::with_seed(1);
        let d: [[f64; 6]; 6] = std::array::from_fn(|_| std::array::from_fn(|_| rng.f64() - 0.5));
        let g: [[f64; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| rng.f64() - 0.5));
        let (v, u) = (both(&BT, &d), both(&G, &g));
        let y = both(&AT, &std::array::from_fn(|i| std::array::from_fn(|j| v[i][j] * u[i][j])));
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            let taps = (0..3).flat_map(|k| (0..3).map(move |l| (k, l)));
            let direct: f64 = taps.map(|(k, l)| g[k][l] * d[i + k][j + l]).sum();
            assert!((y[i][j] - direct).abs() < 1e-12, "{i} {j}: {} for {direct}", y[i][j]);
        }
    }
}
