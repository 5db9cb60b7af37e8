//! Evaluates expressions.

use super::arithmetic;
use super::lane::Lane;
use super::memory::{Kind, Memory};
use super::shader::literal;
use super::value::{Part, Pointer, Root, Value, part, pointee_words, words_of};
use naga::{BinaryOperator, Expression, Handle, MathFunction, RelationalFunction, ScalarKind, TypeInner};

impl<'a> Lane<'a> {
    fn ty(&self, expression: Handle<Expression>) -> &'a TypeInner {
        self.top().body.info[expression].ty.inner_with(&self.shader.module.types)
    }

    pub fn kind(&self, expression: Handle<Expression>) -> ScalarKind {
        let ty = self.ty(expression);
        let number = matches!(ty, TypeInner::Scalar(_) | TypeInner::Vector { .. });
        ty.scalar_kind().filter(|_| number).unwrap_or_else(|| panic!("not interpreted: an operation on {ty:?}"))
    }

    /// Whether it has numbers of 64 bits.
    fn is_wide(&self, expression: Handle<Expression>) -> bool {
        self.ty(expression).scalar_width() == Some(8)
    }

    /// Its value, which an `Emit` has stored, or which needs none.
    pub fn get(&self, expression: Handle<Expression>, memory: &mut Memory) -> Value {
        match &self.top().values[expression.index()] {
            Value::Unset => self.evaluate(expression, memory),
            value => value.clone(),
        }
    }

    pub fn evaluate(&self, expression: Handle<Expression>, memory: &mut Memory) -> Value {
        let module = &self.shader.module;
        let top = self.top();
        match top.body.function.expressions[expression] {
            Expression::Literal(value) => literal(value),
            Expression::Constant(constant) => self.shader.constants[constant.index()].clone(),
            Expression::ZeroValue(ty) => Value::made(words_of(module, ty) as usize, |_| 0),
            Expression::Compose { ref components, .. } => {
                let parts: Vec<Value> = components.iter().map(|c| self.get(*c, memory)).collect();
                Value::of(&parts.iter().flat_map(|part| part.words()).copied().collect::<Vec<_>>())
            }
            Expression::Splat { size, value } => {
                let word = self.get(value, memory).scalar();
                Value::made(size as usize, |_| word)
            }
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.get(vector, memory);
                Value::made(size as usize, |i| vector.words()[pattern[i] as usize])
            }
            Expression::FunctionArgument(i) => top.arguments[i as usize].clone(),
            Expression::GlobalVariable(variable) => {
                Value::Pointer(Pointer { root: Root::Global(variable.index()), offset: 0 })
            }
            Expression::LocalVariable(variable) => {
                let offset = top.body.locals.places[variable.index()];
                Value::Pointer(Pointer { root: Root::Local(self.frames.len() - 1), offset })
            }
            Expression::Load { pointer } => {
                let n = pointee_words(module, self.ty(pointer));
                self.load(self.get(pointer, memory).pointer(), n, memory)
            }
            Expression::AccessIndex { base, index } => self.access(base, index, memory),
            Expression::Access { base, index } => {
                let index = self.get(index, memory).scalar();
                self.access(base, index, memory)
            }
            Expression::Unary { op, expr } => {
                let (kind, a) = (self.kind(expr), self.get(expr, memory));
                Value::made(a.words().len(), |i| arithmetic::unary(op, kind, a.words()[i]))
            }
            Expression::Binary { op, left, right } => {
                let kind = self.kind(left);
                self.kind(right);
                let (a, b) = (self.get(left, memory), self.get(right, memory));
                let (a, b) = (a.words(), b.words());
                if self.is_wide(left) {
                    let upper = op == BinaryOperator::ShiftRight && b == [32];
                    assert!(upper, "not interpreted: {op:?} of 64 bits, except the upper half");
                    return Value::made(a.len(), |i| if i % 2 == 0 { a[i + 1] } else { 0 });
                }
                // A scalar combines with each component.
                Value::made(a.len().max(b.len()), |i| arithmetic::binary(op, kind, at(a, i), at(b, i)))
            }
            Expression::Select { condition, accept, reject } => {
                let condition = self.get(condition, memory);
                let (yes, no) = (self.get(accept, memory), self.get(reject, memory));
                let (chosen, yes, no) = (condition.words(), yes.words(), no.words());
                Value::made(yes.len(), |i| if at(chosen, i) != 0 { yes[i] } else { no[i] })
            }
            Expression::Relational { fun, argument } => {
                let value = self.get(argument, memory);
                let mut words = value.words().iter();
                Value::word(u32::from(match fun {
                    RelationalFunction::All => words.all(|&w| w != 0),
                    RelationalFunction::Any => words.any(|&w| w != 0),
                    other => panic!("not interpreted: {other:?}"),
                }))
            }
            Expression::Math { fun, arg, arg1, arg2, arg3: None } => self.math(fun, arg, [arg1, arg2], memory),
            Expression::As { expr, kind, convert } => {
                let value = self.get(expr, memory);
                match convert {
                    None => value,
                    Some(4) if self.is_wide(expr) => {
                        assert_eq!(kind, ScalarKind::Uint, "not interpreted: a conversion of 64 bits");
                        Value::made(value.words().len() / 2, |i| value.words()[2 * i])
                    }
                    Some(4 | 1) => {
                        let from = self.kind(expr);
                        Value::made(value.words().len(), |i| arithmetic::converted(from, kind, value.words()[i]))
                    }
                    Some(2) => {
                        assert_eq!((self.kind(expr), kind), (ScalarKind::Float, ScalarKind::Float), "not interpreted");
                        Value::made(value.words().len(), |i| arithmetic::rounded_to_half(value.words()[i]))
                    }
                    Some(width) => panic!("not interpreted: numbers of {width} bytes"),
                }
            }
            Expression::CooperativeLoad { columns, rows, ref data, .. } => {
                self.matrix(columns as u32, rows as u32, data, memory)
            }
            Expression::CooperativeMultiplyAdd { a, b, c } => {
                let [a, b, c] = [a, b, c].map(|matrix| self.get(matrix, memory));
                // All matrices are square.
                let side = c.words().len().isqrt();
                match self.leads() {
                    true => Value::of(&arithmetic::multiplied(a.words(), b.words(), c.words(), side)),
                    false => c,
                }
            }
            ref other => panic!("not interpreted: {other:?}"),
        }
    }

    fn math(
        &self,
        function: MathFunction,
        first: Handle<Expression>,
        more: [Option<Handle<Expression>>; 2],
        memory: &mut Memory,
    ) -> Value {
        let a = self.get(first, memory);
        let [b, c] = more.map(|more| more.map(|more| self.get(more, memory)));
        let words = |value: &Option<Value>, i: usize| value.as_ref().map_or(0, |value| value.words()[i]);
        match function {
            MathFunction::Dot => {
                assert_eq!(self.kind(first), ScalarKind::Float, "not interpreted: dot of whole numbers");
                Value::word(arithmetic::dot(a.words(), b.as_ref().map_or(&[], |b| b.words())))
            }
            MathFunction::Pack2x16float => Value::word(arithmetic::pack_halves(a.words())),
            MathFunction::Unpack2x16float => Value::of(&arithmetic::unpack_halves(a.scalar())),
            _ => {
                let kind = self.kind(first);
                let one = |i| arithmetic::math(function, kind, a.words()[i], words(&b, i), words(&c, i));
                Value::made(a.words().len(), one)
            }
        }
    }

    fn access(&self, base: Handle<Expression>, index: u32, memory: &mut Memory) -> Value {
        let Part { mut offset, words, exists } = part(&self.shader.module, self.ty(base), index);
        if !exists {
            memory.fault(Kind::Beyond, "an array", || format!("part {index}, by lane {}", self.who.lane));
            offset = 0;
        }
        if let Value::Pointer(pointer) = &self.top().values[base.index()] {
            return Value::Pointer(Pointer { offset: pointer.offset.saturating_add(offset), ..*pointer });
        }
        match self.get(base, memory) {
            Value::Pointer(p) => Value::Pointer(Pointer { offset: p.offset.saturating_add(offset), ..p }),
            value => Value::of(&value.words()[offset as usize..(offset + words) as usize]),
        }
    }

    pub fn load(&self, pointer: Pointer, n: u32, memory: &mut Memory) -> Value {
        match pointer.root {
            Root::Global(global) => memory.load(global, pointer.offset, n, self.who),
            Root::Local(frame) => {
                let at = pointer.offset as usize;
                Value::of(&self.frames[frame].locals[at..at + n as usize])
            }
        }
    }
}

/// A component, or the only one.
fn at(words: &[u32], i: usize) -> u32 {
    if words.len() == 1 { words[0] } else { words[i] }
}
