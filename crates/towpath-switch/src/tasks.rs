//! Work on several bindings at once, within a bound.

use std::pin::Pin;
use std::task::Poll;

/// Drives the tasks to their ends, at most `jobs` at a time, begun in their order. Nothing is ever
/// dropped half-way: a request on its way to AWS may still be carried out there, so it is waited
/// for. Gives the outcomes in the order of the tasks.
pub(crate) async fn all<T, F>(jobs: usize, tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    F: Future<Output = T>,
{
    let mut waiting = tasks.into_iter().enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut done: Vec<(usize, T)> = Vec::new();
    std::future::poll_fn(|context| {
        loop {
            while running.len() < jobs.max(1) {
                let Some((index, task)) = waiting.next() else {
                    break;
                };
                running.push((index, Box::pin(task)));
            }
            if running.is_empty() {
                return Poll::Ready(());
            }
            let before = done.len();
            running.retain_mut(|(index, task)| match task.as_mut().poll(context) {
                Poll::Ready(outcome) => {
                    done.push((*index, outcome));
                    false
                }
                Poll::Pending => true,
            });
            if done.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn all_tasks_end_in_order_and_within_the_bound() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let task = async |index: u64| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20 - index)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            index
        };
        let outcomes = all(4, (0..20).map(task)).await;
        assert_eq!(outcomes, (0..20).collect::<Vec<u64>>());
        assert_eq!(most.load(Ordering::SeqCst), 4);
        assert!(all(0, (0..3).map(task)).await == [0, 1, 2]);
        assert!(all(8, (0..0).map(task)).await.is_empty());
    }
}
