//! A server that keyfob has never heard of, described by a configuration file.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use keyfob_sandbox::{AcmeSandbox, Endpoint};
use tempfile::TempDir;

use super::bare;

pub const CLIENT_CREDENTIALS: &str = "grant = \"client_credentials\"";

/// Acme, and a home folder with a configuration for it.
pub struct Home {
    pub acme: AcmeSandbox,
    pub folder: TempDir,
}

impl Home {
    /// Six lines, with the secret in a file of its own. `lines` takes the place of the grant.
    pub fn with(lines: &str) -> Self {
        let home = Self { acme: AcmeSandbox::start(), folder: tempfile::tempdir().unwrap() };
        home.write(&format!("{lines}\nclient_secret_file = \"secret\""));
        home
    }

    pub fn write(&self, lines: &str) {
        let acme = &self.acme;
        self.section(&format!(
            "issuer = \"{}\"\napi_url = \"{}\"\nclient_id = \"{}\"\n{lines}",
            acme.issuer(),
            acme.api_url(),
            acme.client_id()
        ));
        self.file("secret", &self.secret());
    }

    pub fn section(&self, lines: &str) {
        let path = self.path(".config/keyfob/config.toml");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("[service.acme]\n{lines}\n")).unwrap();
    }

    pub fn secret(&self) -> String {
        self.acme.client_secret().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the configuration.
    pub fn file(&self, name: &str, content: &str) {
        let path = self.path(".config/keyfob").join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn keyfob(&self, words: &str) -> Command {
        let mut command = bare(self.folder.path());
        command.args(words.split_whitespace());
        command
    }

    pub fn run(&self, words: &str) -> Output {
        self.keyfob(words).output().unwrap()
    }

    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.acme.count(endpoint)
    }
}
