//! The order of the statements before the data: pg_dump's, with functions as early as they can be.
//!
//! pg_dump orders by the catalog's dependencies, which know nothing of what the text of a function
//! names. A generated column or a check is planned when its table is made, and planning unfolds SQL
//! functions: what those call must be there by then.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::structure::{ObjectId, ObjectKind};

use crate::source::Source;
use crate::statement::{Form, Piece, Section};

/// Moves each function to right behind the last thing its definition needs.
pub(crate) fn functions_early<'a>(pieces: &[&'a Piece], source: &Source) -> Vec<&'a Piece> {
    let needs = needs_of_functions(source);
    let made: BTreeSet<&ObjectId> = pieces
        .iter()
        .filter(|piece| piece.subject.makes)
        .map(|piece| &piece.subject.object)
        .collect();
    let mut waiting: Vec<&Piece> = pieces.iter().copied().filter(|p| is_function(p)).collect();
    let mut done: BTreeSet<&ObjectId> = BTreeSet::new();
    let mut ordered: Vec<&Piece> = Vec::with_capacity(pieces.len());
    let awaited: BTreeSet<&ObjectId> = needs.values().flatten().copied().collect();
    let mut may_be_ready = true;
    for piece in pieces.iter().copied() {
        if may_be_ready {
            take_ready(&mut waiting, &mut done, &mut ordered, &made, &needs);
        }
        // Nothing but what some function needs can make one ready.
        may_be_ready = piece.subject.makes && awaited.contains(&piece.subject.object);
        if is_function(piece) {
            // Its turn in pg_dump's order: everything it needs is there, known to us or not.
            if let Some(at) = waiting.iter().position(|w| std::ptr::eq(*w, piece)) {
                waiting.remove(at);
                done.insert(&piece.subject.object);
                ordered.push(piece);
            }
        } else {
            if piece.subject.makes {
                done.insert(&piece.subject.object);
            }
            ordered.push(piece);
        }
    }
    ordered
}

fn take_ready<'a>(
    waiting: &mut Vec<&'a Piece>,
    done: &mut BTreeSet<&'a ObjectId>,
    ordered: &mut Vec<&'a Piece>,
    made: &BTreeSet<&ObjectId>,
    needs: &BTreeMap<&ObjectId, BTreeSet<&ObjectId>>,
) {
    loop {
        let ready = waiting.iter().position(|piece| {
            needs.get(&piece.subject.object).is_none_or(|needed| {
                needed
                    .iter()
                    .all(|id| done.contains(id) || !made.contains(id))
            })
        });
        let Some(at) = ready else { return };
        let piece = waiting.remove(at);
        done.insert(&piece.subject.object);
        ordered.push(piece);
    }
}

fn is_function(piece: &Piece) -> bool {
    piece.section == Section::PreData && piece.form == Form::Function
}

fn needs_of_functions(source: &Source) -> BTreeMap<&ObjectId, BTreeSet<&ObjectId>> {
    let mut needs: BTreeMap<&ObjectId, BTreeSet<&ObjectId>> = BTreeMap::new();
    for (on, dependents) in &source.dependents {
        for by in dependents {
            if by.kind == ObjectKind::Function {
                needs.entry(by).or_default().insert(on);
            }
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Names;
    use crate::dump::Dump;

    #[test]
    fn functions_precede_the_tables_that_unfold_them() {
        let dump = Dump {
            pre_data: "CREATE TYPE public.mood AS ENUM ('a');
                CREATE FUNCTION public.a(public.mood) RETURNS text LANGUAGE sql AS 'select z()';
                CREATE TABLE public.t (x text);
                CREATE FUNCTION public.z() RETURNS text LANGUAGE sql AS '';"
                .to_owned(),
            post_data: String::new(),
        };
        let pieces = crate::statement::split(&dump, &Names::default()).unwrap();
        let mood = pieces[0].subject.object.clone();
        let a = pieces[1].subject.object.clone();
        let source = Source {
            dependents: BTreeMap::from([(mood, BTreeSet::from([a]))]),
            ..Source::default()
        };
        let all: Vec<&Piece> = pieces.iter().collect();
        let names: Vec<&str> = functions_early(&all, &source)
            .iter()
            .map(|piece| piece.subject.object.name.as_str())
            .collect();
        assert_eq!(names, ["z", "mood", "a", "t"]);
    }
}
