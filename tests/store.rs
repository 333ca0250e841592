//! The file store: what it refuses, which failures it survives, and that many processes make one renewal.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests over processes live in real time")]

#[path = "support/folder.rs"]
mod folder;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use keyfob::flow::{ClientCredentials, Grant};
use keyfob::spacebring::{Partner, scope};
use keyfob::{
    CachingSource, ClientAuth, Clock, ErrorKind, FileStore, LockedRecord, Record, RecordName, Secret,
    Service, ServiceBuilder, Token, TokenSource as _, TokenStore, Transport,
};
use keyfob_sandbox::{Endpoint, Fault, Sandbox, SpacebringSandbox};

use folder::Folder;

fn name() -> RecordName {
    RecordName::new("spatiafi", "https://auth.example/token", "client").unwrap()
}

fn record(access_token: &str) -> Record {
    let token = Token::new(access_token, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
    let token = token.with_refresh_token("re\"fresh\\é\n").with_scope("a b");
    Record::new(token.with_expires_at(SystemTime::UNIX_EPOCH + Duration::from_secs(2_000)), -75)
}

fn save(store: &FileStore, record: &Record) {
    store.lock(&name(), Duration::from_secs(5)).unwrap().save(record).unwrap();
}

fn loaded(store: &FileStore) -> Option<String> {
    let record = store.load(&name()).unwrap()?;
    Some(record.token().access_token().expose_str().unwrap().to_owned())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn files(store: &FileStore) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(store.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn refused<T>(result: Result<T, keyfob::Error>, text: &str) {
    let error = result.err().expect("refused");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Store, text));
}

#[test]
fn debug_of_a_record_name_shows_no_query() {
    let name = RecordName::new("s", "https://example.com/token?key=planted", "c").unwrap();
    let shown = format!("{name:?}");
    assert!(shown.contains("example.com") && !shown.contains("planted"), "{shown}");
}

#[test]
fn refresh_token_that_cannot_be_stored_is_an_error() {
    let folder = Folder::new();
    let store = folder.store();
    let token = Token::new("a", SystemTime::now()).unwrap().with_refresh_token(vec![0xff]);
    let saved = store.lock(&name(), Duration::ZERO).unwrap().save(&Record::new(token, 0));
    assert_eq!(saved.unwrap_err().to_string(), "could not save the tokens: the refresh token is not UTF-8");
    assert_eq!(loaded(&store), None);
}

#[test]
fn saved_record_is_loaded_unchanged() {
    let folder = Folder::new();
    let store = folder.store();
    assert!(store.load(&name()).unwrap().is_none(), "there is no folder, and a load makes none");
    assert!(!store.folder().exists());
    save(&store, &record("one"));
    let found = store.load(&name()).unwrap().unwrap();
    let (token, saved) = (found.token(), record("one"));
    assert_eq!(token.access_token().expose(), b"one");
    assert_eq!(token.refresh_token().unwrap().expose(), saved.token().refresh_token().unwrap().expose());
    assert_eq!(token.expires_at(), saved.token().expires_at());
    assert_eq!(token.obtained_at(), saved.token().obtained_at());
    assert_eq!((token.scope(), found.clock_offset()), (Some("a b"), -75));

    assert_eq!(mode(store.folder()), 0o700);
    assert_eq!(mode(&store.path(&name())), 0o600);
    let base = store.path(&name()).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(files(&store), [base.clone(), format!("{base}.lock")]);

    store.lock(&name(), Duration::ZERO).unwrap().remove().unwrap();
    assert!(store.load(&name()).unwrap().is_none());
    assert_eq!(files(&store), [format!("{base}.lock")], "the lock's file stays");
}

#[test]
fn byte_order_mark_before_a_record_is_skipped() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("one"));
    let path = store.path(&name());
    let content = fs::read_to_string(&path).unwrap();
    for edited in [
        format!("\u{feff}{content}"),
        format!("\u{feff}\u{feff}{content}"),
        format!("\u{feff}\r\n{content}"),
        content.clone(),
    ] {
        fs::write(&path, &edited).unwrap();
        assert_eq!(loaded(&store).as_deref(), Some("one"), "{edited:?}");
        assert!(!store.unreadable_path(&name()).exists());
    }
    // A newer format is still reported as such.
    fs::write(&path, "\u{feff}{\"version\":2}").unwrap();
    let newer = format!("{} was written by a newer keyfob (version 2): update this program", path.display());
    refused(store.load(&name()), &newer);
}

#[test]
fn records_of_different_names_are_separate() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("one"));
    for other in [
        RecordName::new("spacebring", "https://auth.example/token", "client").unwrap(),
        RecordName::new("spatiafi", "https://auth.example/token2", "client").unwrap(),
        RecordName::new("spatiafi", "https://auth.example/token", "client2").unwrap(),
        RecordName::new("spatiafi", "https://auth.example/tokenclient", "x").unwrap(),
        name().with_profile("work"),
    ] {
        assert!(store.load(&other).unwrap().is_none(), "{other:?}");
    }
}

/// Written in format version 1, which stays readable.
#[test]
fn record_of_format_version_1_is_read() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("any"));
    let v1 = r#"{"version":1,"service":"spatiafi","token_url":"https://auth.example/token","client_id":"client","profile":"default","access_token":"old","expires_at":2000,"obtained_at":1000,"clock_offset":0}"#;
    fs::write(store.path(&name()), v1).unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("old"));
    assert!(
        store.path(&name()).ends_with("spatiafi-8f46ad3a94d93498b458fc6ac5c71283.json"),
        "{:?}",
        store.path(&name())
    );
    fs::write(store.path(&name()), v1.replace("\"version\":1", "\"version\":2,\"more\":[]")).unwrap();
    refused(
        store.load(&name()),
        &format!(
            "{} was written by a newer keyfob (version 2): update this program",
            store.path(&name()).display()
        ),
    );
}

