//! Plans, checks and bindings as a person reads them.

use std::collections::BTreeMap;
use towpath_model::cutover::{CheckOutcome, Checked, Checklist};

use towpath_model::health::ComparedQuery;
use towpath_model::plan::{CheckResult, Format, Plan, Verdict};
use towpath_model::report::{ChecklistItem, ItemState};
use towpath_model::schema::{Certainty, Decision, SchemaReport};
use towpath_model::structure::StructureDifference;
use towpath_model::verification::{Difference, RowChange, RowDifference, Verification};
use towpath_switch::{SwitchPlan, Untouched, Why};

use crate::table;

/// How many tables a plan shows before it sums up the rest.
const TABLES_SHOWN: usize = 12;

/// How many objects a plan names in each of its lists before it sums up the rest.
const OBJECTS_SHOWN: usize = 12;

/// The checklist, each remedy below its finding, and how many there were of each verdict.
pub fn checks(results: &[CheckResult]) -> String {
    let mut text = String::new();
    let width = results
        .iter()
        .map(|result| result.check.len())
        .max()
        .unwrap_or(0);
    for result in results {
        let word = match result.verdict {
            Verdict::Pass => "pass",
            Verdict::NotLookedAt => "----",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&format!(
            "{word}  {:<width$}  {}\n",
            result.check, result.finding
        ));
        if !result.remedy.is_empty() {
            text.push_str(&format!("      {:<width$}  → {}\n", "", result.remedy));
        }
    }
    text.push_str(&tally(results));
    text
}

/// Texts of the queries that were compared, where somebody asked to see them.
pub fn queries(queries: &[ComparedQuery]) -> String {
    let mut text = String::new();
    for query in queries {
        if let Some(sql) = &query.text {
            let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            text.push_str(&format!("query {}: {line}\n", query.query));
        }
    }
    text
}

/// The checklist in a line, so that what failed is seen at its end, however long it is.
fn tally(results: &[CheckResult]) -> String {
    let of = |verdict: Verdict| -> Vec<&str> {
        let those = results.iter().filter(|result| result.verdict == verdict);
        those.map(|result| result.check.as_str()).collect()
    };
    let mut parts = vec![format!("{} pass", of(Verdict::Pass).len())];
    for (verdict, word) in [
        (Verdict::NotLookedAt, "not looked at"),
        (Verdict::Warn, "warn"),
        (Verdict::Fail, "FAIL"),
    ] {
        let names = of(verdict);
        if !names.is_empty() {
            parts.push(format!("{} {word} ({})", names.len(), names.join(", ")));
        }
    }
    format!(
        "{}: {}\n",
        table::counted(results.len() as u64, "check"),
        parts.join(", ")
    )
}

