//! `find_package(keyfob)` of CMake, with what `make install` installs.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use keyfob_sandbox::Sandbox;
use support::succeeds;

const PROJECT: &str = "
cmake_minimum_required(VERSION 3.13)
project(get C)
find_package(keyfob ${WANTED} REQUIRED)
add_executable(shared ${SOURCE})
target_link_libraries(shared keyfob::keyfob)
add_executable(static ${SOURCE})
target_link_libraries(static keyfob::static)
";

#[test]
#[ignore = "needs make and CMake"]
fn cmake_finds_the_installed_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("opt/keyfob");
    let make = |target: &str| {
        let mut command = Command::new("make");
        command.args(["-C", env!("CARGO_MANIFEST_DIR"), target, "PREFIX=/opt/keyfob"]);
        // Headers may be anywhere.
        command.arg("INCLUDEDIR=/opt/keyfob/include/of/keyfob");
        command.arg(format!("DESTDIR={}", folder.path().display()));
        succeeds(command.env("CARGO_TARGET_DIR", support::target()));
    };
    make("install");
    let [project, build] = ["project", "build"].map(|name| folder.path().join(name));
    fs::create_dir(&project).expect("a folder");
    fs::write(project.join("CMakeLists.txt"), PROJECT).expect("it is written");
    let cmake = |wanted: &str| {
        let mut command = Command::new("cmake");
        command.arg("-S").arg(&project).arg("-B").arg(&build).arg(format!("-DWANTED={wanted}"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/get.c");
        command.arg(format!("-DSOURCE={}", source.display()));
        command.arg(format!("-DCMAKE_PREFIX_PATH={}", root.display()));
        command
    };
    for wanted in ["0.99", "1.0"] {
        let output = cmake(wanted).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("considered but not accepted"), "{said}");
    }
    succeeds(&mut cmake("0.1"));
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    let sandbox = Sandbox::start();
    for program in ["shared", "static"] {
        let mut command = Command::new(build.join(program));
        command.env_clear().envs(sandbox.env()).env("KEYFOB_STORE", folder.path().join("store"));
        assert!(succeeds(&mut command).contains("ce-wildfire-risk"));
    }
    make("uninstall");
    assert!(!root.join("lib/cmake/keyfob").exists());
}