#[test]
fn last_of_duplicate_record_members_counts() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("any"));
    let content = fs::read_to_string(store.path(&name())).unwrap();
    for (more, access_token, refresh_token, end) in [
        (r#""access_token":"new""#, "new", "re\"fresh\\é\n", 2_000),
        (r#""access\u005ftoken":"new""#, "new", "re\"fresh\\é\n", 2_000),
        (r#""refresh_token":"new""#, "any", "new", 2_000),
        (r#""expires_at":3000"#, "any", "re\"fresh\\é\n", 3_000),
        // Another program wrote milliseconds, microseconds or nanoseconds.
        (r#""expires_at":1760000000000"#, "any", "re\"fresh\\é\n", 1_760_000_000),
        (r#""expires_at":1760000000000000"#, "any", "re\"fresh\\é\n", 1_760_000_000),
        (r#""expires_at":1760000000000000000"#, "any", "re\"fresh\\é\n", 1_760_000_000),
        (r#""more":1,"more":{"a":1,"a":2}"#, "any", "re\"fresh\\é\n", 2_000),
    ] {
        let twice = format!("{},{more}}}", content.trim_end().trim_end_matches('}'));
        fs::write(store.path(&name()), twice).unwrap();
        let found = store.load(&name()).unwrap().unwrap_or_else(|| panic!("{more}"));
        let token = found.token();
        assert_eq!(token.access_token().expose(), access_token.as_bytes(), "{more}");
        assert_eq!(token.refresh_token().unwrap().expose(), refresh_token.as_bytes(), "{more}");
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(end);
        assert_eq!(token.expires_at(), Some(end), "{more}");
    }
    fs::write(store.path(&name()), content.replacen('{', r#"{"version":2,"#, 1)).unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("any"), "the last version");
}

#[test]
fn unreadable_record_counts_as_absent_and_is_quarantined() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("good"));
    let path = store.path(&name());
    let good = fs::read(&path).unwrap();
    let huge = vec![b'x'; 2 << 20];
    let other = String::from_utf8(good.clone()).unwrap().replace("client", "klient");
    let cases: Vec<&[u8]> =
        vec![b"", b"{", b"null", b"[5]", b"\xff\xfe", &good[..good.len() / 2], &huge, other.as_bytes()];
    for content in cases {
        fs::write(&path, content).unwrap();
        assert_eq!(loaded(&store), None);
        assert!(!path.exists());
        assert_eq!(fs::read(path.with_extension("json.unreadable")).unwrap(), content);
        save(&store, &record("good"));
        assert_eq!(loaded(&store).as_deref(), Some("good"));
    }
    // Its tokens may still be valid.
    assert!(store.unreadable_path(&name()).exists());
    store.lock(&name(), Duration::ZERO).unwrap().remove().unwrap();
    assert!(!path.exists() && !store.unreadable_path(&name()).exists());
}

#[test]
fn symlinks_are_refused_for_every_file_and_folder_of_the_store() {
    let folder = Folder::new();
    let elsewhere = folder.0.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let store = folder.store();

    symlink(&elsewhere, store.folder()).unwrap();
    let text =
        |doing: &str, path: &Path| format!("could not {doing} {}: it is a symbolic link", path.display());
    refused(store.load(&name()), &text("read", store.folder()));
    refused(store.lock(&name(), Duration::ZERO).map(drop), &text("use", store.folder()));
    for end in ["/", "/.", "//"] {
        let same = FileStore::new(format!("{}{end}", store.folder().display()));
        refused(same.load(&name()), &text("read", store.folder()));
    }
    fs::remove_file(store.folder()).unwrap();

    save(&store, &record("mine"));
    let path = store.path(&name());
    let target = elsewhere.join("target");
    fs::rename(&path, &target).unwrap();
    symlink(&target, &path).unwrap();
    refused(store.load(&name()), &text("read", &path));
    fs::remove_file(&path).unwrap();

    let lock = path.with_extension("json.lock");
    fs::remove_file(&lock).unwrap();
    symlink(&target, &lock).unwrap();
    refused(store.lock(&name(), Duration::ZERO).map(drop), &text("open", &lock));
    fs::remove_file(&lock).unwrap();

    // The link in place of the temporary file is removed, and its target is not written to.
    let before = fs::read(&target).unwrap();
    let temp = path.with_extension("json.tmp");
    symlink(&target, &temp).unwrap();
    save(&store, &record("new"));
    assert_eq!(fs::read(&target).unwrap(), before);
    assert!(temp.symlink_metadata().is_err(), "the link is gone");
    assert_eq!(loaded(&store).as_deref(), Some("new"));
}

#[test]
fn overlong_file_name_is_not_reported_as_a_symlink() {
    let folder = Folder::new();
    let store = FileStore::new(folder.0.join("x".repeat(256)));
    let path = store.folder().display();
    refused(store.load(&name()), &format!("could not read {path}: invalid filename"));
    refused(
        store.lock(&name(), Duration::ZERO).map(drop),
        &format!("could not use {path}: invalid filename"),
    );
}

#[test]
fn paths_writable_by_others_are_refused_and_readable_ones_are_made_private() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("mine"));
    let path = store.path(&name());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("mine"));
    assert_eq!(mode(&path), 0o600, "tightened");
    let why = "it belongs to someone else, or others may write to it: run chown and chmod 700 on it";
    for (place, bad, good) in [(path.as_path(), 0o666, 0o600), (store.folder(), 0o777, 0o700)] {
        fs::set_permissions(place, Permissions::from_mode(bad)).unwrap();
        refused(store.load(&name()), &format!("could not read {}: {why}", place.display()));
        fs::set_permissions(place, Permissions::from_mode(good)).unwrap();
    }
    assert_eq!(loaded(&store).as_deref(), Some("mine"));
}

#[test]
fn temporary_files_of_a_killed_process_are_removed_by_the_next_run() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("good"));
    let temp = store.path(&name()).with_extension("json.tmp");
    fs::write(&temp, "half a tok").unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("good"));
    assert!(!temp.exists());

    // While a process writes, its temporary file is kept.
    fs::write(&temp, "being written").unwrap();
    let lock = store.lock(&name(), Duration::ZERO).unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("good"));
    assert!(temp.exists());
    drop(lock);
}

#[test]
fn waiting_for_a_lock_ends_at_the_deadline() {
    let folder = Folder::new();
    let store = folder.store();
    let held = store.lock(&name(), Duration::ZERO).unwrap();
    let error = store.lock(&name(), Duration::from_millis(50)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let lock = store.path(&name()).with_extension("json.lock");
    assert_eq!(
        error.to_string(),
        format!("could not lock {} within 0.05 s: another process holds it; try again", lock.display())
    );
    drop(held);
    store.lock(&name(), Duration::ZERO).unwrap();
}

/// A child process that another thread is starting holds a copy of the lock's descriptor.
#[test]
fn lock_is_released_at_once_although_child_processes_are_started() {
    let folder = Folder::new();
    let store = folder.store();
    let starting = thread::spawn(|| {
        for _ in 0..200 {
            assert!(Command::new("true").status().unwrap().success());
        }
    });
    while !starting.is_finished() {
        drop(store.lock(&name(), Duration::ZERO).unwrap());
    }
    starting.join().unwrap();
}

#[test]
fn key_of_a_record_name_is_the_same_in_each_version() {
    let name = RecordName::new("spatiafi", "https://auth.example/token", "client").unwrap();
    assert_eq!(name.key(), "spatiafi-8f46ad3a94d93498b458fc6ac5c71283");
    assert_ne!(name.key(), name.clone().with_profile("work").key());
    assert_eq!(FileStore::new("/store").path(&name), Path::new("/store").join(name.key() + ".json"));
}

#[test]
fn record_is_written_and_read_without_a_file_store() {
    let folder = Folder::new();
    let record = record("stored");
    save(&folder.store(), &record);
    let bytes = record.to_bytes(&name());
    assert_eq!(bytes.expose(), fs::read(folder.store().path(&name())).unwrap());
    let read = Record::from_bytes(&name(), &bytes).unwrap().unwrap();
    assert_eq!(read.token().access_token().expose(), b"stored");
    assert!(Record::from_bytes(&name().with_profile("other"), &bytes).unwrap().is_none());
    assert!(Record::from_bytes(&name(), &Secret::from("not JSON")).unwrap().is_none());
    let error = Record::from_bytes(&name(), &Secret::from(r#"{"version":2}"#)).unwrap_err();
    let text = "the stored record was written by a newer keyfob (version 2): update this program";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Store, text));
}

#[test]
fn profile_is_checked_when_the_store_is_used() {
    let (folder, name) = (Folder::new(), name().with_profile("a\nb"));
    let text = "the profile holds a control character at byte 1: remove it";
    assert_eq!(folder.store().load(&name).unwrap_err().to_string(), text);
    let error = folder.store().lock(&name, Duration::ZERO).err().unwrap();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
}

fn source(sandbox: &Sandbox, store: &FileStore, http: &Transport) -> CachingSource {
    let flow = ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(sandbox.client_id(), sandbox.client_secret()),
    );
    let name = RecordName::new("spatiafi", &sandbox.token_url(), sandbox.client_id()).unwrap();
    CachingSource::new(http.clone(), flow).with_store(Arc::new(store.clone()), name)
}

#[test]
fn second_run_with_a_store_requests_no_token() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let first = source(&sandbox, &folder.store(), &Transport::new()).token(Duration::ZERO).unwrap();
    let second = source(&sandbox, &folder.store(), &Transport::new()).token(Duration::ZERO).unwrap();
    assert_eq!(first.access_token().expose(), second.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 1);
}

#[test]
fn stored_token_due_for_renewal_is_used_while_the_server_is_down() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    sandbox.set_token_lifetime(Duration::from_secs(100));
    let first = source(&sandbox, &folder.store(), &Transport::new()).token(Duration::ZERO).unwrap();
    let due = || Transport::new().with_clock(Clock::manual(SystemTime::now() + Duration::from_secs(85)));
    sandbox.fault(Endpoint::Token, Fault::status(503).with_retry_after("0").always());
    let again = source(&sandbox, &folder.store(), &due());
    let second = again.token(Duration::ZERO).unwrap();
    assert_eq!(first.access_token().expose(), second.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 4, "three tries to renew it");
    assert!(source(&sandbox, &folder.store(), &due()).token(Duration::from_secs(30)).is_err(), "too short");
    sandbox.clear_faults();
    let renewed = source(&sandbox, &folder.store(), &due()).token(Duration::ZERO).unwrap();
    assert_ne!(first.access_token().expose(), renewed.access_token().expose());
}

