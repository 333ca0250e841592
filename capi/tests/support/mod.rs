//! Building the library, building programs in C with it, and running them.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod header;
pub mod servers;

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs};

/// What a C program is linked to.
pub struct Library {
    pub archive: PathBuf,
    pub shared: PathBuf,
    /// What rustc says that the archive needs.
    pub native: Vec<String>,
}

/// The library that users get.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::build("capi", &[]))
}

/// The same with a function that panics, in a profile that inherits how panics are dealt with. It has a folder of its own, so
/// that the two are not built anew by turns.
fn panicking() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let inherits =
        ["--config", "profile.capi-panics.inherits='capi'", "--config", "profile.capi-panics.lto='off'"];
    let features = ["--features", "test-panic"];
    LIBRARY.get_or_init(|| Library::build("capi-panics", &[&inherits[..], &features].concat()))
}

/// Cargo's target folder.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder")
}

fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    folder
}

impl Library {
    /// As the Makefile builds it, so that neither undoes the other's work.
    fn build(profile: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO"));
        command.args(["rustc", "--locked", "--package", "keyfob-capi", "--lib", "--profile", profile]);
        command.arg("--target-dir").arg(target()).args(arguments).args([
            "--",
            "--print",
            "native-static-libs",
        ]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let native = said.lines().find_map(|line| line.strip_prefix("note: native-static-libs: "));
        let native =
            native.expect("rustc names the libraries").split_whitespace().map(str::to_owned).collect();
        // As `make install` names them.
        let folder = scratch().join(profile);
        fs::create_dir_all(&folder).expect("the target folder can be written to");
        let built = target().join(profile);
        let (archive, shared) = (folder.join("libkeyfob.a"), folder.join("libkeyfob.so.0"));
        for (from, to) in [("libkeyfob_capi.a", &archive), ("libkeyfob_capi.so", &shared)] {
            // Another process may be running with the old one.
            let new = to.with_extension(format!("new{}", std::process::id()));
            fs::copy(built.join(from), &new).expect("it was built");
            fs::rename(&new, to).expect("the same folder");
        }
        Self { archive, shared, native }
    }
}

/// How a program is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    Static,
    Shared,
    /// With the library that can panic.
    Panics,
    Cpp,
    /// With the sanitizers for addresses and for undefined behaviour.
    Sanitized,
    /// With the sanitizer for threads.
    Threads,
    Valgrind,
}

/// Tells programs apart: two tests of one process may build the same at once.
static BUILT: AtomicUsize = AtomicUsize::new(0);

/// A program in C, built.
pub struct Program {
    path: PathBuf,
    flavor: Flavor,
    home: tempfile::TempDir,
}

impl Program {
    /// One of `tests/c`.
    pub fn test(name: &str, flavor: Flavor) -> Self {
        Self::build(&Path::new("tests/c").join(name).with_extension("c"), flavor, &[])
    }

    /// One of `examples`.
    pub fn example(name: &str, flavor: Flavor, libraries: &[&str]) -> Self {
        Self::build(&Path::new("examples").join(name).with_extension("c"), flavor, libraries)
    }

    fn build(source: &Path, flavor: Flavor, libraries: &[&str]) -> Self {
        let library = if flavor == Flavor::Panics { panicking() } else { library() };
        let name = source.file_stem().expect("a file").display();
        let number = BUILT.fetch_add(1, Relaxed);
        let path = scratch().join(format!("{name}-{flavor:?}-{}-{number}", std::process::id()));
        let compiler = |variable, default: &str| env::var_os(variable).unwrap_or_else(|| default.into());
        let mut command = if flavor == Flavor::Cpp {
            let mut command = Command::new(compiler("CXX", "c++"));
            command.args(["-x", "c++", "-std=c++11"]);
            command
        } else {
            let mut command = Command::new(compiler("CC", "cc"));
            command.arg("-std=c99");
            command
        };
        command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1", "-pthread", "-Iinclude"]);
        command.args(match flavor {
            Flavor::Sanitized => &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"][..],
            Flavor::Threads => &["-fsanitize=thread"],
            _ => &[],
        });
        command.arg(source).args(["-x", "none"]).arg("-o").arg(&path);
        if matches!(flavor, Flavor::Shared | Flavor::Threads) {
            let folder = library.shared.parent().expect("a folder");
            command.arg(&library.shared).arg(format!("-Wl,-rpath,{}", folder.display()));
        } else {
            command.arg(&library.archive).args(&library.native);
        }
        succeeds(command.args(libraries).current_dir(env!("CARGO_MANIFEST_DIR")));
        Self { path, flavor, home: tempfile::tempdir().expect("a place for temporary files") }
    }

