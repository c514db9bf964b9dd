//! The residual scan: originals where none should be, and what chance explains of them.

use std::collections::BTreeMap;

use towpath_mask::Originals;
use towpath_mask::originals::{Looks, may_meet_by_chance};
use towpath_model::clone::{AllowedColumn, CloneFinding, CloneProof, ResidualScan};
use towpath_model::keys::KeyFacts;
use towpath_model::plan::PlannedTable;
use towpath_model::{QualifiedName, Result};

use super::catalog::Kept;
use super::scan::{ColumnFound, TableFound, is_of};
use crate::options::VerifyContext;

/// Findings by chance that are borne with: one verification in so many may fail for nothing.
const BORNE: f64 = 0.001;

/// Originals found in a place, by what they look like; the place and its column.
type Places = BTreeMap<(String, String, Looks), u64>;

/// What is added up of all tables.
#[derive(Default)]
struct Sum {
    scan: ResidualScan,
    places: Places,
    /// Likewise, where masks make some by chance.
    by_chance: Places,
    /// Masked values compared with what they were, and those that still are.
    cells: u64,
    same: BTreeMap<(QualifiedName, String), u64>,
}

/// What was read of the rows, with statistics and schema, becomes findings.
pub(super) async fn judge(
    context: &VerifyContext,
    facts: &KeyFacts,
    originals: &Originals,
    found: &BTreeMap<usize, TableFound>,
    kept: &[Kept],
    proof: &mut CloneProof,
) -> Result<Vec<CloneFinding>> {
    let mut findings = Vec::new();
    let mut sum = Sum {
        places: of_statistics(context, originals, kept),
        ..Sum::default()
    };
    sum.places
        .extend(of_schema(context, originals, proof).await?);
    for (table_no, found) in found {
        let Some(table) = context.plan.tables.get(*table_no) else {
            continue;
        };
        for (column, found) in &found.columns {
            sum.add(&table.name, column, found);
            findings.extend(secrets(&table.name, column, found));
            let mut allowed = proof.allowed.iter_mut();
            let is_it = |it: &&mut AllowedColumn| {
                it.column == *column && is_of(&table.name, &it.table, facts)
            };
            if let Some(it) = allowed.find(is_it) {
                it.hits += found.allowed;
            }
        }
    }
    sum.scan.originals = originals.noted();
    sum.scan.false_positive = originals.false_positive();
    findings.extend(sum.findings(proof));
    if originals.rows_apart() > 1 {
        proof.not_looked_at.push(format!(
            "masked values against what they were, row by row, but of one row in {}",
            originals.rows_apart()
        ));
    }
    if originals.refused() > 0 {
        proof.not_looked_at.push(format!(
            "{} values and cells of masked columns: {} are as many as are remembered",
            originals.refused(),
            originals.noted()
        ));
    }
    proof.residual = Some(sum.scan);
    Ok(findings)
}

fn secrets(table: &QualifiedName, column: &str, found: &ColumnFound) -> Option<CloneFinding> {
    (found.secrets > 0).then(|| CloneFinding::Original {
        place: table.to_string(),
        column: column.to_owned(),
        looks_like: "secret".to_owned(),
        values: found.secrets,
    })
}

impl Sum {
    fn add(&mut self, table: &QualifiedName, column: &str, found: &ColumnFound) {
        self.scan.columns += u64::from(found.values > 0);
        self.scan.values += found.values;
        self.scan.personal_looking += found.personal;
        self.cells += found.cells;
        if found.same > 0 {
            let place = (table.clone(), column.to_owned());
            self.same.insert(place, found.same);
        }
        for (into, counts) in [
            (&mut self.places, &found.hits),
            (&mut self.by_chance, &found.by_chance),
        ] {
            for (looks, count) in counts {
                let place = (table.to_string(), column.to_owned(), *looks);
                into.insert(place, *count);
            }
        }
    }

