//! The file store: what it refuses, what it survives, and one renewal for many processes.
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

use keyfob::flow::{ClientAssertion, Grant};
use keyfob::spacebring::{Partner, scope};
use keyfob::{
    CachingSource, Clock, ErrorKind, FileStore, Http, LockedRecord, Record, RecordName, Token,
    TokenSource as _, TokenStore,
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
fn debug_of_a_name_shows_no_query() {
    let name = RecordName::new("s", "https://example.com/token?key=planted", "c").unwrap();
    let shown = format!("{name:?}");
    assert!(shown.contains("example.com") && !shown.contains("planted"), "{shown}");
}

#[test]
fn a_refresh_token_that_cannot_be_stored_is_not_left_out() {
    let folder = Folder::new();
    let store = folder.store();
    let token = Token::new("a", SystemTime::now()).unwrap().with_refresh_token(vec![0xff]);
    let saved = store.lock(&name(), Duration::ZERO).unwrap().save(&Record::new(token, 0));
    assert_eq!(saved.unwrap_err().to_string(), "could not save the tokens: the refresh token is not UTF-8");
    assert_eq!(loaded(&store), None);
}

#[test]
fn a_record_comes_back_as_it_was() {
    let folder = Folder::new();
    let store = folder.store();
    assert!(store.load(&name()).unwrap().is_none(), "nothing there, and nothing made by looking");
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
fn records_of_other_names_are_not_seen() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("one"));
    for other in [
        RecordName::new("spacebring", "https://auth.example/token", "client").unwrap(),
        RecordName::new("spatiafi", "https://auth.example/token2", "client").unwrap(),
        RecordName::new("spatiafi", "https://auth.example/token", "client2").unwrap(),
        RecordName::new("spatiafi", "https://auth.example/tokenclient", "x").unwrap(),
        name().with_profile("work").unwrap(),
    ] {
        assert!(store.load(&other).unwrap().is_none(), "{other:?}");
    }
}

