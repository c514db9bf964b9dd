//! The order of a switch: which bindings go together, and which go first.

use std::collections::BTreeSet;

use towpath_model::{ErrorKind, Failure, Result};

use crate::binding::{Binding, Subject};

/// Bindings that are switched before the gate is asked again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    /// `canary`, `rest`, or `all` where there is one group only.
    pub(crate) name: &'static str,
    /// Functions that read one of the bindings, in order.
    pub(crate) functions: Vec<String>,
    pub(crate) bindings: Vec<&'a Binding>,
}

/// What a binding must wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Secrets and parameters, read by environments of functions when they start.
    Values,
    /// Variables of functions. Writing them ends the environments that run, so the values that new
    /// ones read must be there before.
    Functions,
    /// Aliases: their versions are published from a function that is switched already.
    Aliases,
}

/// The way forward, level by level.
pub(crate) const FORWARD: [Level; 3] = [Level::Values, Level::Functions, Level::Aliases];

/// The way back. Aliases leave their versions before the functions change under them. Values come
/// first here too: an environment that starts because its function was put back would read, and
/// for minutes keep, what is about to be put back.
pub(crate) const BACK: [Level; 3] = [Level::Values, Level::Aliases, Level::Functions];

impl Level {
    pub(crate) const fn of(binding: &Binding) -> Self {
        match binding.subject {
            Subject::Secret(_) | Subject::Parameter(_) => Level::Values,
            Subject::Function(_) => Level::Functions,
            Subject::Alias(_) => Level::Aliases,
        }
    }
}

/// Functions of the first group, and those that could not be in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Canary {
    pub(crate) functions: BTreeSet<String>,
    /// Functions that were asked for and read something that others read too, with its name.
    pub(crate) moved: Vec<(String, String)>,
}

/// Which of the functions asked for can go first: one that shares a secret or a parameter with a
/// function outside must go with that, or it would take the other along.
pub(crate) fn canary(bindings: &[Binding], asked: &[String]) -> Canary {
    let known: BTreeSet<&String> = bindings.iter().flat_map(|it| &it.readers).collect();
    let asked = asked.iter().filter(|name| known.contains(name));
    let mut canary = Canary {
        functions: asked.cloned().collect(),
        moved: Vec::new(),
    };
    // Each one that is moved may draw others after it.
    loop {
        let shared = bindings.iter().find_map(|binding| {
            let (inside, outside): (Vec<_>, Vec<_>) = binding
                .readers
                .iter()
                .partition(|reader| canary.functions.contains(*reader));
            (!inside.is_empty() && !outside.is_empty()).then(|| (binding.name(), inside))
        });
        let Some((name, inside)) = shared else {
            return canary;
        };
        for reader in inside {
            canary.functions.remove(reader);
            canary.moved.push((reader.clone(), name.clone()));
        }
    }
}

/// Refuses a first group that would not be what was asked for.
pub(crate) fn check_canary(bindings: &[Binding], asked: &[String]) -> Result<()> {
    let known: BTreeSet<&String> = bindings.iter().flat_map(|it| &it.readers).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(
            ErrorKind::Config,
            format!("switch.canary names {unknown}, and nothing of it is switched"),
        )
        .hint("name functions that are selected and point at the source"));
    }
    let canary = canary(bindings, asked);
    match canary.moved.first() {
        Some((function, shared)) if canary.functions.is_empty() => Err(Failure::new(
            ErrorKind::Blocked,
            format!("no function of switch.canary can be switched alone: {function} shares {shared} with others"),
        )
        .hint("name functions with variables or secrets of their own, or every reader of the shared one")),
        _ => Ok(()),
    }
}

