//! Planted faults: each is reported with its kind.

use super::cases::{Ran, run, smallest, tested};
use super::machine::Order;
use super::memory::Kind;
use diffews_wgpu::check::Case;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::shader::{Form, Stored};

const BARRIER: &str = "workgroupBarrier();";

/// A kernel's form, and its case whose title begins with `title` (the smallest if empty).
fn find(kernel: &str, form: &str, title: &str) -> (Case, &'static Form) {
    let found = tested().find(|(t, f)| t.kernel.name == kernel && f.name == form);
    let (tested, form) = found.unwrap_or_else(|| panic!("{kernel} has no form {form}"));
    let cases = if title.is_empty() { smallest(tested, form) } else { (tested.cases)() };
    let case = cases.into_iter().find(|case| case.name.starts_with(title));
    (case.unwrap_or_else(|| panic!("{kernel} has no case {title}")), form)
}

fn changed(case: &Case, form: &'static Form, change: impl Fn(&str) -> String) -> Ran {
    let own = case.kernel.name;
    let storage = if form.stored == Stored::Halves { Policy::PACKED } else { Policy::F32 };
    run(case, storage, form, Order::Forward, &|kernel, text| match kernel.name == own {
        true => change(&text),
        false => text,
    })
}

fn has(ran: &Ran, kind: Kind) -> bool {
    ran.faults.iter().any(|fault| fault.kind == kind)
}

/// The text without its barrier number `n`.
fn without(text: &str, n: usize) -> String {
    let (at, _) = text.match_indices(BARRIER).nth(n).expect("a barrier of that number");
    [&text[..at], &text[at + BARRIER.len()..]].concat()
}

/// Unnecessary barriers, by kernel and number, with the reason.
const REDUNDANT: [(&str, usize, &str); 2] = [
    (
        "attention",
        5,
        "what is read before it, the weights, is written again only behind the two barriers of the next tile's scores",
    ),
    ("conv2d", 2, "coop: nothing has been read of where the first matrices of sums are stored"),
];

#[test]
fn each_barrier_that_is_left_out_is_a_race() {
    for (kernel, form, title, barriers) in [
        // Heads of nine vec4s: their tiles are filled twice.
        ("attention", "tiled-32", "21 queries of spread 2, 21 + 40 keys", 6),
        // Nine taps.
        ("conv2d", "tiled-16", "7x5x6->10", 2),
        ("conv2d", "small-64", "7x5x6->10", 2),
        ("conv2d", "reg-64", "7x5x6->10", 2),
        // And the barriers around each of eight matrices of sums.
        ("conv2d", "coop8", "9x7x22->67 linear", 18),
        ("group_norm", "plain", "5x3x(18+30)", 3),
        ("barriers", "plain", "", 4),
        ("workgroup_memory", "plain", "", 1),
    ] {
        let (case, form) = find(kernel, form, title);
        assert_eq!(form.text(&[]).expect("it preprocesses").matches(BARRIER).count(), barriers, "{kernel}");
        for n in 0..barriers {
            let ran = changed(&case, form, |text| without(text, n));
            let needed = !REDUNDANT.iter().any(|(of, number, _)| (*of, *number) == (kernel, n));
            let found: Vec<String> = ran.faults.iter().map(|fault| fault.to_string()).collect();
            println!("{kernel} {} without barrier {n}: {}", form.name, found.join("; "));
            assert_eq!(has(&ran, Kind::Race), needed, "{kernel} {} without barrier {n}: {found:?}", form.name);
        }
    }
}

/// Replacing `from` by `to` in a kernel's only or first form is a fault of that kind.
fn replaced(kernel: &str, form: &str, (from, to): (&str, &str), kind: Kind) {
    let (case, form) = find(kernel, form, if kernel == "affine" { "5x3x(18+30)" } else { "" });
    let ran = changed(&case, form, |text| {
        assert!(text.contains(from), "{kernel}: {from:?} is not there");
        text.replacen(from, to, 1)
    });
    assert!(has(&ran, kind), "{kernel}: {from:?} -> {to:?}: {:?}", ran.faults);
}

