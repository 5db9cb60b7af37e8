//! Packing piece by piece: a packed weight is up to four times as large as the weight, but a piece stays in a core's own cache.

use super::packing::{Packing, Panels, Param, Read};
use super::winograd::{MATRICES, turned};
use std::ops::Range;

/// Receives elements, with the index of the first.
pub(crate) type Put<'a, E> = dyn FnMut(usize, &[f32]) -> Result<(), E> + 'a;

/// Approximate elements per piece.
const PIECE: usize = 1 << 18;

/// Columns that are made at once: a cache line.
const LANES: usize = 16;

/// A weight as `[matrices, panels, rows, columns]`. A matrix is a tap or one of Winograd's, a row an input channel, a column an output
/// channel. Packings without panels have one panel of all output channels.
pub(crate) struct Pieces<'a> {
    param: &'a Param,
    turned: bool,
    gated: bool,
    pairs: bool,
    /// Rows lie two by two ([`Read::Eights`]).
    eights: bool,
    pub panels: usize,
    rows: usize,
    columns: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(packing: Packing, param: &'a Param) -> Pieces<'a> {
        let (padded, width) = (4 * param.inputs.vec4s(), 4 * param.outputs.vec4s());
        let all = Pieces {
            param,
            turned: packing == Packing::Winograd,
            gated: false,
            pairs: false,
            eights: false,
            panels: 1,
            rows: padded as usize,
            columns: param.outputs.logical() as usize,
        };
        match packing {
            Packing::Taps | Packing::Winograd => all,
            Packing::Panels { of, columns, step, read } => Pieces {
                pairs: read == Read::Pairs,
                eights: read == Read::Eights,
                turned: of == Panels::Winograd,
                gated: of == Panels::Gated,
                panels: width.div_ceil(columns) as usize,
                rows: padded.next_multiple_of(step) as usize,
                columns: columns as usize,
                ..all
            },
        }
    }

    fn matrices(&self) -> usize {
        if self.turned { MATRICES as usize } else { self.param.taps as usize }
    }

    /// Elements of all pieces.
    pub fn len(&self) -> usize {
        self.matrices() * self.panels * self.rows * self.columns
    }

    /// Elements of an output channel's windows.
    pub fn window(&self) -> usize {
        self.param.inputs.logical() as usize * self.param.taps as usize
    }

    /// The output channel of each column of a panel; `None` for padding.
    fn outputs(&self, panel: usize) -> Vec<Option<usize>> {
        let places = self.param.outputs.places();
        if self.columns == places.len() && self.panels == 1 && !self.gated && !self.pairs {
            return (0..self.columns).map(Some).collect();
        }
        let (width, half) = (4 * self.param.outputs.vec4s() as usize, self.columns / 2);
        let place = |column: usize| match self.gated {
            false => panel * self.columns + column,
            true if column < half => panel * half + column,
            true => width / 2 + panel * half + column - half,
        };
        let of = |column: usize| if self.pairs { column / 2 + column % 2 * half } else { column };
        (0..self.columns).map(of).map(|column| places.binary_search(&(place(column) as u32)).ok()).collect()
    }

    /// The output channels whose windows a panel uses.
    pub fn reads(&self, panel: usize) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for output in self.outputs(panel).into_iter().flatten() {
            match ranges.last_mut() {
                Some(last) if last.end == output => last.end += 1,
                _ => ranges.push(output..output + 1),
            }
        }
        ranges
    }

    /// Passes the pieces of a panel to `put`, a few rows of a matrix each, with the index of their first element. `values` are the windows
    /// of the channels that the panel reads, `[channels, Cin, taps]`. `room` is scratch memory for reuse.
    ///
    /// # Errors
    /// The first error of `put`.
    pub fn pack<E>(&self, panel: usize, values: &[f32], room: &mut Vec<f32>, put: &mut Put<E>) -> Result<(), E> {
        let (matrices, taps) = (self.matrices(), self.param.taps as usize);
        // Padding columns read zeros.
        let nothing = vec![0.0; self.window()];
        let mut windows = values.chunks_exact(self.window().max(1));
        let mut of_column = |output: Option<usize>| output.and_then(|_| windows.next()).unwrap_or(&nothing);
        let columns: Vec<&[f32]> = self.outputs(panel).into_iter().map(&mut of_column).collect();
        let mut channels = vec![None; self.rows];
        self.param.inputs.places().iter().enumerate().for_each(|(i, &place)| channels[place as usize] = Some(i));
        // Even, so that no piece divides two rows that lie together.
        let step = (PIECE / (matrices * self.columns).max(1)).clamp(1, self.rows.max(1)).next_multiple_of(2);
        let mut both = Vec::new();
        for (number, channels) in channels.chunks(step).enumerate() {
            let matrix = channels.len() * self.columns;
            room.resize(matrices * matrix, 0.0);
            for row in channels.iter().enumerate().filter(|(_, channel)| channel.is_none()).map(|(row, _)| row) {
                (0..matrices).for_each(|m| room[m * matrix + row * self.columns..][..self.columns].fill(0.0));
            }
            for (block, columns) in columns.chunks(LANES).enumerate() {
                for (row, channel) in channels.iter().enumerate().filter_map(|(row, i)| Some((row, (*i)?))) {
                    let at = row * self.columns + block * LANES;
                    let mut write = |m: usize, lanes: &[f32; LANES]| match room[m * matrix + at..].first_chunk_mut() {
                        // The fixed length avoids a call.
                        Some(to) if columns.len() == LANES => *to = *lanes,
                        _ => room[m * matrix + at..][..columns.len()].copy_from_slice(&lanes[..columns.len()]),
                    };
                    let window = channel * taps..(channel + 1) * taps;
                    if self.turned {
                        let lanes = turned(&tapped::<9>(columns, window));
                        lanes.iter().enumerate().for_each(|(m, lanes)| write(m, lanes));
                    } else if taps == 1 {
                        let [lanes] = tapped(columns, window);
                        write(0, &lanes);
                    } else {
                        (0..taps).for_each(|m| write(m, &tapped::<1>(columns, window.start + m..window.end)[0]));
                    }
                }
            }
            if self.eights {
                room.chunks_exact_mut(2 * self.columns).for_each(|rows| interleave(rows, &mut both));
            }
            let first = panel * self.rows + number * step;
            for (m, rows) in room.chunks_exact(matrix.max(1)).enumerate() {
                put((m * self.panels * self.rows + first) * self.columns, rows)?;
            }
        }
        Ok(())
    }
}

/// Two rows -> their groups of four columns, in turn. `both` is scratch memory for reuse.
fn interleave(rows: &mut [f32], both: &mut Vec<f32>) {
    both.clear();
    both.extend_from_slice(rows);
    let (upper, lower) = both.split_at(both.len() / 2);
    for (eight, (a, b)) in rows.chunks_exact_mut(8).zip(upper.chunks_exact(4).zip(lower.chunks_exact(4))) {
        eight[..4].copy_from_slice(a);
        eight[4..].copy_from_slice(b);
    }
}

/// The first taps of each column's window.
fn tapped<const TAPS: usize>(columns: &[&[f32]], window: Range<usize>) -> [[f32; LANES]; TAPS] {
    let mut lanes = [[0.0; LANES]; TAPS];
    for (lane, column) in columns.iter().enumerate() {
        let window = &column[window.clone()][..TAPS];
        (0..TAPS).for_each(|tap| lanes[tap][lane] = window[tap]);
    }
    lanes
}