/// Written by version 1, and readable for ever.
#[test]
fn the_first_format_is_still_read() {
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
fn what_cannot_be_read_counts_as_absent_and_is_put_aside() {
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
    // Its tokens may live.
    assert!(store.unreadable_path(&name()).exists());
    store.lock(&name(), Duration::ZERO).unwrap().remove().unwrap();
    assert!(!path.exists() && !store.unreadable_path(&name()).exists());
}

#[test]
fn symlinks_are_refused_at_every_place() {
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

    // At the temporary file the link goes, and what it points to is not written to.
    let before = fs::read(&target).unwrap();
    symlink(&target, path.with_extension("json.tmp")).unwrap();
    save(&store, &record("new"));
    assert_eq!(fs::read(&target).unwrap(), before);
    assert_eq!(loaded(&store).as_deref(), Some("new"));
}

#[test]
fn a_name_that_is_too_long_is_not_called_a_symlink() {
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
fn folders_and_files_that_others_can_write_to_are_refused_and_open_ones_are_closed() {
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
fn what_a_killed_process_left_is_cleaned_up_by_the_next_run() {
    let folder = Folder::new();
    let store = folder.store();
    save(&store, &record("good"));
    let temp = store.path(&name()).with_extension("json.tmp");
    fs::write(&temp, "half a tok").unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("good"));
    assert!(!temp.exists());

    // While someone writes, it is theirs.
    fs::write(&temp, "being written").unwrap();
    let lock = store.lock(&name(), Duration::ZERO).unwrap();
    assert_eq!(loaded(&store).as_deref(), Some("good"));
    assert!(temp.exists());
    drop(lock);
}

#[test]
fn a_lock_is_waited_for_until_the_deadline() {
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

/// A process that another thread is just starting has a copy of the lock's descriptor.
#[test]
fn a_lock_is_free_at_once_while_processes_are_started() {
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

fn source(sandbox: &Sandbox, store: &FileStore, http: &Http) -> CachingSource {
    let flow =
        ClientAssertion::new(&sandbox.token_url(), sandbox.client_id(), sandbox.client_secret()).unwrap();
    let name = RecordName::new("spatiafi", &sandbox.token_url(), sandbox.client_id()).unwrap();
    CachingSource::new(http.clone(), flow).with_store(Arc::new(store.clone()), name)
}

#[test]
fn the_second_run_asks_for_no_token() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let first = source(&sandbox, &folder.store(), &Http::new()).token(Duration::ZERO).unwrap();
    let second = source(&sandbox, &folder.store(), &Http::new()).token(Duration::ZERO).unwrap();
    assert_eq!(first.access_token().expose(), second.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 1);
}

#[test]
fn a_stored_token_that_is_due_serves_while_the_server_is_down() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    sandbox.set_token_lifetime(Duration::from_secs(100));
    let first = source(&sandbox, &folder.store(), &Http::new()).token(Duration::ZERO).unwrap();
    let due = || Http::new().with_clock(Clock::manual(SystemTime::now() + Duration::from_secs(85)));
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
fn a_refused_token_is_renewed_and_saved_for_the_others() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let (one, two) =
        (source(&sandbox, &folder.store(), &Http::new()), source(&sandbox, &folder.store(), &Http::new()));
    let old = one.token(Duration::ZERO).unwrap();
    two.token(Duration::ZERO).unwrap();
    one.invalidate(&old);
    let new = one.token(Duration::ZERO).unwrap();
    two.invalidate(&old);
    let theirs = two.token(Duration::ZERO).unwrap();
    assert_eq!(new.access_token().expose(), theirs.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 2);
}

/// Puts a folder where the record should go, between the lock and the save: that stops root too.
struct InTheWay(ClientAssertion, PathBuf);

impl Grant for InTheWay {
    fn token(&self, http: &Http, _: Option<&Token>) -> Result<Token, keyfob::Error> {
        fs::create_dir_all(self.1.join("in the way")).unwrap();
        self.0.run(http)
    }
}

#[test]
fn a_token_that_cannot_be_saved_is_returned_with_a_warning() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    let flow =
        ClientAssertion::new(&sandbox.token_url(), sandbox.client_id(), sandbox.client_secret()).unwrap();
    let warned = Arc::new(Mutex::new(Vec::new()));
    let (told, path) = (warned.clone(), folder.store().path(&name()));
    let source = CachingSource::new(Http::new(), InTheWay(flow, path.clone()))
        .with_store(Arc::new(folder.store()), name())
        .with_on_warning(move |warning| told.lock().unwrap().push(warning.to_string()));
    let token = source.token(Duration::ZERO).unwrap();
    let text = format!("could not save the tokens in {}: is a directory", path.display());
    assert_eq!(*warned.lock().unwrap(), [text.as_str()]);
    assert_eq!(source.warning().unwrap().to_string(), text);
    assert!(!path.with_extension("json.tmp").exists(), "nothing is left behind");
    assert_eq!(source.token(Duration::ZERO).unwrap().access_token().expose(), token.access_token().expose());

    fs::remove_dir_all(&path).unwrap();
    let calm = self::source(&sandbox, &folder.store(), &Http::new());
    calm.token(Duration::ZERO).unwrap();
    assert!(calm.warning().is_none());
}

/// Reads and locks as it should, and cannot write.
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

/// Gives token after token, and tells whose refresh token it was given.
struct Rotating(Arc<Mutex<Vec<String>>>);

impl Grant for Rotating {
    fn token(&self, http: &Http, previous: Option<&Token>) -> Result<Token, keyfob::Error> {
        let text = |token: &Token| token.access_token().expose_str().unwrap().to_owned();
        let mut given = self.0.lock().unwrap();
        given.push(previous.map(text).unwrap_or_default());
        Token::new(format!("token-{}", given.len()), http.clock().now())
    }
}

#[test]
fn a_store_that_cannot_be_written_brings_no_old_token_back() {
    let folder = Folder::new();
    save(&folder.store(), &record("stored"));
    let given = Arc::<Mutex<Vec<String>>>::default();
    let http = Http::new().with_clock(Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_001)));
    let source =
        CachingSource::new(http, Rotating(given.clone())).with_store(Arc::new(Full(folder.store())), name());
    let token = || source.token(Duration::ZERO).unwrap();
    let text = |token: &Token| token.access_token().expose_str().unwrap().to_owned();
    assert_eq!(text(&token()), "stored");
    for turn in 1..4 {
        source.invalidate(&token());
        assert_eq!(text(&token()), format!("token-{turn}"), "and not what was refused before");
    }
    // Each time the newest refresh token goes out: servers that rotate take an older one for stolen.
    assert_eq!(*given.lock().unwrap(), ["stored", "token-1", "token-2"]);
    assert!(source.warning().is_some());

    // Another process that can write: its token counts.
    save(&folder.store(), &record("elsewhere"));
    source.invalidate(&token());
    assert_eq!(text(&token()), "elsewhere");
}

