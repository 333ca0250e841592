use std::os::unix::fs::{MetadataExt as _, chown, symlink};

use super::*;

/// The number of a user who is neither root nor the one of the tests.
const OTHER: u32 = 12_345;

/// Makes an entry that is foreign to the user whose number is returned. Root gives the entry away; everybody else plays another user.
fn make_foreign(path: &Path) -> u32 {
    let own = user();
    if own == 0 {
        std::os::unix::fs::lchown(path, Some(OTHER), None).unwrap();
        return 0;
    }
    OTHER
}

#[test]
fn file_or_folder_of_another_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let file = inner.join("config.toml");
    fs::write(&file, "").unwrap();
    let own = user();
    assert!(checked(&file, own).is_ok());
    if own == 0 {
        chown(&file, Some(OTHER), None).unwrap();
        assert!(matches!(checked(&file, 0), Err(Refusal::File(Fault::Foreign))));
        // The owner can use it, and a file of root's too.
        assert!(checked(&file, OTHER).is_ok());
        chown(&file, Some(0), None).unwrap();
    }
    let user = make_foreign(&inner);
    let refusal = checked(&file, user).unwrap_err();
    assert!(matches!(refusal, Refusal::Above(_, Fault::Foreign)), "{refusal:?}");
}

#[test]
fn link_of_another_user_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("config.toml"), folder.path().join("link"));
    fs::write(&file, "").unwrap();
    symlink(&file, &link).unwrap();
    assert!(checked(&link, user()).is_ok());
    let user = make_foreign(&link);
    assert!(matches!(checked(&link, user), Err(Refusal::Above(_, Fault::Foreign))));
}

#[test]
fn path_is_walked_through_links_and_parents() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/file"), "").unwrap();
    symlink("b/../file", at("a/link")).unwrap();
    symlink(at("a"), at("c")).unwrap();
    symlink("..", at("a/b/up")).unwrap();
    let inode = at("a/file").metadata().unwrap().ino();
    for name in ["a/file", "a/b/../file", "c/file", "c/b/../link", "c/b/up/link", "a/./file", "./a//file"] {
        assert_eq!(checked(&at(name), user()).unwrap().metadata().unwrap().ino(), inode, "{name}");
    }
    for (name, is_expected) in [
        ("a", (|refusal| matches!(refusal, Refusal::Folder)) as fn(&Refusal) -> bool),
        ("c", |refusal| matches!(refusal, Refusal::Folder)),
        ("a/b/..", |refusal| matches!(refusal, Refusal::Folder)),
        (
            "a/file/x",
            |refusal| matches!(refusal, Refusal::System(e) if e.kind() == io::ErrorKind::NotADirectory),
        ),
        ("a/x", |refusal| matches!(refusal, Refusal::System(e) if e.kind() == io::ErrorKind::NotFound)),
    ] {
        let refusal = checked(&at(name), user()).unwrap_err();
        assert!(is_expected(&refusal), "{name}: {refusal:?}");
    }
}
