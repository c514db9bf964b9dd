//! How much is done at once.

use towpath_model::inventory::ServerFacts;
use towpath_model::plan::PlannedJobs;

/// Fewer would leave a connection idle while the other end works.
const FEWEST: u32 = 2;

/// More would need a reason that nobody has measured: the operator's.
const MOST: u32 = 8;

/// Where the work is done.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: u32,
    /// A server is on this machine, and works on the same cores.
    pub shares_with_source: bool,
    /// The same of the target.
    pub shares_with_target: bool,
}

/// The number of jobs when the operator leaves it open, with what decided it.
///
/// A job is one connection to each side. Away from the servers it spends most of its time waiting
/// for the network, so a core feeds two; beside a server every job more takes from that server's
/// own work (`docs/performance.md`). Indexes are built at the target by as many, so its processors
/// bound them, as far as they are known. Half of the free connections stay free.
pub fn choose_jobs(machine: Machine, source: &ServerFacts, target: &ServerFacts) -> PlannedJobs {
    let cores = machine.cores.max(1);
    let here = format!("{cores} core{} here", if cores == 1 { "" } else { "s" });
    let (per_core, why) = match (machine.shares_with_source, machine.shares_with_target) {
        (false, false) => (2, format!("{here}, and both servers are elsewhere")),
        (true, true) => (1, format!("{here}, with both servers on them")),
        (true, false) => (1, format!("{here}, with the source on them")),
        (false, true) => (1, format!("{here}, with the target on them")),
    };
    let mut chosen = PlannedJobs {
        jobs: (cores * per_core).clamp(FEWEST, MOST),
        reason: why,
    };
    let mut bound = |most: u32, reason: String| {
        if most < chosen.jobs {
            chosen = PlannedJobs { jobs: most, reason };
        }
    };
    if let Some(workers) = target.capacity.worker_processes
        && !machine.shares_with_target
    {
        bound(
            (workers / 2).max(FEWEST),
            format!(
                "max_worker_processes of the target is {workers}, as with half as many processors"
            ),
        );
    }
    for (side, facts) in [("source", source), ("target", target)] {
        if let Some(free) = facts.capacity.free_connections {
            bound(
                (free / 2).max(1),
                format!("the {side} has {free} connections left, and half of them stay free"),
            );
        }
    }
    chosen
}

/// Processors of the target: this machine's, if it is on it, and else half of the worker processes
/// that it may have, as [`choose_jobs`] takes it.
pub fn target_processors(machine: Machine, target: &ServerFacts) -> Option<u32> {
    if machine.shares_with_target {
        return Some(machine.cores);
    }
    Some(target.capacity.worker_processes? / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::server;
    use proptest::prelude::*;
    use towpath_model::inventory::Capacity;

    fn with(free: Option<u32>, workers: Option<u32>) -> ServerFacts {
        ServerFacts {
            capacity: Capacity {
                free_connections: free,
                worker_processes: workers,
            },
            ..server("postgres")
        }
    }

    fn machine(cores: u32, here: bool) -> Machine {
        Machine {
            cores,
            shares_with_source: here,
            shares_with_target: here,
        }
    }

    fn said(chosen: &PlannedJobs) -> String {
        format!("{}: {}", chosen.jobs, chosen.reason)
    }

    #[test]
    fn cores_decide_where_servers_are_roomy() {
        let roomy = with(Some(90), Some(64));
        let chosen = |cores, here| said(&choose_jobs(machine(cores, here), &roomy, &roomy));
        assert_eq!(
            chosen(2, false),
            "4: 2 cores here, and both servers are elsewhere"
        );
        assert_eq!(
            chosen(2, true),
            "2: 2 cores here, with both servers on them"
        );
        assert_eq!(chosen(1, true), "2: 1 core here, with both servers on them");
        assert!(chosen(64, true).starts_with("8: "));
        assert!(chosen(64, false).starts_with("8: "));
    }

    #[test]
    fn a_small_server_bounds_them() {
        let roomy = with(Some(90), Some(64));
        let small = with(Some(90), Some(8));
        let chosen = choose_jobs(machine(16, false), &roomy, &small);
        assert_eq!(
            said(&chosen),
            "4: max_worker_processes of the target is 8, as with half as many processors"
        );
        let full = with(Some(5), None);
        let chosen = choose_jobs(machine(16, false), &full, &small);
        assert_eq!(
            said(&chosen),
            "2: the source has 5 connections left, and half of them stay free"
        );
        // A source says nothing of its processors that matters, nor a target on the same cores.
        let chosen = choose_jobs(machine(8, true), &small, &small);
        assert_eq!(chosen.jobs, 8);
    }

    #[test]
    fn a_server_that_tells_nothing_bounds_nothing() {
        let silent = with(None, None);
        assert_eq!(choose_jobs(machine(4, false), &silent, &silent).jobs, 8);
    }

    proptest! {
        #[test]
        fn there_is_always_somebody_who_works(
            cores in 0u32..300,
            here in proptest::bool::ANY,
            free in proptest::option::of(0u32..200),
            workers in proptest::option::of(0u32..300),
        ) {
            let facts = with(free, workers);
            let jobs = choose_jobs(machine(cores, here), &facts, &facts).jobs;
            prop_assert!((1..=MOST).contains(&jobs));
        }
    }
}
