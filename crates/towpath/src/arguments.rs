//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::diff::DiffSide;

/// Moves a Supabase project's database to Amazon RDS for PostgreSQL, proves the copy, and points
/// Lambda functions at it, with a way back.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, max_term_width = 100)]
pub struct Arguments {
    /// Configuration file
    #[arg(
        long,
        global = true,
        env = "TOWPATH_CONFIG",
        default_value = "towpath.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// Run store: file:///directory or s3://bucket/prefix
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Root certificates of the source, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub source_root_cert: Option<String>,
    /// Root certificates of the target, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub target_root_cert: Option<String>,
    /// Chunks copied, and indexes built, at once; auto: as the machine and the servers bear
    #[arg(long, global = true, value_name = "N")]
    pub jobs: Option<String>,
    /// Pause reading while the source is above: sessions=N, lag=SIZE, lag=TIME or query=N
    #[arg(long, global = true, value_name = "LIMITS")]
    pub max_source_load: Option<String>,
    /// How progress is shown
    #[arg(long, global = true, value_enum)]
    pub progress: Option<ProgressMode>,
    /// Machine-readable output on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on stderr; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// Lines
    Plain,
    /// One JSON event a line on stderr
    Json,
    /// Nothing
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented towpath.toml
    Init,
    /// Go through the checklist: source, target, store, AWS; changes nothing
    Check,
    /// Show what a run would do; changes nothing but the plan file
    Plan(PlanArguments),
    /// Show how two structures differ: source, target or a run; changes nothing
    Diff(DiffArguments),
    /// Plan, export, load and verify; stops at the cutover gate; the same command resumes
    Run(RunArguments),
    /// Do all of a run into a scratch database that is dropped afterwards
    Rehearse(RehearseArguments),
    /// Export to the run store only; with --schema-only, write the clean schema as SQL files
    Export(ExportArguments),
    /// Load a sealed export into the target
    Load(RunArguments),
    /// Prove that store and target hold what the source held
    Verify(VerifyArguments),
    /// Point the selected Lambda functions and secrets at the target
    Cutover(CutoverArguments),
    /// Put the configuration of Lambda functions and secrets back as it was
    Rollback(RollbackArguments),
    /// Let the source accept writes again, where a fence was left behind and nothing is switched
    Unfence(UnfenceArguments),
    /// Make an environment of the source, or of a sealed run: masked, a subset if asked for, built
    /// aside, verified, and only then swapped in
    Clone(CloneArguments),
    /// List the clones on the server, with age, source, masks and verification
    Clones(ClonesArguments),
    /// Look at masks: what is covered, what changes, what was approved
    Mask {
        /// What to do
        #[command(subcommand)]
        what: MaskCommand,
    },
    /// Delete the staged rows of a run and prove that they are gone; plan, manifest, journal, report
    /// and evidence stay
    Clean(CleanArguments),
    /// Show where a run is
    Status(RunSelector),
    /// Write the report of a run as HTML, Markdown and JSON
    Report(ReportArguments),
    /// Look at the configuration
    Config {
        /// What to look at
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

/// What to look at in the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the effective settings and where each comes from; secrets are masked
    Show,
}

/// Which run.
#[derive(Debug, Clone, Args)]
pub struct RunSelector {
    /// Run id; the current run when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Write the plan to this file, for `towpath run FILE`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// source (its clean schema for the target), target, run or run:ID (what its target must have)
    #[arg(value_name = "LEFT")]
    pub left: DiffSide,
    /// The other side
    #[arg(value_name = "RIGHT")]
    pub right: DiffSide,
    /// Compare the catalogs as they are, with all that the clean schema leaves out or changes
    #[arg(long)]
    pub raw: bool,
}

/// Arguments of `run` and `load`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Plan file made by `towpath plan -o`
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Go on with this run instead of the current one
    #[arg(long, value_name = "RUN", conflicts_with = "plan")]
    pub run: Option<String>,
    /// Start over with a new run
    #[arg(long, conflicts_with_all = ["plan", "run"])]
    pub new_run: bool,
    /// Do not ask; needed where there is no terminal and no plan file
    #[arg(short, long)]
    pub yes: bool,
    /// Drop everything in the target database of this name first
    #[arg(long, value_name = "DATABASE")]
    pub replace: Option<String>,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct RehearseArguments {
    /// Load the export of this sealed run instead of a fresh one; the source is not read
    #[arg(long, value_name = "RUN", conflicts_with = "replace")]
    pub from: Option<String>,
    /// Do not ask; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
    /// Verify at every level, as `towpath verify --all` does: access and health, too
    #[arg(long)]
    pub all: bool,
    /// Let the scratch database stay, to look at it; --clean drops it
    #[arg(long)]
    pub keep: bool,
    /// Drop what earlier rehearsals have left, kept databases too, and stop
    #[arg(long, conflicts_with_all = ["from", "yes", "all", "keep", "replace"])]
    pub clean: bool,
    /// The run will clear the target database of this name: what it holds fails no check
    #[arg(long, value_name = "DATABASE")]
    pub replace: Option<String>,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Those of a run.
    #[command(flatten)]
    pub run: RunArguments,
    /// Write the clean schema as SQL that can be applied again and again; needs no store and
    /// makes no run
    #[arg(
        long,
        requires = "output",
        conflicts_with_all = ["plan", "run", "new_run", "yes", "replace"]
    )]
    pub schema_only: bool,
    /// Directory for the files; - for the whole schema on stdout
    #[arg(short, long, value_name = "DIRECTORY", requires = "schema_only")]
    pub output: Option<PathBuf>,
    /// Write into a directory that holds files; those of an earlier export are replaced
    #[arg(long, requires = "schema_only")]
    pub force: bool,
    /// Second half of the name of the file that holds the whole schema
    #[arg(
        long,
        value_name = "NAME",
        default_value = "clean_schema",
        requires = "schema_only",
        value_parser = migration_name
    )]
    pub name: String,
    /// Do not ask the target: assume an RDS for PostgreSQL of this major version
    #[arg(long, value_name = "MAJOR", requires = "schema_only", value_parser = clap::value_parser!(u32).range(15..=99))]
    pub target_major: Option<u32>,
    /// Master user of the assumed target
    #[arg(
        long,
        value_name = "ROLE",
        default_value = "postgres",
        requires = "schema_only"
    )]
    pub target_owner: String,
}

