//! Structure of a database as data.