#[test]
fn refused_token_is_renewed_and_saved_for_other_processes() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let (one, two) = (
        source(&sandbox, &folder.store(), &Transport::new()),
        source(&sandbox, &folder.store(), &Transport::new()),
    );
    let old = one.token(Duration::ZERO).unwrap();
    two.token(Duration::ZERO).unwrap();
    one.invalidate(&old);
    let new = one.token(Duration::ZERO).unwrap();
    two.invalidate(&old);
    let theirs = two.token(Duration::ZERO).unwrap();
    assert_eq!(new.access_token().expose(), theirs.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 2);
}

/// Makes a folder in place of the record, between the lock and the save. That also stops root.
struct InTheWay(ClientCredentials, PathBuf);

impl Grant for InTheWay {
    fn token(&self, http: &Transport, _: Option<&Token>) -> Result<Token, keyfob::Error> {
        fs::create_dir_all(self.1.join("in the way")).unwrap();
        self.0.run(http)
    }
}

#[test]
fn token_that_cannot_be_saved_is_returned_with_a_warning() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let flow = ClientCredentials::new(
        sandbox.token_url(),
        ClientAuth::secret_jwt(sandbox.client_id(), sandbox.client_secret()),
    );
    let warned = Arc::new(Mutex::new(Vec::new()));
    let (report, path) = (warned.clone(), folder.store().path(&name()));
    let source = CachingSource::new(Transport::new(), InTheWay(flow, path.clone()))
        .with_store(Arc::new(folder.store()), name())
        .with_on_warning(move |warning| report.lock().unwrap().push(warning.to_string()));
    let token = source.token(Duration::ZERO).unwrap();
    let text = format!("could not save the tokens in {}: is a directory", path.display());
    assert_eq!(*warned.lock().unwrap(), [text.as_str()]);
    assert_eq!(source.warning().unwrap().to_string(), text);
    assert!(!path.with_extension("json.tmp").exists(), "nothing is left behind");
    assert_eq!(source.token(Duration::ZERO).unwrap().access_token().expose(), token.access_token().expose());

    fs::remove_dir_all(&path).unwrap();
    let calm = self::source(&sandbox, &folder.store(), &Transport::new());
    calm.token(Duration::ZERO).unwrap();
    assert!(calm.warning().is_none());
}

/// A store that can read and lock, but not write.
struct Full(FileStore);

struct FullRecord(Box<dyn LockedRecord>);

impl TokenStore for Full {
    fn load(&self, name: &RecordName) -> Result<Option<Record>, keyfob::Error> {
        self.0.load(name)
    }

    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, keyfob::Error> {
        Ok(Box::new(FullRecord(self.0.lock(name, within)?)))
    }
}

impl LockedRecord for FullRecord {
    fn load(&mut self) -> Result<Option<Record>, keyfob::Error> {
        self.0.load()
    }

    fn save(&mut self, _: &Record) -> Result<(), keyfob::Error> {
        Err(keyfob::Error::new(ErrorKind::Store, "could not save the tokens: the disk is full"))
    }

    fn remove(&mut self) -> Result<(), keyfob::Error> {
        self.0.remove()
    }
}

/// Issues one token after another, and records which refresh tokens it was given.
struct Rotating(Arc<Mutex<Vec<String>>>);

impl Grant for Rotating {
    fn token(&self, http: &Transport, previous: Option<&Token>) -> Result<Token, keyfob::Error> {
        let text = |token: &Token| token.access_token().expose_str().unwrap().to_owned();
        let mut given = self.0.lock().unwrap();
        given.push(previous.map(text).unwrap_or_default());
        Token::new(format!("token-{}", given.len()), http.clock().now())
    }
}

#[test]
fn older_token_of_an_unwritable_store_is_not_used_again() {
    let folder = Folder::new();
    save(&folder.store(), &record("stored"));
    let given = Arc::<Mutex<Vec<String>>>::default();
    let http =
        Transport::new().with_clock(Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_001)));
    let source =
        CachingSource::new(http, Rotating(given.clone())).with_store(Arc::new(Full(folder.store())), name());
    let token = || source.token(Duration::ZERO).unwrap();
    let text = |token: &Token| token.access_token().expose_str().unwrap().to_owned();
    assert_eq!(text(&token()), "stored");
    for turn in 1..4 {
        source.invalidate(&token());
        assert_eq!(text(&token()), format!("token-{turn}"), "the refused offset is not used again");
    }
    // The newest refresh token is sent each time: a server that rotates takes an older one for stolen.
    assert_eq!(*given.lock().unwrap(), ["stored", "token-1", "token-2"]);
    assert!(source.warning().is_some());

    // Another process can write, and its token counts.
    save(&folder.store(), &record("elsewhere"));
    source.invalidate(&token());
    assert_eq!(text(&token()), "elsewhere");
}

#[test]
fn unsaved_login_is_not_replaced_by_an_older_login_in_the_store() {
    let folder = Folder::new();
    save(&folder.store(), &record("older"));
    let given = Arc::<Mutex<Vec<String>>>::default();
    let login = Token::new("login", SystemTime::now()).unwrap().with_refresh_token("its own");
    let source =
        |store| CachingSource::new(Transport::new(), Rotating(given.clone())).with_store(store, name());
    let full = source(Arc::new(Full(folder.store())));
    let error = full.log_in(login).unwrap_err();
    assert_eq!(full.warning().unwrap().to_string(), error.to_string());
    // Another process, which does not know the login, renews the stored one.
    save(&folder.store(), &record("older-renewed"));
    let text = |token: &Token| token.access_token().expose_str().unwrap().to_owned();
    for token in ["login", "token-1", "token-2"] {
        let current = full.token(Duration::ZERO).unwrap();
        assert_eq!(text(&current), token);
        full.invalidate(&current);
    }
    assert_eq!(*given.lock().unwrap(), ["login", "token-1"]);
}

#[test]
fn new_login_replaces_an_older_one() {
    let folder = Folder::new();
    save(&folder.store(), &record("older"));
    let given = Arc::<Mutex<Vec<String>>>::default();
    let source = || {
        CachingSource::new(Transport::new(), Rotating(given.clone()))
            .with_store(Arc::new(folder.store()), name())
    };
    let login = Token::new("login", SystemTime::now()).unwrap();
    let first = source();
    first.log_in(login).unwrap();
    assert!(first.warning().is_none());
    assert_eq!(loaded(&folder.store()).as_deref(), Some("login"));
    source().renew().unwrap();
    assert_eq!(*given.lock().unwrap(), ["login"]);
}

/// If a clock is only a little behind, nothing shows whether it has been set since.
#[test]
fn expired_token_is_not_used_while_the_clock_is_behind() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    sandbox.set_token_lifetime(Duration::from_secs(3_600));
    let behind = Duration::from_secs(600);
    let start = sandbox.clock().now();
    let run = |after: Duration| {
        let clock = Clock::manual(start - behind + after);
        source(&sandbox, &folder.store(), &Transport::new().with_clock(clock)).token(Duration::from_secs(60))
    };
    let first = run(Duration::ZERO).unwrap();
    sandbox.reset_counters();
    let most = Duration::from_secs(3_400);
    sandbox.clock().advance(most);
    assert_eq!(run(most).unwrap().access_token().expose(), first.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 0);

    sandbox.clock().advance(Duration::from_secs(300));
    // By the local clock, five minutes are left.
    let second = run(most + Duration::from_secs(300)).unwrap();
    assert_ne!(second.access_token().expose(), first.access_token().expose());
}

/// The token was issued while the clock was ahead. The clock has been set since, by an unknown amount.
#[test]
fn stored_token_issued_in_the_future_is_renewed() {
    let sandbox = Sandbox::start();
    for (ahead, requests) in [(0, 0), (29, 0), (60, 1), (3_600, 1), (86_400, 1)] {
        let folder = Folder::new();
        let now = sandbox.clock().now();
        let issued = now + Duration::from_secs(ahead);
        let token = Token::new("old", issued).unwrap().with_expires_at(issued + Duration::from_secs(900));
        let name = RecordName::new("spatiafi", &sandbox.token_url(), sandbox.client_id()).unwrap();
        let mut locked = folder.store().lock(&name, Duration::from_secs(5)).unwrap();
        locked.save(&Record::new(token, 0)).unwrap();
        drop(locked);
        sandbox.reset_counters();
        let http = Transport::new().with_clock(Clock::manual(now));
        source(&sandbox, &folder.store(), &http).token(Duration::ZERO).unwrap();
        assert_eq!(sandbox.count(Endpoint::Token), requests, "issued {ahead} s ahead");
    }
}

