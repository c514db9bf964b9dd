//! The report for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use towpath_model::plan::Verdict;
use towpath_model::report::Report;
use towpath_model::schema::{Decision, ObjectReport, SchemaReport};

use crate::commands::show;
use crate::table;

/// The report as Markdown.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut text, report);
    let _ = tables(&mut text, report);
    let _ = verification(&mut text, report);
    let _ = schema(&mut text, &report.schema);
    let _ = checks(&mut text, report);
    let _ = bindings(&mut text, report);
    let _ = timings(&mut text, report);
    text
}

/// The decisions of a clean schema that belongs to no run.
pub fn schema_only(report: &SchemaReport, about: &[String]) -> String {
    let mut text = "# A clean schema\n\n".to_owned();
    for line in about {
        text.push_str(&format!("{line}\n"));
    }
    let _ = schema(&mut text, report);
    text
}

fn head(text: &mut String, report: &Report) -> std::fmt::Result {
    let plan = &report.plan;
    writeln!(text, "# towpath run {}\n", plan.run)?;
    let verdict = match &report.verification {
        Some(verification) => show::verdict(verification),
        None => "not verified yet".to_owned(),
    };
    writeln!(text, "**{verdict}**\n")?;
    let stage = serde_json::to_value(report.stage).unwrap_or_default();
    let mut facts = vec![
        ("stage", stage.as_str().unwrap_or_default().to_owned()),
        (
            "source",
            format!(
                "{} (PostgreSQL {})",
                plan.source.endpoint,
                plan.source.facts.major()
            ),
        ),
        (
            "target",
            format!(
                "{} (PostgreSQL {})",
                plan.target.endpoint,
                plan.target.facts.major()
            ),
        ),
        ("store", plan.store.clone()),
        (
            "planned",
            format!("{} by towpath {}", plan.created_at, plan.made_by),
        ),
    ];
    if let Some(manifest) = &report.manifest {
        facts.push((
            "snapshot",
            format!("{} at {}", manifest.snapshot_at, manifest.snapshot_lsn),
        ));
        facts.push(("sealed", manifest.sealed_at.clone()));
        facts.push(("manifest", manifest.root.to_string()));
    }
    if let Some(identifier) = &report.target_snapshot {
        facts.push(("RDS snapshot before the load", identifier.clone()));
    }
    facts.push(("report", report.written_at.clone()));
    writeln!(text, "| | |\n|---|---|")?;
    for (name, value) in facts {
        writeln!(text, "| {name} | {} |", cell(&value))?;
    }
    Ok(())
}

/// Text inside a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn tables(text: &mut String, report: &Report) -> std::fmt::Result {
    let Some(manifest) = &report.manifest else {
        return Ok(());
    };
    writeln!(
        text,
        "\n## Tables\n\n{}, {}, {} raw, {} stored.\n",
        table::counted(manifest.tables.len() as u64, "table"),
        table::counted(manifest.rows(), "row"),
        table::bytes(manifest.raw_bytes()),
        table::bytes(manifest.stored_bytes())
    )?;
    writeln!(
        text,
        "| table | rows | raw | stored | chunks | digest | on the target |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---|---|")?;
    for (planned, exported) in report.plan.tables.iter().zip(&manifest.tables) {
        let found = report
            .verification
            .as_ref()
            .and_then(|verification| verification.tables.iter().find(|t| t.table == planned.name));
        let target = match found {
            Some(proof) if proof.expected == proof.found => "equal",
            Some(_) => "**DIFFERS**",
            None => "not compared",
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | `{}` | {target} |",
            cell(&planned.name.to_string()),
            exported.digest.rows,
            table::bytes(exported.raw_bytes),
            table::bytes(exported.stored_bytes),
            exported.chunks.len(),
            &exported.digest.hex()[..16]
        )?;
    }
    let migrations = show::migrations(&report.plan);
    if !migrations.is_empty() {
        writeln!(text, "\n{}", migrations.trim_end())?;
    }
    Ok(())
}