    /// With an environment of its own: a fresh home, and two stores.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if self.flavor == Flavor::Valgrind {
            command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
            command.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
            command.arg("--show-leak-kinds=definite,indirect,possible");
            let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valgrind.supp");
            command.arg(format!("--suppressions={}", known.display())).arg(&self.path);
        }
        // ThreadSanitizer does not see how Rust code takes turns, only what it calls in C: the library is left out.
        command
            .env_clear()
            .env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1")
            .env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("OTHER_STORE", self.home().join("other-store"));
        command
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns what it said, on both.
    #[track_caller]
    pub fn passes(&self, command: impl std::borrow::BorrowMut<Command>) -> String {
        let mut command = command;
        let output = command.borrow_mut().output().expect("it runs");
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success(), "{}: {}\n{said}", self.path.display(), output.status);
        said
    }

    /// Answers each line of its standard output.
    #[track_caller]
    pub fn talks(&self, command: &mut Command, answer: impl FnMut(&str, &mut ChildStdin)) {
        command.stdout(Stdio::piped());
        let mut answer = answer;
        self.talks_to(command, |_, line, input| answer(line, input.as_mut().expect("it is open")));
    }

    /// The same with the process, and an input that can be closed.
    #[track_caller]
    pub fn talks_to(&self, command: &mut Command, answer: impl FnMut(u32, &str, &mut Option<ChildStdin>)) {
        command.stdout(Stdio::piped());
        self.converse(command, |child| Box::new(child.stdout.take().expect("piped")), answer);
    }

    /// Answers each line of its standard error, and of its standard output, which goes to the same pipe.
    #[track_caller]
    pub fn talks_on_standard_error(&self, command: &mut Command, answer: impl FnMut(&str, &mut ChildStdin)) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        command.stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
        let mut answer = answer;
        self.converse(
            command,
            |_| Box::new(reader),
            |_, line, input| answer(line, input.as_mut().expect("it is open")),
        );
    }

    #[track_caller]
    fn converse(
        &self,
        command: &mut Command,
        said: impl FnOnce(&mut Child) -> Box<dyn Read>,
        mut answer: impl FnMut(u32, &str, &mut Option<ChildStdin>),
    ) {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
        // Its ends of the pipes are to be the child's alone.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut input = child.stdin.take();
        let mut all = String::new();
        for line in BufReader::new(said(&mut child)).lines() {
            let line = line.expect("text");
            answer(child.id(), &line, &mut input);
            all += &(line + "\n");
        }
        let status = child.wait().expect("it ends");
        assert!(status.success(), "{}: {status}\n{all}", self.path.display());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns what it printed.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// The symbols that a shared library of this machine defines for others, sorted: ELF, 64 bits, little-endian.
pub fn exports(library: &Path) -> Vec<String> {
    let bytes = fs::read(library).expect("the library");
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0_usize, |number, &byte| number << 8 | usize::from(byte))
    };
    let text = |at: usize| {
        let rest = &bytes[at..];
        String::from_utf8_lossy(&rest[..rest.iter().position(|&b| b == 0).expect("a NUL")]).into_owned()
    };
    let (sections, size, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let section = |index: usize| sections + index * size;
    let dynsym = (0..count).map(section).find(|&at| number(at + 4, 4) == 11).expect("a section .dynsym");
    let names = number(section(number(dynsym + 0x28, 4)) + 0x18, 8);
    let (start, len) = (number(dynsym + 0x18, 8), number(dynsym + 0x20, 8));
    let mut symbols: Vec<_> = (start..start + len)
        .step_by(24)
        .filter(|&at| number(at + 6, 2) != 0)
        .map(|at| text(names + number(at, 4)))
        .collect();
    symbols.sort();
    symbols
}