/// What every tool that reads migrations takes.
fn migration_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !text.is_empty() && text.len() <= 100 && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("use lower-case letters, digits and underscores".to_owned())
    }
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct VerifyArguments {
    /// Run id; the current run when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Look at the stored objects (needs no database)
    #[arg(long)]
    pub chunks: bool,
    /// Count the rows of every table on the target: a quick look, which proves numbers only
    #[arg(long)]
    pub counts: bool,
    /// Look at the rows of every table
    #[arg(long)]
    pub rows: bool,
    /// Look at the sequences
    #[arg(long)]
    pub sequences: bool,
    /// Look at the structure
    #[arg(long)]
    pub schema: bool,
    /// Look at what roles see and may do, on the source and on the target
    #[arg(long)]
    pub access: bool,
    /// Go through the checklist after a move
    #[arg(long)]
    pub health: bool,
    /// Look at all of these; without any: at chunks, rows, sequences and schema
    #[arg(long, conflicts_with_all = LEVELS)]
    pub all: bool,
    /// Compare rows with the export, or with what the source holds now [default: manifest]
    #[arg(long, value_enum, value_name = "MEASURE")]
    pub source: Option<MeasureArgument>,
    /// Read rows and digest them here, or let both servers digest their own [default: stream]
    #[arg(long, value_enum, value_name = "HOW")]
    pub read: Option<ReadingArgument>,
    /// Tell the values of columns that differ, and texts of queries
    #[arg(long)]
    pub show_values: bool,
    /// Plan the N (20) slowest queries of the source's pg_stat_statements on both sides; their texts
    /// may hold personal data, so they are read on demand only
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "20",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub explain_queries: Option<u32>,
    /// Run those of them that have no parameters and call nothing volatile, too, read-only, and
    /// compare how long they take
    #[arg(long)]
    pub analyze_queries: bool,
    /// Differing rows named per table; instead of verify.max_differences
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_differences: Option<u32>,
    /// Demand this root hash of the manifest
    #[arg(long, value_name = "HASH")]
    pub expect_manifest: Option<String>,
    /// Look and tell, and write nothing: no evidence, no journal, no lease. To try a whole run,
    /// `towpath rehearse`
    #[arg(long, conflicts_with = "evidence")]
    pub dry_run: bool,
    /// Check the evidence of an earlier verification: no database, and no store when it is signed
    /// by an ed25519 key
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = LEVELS,
        conflicts_with_all = ["all", "source", "read", "show_values", "max_differences", "explain_queries", "analyze_queries", "dry_run"]
    )]
    pub evidence: Option<PathBuf>,
    /// Demand that this ed25519 key signed the evidence: a file, or 64 hex digits
    #[arg(long, value_name = "KEY", requires = "evidence")]
    pub public_key: Option<String>,
}

/// The flags that name a level.
const LEVELS: [&str; 7] = [
    "chunks",
    "counts",
    "rows",
    "sequences",
    "schema",
    "access",
    "health",
];

/// What rows are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MeasureArgument {
    /// What was exported
    Manifest,
    /// What the source holds now; for a source that accepts no writes
    Live,
}

/// Who digests rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadingArgument {
    /// towpath
    Stream,
    /// Each server its own
    Pushdown,
}