#[test]
fn second_run_with_a_wrong_clock_uses_the_stored_offset() {
    const DAY: i64 = 24 * 60 * 60;
    for sandbox in [Sandbox::start(), Sandbox::start_tls()] {
        let transport = || match sandbox.ca_file() {
            Some(file) => Transport::new().with_ca_file(file),
            None => Transport::new(),
        };
        // The last device has no clock battery.
        for off in [Some(-60), Some(60), Some(-DAY), Some(DAY), None] {
            let folder = Folder::new();
            let real = sandbox.clock().now();
            let wrong = match off.map(|off| (off < 0, Duration::from_secs(off.unsigned_abs()))) {
                Some((true, by)) => real - by,
                Some((false, by)) => real + by,
                None => SystemTime::UNIX_EPOCH + Duration::from_secs(30),
            };
            let run = || transport().with_clock(Clock::manual(wrong));
            sandbox.reset_counters();
            source(&sandbox, &folder.store(), &run()).token(Duration::ZERO).unwrap();
            let first = sandbox.count(Endpoint::Token);
            // If the clock is off by a minute, the server may accept the first assertion unchanged.
            assert!((1..=2).contains(&first), "off by {off:?}: {first} requests");

            let http = run();
            source(&sandbox, &folder.store(), &http).token(Duration::ZERO).unwrap();
            assert_eq!(
                sandbox.count(Endpoint::Token),
                first,
                "the stored token, judged by the stored offset"
            );
            let again = source(&sandbox, &folder.store(), &http);
            let token = again.token(Duration::ZERO).unwrap();
            again.invalidate(&token);
            again.token(Duration::ZERO).unwrap();
            assert_eq!(sandbox.count(Endpoint::Token), first + 1, "off by {off:?}: right at once");

            let set = transport();
            source(&sandbox, &folder.store(), &set).token(Duration::ZERO).unwrap();
            assert_eq!(set.clock().offset(), 0, "the time of the corrected clock is used");
        }
    }
}

fn builder(sandbox: &SpacebringSandbox, store: &FileStore) -> ServiceBuilder {
    Partner::builder(sandbox.client_id(), sandbox.client_secret(), "http://127.0.0.1:0/callback")
        .api_url(sandbox.api_url())
        .set("network_id", sandbox.network_id())
        .scope(scope::LOCATIONS_READONLY)
        .store(store.clone())
}

/// A process that starts.
fn partner(sandbox: &SpacebringSandbox, store: &FileStore, profile: &str) -> Service {
    builder(sandbox, store).profile(profile).build().unwrap()
}

fn log_in(sandbox: &SpacebringSandbox, partner: &Service) -> CachingSource {
    let login = partner.start_login().unwrap();
    let callback = sandbox.approve(login.url());
    partner.finish_login(login.finish(&callback).unwrap()).unwrap();
    partner.source()
}

#[test]
fn partner_login_survives_restarts_until_it_is_revoked() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let store = folder.store();
    let default = || partner(&sandbox, &store, "default");
    let has_token = |partner: &Service| partner.source().resume().unwrap();
    assert!(!has_token(&default()));
    let first = default();
    assert!(log_in(&sandbox, &first).warning().is_none());

    let again = default();
    assert!(has_token(&again), "saved with the login");
    let url = format!("{}/locations/v1", sandbox.api_url());
    again.agent().get(&url).call().unwrap();
    assert_eq!((sandbox.logins(), sandbox.count(Endpoint::Token)), (1, 1));
    assert!(!has_token(&partner(&sandbox, &store, "other")));

    sandbox.fault(Endpoint::Revoke, Fault::status(400));
    again.revoke().unwrap_err();
    assert!(has_token(&default()), "the server did not agree");

    // Another login has replaced the revoked one.
    let newer = default();
    log_in(&sandbox, &newer);
    first.revoke().unwrap();
    let kept = default();
    assert!(has_token(&kept), "it is not the one that was revoked");
    kept.agent().get(&url).call().unwrap();
    newer.revoke().unwrap();
    assert!(!has_token(&default()));
}

#[test]
fn revocation_also_ends_a_concurrent_renewal() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let new = || partner(&sandbox, &folder.store(), "default");
    let (partner, second) = (new(), new());
    log_in(&sandbox, &partner);
    let other = second.source();
    assert!(other.resume().unwrap());
    sandbox.end_access_tokens();
    other.invalidate(&other.current().unwrap());
    sandbox.fault(Endpoint::Token, Fault::delay(Duration::from_millis(500)));
    let renewed = thread::scope(|scope| {
        let renewal = scope.spawn(|| other.token(Duration::ZERO).unwrap());
        while sandbox.count(Endpoint::Token) < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        partner.revoke().unwrap();
        renewal.join().unwrap()
    });
    assert!(!new().source().resume().unwrap(), "the renewal did not put its tokens back");
    assert_eq!(sandbox.count(Endpoint::Revoke), 3, "the refresh token and both access tokens");
    let url = format!("{}/locations/v1", sandbox.api_url());
    assert!(second.agent().get(&url).call().is_err(), "{renewed:?} has ended as well");
}

/// A timeout error would suggest that the tokens are still valid.
#[test]
fn revoked_tokens_are_reported_as_ended_although_their_record_remains() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let http = Transport::new().with_timeout(Duration::from_millis(500));
    let partner = builder(&sandbox, &folder.store()).transport(http).build().unwrap();
    log_in(&sandbox, &partner);
    let name =
        RecordName::new("spacebring", &format!("{}/oauth2/token", sandbox.api_url()), sandbox.client_id());
    let _held = folder.store().lock(&name.unwrap(), Duration::ZERO).unwrap();
    let error = partner.revoke().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert!(
        error
            .to_string()
            .starts_with("the tokens are revoked, but their record could not be removed: could not lock "),
        "{error}"
    );
    assert_eq!(sandbox.count(Endpoint::Revoke), 2);
}

