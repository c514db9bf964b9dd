//! Masking: what stands in a clone in the place of personal data.
//!
//! Pure: nothing here reads a database or a store. Rules become a plan ([`rules`], [`resolve`]), the
//! plan becomes a masker of rows ([`TableMask`]), and what looks personal is told by name, type and
//! content ([`classify`]).

pub mod classify;
pub mod codec;
mod key;
pub mod originals;
pub mod resolve;
pub mod row;
pub mod rules;
pub mod transform;

pub use codec::Codec;
pub use key::MaskKey;
pub use originals::Originals;
pub use row::TableMask;
pub use transform::{ColumnMask, Masked, RowText};