/// Arguments of `cutover`.
#[derive(Debug, Args)]
pub struct CutoverArguments {
    /// Run id; the current run when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Confirm by naming the run, where there is no terminal
    #[arg(long, value_name = "RUN")]
    pub confirm: Option<String>,
    /// Switch although the source has accepted writes since the export, which the target does not
    /// have; name the run
    #[arg(long, value_name = "RUN")]
    pub accept_source_changes: Option<String>,
    /// Approve the plan by its digest, which `towpath plan` and `cutover --dry-run` print
    #[arg(long, value_name = "DIGEST")]
    pub approve: Option<String>,
    /// Who approved: somebody else than the one who runs this
    #[arg(long, value_name = "NAME", requires = "approve")]
    pub approver: Option<String>,
    /// Watch the probes and alarms for this long after the switch, such as 10m, and roll back at the
    /// first that fails
    #[arg(long, value_name = "DURATION")]
    pub watch: Option<String>,
    /// Let a switch or a watch that fails put consumers back even when they have written to the
    /// target, which the source will not have; name the run
    #[arg(long, value_name = "RUN")]
    pub accept_loss: Option<String>,
    /// Show what would be switched, how the gates stand, and the digest to approve; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `unfence`.
#[derive(Debug, Args)]
pub struct UnfenceArguments {
    /// Run id; the current run when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Ask neither run store nor AWS: lift the fence that stands on the source, whatever it is for
    #[arg(long)]
    pub source_only: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// What rollback does about a binding that somebody changed since the switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DriftArgument {
    /// Change nothing at all, and say what differs
    #[default]
    Stop,
    /// Leave what others changed as it is, and put back the connection alone
    Keep,
    /// Put everything back as it was before the switch; what others changed is lost
    Overwrite,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// Run id; the current run when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Go back although the target has accepted writes since the switch, which the source will not
    /// have; name the run
    #[arg(long, value_name = "RUN")]
    pub accept_loss: Option<String>,
    /// What to do about configuration that somebody changed since the switch [default: stop]
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t,
        hide_default_value = true
    )]
    pub drift: DriftArgument,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `clone`.
#[derive(Debug, Args)]
pub struct CloneArguments {
    /// Name of the clone's database on the server of clone.url or of the target; or a URL, without a
    /// password, that names server and database
    #[arg(long, value_name = "NAME|URL")]
    pub to: String,
    /// Make it of this sealed run; the source is not touched
    #[arg(long, value_name = "RUN")]
    pub from: Option<String>,
    /// Rules file; instead of clone.rules
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Carry personal data as it is: no masks, no coverage gate
    #[arg(long)]
    pub unmasked: bool,
    /// Which rows of a table go: a condition in SQL; may be given several times
    #[arg(
        long = "where",
        value_name = "TABLE=CONDITION",
        conflicts_with = "from"
    )]
    pub conditions: Vec<String>,
    /// So many per cent of the rows of the root tables, and what belongs to them
    #[arg(long, value_name = "P", conflicts_with = "from")]
    pub percent: Option<f64>,
    /// So many rows of each root table at most, and what belongs to them
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub limit: Option<u64>,
    /// Tables that the choice of rows begins with; may be given several times
    #[arg(long = "root", value_name = "TABLE", conflicts_with = "from")]
    pub roots: Vec<String>,
    /// Decides which rows are chosen: the same seed chooses the same keys
    #[arg(long, value_name = "TEXT", conflicts_with = "from")]
    pub seed: Option<String>,
    /// Clones before this one that are kept; instead of clone.keep
    #[arg(long, value_name = "N")]
    pub keep: Option<u32>,
    /// Begin anew, although an unfinished clone of this name could be finished
    #[arg(long)]
    pub anew: bool,
    /// Show the plan, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `clones`.
#[derive(Debug, Args)]
pub struct ClonesArguments {
    /// Only those of this name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Put the latest kept clone of NAME back into its place
    #[arg(long, requires = "name")]
    pub back: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// What to do with masks.
#[derive(Debug, Subcommand)]
pub enum MaskCommand {
    /// Say of every column whether it is masked, allowed or suspicious; exit code 10 when a column
    /// that looks personal is neither masked nor allowed
    Check(MaskCheckArguments),
    /// Show what becomes of a sample of rows
    Diff(MaskDiffArguments),
    /// Write down which columns there are: one that comes later stops a clone until it is masked or
    /// allowed
    Approve(MaskRulesArguments),
}

/// Where the rules are.
#[derive(Debug, Clone, Args)]
pub struct MaskRulesArguments {
    /// Rules file; instead of clone.rules
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
}

/// Arguments of `mask check`.
#[derive(Debug, Args)]
pub struct MaskCheckArguments {
    /// Those of all.
    #[command(flatten)]
    pub rules: MaskRulesArguments,
    /// Refuse warnings, too, and columns that were not there when the masks were approved
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `mask diff`.
#[derive(Debug, Args)]
pub struct MaskDiffArguments {
    /// Those of all.
    #[command(flatten)]
    pub rules: MaskRulesArguments,
    /// Only tables that match this glob
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// Rows of each table
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub rows: u32,
    /// Show values as they are on the source, too: personal data on your screen
    #[arg(long)]
    pub show_before: bool,
}

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub struct CleanArguments {
    /// Run id
    #[arg(value_name = "RUN", required_unless_present = "expired")]
    pub run: Option<String>,
    /// Every run of the store whose rows are older than clean.retain_days
    #[arg(long, conflicts_with = "run")]
    pub expired: bool,
    /// Confirm by naming the run, where there is no terminal
    #[arg(long, value_name = "RUN", conflicts_with = "expired")]
    pub confirm: Option<String>,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Run id; the current run when left out
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Directory to write report.html, report.md and report.json to
    #[arg(short, long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
}