#[test]
fn partner_login_that_cannot_be_saved_is_still_used() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let partner = partner(&sandbox, &folder.store(), "default");
    let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
    let callback = sandbox.approve(login.url());
    let token = login.finish(&callback).unwrap();
    let later = crate::partner(&sandbox, &folder.store(), "default");
    assert!(later.source().resume().unwrap(), "kept as soon as it was received");
    // The stored record is gone when the source is made.
    fs::remove_dir_all(folder.store().folder()).unwrap();
    fs::write(folder.join("keyfob"), "no folder").unwrap();
    assert_eq!(partner.finish_login(token).unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(partner.source().warning().unwrap().kind(), ErrorKind::Store);
    partner.agent().get(format!("{}/locations/v1", sandbox.api_url())).call().unwrap();
    // The tokens are revoked, although the store cannot be read.
    assert_eq!(partner.revoke().unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(sandbox.count(Endpoint::Revoke), 2);
}

#[test]
fn profile_name_is_checked_before_anything_is_stored() {
    let partner = Partner::builder("i", "s", "http://127.0.0.1:0/callback");
    let error = partner.store(FileStore::new("/nowhere")).profile("a\nb").build().unwrap_err();
    assert_eq!(error.to_string(), "the profile holds a control character at byte 1: remove it");
}

// Disk space for an answer that the server gives only once.

/// A store without space, or one that loses its space between `prepare` and `save`.
struct NoRoom(FileStore);

struct NoRoomRecord(Box<dyn LockedRecord>);

impl TokenStore for NoRoom {
    fn load(&self, name: &RecordName) -> Result<Option<Record>, keyfob::Error> {
        self.0.load(name)
    }

    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, keyfob::Error> {
        Ok(Box::new(NoRoomRecord(self.0.lock(name, within)?)))
    }
}

impl LockedRecord for NoRoomRecord {
    fn load(&mut self) -> Result<Option<Record>, keyfob::Error> {
        self.0.load()
    }

    fn prepare(&mut self) -> Result<(), keyfob::Error> {
        Err(keyfob::Error::new(ErrorKind::Store, "no space"))
    }

    fn save(&mut self, record: &Record) -> Result<(), keyfob::Error> {
        self.0.save(record)
    }

    fn remove(&mut self) -> Result<(), keyfob::Error> {
        self.0.remove()
    }
}

/// Counts its calls.
struct Asked {
    runs: Arc<Mutex<u32>>,
    repeatable: bool,
}

impl Grant for Asked {
    fn token(&self, http: &Transport, _: Option<&Token>) -> Result<Token, keyfob::Error> {
        *self.runs.lock().unwrap() += 1;
        Token::new("new", http.clock().now())
    }

    fn is_repeatable(&self) -> bool {
        self.repeatable
    }
}

/// `record` makes a token that is valid from 1,000 to 2,000.
#[test]
fn unrepeatable_request_is_not_sent_when_its_answer_cannot_be_saved() {
    let no = Err("no space".to_owned());
    let given = |token: &str| Ok(token.to_owned());
    for (repeatable, at, min_valid, forced, expected, asked) in [
        (false, 2_500, 0, false, no.clone(), 0),
        (false, 1_990, 0, false, given("stored"), 0),
        (false, 1_990, 100, false, no.clone(), 0),
        (false, 1_001, 0, true, no.clone(), 0),
        (false, 1_001, 0, false, given("stored"), 0),
        (true, 2_500, 0, false, given("new"), 1),
        (true, 1_990, 0, false, given("new"), 1),
    ] {
        let folder = Folder::new();
        save(&folder.store(), &Record::new(record("stored").token().clone(), 0));
        let runs = Arc::<Mutex<u32>>::default();
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        let grant = Asked { runs: runs.clone(), repeatable };
        let source = CachingSource::new(Transport::new().with_clock(clock), grant)
            .with_store(Arc::new(NoRoom(folder.store())), name());
        let token = if forced { source.renew() } else { source.token(Duration::from_secs(min_valid)) };
        let text = |token: Arc<Token>| token.access_token().expose_str().unwrap().to_owned();
        let case = format!("{repeatable} at {at} for {min_valid}, forced: {forced}");
        assert_eq!(token.map(text).map_err(|error| error.to_string()), expected, "{case}");
        assert_eq!(*runs.lock().unwrap(), asked, "{case}");
    }
}

#[test]
fn authorization_code_is_not_sent_when_its_tokens_cannot_be_saved() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let blocked = |how: &dyn Fn(&Path)| {
        let store = FileStore::new(folder.join("store"));
        let partner = partner(&sandbox, &store, "default");
        let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
        let callback = sandbox.approve(login.url());
        let record = store.path(partner.record_name().unwrap());
        how(&record);
        let error = login.finish(&callback).unwrap_err();
        let _ = fs::remove_file(store.folder());
        let _ = fs::remove_dir_all(store.folder());
        (error.kind(), error.to_string().replace(folder.0.to_str().unwrap(), "…"))
    };
    let store = |text: &str| (ErrorKind::Store, text.to_owned());
    let at = |record: &Path, suffix: &str| {
        let mut path = record.as_os_str().to_owned();
        path.push(suffix);
        fs::create_dir_all(PathBuf::from(path)).unwrap();
        fs::set_permissions(record.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
    };
    assert_eq!(
        blocked(&|record| fs::write(record.parent().unwrap(), "no folder").unwrap()),
        store("could not use …/store: not a directory")
    );
    let (kind, text) = blocked(&|record| at(record, ".tmp"));
    assert_eq!(kind, ErrorKind::Store);
    assert!(
        text.starts_with("could not reserve space for new tokens beside …/store/spacebring-")
            && text.ends_with(".json, so the server was not asked for any: is a directory"),
        "{text}"
    );
    let (kind, text) = blocked(&|record| at(record, ".lock"));
    assert_eq!(kind, ErrorKind::Store);
    assert!(
        text.starts_with("could not open …/store/") && text.ends_with(".json.lock: it is not a file"),
        "{text}"
    );
    assert_eq!(sandbox.count(Endpoint::Token), 0, "no code was used up");
}

#[test]
fn save_uses_the_space_that_prepare_reserved() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("old"));
    let temp = store.temporary_path(&name());
    let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
    locked.prepare().unwrap();
    let proved = fs::metadata(&temp).unwrap();
    assert!(proved.len() >= 32 * 1024, "{}", proved.len());
    assert_eq!(mode(&temp), 0o600);
    locked.prepare().unwrap();
    // A record that another program has saved since is loaded.
    assert!(locked.load().unwrap().is_some());
    locked.save(&record("new")).unwrap();
    let saved = fs::metadata(store.path(&name())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&saved), std::os::unix::fs::MetadataExt::ino(&proved));
    assert!(saved.len() < 1_000, "cut to what is in it");
    // Space that was reserved and not used leaves no file.
    locked.prepare().unwrap();
    drop(locked);
    assert!(!temp.exists());
    assert_eq!(loaded(&store).as_deref(), Some("new"));
}

// Special files, and files that disappear.

/// Makes a special file at the path.
fn put(path: &Path, what: &str) {
    let made = |program: &str, arguments: &[&str]| {
        assert!(Command::new(program).args(arguments).arg(path).status().unwrap().success());
    };
    match what {
        "pipe" => made("mkfifo", &[]),
        "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        "folder" => fs::create_dir(path).unwrap(),
        "link" => {
            let target = path.with_extension("target");
            fs::write(&target, "").unwrap();
            symlink(target, path).unwrap();
        }
        "dangling" => symlink("/nowhere/at/all", path).unwrap(),
        "huge" => fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        "empty" => fs::write(path, "").unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn special_files_in_the_store_never_block() {
    const FILE: &str = "it is not a file";
    const LINK: &str = "it is a symbolic link";
    // The errors of lock, load and save; empty if there are none.
    for (what, record, lock, temporary, aside) in [
        ("pipe", FILE, FILE, "", ""),
        ("socket", FILE, FILE, "", ""),
        ("folder", FILE, FILE, "is a directory", ""),
        ("link", LINK, LINK, "", ""),
        ("dangling", LINK, LINK, "", ""),
        ("huge", "", "", "", ""),
        ("empty", "", "", "", ""),
    ] {
        for (suffix, expected) in
            [("", record), (".lock", lock), (".tmp", temporary), (".unreadable", aside), (".unsaved-1", "")]
        {
            let folder = Folder::new();
            let store = folder.store();
            fs::create_dir(store.folder()).unwrap();
            fs::set_permissions(store.folder(), Permissions::from_mode(0o700)).unwrap();
            let mut path = store.path(&name()).into_os_string();
            path.push(suffix);
            put(Path::new(&path), what);
            let started = std::time::Instant::now();
            let read = store.load(&name()).map(drop);
            let done = store.lock(&name(), Duration::from_secs(5)).and_then(|mut locked| {
                locked.load()?;
                locked.prepare()?;
                locked.save(&self::record("saved"))
            });
            let case = format!("{what} {suffix}");
            assert!(started.elapsed() < Duration::from_secs(4), "{case} took {:?}", started.elapsed());
            match done {
                Ok(()) => {
                    assert_eq!(expected, "", "{case}");
                    assert_eq!(loaded(&store).as_deref(), Some("saved"), "{case}");
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Store, "{case}");
                    let text = error.to_string();
                    assert!(
                        !expected.is_empty() && text.ends_with(&format!(": {expected}")),
                        "{case}: {text}"
                    );
                }
            }
            assert_eq!(read.is_err(), suffix.is_empty() && !record.is_empty(), "{case}: {read:?}");
        }
        // The same in place of the folder.
        if !["folder", "huge"].contains(&what) {
            let folder = Folder::new();
            let store = folder.store();
            put(store.folder(), what);
            let why = if record == LINK { LINK } else { "not a directory" };
            refused(store.load(&name()), &format!("could not read {}: {why}", store.folder().display()));
            refused(
                store.lock(&name(), Duration::ZERO).map(drop),
                &format!("could not use {}: {why}", store.folder().display()),
            );
        }
    }
}

#[test]
fn login_is_saved_although_its_temporary_file_name_is_taken() {
    for what in ["pipe", "socket", "folder", "link", "dangling", "huge", "empty"] {
        let folder = Folder::new();
        let store = folder.store();
        save(&store, &record("old"));
        let temp = store.temporary_path(&name());
        let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
        for answer in [false, true] {
            locked.prepare().unwrap();
            fs::remove_file(&temp).unwrap();
            put(&temp, what);
            if answer {
                let kept = locked.keep_answer(&Secret::from("once-given")).unwrap().unwrap();
                assert_eq!(fs::read(&kept).unwrap(), b"once-given", "{what}");
                assert_eq!(store.unsaved_paths(&name()), [kept], "{what}");
            } else {
                locked.save(&record("new")).unwrap();
                assert_eq!(store.unsaved_paths(&name()), Vec::<PathBuf>::new(), "{what}");
            }
            if what == "folder" {
                fs::remove_dir(&temp).unwrap();
            }
        }
        drop(locked);
        assert_eq!(loaded(&store).as_deref(), Some("new"), "{what}");
    }
}

#[test]
fn file_that_cannot_be_removed_does_not_stop_removal_of_the_others() {
    let endings = ["", ".tmp", ".unreadable", ".unsaved-1", ".unsaved-2"];
    for blocked in endings {
        let folder = Folder::new();
        let store = folder.store();
        save(&store, &record("old"));
        let at = |ending: &str| PathBuf::from(format!("{}{ending}", store.path(&name()).display()));
        for ending in endings {
            fs::write(at(ending), "").unwrap();
        }
        fs::remove_file(at(blocked)).unwrap();
        put(&at(blocked), "folder");
        let removed = store.lock(&name(), Duration::ZERO).unwrap().remove();
        refused(removed, &format!("could not remove {}: is a directory", at(blocked).display()));
        for ending in endings {
            assert_eq!(at(ending).exists(), ending == blocked, "{blocked} {ending}");
        }
    }
}

/// A lock that the system refuses is an error: a record that is not locked could be renewed twice.
#[test]
#[cfg(target_os = "linux")]
fn record_that_cannot_be_locked_is_an_error() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("old"));
    let path = store.path(&name());
    // Linux allows no one to write to a running program.
    fs::remove_file(&path).unwrap();
    // Another process writes it: a child that a test starts meanwhile would inherit the open file, and nobody could run it.
    let copied = Command::new("install").args(["-m", "700", "/bin/sleep"]).arg(&path).status().unwrap();
    assert!(copied.success());
    let mut program = Command::new(&path).arg("60").spawn().unwrap();
    let locked = store.lock(&name(), Duration::ZERO).map(drop);
    program.kill().unwrap();
    program.wait().unwrap();
    refused(locked, &format!("could not lock {}: executable file busy", path.display()));
    // A lock file that is only readable can still be locked.
    save(&store, &record("new"));
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    let locked = store.lock(&name(), Duration::ZERO).unwrap();
    fs::remove_file(path.with_extension("json.lock")).unwrap();
    assert!(!is_free(&store));
    drop(locked);
    assert!(is_free(&store));
}

