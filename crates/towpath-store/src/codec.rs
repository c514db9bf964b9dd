//! Which codec a chunk gets: by what the run has measured so far.
//!
//! A chunk is read, hashed and perhaps compressed by one worker while the store takes what came
//! before, so the slower of the two sides sets its pace. Compressing is worth its time only where
//! the store is the slower one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use towpath_model::manifest::Codec;

/// A codec has to promise this much less time than the one in use to replace it: measurements of a
/// busy machine differ by about a tenth from one chunk to the next.
const GAIN: f64 = 0.15;

/// What a codec that costs less processor time may lose against the one in use.
const LOSS: f64 = 0.05;

/// Weight of a new measurement against those before it, for a chunk of [`WHOLE`] bytes or more.
const NEWEST: f64 = 0.3;

/// Bytes from which on a chunk counts fully.
const WHOLE: f64 = 8_388_608.0;

/// Raw bytes below which a chunk tells nothing: only the fixed cost of an object would be measured,
/// which no codec changes.
const LEAST: u64 = 1 << 20;

/// How far an estimate for a codec that was not used drifts back to its first guess with each chunk:
/// the next tables may be of another kind than the one it was measured on.
const FORGETTING: f64 = 0.01;

/// What a codec costs and saves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecCost {
    /// Nanoseconds of compressing per raw byte.
    pub ns_per_raw: f64,
    /// Stored bytes per raw byte.
    pub ratio: f64,
}

impl CodecCost {
    /// First guess: rows of an ordinary application on one core (measured on PostgreSQL's binary
    /// COPY; `docs/performance.md`).
    fn guess(codec: Codec) -> Self {
        let (ns_per_raw, ratio) = match codec {
            Codec::None => (0.0, 1.0),
            Codec::ZstdFast => (2.3, 0.52),
            Codec::Zstd => (3.6, 0.42),
        };
        Self { ns_per_raw, ratio }
    }

    fn towards(self, other: Self, weight: f64) -> Self {
        Self {
            ns_per_raw: mix(self.ns_per_raw, other.ns_per_raw, weight),
            ratio: mix(self.ratio, other.ratio, weight),
        }
    }
}

fn mix(old: f64, new: f64, weight: f64) -> f64 {
    old + (new - old) * weight
}

/// What a run has measured of its chunks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The codec in use.
    pub current: Codec,
    /// Nanoseconds per raw byte that a worker needs for everything but compressing and storing: it
    /// waits for the source, hashes, digests.
    pub other_ns_per_raw: f64,
    /// Nanoseconds per stored byte that the store needs, as one worker sees it.
    pub store_ns_per_stored: f64,
    /// Of none, fast and ordinary Zstandard, in this order.
    pub codecs: [CodecCost; 3],
}

impl Observed {
    /// Nothing measured yet: the first guess is by the kind of store. Between here and a disk there
    /// is a memory's width; between here and S3 there is a network.
    fn nothing(is_remote: bool) -> Self {
        Self {
            current: match is_remote {
                true => Codec::ZstdFast,
                false => Codec::None,
            },
            other_ns_per_raw: 8.0,
            store_ns_per_stored: match is_remote {
                true => 20.0,
                false => 1.0,
            },
            codecs: Codec::ALL.map(CodecCost::guess),
        }
    }

    /// Nanoseconds per raw byte that a worker would need with this codec.
    fn pace(&self, codec: Codec) -> f64 {
        let cost = self.codecs[place(codec)];
        let working = self.other_ns_per_raw + cost.ns_per_raw;
        working.max(self.store_ns_per_stored * cost.ratio)
    }

    /// Takes what was measured of one chunk.
    fn take(&mut self, codec: Codec, measured: &Measured) {
        let raw = to_f64(measured.raw_bytes);
        let stored = to_f64(measured.stored_bytes);
        if measured.raw_bytes < LEAST || measured.stored_bytes == 0 {
            return;
        }
        let share = (raw / WHOLE).min(1.0);
        // Guesses weigh as much as chunks do: the first flush of a busy disk says little.
        let weight = |bytes: f64| NEWEST * (bytes / WHOLE).min(1.0);
        let per = |time: Duration, bytes: f64| time.as_secs_f64() * 1e9 / bytes;
        self.other_ns_per_raw = mix(self.other_ns_per_raw, per(measured.other, raw), weight(raw));
        let store = per(measured.storing, stored);
        self.store_ns_per_stored = mix(self.store_ns_per_stored, store, weight(stored));
        for (each, cost) in Codec::ALL.into_iter().zip(&mut self.codecs) {
            *cost = if each == codec && codec.is_packed() {
                let seen = CodecCost {
                    ns_per_raw: per(measured.compressing, raw),
                    ratio: stored / raw,
                };
                cost.towards(seen, NEWEST * share)
            } else {
                cost.towards(CodecCost::guess(each), FORGETTING * share)
            };
        }
    }
}

