//! How data is copied.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "copy.jobs",
        "TOWPATH_JOBS",
        "auto",
        "chunks copied, and indexes built, at once; auto: by this machine's cores and what the servers have room for, 2 to 8",
    ),
    setting(
        "copy.chunk_mib",
        "TOWPATH_CHUNK_MIB",
        "auto",
        "mebibytes of heap and TOAST per chunk; auto: 32 to 256, by the size of the database and the jobs",
    ),
    setting(
        "copy.format",
        "TOWPATH_COPY_FORMAT",
        "auto",
        "auto: rows travel in binary where both servers are proven to read it alike, as CSV elsewhere; csv: always as CSV",
    ),
    setting(
        "copy.codec",
        "TOWPATH_COPY_CODEC",
        "auto",
        "how chunks are compressed in the store. auto: not where processors are the bound, fast or more where the store is; none; fast; zstd",
    ),
    setting(
        "copy.maintenance_work_mem_mib",
        "TOWPATH_MAINTENANCE_WORK_MEM_MIB",
        "256",
        "mebibytes of memory per index build on the target",
    ),
    setting(
        "copy.silence_s",
        "TOWPATH_SILENCE_S",
        "60",
        "seconds of silence after which a server is asked on another connection what it is at, and a request to S3 is tried again",
    ),
];
