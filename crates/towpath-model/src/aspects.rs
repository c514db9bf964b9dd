//! The aspects of an object, shared by its copies.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What is compared about an object, by name. A copy shares the original's until one of the two is
/// changed: what a target must have is mostly what the source has, and a schema of ten thousand
/// tables is held once that way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aspects(Arc<BTreeMap<String, Value>>);

impl Deref for Aspects {
    type Target = BTreeMap<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Aspects {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: Into<BTreeMap<String, Value>>> From<T> for Aspects {
    fn from(aspects: T) -> Self {
        Self(Arc::new(aspects.into()))
    }
}

impl FromIterator<(String, Value)> for Aspects {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(aspects: T) -> Self {
        Self(Arc::new(aspects.into_iter().collect()))
    }
}

impl Serialize for Aspects {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Aspects {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(from).map(|aspects: BTreeMap<String, Value>| Self(Arc::new(aspects)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_copy_leaves_the_original_alone() {
        let original = Aspects::from([("enabled".to_owned(), Value::from(true))]);
        let mut copy = original.clone();
        copy.insert("enabled".to_owned(), Value::from(false));
        assert_eq!(original["enabled"], true);
        assert_eq!(copy["enabled"], false);
        assert_ne!(original, copy);
    }
}
