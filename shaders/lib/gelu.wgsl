// GELU with the error function: x * Phi(x), with a small relative error on both tails. Phi(-a) = exp(-a^2 / 2) * s(a), where s has no tail
// of its own: s(a) = t * P(t) / 2 with t = 1 / (1 + 0.35 a / sqrt(2)). P is a minimax relative fit of erfcx on a / sqrt(2) in [0, 10], with
// an error of 7.2e-9 (to refit: erfcx(z) (1 + 0.35 z) against t, degree 9).
fn gelu(x: vec4<f32>) -> vec4<f32> {
    let a = abs(x);
    let t = 1.0 / (1.0 + 0.24748737 * a);
    var s = 0.0384017755 * t - 0.158932221;
    s = s * t + 0.181470508;
    s = s * t - 0.0277180698;
    s = s * t + 0.0870291223;
    s = s * t + 0.146036601;
    s = s * t + 0.151188126;
    s = s * t + 0.187901984;
    s = s * t + 0.197138405;
    s = s * t + 0.197483776;
    // Rounding a^2 to f32 would cost |a^2| half-ulps in exp. So the leading bits are squared exactly, and (a - h)(a + h) adds the rest.
    let h = bitcast<vec4<f32>>(bitcast<vec4<u32>>(a) & vec4<u32>(0xfffff000u));
    let tail = 0.5 * t * s * exp(-0.5 * h * h) * exp(-0.5 * (a - h) * (a + h));
    return x * select(1.0 - tail, tail, x < vec4<f32>());
}
