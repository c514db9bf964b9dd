//! Bindings as the way back keeps them: with every value, and only ever inside the encrypted
//! document.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use towpath_model::connection::Secret;

use crate::binding::{
    AliasBinding, AliasTarget, Binding, Change, FunctionBinding, NetworkChange, ParameterBinding,
    ParameterShape, SecretBinding, SecretLabels, Subject,
};
use crate::carrier::Variables;

/// A secret on its way into or out of the encrypted document, and nowhere else.
#[derive(Clone)]
struct Revealed(Secret);

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Revealed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}

/// A binding with what is common to all kinds. What earlier versions did not store is absent there.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptBinding {
    #[serde(default)]
    readers: Vec<String>,
    #[serde(flatten)]
    kept: Kept,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Kept {
    Function {
        function: String,
        revision: String,
        before: BTreeMap<String, Revealed>,
        after: BTreeMap<String, Revealed>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<NetworkChange>,
        changes: Vec<Change>,
    },
    Secret {
        arn: String,
        name: String,
        version: String,
        #[serde(default)]
        labels: SecretLabels,
        before: Revealed,
        after: Revealed,
        changes: Vec<Change>,
    },
    Parameter {
        name: String,
        arn: String,
        version: i64,
        shape: ParameterShape,
        before: Revealed,
        after: Revealed,
        changes: Vec<Change>,
    },
    Alias {
        function: String,
        alias: String,
        before: AliasTarget,
        code: String,
        before_variables: BTreeMap<String, Revealed>,
        after_variables: BTreeMap<String, Revealed>,
        provisioned: Option<i32>,
        changes: Vec<Change>,
    },
}

fn revealed(variables: &Variables) -> BTreeMap<String, Revealed> {
    variables
        .iter()
        .map(|(name, value)| (name.clone(), Revealed(value.clone())))
        .collect()
}

fn hidden(variables: BTreeMap<String, Revealed>) -> Variables {
    variables
        .into_iter()
        .map(|(name, value)| (name, value.0))
        .collect()
}

impl KeptBinding {
    pub(crate) fn of(binding: &Binding) -> Self {
        Self {
            readers: binding.readers.clone(),
            kept: Kept::of(&binding.subject, binding.changes.clone()),
        }
    }

    pub(crate) fn binding(self) -> Binding {
        let (subject, changes) = self.kept.subject();
        Binding {
            subject,
            readers: self.readers,
            changes,
        }
    }
}

impl Kept {
    fn of(subject: &Subject, changes: Vec<Change>) -> Self {
        match subject {
            Subject::Function(function) => Kept::Function {
                function: function.function.clone(),
                revision: function.revision.clone(),
                before: revealed(&function.before),
                after: revealed(&function.after),
                network: function.network.clone(),
                changes,
            },
            Subject::Secret(secret) => Kept::Secret {
                arn: secret.arn.clone(),
                name: secret.name.clone(),
                version: secret.version.clone(),
                labels: secret.labels.clone(),
                before: Revealed(secret.before.clone()),
                after: Revealed(secret.after.clone()),
                changes,
            },
            Subject::Parameter(parameter) => Kept::Parameter {
                name: parameter.name.clone(),
                arn: parameter.arn.clone(),
                version: parameter.version,
                shape: parameter.shape.clone(),
                before: Revealed(parameter.before.clone()),
                after: Revealed(parameter.after.clone()),
                changes,
            },
            Subject::Alias(alias) => Kept::Alias {
                function: alias.function.clone(),
                alias: alias.alias.clone(),
                before: alias.before.clone(),
                code: alias.code.clone(),
                before_variables: revealed(&alias.before_variables),
                after_variables: revealed(&alias.after_variables),
                provisioned: alias.provisioned,
                changes,
            },
        }
    }

    fn subject(self) -> (Subject, Vec<Change>) {
        match self {
            Kept::Function {
                function,
                revision,
                before,
                after,
                network,
                changes,
            } => {
                let function = FunctionBinding {
                    function,
                    revision,
                    before: hidden(before),
                    after: hidden(after),
                    network,
                };
                (Subject::Function(function), changes)
            }
            Kept::Secret {
                arn,
                name,
                version,
                labels,
                before,
                after,
                changes,
            } => {
                let secret = SecretBinding {
                    arn,
                    name,
                    version,
                    labels,
                    before: before.0,
                    after: after.0,
                };
                (Subject::Secret(secret), changes)
            }
            Kept::Parameter {
                name,
                arn,
                version,
                shape,
                before,
                after,
                changes,
            } => {
                let parameter = ParameterBinding {
                    name,
                    arn,
                    version,
                    shape,
                    before: before.0,
                    after: after.0,
                };
                (Subject::Parameter(parameter), changes)
            }
            Kept::Alias {
                function,
                alias,
                before,
                code,
                before_variables,
                after_variables,
                provisioned,
                changes,
            } => {
                let alias = AliasBinding {
                    function,
                    alias,
                    before,
                    code,
                    before_variables: hidden(before_variables),
                    after_variables: hidden(after_variables),
                    provisioned,
                };
                (Subject::Alias(alias), changes)
            }
        }
    }
}
