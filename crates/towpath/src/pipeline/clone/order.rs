//! What the operator asks for: command line, settings and rules file, put together and checked before
//! anything is looked at.

use std::path::{Path, PathBuf};

use towpath_mask::{MaskKey, rules};
use towpath_model::clone::{ClonePlan, CloneSequences};
use towpath_model::clone_rules::{CloneRules, TableRule};
use towpath_model::connection::{ConnectionUrl, Secret, Side};
use towpath_model::digest::Hash;
use towpath_model::keys::{leading_table, table_named};
use towpath_model::name::readable;
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::subset::TableSubset;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result, RunId};

use crate::arguments::CloneArguments;
use crate::aws;
use crate::context::Context;
use crate::pipeline::clone::coverage::Coverage;
use crate::pipeline::clone::database::Destination;
use crate::pipeline::clone::masks;
use crate::secrets::secret_of;
use crate::settings::{Origin, Settings};
use crate::table;

/// A key that is shorter is found by trying.
const SHORTEST_KEY: usize = 16;

/// Bytes of a database's name at most (`NAMEDATALEN` less one): the server cuts a longer one off,
/// and then it is another database.
const LONGEST_NAME: usize = 63;

/// Databases that servers have of their own.
const NOT_FOR_CLONES: [&str; 4] = ["postgres", "template0", "template1", "rdsadmin"];

/// Where `--to URL` connects for what is done to databases, unless a setting names another one.
const MAINTENANCE: &str = "postgres";

/// What becomes of rows of schema `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthRows {
    /// Users with nothing but their ids; no sessions, tokens or identities.
    Ids,
    /// As the rules say.
    Masked,
    /// None.
    None,
}

/// An order for a clone.
#[derive(Clone)]
pub struct Order {
    /// Where it goes.
    pub destination: Destination,
    /// The sealed run whose rows it is made of.
    pub from: Option<RunId>,
    /// `host:port/database` of the source that is exported, where there is no such run.
    pub source: Option<String>,
    /// Rules, with what the command line adds.
    pub rules: CloneRules,
    /// Where they are, for people.
    pub rules_place: String,
    /// The file itself, beside which the approved columns are.
    pub rules_file: Option<PathBuf>,
    /// Key of the masks, where one is set.
    pub key: Option<MaskKey>,
    /// Personal data goes as it is.
    pub unmasked: bool,
    /// What becomes of schema `auth`.
    pub auth: AuthRows,
    /// What becomes of sequences.
    pub sequences: CloneSequences,
    /// Stored chunks may be used again.
    pub reuse: bool,
    /// The finished clone is looked through for originals.
    pub residual: bool,
    /// Clones that are kept.
    pub keep: usize,
    /// An unfinished one is not gone on with.
    pub anew: bool,
    /// Only the plan is wanted.
    pub dry_run: bool,
    /// Nobody is asked.
    pub yes: bool,
}

impl Order {
    /// Reads command line, settings and rules file.
    pub fn read(context: &Context, arguments: &CloneArguments) -> Result<Self> {
        let settings = &context.settings;
        let (mut rules, rules_place) = read_rules(settings, arguments.rules.as_deref())?;
        if arguments.unmasked && !rules.masks.is_empty() {
            return Err(Failure::new(
                ErrorKind::Usage,
                format!("--unmasked is told, and {rules_place} has masks"),
            )
            .hint("leave one of the two out"));
        }
        add_subset(&mut rules, arguments)?;
        let from = arguments.from.as_deref().map(str::parse).transpose()?;
        if from.is_some() {
            refuse_subset(&rules, &rules_place)?;
        }
        Ok(Self {
            destination: destination(settings, &arguments.to)?,
            source: source_of(settings, arguments.from.as_deref()),
            from,
            key: key_at_hand(settings)?,
            unmasked: arguments.unmasked,
            auth: auth_rows(settings, arguments.unmasked)?,
            sequences: match settings.word("clone.sequences", &["carry", "fit"])? {
                "fit" => CloneSequences::Fit,
                _ => CloneSequences::Carry,
            },
            reuse: settings.word("clone.reuse", &["yes", "no"])? == "yes",
            residual: settings.word("clone.residual", &["check", "off"])? == "check",
            keep: keep(settings, arguments.keep)?,
            anew: arguments.anew,
            dry_run: arguments.dry_run,
            yes: arguments.yes,
            rules_file: rules_file(settings, arguments.rules.as_deref()),
            rules,
            rules_place,
        })
    }