#[test]
fn special_files_are_refused_as_credentials_in_time() {
    for (what, readable, writable) in [
        ("pipe", false, false),
        ("socket", false, false),
        ("folder", false, false),
        ("link", false, false),
        ("dangling", true, false),
        ("huge", false, true),
        ("empty", false, true),
    ] {
        let folder = Folder::new();
        let file = keyfob::CredentialsFile::new(folder.join("file"));
        put(file.path(), what);
        let started = std::time::Instant::now();
        assert_eq!(file.load().is_ok(), readable, "{what}");
        assert_eq!(file.prepare(true).is_ok(), writable, "{what}");
        assert!(started.elapsed() < Duration::from_secs(4), "{what} took {:?}", started.elapsed());
    }
}

/// Whether another store can lock the record now.
fn is_free(store: &FileStore) -> bool {
    match store.lock(&name(), Duration::from_millis(20)) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            false
        }
    }
}

#[test]
fn lock_holds_although_files_are_removed_or_replaced() {
    for (lock, record, temporary) in [
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
        (false, true, true),
    ] {
        for replaced in [false, true] {
            let folder = Folder::new();
            let store = folder.store();
            save(&store, &self::record("old"));
            let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
            locked.prepare().unwrap();
            let path = store.path(&name());
            for (is_meant, path) in [
                (lock, path.with_extension("json.lock")),
                (record, path.clone()),
                (temporary, store.temporary_path(&name())),
            ] {
                if is_meant {
                    fs::remove_file(&path).unwrap();
                    if replaced {
                        fs::write(&path, "").unwrap();
                    }
                }
            }
            let case = format!("lock {lock}, record {record}, temporary {temporary}, replaced {replaced}");
            assert!(!is_free(&store), "{case}");
            locked.save(&self::record("new")).unwrap();
            drop(locked);
            assert_eq!(loaded(&store).as_deref(), Some("new"), "{case}");
            assert!(is_free(&store), "{case}");
            assert!(!store.temporary_path(&name()).exists(), "{case}");
        }
    }
}

/// Starts a thread that locks the record. Returns once it has opened the lock file, which this process holds.
#[cfg(target_os = "linux")]
fn waits_for_the_lock(store: &FileStore) -> thread::JoinHandle<Result<Box<dyn LockedRecord>, keyfob::Error>> {
    let path = store.path(&name()).with_extension("json.lock");
    let waiting = {
        let store = store.clone();
        thread::spawn(move || store.lock(&name(), Duration::from_secs(10)))
    };
    let opened = || {
        let entries = fs::read_dir("/proc/self/fd").unwrap();
        entries.flatten().filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path)).count()
    };
    while opened() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    waiting
}

#[test]
#[cfg(target_os = "linux")]
fn waiter_for_a_replaced_lock_file_locks_the_new_one() {
    let folder = Folder::new();
    let store = folder.store();
    let first = store.lock(&name(), Duration::ZERO).unwrap();
    let waiting = waits_for_the_lock(&store);
    let path = store.path(&name()).with_extension("json.lock");
    fs::remove_file(&path).unwrap();
    let second = store.lock(&name(), Duration::from_secs(1)).unwrap();
    drop(first);
    thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished(), "another process holds the lock that counts");
    drop(second);
    let third = waiting.join().unwrap().unwrap();
    assert!(!is_free(&store));
    drop(third);
}

#[test]
fn tokens_are_saved_although_the_folder_was_removed() {
    let folder = Folder::new();
    let store = folder.store();
    for prepared in [false, true] {
        save(&store, &record("old"));
        let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
        if prepared {
            locked.prepare().unwrap();
        }
        fs::remove_dir_all(store.folder()).unwrap();
        locked.save(&record("new")).unwrap();
        assert!(!is_free(&store), "it holds the lock of the new folder");
        drop(locked);
        assert_eq!(loaded(&store).as_deref(), Some("new"));
    }
    // So is an answer that cannot be used and comes only once.
    let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
    locked.prepare().unwrap();
    fs::remove_dir_all(store.folder()).unwrap();
    let kept = locked.keep_answer(&Secret::from("once-given")).unwrap().unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"once-given");
    drop(locked);
    // A login made in the meantime is kept.
    let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
    fs::remove_dir_all(store.folder()).unwrap();
    save(&store, &record("newer"));
    let error = locked.save(&record("new")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "could not save the tokens in {}: there is no such file or folder",
            store.path(&name()).display()
        )
    );
    assert_eq!(loaded(&store).as_deref(), Some("newer"));
}

// Folders above the store's folder.

