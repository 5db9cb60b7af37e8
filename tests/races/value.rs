//! Numbers as 32-bit words of any type (an f16 as the f32 of its value, 64 bits as two words, the lower one first), and the memory layout
//! of types: without gaps, as in all of ours.

use naga::{ArraySize, Handle, Module, Scalar, Type, TypeInner};

#[derive(Clone, Debug)]
pub enum Value {
    /// Not evaluated yet.
    Unset,
    /// A scalar or a vector.
    Small(u8, [u32; 4]),
    /// A matrix, an array or a struct.
    Large(Vec<u32>),
    Pointer(Pointer),
}

#[derive(Clone, Copy, Debug)]
pub struct Pointer {
    pub root: Root,
    /// In words.
    pub offset: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Root {
    /// The index of a global variable.
    Global(usize),
    /// The number of the function's frame whose local variables it points into.
    Local(usize),
}

impl Value {
    pub fn word(word: u32) -> Value {
        Value::Small(1, [word, 0, 0, 0])
    }

    pub fn of(words: &[u32]) -> Value {
        if words.len() > 4 {
            return Value::Large(words.to_vec());
        }
        let mut small = [0; 4];
        small[..words.len()].copy_from_slice(words);
        Value::Small(words.len() as u8, small)
    }

    /// `n` words, from a function of their index.
    pub fn made(n: usize, word: impl FnMut(usize) -> u32) -> Value {
        if n > 4 { Value::Large((0..n).map(word).collect()) } else { Value::small(n, word) }
    }

    fn small(n: usize, word: impl FnMut(usize) -> u32) -> Value {
        let mut small = [0; 4];
        small.iter_mut().zip((0..n).map(word)).for_each(|(to, from)| *to = from);
        Value::Small(n as u8, small)
    }

    pub fn words(&self) -> &[u32] {
        match self {
            Value::Small(n, words) => &words[..usize::from(*n)],
            Value::Large(words) => words,
            other => panic!("{other:?} is no number"),
        }
    }

    pub fn scalar(&self) -> u32 {
        match self {
            Value::Small(1, words) => words[0],
            other => panic!("{other:?} is no scalar"),
        }
    }

    pub fn pointer(&self) -> Pointer {
        match self {
            Value::Pointer(pointer) => *pointer,
            other => panic!("{other:?} is no pointer"),
        }
    }
}

fn words_of_scalar(scalar: Scalar) -> u32 {
    if scalar.width == 8 { 2 } else { 1 }
}

/// Words of a value of the type.
pub fn words(module: &Module, ty: &TypeInner) -> u32 {
    match *ty {
        TypeInner::Scalar(scalar) => words_of_scalar(scalar),
        TypeInner::Vector { size, scalar } => size as u32 * words_of_scalar(scalar),
        TypeInner::Matrix { columns, rows, .. } => columns as u32 * rows as u32,
        // Every lane has room for all of it, and the first of a subgroup holds it.
        TypeInner::CooperativeMatrix { columns, rows, .. } => columns as u32 * rows as u32,
        TypeInner::Array { base, size: ArraySize::Constant(n), .. } => n.get() * words_of(module, base),
        TypeInner::Struct { ref members, .. } => members.iter().map(|m| words_of(module, m.ty)).sum(),
        ref other => panic!("not interpreted: the size of {other:?}"),
    }
}

pub fn words_of(module: &Module, ty: Handle<Type>) -> u32 {
    words(module, &module.types[ty].inner)
}

/// The pointee of that pointer type, in words.
pub fn pointee_words(module: &Module, pointer: &TypeInner) -> u32 {
    match *pointer {
        TypeInner::Pointer { base, .. } => words_of(module, base),
        TypeInner::ValuePointer { size, scalar, .. } => size.map_or(1, |size| size as u32) * words_of_scalar(scalar),
        ref other => panic!("{other:?} is no pointer"),
    }
}

/// A part of a composite.
pub struct Part {
    pub offset: u32,
    pub words: u32,
    /// Whether the composite's type has a part of that index.
    pub exists: bool,
}

/// Part `index` of a composite, or of a pointer's target.
pub fn part(module: &Module, ty: &TypeInner, index: u32) -> Part {
    let each = |words: u32, n: u32| Part { offset: index.saturating_mul(words), words, exists: index < n };
    match *ty {
        TypeInner::Pointer { base, .. } => part(module, &module.types[base].inner, index),
        TypeInner::ValuePointer { size: Some(size), scalar, .. } | TypeInner::Vector { size, scalar } => {
            each(words_of_scalar(scalar), size as u32)
        }
        TypeInner::Matrix { columns, rows, .. } => each(rows as u32, columns as u32),
        TypeInner::Array { base, size: ArraySize::Constant(n), .. } => each(words_of(module, base), n.get()),
        // It ends with its binding.
        TypeInner::Array { base, size: ArraySize::Dynamic, .. } => each(words_of(module, base), u32::MAX),
        TypeInner::Struct { ref members, .. } => {
            let before = members[..index as usize].iter().map(|m| words_of(module, m.ty)).sum();
            Part { offset: before, words: words_of(module, members[index as usize].ty), exists: true }
        }
        ref other => panic!("not interpreted: a part of {other:?}"),
    }
}

/// Whether a type shared with the host has the layout that [`words`] assumes.
pub fn has_no_gaps(module: &Module, ty: &TypeInner) -> bool {
    match *ty {
        TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => [4, 8].contains(&scalar.width),
        TypeInner::Array { base, stride, .. } => {
            stride == 4 * words_of(module, base) && has_no_gaps(module, &module.types[base].inner)
        }
        TypeInner::Struct { ref members, .. } => {
            let mut at = 0;
            members.iter().all(|member| {
                let here = member.offset == at;
                at += 4 * words_of(module, member.ty);
                here && has_no_gaps(module, &module.types[member.ty].inner)
            })
        }
        _ => false,
    }
}
