//! What workers tell the person who waits. Workers never print; the binary turns these into bars,
//! lines or JSON.

use std::sync::Arc;

use serde::Serialize;

/// A stage of the run, as shown in progress and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Source to store.
    Export,
    /// Roles, types, functions, bare tables.
    PreData,
    /// Store to target.
    Load,
    /// Indexes, constraints, policies, grants.
    PostData,
    /// Proof.
    Verify,
    /// Consumers.
    Switch,
}

impl Stage {
    /// The word for it on screen.
    pub const fn label(self) -> &'static str {
        match self {
            Stage::Export => "export",
            Stage::PreData => "pre-data",
            Stage::Load => "load",
            Stage::PostData => "post-data",
            Stage::Verify => "verify",
            Stage::Switch => "switch",
        }
    }
}

/// Something worth telling while a stage works.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A stage begins, with so many units of work (bytes or items) ahead.
    Started {
        /// The stage.
        stage: Stage,
        /// Units ahead.
        total: u64,
        /// What a unit is.
        unit: Unit,
    },
    /// Units done since the last event of the stage.
    Advanced {
        /// The stage.
        stage: Stage,
        /// Units done now.
        by: u64,
    },
    /// A sentence for the person, with a reason when something waits.
    Note {
        /// The stage.
        stage: Stage,
        /// The sentence.
        text: String,
    },
    /// A stage is done.
    Finished {
        /// The stage.
        stage: Stage,
    },
}

/// What progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes of raw COPY data.
    Bytes,
    /// Things: statements, tables, bindings.
    Items,
}

/// Where a worker sends its events. Cheap to clone; must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// Sends every event to this function.
    pub fn new(tell: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Sends an event.
    pub fn tell(&self, event: Event) {
        (self.0)(event);
    }

    /// Sends a sentence.
    pub fn note(&self, stage: Stage, text: impl Into<String>) {
        self.tell(Event::Note {
            stage,
            text: text.into(),
        });
    }

    /// Says that a stage begins.
    pub fn start(&self, stage: Stage, total: u64, unit: Unit) {
        self.tell(Event::Started { stage, total, unit });
    }

    /// Says that work was done.
    pub fn advance(&self, stage: Stage, by: u64) {
        self.tell(Event::Advanced { stage, by });
    }

    /// Says that a stage is done.
    pub fn finish(&self, stage: Stage) {
        self.tell(Event::Finished { stage });
    }
}