#[test]
fn folder_below_a_world_writable_folder_is_refused() {
    let folder = Folder::new();
    fs::create_dir_all(folder.join("a/b/c")).unwrap();
    fs::create_dir_all(folder.join("real/deep")).unwrap();
    // a/link leads to real/deep.
    symlink("../real/deep", folder.join("a/link")).unwrap();
    symlink("link", folder.join("a/again")).unwrap();
    let direct = FileStore::new(folder.join("a/b/c/keyfob"));
    let linked = FileStore::new(folder.join("a/again/keyfob"));
    let why = "others can replace it, because they can write to a folder above it that has no sticky bit: run \
               chmod go-w on that, or use another folder";
    let all = ["a", "a/b", "a/b/c", "real", "real/deep"];
    for (open, mode, is_direct_good, is_linked_good) in [
        ("a", 0o777, false, false),
        ("a", 0o702, false, false),
        ("a/b", 0o777, false, true),
        ("a/b/c", 0o777, false, true),
        ("real", 0o777, true, false),
        ("real/deep", 0o777, true, false),
        ("a", 0o1777, true, true),
        ("real/deep", 0o1777, true, true),
        // A group that belongs to the user alone, as many systems have. The folder that was opened is used.
        ("a/b/c", 0o775, true, true),
    ] {
        for path in all {
            fs::set_permissions(folder.join(path), Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(folder.join(open), Permissions::from_mode(mode)).unwrap();
        for (store, is_good) in [(&direct, is_direct_good), (&linked, is_linked_good)] {
            let _ = fs::remove_dir_all(store.folder());
            let done = store.lock(&name(), Duration::ZERO).and_then(|mut locked| locked.save(&record("x")));
            let case = format!("{open} {mode:o}");
            if is_good {
                assert!(done.is_ok(), "{case}: {done:?}");
            } else {
                refused(done, &format!("could not use {}: {why}", store.folder().display()));
                assert!(!store.folder().exists(), "{case}");
            }
        }
    }
}

/// Moves the store's folder away, and puts one with this mode in its place, or a symlink to one. Returns where the first one is now.
fn exchange(store: &FileStore, (mode, is_link): (u32, bool)) -> PathBuf {
    let moved = store.folder().with_extension("moved");
    fs::rename(store.folder(), &moved).unwrap();
    let other = if is_link { store.folder().with_extension("other") } else { store.folder().to_owned() };
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, Permissions::from_mode(mode)).unwrap();
    if is_link {
        symlink(other, store.folder()).unwrap();
    }
    moved
}

#[test]
fn nothing_is_written_to_a_folder_that_replaces_the_stores_folder() {
    for other in [(0o700, false), (0o777, false), (0o700, true)] {
        let folder = Folder::new();
        let store = folder.store();
        save(&store, &record("old"));
        let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
        locked.prepare().unwrap();
        let moved = exchange(&store, other);
        let error = locked.save(&record("new")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "could not save the tokens in {}: its folder was moved meanwhile, and the tokens went with it; find out \
                 who moved it",
                store.path(&name()).display()
            )
        );
        drop(locked);
        assert_eq!(files(&store), [""; 0]);
        assert_eq!(loaded(&FileStore::new(&moved)).as_deref(), Some("new"));
    }
}

/// The answer holds tokens that the server does not issue again.
#[test]
fn no_answer_is_kept_in_a_folder_that_replaces_the_stores_folder() {
    for other in [(0o700, false), (0o777, false), (0o700, true)] {
        for (is_prepared, is_kept_already) in [(true, false), (false, false), (true, true)] {
            let folder = Folder::new();
            let store = folder.store();
            save(&store, &record("old"));
            let mut locked = store.lock(&name(), Duration::ZERO).unwrap();
            let answer = Secret::from("once-given");
            if is_kept_already {
                locked.keep_answer(&answer).unwrap();
            }
            if is_prepared {
                locked.prepare().unwrap();
            }
            let moved = FileStore::new(exchange(&store, other));
            refused(
                locked.keep_answer(&answer),
                &format!(
                    "could not keep the received part of the answer beside {}: its folder was moved meanwhile, and the \
                     answer went with it; find out who moved it",
                    store.path(&name()).display()
                ),
            );
            drop(locked);
            assert_eq!(files(&store), [""; 0]);
            let kept = moved.unsaved_paths(&name());
            assert_eq!((kept.len(), fs::read(&kept[0]).unwrap()), (1, b"once-given".to_vec()));
            assert_eq!(loaded(&moved).as_deref(), Some("old"));
        }
    }
}

/// A process that waits for the lock has opened the folder before.
#[test]
#[cfg(target_os = "linux")]
fn folder_that_replaces_the_stores_folder_is_checked_after_the_wait() {
    const OTHERS: &str =
        "it belongs to someone else, or others may write to it: run chown and chmod 700 on it";
    const LINK: &str = "it is a symbolic link";
    for (other, why) in
        [((0o777, false), OTHERS), ((0o720, false), OTHERS), ((0o700, true), LINK), ((0o700, false), "")]
    {
        let folder = Folder::new();
        let store = folder.store();
        save(&store, &record("old"));
        let first = store.lock(&name(), Duration::ZERO).unwrap();
        let waiting = waits_for_the_lock(&store);
        let moved = FileStore::new(exchange(&store, other));
        drop(first);
        let locked = waiting.join().unwrap();
        if why.is_empty() {
            locked.unwrap().save(&record("new")).unwrap();
            assert_eq!(loaded(&store).as_deref(), Some("new"), "it is a folder of the user's own");
        } else {
            refused(locked.map(drop), &format!("could not use {}: {why}", store.folder().display()));
            assert_eq!(files(&store), [""; 0]);
        }
        assert_eq!(loaded(&moved).as_deref(), Some("old"));
    }
}

// Unusable answers.

/// Answers to a code or a refresh token after which that code or token is used up.
fn useless_answers() -> Vec<(u16, &'static str, Vec<u8>)> {
    let good = r#"{"access_token":"once-given","refresh_token":"once-given-too","token_type":"Bearer"}"#;
    vec![
        (200, "not JSON", b"access_token=once-given".to_vec()),
        (200, "cut", good.as_bytes()[..40].to_vec()),
        (200, "wrong type", good.replace("Bearer", "mac").into_bytes()),
        (200, "no access token", good.replace("access_token\"", "accessToken\"").into_bytes()),
        (
            200,
            "Latin-1",
            good.replace("once-given-too", "?")
                .into_bytes()
                .iter()
                .map(|&b| if b == b'?' { 0xe9 } else { b })
                .collect(),
        ),
        (201, "another status", b"created".to_vec()),
        (200, "a web page", b"<html>once-given</html>".to_vec()),
        (200, "gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03once-given".to_vec()),
        (200, "an error beside tokens", good.replace('{', r#"{"error":"odd","#).into_bytes()),
    ]
}

#[track_caller]
fn kept_in(error: &keyfob::Error) -> PathBuf {
    let text = error.to_string();
    let (_, path) = text.split_once("; the received answer is kept in ").unwrap_or_else(|| panic!("{text}"));
    PathBuf::from(path)
}

#[test]
fn unusable_answer_to_a_code_is_kept_beside_the_record() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let store = folder.store();
    let partner = partner(&sandbox, &store, "default");
    let name = partner.record_name().unwrap().clone();
    let mut kept = Vec::new();
    for (status, what, body) in useless_answers() {
        let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
        let callback = sandbox.approve(login.url());
        sandbox.fault(Endpoint::Token, Fault::raw(status, "text/plain", body.clone()));
        let error = login.finish(&callback).unwrap_err();
        let path = kept_in(&error);
        assert_eq!(fs::read(&path).unwrap(), body, "{what}");
        assert_eq!(mode(&path), 0o600, "{what}");
        assert!(error.unsaved().is_none(), "{what}: it is kept");
        assert!(!format!("{error} {error:?}").contains("once-given"), "{what}");
        kept.push(path);
    }
    kept.sort();
    let mut listed = store.unsaved_paths(&name);
    listed.sort();
    assert_eq!(listed, kept, "each has a name of its own");
    assert!(!store.temporary_path(&name).exists());

    // The same answer is not kept twice.
    let (status, _, body) = useless_answers().remove(0);
    let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
    let callback = sandbox.approve(login.url());
    sandbox.fault(Endpoint::Token, Fault::raw(status, "text/plain", body));
    assert!(kept.contains(&kept_in(&login.finish(&callback).unwrap_err())));
    assert_eq!(store.unsaved_paths(&name).len(), kept.len());

    store.lock(&name, Duration::ZERO).unwrap().remove().unwrap();
    assert_eq!(store.unsaved_paths(&name), Vec::<PathBuf>::new());
}

#[test]
fn unusable_answer_to_a_refresh_token_is_kept_beside_the_record() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let partner = partner(&sandbox, &folder.store(), "default");
    let source = log_in(&sandbox, &partner);
    for (status, what, body) in useless_answers() {
        sandbox.fault(Endpoint::Token, Fault::raw(status, "text/plain", body.clone()));
        let error = source.renew().unwrap_err();
        assert_eq!(fs::read(kept_in(&error)).unwrap(), body, "{what}");
        assert_eq!(source.warning().unwrap().to_string(), error.to_string(), "{what}");
    }
    // The login continues unless the server has ended it.
    source.renew().unwrap();
    assert!(source.warning().is_none());
}