    /// The same with the key of masks that a setting only names, unless one is at hand.
    pub async fn with_key(mut self, context: &Context) -> Result<Self> {
        if self.key.is_none() {
            self.key = Box::pin(key_by_name(context)).await?;
        }
        Ok(self)
    }

    /// Hash of all that decides what the clone will hold.
    pub fn digest(&self) -> Result<Hash> {
        let parts = serde_json::to_vec(&(
            &self.destination.name,
            self.destination.url.identity(),
            &self.from,
            &self.source,
            &self.rules,
            self.key.as_ref().map(MaskKey::id),
            self.unmasked,
            self.auth,
            self.sequences,
        ))
        .map_err(|cause| {
            Failure::new(ErrorKind::Internal, "could not write down the order").because(cause)
        })?;
        Ok(Hash::of(&parts))
    }

    /// Makes a plan one for this clone.
    pub fn plan(&self, plan: &mut Plan) -> Result<()> {
        let aside = ClonePlan::aside_of(&plan.run);
        plan.target.endpoint = self.destination.database(&aside).identity();
        plan.target.facts.database.clone_from(&aside);
        // What is taken from a part is a part.
        let before = plan.clone.take();
        plan.clone = Some(ClonePlan {
            name: self.destination.name.clone(),
            aside,
            from: self.from.clone(),
            reuses: None,
            masks: None,
            coverage: None,
            subset: before.and_then(|before| before.subset),
            seed: self.rules.subset.seed.clone(),
            sequences: self.sequences,
            order: self.digest()?,
        });
        Ok(())
    }

