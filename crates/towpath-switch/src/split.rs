//! Connections that are spread over several names: `PGHOST`, `PGPORT` and the rest in an
//! environment, or the fields of a secret as RDS writes it. A set changes whole or not at all.

use towpath_model::connection::{ConnectionUrl, Secret};

use crate::mask::Shown;
use crate::options::Mapping;
use crate::plan::Why;
use crate::server::{Place, SourceServer, is_same_database};

/// The names under which the parts of one connection are found; alternatives in order.
pub(crate) struct Names {
    /// How a masked set is introduced.
    pub(crate) scheme: &'static str,
    pub(crate) host: &'static str,
    pub(crate) port: &'static str,
    user: &'static [&'static str],
    password: &'static [&'static str],
    database: &'static [&'static str],
    sslmode: &'static str,
}

/// Sets of variables.
pub(crate) const VARIABLES: [Names; 3] = [
    Names {
        scheme: "PG*",
        host: "PGHOST",
        port: "PGPORT",
        user: &["PGUSER"],
        password: &["PGPASSWORD"],
        database: &["PGDATABASE"],
        sslmode: "PGSSLMODE",
    },
    Names {
        scheme: "DB_*",
        host: "DB_HOST",
        port: "DB_PORT",
        user: &["DB_USER", "DB_USERNAME"],
        password: &["DB_PASSWORD", "DB_PASS"],
        database: &["DB_NAME", "DB_DATABASE"],
        sslmode: "DB_SSLMODE",
    },
    Names {
        scheme: "POSTGRES_*",
        host: "POSTGRES_HOST",
        port: "POSTGRES_PORT",
        user: &["POSTGRES_USER"],
        password: &["POSTGRES_PASSWORD"],
        database: &["POSTGRES_DATABASE", "POSTGRES_DB"],
        sslmode: "POSTGRES_SSLMODE",
    },
];

/// The fields of a secret as RDS and its rotation write it.
pub(crate) const FIELDS: Names = Names {
    scheme: "json",
    host: "host",
    port: "port",
    user: &["username", "user"],
    password: &["password"],
    database: &["dbname", "database"],
    sslmode: "sslmode",
};

/// What to do with a set.
pub(crate) enum SetReading {
    /// No set, or one that points elsewhere.
    Elsewhere,
    /// It points at the source and is left alone.
    Left(Why),
    /// It points at the source: new values by name, and what a person may see.
    Rewritten {
        values: Vec<(String, Secret)>,
        before: String,
        after: String,
    },
}

/// Reads a set; `get` gives the text under a name.
pub(crate) fn read<'a>(
    names: &Names,
    get: impl Fn(&str) -> Option<&'a str>,
    server: &SourceServer,
    mapping: &Mapping,
) -> SetReading {
    let Some(host) = get(names.host) else {
        return SetReading::Elsewhere;
    };
    let present = |names: &'static [&'static str]| {
        names
            .iter()
            .find_map(|name| get(name).map(|value| (*name, value)))
    };
    let user = present(names.user);
    let database = present(names.database);
    let port_text = get(names.port)
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let port = match port_text.map(str::parse::<u16>) {
        None => 5432,
        Some(Ok(port)) => port,
        // A port that is no number cannot be reasoned about.
        Some(Err(_)) if server.is_mentioned_in(host) => return SetReading::Left(Why::UnknownShape),
        Some(Err(_)) => return SetReading::Elsewhere,
    };
    let place = Place {
        host: host.trim(),
        port,
        user: user.map(|(_, value)| value),
        reference: None,
    };
    if server.may_be(place) {
        return SetReading::Left(Why::Incomplete);
    }
    if !server.is(place) {
        return if server.is_mentioned_in(host) {
            SetReading::Left(Why::UnknownShape)
        } else {
            SetReading::Elsewhere
        };
    }
    if !is_same_database(&mapping.source, database.map(|(_, value)| value)) {
        return SetReading::Left(Why::OtherDatabase);
    }
    let (Some(user), Some(password)) = (user, present(names.password)) else {
        return SetReading::Left(Why::Incomplete);
    };
    let target = &mapping.target;
    let mut values = vec![
        (names.host.to_owned(), Secret::new(target.host.clone())),
        (user.0.to_owned(), Secret::new(target.user.clone())),
    ];
    values.extend(
        target
            .password
            .clone()
            .map(|value| (password.0.to_owned(), value)),
    );
    // A missing port means 5432 to every client.
    if get(names.port).is_some() || target.port != 5432 {
        values.push((names.port.to_owned(), Secret::new(target.port.to_string())));
    }
    if let Some((name, _)) = database {
        values.push((name.to_owned(), Secret::new(target.database.clone())));
    }
    if let Some(mode) = &mapping.sslmode
        && get(names.sslmode).is_some()
    {
        values.push((names.sslmode.to_owned(), Secret::new(mode.clone())));
    }
    SetReading::Rewritten {
        values,
        before: masked(
            names,
            host.trim(),
            port,
            user.1,
            database.map(|(_, value)| value),
        ),
        after: masked_target(names, target, database.is_some()),
    }
}

fn masked(names: &Names, host: &str, port: u16, user: &str, database: Option<&str>) -> String {
    Shown {
        scheme: names.scheme,
        user: Some(user),
        host,
        port: Some(port),
        database,
        parameters: Vec::new(),
    }
    .text()
}

fn masked_target(names: &Names, target: &ConnectionUrl, database: bool) -> String {
    let database = database.then_some(target.database.as_str());
    masked(names, &target.host, target.port, &target.user, database)
}
