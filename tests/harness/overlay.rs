//! A copy of the server's programs beside a share directory of our making.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::installation::Installation;

/// A server finds its share directory relative to its own, real path. So a copy of the programs
/// beside a share directory of our making has the extensions that we want it to have.
pub(crate) struct Overlay {
    share: PathBuf,
    extensions: PathBuf,
}

pub(crate) fn overlay_binaries(template: &Path, installation: &Installation) -> PathBuf {
    template
        .join("overlay")
        .join(below_common(installation.binaries(), installation))
}

/// The path without the ancestor that programs, libraries and share directory have in common.
fn below_common(path: &Path, installation: &Installation) -> PathBuf {
    let others = [
        installation.binaries(),
        installation.shared(),
        installation.libraries(),
    ];
    let common = others[0]
        .ancestors()
        .find(|ancestor| others.iter().all(|other| other.starts_with(ancestor)))
        .expect("all paths start at the root");
    path.strip_prefix(common).unwrap_or(path).to_owned()
}

impl Overlay {
    pub(crate) fn new(template: &Path, installation: &Installation) -> Self {
        let overlay = template.join("overlay");
        let binaries = overlay_binaries(template, installation);
        fs::create_dir_all(&binaries).expect("make the overlay");
        for program in ["postgres", "initdb", "pg_ctl"] {
            fs::copy(installation.program(program), binaries.join(program))
                .unwrap_or_else(|e| panic!("copy {program}: {e}"));
        }
        let libraries = installation.libraries();
        let own_libraries = overlay.join(below_common(libraries, installation));
        fs::create_dir_all(own_libraries.parent().expect("has a parent"))
            .expect("make the overlay");
        symlink(libraries, own_libraries).expect("link the libraries");
        let share = overlay.join(below_common(installation.shared(), installation));
        fs::create_dir_all(share.join("extension")).expect("make the overlay");
        for entry in cache::entries(installation.shared()) {
            let name = entry.file_name().expect("an entry has a name");
            if name != "extension" {
                symlink(&entry, share.join(name)).expect("link a shared file");
            }
        }
        Self {
            share,
            extensions: installation.shared().join("extension"),
        }
    }

    pub(crate) fn extension_directory(&self) -> PathBuf {
        self.share.join("extension")
    }

    pub(crate) fn link_all_extensions(&self) {
        for entry in cache::entries(&self.extensions) {
            let name = entry.file_name().expect("an entry has a name");
            symlink(&entry, self.extension_directory().join(name)).expect("link an extension");
        }
    }

    /// Files of the fixture win over installed ones of the same name.
    pub(crate) fn add_extensions(&self, directory: &Path) {
        for entry in cache::entries(directory) {
            let own = self
                .extension_directory()
                .join(entry.file_name().expect("has a name"));
            let _ = fs::remove_file(&own);
            fs::copy(&entry, &own).expect("copy a fixture's extension");
        }
    }

    pub(crate) fn offer_only(&self, offered: &[String], trusted: &[String]) {
        for path in cache::entries(&self.extension_directory()) {
            if path.extension() != Some(OsStr::new("control")) {
                continue;
            }
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if !offered.contains(&name) {
                fs::remove_file(&path).expect("remove a control file");
            } else if trusted.contains(&name) {
                trust(&path);
            }
        }
    }
}

fn trust(control: &Path) {
    let text = fs::read_to_string(control).expect("read a control file");
    let mut text: String = text
        .lines()
        .filter(|l| !l.starts_with("trusted"))
        .map(|l| format!("{l}\n"))
        .collect();
    text.push_str("trusted = true\n");
    // It is a link to the installation's file, which is not ours to write.
    fs::remove_file(control).expect("remove a link");
    fs::write(control, text).expect("write a control file");
}
