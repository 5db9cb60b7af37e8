//! Keys or values of many supports in one layer: one tensor where a buffer holds them all, else several.

use crate::gpu::GpuError;
use crate::plan::{Less, PlanError, Tensor};

/// Tensors of one layer. No device has memory for more of the largest size, and a plan's length grows with them.
const MOST_PIECES: usize = 1024;

/// How many supports each tensor of a bank holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    shots: usize,
    /// Supports of each piece but the last.
    each: usize,
}

impl Split {
    /// Splits a bank of `shots` supports like `one`, K and V of each layer, so that buffers of `max_buffer` bytes hold it. Every layer
    /// is split alike.
    ///
    /// # Errors
    /// A support that no buffer holds, and more supports than any device has memory for.
    pub fn new(one: &[Tensor], shots: usize, max_buffer: u64) -> Result<Split, PlanError> {
        let bytes = one.iter().map(Tensor::bytes).max().unwrap_or(0).max(1);
        let rows = one.iter().map(Tensor::positions).max().unwrap_or(0).max(1);
        let each = (max_buffer / bytes).min(u64::from(u32::MAX / rows)).min(shots.max(1) as u64) as usize;
        if each == 0 {
            let told =
                format!("a support's keys take {bytes} bytes, more than this adapter's largest buffer ({max_buffer})");
            return Err(PlanError::new(told, Less::Size));
        }
        if shots.div_ceil(each) > MOST_PIECES {
            let most = each * MOST_PIECES;
            let told =
                format!("{shots} supports are too many: this adapter's buffers of {max_buffer} bytes take {most}");
            return Err(PlanError::new(told, Less::ShotsOrSize));
        }
        Ok(Split { shots, each })
    }

    /// Supports of each piece.
    pub fn pieces(self) -> impl Iterator<Item = usize> {
        (0..self.shots).step_by(self.each).map(move |first| self.each.min(self.shots - first))
    }
}

/// Keys or values of all supports of a bank in one layer, in order.
#[derive(Clone)]
pub(super) struct Pieces<T> {
    pub all: Vec<T>,
    pub split: Split,
}

impl<T> Pieces<T> {
    /// Replaces each piece, a tensor by its port.
    pub fn bind<U>(&self, port: &dyn Fn(&T) -> Result<U, GpuError>) -> Result<Pieces<U>, GpuError> {
        Ok(Pieces { all: self.all.iter().map(port).collect::<Result<_, _>>()?, split: self.split })
    }

    /// The piece that holds a support, and the support's place there.
    pub fn of(&self, support: usize) -> Option<(&T, usize)> {
        Some((self.all.get(support / self.split.each)?, support % self.split.each))
    }

    /// Cuts `count` rows from `first` on at the ends of pieces; a support has `rows` of them. Gives each piece, its row where they begin,
    /// and which of them it takes. Rows beyond the last piece fall to it, so that writing them fails.
    pub fn cut(&self, first: usize, count: usize, rows: usize) -> Vec<(&T, usize, std::ops::Range<usize>)> {
        let each = (self.split.each * rows).max(1);
        let mut cuts = Vec::new();
        let (mut from, end) = (first, first + count);
        while from < end {
            let at = (from / each).min(self.all.len().saturating_sub(1));
            let Some(piece) = self.all.get(at) else { break };
            let to = if at + 1 == self.all.len() { end } else { end.min((at + 1) * each) };
            cuts.push((piece, from - at * each, from - first..to - first));
            from = to;
        }
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Channels, Forms, Limits, Policy, Recorder};
    use crate::shader::Facts;

    fn one(rows: u32) -> Vec<Tensor> {
        let mut r = Recorder::new(Policy::F32, Forms::first(Facts::LEAST), Limits::TEST);
        vec![r.input("k", 1, rows, Channels::one(4)), r.input("v", 1, rows, Channels::one(4))]
    }

    #[test]
    fn each_support_lies_in_one_piece() {
        let split = Split::new(&one(10), 7, 3 * 160 + 100).unwrap();
        assert_eq!(split.pieces().collect::<Vec<_>>(), [3, 3, 1]);
        let pieces = Pieces { all: vec!['a', 'b', 'c'], split };
        assert_eq!(
            [0, 2, 3, 6].map(|n| pieces.of(n)),
            [Some((&'a', 0)), Some((&'a', 2)), Some((&'b', 0)), Some((&'c', 0))]
        );
        assert_eq!(pieces.of(9), None);
        assert_eq!(pieces.cut(28, 35, 10), [(&'a', 28, 0..2), (&'b', 0, 2..32), (&'c', 0, 32..35)]);
        assert_eq!(pieces.cut(30, 0, 10), []);
        assert_eq!(pieces.cut(65, 20, 10), [(&'c', 5, 0..20)], "beyond its 10 rows");
        assert_eq!(Split::new(&one(10), 7, 1 << 20).unwrap().pieces().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn what_no_device_holds_is_refused() {
        let told = |shots, buffer| Split::new(&one(10), shots, buffer).unwrap_err().to_string();
        assert!(told(1, 159).contains("160 bytes"), "{}", told(1, 159));
        assert!(told(1025, 160).contains("take 1024"), "{}", told(1025, 160));
        assert!(told(usize::MAX, 1 << 40).contains("too many"));
    }
}
