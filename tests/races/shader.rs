//! A WGSL shader parsed by naga, with cached properties for the interpreter.

use super::value::{Value, has_no_gaps, words_of};
use naga::valid::{
    Capabilities, FunctionInfo, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};
use naga::{AddressSpace, Expression, Function, Handle, Module};

pub struct Shader {
    pub module: Module,
    pub info: ModuleInfo,
    pub constants: Vec<Value>,
    /// The offsets of each function's local variables, and their total words; the entry point's come last.
    pub locals: Vec<Locals>,
}

pub struct Locals {
    pub places: Vec<u32>,
    pub words: u32,
}

/// A function of a shader, with its properties.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    pub function: &'a Function,
    pub info: &'a FunctionInfo,
    pub locals: &'a Locals,
}

impl Shader {
    pub fn parse(wgsl: &str) -> Shader {
        let module = naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|e| panic!("{}", e.emit_to_string(wgsl)));
        // The interpreter itself checks whether barriers are uniform.
        let flags = ValidationFlags::all() - ValidationFlags::CONTROL_FLOW_UNIFORMITY;
        let able = Capabilities::SHADER_FLOAT16
            | Capabilities::SHADER_FLOAT16_IN_FLOAT32
            | Capabilities::SHADER_INT64
            | Capabilities::SUBGROUP
            | Capabilities::COOPERATIVE_MATRIX;
        let mut validator = Validator::new(flags, able);
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
        let validated = validator.validate(&module);
        let info = validated.unwrap_or_else(|e| panic!("{}", e.emit_to_string(wgsl)));
        for (_, variable) in module.global_variables.iter() {
            let shared = matches!(variable.space, AddressSpace::Uniform | AddressSpace::Storage { .. });
            let ty = &module.types[variable.ty].inner;
            assert!(!shared || has_no_gaps(&module, ty), "not interpreted: the layout of {:?}", variable.name);
        }
        let constants = module.constants.iter().map(|(_, c)| constant(&module, c.init)).collect();
        let functions = module.functions.iter().map(|(_, function)| function);
        let locals = functions.chain([&module.entry_points[0].function]).map(|f| Locals::of(&module, f)).collect();
        Shader { constants, locals, info, module }
    }

    pub fn entry(&self) -> Body<'_> {
        let function = &self.module.entry_points[0].function;
        Body { function, info: self.info.get_entry_point(0), locals: &self.locals[self.module.functions.len()] }
    }

    pub fn body(&self, function: Handle<Function>) -> Body<'_> {
        let locals = &self.locals[function.index()];
        Body { function: &self.module.functions[function], info: &self.info[function], locals }
    }
}

impl Locals {
    fn of(module: &Module, function: &Function) -> Locals {
        let (mut places, mut words) = (Vec::new(), 0);
        for (_, variable) in function.local_variables.iter() {
            places.push(words);
            words += words_of(module, variable.ty);
        }
        Locals { places, words }
    }
}

fn constant(module: &Module, expression: Handle<Expression>) -> Value {
    match &module.global_expressions[expression] {
        Expression::Literal(value) => literal(*value),
        Expression::Constant(other) => constant(module, module.constants[*other].init),
        Expression::ZeroValue(ty) => Value::made(words_of(module, *ty) as usize, |_| 0),
        Expression::Splat { size, value } => {
            let word = constant(module, *value).scalar();
            Value::made(*size as usize, |_| word)
        }
        Expression::Compose { components, .. } => {
            Value::of(&components.iter().flat_map(|c| constant(module, *c).words().to_vec()).collect::<Vec<_>>())
        }
        other => panic!("not interpreted: the constant {other:?}"),
    }
}

pub fn literal(value: naga::Literal) -> Value {
    Value::word(match value {
        naga::Literal::F32(v) => v.to_bits(),
        naga::Literal::U32(v) => v,
        naga::Literal::I32(v) => v as u32,
        naga::Literal::Bool(v) => u32::from(v),
        // Abstract constants that no concrete type of the shader uses.
        naga::Literal::AbstractInt(v) => v as u32,
        naga::Literal::AbstractFloat(v) => (v as f32).to_bits(),
        other => panic!("not interpreted: {other:?}"),
    })
}
