//! Rows that somebody sees on both sides: as a digest first, and where that differs, which.
//!
//! Memory does not grow with the rows: the first pass keeps digests of buckets, the second holds
//! rows of differing buckets only, as many as [`HELD_MAX`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::digest::RowDigest;

use crate::access::refused::{Answer, Refused};
use crate::access::relation::{Identity, Relation, line_of};
use crate::access::standpoint::Standpoint;

const BUCKETS: usize = 1024;

/// Lines held in the second pass.
const HELD_MAX: u64 = 50_000;

/// Rows that are compared as a whole, to tell whether both sides hold them alike.
const COMPARED_MAX: usize = 500;

/// Digests of rows by bucket, and of all of them.
pub(crate) struct Seen {
    buckets: Vec<RowDigest>,
    pub(crate) all: RowDigest,
}

/// Rows that one side lets through and the other does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OneSided {
    pub(crate) only_source: Vec<Row>,
    pub(crate) only_target: Vec<Row>,
    /// There are more: not all were looked at.
    pub(crate) at_least: bool,
    /// Of those looked at, some are not alike on both sides, and left out.
    pub(crate) some_moved: bool,
    /// Whether they are alike could not be looked at.
    pub(crate) is_unproven: bool,
}

/// A line, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: String,
    pub(crate) times: u64,
}

impl OneSided {
    pub(crate) fn is_empty(&self) -> bool {
        self.only_source.is_empty() && self.only_target.is_empty()
    }
}

/// How many rows, counted as often as they are there.
pub(crate) fn count(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.times).sum()
}

fn bucket_of(hash: &[u8; 32]) -> usize {
    usize::from(u16::from_le_bytes([hash[0], hash[1]])) % BUCKETS
}

/// Digests what a query gives.
pub(crate) async fn seen(
    standpoint: &mut Standpoint,
    key: &[u8; 32],
    query: &str,
) -> Result<Answer<Seen>> {
    let mut buckets = vec![RowDigest::default(); BUCKETS];
    let mut visitor = |line: &[u8]| {
        let hash = *blake3::keyed_hash(key, line).as_bytes();
        buckets[bucket_of(&hash)].add_row(&hash);
    };
    let answer = standpoint.each_line(query, &mut visitor).await?;
    let all = buckets.iter().collect();
    Ok(answer.map(|()| Seen { buckets, all }))
}

/// Which buckets to hold, and whether those are all that differ.
fn differing(source: &Seen, target: &Seen) -> (BTreeSet<usize>, bool) {
    let mut wanted = BTreeSet::new();
    let mut held = 0;
    let pairs = source.buckets.iter().zip(&target.buckets).enumerate();
    for (at, (ours, theirs)) in pairs.filter(|(_, (ours, theirs))| ours != theirs) {
        if held > HELD_MAX {
            return (wanted, true);
        }
        held += ours.rows + theirs.rows;
        wanted.insert(at);
    }
    (wanted, false)
}

/// Both sides as somebody.
pub(crate) struct Both<'s> {
    pub(crate) source: &'s mut Standpoint,
    pub(crate) target: &'s mut Standpoint,
}

impl Both<'_> {
    /// The rows of a relation that one side lets through and the other does not, of those that both
    /// hold alike.
    pub(crate) async fn one_sided(
        &mut self,
        key: &[u8; 32],
        relation: &Relation,
        identity: &Identity,
        seen: (&Seen, &Seen),
    ) -> Result<Answer<OneSided>> {
        let (buckets, more) = differing(seen.0, seen.1);
        let query = relation.lines(identity);
        let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for (standpoint, step) in [(&mut *self.source, 1), (&mut *self.target, -1)] {
            let mut visitor = |line: &[u8]| {
                let hash = *blake3::keyed_hash(key, line).as_bytes();
                if buckets.contains(&bucket_of(&hash)) {
                    *counts.entry(line.to_vec()).or_default() += step;
                }
            };
            if let Err(refused) = standpoint.each_line(&query, &mut visitor).await? {
                return Ok(Err(refused));
            }
        }
        counts.retain(|_, count| *count != 0);
        let at_least = more || counts.len() > COMPARED_MAX;
        let lines: Vec<(String, i64)> = counts
            .into_iter()
            .take(COMPARED_MAX)
            .map(|(line, count)| (line_of(&line), count))
            .collect();
        let alike = self.alike(relation, identity, &lines).await?;
        let mut found = part(lines, at_least, |line| {
            alike.as_ref().is_none_or(|alike| alike.contains(line))
        });
        found.is_unproven = alike.is_none();
        Ok(Ok(found))
    }

    /// Of these lines, those whose rows both sides hold alike, whoever sees them; nothing where the
    /// logins may not look.
    pub(crate) async fn alike(
        &mut self,
        relation: &Relation,
        identity: &Identity,
        lines: &[(String, i64)],
    ) -> Result<Option<BTreeSet<String>>> {
        let lines: Vec<String> = lines.iter().map(|(line, _)| line.clone()).collect();
        let source = held(self.source, relation, identity, &lines).await?;
        let target = held(self.target, relation, identity, &lines).await?;
        let (Ok(source), Ok(target)) = (source, target) else {
            return Ok(None);
        };
        let alike = source.into_iter().filter(|(line, contents)| {
            target
                .get(line)
                .is_some_and(|theirs| !contents.is_empty() && contents == theirs)
        });
        Ok(Some(alike.map(|(line, _)| line).collect()))
    }
}

