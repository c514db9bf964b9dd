//! From a name in a text to the objects of the source that it stands for.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::structure::{ObjectId, ObjectKind, Structure};

use super::tree::{Mention, Wanted};
use super::words;
use crate::reserved::USER_OWNER;
use crate::source::{Builtin, Source};

/// The search path of the platform's own login.
const LOGIN_PATH: &str = "\"$user\", public, extensions";

/// Objects by schema and name.
pub(super) struct Names<'s> {
    objects: BTreeMap<(&'s str, &'s str), Vec<&'s ObjectId>>,
    builtins: BTreeMap<&'s str, Vec<&'s Builtin>>,
    builtin_operators: BTreeSet<&'s str>,
}

impl<'s> Names<'s> {
    pub(super) fn of(structure: &'s Structure, source: &'s Source) -> Self {
        let mut objects: BTreeMap<(&str, &str), Vec<&ObjectId>> = BTreeMap::new();
        for id in structure.objects.keys() {
            if let (Some(schema), None) = (&id.schema, &id.on) {
                objects.entry((schema, &id.name)).or_default().push(id);
            }
        }
        let mut builtins: BTreeMap<&str, Vec<&Builtin>> = BTreeMap::new();
        for builtin in &source.builtins {
            builtins.entry(&builtin.name).or_default().push(builtin);
        }
        Self {
            objects,
            builtins,
            builtin_operators: source
                .builtin_operators
                .iter()
                .map(String::as_str)
                .collect(),
        }
    }

    /// The schema and the objects that a mention stands for; nothing when it is no object of the
    /// source, or one that every server has.
    pub(super) fn resolve(
        &self,
        mention: &Mention,
        path: &[String],
    ) -> Option<(String, Vec<ObjectId>)> {
        if let Some(schema) = &mention.schema {
            let found = self.lookup(schema, mention)?;
            return Some((schema.clone(), found));
        }
        if self.is_builtin(mention) {
            return None;
        }
        path.iter()
            .find_map(|schema| Some((schema.clone(), self.lookup(schema, mention)?)))
    }

    fn lookup(&self, schema: &str, mention: &Mention) -> Option<Vec<ObjectId>> {
        let named = self.objects.get(&(schema, mention.name.as_str()))?;
        let of_kind: Vec<&ObjectId> = named
            .iter()
            .copied()
            .filter(|id| is_of_kind(id.kind, mention.wanted))
            .collect();
        if of_kind.is_empty() {
            return None;
        }
        let Wanted::Function(Some(count)) = mention.wanted else {
            return Some(of_kind.into_iter().cloned().collect());
        };
        // Defaults make calls shorter than the list of arguments, `variadic` makes them longer.
        let takes = |id: &&ObjectId| arguments(id) >= count;
        let fitting: Vec<ObjectId> = of_kind.iter().copied().filter(takes).cloned().collect();
        Some(if fitting.is_empty() {
            of_kind.into_iter().cloned().collect()
        } else {
            fitting
        })
    }

    /// `pg_catalog` comes first on every path, and a built-in wins when it takes the arguments.
    fn is_builtin(&self, mention: &Mention) -> bool {
        match mention.wanted {
            Wanted::Function(count) => {
                self.builtins
                    .get(mention.name.as_str())
                    .is_some_and(|overloads| {
                        overloads
                            .iter()
                            .any(|builtin| count.is_none_or(|count| builtin.takes(count)))
                    })
            }
            Wanted::Operator => self.builtin_operators.contains(mention.name.as_str()),
            _ => false,
        }
    }
}

fn arguments(function: &ObjectId) -> usize {
    match function.args.as_deref() {
        None | Some("") => 0,
        Some(args) => args.split(',').count(),
    }
}

fn is_of_kind(kind: ObjectKind, wanted: Wanted) -> bool {
    let is_relation = matches!(
        kind,
        ObjectKind::Table
            | ObjectKind::View
            | ObjectKind::MaterializedView
            | ObjectKind::ForeignTable
            | ObjectKind::Sequence
    );
    match wanted {
        Wanted::Function(_) => kind == ObjectKind::Function,
        Wanted::Relation => is_relation,
        Wanted::Type => is_relation || matches!(kind, ObjectKind::Type | ObjectKind::Domain),
        Wanted::Operator => kind == ObjectKind::Operator,
        Wanted::Anything => is_relation || kind == ObjectKind::Function,
    }
}

/// The schemas of a search path as the catalog writes it.
pub(super) fn path_of(setting: &str) -> Vec<String> {
    setting
        .split(',')
        .filter_map(|part| words::path(part.trim()).pop())
        .collect()
}

/// The search path that the user's login has on the source.
pub(super) fn login_path(source: &Source) -> Vec<String> {
    let of = |role: Option<&str>| {
        source
            .settings
            .iter()
            .find(|row| row.name == "search_path" && row.role.as_deref() == role)
            .map(|row| row.value.as_str())
    };
    path_of(
        of(Some(USER_OWNER))
            .or_else(|| of(None))
            .unwrap_or(LOGIN_PATH),
    )
}
