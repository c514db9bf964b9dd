//! What a setting is.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingSpec {
    /// Key in the configuration file, with its section.
    pub key: &'static str,
    /// Environment variable.
    pub env: &'static str,
    /// Default; empty when there is none.
    pub default: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Holds a secret: never allowed in the file, never shown.
    pub secret: bool,
}

pub(super) const fn setting(
    key: &'static str,
    env: &'static str,
    default: &'static str,
    help: &'static str,
) -> SettingSpec {
    SettingSpec {
        key,
        env,
        default,
        help,
        secret: false,
    }
}

pub(super) const fn secret(
    key: &'static str,
    env: &'static str,
    help: &'static str,
) -> SettingSpec {
    SettingSpec {
        key,
        env,
        default: "",
        help,
        secret: true,
    }
}