fn place(codec: Codec) -> usize {
    match codec {
        Codec::None => 0,
        Codec::ZstdFast => 1,
        Codec::Zstd => 2,
    }
}

/// Nothing of a float's precision matters here.
#[expect(clippy::cast_precision_loss)]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// The codec for the next chunk. The one in use stays unless another promises to be clearly faster;
/// of two that promise the same, the one that costs less processor time.
pub fn choose(observed: &Observed) -> Codec {
    let mut best = Codec::None;
    for codec in Codec::ALL {
        if observed.pace(codec) < observed.pace(best) * (1.0 - GAIN) {
            best = codec;
        }
    }
    let now = observed.pace(observed.current);
    let gain = (now - observed.pace(best)) / now.max(f64::MIN_POSITIVE);
    // A cheaper codec of about the same pace leaves the processors to the servers.
    let is_cheaper = place(best) < place(observed.current) && gain >= -LOSS;
    if gain >= GAIN || is_cheaper {
        best
    } else {
        observed.current
    }
}

/// Where the time of one chunk went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes of the object.
    pub stored_bytes: u64,
    /// Compressing.
    pub compressing: Duration,
    /// The store at work, whether anybody waited for it or not; where it takes several requests of
    /// one object at once, divided by how many.
    pub storing: Duration,
    /// Everything else: waiting for the source, digesting, hashing.
    pub other: Duration,
}

/// How the codec of a run's chunks is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodecSetting {
    /// By what is measured.
    #[default]
    Auto,
    /// Always this.
    Always(Codec),
}

/// Chooses codecs for the workers of an export. Cheap to clone; clones share what was measured.
#[derive(Debug, Clone)]
pub struct CodecPolicy {
    setting: CodecSetting,
    observed: Arc<Mutex<Observed>>,
}

impl CodecPolicy {
    /// For a store that is behind a network, or is not.
    pub fn new(setting: CodecSetting, is_remote: bool) -> Self {
        Self {
            setting,
            observed: Arc::new(Mutex::new(Observed::nothing(is_remote))),
        }
    }

    /// The codec for the next chunk.
    pub fn choose(&self) -> Codec {
        match self.setting {
            CodecSetting::Always(codec) => codec,
            CodecSetting::Auto => self.lock().current,
        }
    }