    /// What a person reads before agreeing: masks, rows and bytes by table, what is built where.
    pub fn show(&self, plan: &Plan, coverage: &Coverage) -> Result<String> {
        let clone = super::clone_plan(plan)?;
        let mut text = format!(
            "\nclone {} on {}:{}, built aside as {}\n",
            readable(&clone.name),
            self.destination.url.host,
            self.destination.url.port,
            clone.aside
        );
        if let Some(from) = &clone.from {
            text.push_str(&format!("rows of run {from}; the source is not read\n"));
        }
        text.push_str(&self.shown_masks(plan, clone));
        text.push_str(&shown_allowed(coverage));
        for line in coverage.told() {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str(&shown_subset(plan, clone));
        let has_accounts = plan.tables.iter().any(|table| table.name.schema == "auth");
        text.push_str(match self.auth {
            _ if !has_accounts => "",
            AuthRows::Ids if is_more_than_ids(&plan.tables) => {
                "auth: users with id, role, state of the account, and what rules or comments let go\n"
            }
            AuthRows::Ids => "auth: users with nothing but id, role and state of the account\n",
            AuthRows::Masked => "auth: as the rules say\n",
            AuthRows::None => "auth: no rows\n",
        });
        text.push_str(match self.sequences {
            CloneSequences::Carry => "sequences: where the source has them\n",
            CloneSequences::Fit => "sequences: behind the greatest value of their column\n",
        });
        text.push_str(&match self.keep {
            0 => "the clone before it is dropped after the swap\n".to_owned(),
            keep => format!(
                "kept after the swap: {}\n",
                table::counted(keep as u64, "clone")
            ),
        });
        Ok(text)
    }

    fn shown_masks(&self, plan: &Plan, clone: &ClonePlan) -> String {
        let Some(masks) = &clone.masks else {
            return match self.unmasked {
                true => "masks: none; PERSONAL DATA GOES AS IT IS\n".to_owned(),
                false => "masks: none\n".to_owned(),
            };
        };
        let mut text = format!(
            "masks: {} under key {}\n",
            table::counted(masks.columns as u64, "column"),
            masks.key_id
        );
        let mut rows = vec![
            ["table", "column", "with", "by"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for planned in &plan.tables {
            for (column, mask) in &planned.masks {
                rows.push(vec![
                    planned.name.to_string(),
                    readable(column),
                    rules::title(&mask.transformer),
                    mask.origin.clone(),
                ]);
            }
        }
        text.push_str(&table::aligned(&rows));
        text
    }
}

/// Columns that rules or their comments let go, with the reasons that these give.
fn shown_allowed(coverage: &Coverage) -> String {
    let mut text = String::new();
    for allowed in &coverage.allowed {
        let reason = match allowed.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        text.push_str(&format!(
            "goes as it is: {}.{}{reason}\n",
            allowed.table,
            readable(&allowed.column)
        ));
    }
    text
}

/// Whether users go with a column that says who they are.
fn is_more_than_ids(tables: &[PlannedTable]) -> bool {
    tables.iter().any(|table| {
        let mut columns = table.columns.iter();
        masks::is_of_users(&table.name)
            && columns.any(|column| {
                !table.masks.contains_key(column)
                    && !masks::stays_as_it_is(AuthRows::Ids, &table.name, column)
            })
    })
}

/// Rows and bytes of every table of which not all goes.
fn shown_subset(plan: &Plan, clone: &ClonePlan) -> String {
    let parts = plan.tables.iter().filter(|table| table.subset.is_some());
    let mut rows: Vec<Vec<String>> = parts
        .map(|planned| {
            let (kept, bytes) = match planned.subset {
                Some(TableSubset::Kept {
                    estimated_rows,
                    estimated_bytes,
                }) => (estimated_rows, estimated_bytes),
                _ => (0, 0),
            };
            let of = match planned.estimated_rows {
                negative if negative < 0 => "unknown".to_owned(),
                all => all.to_string(),
            };
            vec![
                planned.name.to_string(),
                kept.to_string(),
                of,
                table::bytes(bytes),
                table::bytes(planned.bytes),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "rows: all\n".to_owned();
    }
    let head = ["table", "rows", "of (about)", "bytes (about)", "of"];
    rows.insert(0, head.map(str::to_owned).to_vec());
    let whole = plan.tables.len() + 1 - rows.len();
    let title = clone.subset.as_deref().unwrap_or("as told");
    let rest = match whole {
        0 => String::new(),
        whole => format!(
            "and all rows of {}\n",
            table::counted(whole as u64, "table")
        ),
    };
    format!("rows: {title}\n{}{rest}", table::aligned(&rows))
}

/// The rules file that flag or setting names.
pub fn rules_file(settings: &Settings, flag: Option<&Path>) -> Option<PathBuf> {
    match flag {
        Some(path) => Some(path.to_owned()),
        None => settings.path("clone.rules"),
    }
}

/// The rules that flag or setting name, and where they are; none where neither does.
pub fn read_rules(settings: &Settings, flag: Option<&Path>) -> Result<(CloneRules, String)> {
    let Some(path) = rules_file(settings, flag) else {
        return Ok((CloneRules::default(), "no rules file".to_owned()));
    };
    let text = std::fs::read_to_string(&path).map_err(|cause| {
        Failure::new(
            ErrorKind::Config,
            format!("could not read the rules file {}", path.display()),
        )
        .because(cause)
        .hint("name it with --rules, or in clone.rules")
    })?;
    // The name alone: plans tell of it, and where somebody keeps it is nobody's business.
    let name = path
        .file_name()
        .map_or_else(|| "the rules".into(), |name| name.to_string_lossy());
    let rules = rules::parse(&text, &path.display().to_string())?;
    Ok((rules, name.into_owned()))
}

/// The key of masks, where the environment or a file holds one.
fn key_at_hand(settings: &Settings) -> Result<Option<MaskKey>> {
    let secret = secret_of(settings, "clone.key")?;
    secret.as_ref().map(key_of).transpose()
}

/// The key of masks, where a setting names a secret or a parameter that holds it.
async fn key_by_name(context: &Context) -> Result<Option<MaskKey>> {
    let settings = &context.settings;
    let secret = settings.optional("clone.key_secret_id");
    let parameter = settings.optional("clone.key_parameter_name");
    if secret.is_none() && parameter.is_none() {
        return Ok(None);
    }
    let clients = aws::switch_clients(context).await?;
    let found = match (&secret, &parameter) {
        (Some(id), None) => {
            let named = "the secret that clone.key_secret_id names";
            towpath_switch::secret_value(&clients, id, named).await
        }
        (None, Some(id)) => {
            let named = "the parameter that clone.key_parameter_name names";
            towpath_switch::parameter_value(&clients, id, named).await
        }
        _ => Err(Failure::new(
            ErrorKind::Config,
            "clone.key_secret_id and clone.key_parameter_name are both set",
        )
        .hint("two keys make two populations: leave one of the two out")),
    };
    let found = found.map_err(|failure| failure.while_doing("could not read the key of masks"));
    key_of(&found?).map(Some)
}

fn key_of(secret: &Secret) -> Result<MaskKey> {
    let text = secret.reveal().trim();
    if text.chars().count() < SHORTEST_KEY {
        return Err(Failure::new(
            ErrorKind::Config,
            format!("the key of masks is shorter than {SHORTEST_KEY} characters"),
        )
        .hint("make one with `openssl rand -hex 32`, and keep it where passwords are kept"));
    }
    Ok(MaskKey::of_secret(text.as_bytes()))
}

/// What is said where a key is needed and none is set.
pub fn no_key() -> Failure {
    Failure::new(ErrorKind::Config, "the key of masks is not set")
        .hint("export TOWPATH_MASK_KEY=…, which `openssl rand -base64 32` makes, or name where it is: a file in TOWPATH_MASK_KEY_FILE, a secret of Secrets Manager in TOWPATH_MASK_KEY_SECRET_ID, a parameter in TOWPATH_MASK_KEY_PARAMETER_NAME")
}

/// The source that is exported. A clone of a sealed run has none.
fn source_of(settings: &Settings, from: Option<&str>) -> Option<String> {
    match from {
        Some(_) => None,
        None => settings.url(Side::Source).ok().map(|url| url.identity()),
    }
}

/// Who says that personal data goes as it is means accounts, too, unless a setting says otherwise.
fn auth_rows(settings: &Settings, unmasked: bool) -> Result<AuthRows> {
    let word = settings.word("clone.auth", &["ids", "masked", "none"])?;
    if unmasked && settings.origin("clone.auth") == Origin::Default {
        return Ok(AuthRows::Masked);
    }
    Ok(match word {
        "masked" => AuthRows::Masked,
        "none" => AuthRows::None,
        _ => AuthRows::Ids,
    })
}

fn keep(settings: &Settings, flag: Option<u32>) -> Result<usize> {
    if let Some(keep) = flag {
        return Ok(usize::try_from(keep).unwrap_or(usize::MAX));
    }
    let keep = settings.count("clone.keep")?;
    Ok(usize::try_from(keep).unwrap_or(usize::MAX))
}

/// The server that clones are made on, by the database that leads there.
pub fn server(settings: &Settings) -> Result<ConnectionUrl> {
    if let Some(url) = settings.url_of("clone", Side::Target)? {
        return Ok(url);
    }
    if settings.optional("target.url").is_none() && settings.optional("target.url_file").is_none() {
        return Err(
            Failure::new(ErrorKind::Config, "there is no server to make clones on").hint(
                "export TOWPATH_CLONE_URL=postgres://… or TOWPATH_TARGET_URL; `clone --to` takes a URL, too",
            ),
        );
    }
    settings.url(Side::Target)
}

/// Where a clone goes: a name on the server of a setting, or a URL.
pub fn destination(settings: &Settings, to: &str) -> Result<Destination> {
    let found = if to.contains("://") {
        named_by_url(settings, to, server(settings).ok().as_ref())?
    } else {
        Destination {
            url: server(settings)?,
            name: to.to_owned(),
        }
    };
    refuse_name(&found)?;
    refuse_served(settings, &found)?;
    Ok(found)
}

fn named_by_url(
    settings: &Settings,
    to: &str,
    known: Option<&ConnectionUrl>,
) -> Result<Destination> {
    let url = ConnectionUrl::parse(to, Side::Target)
        .map_err(|failure| failure.while_doing("could not read --to"))?;
    if url.password.is_some() || url.parameter("password").is_some() {
        return Err(Failure::new(
            ErrorKind::Usage,
            "the URL of --to holds a password, and whoever lists processes reads it",
        )
        .hint("leave it out there, and export TOWPATH_CLONE_PASSWORD=…"));
    }
    let same_server = |known: &&ConnectionUrl| {
        known.host.eq_ignore_ascii_case(&url.host) && known.port == url.port
    };
    let neighbour = known.filter(same_server);
    let password = match secret_of(settings, "clone.password")? {
        Some(password) => Some(password),
        None => neighbour
            .filter(|known| known.user == url.user)
            .and_then(|known| known.password.clone()),
    };
    let maintenance = neighbour.map_or(MAINTENANCE, |known| known.database.as_str());
    Ok(Destination {
        name: url.database.clone(),
        url: ConnectionUrl {
            database: maintenance.to_owned(),
            password,
            ..url
        },
    })
}

/// Refuses what cannot be a clone's name.
fn refuse_name(destination: &Destination) -> Result<()> {
    let name = &destination.name;
    let why = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > LONGEST_NAME {
        format!("it is longer than {LONGEST_NAME} bytes")
    } else if name.chars().any(char::is_control) {
        "it holds a control character".to_owned()
    } else if NOT_FOR_CLONES.contains(&name.as_str()) {
        "that database is the server's own".to_owned()
    } else if ClonePlan::is_named_like_one(name) {
        "towpath names databases like this that it builds or keeps".to_owned()
    } else if *name == destination.url.database {
        "it is the database that leads to the server, and nobody renames the one they are in"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::new(
        ErrorKind::Usage,
        format!("no clone can be called {name:?}: {why}"),
    )
    .hint("give --to another name"))
}

/// Refuses the source, and the target that a migration goes to: a swap would put a clone in their
/// place.
fn refuse_served(settings: &Settings, destination: &Destination) -> Result<()> {
    for side in [Side::Source, Side::Target] {
        let Ok(url) = settings.url(side) else {
            continue;
        };
        let clone = destination.database(&destination.name);
        let same_server = url.port == clone.port
            && (url.host.eq_ignore_ascii_case(&clone.host)
                || (url.is_loopback() && clone.is_loopback()));
        if same_server && url.database == clone.database {
            return Err(Failure::new(
                ErrorKind::Usage,
                format!("{} is the {side} itself", clone.identity()),
            )
            .hint("give --to another name"));
        }
    }
    Ok(())
}

/// What the command line says of rows, put into the rules.
fn add_subset(rules: &mut CloneRules, arguments: &CloneArguments) -> Result<()> {
    let subset = &mut rules.subset;
    for text in &arguments.conditions {
        let (table, condition) = table_condition(text)?;
        let known = subset
            .tables
            .iter_mut()
            .find(|rule| table_named(&rule.table).as_ref() == Some(&table));
        let rule = match known {
            Some(rule) => rule,
            None => {
                subset.tables.push(TableRule {
                    table: table.quoted(),
                    ..TableRule::default()
                });
                match subset.tables.last_mut() {
                    Some(rule) => rule,
                    None => continue,
                }
            }
        };
        // Two conditions for one table: both must hold.
        rule.condition = Some(match rule.condition.take() {
            Some(before) => format!("({before}\n) and ({condition}\n)"),
            None => condition,
        });
    }
    if let Some(percent) = arguments.percent {
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(Failure::new(
                ErrorKind::Usage,
                format!("--percent is {percent}, which is not above 0 and at most 100"),
            ));
        }
        subset.percent = Some(percent);
    }
    subset.limit = arguments.limit.or(subset.limit);
    for root in &arguments.roots {
        if table_named(root).is_none() {
            return Err(
                Failure::new(ErrorKind::Usage, format!("--root {root:?} names no table"))
                    .hint("write schema.table, or the table alone for schema public"),
            );
        }
        subset.roots.push(root.clone());
    }
    if let Some(seed) = &arguments.seed {
        subset.seed = Some(seed.clone());
    }
    Ok(())
}

/// A sealed run has no snapshot to choose rows in: all of them would go, those of tables that the rules
/// leave empty as well, and these are looked at by nobody.
fn refuse_subset(rules: &CloneRules, place: &str) -> Result<()> {
    if rules.subset.is_everything() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Usage,
        format!("--from is told, and {place} chooses rows: there is no subset of a sealed run"),
    )
    .hint(
        "leave --from out, or name a rules file without roots, where, percent, limit and rows = \"none\"",
    ))
}

/// `TABLE=CONDITION` of the command line.
fn table_condition(text: &str) -> Result<(QualifiedName, String)> {
    // The condition may hold a value, so it is not told.
    let refuse = || {
        Failure::new(ErrorKind::Usage, "a --where is not TABLE=CONDITION")
            .hint("such as --where \"public.orders=created_at > now() - interval '90 days'\"")
    };
    let (table, rest) = leading_table(text).ok_or_else(refuse)?;
    let condition = rest
        .trim_start()
        .strip_prefix('=')
        .map(str::trim)
        .filter(|condition| !condition.is_empty())
        .ok_or_else(refuse)?;
    Ok((table, condition.to_owned()))
}

#[cfg(test)]
mod tests;
