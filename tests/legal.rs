//! Behaviour that WGSL permits but no driver here shows, planted in the shaders: the conformance suite must not report it, and the strict
//! bounds must detect each.

mod common;

use diffews_wgpu::check::{Case, run_case};
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::shader::{Form, Kernel, LIBRARY};
use diffews_wgpu::twins;
use regex::Regex;

const SEED: u64 = 20241;
/// Cases of more operations are not run. By default, at most two cases with far fewer operations are run, in one form.
const LONG: u64 = 20_000_000;
const SHORT: u64 = 1_000_000;
const FEW: usize = 2;

/// One behaviour: an addition to a shader, and replacements in it by regular expressions.
struct Behaviour {
    name: &'static str,
    storage: Policy,
    added: &'static str,
    replaced: &'static [(&'static str, &'static str)],
    /// Kernels in which the strict bounds detect it.
    seen: &'static [&'static str],
}

const FLUSH: &str = "
fn flush(v: vec4<f32>) -> vec4<f32> { return select(v, vec4<f32>(), abs(v) < vec4(6.103515625e-5)); }
fn flush2(v: vec2<f32>) -> vec2<f32> { return flush(v.xyxy).xy; }
";

/// The rounding error of a sum can be computed exactly (Knuth); if it has the other sign, the sum lies beyond the exact one. `nothing` is
/// zero, which compilers must not know, because they would simplify the differences.
const DOWN: &str = "
var<private> nothing: u32;
fn opaque(v: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4(nothing)); }
fn down(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let s = opaque(a + b);
    let t = opaque(s - a);
    let e = opaque(a - opaque(s - t)) + opaque(b - t);
    return select(s, bitcast<vec4<f32>>(bitcast<vec4<u32>>(s) - vec4(1u)), sign(e) * sign(s) < vec4<f32>());
}
fn down3(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> { return down(vec4(a, 0.0), vec4(b, 0.0)).xyz; }
fn down2(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> { return down(a.xyxy, b.xyxy).xy; }
fn down1(a: f32, b: f32) -> f32 { return down(vec4(a, 0.0, 0.0, 0.0), vec4(b, 0.0, 0.0, 0.0)).x; }
";

const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "subnormal halves are read as zero",
        storage: Policy::PACKED,
        added: FLUSH,
        replaced: &[
            (
                r"return vec4\(unpack2x16float\(v.x\), unpack2x16float\(v.y\)\);",
                "return flush(vec4(unpack2x16float(v.x), unpack2x16float(v.y)));",
            ),
            (r"return unpack2x16float\(v\);", "return flush2(unpack2x16float(v));"),
        ],
        seen: &[],
    },
    Behaviour {
        name: "subnormal halves are stored as zero",
        storage: Policy::PACKED,
        added: FLUSH,
        replaced: &[(r"return pack2x16float\(v\)", "return pack2x16float(flush2(v))")],
        seen: &["convert"],
    },
    Behaviour {
        name: "halves are rounded towards zero",
        storage: Policy::PACKED,
        added: "
fn cut(v: vec2<f32>) -> vec2<f32> {
    return select(v, bitcast<vec2<f32>>(bitcast<vec2<u32>>(v) & vec2(0xffffe000u)), abs(v) >= vec2(6.103515625e-5));
}
",
        replaced: &[(r"return pack2x16float\(v\)", "return pack2x16float(cut(v))")],
        seen: &["affine", "attention", "conv2d", "convert", "guided_filter", "layer_norm", "winograd_output"],
    },
    Behaviour {
        name: "additions are rounded towards zero",
        storage: Policy::F32,
        added: DOWN,
        replaced: &[
            (r"fn main\(@builtin\(workgroup_id\) (\w+): [^{]*\{", "$0\n    nothing = $1.y >> 30u;"),
            (
                r"(\S+) \+= (\S+)\.x \* (\S+)\[0\] \+ \S+ \* \S+\[1\] \+ \S+ \* \S+\[2\] \+ \S+ \* \S+\[3\];",
                "$1 = down(down(down(down($1, $2.x * $3[0]), $2.y * $3[1]), $2.z * $3[2]), $2.w * $3[3]);",
            ),
            (r"(\(\*acc\)\[\d\]) \+= (product\(.*\));", "$1 = down($1, $2);"),
            (r"((?:low|high|gates)\[r\]) \+= (select\(.*\));", "$1 = down($1, $2);"),
            (r"\bs \+= (vec4\(dot[^;]*\));", "s = down(s, $1);"),
            (r"(acc\[.*\]) \+= (.* \* .*);", "$1 = down($1, $2);"),
            (r"total \+= w;", "total = down1(total, w);"),
            (
                r"\b(sum|m2|mean) \+= (unpack4\(.*\)|d \* d|select\(.*\)|pixel\(.*\)|moments\[.*\]|fitted\[.*\]|spread\[.*\]);",
                "$1 = down($1, $2);",
            ),
            (r"\b(sum|m2) \+= (count.*|stat.*);", "$1 = down1($1, $2);"),
            (r"(even_\w+) \+ (odd_\w+),", "down1($1, $2),"),
            (r"(even_\w+) - (odd_\w+),", "down1($1, -$2),"),
            (r"d\[(\d)\] - 2\.5 \* d\[(\d)\] \+ d\[(\d)\]", "down1(down1(d[$1], -2.5 * d[$2]), d[$3])"),
            (r"d\[4\] - (2\.0|0\.5) \* d\[2\]", "down1(d[4], -$1 * d[2])"),
            (r"m\[0\] \+ near \+ far,", "down_value(down_value(m[0], near), far),"),
            (r"near_odd \+ far_odd,", "down_value(near_odd, far_odd),"),
            (r"let (near|far) = (m\[\d\]) \+ (m\[\d\]);", "let $1 = down_value($2, $3);"),
            (r"alias Value = vec2<f32>;", "$0 fn down_value(a: Value, b: Value) -> Value { return down2(a, b); }"),
            (r"alias Value = f32;", "$0 fn down_value(a: Value, b: Value) -> Value { return down1(a, b); }"),
            (r"(y\[j\]) \+= (b|unpack2\(.*\));", "$1 = down2($1, $2);"),
            (r"(diagonal|beside|with_level) \+= (.*);", "$1 = down3($1, $2);"),
        ],
        seen: &["conv2d", "group_stats", "layer_norm"],
    },
    Behaviour {
        name: "functions and quotients err as far as they may",
        storage: Policy::F32,
        added: "
fn off_exp(v: vec4<f32>) -> vec4<f32> { return exp(v) * (1.0 + (2.4 + 2.0 * min(abs(v), vec4(100.0))) * 1.1920929e-7); }
fn off_exp2(v: vec4<f32>) -> vec4<f32> { return exp2(v) * (1.0 + (2.4 + 2.0 * min(abs(v), vec4(100.0))) * 1.1920929e-7); }
",
        replaced: &[
            (r"\bexp\((-abs\(x\)|-0.5 \* h \* h|-2.0 \* abs\(v\))\)", "off_exp($1)"),
            (r"\bexp2\(s - most\)", "off_exp2(s - most)"),
            (r"\bexp2\((highest(?:\[r\])?) - most\)", "off_exp2(vec4($1 - most)).x"),
            (r"1\.0 / sqrt\(", "(1.0 + 5.0 * 1.1920929e-7) / sqrt("),
            (r"let norm = 1\.0 / sum;", "let norm = (1.0 + 2.0 * 1.1920929e-7) / sum;"),
            (r"let mean = (sum4\(sum\)|sum) / (.*);", "let mean = $1 / $2 * (1.0 + 1.1920929e-7);"),
        ],
        seen: &[],
    },
];

