//! Sample projects: several databases on one pair of servers, each the copy of a fresh project.

use crate::Project;
use crate::pg::{MASTER_PASSWORD, Pair, SOURCE_PASSWORD, SOURCE_USER, psql};

/// Database of the source that holds what a project has before its user does anything.
const FRESH: &str = "fresh_project";

/// A file below tests/fixtures.
#[must_use]
pub fn fixture(file: &str) -> String {
    let path = crate::repository().join("tests/fixtures").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

/// One database on each side, of one name.
#[derive(Clone, Debug)]
pub struct Site {
    /// The customer's URL of the source.
    pub source: String,
    /// The platform's URL of the source.
    pub source_superuser: String,
    /// The master's URL of the target.
    pub target: String,
    /// The true superuser's URL of the target.
    pub target_superuser: String,
    master: String,
}

impl Site {
    /// The databases that the pair came with.
    #[must_use]
    pub fn default_of(pair: &Pair) -> Self {
        Self::named(pair, "postgres", &pair.target.shape().database)
    }

    fn named(pair: &Pair, source: &str, target: &str) -> Self {
        let master = &pair.target.shape().master;
        Self {
            source: pair.source.url_as(SOURCE_USER, SOURCE_PASSWORD, source),
            source_superuser: pair.source.cluster.superuser_url(source),
            target: pair.target.url_as(master, MASTER_PASSWORD, target),
            target_superuser: pair.target.cluster.superuser_url(target),
            master: master.clone(),
        }
    }

    /// A fresh project on the source and an empty database on the target, both of this name.
    #[must_use]
    pub fn fresh(pair: &Pair, name: &str) -> Self {
        let known = format!("select count(*) from pg_database where datname = '{FRESH}'");
        if pair.source.psql_superuser(&known) == "0" {
            pair.source.psql_superuser(&format!(
                "create database {FRESH} template template0 owner {SOURCE_USER}"
            ));
            let url = pair.source.cluster.superuser_url(FRESH);
            psql(&url, &fixture("source/managed.sql"));
        }
        pair.source.psql_superuser(&format!(
            "create database {name} template {FRESH} owner {SOURCE_USER}"
        ));
        let shape = pair.target.shape();
        // From another database: nobody may be connected to a template.
        psql(
            &pair.target.cluster.superuser_url("template1"),
            &format!(
                "create database {name} template \"{}\" owner \"{}\"",
                shape.database, shape.master
            ),
        );
        Self::named(pair, name, name)
    }

    /// The project of these databases.
    #[must_use]
    pub fn project(&self, project: Project) -> Project {
        project
            .with("TOWPATH_SOURCE_URL", &self.source)
            .with("TOWPATH_TARGET_URL", &self.target)
    }

    /// What the report does not explain of the difference between the catalogs.
    #[must_use]
    pub fn unexplained(&self, project: &Project) -> Vec<String> {
        let (source, target) = (
            crate::catalog_facts::facts(&self.source_superuser),
            crate::catalog_facts::facts(&self.target_superuser),
        );
        let report = project.document("schema/report.json");
        crate::catalog_facts::unexplained(&source, &target, &report, &self.master)
    }

    /// Asserts that source and target hold the same rows, and gives the tables.
    pub fn assert_same_rows(&self) -> Vec<String> {
        let tables = crate::oracle::user_tables(&self.target_superuser);
        assert!(!tables.is_empty(), "the target holds no table");
        assert_eq!(
            crate::oracle::contents(&self.source_superuser, &tables),
            crate::oracle::contents(&self.target_superuser, &tables)
        );
        tables
    }
}
