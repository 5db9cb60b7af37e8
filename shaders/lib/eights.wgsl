// Eight adjacent channels of a value, or two rows of four columns of a weight, as numbers of 64 bits. Some CPU drivers load each component
// of each lane on its own, and 64 bits take them little longer than 32.
alias Two4 = array<vec4<f32>, 2>;

fn floats(v: u64) -> vec2<f32> { return vec2(bitcast<f32>(u32(v)), bitcast<f32>(u32(v >> 32u))); }
fn halves(v: u64) -> vec4<f32> { return vec4(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }
fn eight_floats(v: vec4<u64>) -> Two4 { return Two4(vec4(floats(v.x), floats(v.y)), vec4(floats(v.z), floats(v.w))); }
fn eight_halves(v: vec2<u64>) -> Two4 { return Two4(halves(v.x), halves(v.y)); }

#ifdef PACKED
alias Stored8 = vec2<u64>;
fn unpack8(v: Stored8) -> Two4 { return eight_halves(v); }
#else
#ifdef F16
alias Stored8 = vec2<u64>;
fn unpack8(v: Stored8) -> Two4 { return eight_halves(v); }
#else
alias Stored8 = vec4<u64>;
fn unpack8(v: Stored8) -> Two4 { return eight_floats(v); }
#endif
#endif

#ifdef PACKED_WEIGHTS
alias StoredWeight8 = vec2<u64>;
fn unpack_weight8(v: StoredWeight8) -> Two4 { return eight_halves(v); }
#else
#ifdef F16_WEIGHTS
alias StoredWeight8 = vec2<u64>;
fn unpack_weight8(v: StoredWeight8) -> Two4 { return eight_halves(v); }
#else
alias StoredWeight8 = vec4<u64>;
fn unpack_weight8(v: StoredWeight8) -> Two4 { return eight_floats(v); }
#endif
#endif
