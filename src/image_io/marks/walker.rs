//! A random walker with priors: values between 0 and 1 that follow colour edges (Grady, Random Walks for Image Segmentation, PAMI
//! 2006, and its extension by priors, CVPR 2005).

/// Added to each edge's weight, so that no pixel is isolated.
const LEAST_WEIGHT: f32 = 1e-6;
/// Most steps of conjugate gradients.
const MOST_STEPS: usize = 200;
/// Stop when values change by less than about this in a step.
const CLOSE: f32 = 1e-3;

/// The pixels of a picture, connected to their eight neighbours; edges are weaker the more the colours differ.
pub(super) struct Graph {
    pixels: usize,
    /// For each of four directions, the index offset of the neighbour and the weight of each pixel's edge; 0 for no edge.
    edges: [(usize, Vec<f32>); 4],
}

impl Graph {
    /// From colours in [0, 1], `[height, width]`.
    pub fn new(colours: &[[f32; 3]], width: usize) -> Graph {
        let pixels = colours.len();
        let height = pixels / width.max(1);
        let difference = |a: usize, b: usize| (0..3).map(|k| (colours[a][k] - colours[b][k]).powi(2)).sum::<f32>();
        // Right, down, down to the right and to the left.
        let steps = [(1_isize, 0_isize), (0, 1), (1, 1), (-1, 1)];
        let ahead = steps.map(|(dx, dy)| (dy * width as isize + dx) as usize);
        let reaches = |at: usize, (dx, dy): (isize, isize)| {
            let x = (at % width) as isize + dx;
            x >= 0 && x < width as isize && at / width + (dy as usize) < height
        };
        let mean = {
            let all = steps.iter().zip(ahead).flat_map(|(&step, ahead)| {
                (0..pixels).filter(move |&at| reaches(at, step)).map(move |at| f64::from(difference(at, at + ahead)))
            });
            let (sum, count) = all.fold((0.0, 0_u64), |(sum, count), d| (sum + d, count + 1));
            (sum / count.max(1) as f64) as f32
        };
        let edges = std::array::from_fn(|direction| {
            let (step, ahead) = (steps[direction], ahead[direction]);
            let length = if step.0 != 0 && step.1 != 0 { std::f32::consts::FRAC_1_SQRT_2 } else { 1.0 };
            let weight = |at: usize| match reaches(at, step) {
                true => ((-difference(at, at + ahead) / (2.0 * mean + 1e-9)).exp() + LEAST_WEIGHT) * length,
                false => 0.0,
            };
            (ahead, (0..pixels).map(weight).collect())
        });
        Graph { pixels, edges }
    }

    /// Calls `each` with two pixels and the weight between them, for all edges.
    fn for_each(&self, mut each: impl FnMut(usize, usize, f32)) {
        for (ahead, weights) in &self.edges {
            for (at, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                each(at, at + ahead, weight);
            }
        }
    }

    /// Minimises the sum over edges of w (x_a - x_b)^2 plus the sum over pixels of `pull` (x - `prior`)^2, starting from `x`, by conjugate
    /// gradients with the diagonal as preconditioner. Every pull must be above 0.
    pub fn relax(&self, pull: &[f32], prior: &[f32], x: &mut [f32]) {
        let mut diagonal = pull.to_vec();
        self.for_each(|a, b, weight| {
            diagonal[a] += weight;
            diagonal[b] += weight;
        });
        let apply = |x: &[f32], out: &mut [f32]| {
            out.iter_mut().zip(x).zip(&diagonal).for_each(|((out, x), d)| *out = d * x);
            self.for_each(|a, b, weight| {
                out[a] -= weight * x[b];
                out[b] -= weight * x[a];
            });
        };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut product = vec![0.0; self.pixels];
        apply(x, &mut product);
        let mut rest: Vec<f32> = (0..self.pixels).map(|i| pull[i] * prior[i] - product[i]).collect();
        let scaled = |rest: &[f32]| -> Vec<f32> { rest.iter().zip(&diagonal).map(|(r, d)| r / d).collect() };
        let mut step = scaled(&rest);
        let (mut way, mut size) = (step.clone(), dot(&rest, &step));
        for _ in 0..MOST_STEPS {
            if step.iter().all(|v| v.abs() < CLOSE) {
                return;
            }
            apply(&way, &mut product);
            let far = (size / dot(&way, &product).max(f64::MIN_POSITIVE)) as f32;
            for i in 0..self.pixels {
                x[i] += far * way[i];
                rest[i] -= far * product[i];
            }
            step = scaled(&rest);
            let next = dot(&rest, &step);
            let again = (next / size.max(f64::MIN_POSITIVE)) as f32;
            size = next;
            way.iter_mut().zip(&step).for_each(|(way, step)| *way = step + again * *way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a 5 x 4 picture, against Gauss-Seidel in f64.
    #[test]
    fn it_solves_its_equations() {
        let mut random = fastrand::Rng::with_seed(3);
        let colours: Vec<[f32; 3]> = (0..20).map(|_| [(); 3].map(|()| random.f32())).collect();
        let graph = Graph::new(&colours, 5);
        let mut count = 0;
        graph.for_each(|a, b, weight| {
            let (dx, dy) = ((a % 5).abs_diff(b % 5), (a / 5).abs_diff(b / 5));
            assert!(dx <= 1 && dy <= 1 && weight > 0.0 && weight <= 1.0 + LEAST_WEIGHT, "{a} {b}");
            count += 1;
        });
        assert_eq!(count, 4 * 4 + 5 * 3 + 2 * 4 * 3);
        let pull: Vec<f32> = (0..20).map(|_| 0.05 + random.f32()).collect();
        let prior: Vec<f32> = (0..20).map(|_| random.f32()).collect();
        let mut want = vec![0.0_f64; 20];
        for _ in 0..2000 {
            for i in 0..20 {
                let (mut sum, mut weights) = (f64::from(pull[i] * prior[i]), f64::from(pull[i]));
                graph.for_each(|a, b, weight| {
                    if a == i || b == i {
                        sum += f64::from(weight) * want[a + b - i];
                        weights += f64::from(weight);
                    }
                });
                want[i] = sum / weights;
            }
        }
        let mut x = vec![0.0; 20];
        graph.relax(&pull, &prior, &mut x);
        assert!(x.iter().zip(&want).all(|(x, want)| (f64::from(*x) - want).abs() < 5e-3), "{x:?} {want:?}");
    }

    #[test]
    fn a_picture_of_one_colour_or_pixel_is_no_trouble() {
        for (pixels, width) in [(1, 1), (3, 3), (3, 1)] {
            let mut x = vec![0.0; pixels];
            Graph::new(&vec![[0.5; 3]; pixels], width).relax(&vec![1.0; pixels], &vec![1.0; pixels], &mut x);
            assert!(x.iter().all(|v| (v - 1.0).abs() < 0.01), "{x:?}");
        }
    }
}
