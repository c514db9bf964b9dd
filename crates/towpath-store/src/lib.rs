//! The run store on S3 or a local directory.
