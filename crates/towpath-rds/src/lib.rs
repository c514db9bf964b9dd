//! The RDS API: instance facts, parameter groups and snapshots.
