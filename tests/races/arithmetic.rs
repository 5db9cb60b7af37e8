//! WGSL's operators and functions on words.

use half::f16;
use naga::{BinaryOperator, MathFunction, ScalarKind, UnaryOperator};

fn f(word: u32) -> f32 {
    f32::from_bits(word)
}

pub fn unary(op: UnaryOperator, kind: ScalarKind, a: u32) -> u32 {
    match (op, kind) {
        (UnaryOperator::Negate, ScalarKind::Float) => (-f(a)).to_bits(),
        (UnaryOperator::Negate, ScalarKind::Sint) => a.wrapping_neg(),
        (UnaryOperator::LogicalNot, ScalarKind::Bool) => 1 - a,
        (UnaryOperator::BitwiseNot, ScalarKind::Sint | ScalarKind::Uint) => !a,
        other => panic!("not interpreted: {other:?}"),
    }
}

/// `kind` is the left operand's.
pub fn binary(op: BinaryOperator, kind: ScalarKind, a: u32, b: u32) -> u32 {
    match kind {
        ScalarKind::Float => floats(op, f(a), f(b)),
        ScalarKind::Uint => unsigned(op, a, b),
        ScalarKind::Sint => signed(op, a as i32, b as i32),
        ScalarKind::Bool => booleans(op, a, b),
        other => panic!("not interpreted: {other:?}"),
    }
}

fn floats(op: BinaryOperator, a: f32, b: f32) -> u32 {
    use BinaryOperator as B;
    match op {
        B::Add => (a + b).to_bits(),
        B::Subtract => (a - b).to_bits(),
        B::Multiply => (a * b).to_bits(),
        B::Divide => (a / b).to_bits(),
        _ => compared(op, &a, &b),
    }
}

fn compared<T: PartialOrd>(op: BinaryOperator, a: &T, b: &T) -> u32 {
    use BinaryOperator as B;
    u32::from(match op {
        B::Equal => a == b,
        B::NotEqual => a != b,
        B::Less => a < b,
        B::LessEqual => a <= b,
        B::Greater => a > b,
        B::GreaterEqual => a >= b,
        other => panic!("not interpreted: {other:?}"),
    })
}

fn unsigned(op: BinaryOperator, a: u32, b: u32) -> u32 {
    use BinaryOperator as B;
    match op {
        B::Add => a.wrapping_add(b),
        B::Subtract => a.wrapping_sub(b),
        B::Multiply => a.wrapping_mul(b),
        // Division by zero: WGSL, 8.7.
        B::Divide => a.checked_div(b).unwrap_or(a),
        B::Modulo => a.checked_rem(b).unwrap_or(0),
        B::And => a & b,
        B::InclusiveOr => a | b,
        B::ExclusiveOr => a ^ b,
        B::ShiftLeft => a << (b % 32),
        B::ShiftRight => a >> (b % 32),
        _ => compared(op, &a, &b),
    }
}

fn signed(op: BinaryOperator, a: i32, b: i32) -> u32 {
    use BinaryOperator as B;
    match op {
        B::Divide => a.checked_div(b).unwrap_or(a) as u32,
        B::Modulo => a.checked_rem(b).unwrap_or(0) as u32,
        B::ShiftRight => (a >> (b as u32 % 32)) as u32,
        B::Equal | B::NotEqual | B::Less | B::LessEqual | B::Greater | B::GreaterEqual => compared(op, &a, &b),
        // The bits are the same for both.
        _ => unsigned(op, a as u32, b as u32),
    }
}

fn booleans(op: BinaryOperator, a: u32, b: u32) -> u32 {
    use BinaryOperator as B;
    match op {
        B::And | B::LogicalAnd => a & b,
        B::InclusiveOr | B::LogicalOr => a | b,
        B::Equal | B::NotEqual => compared(op, &a, &b),
        other => panic!("not interpreted: {other:?} of booleans"),
    }
}

/// A componentwise function.
pub fn math(function: MathFunction, kind: ScalarKind, a: u32, b: u32, c: u32) -> u32 {
    use MathFunction as M;
    match (function, kind) {
        (M::Min, ScalarKind::Uint) => a.min(b),
        (M::Max, ScalarKind::Uint) => a.max(b),
        (M::Clamp, ScalarKind::Uint) => a.max(b).min(c),
        (M::Min, ScalarKind::Sint) => (a as i32).min(b as i32) as u32,
        (M::Max, ScalarKind::Sint) => (a as i32).max(b as i32) as u32,
        (_, ScalarKind::Float) => of_floats(function, f(a), f(b), f(c)).to_bits(),
        other => panic!("not interpreted: {other:?}"),
    }
}

fn of_floats(function: MathFunction, a: f32, b: f32, c: f32) -> f32 {
    use MathFunction as M;
    match function {
        M::Abs => a.abs(),
        M::Min => a.min(b),
        M::Max => a.max(b),
        M::Clamp => a.max(b).min(c),
        M::Fma => a.mul_add(b, c),
        M::Sign => f32::from(i8::from(a > 0.0) - i8::from(a < 0.0)),
        // Rounded once, as accurately as f32 permits.
        M::Exp => f64::from(a).exp() as f32,
        M::Exp2 => f64::from(a).exp2() as f32,
        M::Tanh => f64::from(a).tanh() as f32,
        M::Sqrt => a.sqrt(),
        M::InverseSqrt => f64::from(a).sqrt().recip() as f32,
        other => panic!("not interpreted: {other:?}"),
    }
}

pub fn dot(a: &[u32], b: &[u32]) -> u32 {
    a.iter().zip(b).fold(0.0, |sum, (&a, &b)| sum + f(a) * f(b)).to_bits()
}

pub fn pack_halves(v: &[u32]) -> u32 {
    let half = |word: u32| u32::from(f16::from_f32(f(word)).to_bits());
    half(v[0]) | half(v[1]) << 16
}

pub fn unpack_halves(v: u32) -> [u32; 2] {
    [v & 0xffff, v >> 16].map(|half| f16::from_bits(half as u16).to_f32().to_bits())
}

pub fn rounded_to_half(word: u32) -> u32 {
    f16::from_f32(f(word)).to_f32().to_bits()
}

/// a b + c, square matrices row by row.
pub fn multiplied(a: &[u32], b: &[u32], c: &[u32], side: usize) -> Vec<u32> {
    let at = |i: usize| {
        let (row, column) = (i / side, i % side);
        (0..side).fold(f(c[i]), |sum, k| sum + f(a[row * side + k]) * f(b[k * side + column])).to_bits()
    };
    (0..side * side).map(at).collect()
}

/// A conversion of value.
pub fn converted(from: ScalarKind, to: ScalarKind, a: u32) -> u32 {
    use ScalarKind as K;
    match (from, to) {
        (from, to) if from == to => a,
        (K::Uint, K::Sint) | (K::Sint, K::Uint) | (K::Bool, K::Uint | K::Sint) => a,
        (K::Uint | K::Bool, K::Float) => (a as f32).to_bits(),
        (K::Sint, K::Float) => (a as i32 as f32).to_bits(),
        (K::Float, K::Uint) => f(a) as u32,
        (K::Float, K::Sint) => f(a) as i32 as u32,
        (K::Uint | K::Sint, K::Bool) => u32::from(a != 0),
        (K::Float, K::Bool) => u32::from(f(a) != 0.0),
        other => panic!("not interpreted: the conversion {other:?}"),
    }
}
