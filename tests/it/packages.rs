//! What is released: made by the scripts in `packaging`, installed, used and removed.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Ended, binary, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_debian_package_is_installed_used_and_removed needs [
            Need::Root, Need::Program("dpkg"), Need::Program("man"), Need::Program("strip")],
        lintian_finds_no_errors needs [Need::Program("lintian"), Need::Program("strip")],
        the_archive_has_all_files_and_a_checksum needs [Need::Program("strip")],
        the_image_has_all_it_needs needs [Need::Root, Need::Static],
        recipes_for_packagers_know_the_version,
        recipes_have_the_checksum_and_install_what_the_archive_has needs [Need::Program("cargo")],
        release_notes_are_those_of_this_version,
    ]
}

/// The files that every package has, below its prefix.
const FILES: [&str; 11] = [
    "bin/pktcat",
    "share/man/man1/pktcat.1.gz",
    "share/man/man1/pktcat-listen.1.gz",
    "share/man/man1/pktcat-connect.1.gz",
    "share/man/man1/pktcat-forward.1.gz",
    "share/man/man5/pktcat-json.5.gz",
    "share/man/man7/pktcat-recipes.7.gz",
    "share/doc/pktcat",
    "share/bash-completion/completions/pktcat",
    "share/zsh/vendor-completions/_pktcat",
    "share/fish/vendor_completions.d/pktcat.fish",
];

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of `packaging`; its last line names the file that it has made.
fn make<'a>(script: &str, words: impl IntoIterator<Item = &'a str>) -> PathBuf {
    let script = root().join("packaging").join(script);
    // How small it gets is nothing to test, and the best compression of a debug build takes a minute.
    let fast = program(script, words).env("DPKG_DEB_COMPRESSOR_LEVEL", "0").env("XZ_OPT", "-0");
    let made = fast.run().expect_code(0).stdout_text();
    PathBuf::from(made.lines().last().unwrap())
}

/// The program as it is released: without what debuggers want to know.
fn stripped(folder: &Path) -> String {
    let stripped = folder.join("pktcat").to_str().unwrap().to_owned();
    program("strip", ["-o", &stripped, binary()]).run().expect_code(0);
    stripped
}

fn debian_package(of: &str, folder: &Path) -> PathBuf {
    make("deb.sh", [of, "amd64", folder.to_str().unwrap()])
}

fn dpkg(machine: &Path, words: &[&str]) -> Ended {
    let own = [format!("--root={}", machine.display()), "--force-architecture".to_owned()];
    let words = own.into_iter().chain(words.iter().map(|&word| word.to_owned()));
    program("dpkg", words).env("DEBIAN_FRONTEND", "noninteractive").run().expect_code(0)
}

fn the_debian_package_is_installed_used_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let package = debian_package(&stripped(folder.path()), folder.path());
    let machine = folder.path().join("machine");
    for needed in ["info", "updates", "triggers"] {
        fs::create_dir_all(machine.join("var/lib/dpkg").join(needed)).unwrap();
    }
    fs::write(machine.join("var/lib/dpkg/status"), "").unwrap();

    dpkg(&machine, &["--install", package.to_str().unwrap()]);
    let prefix = machine.join("usr");
    for file in FILES {
        assert!(prefix.join(file).exists(), "{file}");
    }
    let said = program(prefix.join("bin/pktcat"), ["--version"]).run().expect_code(0);
    assert_eq!(said.stdout_text(), format!("pktcat {VERSION}\n"));
    for page in ["pktcat", "pktcat-forward", "pktcat-json", "pktcat-recipes"] {
        let pages = prefix.join("share/man");
        let shown = program("man", ["-M", pages.to_str().unwrap(), page]);
        let shown = shown.env("MANPAGER", "cat").run().expect_code(0);
        assert!(shown.stdout_text().contains("SEE ALSO"), "{page}");
    }
    let listed = dpkg(&machine, &["--listfiles", "pktcat"]).stdout_text();
    assert!(listed.contains("/usr/share/doc/pktcat/copyright"), "{listed}");

    dpkg(&machine, &["--purge", "pktcat"]);
    assert!(!prefix.exists(), "something of it is left");
}

fn lintian_finds_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    let package = debian_package(&stripped(folder.path()), folder.path());
    let words = ["--allow-root", "--fail-on", "error", package.to_str().unwrap()];
    let said = program("lintian", words).run().expect_code(0).stdout_text();
    assert!(!said.contains("E: "), "{said}");
}

fn the_archive_has_all_files_and_a_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let target = "x86_64-unknown-linux-musl";
    let released = stripped(folder.path());
    let archive = make("tarball.sh", [&*released, target, folder.path().to_str().unwrap()]);
    let name = format!("pktcat-{VERSION}-{target}");
    assert_eq!(archive.file_name().unwrap().to_str().unwrap(), format!("{name}.tar.xz"));
    let check = format!("cd {} && sha256sum --check {name}.tar.xz.sha256", folder.path().display());
    program("sh", ["-c", &check]).run().expect_code(0);
    let words = ["--list", "--file", archive.to_str().unwrap()];
    let listed = program("tar", words).run().expect_code(0).stdout_text();
    let licences = ["share/doc/pktcat/LICENSE-MIT", "share/doc/pktcat/LICENSE-APACHE"];
    for file in FILES.iter().chain(&licences) {
        assert!(listed.contains(&format!("{name}/{file}")), "{file} in {listed}");
    }
}