    /// Takes what was measured of a chunk.
    pub fn learn(&self, codec: Codec, measured: &Measured) {
        let mut observed = self.lock();
        observed.take(codec, measured);
        let next = choose(&observed);
        if self.setting == CodecSetting::Auto && next != observed.current {
            tracing::info!(?observed, ?next, "the codec of the next chunks changes");
        }
        observed.current = next;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Observed> {
        // What is measured is a guess anyway: half an update of it does no harm.
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(current: Codec, other: f64, store: f64) -> Observed {
        Observed {
            current,
            other_ns_per_raw: other,
            store_ns_per_stored: store,
            ..Observed::nothing(false)
        }
    }

    #[test]
    fn nothing_is_compressed_where_the_store_keeps_up() {
        for current in Codec::ALL {
            for other in [1.0, 5.0, 20.0] {
                let fast = observed(current, other, other * 0.5);
                assert_eq!(choose(&fast), Codec::None, "{fast:?}");
            }
        }
    }

    #[test]
    fn a_slow_store_gets_the_smaller_objects() {
        for current in Codec::ALL {
            let slow = observed(current, 5.0, 100.0);
            assert_eq!(choose(&slow), Codec::Zstd, "{slow:?}");
        }
    }

    #[test]
    fn between_them_the_fast_level_is_enough() {
        let middling = observed(Codec::None, 5.0, 13.0);
        assert_eq!(choose(&middling), Codec::ZstdFast);
    }

    #[test]
    fn what_does_not_shrink_is_not_compressed() {
        let mut dense = observed(Codec::Zstd, 5.0, 100.0);
        for cost in &mut dense.codecs[1..] {
            cost.ratio = 0.99;
        }
        assert_eq!(choose(&dense), Codec::None);
    }

    #[test]
    fn noise_does_not_change_the_codec() {
        // A tenth to either side of where two codecs cost the same.
        let guess = CodecCost::guess(Codec::ZstdFast);
        let even = 5.0 + guess.ns_per_raw;
        for current in [Codec::None, Codec::ZstdFast] {
            for noise in [0.95, 1.0, 1.05] {
                let chosen = choose(&observed(current, 5.0, even * noise));
                assert!(
                    place(chosen) <= place(current),
                    "{current:?} became {chosen:?}"
                );
            }
        }
    }

    /// A run of chunks of 64 MiB of ordinary rows against a store of so many MB/s a worker.
    fn run(policy: &CodecPolicy, store_mb_s: f64, chunks: usize) -> Vec<Codec> {
        let raw = 64.0 * 1_048_576.0;
        let truth = |codec| CodecCost::guess(codec);
        (0..chunks)
            .map(|_| {
                let codec = policy.choose();
                let cost = truth(codec);
                let measured = Measured {
                    raw_bytes: 64 << 20,
                    stored_bytes: whole(raw * cost.ratio),
                    compressing: Duration::from_secs_f64(cost.ns_per_raw * raw / 1e9),
                    storing: Duration::from_secs_f64(raw * cost.ratio / (store_mb_s * 1e6)),
                    other: Duration::from_secs_f64(5.0 * raw / 1e9),
                };
                policy.learn(codec, &measured);
                codec
            })
            .collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn whole(bytes: f64) -> u64 {
        bytes as u64
    }

    #[test]
    fn a_run_settles_on_what_its_store_is_worth() {
        for (store_mb_s, settled) in [(2000.0, Codec::None), (10.0, Codec::Zstd)] {
            for is_remote in [false, true] {
                let policy = CodecPolicy::new(CodecSetting::Auto, is_remote);
                let codecs = run(&policy, store_mb_s, 20);
                assert!(codecs[4..].iter().all(|c| *c == settled), "{codecs:?}");
            }
        }
        let first = CodecPolicy::new(CodecSetting::Auto, true);
        assert_eq!(first.choose(), Codec::ZstdFast);
    }

    #[test]
    fn a_store_that_slows_down_is_noticed_both_ways() {
        let policy = CodecPolicy::new(CodecSetting::Auto, false);
        assert_eq!(run(&policy, 2000.0, 10).last(), Some(&Codec::None));
        assert_eq!(run(&policy, 10.0, 20).last(), Some(&Codec::Zstd));
        assert_eq!(run(&policy, 2000.0, 40).last(), Some(&Codec::None));
    }

    #[test]
    fn ten_thousand_small_tables_say_nothing_about_the_store() {
        let policy = CodecPolicy::new(CodecSetting::Auto, false);
        run(&policy, 2000.0, 3);
        let small = Measured {
            raw_bytes: 900,
            stored_bytes: 900,
            storing: Duration::from_millis(3),
            ..Measured::default()
        };
        for _ in 0..10_000 {
            policy.learn(policy.choose(), &small);
        }
        assert_eq!(policy.choose(), Codec::None);
    }

    #[test]
    fn a_fixed_codec_stays() {
        let policy = CodecPolicy::new(CodecSetting::Always(Codec::ZstdFast), false);
        assert!(run(&policy, 5.0, 10).iter().all(|c| *c == Codec::ZstdFast));
    }

    #[test]
    fn dense_tables_are_forgotten() {
        let policy = CodecPolicy::new(CodecSetting::Auto, true);
        let dense = Measured {
            raw_bytes: 64 << 20,
            stored_bytes: 66 << 20,
            compressing: Duration::from_millis(150),
            storing: Duration::from_secs(6),
            other: Duration::from_millis(330),
        };
        let codecs: Vec<Codec> = (0..60)
            .map(|_| {
                let codec = policy.choose();
                policy.learn(codec, &dense);
                codec
            })
            .collect();
        let plain = codecs.iter().filter(|c| **c == Codec::None).count();
        assert!(plain > 30, "{codecs:?}");
        assert!(run(&policy, 10.0, 100).contains(&Codec::Zstd));
    }
}
