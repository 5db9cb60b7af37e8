//! The shaders' text preprocessing: `#import "lib/x"`, `#ifdef NAME`, `#else`, `#endif`, and nothing else.
//! Numbers never travel through text; they are parameters or `override` constants.

use crate::kernels::LIBRARY;
use std::collections::HashSet;

/// WGSL of `source` with `defines` set. An error names the offending line.
pub fn preprocess(source: &str, defines: &[&str]) -> Result<String, String> {
    let mut out = String::with_capacity(source.len() + 1024);
    if defines.contains(&"F16") {
        out.push_str("enable f16;\n");
    }
    expand(source, defines, &mut HashSet::new(), &mut out)?;
    Ok(out)
}

fn expand<'a>(
    source: &'a str,
    defines: &[&str],
    imported: &mut HashSet<&'a str>,
    out: &mut String,
) -> Result<(), String> {
    // For each open #ifdef: is its present branch taken?
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
        } else if trimmed.starts_with('#') {
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
        assert_eq!(preprocess(source, &["A"]).unwrap(), "a\nnot b\nend\n");
        assert!(preprocess(source, &[]).is_err());
        assert!(preprocess("#ifdef A", &[]).is_err());
        assert!(preprocess("#bad", &[]).is_err());
        let twice = preprocess("#import \"lib/silu\"\n#import \"lib/silu\"", &[]).unwrap();
        assert_eq!(twice.matches("fn silu").count(), 1);
    }
}
