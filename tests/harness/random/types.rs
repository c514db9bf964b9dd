//! Types of the server and of extensions, with values.

use super::Type;

/// The type, its `n`th value, and whether it sorts.
type Row = (&'static str, fn(u64) -> String, bool);

pub(super) fn built_in() -> Vec<Type> {
    let types: [Row; 34] = [
        ("integer", |n| n.to_string(), true),
        ("bigint", |n| format!("-{n}000000000"), true),
        ("smallint", |n| (n % 300).to_string(), true),
        ("text", |n| format!("E'te\\\\xt ''{n}'' \\n'"), true),
        ("varchar(30)", |n| format!("'v{n}'"), true),
        ("character varying", |n| format!("'w {n} '"), true),
        ("char(6)", |n| format!("'c{n}'"), true),
        ("text collate \"C\"", |n| format!("'\"{n}\"'"), true),
        ("numeric", |n| format!("{n}.{n}00"), true),
        ("numeric(9, 3)", |n| format!("-{n}.5"), true),
        ("double precision", |n| format!("{n}.1e-7"), true),
        ("real", |n| format!("{n}.3"), true),
        ("boolean", |n| (n % 2 == 0).to_string(), true),
        ("uuid", |n| format!("md5('{n}')::uuid"), true),
        ("date", |n| format!("date '2026-01-01' + {n}"), true),
        (
            "timestamptz",
            |n| format!("timestamptz '2026-01-01 00:00:00.123456+05' + {n} * interval '1 hour'"),
            true,
        ),
        (
            "timestamp(3)",
            |n| format!("timestamp '1999-12-31 23:59:59' + {n} * interval '1 s'"),
            true,
        ),
        (
            "time",
            |n| format!("time '00:00' + {n} * interval '1 minute'"),
            true,
        ),
        (
            "interval",
            |n| format!("interval '{n} mons -3 days 00:00:00.5'"),
            true,
        ),
        (
            "jsonb",
            |n| format!("'{{\"a\": [{n}, null, \"it''s\"]}}'"),
            false,
        ),
        ("json", |n| format!("'{{\"b\" :  {n}}}'"), false),
        ("bytea", |n| format!("decode(md5('{n}'), 'hex')"), true),
        ("inet", |n| format!("'10.0.0.{}'", n % 250), true),
        ("point", |n| format!("point({n}, 1)"), false),
        ("int4range", |n| format!("int4range({n}, {n} + 5)"), true),
        (
            "datemultirange",
            |n| format!("datemultirange(daterange(date '2026-01-01', date '2026-01-02' + {n}))"),
            false,
        ),
        ("text[]", |n| format!("array['a{n}', null, '']"), true),
        ("varchar(9)[]", |n| format!("array['b{n}', '\\']"), true),
        ("integer[]", |n| format!("array[[{n}, 1], [2, null]]"), true),
        (
            "bit varying(9)",
            |n| {
                if n % 2 == 0 {
                    "B'101'".into()
                } else {
                    "B''".into()
                }
            },
            true,
        ),
        ("money", |n| format!("{n}.25::money"), true),
        (
            "tsvector",
            |n| format!("to_tsvector('english', 'words {n}')"),
            false,
        ),
        ("citext", |n| format!("'Ci{n}'"), true),
        ("hstore", |n| format!("hstore('k', '{n}')"), false),
    ];
    types
        .into_iter()
        .map(|(sql, value, sorts)| Type {
            sql: sql.to_owned(),
            value,
            sorts,
            user: None,
        })
        .collect()
}