#[test]
fn a_login_that_could_not_be_saved_gives_way_to_no_other_one() {
    let folder = Folder::new();
    save(&folder.store(), &record("older"));
    let given = Arc::<Mutex<Vec<String>>>::default();
    let login = Token::new("login", SystemTime::now()).unwrap().with_refresh_token("its own");
    let source = |store| CachingSource::new(Http::new(), Rotating(given.clone())).with_store(store, name());
    let full = source(Arc::new(Full(folder.store()))).with_login(login);
    assert!(full.warning().is_some());
    // Another process, which knows nothing of the login, renews the one in the store.
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
fn a_login_takes_the_place_of_an_older_one() {
    let folder = Folder::new();
    save(&folder.store(), &record("older"));
    let given = Arc::<Mutex<Vec<String>>>::default();
    let source = || {
        CachingSource::new(Http::new(), Rotating(given.clone())).with_store(Arc::new(folder.store()), name())
    };
    let login = Token::new("login", SystemTime::now()).unwrap();
    let first = source().with_login(login);
    assert!(first.warning().is_none());
    assert_eq!(loaded(&folder.store()).as_deref(), Some("login"));
    source().renew().unwrap();
    assert_eq!(*given.lock().unwrap(), ["login"]);
}

/// Whether a clock that is a little behind has been set since cannot be seen.
#[test]
fn a_clock_that_is_still_behind_gives_out_no_token_that_has_expired() {
    let (sandbox, folder) = (Sandbox::start(), Folder::new());
    sandbox.set_token_lifetime(Duration::from_secs(3_600));
    let behind = Duration::from_secs(600);
    let start = sandbox.clock().now();
    let run = |after: Duration| {
        let clock = Clock::manual(start - behind + after);
        source(&sandbox, &folder.store(), &Http::new().with_clock(clock)).token(Duration::from_secs(60))
    };
    let first = run(Duration::ZERO).unwrap();
    sandbox.reset_counters();
    let most = Duration::from_secs(3_400);
    sandbox.clock().advance(most);
    assert_eq!(run(most).unwrap().access_token().expose(), first.access_token().expose());
    assert_eq!(sandbox.count(Endpoint::Token), 0);

    sandbox.clock().advance(Duration::from_secs(300));
    // By the local clock it has five minutes left.
    let second = run(most + Duration::from_secs(300)).unwrap();
    assert_ne!(second.access_token().expose(), first.access_token().expose());
}

#[test]
fn a_device_whose_clock_is_wrong_starts_right_the_second_time() {
    const DAY: i64 = 24 * 60 * 60;
    for sandbox in [Sandbox::start(), Sandbox::start_tls()] {
        let transport = || match sandbox.ca_file() {
            Some(file) => Http::new().with_ca_file(file).unwrap(),
            None => Http::new(),
        };
        // The last has no battery.
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
            // Off by a minute the server may take the first assertion as it is.
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
            assert_eq!(set.clock().offset(), 0, "a clock that was set meanwhile is believed");
        }
    }
}

fn partner(sandbox: &SpacebringSandbox, store: &FileStore, profile: &str) -> Partner {
    Partner::new(sandbox.client_id(), sandbox.client_secret(), "http://127.0.0.1:0/callback")
        .and_then(|partner| partner.with_api_url(&sandbox.api_url()))
        .and_then(|partner| partner.with_network(sandbox.network_id()))
        .and_then(|partner| partner.with_store(Arc::new(store.clone()), profile))
        .unwrap()
}

fn log_in(sandbox: &SpacebringSandbox, partner: &Partner) -> Arc<CachingSource> {
    let login = partner.login([scope::LOCATIONS_READONLY]).unwrap();
    let callback = sandbox.approve(login.url());
    partner.source(login.finish(&callback).unwrap())
}

