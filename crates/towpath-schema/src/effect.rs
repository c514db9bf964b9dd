//! What a statement does to an object that is there already: makes it, sets a part, adds a part.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterPublicationAction, AlterPublicationStmt, AlterTableCmd, AlterTableStmt, AlterTableType,
    AlterTsConfigType, AlterTsConfigurationStmt, Node, ObjectType, PublicationObjSpecType,
    RangeVar,
};
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::script::{Effect, Part};
use towpath_model::structure::{ObjectId, ObjectKind};

use crate::type_name::strings;

/// The effect of a statement, whoever wrote it. Where the text cannot be told, it is unknown, and
/// the statement runs whatever is there: a failure is better than a skipped statement.
pub(crate) fn of(sql: &str, object: &ObjectId) -> Effect {
    if let Some(effect) = of_first_words(sql, object) {
        return effect;
    }
    let Ok(parsed) = pg_query::parse(sql, pg_query::ParserOptions::DEFAULT) else {
        // Too deep to be handed over, perhaps: then its head tells.
        return crate::statement::parse(sql).map_or(Effect::Unknown, |node| of_node(&node, object));
    };
    let nodes: Vec<NodeEnum> = parsed
        .protobuf
        .stmts
        .into_iter()
        .filter_map(|raw| raw.stmt?.node)
        .collect();
    match nodes.as_slice() {
        [node] => of_node(node, object),
        several if several.iter().any(gives_owner) => Effect::Own,
        _ => Effect::Always,
    }
}

/// Most of a large schema is told by its first words; a tree of each takes seconds.
fn of_first_words(sql: &str, object: &ObjectId) -> Option<Effect> {
    const MADE: [&str; 9] = [
        "TABLE", "UNLOGGED", "INDEX", "UNIQUE", "FUNCTION", "VIEW", "TRIGGER", "POLICY", "SEQUENCE",
    ];
    let words: Vec<&str> = sql.split_ascii_whitespace().take(5).collect();
    match words.as_slice() {
        ["CREATE", what, rest @ ..] if MADE.contains(what) && !rest.contains(&"IF") => {
            Some(made(matches!(*what, "INDEX" | "UNIQUE"), object))
        }
        ["COMMENT", "ON", ..] => Some(Effect::Set),
        ["GRANT" | "REVOKE", privilege, "ON", ..]
            if privilege.chars().all(|c| c.is_ascii_uppercase()) =>
        {
            Some(Effect::Set)
        }
        _ => None,
    }
}

fn made(is_index: bool, object: &ObjectId) -> Effect {
    if is_index && object.kind == ObjectKind::Constraint {
        Effect::MakeIndex
    } else {
        Effect::Make
    }
}

fn ensured(if_missing: bool) -> Effect {
    if if_missing {
        Effect::Ensure
    } else {
        Effect::Make
    }
}

fn of_node(node: &NodeEnum, object: &ObjectId) -> Effect {
    match node {
        // Two views that need each other: pg_dump makes an empty one first and replaces it.
        NodeEnum::ViewStmt(s) if s.replace => Effect::SetPart(Part::aspect("definition")),
        NodeEnum::CreateFunctionStmt(s) => ensured(s.replace),
        NodeEnum::CreateSchemaStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateExtensionStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateSeqStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateTableAsStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateForeignTableStmt(s) => ensured(
            s.base_stmt
                .as_ref()
                .is_some_and(|table| table.if_not_exists),
        ),
        NodeEnum::CreateForeignServerStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateUserMappingStmt(s) => ensured(s.if_not_exists),
        NodeEnum::CreateStatsStmt(s) => ensured(s.if_not_exists),
        NodeEnum::DefineStmt(s) => ensured(s.if_not_exists || s.replace),
        NodeEnum::RuleStmt(s) => ensured(s.replace),
        NodeEnum::CreateTrigStmt(s) => ensured(s.replace),
        NodeEnum::CreatePlangStmt(s) => ensured(s.replace),
        NodeEnum::IndexStmt(s) if s.if_not_exists => Effect::Ensure,
        NodeEnum::IndexStmt(_) => made(true, object),
        NodeEnum::ViewStmt(_)
        | NodeEnum::CreateEnumStmt(_)
        | NodeEnum::CreateRangeStmt(_)
        | NodeEnum::CompositeTypeStmt(_)
        | NodeEnum::CreateDomainStmt(_)
        | NodeEnum::CreateOpClassStmt(_)
        | NodeEnum::CreateOpFamilyStmt(_)
        | NodeEnum::CreateCastStmt(_)
        | NodeEnum::CreateConversionStmt(_)
        | NodeEnum::CreateAmStmt(_)
        | NodeEnum::CreatePolicyStmt(_)
        | NodeEnum::CreateFdwStmt(_)
        | NodeEnum::CreatePublicationStmt(_)
        | NodeEnum::CreateSubscriptionStmt(_)
        | NodeEnum::CreateEventTrigStmt(_) => Effect::Make,
        // `do` blocks are towpath's own: roles made when missing, settings of this database.
        NodeEnum::DoStmt(_)
        | NodeEnum::AlterDefaultPrivilegesStmt(_)
        | NodeEnum::AlterDatabaseSetStmt(_) => Effect::Ensure,
        NodeEnum::GrantStmt(_)
        | NodeEnum::CommentStmt(_)
        | NodeEnum::AlterSeqStmt(_)
        | NodeEnum::AlterStatsStmt(_)
        | NodeEnum::AlterOpFamilyStmt(_)
        | NodeEnum::AlterEventTrigStmt(_)
        | NodeEnum::AlterRoleSetStmt(_)
        | NodeEnum::AlterRoleStmt(_) => Effect::Set,
        node if gives_owner(node) => Effect::Own,
        NodeEnum::AlterTsconfigurationStmt(s) => mapping(s),
        NodeEnum::AlterPublicationStmt(s) => published(s),
        NodeEnum::AlterDomainStmt(s) => match (s.subtype.as_str(), constraint_name(&s.def)) {
            ("C", Some(name)) => Effect::Add(Part::entry("constraints", name)),
            _ => Effect::Always,
        },
        NodeEnum::AlterTableStmt(s) => altered(s),
        // Memberships of the master itself, contents of materialized views, dependencies on
        // extensions: no aspect shows them.
        _ => Effect::Always,
    }
}

