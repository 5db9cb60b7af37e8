//! Exchanges between the lanes of a subgroup: an operation is done when all of them have reached it. It does not order memory, so accesses
//! on both sides of it are in the same phase.

use super::arithmetic::{binary, math};
use super::lane::{Lane, Stop};
use super::memory::{Kind, Memory};
use super::value::Value;
use naga::{BinaryOperator, Expression, Handle, MathFunction, ScalarKind, SubgroupOperation};

/// Subgroup size: the smallest that a form requires, so that no lane gains from a larger one.
pub const SUBGROUP: u32 = 8;

/// A waiting lane's operation.
pub struct Exchange {
    pub operand: Value,
    pub kind: ScalarKind,
    pub what: What,
    pub result: Handle<Expression>,
}

#[derive(Clone, Copy)]
pub enum What {
    /// The operand of the lane at that index.
    Of(u32),
    /// Of all lanes.
    All(SubgroupOperation),
}

/// Runs the lanes of a subgroup up to the next barrier, or to the end; false if they diverge.
pub fn run(lanes: &mut [Lane], memory: &mut Memory) -> bool {
    lanes.iter_mut().for_each(|lane| lane.run(memory));
    loop {
        let waiting = lanes.iter().filter(|lane| lane.stop == Some(Stop::Exchange)).count();
        if lanes.iter().any(|lane| lane.trail != lanes[0].trail) {
            memory.fault(Kind::Divergence, "a matrix", || "the lanes of a subgroup evaluated different ones".into());
            return false;
        }
        if waiting == 0 {
            return true;
        }
        let place = lanes[0].place();
        if waiting < lanes.len() || lanes.iter().any(|lane| lane.place() != place) {
            let what = || format!("{waiting} of {} lanes of a subgroup are there, or not at the same one", lanes.len());
            memory.fault(Kind::Divergence, "a subgroup operation", what);
            return false;
        }
        let results: Vec<Value> = lanes.iter().map(|lane| result(lanes, lane, memory)).collect();
        for (lane, value) in lanes.iter_mut().zip(results) {
            lane.answer(value);
            lane.run(memory);
        }
    }
}

fn result(lanes: &[Lane], lane: &Lane, memory: &mut Memory) -> Value {
    let Exchange { operand, kind, what, .. } = lane.waits_with();
    match *what {
        What::Of(place) => match lanes.iter().find(|other| other.who.lane % SUBGROUP == place) {
            Some(other) => other.waits_with().operand.clone(),
            None => {
                memory.fault(Kind::Beyond, "a subgroup", || format!("lane {place} does not exist"));
                Value::made(operand.words().len(), |_| u32::MAX)
            }
        },
        What::All(operation) => {
            let mut all: Vec<&Lane> = lanes.iter().collect();
            all.sort_by_key(|lane| lane.who.lane);
            let words = |lane: &Lane| lane.waits_with().operand.words().to_vec();
            let sum = all[1..].iter().fold(words(all[0]), |sum, lane| {
                sum.iter().zip(words(lane)).map(|(&a, b)| both(operation, *kind, a, b)).collect()
            });
            Value::of(&sum)
        }
    }
}

fn both(operation: SubgroupOperation, kind: ScalarKind, a: u32, b: u32) -> u32 {
    match operation {
        SubgroupOperation::Add => binary(BinaryOperator::Add, kind, a, b),
        SubgroupOperation::Min => math(MathFunction::Min, kind, a, b, 0),
        SubgroupOperation::Max => math(MathFunction::Max, kind, a, b, 0),
        other => panic!("not interpreted: {other:?} of a subgroup"),
    }
}
