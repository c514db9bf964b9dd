//! Export: one snapshot to a sealed manifest.