fn gives_owner(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::AlterOwnerStmt(_) => true,
        NodeEnum::AlterTableStmt(s) => {
            command(s).is_some_and(|c| c.subtype() == AlterTableType::AtChangeOwner)
        }
        _ => false,
    }
}

fn constraint_name(definition: &Option<Box<Node>>) -> Option<&str> {
    match definition.as_ref()?.node.as_ref()? {
        NodeEnum::Constraint(constraint) => Some(constraint.conname.as_str()),
        _ => None,
    }
}

fn mapping(s: &AlterTsConfigurationStmt) -> Effect {
    match strings(&s.tokentype).as_slice() {
        [token] if s.kind() == AlterTsConfigType::AlterTsconfigAddMapping => {
            Effect::Add(Part::entry("mappings", token))
        }
        _ => Effect::Unknown,
    }
}

fn published(s: &AlterPublicationStmt) -> Effect {
    let [
        Node {
            node: Some(NodeEnum::PublicationObjSpec(spec)),
        },
    ] = s.pubobjects.as_slice()
    else {
        return Effect::Unknown;
    };
    if s.action() != AlterPublicationAction::ApAddObjects {
        return Effect::Unknown;
    }
    let table = spec.pubtable.as_ref().and_then(|t| t.relation.as_ref());
    match (spec.pubobjtype(), table) {
        (PublicationObjSpecType::PublicationobjTable, Some(range)) => {
            Effect::Add(Part::entry("tables", &quoted(range)))
        }
        (PublicationObjSpecType::PublicationobjTablesInSchema, _) => {
            Effect::Add(Part::entry("schemas", &spec.name))
        }
        _ => Effect::Unknown,
    }
}

fn quoted(range: &RangeVar) -> String {
    if range.schemaname.is_empty() {
        return quote_identifier(&range.relname);
    }
    QualifiedName::new(&range.schemaname, &range.relname).quoted()
}

fn command(s: &AlterTableStmt) -> Option<&AlterTableCmd> {
    match s.cmds.as_slice() {
        [
            Node {
                node: Some(NodeEnum::AlterTableCmd(command)),
            },
        ] => Some(command),
        _ => None,
    }
}

