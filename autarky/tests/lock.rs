//! What the default build stands on: few packages, one TLS, and nothing that links the system's OpenSSL.

use std::collections::BTreeSet;
use std::process::Command;

/// Packages the default build may stand on, ours and build-time ones included.
const PACKAGES: usize = 260;

/// Name and version of every package that a build of the binary with these `features` compiles for this machine.
fn packages(features: &[&str]) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "autarky", "--edges", "normal,build", "--prefix", "none", "--locked"])
        .args(["--format", "{p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, since it built this test");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(line).collect()
}

/// Asserts that none of `unwanted` is among `packages`.
fn assert_without(packages: &BTreeSet<(String, String)>, unwanted: &[&str]) {
    let found: Vec<_> = packages.iter().filter(|(name, _)| unwanted.contains(&name.as_str())).collect();
    assert!(found.is_empty(), "unwanted: {found:?}; `cargo tree --invert NAME` tells who brings them");
}

#[test]
fn the_default_build_stays_small_and_free_of_openssl() {
    let packages = packages(&[]);
    assert!(packages.len() > 50, "cargo tree named only {} packages", packages.len());
    assert!(packages.len() <= PACKAGES, "the default build has {} packages, {PACKAGES} are allowed", packages.len());
    assert_without(&packages, &["openssl", "openssl-sys", "native-tls", "aws-lc-sys", "reqwest", "testkit"]);
}

#[test]
fn a_build_without_the_house_model_needs_no_cxx_compiler() {
    assert_without(&packages(&["--no-default-features"]), &["llama-cpp-2", "llama-cpp-sys-2", "cmake", "bindgen"]);
}
