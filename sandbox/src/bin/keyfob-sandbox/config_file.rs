//! The files of `--config`: a `config.toml` for the command `keyfob`, and the client secret beside it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use keyfob_sandbox::AcmeSandbox;

/// The first line of the file. It tells a file of an earlier run from one that a person wrote.
const MARK: &str = "# Written by keyfob-sandbox --config. Its next run replaces this file.\n";
const SECRET: &str = "acme-secret";

/// Checks that no file of somebody else is in the way.
pub(crate) fn check(folder: &Path) -> Result<(), String> {
    let config = path(folder);
    match fs::read(&config) {
        Ok(text) if text.starts_with(MARK.as_bytes()) => return Ok(()),
        Ok(_) => return Err(format!("{} exists, and this program did not write it", config.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{}: {error}", config.display())),
    }
    let secret = folder.join(SECRET);
    if fs::symlink_metadata(&secret).is_ok() {
        return Err(format!("{} exists, and this program did not write it", secret.display()));
    }
    Ok(())
}

/// Writes both files. Nobody else may read or change them, whatever the umask says.
pub(crate) fn write(folder: &Path, acme: &AcmeSandbox) -> Result<PathBuf, String> {
    let in_folder = |error: io::Error| format!("{}: {error}", folder.display());
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(in_folder)?;
    replace(folder, &folder.join(SECRET), acme.client_secret()).map_err(in_folder)?;
    replace(folder, &path(folder), &text(acme)).map_err(in_folder)?;
    Ok(path(folder))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("config.toml")
}

/// A temporary file is open to its owner only.
fn replace(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn text(acme: &AcmeSandbox) -> String {
    let (issuer, api_url, public_id) = (acme.issuer(), acme.api_url(), acme.public_client_id());
    // A string of TOML allows what one of JSON allows, if all characters are printable ASCII.
    let client_id = serde_json::Value::from(acme.client_id());
    format!(
        "{MARK}
[service.acme]
issuer = \"{issuer}\"
api_url = \"{api_url}\"
client_id = {client_id}
grant = \"client_credentials\"
client_secret_file = \"{SECRET}\"

# A person logs in, with a browser or with `login --device`.
[service.acme-person]
issuer = \"{issuer}\"
api_url = \"{api_url}\"
client_id = \"{public_id}\"
client_auth = \"none\"
grant = \"authorization_code\"
scope = \"things.read things.write\"
"
    )
}