    /// What is beyond what chance explains; the rest is told, not kept quiet.
    fn findings(&self, proof: &mut CloneProof) -> Vec<CloneFinding> {
        let chance = self.scan.false_positive;
        let mut findings = Vec::new();
        let hits: u64 = self.places.values().sum();
        if is_chance(hits, chance * self.scan.personal_looking as f64) {
            told_chance(proof, hits, "values that may be the source's");
        } else {
            let places = self.places.iter();
            findings.extend(places.map(|((place, column, looks), values)| {
                CloneFinding::Original {
                    place: place.clone(),
                    column: column.clone(),
                    looks_like: looks.label().to_owned(),
                    values: *values,
                }
            }));
        }
        for ((place, column, looks), values) in &self.by_chance {
            proof.not_looked_at.push(format!(
                "whether values of {place}.{column} that hold what looks like {} and may be the source's, {values} of them, were made by its mask",
                looks.label()
            ));
        }
        let hits: u64 = self.same.values().sum();
        if is_chance(hits, chance * self.cells as f64) {
            told_chance(proof, hits, "masked values that may be what they were");
        } else {
            let same = self.same.iter();
            findings.extend(same.map(|((table, column), rows)| CloneFinding::Unchanged {
                table: table.clone(),
                column: column.clone(),
                rows: *rows,
            }));
        }
        findings
    }
}

/// What the planner keeps of masked columns.
fn of_statistics(context: &VerifyContext, originals: &Originals, kept: &[Kept]) -> Places {
    let tables = context.plan.tables.iter();
    let tables: BTreeMap<&QualifiedName, &PlannedTable> =
        tables.map(|table| (&table.name, table)).collect();
    let mut places = Places::new();
    for it in kept {
        let table = tables.get(&QualifiedName::new(&it.schema, &it.table));
        let Some(mask) = table.and_then(|table| table.masks.get(&it.column)) else {
            continue;
        };
        originals.look(&it.value, |looks, is_held| {
            if is_held && !may_meet_by_chance(&mask.transformer, looks) {
                let column = format!("{}.{}.{}", it.schema, it.table, it.column);
                let place = ("statistics".to_owned(), column, looks);
                *places.entry(place).or_default() += 1;
            }
        });
    }
    places
}

/// What the schema's own text holds: defaults, checks, comments, bodies of views and functions,
/// labels of enums.
async fn of_schema(
    context: &VerifyContext,
    originals: &Originals,
    proof: &mut CloneProof,
) -> Result<Places> {
    let mut places = Places::new();
    let mut secrets = 0;
    for key in ["schema/pre-data.sql", "schema/post-data.sql"] {
        let Some(bytes) = context.store.get(key).await? else {
            proof
                .not_looked_at
                .push(format!("the schema's own text: there is no {key}"));
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        // Literals as wholes, and what is between them.
        for part in text.split('\'') {
            originals.look(part, |looks, is_held| {
                secrets += u64::from(looks == Looks::Secret);
                // A name of a table, or an example in a comment, is a text like any other.
                if is_held && looks != Looks::Name {
                    let place = ("schema".to_owned(), key.to_owned(), looks);
                    *places.entry(place).or_default() += 1;
                }
            });
        }
    }
    if secrets > 0 {
        proof.not_looked_at.push(format!(
            "whether what looks like a secret, {secrets} times, in the schema's own text is one"
        ));
    }
    Ok(places)
}

fn told_chance(proof: &mut CloneProof, hits: u64, what: &str) {
    if hits > 0 {
        proof.not_looked_at.push(format!(
            "{hits} {what}: by chance as many would be taken for some"
        ));
    }
}

/// Whether so many hits are what is to be expected where so many come by chance: hits are rare and
/// independent, so their number has a Poisson distribution.
fn is_chance(hits: u64, expected: f64) -> bool {
    if hits == 0 {
        return true;
    }
    if hits > 1000 {
        // Far from the mean: the tail would be summed for nothing.
        return (hits as f64) < expected + 4.0 * expected.sqrt();
    }
    let mut term = (-expected).exp();
    let mut below = term;
    for no in 1..hits {
        term *= expected / no as f64;
        below += term;
    }
    1.0 - below >= BORNE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_explains_what_it_explains() {
        assert!(is_chance(0, 0.0));
        assert!(!is_chance(1, 0.0));
        assert!(!is_chance(1, 1e-9));
        assert!(!is_chance(1, 0.0005));
        assert!(is_chance(1, 0.01));
        assert!(is_chance(3, 2.0));
        assert!(!is_chance(12, 2.0));
        assert!(is_chance(5000, 5000.0));
        assert!(!is_chance(6000, 5000.0));
    }
}
