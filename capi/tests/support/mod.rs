//! Builds the library and C programs with it, and runs them.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod header;
pub mod servers;

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs};

/// The library that a C program is linked to.
pub struct Library {
    pub archive: PathBuf,
    pub shared: PathBuf,
    /// The libraries that rustc says the archive needs.
    pub native: Vec<String>,
}

/// The library as users build it.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::build("capi", &[]))
}

/// The library without its allocator and with a function that panics, in a profile that inherits the panic
/// strategy. It has its own target folder, so that the two builds do not replace each other.
pub fn panicking() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let inherits =
        ["--config", "profile.capi-panics.inherits='capi'", "--config", "profile.capi-panics.lto='off'"];
    let features = ["--no-default-features", "--features", "rustls,test-panic"];
    LIBRARY.get_or_init(|| Library::build("capi-panics", &[&inherits[..], &features].concat()))
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A static library of Rust code that has nothing to do with keyfob, made by the same compiler.
pub fn other_library() -> PathBuf {
    let number = BUILT.fetch_add(1, Relaxed);
    let path = scratch().join(format!("libother-{}-{number}.a", std::process::id()));
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(["--edition", "2024", "--crate-type", "staticlib", "-O", "tests/rust/other.rs", "-o"]);
    succeeds(command.arg(&path).current_dir(manifest_dir()));
    path
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
    /// Builds like the Makefile, so that the two do not replace each other's output.
    fn build(profile: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO"));
        command.args(["rustc", "--locked", "--package", "keyfob-capi", "--lib", "--profile", profile]);
        command.arg("--target-dir").arg(target()).args(arguments).args([
            "--",
            "--print",
            "native-static-libs",
        ]);
        // What cargo tells a test about its package would make build scripts run again.
        let told = |name: &str| {
            name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        };
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
            command.env_remove(name);
        }
        let output = command.current_dir(manifest_dir()).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let native = said.lines().find_map(|line| line.strip_prefix("note: native-static-libs: "));
        let native =
            native.expect("rustc names the libraries").split_whitespace().map(str::to_owned).collect();
        // The names that `make install` uses.
        let folder = scratch().join(profile);
        fs::create_dir_all(&folder).expect("the target folder can be written to");
        let built = target().join(profile);
        let (archive, shared) = (folder.join("libkeyfob.a"), folder.join("libkeyfob.so.0"));
        for (from, to) in [("libkeyfob_capi.a", &archive), ("libkeyfob_capi.so", &shared)] {
            // Another process may be running with the old file.
            let new = to.with_extension(format!("new{}", std::process::id()));
            if cfg!(target_os = "linux") && *to == archive {
                succeeds(Command::new(manifest_dir().join("only-keyfob")).arg(built.join(from)).arg(&new));
            } else {
                fs::copy(built.join(from), &new).expect("it was built");
            }
            fs::rename(&new, to).expect("the same folder");
        }
        Self { archive, shared, native }
    }
}

/// How to build and run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    Static,
    Shared,
    /// With the static library that has no allocator of its own and can panic.
    Panics,
    Cpp,
    /// With the sanitizers for addresses and for undefined behaviour.
    Sanitized,
    /// With the sanitizer for threads.
    Threads,
    Valgrind,
}

/// Numbers programs: two tests of one process may build the same one at once.
static BUILT: AtomicUsize = AtomicUsize::new(0);

/// A C program that was built.
pub struct Program {
    path: PathBuf,
    flavor: Flavor,
    home: tempfile::TempDir,
}

impl Program {
    /// Builds a program of `tests/c`.
    pub fn test(name: &str, flavor: Flavor) -> Self {
        Self::build(&Path::new("tests/c").join(name).with_extension("c"), flavor, &[], &[])
    }

    /// Builds a program of `tests/c` and links another static library before keyfob or after it.
    pub fn beside(name: &str, flavor: Flavor, other: &Path, comes_first: bool) -> Self {
        let (before, behind) = if comes_first { (&[other][..], &[][..]) } else { (&[][..], &[other][..]) };
        Self::build(&Path::new("tests/c").join(name).with_extension("c"), flavor, before, behind)
    }

    /// Builds a program of `examples`, in C++ for that flavor.
    pub fn example(name: &str, flavor: Flavor, libraries: &[&str]) -> Self {
        let libraries: Vec<_> = libraries.iter().map(Path::new).collect();
        let extension = if flavor == Flavor::Cpp { "cpp" } else { "c" };
        Self::build(&Path::new("examples").join(name).with_extension(extension), flavor, &[], &libraries)
    }

    /// Builds another C program.
    pub fn source(path: &Path) -> Self {
        Self::build(path, Flavor::Shared, &[], &[])
    }

    /// `before` and `behind`: what is linked before the library and after it.
    fn build(source: &Path, flavor: Flavor, before: &[&Path], behind: &[&Path]) -> Self {
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
        command.arg(source).args(["-x", "none"]).arg("-o").arg(&path).args(before);
        if matches!(flavor, Flavor::Shared | Flavor::Threads) {
            let folder = library.shared.parent().expect("a folder");
            command.arg(&library.shared).arg(format!("-Wl,-rpath,{}", folder.display()));
        } else {
            command.arg(&library.archive);
        }
        // Each Rust library needs the libraries that rustc names.
        succeeds(command.args(behind).args(&library.native).current_dir(manifest_dir()));
        Self { path, flavor, home: tempfile::tempdir().expect("a place for temporary files") }
    }

    /// A command with an environment of its own: a new home folder and two stores.
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
        // ThreadSanitizer sees only the locks of C code, not those of Rust code, so reports about the library
        // are ignored.
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

    /// Runs the program, which must succeed, and returns its standard output and standard error.
    #[track_caller]
    pub fn passes(&self, command: impl std::borrow::BorrowMut<Command>) -> String {
        let mut command = command;
        let output = command.borrow_mut().output().expect("it runs");
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success(), "{}: {}\n{said}", self.path.display(), output.status);
        said
    }

    /// Answers each line of the program's standard output.
    #[track_caller]
    pub fn talks(&self, command: &mut Command, answer: impl FnMut(&str, &mut ChildStdin)) {
        command.stdout(Stdio::piped());
        let mut answer = answer;
        self.talks_to(command, |_, line, input| answer(line, input.as_mut().expect("it is open")));
    }

    /// The same, with access to the process and to an input that can be closed.
    #[track_caller]
    pub fn talks_to(&self, command: &mut Command, answer: impl FnMut(u32, &str, &mut Option<ChildStdin>)) {
        command.stdout(Stdio::piped());
        self.converse(command, |child| Box::new(child.stdout.take().expect("piped")), answer);
    }

    /// Answers each line of the program's standard output and standard error, which share a pipe.
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
        // Only the child may hold its ends of the pipes.
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

/// Returns the output of a command, which must succeed.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Returns the sorted symbols that a shared library exports: ELF, 64 bits, little-endian.
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
