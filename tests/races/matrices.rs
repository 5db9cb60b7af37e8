//! Matrices that a subgroup holds jointly. Its first lane holds all of a matrix and accesses its memory, the others do not. Each lane keeps
//! a hash of its matrix operations, because all lanes must execute the same ones.

use super::lane::Lane;
use super::memory::Memory;
use super::subgroup::SUBGROUP;
use super::value::{Pointer, Root, Value};
use naga::{CooperativeData, Expression, Handle};

impl Lane<'_> {
    /// Whether it is the first lane of its subgroup.
    pub fn leads(&self) -> bool {
        self.who.lane.is_multiple_of(SUBGROUP)
    }

    /// The position of each element, row by row.
    fn elements(&self, data: &CooperativeData, side: u32, memory: &mut Memory) -> Vec<Pointer> {
        let pointer = self.get(data.pointer, memory).pointer();
        let stride = self.get(data.stride, memory).scalar();
        let at = |i| {
            let (row, column) = (i / side, i % side);
            let offset = if data.row_major { row * stride + column } else { column * stride + row };
            Pointer { offset: pointer.offset + offset, ..pointer }
        };
        (0..side * side).map(at).collect()
    }

    pub fn matrix(&self, columns: u32, rows: u32, data: &CooperativeData, memory: &mut Memory) -> Value {
        assert_eq!(columns, rows, "not interpreted: matrices that are not square");
        if !self.leads() {
            return Value::made((columns * rows) as usize, |_| 0);
        }
        let all = self.elements(data, columns, memory);
        Value::of(&all.into_iter().map(|at| self.load(at, 1, memory).scalar()).collect::<Vec<_>>())
    }

    pub fn store_matrix(&mut self, target: Handle<Expression>, data: &CooperativeData, memory: &mut Memory) {
        let value = self.get(target, memory);
        let side = value.words().len().isqrt() as u32;
        self.follow(target.index(), self.get(data.pointer, memory).pointer().offset);
        if !self.leads() {
            return;
        }
        for (at, word) in self.elements(data, side, memory).into_iter().zip(value.words()) {
            let Root::Global(global) = at.root else { panic!("not interpreted: a matrix in a lane's own memory") };
            memory.store(global, at.offset, &[*word], self.who);
        }
    }

    /// Records that it has evaluated a matrix expression.
    pub fn came_to(&mut self, expression: Handle<Expression>, memory: &mut Memory) {
        match self.top().body.function.expressions[expression] {
            Expression::CooperativeLoad { ref data, .. } => {
                let offset = self.get(data.pointer, memory).pointer().offset;
                self.follow(expression.index(), offset);
            }
            Expression::CooperativeMultiplyAdd { .. } => self.follow(expression.index(), 0),
            _ => {}
        }
    }

    fn follow(&mut self, what: usize, place: u32) {
        let step = (what as u64) << 32 | u64::from(place);
        self.trail = (self.trail ^ step).wrapping_mul(0x100_0000_01b3).rotate_left(17);
    }
}
