//! The shader preprocessor: `#import "lib/x"`, `#ifdef NAME`, `#else`, `#endif`, `#for i N`, `#endfor`, and nothing else. The constants of
//! a form are `const`s at the head of the text, after the `enable` lines, each of which appears once; all other numbers are parameters.
//! `#ifdef` knows the constants' names, too.
//!
//! `#for i N` writes its lines N times, with the word `i` replaced by 0u, 1u, ...; N is a number, a `const` of the preceding text, or an
//! exact quotient of two of these. Such a loop takes no turns at run time (see `plan::Dispatch::turns`), and every compiler sees the
//! indices as constants.

use super::LIBRARY;
use std::collections::{BTreeSet, HashSet};

/// Returns the WGSL of `source` with `consts` and `defines` set. An error names the offending line.
pub fn preprocess(source: &str, consts: &[(&str, u32)], defines: &[&str]) -> Result<String, String> {
    let mut text = String::with_capacity(source.len() + 1024);
    for (name, value) in consts {
        text.push_str(&format!("const {name} = {value}u;\n"));
    }
    let names: Vec<&str> = defines.iter().copied().chain(consts.iter().map(|c| c.0)).collect();
    expand(source, &names, &mut HashSet::new(), &mut text)?;
    let halves = ["F16", "F16_WEIGHTS"].iter().any(|halves| defines.contains(halves));
    let mut enabled: BTreeSet<&str> = halves.then_some("enable f16;").into_iter().collect();
    enabled.extend(text.lines().filter(|line| line.starts_with("enable ")));
    let head: String = enabled.iter().map(|line| format!("{line}\n")).collect();
    let body: String =
        text.lines().filter(|line| !line.starts_with("enable ")).map(|line| format!("{line}\n")).collect();
    Ok(head + &unroll(&body, &body)?)
}

/// Writes out the `#for` loops of `text`, whose constants are declared in `whole`.
fn unroll(text: &str, whole: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.trim().strip_prefix("#for ") else {
            if line.trim() == "#endfor" {
                return Err("#endfor without #for".into());
            }
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (name, count) = head.trim().split_once(' ').ok_or(format!("expected a name and a number: {line}"))?;
        let count = number(count.trim(), whole).ok_or(format!("no such number: {line}"))?;
        let mut body = String::new();
        let mut open = 1;
        for line in lines.by_ref() {
            open += i32::from(line.trim().starts_with("#for ")) - i32::from(line.trim() == "#endfor");
            if open == 0 {
                break;
            }
            body.push_str(line);
            body.push('\n');
        }
        if open > 0 {
            return Err(format!("#for without #endfor: {line}"));
        }
        for i in 0..count {
            out.push_str(&unroll(&replace_word(&body, name, &format!("{i}u")), whole)?);
        }
    }
    Ok(out)
}

/// The value of `text`: a number, the `const` of that name in `whole`, or a quotient of two.
fn number(text: &str, whole: &str) -> Option<u32> {
    if let Some((all, each)) = text.split_once('/') {
        let (all, each): (u32, u32) = (number(all.trim(), whole)?, number(each.trim(), whole)?);
        return (each > 0 && all.is_multiple_of(each)).then(|| all / each);
    }
    let plain = |text: &str| text.trim_end_matches('u').parse::<u32>().ok();
    let value = |line: &str| {
        let value = line.trim().strip_prefix("const ")?.strip_prefix(text)?.trim_start().strip_prefix('=')?;
        plain(value.split(';').next()?.trim())
    };
    plain(text).or_else(|| whole.lines().find_map(value))
}

/// Replaces `word` in `text` by `with`, but not inside other words or as a component of a vector.
fn replace_word(text: &str, word: &str, with: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        out.push_str(&rest[..at]);
        rest = &rest[at + word.len()..];
        let alone = !out.ends_with(part) && !out.ends_with('.') && !rest.starts_with(part);
        out.push_str(if alone { with } else { word });
    }
    out + rest
}