/// The groups in order; none is empty.
pub(crate) fn groups<'a>(bindings: &'a [Binding], canary: &Canary) -> Vec<Group<'a>> {
    // After the closure above a binding is read by the canary alone or not at all.
    let is_first = |binding: &&Binding| {
        let mut readers = binding.readers.iter();
        readers.any(|reader| canary.functions.contains(reader))
    };
    let (first, rest): (Vec<_>, Vec<_>) = bindings.iter().partition(is_first);
    let names = match first.is_empty() || rest.is_empty() {
        true => ["all", "all"],
        false => ["canary", "rest"],
    };
    let group = |(name, bindings): (&'static str, Vec<&'a Binding>)| {
        let functions: BTreeSet<&String> = bindings.iter().flat_map(|it| &it.readers).collect();
        Group {
            name,
            functions: functions.into_iter().cloned().collect(),
            bindings,
        }
    };
    let parts = names.into_iter().zip([first, rest]);
    parts
        .filter(|(_, bindings)| !bindings.is_empty())
        .map(group)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::{FunctionBinding, SecretBinding};
    use towpath_model::connection::Secret;

    fn function(name: &str) -> Binding {
        Binding {
            subject: Subject::Function(FunctionBinding {
                function: name.to_owned(),
                ..FunctionBinding::default()
            }),
            readers: vec![name.to_owned()],
            changes: Vec::new(),
        }
    }

    fn secret(name: &str, readers: &[&str]) -> Binding {
        Binding {
            subject: Subject::Secret(SecretBinding {
                arn: name.to_owned(),
                name: name.to_owned(),
                version: String::new(),
                labels: crate::binding::SecretLabels::default(),
                before: Secret::new(""),
                after: Secret::new(""),
            }),
            readers: readers.iter().map(|it| (*it).to_owned()).collect(),
            changes: Vec::new(),
        }
    }

    fn told(bindings: &[Binding], asked: &[&str]) -> String {
        let asked: Vec<String> = asked.iter().map(|it| (*it).to_owned()).collect();
        let canary = canary(bindings, &asked);
        let groups = groups(bindings, &canary);
        let told: Vec<String> = groups
            .iter()
            .map(|group| {
                let names: Vec<String> = group.bindings.iter().map(|it| it.name()).collect();
                format!(
                    "{} ({}): {}",
                    group.name,
                    group.functions.join(" "),
                    names.join(", ")
                )
            })
            .collect();
        told.join("; ")
    }

    #[test]
    fn a_canary_takes_along_what_only_it_reads() {
        let bindings = [
            function("a"),
            function("b"),
            secret("of-a", &["a"]),
            secret("of-b", &["b", "c"]),
            secret("of-nobody", &[]),
        ];
        assert_eq!(
            told(&bindings, &["a"]),
            "canary (a): lambda a, secret of-a; \
             rest (b c): lambda b, secret of-b, secret of-nobody"
        );
        assert_eq!(
            told(&bindings, &["c", "b"]),
            "canary (b c): lambda b, secret of-b; rest (a): lambda a, secret of-a, secret of-nobody"
        );
        assert!(told(&bindings, &[]).starts_with("all (a b c): lambda a, lambda b"));
        assert!(told(&bindings[..1], &["a"]).starts_with("all (a)"));
    }

    #[test]
    fn a_canary_that_shares_goes_with_the_rest_and_draws_others_along() {
        let bindings = [
            function("a"),
            function("b"),
            function("c"),
            function("d"),
            secret("ab", &["a", "b"]),
            secret("bc", &["b", "c"]),
        ];
        assert_eq!(
            told(&bindings, &["a", "b", "d"]),
            "canary (d): lambda d; rest (a b c): lambda a, lambda b, lambda c, secret ab, secret bc"
        );
        let asked = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            check_canary(&bindings, &names)
        };
        assert!(asked(&[]).is_ok());
        assert!(asked(&["a", "d"]).is_ok());
        let alone = asked(&["a"]).unwrap_err();
        assert_eq!(alone.kind(), ErrorKind::Blocked);
        assert!(alone.to_string().contains("a shares secret ab"), "{alone}");
        assert_eq!(asked(&["d", "x"]).unwrap_err().kind(), ErrorKind::Config);
    }
}