/// The plan.
pub fn plan(plan: &Plan, report: &SchemaReport) -> String {
    let mut text = format!(
        "run {}   source {} → target {}\nstore {}\n\n",
        plan.run, plan.source.endpoint, plan.target.endpoint, plan.store
    );
    let mut rows = vec![
        ["table", "heap", "rows (about)", "chunks", "format"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for planned in plan.tables.iter().take(TABLES_SHOWN) {
        let about = match planned.estimated_rows {
            negative if negative < 0 => "unknown".to_owned(),
            rows => rows.to_string(),
        };
        let format = match planned.format {
            Format::Binary => "binary".to_owned(),
            Format::Csv => {
                format!(
                    "csv: {}",
                    planned.format_reason.as_deref().unwrap_or("by plan")
                )
            }
        };
        rows.push(vec![
            planned.name.to_string(),
            table::bytes(planned.bytes),
            about,
            planned.chunks.len().to_string(),
            format,
        ]);
    }
    text.push_str(&table::aligned(&rows));
    if plan.tables.len() > TABLES_SHOWN {
        let more = plan.tables.len() - TABLES_SHOWN;
        text.push_str(&format!(
            "and {}\n",
            table::counted(more as u64, "more table")
        ));
    }
    text.push_str(&format!(
        "\n{}, {}, {} of heap; about {} to copy\n",
        table::counted(plan.tables.len() as u64, "table"),
        table::counted(plan.chunk_count() as u64, "chunk"),
        table::bytes(plan.bytes()),
        table::duration(plan.estimated_seconds * 1000)
    ));
    if let Some(jobs) = &plan.jobs {
        text.push_str(&format!(
            "{}: {}\n",
            table::counted(u64::from(jobs.jobs), "job"),
            jobs.reason
        ));
    }
    text.push_str(&migrations(plan));
    text.push_str(&schema(report));
    text.push('\n');
    text.push_str(&checks(&plan.checks));
    text
}

/// What becomes of the migration history, in a line; nothing when there is none.
pub fn migrations(plan: &Plan) -> String {
    let Some(migrations) = &plan.migrations else {
        return String::new();
    };
    let mut text = format!(
        "migration history: {}",
        table::counted(migrations.count as u64, "version")
    );
    if !migrations.redacted.is_empty() {
        text.push_str(&format!(
            "; statements of {} hold a secret and stay on the source: {}",
            migrations.redacted.len(),
            migrations.redacted.join(", ")
        ));
    }
    text.push('\n');
    text
}

/// The schema decisions in a few lines.
pub fn schema(report: &SchemaReport) -> String {
    let counts: Vec<String> = [
        Decision::Kept,
        Decision::Rewritten,
        Decision::Emulated,
        Decision::Dropped,
    ]
    .iter()
    .map(|decision| format!("{} {}", report.count(*decision), decision.label()))
    .collect();
    let mut text = format!("schema objects: {}\n", counts.join(", "));
    if let Some(program) = &report.dumped_by {
        text.push_str(&format!("schema read by {program}\n"));
    }
    let left = report.left_behind();
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    text.push_str(&listed("stays behind, and may be missed", &left));
    let mut breaks: Vec<_> = report.breaks_at_run_time.iter().collect();
    // What fails the load, then what fails every time, before what may fail.
    breaks.sort_by_key(|broken| (!broken.during_load, broken.certainty));
    let breaks: Vec<String> = breaks
        .into_iter()
        .map(|broken| {
            let word = match broken.certainty {
                Certainty::Surely => "needs",
                Certainty::Perhaps => "perhaps needs",
            };
            format!("{} {word} {}", broken.object, broken.needs)
        })
        .collect();
    text.push_str(&listed("breaks at run time", &breaks));
    text
}

/// A title and the first lines of a list; nothing for none.
fn listed(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("{title}:\n");
    for line in lines.iter().take(OBJECTS_SHOWN) {
        text.push_str(&format!("  {line}\n"));
    }
    if lines.len() > OBJECTS_SHOWN {
        text.push_str(&format!(
            "  and {} more; `towpath export --schema-only -o DIR` writes a report of all\n",
            lines.len() - OBJECTS_SHOWN
        ));
    }
    text
}

/// Bindings, masked; what is left alone, by reason, with what to do about it.
pub fn bindings(plan: &SwitchPlan) -> String {
    let mut text = format!(
        "{} looked at, {} to switch\n",
        table::counted(plan.functions.len() as u64, "function"),
        table::counted(plan.bindings.len() as u64, "binding")
    );
    for binding in &plan.bindings {
        text.push_str(&format!("{}\n", binding.name()));
        for change in binding.changes() {
            let place = match change.place.as_str() {
                "" => String::new(),
                place => format!("{place} "),
            };
            text.push_str(&format!(
                "  before  {place}{}\n  after   {place}{}\n",
                change.before, change.after
            ));
        }
    }
    text.push_str(&left_alone(&plan.untouched));
    if !plan.notes.is_empty() {
        text.push_str("to know:\n");
        for note in &plan.notes {
            text.push_str(&format!("  {note}\n"));
        }
    }
    text
}

fn left_alone(untouched: &[Untouched]) -> String {
    let mut by_reason: BTreeMap<Why, Vec<&Untouched>> = BTreeMap::new();
    for left in untouched {
        by_reason.entry(left.why).or_default().push(left);
    }
    let mut text = String::new();
    for (why, lefts) in by_reason {
        for left in lefts.iter().take(OBJECTS_SHOWN) {
            let named = match left.variable.as_str() {
                "" => left.consumer.clone(),
                variable => format!("{} {variable}", left.consumer),
            };
            let owner = left.owner.as_ref();
            let owner = owner.map_or_else(String::new, |owner| format!(" ({owner})"));
            text.push_str(&format!("  {named}: {why}{owner}\n"));
        }
        if lefts.len() > OBJECTS_SHOWN {
            let more = (lefts.len() - OBJECTS_SHOWN) as u64;
            text.push_str(&format!("  and {} like it\n", table::counted(more, "more")));
        }
        if !why.remedy().is_empty() {
            text.push_str(&format!("    → {}\n", why.remedy()));
        }
    }
    match text.as_str() {
        "" => text,
        lines => format!("left alone:\n{lines}"),
    }
}

/// The gates of a cutover, a line each.
pub fn gates(gates: &[Checked]) -> String {
    let rows: Vec<Vec<String>> = gates
        .iter()
        .map(|gate| {
            let word = match gate.outcome {
                CheckOutcome::Passed => "open",
                CheckOutcome::Failed => "CLOSED",
                CheckOutcome::Skipped => "----",
            };
            vec![word.to_owned(), gate.item.clone(), gate.seen.clone()]
        })
        .collect();
    format!("gates of the cutover:\n{}", table::aligned(&rows))
}

/// The checklists: how much of each is ticked, and what is left of the one before the move.
pub fn checklists(items: &[ChecklistItem]) -> String {
    let of = |list| items.iter().filter(move |item| item.list == list);
    let ticked = |list| {
        let done = of(list).filter(|item| item.state == ItemState::Passed);
        format!("{} of {} ticked", done.count(), of(list).count())
    };
    let left: Vec<Vec<String>> = of(Checklist::Before)
        .filter(|item| item.state != ItemState::Passed)
        .map(|item| {
            let by = match item.by.is_empty() {
                true => String::new(),
                false => format!("({})", item.by.join(", ")),
            };
            vec![
                format!("  {}", item.state.label()),
                format!("{} {by}", item.item).trim_end().to_owned(),
            ]
        })
        .collect();
    format!(
        "\nchecklist before the move: {}\n{}checklist after the move: {}; the report has it\n",
        ticked(Checklist::Before),
        table::aligned(&left),
        ticked(Checklist::After)
    )
}

/// One line that says what was proven or how much differs.
pub fn verdict(verification: &Verification) -> String {
    let mut looked_at = Vec::new();
    let mut level = |name: &str, count: u64, noun: &str| {
        if verification.levels.iter().any(|level| level == name) {
            looked_at.push(table::counted(count, noun));
        }
    };
    level("chunks", verification.chunks_checked, "stored chunk");
    if !verification.looked_at("rows") {
        level("counts", verification.counts.len() as u64, "table count");
    }
    let of_export = verification.tables.iter().map(|it| it.expected.rows);
    let of_source = verification.live.iter().map(|it| it.source.rows);
    let rows: u64 = of_export.chain(of_source).sum();
    let tables = verification.tables.len() + verification.live.len();
    level("rows", tables as u64, "table");
    level("rows", rows, "row");
    level("sequences", verification.sequences_checked, "sequence");
    level("schema", verification.objects_checked, "schema object");
    let subjects = verification.access.as_ref().map(|it| it.subjects.len());
    level("access", subjects.unwrap_or(0) as u64, "subject");
    let checks = verification.health.as_ref().map(|it| it.checks.len());
    level("health", checks.unwrap_or(0) as u64, "health check");
    let looked_at = looked_at.join(", ");
    match verification.differences.len() {
        0 => format!("verified: {looked_at}: no difference"),
        count => format!(
            "NOT EQUAL: {} in {looked_at}",
            table::counted(count as u64, "difference")
        ),
    }
}

/// A difference in a line or a few.
pub fn difference(difference: &Difference) -> String {
    match difference {
        Difference::ChunkMissing { chunk, key } => {
            format!("chunk {chunk}: object {key} is missing")
        }
        Difference::ChunkCorrupt {
            chunk,
            key,
            link,
            expected,
            found,
        } => {
            format!("chunk {chunk}: {link} differ in {key}: expected {expected}, found {found}")
        }
        Difference::FileCorrupt {
            key,
            expected,
            found: Some(found),
        } => {
            format!(
                "{key}: blake3 {}, expected {}",
                found.short(),
                expected.short()
            )
        }
        Difference::FileCorrupt {
            key, found: None, ..
        } => format!("{key} is missing"),
        Difference::Rows {
            table,
            expected,
            found,
            located,
            story,
            rest,
        } => {
            let mut text = match story {
                None => format!(
                    "table {table}: {} rows on the target, {} exported, digests differ",
                    found.rows, expected.rows
                ),
                Some(story) => format!(
                    "table {table}: {} rows on the target, {} on the source now, digests differ: {}",
                    found.rows,
                    expected.rows,
                    story.told()
                ),
            };
            for row in located {
                text.push_str(&format!("\n    {}", row_difference(row)));
            }
            if let Some(rest) = rest {
                text.push_str(&format!("\n    {rest}"));
            }
            text
        }
        Difference::TableUnreadable { table, reason } => format!("table {table}: {reason}"),
        Difference::Sequence { expected, found } => match found {
            Some(found) => format!(
                "sequence {}: at {} (called: {}), expected {} (called: {})",
                expected.name,
                found.last_value,
                found.is_called,
                expected.last_value,
                expected.is_called
            ),
            None => format!("sequence {} is missing", expected.name),
        },
        Difference::Counts {
            table,
            expected,
            found,
        } => format!("table {table}: {found} rows on the target, {expected} exported"),
        Difference::Access(difference) => difference.to_string(),
        Difference::Health(finding) => format!("{}: {}", finding.check, finding.finding),
        Difference::Clone(finding) => finding.to_string(),
        Difference::Chain {
            table: Some(table),
            link,
            found,
        } => format!("table {table}: {found} ({link})"),
        Difference::Chain {
            table: None,
            link,
            found,
        } => format!("{found} ({link})"),
        Difference::Structure(difference) => match difference {
            StructureDifference::Missing { object } => format!("{object} is missing"),
            StructureDifference::Extra { object } => format!("{object} is not expected"),
            StructureDifference::Changed { object, aspect, .. } => {
                format!("{object}: differs in {aspect}")
            }
        },
    }
}

fn row_difference(row: &RowDifference) -> String {
    let how = match row.how {
        RowChange::Missing => "missing",
        RowChange::Extra => "extra",
        RowChange::Changed => "changed",
        RowChange::Duplicated => "duplicated",
    };
    let key: Vec<String> = row
        .key
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut text = match key.is_empty() {
        true => format!("{how}: row {}", row.row),
        false => format!("{how}: {}", key.join(", ")),
    };
    if row.times > 1 {
        text.push_str(&format!(", {} times", row.times));
    }
    if !row.columns.is_empty() {
        text.push_str(&format!(": differs in {}", row.columns.join(", ")));
    }
    for value in row.values.iter().flatten() {
        let shown = match (&value.expected, &value.found) {
            (Some(expected), Some(found)) => format!("{expected} → {found}"),
            (Some(only), None) | (None, Some(only)) => only.clone(),
            (None, None) => continue,
        };
        text.push_str(&format!("\n        {}: {shown}", value.column));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checklist_ends_with_what_failed() {
        let result = |check: &str, verdict| CheckResult {
            check: check.to_owned(),
            verdict,
            finding: "found".to_owned(),
            remedy: String::new(),
        };
        let text = checks(&[
            result("one", Verdict::Pass),
            result("two", Verdict::Fail),
            result("three", Verdict::Warn),
        ]);
        assert!(
            text.ends_with("\n3 checks: 1 pass, 1 warn (three), 1 FAIL (two)\n"),
            "{text}"
        );
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let lines: Vec<String> = (0..14).map(|number| format!("object {number}")).collect();
        assert!(listed("breaks", &lines).contains("object 11\n  and 2 more;"));
        assert_eq!(listed("breaks", &[]), "");
    }
}
