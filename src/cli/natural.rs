//! Natural order of file names: frame2 before frame10.

use std::cmp::Ordering;
use std::path::Path;

/// Compares folder by folder, runs of digits as numbers. Names that differ only in leading zeros are compared by bytes, so that no two
/// names are equal.
pub fn compare(a: &Path, b: &Path) -> Ordering {
    let (mut left, mut right) = (a.components(), b.components());
    loop {
        let order = match (left.next(), right.next()) {
            (Some(a), Some(b)) => names(a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes()),
            (None, None) => return a.cmp(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn names(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let order = match (left, right) {
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (number(&mut left), number(&mut right));
                x.len().cmp(&y.len()).then(x.cmp(y))
            }
            ([x, more @ ..], [y, others @ ..]) => {
                (left, right) = (more, others);
                x.cmp(y)
            }
            _ => return left.len().cmp(&right.len()).then(a.cmp(b)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes the leading digits; returns them without leading zeros.
fn number<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    let zeros = digits.iter().position(|&b| b != b'0').unwrap_or(digits.len());
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::compare;
    use std::cmp::Ordering;
    use std::path::Path;

    #[test]
    fn numbers_count() {
        let sorted = [
            "",
            "a",
            "a/2.png",
            "a/10.png",
            "a.png",
            "a0.png",
            "a00.png",
            "a01.png",
            "a1.png",
            "a2",
            "a02b",
            "a2b",
            "a9/x.png",
            "a10/x.png",
            "a18446744073709551616.png",
            "a18446744073709551617.png",
            "b1c2",
            "b1c10",
            "z",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(Path::new(a), Path::new(b)), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare(Path::new("a/b"), Path::new("a//b")), Path::new("a/b").cmp(Path::new("a//b")));
        assert_ne!(compare(Path::new("1"), Path::new("01")), Ordering::Equal);
    }
}