#[test]
fn a_lane_that_reads_before_the_barrier_is_a_race() {
    let late = "workgroupBarrier();\n        v = tile[(lane + 97u) % 256u] + 1.0;";
    let early = "v = tile[(lane + 97u) % 256u] + 1.0;\n        workgroupBarrier();";
    replaced("barriers", "plain", (late, early), Kind::Race);
    let late = "workgroupBarrier();\n        var most = highest;";
    let early = "var most = max(highest, weights[row * WEIGHTS + 3u]);\n        workgroupBarrier();";
    replaced("attention", "tiled-64", (late, early), Kind::Race);
}

#[test]
fn invocations_that_write_one_place_are_a_race() {
    replaced("affine", "plain", ("= pack4(v);", "= pack4(v);\n    out[p.base_out] = pack4(v);"), Kind::Race);
    // All lanes of the first workgroup.
    replaced("group_norm", "plain", ("if wg.x == 0u {", "if wg.x == 0u {\n        affine[0] = affine[0];"), Kind::Race);
}

#[test]
fn a_barrier_that_some_lanes_do_not_come_to_is_seen() {
    let alone = "if lane < 100u { workgroupBarrier(); }";
    replaced("barriers", "plain", (BARRIER, alone), Kind::Divergence);
    // As many barriers, but not the same one.
    let other = "if lane < 100u { workgroupBarrier(); } else { workgroupBarrier(); }";
    replaced("barriers", "plain", (BARRIER, other), Kind::Divergence);
    // The same one, in other iterations of a loop.
    let turns = "for (var k = lane % 2u; k < 2u; k++) { workgroupBarrier(); }";
    replaced("barriers", "plain", (BARRIER, turns), Kind::Divergence);
}

#[test]
fn a_subgroup_that_parts_or_asks_a_lane_that_is_not_there_is_seen() {
    let all = "let sum = subgroupAdd(total[r]);";
    let some = "var sum = total[r];\n        if lane < 3u { sum = subgroupAdd(total[r]); }";
    replaced("attention", "broadcast-64", (all, some), Kind::Divergence);
    replaced("attention", "broadcast-64", ("].x, j)", "].x, j + 8u)"), Kind::Beyond);
    // Reading another lane's memory is a race even with a subgroup operation in between.
    replaced("attention", "broadcast-64", (all, &format!("{all}\n        out[0] = out[0];")), Kind::Race);
    let (case, form) = find("attention", "broadcast-64", "17 queries of spread 2, 17 + 33 keys");
    assert!(changed(&case, form, |text| text.replace(all, "let sum = subgroupMax(total[r]);")).ratio() > 1.0);
}

#[test]
fn a_subgroup_that_parts_over_a_matrix_is_seen() {
    let (whole, some) = ("if quarter < 4u {", "if quarter < 4u && t % 8u < 7u {");
    replaced("conv2d", "coop8", (whole, some), Kind::Divergence);
    replaced("conv2d", "coop8", ("&sums[quarter * SIDE * SIDE]", "&sums[0]"), Kind::Race);
    replaced("conv2d", "coop8", ("&left_tile[top * PITCH", "&left_tile[ROWS * PITCH - 1u"), Kind::Beyond);
}

#[test]
fn places_that_hold_nothing_are_seen() {
    replaced(
        "barriers",
        "plain",
        ("tile[lane] = input[i];", "if lane > 0u { tile[lane] = input[i]; }"),
        Kind::Unwritten,
    );
    replaced("affine", "plain", ("a[p.base_a + pos", "a[p.base_a + 1000u + pos"), Kind::Beyond);
    replaced("affine", "plain", ("out[p.base_out + i]", "out[p.base_out + i + 1000u]"), Kind::Beyond);
    replaced("barriers", "plain", ("(lane + 97u) % 256u", "lane + 97u"), Kind::Beyond);
}

/// The check of results works; otherwise an interpreter that does nothing would find no races.
#[test]
fn a_wrong_result_is_seen() {
    let (case, form) = find("barriers", "plain", "");
    assert_eq!(changed(&case, form, str::to_string).ratio(), 0.0);
    assert!(changed(&case, form, |text| text.replace("% 256u] + 1.0", "% 256u] + 2.0")).ratio() > 1.0);
}
