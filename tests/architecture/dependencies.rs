//! What `cargo metadata` knows.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Workers never depend on each other: they hand over through the run store, so any stage can run
/// alone, on another machine, tomorrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("towpath-model", &[]),
    ("towpath-postgres", &["towpath-model"]),
    ("towpath-store", &["towpath-model"]),
    ("towpath-schema", &["towpath-model", "towpath-postgres"]),
    (
        "towpath-plan",
        &["towpath-model", "towpath-postgres", "towpath-schema"],
    ),
    // Pure, as the model is: rules, transformers and classes of personal data.
    ("towpath-mask", &["towpath-model"]),
    ("towpath-subset", &["towpath-model", "towpath-postgres"]),
    // Masks while it reads: nothing unmasked may come to the store.
    (
        "towpath-export",
        &[
            "towpath-mask",
            "towpath-model",
            "towpath-postgres",
            "towpath-store",
        ],
    ),
    (
        "towpath-load",
        &["towpath-model", "towpath-postgres", "towpath-store"],
    ),
    // Above all neither export nor load: a verifier that reuses the suspect's code cannot catch it.
    // Of masking it takes what looks personal and what the originals were, and no transformer.
    (
        "towpath-verify",
        &[
            "towpath-mask",
            "towpath-model",
            "towpath-postgres",
            "towpath-store",
        ],
    ),
    ("towpath-fence", &["towpath-model", "towpath-postgres"]),
    ("towpath-switch", &["towpath-model", "towpath-store"]),
    ("towpath-rds", &["towpath-model"]),
];

/// These may use every crate above.
const SUMMITS: &[&str] = &["towpath", "towpath-tests"];

/// Guests that live in one crate: the tests aside, nobody else may know them.
const GUESTS: &[(&str, &[&str])] = &[
    ("sqlx", &["towpath-postgres"]),
    ("pg_query", &["towpath-schema"]),
    ("fake", &["towpath-mask"]),
    (
        "aws-config",
        &["towpath-store", "towpath-switch", "towpath-rds"],
    ),
    ("aws-sdk-s3", &["towpath-store"]),
    ("aws-sdk-lambda", &["towpath-switch"]),
    ("aws-sdk-secretsmanager", &["towpath-switch"]),
    ("aws-sdk-ssm", &["towpath-switch"]),
    ("aws-sdk-kms", &["towpath-switch"]),
    ("aws-sdk-cloudwatch", &["towpath-switch"]),
    ("aws-sdk-sns", &["towpath-switch"]),
    ("aws-sdk-rds", &["towpath-rds"]),
    // Ciphers and signatures: one seals undo data, one signs evidence, one signs notices.
    (
        "aws-lc-rs",
        &["towpath-switch", "towpath-verify", "towpath"],
    ),
    // Probes and notices.
    ("hyper-util", &["towpath"]),
    ("hyper-rustls", &["towpath"]),
    ("rustls-pki-types", &["towpath-verify"]),
];

/// What would let `towpath-model` wait, look around or roll dice.
const NOT_IN_MODEL: &[&str] = &["tokio", "getrandom", "rand", "tempfile", "time", "tracing"];

fn packages() -> BTreeMap<String, Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(crate::repository().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .expect("read `cargo metadata`");
    metadata
        .packages
        .into_iter()
        .map(|package| (package.name.to_string(), package))
        .collect()
}

fn is_internal(name: &str) -> bool {
    name == "towpath" || name.starts_with("towpath-")
}

#[test]
fn internal_dependencies_follow_the_arrows() {
    for (name, package) in packages() {
        if SUMMITS.contains(&name.as_str()) {
            continue;
        }
        let allowed = ARROWS.iter().find(|(crate_name, _)| *crate_name == name);
        let (_, allowed) = allowed.unwrap_or_else(|| {
            panic!("{name} is not in the table of arrows: say what it may depend on")
        });
        for dependency in &package.dependencies {
            assert!(
                !is_internal(&dependency.name) || allowed.contains(&dependency.name.as_str()),
                "{name} depends on {} ({:?}), and may depend on {allowed:?} only",
                dependency.name,
                dependency.kind,
            );
        }
    }
}

#[test]
fn every_crate_of_the_table_exists() {
    let packages = packages();
    for name in ARROWS.iter().map(|(name, _)| name).chain(SUMMITS) {
        assert!(packages.contains_key(*name), "there is no crate {name}");
    }
}

#[test]
fn nobody_depends_on_the_summits() {
    for (name, package) in packages() {
        for dependency in &package.dependencies {
            let tests_use_towpath = name == "towpath-tests" && dependency.name == "towpath";
            assert!(
                tests_use_towpath || !SUMMITS.contains(&dependency.name.as_str()),
                "{name} depends on {}",
                dependency.name,
            );
        }
    }
}

#[test]
fn guests_stay_in_their_crate() {
    for (name, package) in packages() {
        for dependency in &package.dependencies {
            if let Some(hosts) = hosts(&dependency.name) {
                assert!(
                    name == "towpath-tests" || hosts.contains(&name.as_str()),
                    "{name} depends on {}, which lives in {hosts:?} only",
                    dependency.name,
                );
            }
        }
    }
}

/// An AWS SDK crate that nobody has thought about yet has no host at all.
fn hosts(guest: &str) -> Option<&'static [&'static str]> {
    let known = GUESTS
        .iter()
        .find(|(name, _)| *name == guest)
        .map(|(_, hosts)| *hosts);
    known.or_else(|| guest.starts_with("aws-sdk-").then_some(&[]))
}

#[test]
fn the_model_depends_on_nothing_that_acts() {
    let packages = packages();
    for dependency in &packages["towpath-model"].dependencies {
        assert!(
            dependency.kind != DependencyKind::Normal
                || !NOT_IN_MODEL.contains(&dependency.name.as_str()),
            "towpath-model depends on {}",
            dependency.name,
        );
    }
}