fn verification(text: &mut String, report: &Report) -> std::fmt::Result {
    let Some(verification) = &report.verification else {
        return Ok(());
    };
    writeln!(
        text,
        "\n## Verification\n\n{} to {}, levels {}, against manifest `{}`.\n",
        verification.began_at,
        verification.ended_at,
        verification.levels.join(", "),
        verification.manifest.short()
    )?;
    if verification.is_clean() {
        return writeln!(text, "No difference.");
    }
    for difference in &verification.differences {
        writeln!(
            text,
            "- {}",
            show::difference(difference).replace("\n    ", "\n  - ")
        )?;
    }
    Ok(())
}

fn schema(text: &mut String, report: &SchemaReport) -> std::fmt::Result {
    writeln!(text, "\n## Schema\n")?;
    let kept = report.count(Decision::Kept) as u64;
    writeln!(
        text,
        "{} kept. Everything else, what may be missed first:\n",
        table::counted(kept, "object")
    )?;
    writeln!(
        text,
        "| object | decision | rule | reason |\n|---|---|---|---|"
    )?;
    for (object, told) in rows(report) {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            cell(&object),
            told.decision.label(),
            told.rule,
            cell(&told.reason)
        )?;
    }
    if !report.breaks_at_run_time.is_empty() {
        writeln!(text, "\n### Breaks at run time\n")?;
        for broken in &report.breaks_at_run_time {
            writeln!(
                text,
                "- {} needs {} ({}): {}",
                broken.object,
                broken.needs,
                broken.certainty.label(),
                broken.consequence
            )?;
            if !broken.callers.is_empty() {
                let callers: Vec<String> = broken.callers.iter().map(ToString::to_string).collect();
                writeln!(text, "  - used by {}", callers.join(", "))?;
            }
        }
    }
    if !report.appendix.is_empty() {
        writeln!(text, "\n### Left out, for reference\n")?;
        for entry in &report.appendix {
            writeln!(text, "{}:\n\n```sql\n{};\n```\n", entry.object, entry.sql)?;
        }
    }
    Ok(())
}

/// Every object that is not kept: what of the user's stays behind, what is changed, and what is the
/// platform's. Members of one extension share a row: there are hundreds, and JSON has each.
fn rows(report: &SchemaReport) -> Vec<(String, &ObjectReport)> {
    let left: BTreeSet<_> = report.left_behind().into_iter().collect();
    let rank = |told: &ObjectReport| match told.decision {
        _ if left.contains(&told.object) => 0,
        Decision::Dropped => 2,
        _ => 1,
    };
    let mut others: Vec<&ObjectReport> = Vec::new();
    let mut members: BTreeMap<&str, Vec<&ObjectReport>> = BTreeMap::new();
    for told in &report.objects {
        match (told.decision, told.rule.as_str()) {
            (Decision::Kept, _) => {}
            (Decision::Dropped, "extension-member") if !left.contains(&told.object) => {
                members.entry(&told.reason).or_default().push(told);
            }
            _ => others.push(told),
        }
    }
    others.sort_by_key(|told| (rank(told), told.decision));
    let others = others
        .into_iter()
        .map(|told| (told.object.to_string(), told));
    let members = members.into_values().filter_map(|members| {
        let first = *members.first()?;
        let named = match members.len() {
            1 => first.object.to_string(),
            many => format!("{many} members of an extension"),
        };
        Some((named, first))
    });
    others.chain(members).collect()
}

fn checks(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        text,
        "\n## Checks before the run\n\n| check | verdict | finding | remedy |\n|---|---|---|---|"
    )?;
    for check in &report.plan.checks {
        let verdict = match check.verdict {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        writeln!(
            text,
            "| {} | {verdict} | {} | {} |",
            check.check,
            cell(&check.finding),
            cell(&check.remedy)
        )?;
    }
    Ok(())
}

fn bindings(text: &mut String, report: &Report) -> std::fmt::Result {
    if report.bindings.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n## Bindings\n\n| binding | before | after | state |\n|---|---|---|---|"
    )?;
    for binding in &report.bindings {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            cell(&binding.binding),
            cell(&binding.before),
            cell(&binding.after),
            binding.state
        )?;
    }
    Ok(())
}

fn timings(text: &mut String, report: &Report) -> std::fmt::Result {
    if report.timings.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## Timings\n\n| what | took |\n|---|---:|")?;
    for timing in &report.timings {
        writeln!(
            text,
            "| {} | {} |",
            timing.what,
            table::duration(timing.millis)
        )?;
    }
    Ok(())
}
