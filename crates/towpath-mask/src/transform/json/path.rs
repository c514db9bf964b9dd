//! Paths to values within JSON.

/// Steps of a path at most: positions in it are bits.
const LONGEST: usize = 60;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
    AnyElement,
    AnyOne,
    AnyDepth,
}

/// Whether a path can be read; the error is a sentence.
pub(in crate::transform) fn check_path(path: &str) -> std::result::Result<(), String> {
    read_path(path).map(|_| ())
}

pub(super) fn read_path(path: &str) -> std::result::Result<Vec<Step>, String> {
    let wrong = |why: &str| Err(format!("the JSON path {path} {why}"));
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix("$.").unwrap_or(path);
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some((name, after)) = read_quoted(quoted) else {
                return wrong("has a quote without an end");
            };
            steps.push(Step::Name(name));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            match name {
                "" if after.starts_with('[') => {}
                "" => return wrong("has a step without a name: put it into double quotes"),
                "$" if steps.is_empty() => {}
                "*" => steps.push(Step::AnyOne),
                "**" => steps.push(Step::AnyDepth),
                _ => steps.push(Step::Name(name.to_owned())),
            }
            rest = after;
        }
        while let Some(inner) = rest.strip_prefix('[') {
            let Some((index, after)) = inner.split_once(']') else {
                return wrong("has a bracket without an end");
            };
            steps.push(match (index, index.parse()) {
                ("" | "*", _) => Step::AnyElement,
                (_, Ok(index)) => Step::Index(index),
                _ => return wrong("has something that is no number within brackets"),
            });
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() => break,
            None => return wrong("has something behind a quote or a bracket: put a dot there"),
        }
    }
    if steps.len() > LONGEST {
        return wrong("has too many steps");
    }
    Ok(steps)
}

/// A name up to its quote, and what is behind; two quotes are one within it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        let Some(more) = after.strip_prefix('"') else {
            return Some((name, after));
        };
        name.push('"');
        rest = more;
    }
}

/// Where a value stands in its object or array.
pub(super) enum Place<'p> {
    Name(&'p str),
    Index(usize),
}

/// Which steps of a path are behind us, as bits; several where it has `**`.
pub(super) fn begin(path: &[Step]) -> u64 {
    skip_depths(path, 1)
}

/// `**` may stand for nothing.
fn skip_depths(path: &[Step], mut at: u64) -> u64 {
    for (number, step) in path.iter().enumerate() {
        if *step == Step::AnyDepth && at & 1 << number != 0 {
            at |= 1 << (number + 1);
        }
    }
    at
}

pub(super) fn go(path: &[Step], from: u64, place: &Place<'_>) -> u64 {
    let mut to = 0;
    for (number, step) in path.iter().enumerate() {
        if from & 1 << number == 0 {
            continue;
        }
        let fits = match (step, place) {
            (Step::AnyDepth, _) => {
                to |= 1 << number;
                false
            }
            (Step::AnyOne, _) => true,
            (Step::Name(name), Place::Name(other)) => name == other,
            (Step::AnyElement, Place::Index(_)) => true,
            (Step::Index(index), Place::Index(other)) => index == other,
            _ => false,
        };
        if fits {
            to |= 1 << (number + 1);
        }
    }
    skip_depths(path, to)
}