/// A kernel's text with its imports inserted.
fn inlined(source: &str) -> String {
    let imported = |line: &str| {
        let name = line.trim().strip_prefix("#import ")?.trim().trim_matches('"');
        LIBRARY.iter().find(|part| part.0 == name).map(|part| inlined(part.1))
    };
    source.lines().map(|line| imported(line).unwrap_or(line.to_string()) + "\n").collect()
}

impl Behaviour {
    fn planted(&self, source: &str) -> Option<&'static str> {
        let text = inlined(source);
        let mut changed = text.clone();
        for (from, to) in self.replaced {
            changed = Regex::new(from).unwrap().replace_all(&changed, *to).into_owned();
        }
        (changed != text).then(|| &*(changed + self.added).leak())
    }

    /// Runs each affected kernel. With `all`, in a form of each text, checking that the strict bounds detect the behaviour.
    fn run(&self, gpu: &Gpu, all: bool) {
        for tested in &twins::ALL {
            let changed = |form: &Form| self.planted(form.source);
            let able = |form: &&Form| changed(form).is_some() && form.needs.lacks(&gpu.forms.facts).is_none();
            let mut forms: Vec<&'static Form> = tested.kernel.forms.iter().filter(able).collect();
            forms.dedup_by_key(|form| form.source);
            if forms.is_empty() {
                continue;
            }
            let planted = |form: &Form| Form { source: changed(form).unwrap_or(form.source), ..*form };
            let planted: Vec<Form> = tested.kernel.forms.iter().map(planted).collect();
            let name = format!("{}, where {}", tested.kernel.name, self.name).leak();
            let kernel = &*Box::leak(Box::new(Kernel { name, forms: planted.leak(), ..*tested.kernel }));
            let taken = |case: &Case| case.storages.contains(&self.storage) && case.fits(&gpu.limits());
            let mut cases: Vec<(u64, Case)> = Vec::new();
            for case in (tested.cases)().into_iter().filter(taken) {
                let recorded = case.record(self.storage, gpu.forms.clone(), gpu.limits(), SEED).expect("it records");
                let flops = recorded.recording.dispatches.iter().map(|d| d.flops).sum::<u64>();
                if flops <= if all { LONG } else { SHORT } {
                    cases.push((flops, case));
                }
            }
            cases.sort_by_key(|case| std::cmp::Reverse(case.0));
            if !all {
                forms.truncate(1);
                cases.truncate(FEW);
            }
            let mut worst = 0f64;
            for (_, case) in cases {
                let case = case.with_kernel(tested.kernel.name, kernel);
                for form in forms.iter().filter(|form| case.takes(form) && self.storage.suits(form)) {
                    let outcome = run_case(gpu, &case, self.storage, form, SEED);
                    assert!(outcome.passed(), "{}: {outcome}", self.name);
                    worst = worst.max(outcome.strict);
                }
            }
            println!("{}: {}: {worst:.3} of the strict bound", self.name, tested.kernel.name);
            let seen = !all || worst > 1.0 || !self.seen.contains(&tested.kernel.name);
            assert!(seen, "{} in {}: the strict bounds do not see it", self.name, tested.kernel.name);
        }
    }

    /// Patterns that no longer occur in any shader.
    fn lost(&self) -> Vec<&'static str> {
        let sources = || twins::ALL.iter().flat_map(|tested| tested.kernel.forms).map(|form| inlined(form.source));
        let nowhere = |from: &str| !sources().any(|text| Regex::new(from).unwrap().is_match(&text));
        self.replaced.iter().map(|r| r.0).filter(|from| nowhere(from)).collect()
    }
}

#[test]
fn what_wgsl_allows_is_not_accused() {
    let lost: Vec<&str> = BEHAVIOURS.iter().flat_map(|behaviour| behaviour.lost()).collect();
    assert!(lost.is_empty(), "no shader has {lost:#?}");
    let gpu = common::gpu();
    BEHAVIOURS.iter().for_each(|behaviour| behaviour.run(&gpu, false));
}

#[test]
#[ignore = "minutes: make mutants"]
fn what_wgsl_allows_is_not_accused_in_any_text() {
    let gpu = common::gpu();
    // A part of a behaviour's name, to run a selection.
    let only = std::env::var("LEGAL_ONLY").unwrap_or_default();
    BEHAVIOURS.iter().filter(|b| b.name.contains(&only)).for_each(|behaviour| behaviour.run(&gpu, true));
}
