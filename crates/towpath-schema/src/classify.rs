//! Which object a statement makes or changes, and when it has to run.

use std::collections::BTreeMap;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, CommentStmt, ConstrType, DefElem, DefineStmt,
    GrantStmt, Node, ObjectType, RangeVar,
};
use towpath_model::name::QualifiedName;
use towpath_model::script::Phase;
use towpath_model::structure::{ObjectId, ObjectKind, Structure};

use crate::type_name::{catalog_name, of_parameters, of_types, parameters, qualified, strings};

/// What a statement is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subject {
    /// The object.
    pub object: ObjectId,
    /// Others that must go too, or the statement has no meaning: the partition's parent, a
    /// publication's table.
    pub also: Vec<ObjectId>,
    /// When it runs, unless it is about something made later.
    pub phase: Phase,
    /// The table it works on.
    pub table: Option<QualifiedName>,
    /// Whether it makes the object, or only says something about it.
    pub makes: bool,
}

impl Subject {
    fn makes(object: ObjectId, phase: Phase) -> Self {
        Self {
            table: table_of(&object),
            object,
            also: Vec::new(),
            phase,
            makes: true,
        }
    }

    fn alters(object: ObjectId, phase: Phase) -> Self {
        Self {
            makes: false,
            ..Self::makes(object, phase)
        }
    }

    fn with(mut self, also: ObjectId) -> Self {
        self.also.push(also);
        self
    }
}

fn table_of(object: &ObjectId) -> Option<QualifiedName> {
    let schema = object.schema.as_ref()?;
    if let Some(on) = &object.on {
        return Some(QualifiedName::new(schema, on));
    }
    matches!(
        object.kind,
        ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::MaterializedView
            | ObjectKind::View
    )
    .then(|| QualifiedName::new(schema, &object.name))
}

/// Names whose kind a statement does not tell: `alter table` speaks of views and sequences too,
/// and `comment on index` does not say which table the index is on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    relations: BTreeMap<(String, String), ObjectId>,
    types: BTreeMap<(String, String), ObjectId>,
}

impl Names {
    /// Of everything in a structure.
    pub(crate) fn of(structure: &Structure) -> Self {
        let mut names = Self::default();
        for id in structure.objects.keys() {
            let Some(schema) = &id.schema else { continue };
            let key = (schema.clone(), id.name.clone());
            match id.kind {
                ObjectKind::Table
                | ObjectKind::ForeignTable
                | ObjectKind::View
                | ObjectKind::MaterializedView
                | ObjectKind::Sequence
                | ObjectKind::Index => {
                    names.relations.insert(key, id.clone());
                }
                ObjectKind::Type | ObjectKind::Domain => {
                    names.types.insert(key, id.clone());
                }
                _ => {}
            }
        }
        names
    }

    fn relation(&self, schema: &str, name: &str, otherwise: ObjectKind) -> ObjectId {
        self.relations
            .get(&(schema.to_owned(), name.to_owned()))
            .cloned()
            .unwrap_or_else(|| ObjectId::of(otherwise, schema, name))
    }

    fn type_(&self, schema: &str, name: &str, otherwise: ObjectKind) -> ObjectId {
        self.types
            .get(&(schema.to_owned(), name.to_owned()))
            .cloned()
            .unwrap_or_else(|| ObjectId::of(otherwise, schema, name))
    }

    fn range(&self, range: &RangeVar, otherwise: ObjectKind) -> ObjectId {
        self.relation(&range.schemaname, &range.relname, otherwise)
    }
}