fn altered(s: &AlterTableStmt) -> Effect {
    use AlterTableType as Type;
    let Some(command) = command(s) else {
        return Effect::Unknown;
    };
    let column = |field: &str| Effect::SetPart(Part::column(&command.name, field));
    let whole = |aspect: &str| Effect::SetPart(Part::aspect(aspect));
    let is_index = s.objtype() == ObjectType::ObjectIndex;
    match command.subtype() {
        Type::AtAddConstraint => Effect::Make,
        // Attaching an index that is attached already does nothing (manual, ALTER INDEX).
        Type::AtAttachPartition if is_index => Effect::Set,
        Type::AtAttachPartition => Effect::Add(Part::aspect("partition_of")),
        Type::AtAddInherit => match command.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::RangeVar(parent)) => {
                Effect::Add(Part::entry("inherits", &quoted(parent)))
            }
            _ => Effect::Unknown,
        },
        Type::AtAddIdentity => Effect::Add(Part::column(&command.name, "identity")),
        Type::AtColumnDefault => column("default"),
        Type::AtSetNotNull => column("not_null"),
        Type::AtSetStatistics if !is_index => column("statistics"),
        Type::AtSetStorage => column("storage"),
        Type::AtSetCompression => column("compression"),
        Type::AtSetOptions => column("options"),
        Type::AtAlterColumnGenericOptions => {
            Effect::Add(Part::column(&command.name, "foreign_options"))
        }
        Type::AtValidateConstraint => whole("validated"),
        Type::AtEnableRowSecurity | Type::AtDisableRowSecurity => whole("row_security"),
        Type::AtForceRowSecurity | Type::AtNoForceRowSecurity => whole("force_row_security"),
        Type::AtReplicaIdentity => whole("replica_identity"),
        Type::AtSetStatistics
        | Type::AtEnableTrig
        | Type::AtEnableAlwaysTrig
        | Type::AtEnableReplicaTrig
        | Type::AtDisableTrig
        | Type::AtEnableRule
        | Type::AtEnableAlwaysRule
        | Type::AtEnableReplicaRule
        | Type::AtDisableRule => Effect::Set,
        // What it marks is the index.
        Type::AtClusterOn => Effect::Always,
        _ => Effect::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(sql: &str) -> Effect {
        of(sql, &ObjectId::of(ObjectKind::Table, "public", "t"))
    }

    #[test]
    fn first_words_say_what_the_tree_says() {
        let constraint = ObjectId::on(ObjectKind::Constraint, "public", "t", "k");
        let table = ObjectId::of(ObjectKind::Table, "public", "t");
        for sql in [
            "CREATE TABLE public.t (id integer)",
            "CREATE UNLOGGED TABLE public.t (id integer)",
            "CREATE UNIQUE INDEX k ON public.t USING btree (id)",
            "CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS $$ select 1 $$",
            "CREATE POLICY p ON public.t USING (true)",
            "COMMENT ON TABLE public.t IS 'x'",
            "GRANT ALL ON TABLE public.t TO anon",
            "REVOKE ALL ON FUNCTION public.f() FROM PUBLIC",
        ] {
            for object in [&constraint, &table] {
                let short = of_first_words(sql, object).unwrap_or_else(|| panic!("{sql}"));
                assert_eq!(
                    short,
                    of_node(&crate::statement::parse(sql).unwrap(), object),
                    "{sql}"
                );
            }
        }
        assert_eq!(
            of("CREATE UNIQUE INDEX k ON public.t (id)", &constraint),
            Effect::MakeIndex
        );
        assert_eq!(
            of_first_words("GRANT \"a ON b\" TO c", &table),
            None,
            "a membership"
        );
        assert_eq!(
            of_first_words("CREATE TABLE IF NOT EXISTS public.t ()", &table),
            None
        );
    }

    #[test]
    fn statements_that_cannot_be_repeated_name_their_part() {
        let cases = [
            (
                "ALTER TABLE ONLY public.m ATTACH PARTITION public.t FOR VALUES IN (1)",
                Part::aspect("partition_of"),
            ),
            (
                r#"ALTER TABLE public.t ALTER COLUMN "Id" ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.s)"#,
                Part::column("Id", "identity"),
            ),
            (
                "ALTER TEXT SEARCH CONFIGURATION public.c ADD MAPPING FOR asciiword WITH simple",
                Part::entry("mappings", "asciiword"),
            ),
            (
                r#"ALTER PUBLICATION p ADD TABLE ONLY public."order""#,
                Part::entry("tables", "\"public\".\"order\""),
            ),
            (
                "ALTER PUBLICATION p ADD TABLES IN SCHEMA app",
                Part::entry("schemas", "app"),
            ),
            (
                "ALTER DOMAIN public.d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID",
                Part::entry("constraints", "c"),
            ),
        ];
        for (sql, part) in cases {
            assert_eq!(effect(sql), Effect::Add(part), "{sql}");
        }
    }

    #[test]
    fn statements_that_can_be_repeated() {
        let default = "ALTER TABLE ONLY public.t ALTER COLUMN id SET DEFAULT nextval('s')";
        assert_eq!(
            effect(default),
            Effect::SetPart(Part::column("id", "default"))
        );
        assert_eq!(
            effect("CREATE OR REPLACE VIEW public.v AS SELECT 1 AS a"),
            Effect::SetPart(Part::aspect("definition"))
        );
        assert_eq!(effect("create schema if not exists auth"), Effect::Ensure);
        assert_eq!(effect("alter view \"a\".\"v\" owner to \"x\""), Effect::Own);
        assert_eq!(
            effect(
                "grant create on schema a to x;\nalter routine a.f() owner to x;\nrevoke create on schema a from x"
            ),
            Effect::Own
        );
        assert_eq!(effect("grant \"x\" to current_user"), Effect::Always);
        assert_eq!(effect("refresh materialized view a.b"), Effect::Always);
        assert_eq!(effect("gibberish"), Effect::Unknown);
    }
}
