//! Facts about the server and the relations that hold rows.