#[test]
fn unusable_answer_is_in_the_error_when_there_is_no_store() {
    let sandbox = SpacebringSandbox::start();
    let partner =
        Partner::builder(sandbox.client_id(), sandbox.client_secret(), "http://127.0.0.1:0/callback")
            .api_url(sandbox.api_url())
            .build()
            .unwrap();
    for (status, what, body) in useless_answers() {
        let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
        let callback = sandbox.approve(login.url());
        sandbox.fault(Endpoint::Token, Fault::raw(status, "text/plain", body.clone()));
        let error = login.finish(&callback).unwrap_err();
        assert_eq!(error.unsaved().unwrap().expose(), body, "{what}");
        assert!(!format!("{error} {error:?}").contains("once-given"), "{what}");
    }
    // An unusable answer to a refresh token is kept too, while the old token is used.
    let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
    let callback = sandbox.approve(login.url());
    partner.finish_login(login.finish(&callback).unwrap()).unwrap();
    let source = partner.source();
    for (status, what, body) in useless_answers() {
        sandbox.fault(Endpoint::Token, Fault::raw(status, "text/plain", body.clone()));
        assert_eq!(source.renew().unwrap_err().unsaved().unwrap().expose(), body, "{what}");
        assert_eq!(source.warning().unwrap().unsaved().unwrap().expose(), body, "{what}");
        source.token(Duration::ZERO).unwrap();
    }
    source.renew().unwrap();
    assert!(source.warning().is_none());
    // A refusal is not kept.
    let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
    let callback = sandbox.approve(login.url());
    sandbox.fault(Endpoint::Token, Fault::raw(400, "application/json", r#"{"error":"invalid_grant"}"#));
    assert!(login.finish(&callback).unwrap_err().unsaved().is_none());
}

// Names of stores.

#[test]
fn url_is_refused_as_a_store_folder() {
    for url in [
        "redis://host",
        "rediss://user:pl4nted@host:6380/0",
        "REDISS://user:pl4nted@host",
        "redis+unix:///run/redis.sock",
        "redis:user:pl4nted@host",
        "http://user:pl4nted@host/",
        "file:///var/lib/keyfob",
        "file:/var/lib/keyfob",
        "s3://bucket/pl4nted",
        " rediss://user:pl4nted@host",
        "x.y+z-1://pl4nted",
        "jdbc:redis://pl4nted@host",
        "user:pl4nted@host:6379/0",
        "sqlite:pl4nted.db",
        "SQLite:/var/lib/pl4nted.db",
        "memcached:11211",
        "tcp:host:6379",
        "u:pl4nted@host",
        "\"redis://pl4nted@host\"",
        "'rediss://pl4nted@host'",
        "memory:",
        "keyring:pl4nted",
        "env:PL4NTED",
        "vault:secret/pl4nted",
    ] {
        let error = FileStore::named("KEYFOB_STORE", url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
        let scheme = url.trim_start_matches([' ', '"', '\'']).split(':').next().unwrap().to_ascii_lowercase();
        let text = format!(
            "KEYFOB_STORE is a URL ({scheme}:…), but tokens are kept in a folder: name one, as in /var/lib/my-job"
        );
        assert_eq!(error.to_string(), text);
    }
    for address in [
        "localhost:6379",
        "127.0.0.1:6379",
        "[::1]:6379/0",
        "redis.example.com:6379",
        "user@host:/var/lib/keyfob",
        "nfs-server:/exports/keyfob",
        ":memory:",
    ] {
        let text = "KEYFOB_STORE is the address of a server, but tokens are kept in a folder: name one, as in /var/lib/my-job";
        let error = FileStore::named("KEYFOB_STORE", address).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::InvalidInput), "{address}");
    }
    for folder in [
        "/var/lib/keyfob",
        "/var/lib/redis.example.com:6379",
        "./localhost:6379",
        "keyfob",
        "./redis://x",
        "/redis://x",
        "a:b",
        "job:2026/a@b",
        "job:2026/a",
        "C:/keyfob",
        "C://keyfob",
        "://x",
        "1x://y",
    ] {
        assert!(FileStore::named("KEYFOB_STORE", folder).is_ok(), "{folder}");
    }
}

#[test]
fn empty_folder_and_tilde_are_refused_as_a_store() {
    let empty = "the folder of the store is empty: name one, as in /var/lib/my-job";
    let tilde = "the folder of the store begins with `~`, which is not expanded: write the whole path";
    let variable =
        "the folder of the store begins with a variable, which is not expanded: write the whole path";
    let white = "the folder of the store begins or ends with white space (space, tab, CR or LF): remove it";
    for (folder, text) in [
        ("", empty),
        ("~", tilde),
        ("~/", tilde),
        ("~/keyfob", tilde),
        ("~//keyfob", tilde),
        ("$HOME/keyfob", variable),
        ("${XDG_STATE_HOME}/keyfob", variable),
        ("$HOME", variable),
        ("keyfob\r", white),
        ("/var/lib/keyfob\n", white),
        ("a b\r\n", white),
        (" ", white),
        ("\t", white),
        (" /var/lib/keyfob", white),
        ("/var/lib/keyfob ", white),
        ("\n/var/lib/keyfob", white),
        (" ~/keyfob", white),
    ] {
        let store = FileStore::new(folder);
        let refused = |error: keyfob::Error| {
            assert_eq!(
                (error.to_string().as_str(), error.kind()),
                (text, ErrorKind::InvalidInput),
                "{folder}"
            );
        };
        refused(store.load(&name()).unwrap_err());
        refused(store.lock(&name(), Duration::ZERO).map(drop).unwrap_err());
        let named = FileStore::named("KEYFOB_STORE", folder).unwrap_err();
        assert_eq!(named.to_string(), text.replace("the folder of the store", "KEYFOB_STORE"));
        assert_eq!(named.kind(), ErrorKind::InvalidInput);
    }
    assert!(!Path::new("~").exists());
    for folder in ["~me", "/~/keyfob", "./~/keyfob", "a~", "a\rb", "./$HOME", "/$HOME", "a$b"] {
        assert!(FileStore::named("KEYFOB_STORE", folder).is_ok(), "{folder}");
        assert!(FileStore::new(folder).load(&name()).unwrap().is_none(), "{folder}");
    }
}

/// Answers each request with the next of these, and closes the connection.
fn server(answers: Vec<Vec<u8>>) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut some = [0; 4096];
                match connection.read(&mut some).unwrap() {
                    0 => break,
                    n => head.extend_from_slice(&some[..n]),
                }
            }
            connection.write_all(&answer).unwrap();
        }
    });
    url
}

/// Answers in broken HTTP, each with a token in it.
fn broken_answers() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":\"once-given",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{\"access_token\":\"once-given",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"access_token\":\"once-given\"}",
        "HTTP/1.1 200 OK\r\nno colon here {\"access_token\":\"once-given\"}\r\n\r\n",
        "{\"access_token\":\"once-given\",\"token_type\":\"Bearer\"}",
    ]
    .map(|answer| answer.as_bytes().to_vec())
    .to_vec()
}

#[test]
fn bytes_received_in_broken_http_are_kept_beside_the_record() {
    for answer in broken_answers() {
        let case = String::from_utf8_lossy(&answer).into_owned();
        let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
        let token_url = format!("{}/token", server(vec![answer.clone()]));
        let partner = builder(&sandbox, &folder.store()).token_url(token_url).build().unwrap();
        let login = partner.start_login_for(scope::LOCATIONS_READONLY).unwrap();
        let callback = sandbox.approve(login.url());
        let error = login.finish(&callback).unwrap_err();
        let kept = fs::read_to_string(kept_in(&error)).unwrap();
        assert!(kept.contains("once-given"), "{case}: {kept}");
        assert!(error.unsaved().is_none() && !error.to_string().contains("once-given"), "{case}");

        let token = r#"{"access_token":"temporary","token_type":"bearer"}"#;
        let token = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{token}", token.len());
        let url = server(vec![token.into_bytes(), answer.clone()]);
        let file = keyfob::CredentialsFile::new(folder.join("file"));
        let login = keyfob::spatiafi::Registration::new("name", "password").with_auth_url(&url);
        let error = login.run(&file, false).unwrap_err();
        let path = kept_in(&error);
        assert!(fs::read_to_string(&path).unwrap().contains("once-given"), "{case}");
        assert_eq!((file.unsaved(), mode(&path)), (vec![path], 0o600), "{case}");
        assert!(error.unsaved().is_none() && !error.to_string().contains("once-given"), "{case}");
    }
}