fn part(lines: Vec<(String, i64)>, at_least: bool, is_alike: impl Fn(&str) -> bool) -> OneSided {
    let mut found = OneSided {
        at_least,
        ..OneSided::default()
    };
    for (line, count) in lines {
        if !is_alike(&line) {
            found.some_moved = true;
            continue;
        }
        let times = count.unsigned_abs();
        match count > 0 {
            true => found.only_source.push(Row { line, times }),
            false => found.only_target.push(Row { line, times }),
        }
    }
    found
}

#[derive(Deserialize)]
struct Held {
    line: String,
    contents: String,
}

/// What the login finds of these lines: their rows' contents; of keyless relations, how often.
async fn held(
    standpoint: &mut Standpoint,
    relation: &Relation,
    identity: &Identity,
    lines: &[String],
) -> Result<Answer<HashMap<String, String>>> {
    if *identity != Identity::Key {
        return held_whole(standpoint, relation, identity, lines).await;
    }
    let sql = format!(
        "select {} as line, {} as contents from {} where {}",
        relation.line(identity),
        relation.contents(),
        relation.name.quoted(),
        relation.is_one_of(lines)
    );
    let rows: Answer<Vec<Held>> = standpoint.fetch_as_login(&sql, &[]).await?;
    Ok(rows.map(|rows| {
        let pairs = rows.into_iter().map(|row| (row.line, row.contents));
        pairs.collect()
    }))
}

/// A row without a key is its columns: there as often, and it is the same.
async fn held_whole(
    standpoint: &mut Standpoint,
    relation: &Relation,
    identity: &Identity,
    lines: &[String],
) -> Result<Answer<HashMap<String, String>>> {
    let wanted: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    let mut times: HashMap<String, u64> = HashMap::new();
    let mut visitor = |line: &[u8]| {
        let line = line_of(line);
        if wanted.contains(line.as_str()) {
            *times.entry(line).or_default() += 1;
        }
    };
    let query = relation.lines(identity);
    let answer: Result<(), Refused> = standpoint.each_line_as_login(&query, &mut visitor).await?;
    Ok(answer.map(|()| {
        let counted = times.into_iter();
        counted
            .map(|(line, times)| (line, times.to_string()))
            .collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_of(lines: &[&str]) -> Seen {
        let mut buckets = vec![RowDigest::default(); BUCKETS];
        for line in lines {
            let hash = *blake3::keyed_hash(&[7; 32], line.as_bytes()).as_bytes();
            buckets[bucket_of(&hash)].add_row(&hash);
        }
        let all = buckets.iter().collect();
        Seen { buckets, all }
    }

    #[test]
    fn only_buckets_that_differ_are_held() {
        let (wanted, more) = differing(&seen_of(&["a", "b"]), &seen_of(&["a", "b"]));
        assert!(wanted.is_empty() && !more);
        let (wanted, more) = differing(&seen_of(&["a", "b"]), &seen_of(&["a"]));
        assert!(wanted.len() == 1 && !more);
        let (wanted, _) = differing(&seen_of(&["a"]), &seen_of(&["a", "a"]));
        assert_eq!(wanted.len(), 1, "how often counts");
    }

    #[test]
    fn rows_that_are_not_alike_are_left_out_and_said() {
        let lines = vec![("moved".to_owned(), 1), ("alike".to_owned(), -2)];
        let found = part(lines, false, |line| line == "alike");
        assert!(found.only_source.is_empty() && found.some_moved && !found.at_least);
        assert_eq!(count(&found.only_target), 2);
    }
}
