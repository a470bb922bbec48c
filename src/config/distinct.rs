//! The files that a command line names, and that none of them is named twice if one of the two uses
//! would overwrite it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::tls::secrets_of_environment;
use crate::cli::{AdmitArgs, SeeingArgs, TlsArgs, TrustArgs};
use crate::error::{Error, Result};
use crate::io::inherited;
use crate::sys::{LinkEnd, end_of_links};

/// The words of TLS, as far as a command has them, and whether it is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct TlsWords<'a> {
    pub options: &'a TlsArgs,
    pub trust: Option<&'a TrustArgs>,
    pub admit: Option<&'a AdmitArgs>,
    pub is_used: bool,
}

/// Identifies a file, whatever path it is named by.
#[derive(Debug, PartialEq, Eq)]
enum FileIdentity {
    /// An existing file or FIFO: device and inode.
    There(u64, u64),
    /// A file that does not exist: the path at which it would be created.
    Missing(PathBuf),
}

/// How a path names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// By a name of its own, so that it is opened once more.
    Own,
    /// As what is open already: `/dev/stderr`, `/dev/fd/3`. Who writes there goes on where others have written.
    Open,
}

/// The files of one command line, each with the word that names it.
#[derive(Debug, Default)]
pub(super) struct Files {
    written: Vec<(&'static str, FileIdentity, Naming)>,
    read: Vec<(&'static str, FileIdentity, Naming)>,
    /// Whether standard input is read as well.
    reads_stdin: bool,
}

impl Files {
    /// Those that show what is transferred. The arguments are destructured field by field, here and below, so
    /// that a new option does not compile until somebody has said whether it names a file.
    pub(super) fn of(seeing: &SeeingArgs) -> Self {
        let SeeingArgs { hex: _, hex_file, pcap, json: _, timestamps: _, progress: _, color: _ } =
            seeing;
        Self::default()
            .writing("--pcap", pcap.as_deref())
            .writing("--hex-file", hex_file.as_deref())
    }

    /// And one that is written to, if it is given.
    pub(super) fn writing(mut self, option: &'static str, path: Option<&Path>) -> Self {
        self.written.extend(path.and_then(|path| named(option, path)));
        self
    }

    /// And one that is written to once, before all else. Where standard output or standard error is that file,
    /// it is written through what is open there, whatever its name, and the rest follows.
    pub(super) fn writing_once(mut self, option: &'static str, path: Option<&Path>) -> Self {
        let named = path.and_then(|path| named(option, path));
        self.written.extend(named.map(|(option, identity, _)| (option, identity, Naming::Open)));
        self
    }

    /// And one that is read, if it is given.
    pub(super) fn reading(mut self, option: &'static str, path: Option<&Path>) -> Self {
        self.read.extend(path.and_then(|path| named(option, path)));
        self
    }

    /// And standard input, which a shell may have opened from a file.
    pub(super) fn reading_stdin(mut self) -> Self {
        self.reads_stdin = true;
        self
    }

    /// And those of TLS, with the one that the environment names for secrets.
    pub(super) fn tls(self, words: TlsWords<'_>) -> Self {
        let TlsArgs { cert, key, alpn: _, keylog, accept_fin: _ } = words.options;
        let ca = words.trust.and_then(|trust| {
            let TrustArgs { server_name: _, ca, pin: _, insecure: _ } = trust;
            ca.as_deref()
        });
        let client_ca = words.admit.and_then(|admit| {
            let AdmitArgs { client_ca } = admit;
            client_ca.as_deref()
        });
        let named = if words.is_used { secrets_of_environment() } else { None };
        self.reading("--cert", cert.as_deref())
            .reading("--key", key.as_deref())
            .reading("--ca", ca)
            .reading("--client-ca", client_ca)
            .writing("--keylog", keylog.as_deref())
            .writing("SSLKEYLOGFILE", named.as_deref().filter(|_| keylog.is_none()))
    }

    /// Checks that those which are written to are all different, that none of them is read as well, and that none
    /// is what standard output or standard error was opened from, unless it is named as such. Nor may standard
    /// input be read for another purpose and sent.
    ///
    /// # Errors
    /// A usage error that names the two words.
    pub(super) fn check(self) -> Result<()> {
        // A run that names no file asks nothing about it here.
        let names_any = !(self.read.is_empty() && self.written.is_empty());
        let stdin = if self.reads_stdin && names_any { stdin() } else { None };
        // A file is read from its beginning each time, so that a private key would be sent as well.
        let is_sent = |(_, file, naming): &&(_, FileIdentity, Naming)| {
            *naming == Naming::Open
                && stdin.as_ref().is_some_and(|(own, there)| own == file && there.is_file())
        };
        if let Some((option, ..)) = self.read.iter().find(is_sent) {
            return Err(Error::usage(format!("stdin, {option}"), "are the same file")
                .hint("-d sends nothing of it"));
        }
        let read = self.read.into_iter().map(|(option, identity, _)| (option, identity));
        let mut known: Vec<_> = read.chain(stdin.map(|(own, _)| ("stdin", own))).collect();
        let outputs = if self.written.is_empty() { Vec::new() } else { outputs() };
        for (option, identity, naming) in self.written {
            let outputs = if naming == Naming::Own { &outputs[..] } else { &[] };
            let mut others = known.iter().chain(outputs);
            if let Some((other, _)) = others.find(|(_, other)| *other == identity) {
                return Err(Error::usage(format!("{other}, {option}"), "are the same file"));
            }
            known.push((option, identity));
        }
        Ok(())
    }
}

/// What standard input is, if it is a file.
fn stdin() -> Option<(FileIdentity, Metadata)> {
    let own = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let there = File::from(own).metadata().ok()?;
    Some((existing(&there)?, there))
}

/// What standard output and standard error are, where they are files. FIFOs keep what each writer writes.
fn outputs() -> Vec<(&'static str, FileIdentity)> {
    let outputs = inherited::outputs().into_iter();
    let files = outputs.filter_map(|(name, file)| Some((name, file.metadata().ok()?)));
    files
        .filter(|(_, there)| there.is_file())
        .filter_map(|(name, there)| Some((name, existing(&there)?)))
        .collect()
}

/// The file that an option names, if it is one that has to be told from others.
fn named(option: &'static str, path: &Path) -> Option<(&'static str, FileIdentity, Naming)> {
    let naming = match end_of_links(path) {
        Ok(LinkEnd::Descriptor(_)) => Naming::Open,
        Ok(LinkEnd::Path(_)) | Err(_) => Naming::Own,
    };
    Some((option, identity(path)?, naming))
}

/// `None` for devices and terminals, which several options may write to.
fn identity(path: &Path) -> Option<FileIdentity> {
    match fs::metadata(path) {
        Ok(there) => existing(&there),
        Err(_) => Some(FileIdentity::Missing(place(path))),
    }
}

fn existing(there: &Metadata) -> Option<FileIdentity> {
    let kind = there.file_type();
    (kind.is_file() || kind.is_fifo()).then(|| FileIdentity::There(there.dev(), there.ino()))
}

/// The path at which a missing file would be created.
fn place(path: &Path) -> PathBuf {
    let path = match end_of_links(path) {
        Ok(LinkEnd::Path(path) | LinkEnd::Descriptor(path)) => path,
        // Nothing is created at the end of a circle.
        Err(_) => path.to_owned(),
    };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return path,
    };
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}
