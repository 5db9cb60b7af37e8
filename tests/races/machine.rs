//! Runs a dispatch: one workgroup after another, and in each one lane after another up to the next barrier.

use super::lane::{Lane, Stop};
use super::memory::{Fault, Global, Kind, Memory, Place, Who, Words};
use super::shader::Shader;
use super::subgroup::{self, SUBGROUP};
use super::value::words_of;
use naga::AddressSpace;

/// Which lane and which workgroup runs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Forward,
    Backward,
}

impl Order {
    fn of(self, n: u32) -> Vec<u32> {
        let mut all: Vec<u32> = (0..n).collect();
        if self == Order::Backward {
            all.reverse();
        }
        all
    }
}

/// Bindings of a dispatch: ranges of words of buffers in binding order, and its parameters.
pub struct Bound {
    pub windows: Vec<(usize, std::ops::Range<usize>)>,
    pub params: Vec<u32>,
}

/// Runs a whole dispatch, the `number`th (from 1) over these buffers.
pub fn dispatch(
    shader: &Shader,
    bound: &Bound,
    buffers: &mut [Words],
    workgroups: [u32; 3],
    number: u32,
    order: Order,
) -> Vec<Fault> {
    let lanes = lanes_of(shader);
    let globals = shader.module.global_variables.iter().map(|(_, variable)| {
        let place = match (variable.space, variable.binding) {
            (AddressSpace::Uniform, Some(_)) => Place::Uniform(bound.params.clone()),
            (AddressSpace::Storage { .. }, Some(binding)) => {
                let (buffer, range) = &bound.windows[binding.binding as usize];
                Place::Storage { buffer: *buffer, start: range.start, len: range.len() }
            }
            (AddressSpace::WorkGroup, None) => {
                Place::Workgroup(Words::new(vec![u32::MAX; words_of(&shader.module, variable.ty) as usize]))
            }
            (AddressSpace::Private, None) if variable.init.is_none() => {
                let each = words_of(&shader.module, variable.ty) as usize;
                Place::Private { words: vec![0; each * lanes as usize], each }
            }
            other => panic!("not interpreted: a variable in {other:?}"),
        };
        Global { name: variable.name.clone().unwrap_or_default(), place }
    });
    let mut memory = Memory { globals: globals.collect(), buffers, dispatch: number, phase: 0, faults: Vec::new() };
    let [x, y, z] = workgroups;
    for workgroup in order.of(x * y * z) {
        let id = [workgroup % x, workgroup / x % y, workgroup / x / y];
        run_workgroup(shader, &mut memory, workgroup, id, order);
    }
    memory.faults
}

fn lanes_of(shader: &Shader) -> u32 {
    shader.module.entry_points[0].workgroup_size.iter().product()
}

fn run_workgroup(shader: &Shader, memory: &mut Memory, workgroup: u32, id: [u32; 3], order: Order) {
    let size = lanes_of(shader);
    memory.begin_workgroup();
    let who = |lane: u32| Who { workgroup, lane, invocation: workgroup * size + lane };
    let mut lanes: Vec<Lane> = order.of(size).into_iter().map(|l| Lane::new(shader, who(l), id, memory)).collect();
    loop {
        memory.phase += 1;
        let of_one = |a: &Lane, b: &Lane| a.who.lane / SUBGROUP == b.who.lane / SUBGROUP;
        if !lanes.chunk_by_mut(of_one).all(|subgroup| subgroup::run(subgroup, memory)) {
            return;
        }
        let waiting = lanes.iter().filter(|lane| lane.stop == Some(Stop::Barrier)).count();
        if waiting == 0 {
            return;
        }
        let place = lanes[0].place();
        if waiting < lanes.len() || lanes.iter().any(|lane| lane.place() != place) {
            let what = || format!("{waiting} of {size} lanes of workgroup {workgroup} wait, or not at the same place");
            memory.fault(Kind::Divergence, "a barrier", what);
            return;
        }
    }
}
