// x * sigmoid(x), with exp of a non-positive number only, so that nothing overflows.
fn silu(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return x * select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}
