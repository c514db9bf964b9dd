//! What each level of a verification saw, a line each.

use towpath_model::clone::{CloneFinding, CloneProof};
use towpath_model::custody::{Chain, Link, LinkCount};
use towpath_model::verification::{Difference, Measure, Reading, Verification};

use crate::table::{bytes, counted};

/// What is told of a level that was looked at.
type Told = fn(&Verification) -> String;

/// The chain of custody, then the levels that were looked at.
pub fn lines(verification: &Verification) -> Vec<String> {
    let mut lines = vec![chain(&verification.chain)];
    let levels: [(&str, Told); 7] = [
        ("chunks", chunks),
        ("counts", counts),
        ("rows", rows),
        ("sequences", sequences),
        ("schema", schema),
        ("access", access),
        ("health", health),
    ];
    for (level, told) in levels {
        if verification.looked_at(level) {
            lines.push(format!("{level}: {}", told(verification)));
        }
    }
    if let Some(proof) = &verification.clone {
        lines.push(format!("clone: {}", clone(proof, verification)));
    }
    lines
}

fn chain(chain: &Chain) -> String {
    let of_chunks = chain.chunks().map(|chunk| all(&chunk.links.all()));
    let of_tables = chain.tables.iter().map(|table| table.loaded);
    let documents = chain.document_links();
    let mut line = format!(
        "chain: {}, {}",
        links(of_chunks, "chunk", "stored = raw = rows"),
        links(of_tables, "table", "rows = target")
    );
    if documents.broken > 0 {
        line.push_str(&format!(
            ", {} BROKEN in the manifest",
            counted(documents.broken, "link")
        ));
    }
    line
}

/// Several links as one: held when all are.
fn all(links: &[Link]) -> Link {
    if links.iter().any(|link| link.is_broken()) {
        return Link::BROKEN;
    }
    let unseen = links.iter().find(|link| !link.was_looked_at());
    unseen.or(links.first()).copied().unwrap_or_default()
}

fn links(links: impl Iterator<Item = Link>, noun: &str, what: &str) -> String {
    let count: LinkCount = links.collect();
    let total = count.held + count.broken + count.not_looked_at;
    if total == count.not_looked_at && total > 0 {
        return format!("{noun}s not looked at");
    }
    let mut text = match count.held == total {
        true => format!("{} {what}", counted(total, noun)),
        false => format!("{} of {} {what}", count.held, counted(total, noun)),
    };
    if count.broken > 0 {
        text.push_str(&format!(", {} BROKEN", count.broken));
    }
    if count.not_looked_at > 0 {
        text.push_str(&format!(", {} not looked at", count.not_looked_at));
    }
    text
}

fn chunks(verification: &Verification) -> String {
    let stored = verification.chain.tables.iter().map(|it| it.stored_bytes);
    format!(
        "{} of {} and {} read, unpacked and digested anew",
        counted(verification.chunks_checked, "stored object"),
        bytes(stored.sum()),
        counted(verification.chain.files.len() as u64, "schema file")
    )
}

fn counts(verification: &Verification) -> String {
    let found: u64 = verification.counts.iter().map(|it| it.found).sum();
    format!(
        "{} with {} on the target, {} exported; nothing but the numbers is compared",
        counted(verification.counts.len() as u64, "table"),
        counted(found, "row"),
        verification
            .counts
            .iter()
            .map(|it| it.expected)
            .sum::<u64>()
    )
}

fn rows(verification: &Verification) -> String {
    let of_export = verification.tables.iter().map(|it| it.found.rows);
    let of_source = verification.live.iter().map(|it| it.target.rows);
    let found: u64 = of_export.chain(of_source).sum();
    let tables = verification.tables.len() + verification.live.len();
    let by = match verification.reading {
        Reading::Stream => "read and digested anew",
        Reading::Pushdown => "digested by the servers",
    };
    let measure = match verification.source {
        Measure::Manifest => "against the export",
        Measure::Live => "against the source as it was meanwhile",
    };
    format!(
        "{} with {} on the target {by}, {measure}",
        counted(tables as u64, "table"),
        counted(found, "row"),
    )
}

fn differing(verification: &Verification, is: fn(&Difference) -> bool) -> String {
    let count = verification.differences.iter().filter(|it| is(it)).count();
    match count {
        0 => "all the same".to_owned(),
        1 => "1 differs".to_owned(),
        count => format!("{count} differ"),
    }
}

