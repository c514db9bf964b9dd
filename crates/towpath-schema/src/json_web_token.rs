//! Functions in place of extension pgjwt, which RDS does not have.
//!
//! Written from the standards: JWS compact serialization and HMAC (RFC 7515, RFC 7518 section 3.2),
//! base64url without padding (RFC 7515 appendix C), claims `exp` and `nbf` (RFC 7519 section 4.1).
//! Names, arguments and defaults are those of pgjwt 0.2, so that callers need no change. The hash
//! is pgcrypto's `hmac`, named with its schema: the functions depend on no search path.

use towpath_model::name::quote_identifier;
use towpath_model::structure::{ObjectId, ObjectKind};

use crate::emulation::Definition;

/// The extension whose functions these are.
pub(crate) const EXTENSION: &str = "pgjwt";

/// The extension that they need.
pub(crate) const NEEDS: &str = "pgcrypto";

/// Every function, in the order in which they must be made.
pub(crate) fn definitions(schema: &str, hmac_schema: &str) -> Vec<Definition> {
    let (of, hmac) = (quote_identifier(schema), quote_identifier(hmac_schema));
    let function = |name: &str, args: &str| Definition {
        id: ObjectId::of(ObjectKind::Function, schema, name).with_args(args),
        arguments: "",
        returns: "text",
        language: "sql",
        volatility: "immutable",
        is_strict: false,
        rows: None,
        body: String::new(),
    };
    const TEXT: &str = "pg_catalog.text";
    vec![
        Definition {
            arguments: "data bytea",
            body: "
    select pg_catalog.translate(pg_catalog.encode(data, 'base64'), E'+/=\\n', '-_')
"
            .to_owned(),
            ..function("url_encode", "pg_catalog.bytea")
        },
        Definition {
            arguments: "data text",
            returns: "bytea",
            body: "
    select pg_catalog.decode(
        pg_catalog.translate(data, '-_', '+/')
            || pg_catalog.repeat('=', (4 - pg_catalog.length(data) % 4) % 4),
        'base64')
"
            .to_owned(),
            ..function("url_decode", TEXT)
        },
        Definition {
            arguments: "signables text, secret text, algorithm text",
            language: "plpgsql",
            body: format!(
                "
declare
    digest text := case algorithm
        when 'HS256' then 'sha256'
        when 'HS384' then 'sha384'
        when 'HS512' then 'sha512'
    end;
begin
    if digest is null then
        raise exception 'algorithm % is none of HS256, HS384 and HS512', algorithm
            using errcode = 'invalid_parameter_value';
    end if;
    return {of}.url_encode({hmac}.hmac(
        pg_catalog.convert_to(signables, 'UTF8'), pg_catalog.convert_to(secret, 'UTF8'), digest));
end
"
            ),
            ..function("algorithm_sign", &[TEXT; 3].join(","))
        },
        Definition {
            arguments: "payload json, secret text, algorithm text DEFAULT 'HS256'::text",
            body: format!(
                "
    select signed.part || '.' || {of}.algorithm_sign(signed.part, secret, algorithm)
    from (
        select {of}.url_encode(pg_catalog.convert_to(
                   '{{\"alg\":' || pg_catalog.to_json(algorithm)::text || ',\"typ\":\"JWT\"}}', 'UTF8'))
               || '.' || {of}.url_encode(pg_catalog.convert_to(payload::text, 'UTF8')) as part
    ) as signed
"
            ),
            ..function("sign", &["pg_catalog.json", TEXT, TEXT].join(","))
        },
        Definition {
            arguments: "inp text",
            returns: "double precision",
            language: "plpgsql",
            body: "
begin
    return inp::double precision;
exception
    when others then
        return null;
end
"
            .to_owned(),
            ..function("try_cast_double", TEXT)
        },
        Definition {
            arguments: "token text, secret text, algorithm text DEFAULT 'HS256'::text",
            returns: "TABLE(header json, payload json, valid boolean)",
            volatility: "stable",
            rows: Some(1000),
            body: format!(
                "
    select pg_catalog.convert_from({of}.url_decode(part[1]), 'UTF8')::json,
           claims.payload,
           pg_catalog.cardinality(part) = 3
               and coalesce(
                   part[3] = {of}.algorithm_sign(part[1] || '.' || part[2], secret, algorithm), false)
               and coalesce(
                   {of}.try_cast_double(claims.payload ->> 'nbf') <= moment.seconds, true)
               and coalesce(
                   {of}.try_cast_double(claims.payload ->> 'exp') > moment.seconds, true)
    from pg_catalog.string_to_array(token, '.') as part
    cross join lateral (
        select pg_catalog.convert_from({of}.url_decode(part[2]), 'UTF8')::json as payload
    ) as claims
    cross join (
        select extract(epoch from current_timestamp)::double precision as seconds
    ) as moment
"
            ),
            ..function("verify", &[TEXT; 3].join(","))
        },
    ]
}

/// The function of this identity, when it is one of them.
pub(crate) fn definition(id: &ObjectId, schema: &str, hmac_schema: &str) -> Option<Definition> {
    definitions(schema, hmac_schema)
        .into_iter()
        .find(|definition| definition.id == *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_parses_as_itself() {
        for definition in definitions("Odd \"one", "extensions") {
            let node = crate::statement::parse(&definition.sql()).unwrap();
            let subject = crate::classify::subject(&node, &Default::default()).unwrap();
            assert_eq!(subject.object, definition.id);
        }
    }
}