fn expand<'a>(
    source: &'a str,
    defines: &[&str],
    imported: &mut HashSet<&'a str>,
    out: &mut String,
) -> Result<(), String> {
    // For each open #ifdef: whether its current branch is taken.
    let mut taken: Vec<bool> = Vec::new();
    for line in source.lines() {
        let trimmed = line.trim();
        let live = taken.iter().all(|&t| t);
        if let Some(name) = trimmed.strip_prefix("#ifdef ") {
            taken.push(defines.contains(&name.trim()));
        } else if trimmed == "#else" {
            let top = taken.last_mut().ok_or("#else without #ifdef")?;
            *top = !*top;
        } else if trimmed == "#endif" {
            taken.pop().ok_or("#endif without #ifdef")?;
        } else if !live {
        } else if let Some(name) = trimmed.strip_prefix("#import ") {
            let name = name.trim().trim_matches('"');
            let (name, text) = LIBRARY.iter().find(|l| l.0 == name).ok_or(format!("no such import: {name}"))?;
            if imported.insert(name) {
                expand(text, defines, imported, out)?;
            }
        } else if trimmed.starts_with('#') && !trimmed.starts_with("#for ") && trimmed != "#endfor" {
            return Err(format!("unknown directive: {trimmed}"));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    if taken.is_empty() { Ok(()) } else { Err("#ifdef without #endif".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_nest_and_imports_come_once() {
        let source = "#ifdef A\na\n#ifdef B\nb\n#else\nnot b\n#endif\n#else\n#bad\n#endif\nend";
        assert_eq!(preprocess(source, &[], &["A"]).unwrap(), "a\nnot b\nend\n");
        assert!(preprocess(source, &[], &[]).is_err());
        assert!(preprocess("#ifdef A", &[], &[]).is_err());
        assert!(preprocess("#bad", &[], &[]).is_err());
        assert_eq!(preprocess("#ifdef N\nn\n#endif", &[("N", 1)], &[]).unwrap(), "const N = 1u;\nn\n");
        let twice = preprocess("#import \"lib/silu\"\n#import \"lib/silu\"", &[], &[]).unwrap();
        assert_eq!(twice.matches("fn silu").count(), 1);
    }

    #[test]
    fn what_is_enabled_comes_first_and_once() {
        let source = "enable f16;\nalias H = f16;\nenable other;";
        let text = preprocess(source, &[("N", 2)], &["F16"]).unwrap();
        assert_eq!(text, "enable f16;\nenable other;\nconst N = 2u;\nalias H = f16;\n");
    }

    #[test]
    fn loops_are_written_out() {
        let source = "const N = 2u;\n#for r N\na[r] = rr + v.r + r;\n#for i 2\nb[r * 2u + i];\n#endfor\n#endfor\nend";
        let text = "const N = 2u;\na[0u] = rr + v.r + 0u;\nb[0u * 2u + 0u];\nb[0u * 2u + 1u];\n\
                    a[1u] = rr + v.r + 1u;\nb[1u * 2u + 0u];\nb[1u * 2u + 1u];\nend\n";
        assert_eq!(preprocess(source, &[], &[]).unwrap(), text);
        assert!(preprocess("#for r M\n#endfor", &[], &[]).unwrap_err().contains("no such number"));
        assert!(preprocess("#for r 2\na", &[], &[]).unwrap_err().contains("without #endfor"));
        assert!(preprocess("#endfor", &[], &[]).is_err());
        assert_eq!(preprocess("#for r N\nr\n#endfor", &[("N", 2)], &[]).unwrap(), "const N = 2u;\n0u\n1u\n");
        let halves = |n| preprocess("#for r N / 2\nr\n#endfor", &[("N", n)], &[]);
        assert_eq!(halves(4).unwrap(), "const N = 4u;\n0u\n1u\n");
        assert!(halves(3).is_err() && preprocess("#for r 2 / 0\n#endfor", &[], &[]).is_err());
        // A branch that is not taken declares no constants.
        let source = "#ifdef A\nconst N = 3u;\n#else\nconst N = 1u;\n#endif\n#for r N\nr\n#endfor";
        assert!(preprocess(source, &[], &["A"]).unwrap().ends_with("0u\n1u\n2u\n"));
        assert!(preprocess(source, &[], &[]).unwrap().ends_with("1u;\n0u\n"));
    }
}