#[test]
fn a_partners_login_outlives_the_process_until_it_is_revoked() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let store = folder.store();
    let default = || partner(&sandbox, &store, "default");
    assert!(default().stored_source().unwrap().is_none());
    let source = log_in(&sandbox, &default());
    assert!(source.warning().is_none());

    let again = default().stored_source().unwrap().expect("saved with the login");
    let url = format!("{}/locations/v1", sandbox.api_url());
    default().agent(&again).unwrap().get(&url).call().unwrap();
    assert_eq!((sandbox.logins(), sandbox.count(Endpoint::Token)), (1, 1));
    assert!(partner(&sandbox, &store, "other").stored_source().unwrap().is_none());

    sandbox.fault(Endpoint::Revoke, Fault::status(400));
    default().revoke(&again).unwrap_err();
    assert!(default().stored_source().unwrap().is_some(), "the server did not agree");

    // Another login has taken the place of the one that is revoked.
    let newer = log_in(&sandbox, &default());
    default().revoke(&source).unwrap();
    let kept = default().stored_source().unwrap().expect("it is not the one that was revoked");
    default().agent(&kept).unwrap().get(&url).call().unwrap();
    default().revoke(&newer).unwrap();
    assert!(default().stored_source().unwrap().is_none());
}

#[test]
fn a_renewal_under_way_does_not_outlive_the_revocation() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let partner = partner(&sandbox, &folder.store(), "default");
    let source = log_in(&sandbox, &partner);
    let other = partner.stored_source().unwrap().unwrap();
    sandbox.end_access_tokens();
    other.invalidate(&other.current().unwrap());
    sandbox.fault(Endpoint::Token, Fault::delay(Duration::from_millis(500)));
    let renewed = thread::scope(|scope| {
        let renewal = scope.spawn(|| other.token(Duration::ZERO).unwrap());
        while sandbox.count(Endpoint::Token) < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        partner.revoke(&source).unwrap();
        renewal.join().unwrap()
    });
    assert!(partner.stored_source().unwrap().is_none(), "the renewal did not put its tokens back");
    assert_eq!(sandbox.count(Endpoint::Revoke), 3, "the refresh token and both access tokens");
    let agent = partner.agent_builder(&other).unwrap().build().unwrap();
    let url = format!("{}/locations/v1", sandbox.api_url());
    assert!(agent.get(&url).call().is_err(), "{renewed:?} has ended as well");
}

/// Who is told of a time-out would think that the tokens live on.
#[test]
fn tokens_that_have_ended_are_said_to_have_though_their_record_is_left() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    let http = Http::new().with_timeout(Duration::from_millis(500));
    let partner = partner(&sandbox, &folder.store(), "default").with_http(http);
    let source = log_in(&sandbox, &partner);
    let name =
        RecordName::new("spacebring", &format!("{}/oauth2/token", sandbox.api_url()), sandbox.client_id());
    let _held = folder.store().lock(&name.unwrap(), Duration::ZERO).unwrap();
    let error = partner.revoke(&source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert!(
        error.to_string().starts_with("the tokens have ended, but their record is left: could not lock "),
        "{error}"
    );
    assert_eq!(sandbox.count(Endpoint::Revoke), 2);
}

#[test]
fn a_partners_login_that_cannot_be_saved_is_used_all_the_same() {
    let (folder, sandbox) = (Folder::new(), SpacebringSandbox::start());
    fs::write(folder.join("keyfob"), "no folder").unwrap();
    let partner = partner(&sandbox, &folder.store(), "default");
    let source = log_in(&sandbox, &partner);
    assert_eq!(source.warning().unwrap().kind(), ErrorKind::Store);
    partner.agent(&source).unwrap().get(format!("{}/locations/v1", sandbox.api_url())).call().unwrap();
    // The tokens have ended, although the store cannot be looked into.
    assert_eq!(partner.revoke(&source).unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(sandbox.count(Endpoint::Revoke), 2);
}

#[test]
fn a_profile_is_checked_before_anything_is_stored() {
    let partner = Partner::new("i", "s", "http://127.0.0.1:0/callback").unwrap();
    let error = partner.with_store(Arc::new(FileStore::new("/nowhere")), "a\nb").unwrap_err();
    assert_eq!(error.to_string(), "the profile holds a control character at byte 1: remove it");
}
