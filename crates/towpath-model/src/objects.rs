//! Objects of a database by identity.

use std::ops::Index;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::structure::{ObjectId, SchemaObject};

/// Objects sorted by identity, each once. The identity is not held a second time as a map's key,
/// and nothing is held that is half full: a structure may be of a hundred thousand objects, and two
/// of them are compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects(Vec<SchemaObject>);

impl Objects {
    /// The object of this identity.
    pub fn get(&self, id: &ObjectId) -> Option<&SchemaObject> {
        self.place(id).ok().map(|at| &self.0[at])
    }

    /// The same, to be changed. Its identity must stay.
    pub fn get_mut(&mut self, id: &ObjectId) -> Option<&mut SchemaObject> {
        self.place(id).ok().map(|at| &mut self.0[at])
    }

    /// Whether there is one of this identity.
    pub fn contains_key(&self, id: &ObjectId) -> bool {
        self.place(id).is_ok()
    }

    /// Puts an object in; gives the one of the same identity that it replaces. Of many objects make
    /// the whole at once instead, with `collect`.
    pub fn insert(&mut self, object: SchemaObject) -> Option<SchemaObject> {
        match self.place(&object.id) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at], object)),
            Err(at) => {
                self.0.insert(at, object);
                None
            }
        }
    }

    /// Identities, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectId> {
        self.0.iter().map(|object| &object.id)
    }

    /// Objects, sorted by identity.
    pub fn values(&self) -> std::slice::Iter<'_, SchemaObject> {
        self.0.iter()
    }

    /// The same, to be changed. Their identities must stay.
    pub fn values_mut(&mut self) -> std::slice::IterMut<'_, SchemaObject> {
        self.0.iter_mut()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, id: &ObjectId) -> Result<usize, usize> {
        self.0.binary_search_by(|object| object.id.cmp(id))
    }
}

/// # Panics
///
/// When there is none of this identity.
impl Index<&ObjectId> for Objects {
    type Output = SchemaObject;

    fn index(&self, id: &ObjectId) -> &SchemaObject {
        match self.get(id) {
            Some(object) => object,
            None => panic!("there is no {id}"),
        }
    }
}

impl<'o> IntoIterator for &'o Objects {
    type Item = &'o SchemaObject;
    type IntoIter = std::slice::Iter<'o, SchemaObject>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Of two objects of one identity the later one stays.
impl FromIterator<SchemaObject> for Objects {
    fn from_iter<T: IntoIterator<Item = SchemaObject>>(objects: T) -> Self {
        let mut objects: Vec<SchemaObject> = objects.into_iter().collect();
        objects.sort_by(|a, b| a.id.cmp(&b.id));
        // The sort is stable, and `dedup_by` keeps the first: hand it the later one's contents.
        objects.dedup_by(|later, earlier| {
            let same = later.id == earlier.id;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        objects.shrink_to_fit();
        Self(objects)
    }
}

impl Serialize for Objects {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(|objects: Vec<SchemaObject>| objects.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::structure::ObjectKind;

    fn object(name: u8, oid: u32) -> SchemaObject {
        SchemaObject {
            id: ObjectId::global(ObjectKind::Schema, &name.to_string()),
            oid,
            owner: None,
            extension: None,
            comment: None,
            grants: Default::default(),
            aspects: Default::default(),
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_by_identity(names in proptest::collection::vec(0u8..20, 0..60), wanted in 0u8..20) {
            let all = || names.iter().zip(0u32..).map(|(name, oid)| object(*name, oid));
            let map: BTreeMap<ObjectId, SchemaObject> = all().map(|o| (o.id.clone(), o)).collect();
            let together: Objects = all().collect();
            let mut one_by_one = Objects::default();
            all().for_each(|object| drop(one_by_one.insert(object)));
            prop_assert_eq!(&together, &one_by_one);
            prop_assert!(together.values().eq(map.values()));
            prop_assert!(together.keys().eq(map.keys()));
            let id = object(wanted, 0).id;
            prop_assert_eq!(together.get(&id), map.get(&id));
            prop_assert_eq!(together.contains_key(&id), map.contains_key(&id));
        }
    }
}