/// What this statement is about; nothing when it is of a kind that no dump should hold.
pub(crate) fn subject(node: &NodeEnum, names: &Names) -> Option<Subject> {
    use ObjectKind as Kind;
    let pre = Phase::PreData;
    let of = |kind, list: &[Node]| {
        let (schema, name) = qualified(list);
        ObjectId::of(kind, &schema, &name)
    };
    let subject = match node {
        NodeEnum::CreateSchemaStmt(s) => {
            Subject::makes(ObjectId::global(Kind::Schema, &s.schemaname), pre)
        }
        NodeEnum::CreateExtensionStmt(s) => {
            Subject::makes(ObjectId::global(Kind::Extension, &s.extname), pre)
        }
        NodeEnum::CreatePlangStmt(s) => {
            Subject::makes(ObjectId::global(Kind::Language, &s.plname), pre)
        }
        NodeEnum::CreateEnumStmt(s) => Subject::makes(of(Kind::Type, &s.type_name), pre),
        NodeEnum::AlterEnumStmt(s) => Subject::alters(of(Kind::Type, &s.type_name), pre),
        NodeEnum::CreateRangeStmt(s) => Subject::makes(of(Kind::Type, &s.type_name), pre),
        NodeEnum::CompositeTypeStmt(s) => {
            let range = s.typevar.as_ref()?;
            Subject::makes(
                ObjectId::of(Kind::Type, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::CreateDomainStmt(s) => Subject::makes(of(Kind::Domain, &s.domainname), pre),
        NodeEnum::AlterDomainStmt(s) => {
            Subject::alters(of(Kind::Domain, &s.type_name), Phase::Constraint)
        }
        NodeEnum::DefineStmt(s) => Subject::makes(defined(s)?, pre),
        NodeEnum::AlterTsconfigurationStmt(s) => {
            Subject::alters(of(Kind::TextSearchConfiguration, &s.cfgname), pre)
        }
        NodeEnum::AlterTsdictionaryStmt(s) => {
            Subject::alters(of(Kind::TextSearchDictionary, &s.dictname), pre)
        }
        NodeEnum::CreateFunctionStmt(s) => {
            let id = of(Kind::Function, &s.funcname);
            Subject::makes(id.with_args(&of_parameters(parameters(&s.parameters))), pre)
        }
        NodeEnum::CreateOpClassStmt(s) => {
            let id = of(Kind::OperatorClass, &s.opclassname);
            Subject::makes(id.with_args(&s.amname), pre)
        }
        NodeEnum::CreateOpFamilyStmt(s) => {
            let id = of(Kind::OperatorFamily, &s.opfamilyname);
            Subject::makes(id.with_args(&s.amname), pre)
        }
        NodeEnum::AlterOpFamilyStmt(s) => {
            let id = of(Kind::OperatorFamily, &s.opfamilyname);
            Subject::alters(id.with_args(&s.amname), pre)
        }
        NodeEnum::CreateCastStmt(s) => Subject::makes(
            cast(
                &catalog_name(s.sourcetype.as_ref()?),
                &catalog_name(s.targettype.as_ref()?),
            ),
            pre,
        ),
        NodeEnum::CreateConversionStmt(s) => {
            Subject::makes(of(Kind::Conversion, &s.conversion_name), pre)
        }
        NodeEnum::CreateAmStmt(s) => {
            Subject::makes(ObjectId::global(Kind::AccessMethod, &s.amname), pre)
        }
        NodeEnum::CreateStmt(s) => {
            let range = s.relation.as_ref()?;
            Subject::makes(
                ObjectId::of(Kind::Table, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::CreateForeignTableStmt(s) => {
            let range = s.base_stmt.as_ref()?.relation.as_ref()?;
            Subject::makes(
                ObjectId::of(Kind::ForeignTable, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::ViewStmt(s) => {
            let range = s.view.as_ref()?;
            Subject::makes(
                ObjectId::of(Kind::View, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::CreateTableAsStmt(s) => {
            let range = s.into.as_ref()?.rel.as_ref()?;
            Subject::makes(
                ObjectId::of(Kind::MaterializedView, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::CreateSeqStmt(s) => {
            let range = s.sequence.as_ref()?;
            Subject::makes(
                ObjectId::of(Kind::Sequence, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::AlterSeqStmt(s) => {
            let range = s.sequence.as_ref()?;
            Subject::alters(
                ObjectId::of(Kind::Sequence, &range.schemaname, &range.relname),
                pre,
            )
        }
        NodeEnum::AlterTableStmt(s) => altered_table(s, names)?,
        NodeEnum::IndexStmt(s) => {
            let range = s.relation.as_ref()?;
            let id = ObjectId::on(Kind::Index, &range.schemaname, &range.relname, &s.idxname);
            Subject::makes(id, Phase::Index)
        }
        NodeEnum::CreateStatsStmt(s) => {
            let mut subject = Subject::makes(of(Kind::Statistics, &s.defnames), Phase::IndexAttach);
            if let Some(NodeEnum::RangeVar(range)) =
                s.relations.first().and_then(|n| n.node.as_ref())
            {
                subject.table = Some(QualifiedName::new(&range.schemaname, &range.relname));
                subject = subject.with(names.range(range, Kind::Table));
            }
            subject
        }
        NodeEnum::AlterStatsStmt(s) => {
            Subject::alters(of(Kind::Statistics, &s.defnames), Phase::IndexAttach)
        }
        NodeEnum::RuleStmt(s) => {
            let range = s.relation.as_ref()?;
            let id = ObjectId::on(Kind::Rule, &range.schemaname, &range.relname, &s.rulename);
            Subject::makes(id, Phase::View)
        }
        NodeEnum::CreateTrigStmt(s) => {
            let range = s.relation.as_ref()?;
            let id = ObjectId::on(
                Kind::Trigger,
                &range.schemaname,
                &range.relname,
                &s.trigname,
            );
            Subject::makes(id, Phase::Trigger)
        }
        NodeEnum::CreatePolicyStmt(s) => {
            let range = s.table.as_ref()?;
            let id = ObjectId::on(
                Kind::Policy,
                &range.schemaname,
                &range.relname,
                &s.policy_name,
            );
            Subject::makes(id, Phase::Policy)
        }
        NodeEnum::CreateFdwStmt(s) => {
            Subject::makes(ObjectId::global(Kind::ForeignDataWrapper, &s.fdwname), pre)
        }
        NodeEnum::CreateForeignServerStmt(s) => {
            Subject::makes(ObjectId::global(Kind::ForeignServer, &s.servername), pre)
        }
        NodeEnum::CreateUserMappingStmt(s) => {
            let role = s.user.as_ref().map_or("", |role| role.rolename.as_str());
            Subject::makes(user_mapping(&s.servername, role), pre)
        }
        NodeEnum::CreatePublicationStmt(s) => {
            Subject::makes(ObjectId::global(Kind::Publication, &s.pubname), Phase::Last)
        }
        NodeEnum::AlterPublicationStmt(s) => {
            let mut subject =
                Subject::alters(ObjectId::global(Kind::Publication, &s.pubname), Phase::Last);
            for member in &s.pubobjects {
                if let Some(NodeEnum::PublicationObjSpec(spec)) = &member.node
                    && let Some(range) = spec.pubtable.as_ref().and_then(|t| t.relation.as_ref())
                {
                    subject = subject.with(names.range(range, Kind::Table));
                }
            }
            subject
        }
        NodeEnum::CreateSubscriptionStmt(s) => Subject::makes(
            ObjectId::global(Kind::Subscription, &s.subname),
            Phase::Last,
        ),
        NodeEnum::CreateEventTrigStmt(s) => Subject::makes(
            ObjectId::global(Kind::EventTrigger, &s.trigname),
            Phase::Last,
        ),
        NodeEnum::AlterEventTrigStmt(s) => Subject::alters(
            ObjectId::global(Kind::EventTrigger, &s.trigname),
            Phase::Last,
        ),
        NodeEnum::AlterDefaultPrivilegesStmt(s) => {
            Subject::makes(crate::acl::default_privileges_id(s)?, Phase::Last)
        }
        NodeEnum::GrantStmt(s) => granted(s, names)?,
        NodeEnum::CommentStmt(s) => {
            let object = commented(s, names)?;
            let phase = comment_phase(object.kind);
            Subject::alters(object, phase)
        }
        NodeEnum::AlterObjectDependsStmt(s) => depending(s, names)?,
        _ => return None,
    };
    Some(subject)
}

/// The identity of a cast.
pub(crate) fn cast(source: &str, target: &str) -> ObjectId {
    ObjectId::global(ObjectKind::Cast, "cast").with_args(&format!("{source},{target}"))
}

/// The identity of a user mapping: the role, on the server.
pub(crate) fn user_mapping(server: &str, role: &str) -> ObjectId {
    let name = if role.is_empty() { "public" } else { role };
    ObjectId::global(ObjectKind::UserMapping, name).with_args(server)
}

fn defined(s: &DefineStmt) -> Option<ObjectId> {
    let (schema, name) = qualified(&s.defnames);
    let of = |kind| ObjectId::of(kind, &schema, &name);
    Some(match s.kind() {
        ObjectType::ObjectType => of(ObjectKind::Type),
        ObjectType::ObjectCollation => of(ObjectKind::Collation),
        ObjectType::ObjectAggregate => {
            let args = match s.args.first().and_then(|node| node.node.as_ref()) {
                Some(NodeEnum::List(list)) => of_parameters(parameters(&list.items)),
                _ => String::new(),
            };
            of(ObjectKind::Function).with_args(&args)
        }
        ObjectType::ObjectOperator => {
            let side = |wanted: &str| operand(&s.definition, wanted);
            of(ObjectKind::Operator).with_args(&format!("{},{}", side("leftarg"), side("rightarg")))
        }
        ObjectType::ObjectTsconfiguration => of(ObjectKind::TextSearchConfiguration),
        ObjectType::ObjectTsdictionary => of(ObjectKind::TextSearchDictionary),
        ObjectType::ObjectTsparser => of(ObjectKind::TextSearchParser),
        ObjectType::ObjectTstemplate => of(ObjectKind::TextSearchTemplate),
        _ => return None,
    })
}

fn operand(definition: &[Node], wanted: &str) -> String {
    definition
        .iter()
        .find_map(|node| match &node.node {
            Some(NodeEnum::DefElem(element)) if element.defname == wanted => type_argument(element),
            _ => None,
        })
        .unwrap_or_else(|| "none".to_owned())
}

fn type_argument(element: &DefElem) -> Option<String> {
    match element.arg.as_ref()?.node.as_ref()? {
        NodeEnum::TypeName(type_name) => Some(catalog_name(type_name)),
        _ => None,
    }
}

/// `alter table` and `alter index`: pg_dump writes one command in each.
fn altered_table(s: &AlterTableStmt, names: &Names) -> Option<Subject> {
    let range = s.relation.as_ref()?;
    let otherwise = match s.objtype() {
        ObjectType::ObjectIndex => ObjectKind::Index,
        ObjectType::ObjectView => ObjectKind::View,
        ObjectType::ObjectMatview => ObjectKind::MaterializedView,
        ObjectType::ObjectSequence => ObjectKind::Sequence,
        ObjectType::ObjectForeignTable => ObjectKind::ForeignTable,
        ObjectType::ObjectType => {
            let id = names.type_(&range.schemaname, &range.relname, ObjectKind::Type);
            return Some(Subject::alters(id, Phase::PreData));
        }
        _ => ObjectKind::Table,
    };
    let relation = names.range(range, otherwise);
    let commands: Vec<&AlterTableCmd> = s
        .cmds
        .iter()
        .filter_map(|node| match &node.node {
            Some(NodeEnum::AlterTableCmd(command)) => Some(command.as_ref()),
            _ => None,
        })
        .collect();
    let [first, ..] = commands.as_slice() else {
        return None;
    };
    Some(match first.subtype() {
        AlterTableType::AtAddConstraint => added_constraint(range, first)?,
        AlterTableType::AtAttachPartition => attached(s, first, relation, names)?,
        AlterTableType::AtAddInherit => {
            let subject = Subject::alters(relation, Phase::PreData);
            match first.def.as_ref()?.node.as_ref()? {
                NodeEnum::RangeVar(parent) => subject.with(names.range(parent, ObjectKind::Table)),
                _ => subject,
            }
        }
        AlterTableType::AtEnableTrig
        | AlterTableType::AtEnableAlwaysTrig
        | AlterTableType::AtEnableReplicaTrig
        | AlterTableType::AtDisableTrig => {
            let id = ObjectId::on(
                ObjectKind::Trigger,
                &range.schemaname,
                &range.relname,
                &first.name,
            );
            Subject::alters(id, Phase::Trigger)
        }
        AlterTableType::AtEnableRule
        | AlterTableType::AtEnableAlwaysRule
        | AlterTableType::AtEnableReplicaRule
        | AlterTableType::AtDisableRule => {
            let id = ObjectId::on(
                ObjectKind::Rule,
                &range.schemaname,
                &range.relname,
                &first.name,
            );
            Subject::alters(id, Phase::View)
        }
        AlterTableType::AtEnableRowSecurity
        | AlterTableType::AtDisableRowSecurity
        | AlterTableType::AtForceRowSecurity
        | AlterTableType::AtNoForceRowSecurity => Subject::alters(relation, Phase::Policy),
        AlterTableType::AtReplicaIdentity | AlterTableType::AtClusterOn => {
            Subject::alters(relation, Phase::IndexAttach)
        }
        // Statistics targets of index expressions, besides options of tables and columns.
        _ if relation.kind == ObjectKind::Index => Subject::alters(relation, Phase::IndexAttach),
        _ => Subject::alters(relation, Phase::PreData),
    })
}

fn added_constraint(range: &RangeVar, command: &AlterTableCmd) -> Option<Subject> {
    let Some(NodeEnum::Constraint(constraint)) = command.def.as_ref()?.node.as_ref() else {
        return None;
    };
    let phase = match constraint.contype() {
        ConstrType::ConstrForeign => Phase::ForeignKey,
        _ => Phase::Constraint,
    };
    let id = ObjectId::on(
        ObjectKind::Constraint,
        &range.schemaname,
        &range.relname,
        &constraint.conname,
    );
    Some(Subject::makes(id, phase))
}

fn attached(
    s: &AlterTableStmt,
    command: &AlterTableCmd,
    parent: ObjectId,
    names: &Names,
) -> Option<Subject> {
    let Some(NodeEnum::PartitionCmd(partition)) = command.def.as_ref()?.node.as_ref() else {
        return None;
    };
    let child = partition.name.as_ref()?;
    Some(if s.objtype() == ObjectType::ObjectIndex {
        let child = names.range(child, ObjectKind::Index);
        Subject::alters(parent, Phase::IndexAttach).with(child)
    } else {
        let child = names.range(child, ObjectKind::Table);
        Subject::alters(child, Phase::PreData).with(parent)
    })
}

fn granted(s: &GrantStmt, names: &Names) -> Option<Subject> {
    let node = s.objects.first()?.node.as_ref()?;
    let object = match (s.objtype(), node) {
        (ObjectType::ObjectSequence, NodeEnum::RangeVar(range)) => {
            names.range(range, ObjectKind::Sequence)
        }
        (_, NodeEnum::RangeVar(range)) => names.range(range, ObjectKind::Table),
        (_, NodeEnum::ObjectWithArgs(function)) => {
            let (schema, name) = qualified(&function.objname);
            ObjectId::of(ObjectKind::Function, &schema, &name)
                .with_args(&of_types(&function.objargs))
        }
        (ObjectType::ObjectDomain, NodeEnum::List(list)) => {
            let (schema, name) = qualified(&list.items);
            names.type_(&schema, &name, ObjectKind::Domain)
        }
        (_, NodeEnum::List(list)) => {
            let (schema, name) = qualified(&list.items);
            names.type_(&schema, &name, ObjectKind::Type)
        }
        (objtype, NodeEnum::String(name)) => {
            let kind = match objtype {
                ObjectType::ObjectSchema => ObjectKind::Schema,
                ObjectType::ObjectLanguage => ObjectKind::Language,
                ObjectType::ObjectFdw => ObjectKind::ForeignDataWrapper,
                ObjectType::ObjectForeignServer => ObjectKind::ForeignServer,
                _ => return None,
            };
            ObjectId::global(kind, &name.sval)
        }
        (_, NodeEnum::Integer(number)) => {
            ObjectId::global(ObjectKind::LargeObject, &number.ival.to_string())
        }
        (_, NodeEnum::Float(number)) => ObjectId::global(ObjectKind::LargeObject, &number.fval),
        _ => return None,
    };
    Some(Subject::alters(object, Phase::Grant))
}

/// Comments wait for their object: those of indexes and constraints for the last of them.
fn comment_phase(kind: ObjectKind) -> Phase {
    match kind {
        ObjectKind::Index | ObjectKind::Constraint | ObjectKind::Statistics | ObjectKind::Rule => {
            Phase::View
        }
        ObjectKind::Trigger => Phase::Trigger,
        ObjectKind::Policy => Phase::Policy,
        ObjectKind::Publication | ObjectKind::Subscription | ObjectKind::EventTrigger => {
            Phase::Last
        }
        _ => Phase::PreData,
    }
}

fn commented(s: &CommentStmt, names: &Names) -> Option<ObjectId> {
    use ObjectKind as Kind;
    let node = s.object.as_ref()?.node.as_ref()?;
    if let NodeEnum::String(name) = node {
        let kind = match s.objtype() {
            ObjectType::ObjectSchema => Kind::Schema,
            ObjectType::ObjectExtension => Kind::Extension,
            ObjectType::ObjectLanguage => Kind::Language,
            ObjectType::ObjectFdw => Kind::ForeignDataWrapper,
            ObjectType::ObjectForeignServer => Kind::ForeignServer,
            ObjectType::ObjectPublication => Kind::Publication,
            ObjectType::ObjectSubscription => Kind::Subscription,
            ObjectType::ObjectEventTrigger => Kind::EventTrigger,
            ObjectType::ObjectAccessMethod => Kind::AccessMethod,
            ObjectType::ObjectRole => Kind::Role,
            _ => return None,
        };
        return Some(ObjectId::global(kind, &name.sval));
    }
    match (s.objtype(), node) {
        (ObjectType::ObjectOperator, NodeEnum::ObjectWithArgs(operator)) => {
            let (schema, name) = qualified(&operator.objname);
            let id = ObjectId::of(Kind::Operator, &schema, &name);
            Some(id.with_args(&of_types(&operator.objargs)))
        }
        (_, NodeEnum::ObjectWithArgs(function)) => {
            let (schema, name) = qualified(&function.objname);
            let id = ObjectId::of(Kind::Function, &schema, &name);
            Some(id.with_args(&of_types(&function.objargs)))
        }
        (ObjectType::ObjectDomain, NodeEnum::TypeName(type_name)) => {
            let (schema, name) = qualified(&type_name.names);
            Some(names.type_(&schema, &name, Kind::Domain))
        }
        (_, NodeEnum::TypeName(type_name)) => {
            let (schema, name) = qualified(&type_name.names);
            Some(names.type_(&schema, &name, Kind::Type))
        }
        (_, NodeEnum::Integer(number)) => Some(ObjectId::global(
            Kind::LargeObject,
            &number.ival.to_string(),
        )),
        (_, NodeEnum::Float(number)) => Some(ObjectId::global(Kind::LargeObject, &number.fval)),
        (objtype, NodeEnum::List(list)) => commented_by_list(objtype, &list.items, names),
        _ => None,
    }
}

fn commented_by_list(objtype: ObjectType, items: &[Node], names: &Names) -> Option<ObjectId> {
    use ObjectKind as Kind;
    let parts = strings(items);
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let hanging = |kind| match words.as_slice() {
        [schema, table, name] => Some(ObjectId::on(kind, schema, table, name)),
        _ => None,
    };
    let relation = |kind| match words.as_slice() {
        [schema, name, ..] => Some(names.relation(schema, name, kind)),
        _ => None,
    };
    let plain = |kind| match words.as_slice() {
        [schema, name] => Some(ObjectId::of(kind, schema, name)),
        _ => None,
    };
    let of_method = |kind| match words.as_slice() {
        [method, schema, name] => Some(ObjectId::of(kind, schema, name).with_args(method)),
        _ => None,
    };
    match objtype {
        // The type's attributes are columns too: `comment on column schema.type.attribute`.
        ObjectType::ObjectColumn => match words.as_slice() {
            [schema, name, _] => Some(
                names
                    .relations
                    .get(&((*schema).to_owned(), (*name).to_owned()))
                    .cloned()
                    .unwrap_or_else(|| names.type_(schema, name, Kind::Table)),
            ),
            _ => None,
        },
        ObjectType::ObjectTable => relation(Kind::Table),
        ObjectType::ObjectForeignTable => relation(Kind::ForeignTable),
        ObjectType::ObjectView => relation(Kind::View),
        ObjectType::ObjectMatview => relation(Kind::MaterializedView),
        ObjectType::ObjectSequence => relation(Kind::Sequence),
        ObjectType::ObjectIndex => relation(Kind::Index),
        ObjectType::ObjectTabconstraint => hanging(Kind::Constraint),
        ObjectType::ObjectTrigger => hanging(Kind::Trigger),
        ObjectType::ObjectPolicy => hanging(Kind::Policy),
        ObjectType::ObjectRule => hanging(Kind::Rule),
        ObjectType::ObjectCollation => plain(Kind::Collation),
        ObjectType::ObjectConversion => plain(Kind::Conversion),
        ObjectType::ObjectStatisticExt => plain(Kind::Statistics),
        ObjectType::ObjectTsconfiguration => plain(Kind::TextSearchConfiguration),
        ObjectType::ObjectTsdictionary => plain(Kind::TextSearchDictionary),
        ObjectType::ObjectTsparser => plain(Kind::TextSearchParser),
        ObjectType::ObjectTstemplate => plain(Kind::TextSearchTemplate),
        ObjectType::ObjectOpclass => of_method(Kind::OperatorClass),
        ObjectType::ObjectOpfamily => of_method(Kind::OperatorFamily),
        ObjectType::ObjectDomconstraint => match items.first()?.node.as_ref()? {
            NodeEnum::TypeName(type_name) => {
                let (schema, name) = qualified(&type_name.names);
                Some(names.type_(&schema, &name, Kind::Domain))
            }
            _ => None,
        },
        ObjectType::ObjectCast => match items {
            [source, target] => {
                let of = |node: &Node| match &node.node {
                    Some(NodeEnum::TypeName(type_name)) => Some(catalog_name(type_name)),
                    _ => None,
                };
                Some(cast(&of(source)?, &of(target)?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// `alter … depends on extension`: only meaningful when both go.
fn depending(s: &pg_query::protobuf::AlterObjectDependsStmt, names: &Names) -> Option<Subject> {
    let extension = ObjectId::global(ObjectKind::Extension, &s.extname.as_ref()?.sval);
    let object = match (
        &s.relation,
        s.object.as_ref().and_then(|node| node.node.as_ref()),
    ) {
        (Some(range), Some(NodeEnum::List(list))) => {
            let name = strings(&list.items).pop()?;
            ObjectId::on(
                ObjectKind::Trigger,
                &range.schemaname,
                &range.relname,
                &name,
            )
        }
        (Some(range), _) => names.range(range, ObjectKind::Index),
        (None, Some(NodeEnum::ObjectWithArgs(function))) => {
            let (schema, name) = qualified(&function.objname);
            ObjectId::of(ObjectKind::Function, &schema, &name)
                .with_args(&of_types(&function.objargs))
        }
        _ => return None,
    };
    let phase = if object.kind == ObjectKind::Function {
        Phase::PreData
    } else {
        Phase::Trigger
    };
    Some(Subject::alters(object, phase).with(extension))
}

#[cfg(test)]
mod tests;