/// Follows the file as a builder of images would: it has only copies, into an image with nothing in it.
fn the_image_has_all_it_needs() {
    let text = fs::read_to_string(root().join("packaging/Containerfile")).unwrap();
    let lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(lines[0], "FROM scratch");
    let image = tempfile::tempdir().unwrap();
    let mut entry = None;
    for line in &lines[1..] {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["COPY", ref sources @ .., to] => {
                for &source in sources {
                    let built = source == "target/${TARGET}/release/pktcat";
                    let source = if built { PathBuf::from(binary()) } else { root().join(source) };
                    let to = match to.ends_with('/') {
                        true => Path::new(to).join(source.file_name().unwrap()),
                        false => PathBuf::from(to),
                    };
                    fs::copy(source, image.path().join(to.strip_prefix("/").unwrap())).unwrap();
                }
            }
            ["ENTRYPOINT", word] => entry = Some(word.trim_matches(['[', ']', '"']).to_owned()),
            ["ARG" | "USER", _] => {}
            _ => panic!("{line}"),
        }
    }
    let words = [image.path().to_str().unwrap(), &entry.unwrap(), "listen", "--quiet", "-w"];
    let refused = program("chroot", words).run().expect_code(2);
    assert!(refused.stderr.starts_with("pktcat: usage: "), "{}", refused.stderr);
    let words = [image.path().to_str().unwrap(), "/pktcat", "compare", "--count", "10"];
    program("chroot", words).run().expect_code(0);
}

fn recipes_for_packagers_know_the_version() {
    let read = |name: &str| fs::read_to_string(root().join("packaging").join(name)).unwrap();
    assert!(read("PKGBUILD").contains(&format!("\npkgver={VERSION}\n")));
    assert!(read("pktcat.rb").contains(&format!("pktcat-{VERSION}.tar.gz")));
    assert!(read("cross.sh").contains("x86_64-unknown-linux-musl"));
    program("bash", ["-n"]).arg(root().join("packaging/PKGBUILD")).run().expect_code(0);
}

/// Follows the recipe for Arch as makepkg does: checks the sources, unpacks them, and runs package(). Only building is left
/// out, for which the tested program stands in.
const MAKEPKG: &str = r#"
source "$1/PKGBUILD"
[[ ${source[0]} == "pktcat-$pkgver.tar.gz::https://download.example/v1/pktcat-$pkgver.tar.gz" ]]
[[ $url == https://project.example/pktcat ]]
cd "$1"
echo "${sha256sums[0]}  pktcat-$pkgver.tar.gz" | sha256sum --check --quiet
tar xzf "pktcat-$pkgver.tar.gz"
install -D "$2" "pktcat-$pkgver/target/release/pktcat"
pkgdir=$1/installed
package
"#;

fn recipes_have_the_checksum_and_install_what_the_archive_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let archive = make("source.sh", [path, "--allow-dirty", "--offline"]);
    assert_eq!(archive, folder.path().join(format!("pktcat-{VERSION}.tar.gz")));
    let recipes = |archive: &Path| {
        let filled = program(root().join("packaging/recipes.sh"), [archive, folder.path()]);
        filled.env("PKTCAT_PROJECT_URL", "https://project.example/pktcat")
    };
    recipes(&archive).run().expect_code(1);
    let downloads = ("PKTCAT_DOWNLOAD_URL", "https://download.example/v1");
    let said = recipes(&archive).env(downloads.0, downloads.1).run().expect_code(0);
    assert_eq!(said.stdout_text(), "");

    program("bash", ["-euc", MAKEPKG, "bash", path, &stripped(folder.path())]).run().expect_code(0);
    for file in FILES.iter().filter(|file| !file.contains("zsh")) {
        assert!(folder.path().join("installed/usr").join(file).exists(), "{file}");
    }
    let sum = program("sha256sum", [&archive]).run().expect_code(0).stdout_text();
    let formula = fs::read_to_string(folder.path().join("pktcat.rb")).unwrap();
    assert!(formula.contains(&format!("\n  sha256 \"{}\"\n", &sum[..64])), "{formula}");
    let url = format!("\n  url \"https://download.example/v1/pktcat-{VERSION}.tar.gz\"\n");
    assert!(formula.contains(&url) && !formula.contains("example.org"), "{formula}");
    // An archive of another version is not what the recipes are of.
    let other = folder.path().join("pktcat-0.0.1.tar.gz");
    fs::rename(archive, &other).unwrap();
    recipes(&other).env(downloads.0, downloads.1).run().expect_code(1);
}

fn release_notes_are_those_of_this_version() {
    let notes = program(root().join("packaging/notes.sh"), [""; 0]).run().expect_code(0);
    let notes = notes.stdout_text();
    assert!(notes.contains("### Added"), "{notes}");
    assert!(!notes.contains("\n## "), "{notes}");
    program(root().join("packaging/notes.sh"), ["99.0.0"]).run().expect_code(1);
}