fn sequences(verification: &Verification) -> String {
    let count = counted(verification.sequences_checked, "sequence");
    let is = |it: &Difference| matches!(it, Difference::Sequence { .. });
    format!("{count}, {}", differing(verification, is))
}

fn schema(verification: &Verification) -> String {
    let count = counted(verification.objects_checked, "object");
    let found = verification.differences.iter();
    let found = found.filter(|it| matches!(it, Difference::Structure(_)));
    let told = match found.count() {
        0 => "as the schema report promises".to_owned(),
        count => counted(count as u64, "difference"),
    };
    format!("{count}, {told}")
}

fn access(verification: &Verification) -> String {
    let access = verification.access.as_ref();
    access.map(|it| it.summary()).unwrap_or_default()
}

fn health(verification: &Verification) -> String {
    let health = verification.health.as_ref();
    let checks = health.map_or(0, |it| it.checks.len() as u64);
    let failed = health.map_or(0, |it| it.findings().count() as u64);
    match failed {
        0 => format!("{}, none failed", counted(checks, "check")),
        failed => format!("{}, {failed} FAILED", counted(checks, "check")),
    }
}

/// What was seen of a clone as a clone.
fn clone(proof: &CloneProof, verification: &Verification) -> String {
    let of = |is: fn(&CloneFinding) -> bool| {
        let differences = verification.differences.iter();
        let found =
            differences.filter(|it| matches!(it, Difference::Clone(finding) if is(finding)));
        found.count() as u64
    };
    let tallies = || {
        proof
            .columns
            .iter()
            .flat_map(|table| table.columns.values())
    };
    let changed: u64 = tallies().map(|it| it.changed).sum();
    let mut parts = Vec::new();
    if proof.masks.is_some() {
        parts.push(format!(
            "{} of {} equal but for their masks",
            proof.unmasked_tables,
            counted(proof.columns.len() as u64, "table")
        ));
        parts.push(format!(
            "{} masked in {}",
            counted(changed, "value"),
            counted(tallies().count() as u64, "column")
        ));
    }
    parts.push(format!(
        "{} and {} hold",
        counted(proof.references_checked, "reference"),
        counted(proof.uniques_checked, "unique key")
    ));
    parts.push(match &proof.residual {
        None => "no residual scan".to_owned(),
        Some(scan) => format!(
            "residual scan: {} read, {}",
            counted(scan.values, "value"),
            match of(|it| matches!(it, CloneFinding::Original { .. })) {
                0 => "none of the source's".to_owned(),
                1 => "the source's or secrets in 1 PLACE".to_owned(),
                places => format!("the source's or secrets in {places} PLACES"),
            }
        ),
    });
    let wrong = of(|it| !matches!(it, CloneFinding::Original { .. }));
    match wrong {
        0 => {}
        1 => parts.push("1 FINDING".to_owned()),
        wrong => parts.push(format!("{wrong} FINDINGS")),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_line_of_a_clone_counts_what_was_found_in_it() {
        let report = sample::clone(sample::report(2, |_| "t".to_owned()));
        let mut verification = report.verification.unwrap();
        let of_clone = |verification: &Verification| lines(verification).pop().unwrap();
        assert!(of_clone(&verification).ends_with("4000 values read, none of the source's"));
        let found = Difference::Clone(CloneFinding::Original {
            place: "public.t".to_owned(),
            column: "c".to_owned(),
            looks_like: "e-mail".to_owned(),
            values: 1,
        });
        verification.differences = vec![found.clone()];
        assert!(of_clone(&verification).ends_with(" in 1 PLACE"));
        verification.differences.push(found);
        assert!(of_clone(&verification).ends_with(" in 2 PLACES"));
    }

    #[test]
    fn a_line_of_links_hides_nothing() {
        let held = Link::compare(&1, &1);
        let told = |given: &[Link]| links(given.iter().copied(), "chunk", "stored = raw");
        assert_eq!(told(&[held, held]), "2 chunks stored = raw");
        assert_eq!(told(&[held]), "1 chunk stored = raw");
        assert_eq!(told(&[]), "0 chunks stored = raw");
        let unseen = Link::NOT_LOOKED_AT;
        assert_eq!(told(&[unseen, unseen]), "chunks not looked at");
        assert_eq!(
            told(&[held, Link::BROKEN, unseen]),
            "1 of 3 chunks stored = raw, 1 BROKEN, 1 not looked at"
        );
        assert_eq!(all(&[held, unseen, Link::BROKEN]), Link::BROKEN);
        assert_eq!(all(&[held, unseen]), unseen);
        assert_eq!(all(&[held, held]), held);
    }
}
