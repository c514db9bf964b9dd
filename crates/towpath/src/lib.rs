//! Moves a Supabase database to Amazon RDS for PostgreSQL, and proves it.
