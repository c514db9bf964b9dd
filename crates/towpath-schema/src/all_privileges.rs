//! `grant all` on a table, in the words of the source's version.
//!
//! PostgreSQL 17 made MAINTAIN a privilege on tables. A dump of an older server says ALL for the
//! seven that it knows, and a newer target takes that for eight: every role of the API could lock
//! and cluster the user's tables. So ALL is spelled out.

use pg_query::NodeEnum;
use pg_query::protobuf::{AccessPriv, GrantStmt, GrantTargetType, Node, ObjectType};
use towpath_model::Result;
use towpath_model::structure::ObjectKind;

use crate::script::all_privileges;
use crate::statement::{Form, Piece, deparse};

/// Spells ALL out where source and target mean different privileges by it.
pub(crate) fn spell_out(
    pieces: &mut [Piece],
    source_version_num: u32,
    target_version_num: u32,
) -> Result<()> {
    let of = |version_num| {
        all_privileges(ObjectKind::Table, version_num).map_or(&[][..], |(_, privileges)| privileges)
    };
    let meant = of(source_version_num);
    if meant == of(target_version_num) {
        return Ok(());
    }
    for piece in pieces {
        if !matches!(piece.form, Form::Grant | Form::DefaultPrivileges) {
            continue;
        }
        let mut tree = piece.tree()?;
        if is_spelled_out(&mut tree, meant) {
            piece.sql = deparse(&tree)?;
        }
    }
    Ok(())
}

fn is_spelled_out(node: &mut NodeEnum, meant: &[&str]) -> bool {
    let grant = match node {
        NodeEnum::GrantStmt(grant) if grant.targtype() == GrantTargetType::AclTargetObject => grant,
        NodeEnum::AlterDefaultPrivilegesStmt(statement) => match &mut statement.action {
            Some(action) => action,
            None => return false,
        },
        _ => return false,
    };
    // Taking everything away is right whatever it is.
    let says_all = grant.is_grant && grant.privileges.is_empty();
    if !says_all || grant.objtype() != ObjectType::ObjectTable {
        return false;
    }
    name(grant, meant);
    true
}

fn name(grant: &mut GrantStmt, privileges: &[&str]) {
    grant.privileges = privileges
        .iter()
        .map(|privilege| Node {
            node: Some(NodeEnum::AccessPriv(AccessPriv {
                priv_name: privilege.to_lowercase(),
                cols: Vec::new(),
            })),
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Names;
    use crate::dump::Dump;
    use crate::statement::split;

    fn spelled(sql: &str, source: u32, target: u32) -> String {
        let dump = Dump {
            pre_data: format!("{sql};\n"),
            post_data: String::new(),
        };
        let mut pieces = split(&dump, &Names::default()).unwrap();
        spell_out(&mut pieces, source, target).unwrap();
        pieces.remove(0).sql
    }

    #[test]
    fn all_on_a_table_stays_what_it_was() {
        const SEVEN: &str = "select, insert, update, delete, truncate, references, trigger";
        let granted = spelled("GRANT ALL ON TABLE public.t TO anon", 150_018, 180_001);
        assert_eq!(
            granted.to_lowercase(),
            format!("grant {SEVEN} on public.t to anon")
        );
        let default = spelled(
            "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon WITH GRANT OPTION",
            160_001,
            170_001,
        );
        assert!(default.to_lowercase().contains(SEVEN), "{default}");
        assert!(
            default.to_lowercase().ends_with("with grant option"),
            "{default}"
        );
    }

    #[test]
    fn nothing_else_changes() {
        for (sql, source, target) in [
            ("GRANT ALL ON TABLE public.t TO anon", 150_018, 160_001),
            ("GRANT ALL ON TABLE public.t TO anon", 170_001, 180_001),
            ("GRANT ALL ON SEQUENCE public.s TO anon", 150_018, 180_001),
            (
                "GRANT SELECT,INSERT ON TABLE public.t TO anon",
                150_018,
                180_001,
            ),
            ("REVOKE ALL ON TABLE public.t FROM anon", 150_018, 180_001),
            (
                "GRANT ALL(name) ON TABLE public.t TO anon",
                150_018,
                180_001,
            ),
            ("GRANT ALL ON FUNCTION public.f() TO anon", 150_018, 180_001),
        ] {
            assert_eq!(spelled(sql, source, target), sql);
        }
    }
}
