//! Phases of a run on an axis of time, with the hours left out in which nothing happened.

use towpath_model::report::Timing;

use super::page::{Bar, Chart};

/// Phases that hold others, which tell more.
const WHOLE: &str = "export and load";
const PARTS: [&str; 2] = ["export", "load"];

/// What of the axis a gap is shown as: one part in so many.
const GAP_PART: u64 = 40;

/// The chart of the phases whose beginning is known; nothing when there are none.
pub fn chart(timings: &[Timing]) -> Option<Chart> {
    let mut known: Vec<(u64, &Timing)> = timings
        .iter()
        .filter_map(|timing| Some((timing.began_at_ms?, timing)))
        .collect();
    // A run that was killed and went on has some phases more than once.
    known.retain(|(began, timing)| timing.what != WHOLE || !has_parts(*began, timing, timings));
    known.sort_by_key(|(began, timing)| (*began, std::cmp::Reverse(timing.millis)));
    if known.is_empty() {
        return None;
    }
    let busy = busy(&known);
    let working: u64 = busy.iter().map(|(from, to)| to - from).sum();
    let gap = (working / GAP_PART).max(1);
    let mut left_out = 0;
    let mut bars = Vec::new();
    let mut begins_at = 0;
    let mut last: Option<u64> = None;
    for (from, to) in busy {
        if let Some(ended) = last {
            let pause = from - ended;
            begins_at += pause.min(gap);
            left_out += pause.saturating_sub(gap);
        }
        let within = known
            .iter()
            .filter(|(began, _)| (from..=to).contains(began));
        bars.extend(within.map(|(began, timing)| Bar {
            what: timing.what.clone(),
            from: begins_at + (began - from),
            millis: timing.millis,
        }));
        begins_at += to - from;
        last = Some(to);
    }
    let mut note = "Phases overlap: a chunk is loaded while others are exported.".to_owned();
    if left_out > 1000 {
        note.push_str(&format!(
            " Pauses of {} in which nothing ran are left out.",
            crate::table::duration(left_out)
        ));
    }
    Some(Chart {
        bars,
        millis: begins_at.max(1),
        note,
    })
}

fn has_parts(began: u64, whole: &Timing, timings: &[Timing]) -> bool {
    let within = |timing: &&Timing| {
        timing
            .began_at_ms
            .is_some_and(|at| (began..=began.saturating_add(whole.millis)).contains(&at))
    };
    PARTS.iter().all(|part| {
        timings
            .iter()
            .filter(within)
            .any(|timing| timing.what == *part)
    })
}

/// Times in which something ran, in order and apart from each other.
fn busy(known: &[(u64, &Timing)]) -> Vec<(u64, u64)> {
    let mut busy: Vec<(u64, u64)> = Vec::new();
    for (began, timing) in known {
        let ended = began.saturating_add(timing.millis);
        match busy.last_mut() {
            Some((_, to)) if *began <= *to => *to = (*to).max(ended),
            _ => busy.push((*began, ended)),
        }
    }
    busy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(what: &str, began_at_ms: u64, millis: u64) -> Timing {
        Timing {
            what: what.to_owned(),
            millis,
            began_at_ms: Some(began_at_ms),
        }
    }

    #[test]
    fn parts_take_the_place_of_the_whole_and_overlap() {
        let chart = chart(&[
            timing("export", 1_000_100, 400),
            timing("load", 1_000_200, 700),
            timing("export and load", 1_000_000, 900),
            timing("verify", 1_000_950, 50),
        ])
        .unwrap();
        let bars: Vec<(&str, u64, u64)> = chart
            .bars
            .iter()
            .map(|bar| (bar.what.as_str(), bar.from, bar.millis))
            .collect();
        assert_eq!(
            bars,
            [("export", 0, 400), ("load", 100, 700), ("verify", 821, 50)]
        );
        assert_eq!(chart.millis, 871);
    }

    #[test]
    fn a_night_between_two_phases_is_left_out() {
        let night = 8 * 3_600_000;
        let timings = [timing("export", 0, 4_000), timing("load", night, 4_000)];
        let chart = chart(&timings).unwrap();
        assert_eq!(chart.millis, 8_200);
        assert!(chart.note.contains("are left out"), "{}", chart.note);
    }

    #[test]
    fn without_beginnings_there_is_no_chart() {
        let old = Timing {
            began_at_ms: None,
            ..timing("export", 0, 5)
        };
        assert_eq!(chart(&[old]), None);
        assert_eq!(chart(&[]), None);
        assert!(chart(&[timing("x", u64::MAX, u64::MAX)]).is_some());
    }
}
