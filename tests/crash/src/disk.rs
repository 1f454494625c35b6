//! The disk under the server, played by a library in it: see `powercut.c`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::image::{Loss, restore};
use crate::rng::Rng;
use crate::server::Place;

const SOURCE: &str = include_str!("../powercut.c");
/// Bytes of the control file: a page of memory.
const CONTROL: usize = 4096;

/// Where `struct control` has what.
const LOADED: u64 = 0;
const FAILING_SYNCS: u64 = 1;
const FAILING_FILE: u64 = 2;
const FULL: u64 = 3;
const SHORT_WRITES: u64 = 4;
const LYING: u64 = 5;
const FAILED_SYNCS: u64 = 8;
const REFUSED_WRITES: u64 = 12;

/// As many failing syncs as there are.
const ALL: u8 = 255;

/// What a full disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Every write.
    Writes = 1,
    /// That a file grows.
    Growth = 2,
}

/// A disk that fails when it is told to.
#[derive(Debug)]
pub(crate) struct Disk {
    library: PathBuf,
    data: PathBuf,
    image: PathBuf,
    control_path: PathBuf,
    control: File,
}

impl Disk {
    /// Compiles the library.
    pub(crate) fn new(place: &Place) -> Result<Self> {
        ensure!(cfg!(target_os = "linux"), "only on Linux can the disk be played");
        let at = |name| place.dir.join(name);
        let (library, image, control_path) = (at("powercut.so"), at("image"), at("control"));
        std::fs::create_dir(&image)?;
        std::fs::write(&control_path, [0; CONTROL])?;
        let control = File::options().read(true).write(true).open(&control_path)?;
        let mut compiler = std::process::Command::new("cc")
            .args([
                "-shared", "-fPIC", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o",
            ])
            .arg(&library)
            .stdin(Stdio::piped())
            .spawn()
            .context("there is no cc")?;
        compiler.stdin.take().context("no input")?.write_all(SOURCE.as_bytes())?;
        ensure!(compiler.wait()?.success(), "powercut.c does not compile here");
        Ok(Self { library, data: place.data(), image, control_path, control })
    }

    /// What a server needs to know to have this disk.
    pub(crate) fn under(&self, command: &mut Command) -> Result<()> {
        self.set(LOADED, 0)?;
        command.env("LD_PRELOAD", &self.library).env("POWERCUT_DATA", &self.data);
        command.env("POWERCUT_IMAGE", &self.image).env("POWERCUT_CONTROL", &self.control_path);
        Ok(())
    }

    /// Whether the server that runs has it.
    pub(crate) fn check_loaded(&self) -> Result<()> {
        ensure!(self.get(LOADED)? == 1, "the server did not load the library: is it linked statically?");
        Ok(())
    }

    /// The power goes, the server being dead: the disk has what it has. With a `mixed` image, and
    /// a part of the rest.
    pub(crate) fn cut(&self, mixed: bool, rng: &mut Rng) -> Result<Loss> {
        restore(&self.data, &self.image, mixed, rng).context("the image cannot be put in place")
    }

    fn set(&self, at: u64, value: u8) -> Result<()> {
        Ok(self.control.write_all_at(&[value], at)?)
    }

    fn get(&self, at: u64) -> Result<u8> {
        let mut value = [0];
        self.control.read_exact_at(&mut value, at)?;
        Ok(value[0])
    }

    fn number(&self, at: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, at)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// The next fsync fails: of any file, of the log, or of the database.
    pub(crate) fn fail_one_sync(&self, rng: &mut Rng) -> Result<()> {
        let which = rng.within(0..3);
        self.set(FAILING_FILE, u8::try_from(which)?)?;
        self.set(FAILING_SYNCS, 1)
    }

    /// Every fsync fails from now on, or none.
    pub(crate) fn fail_syncs(&self, fail: bool) -> Result<()> {
        self.set(FAILING_FILE, 0)?;
        self.set(FAILING_SYNCS, if fail { ALL } else { 0 })
    }

    /// Whether nothing can be kept.
    pub(crate) fn fails(&self) -> Result<bool> {
        Ok(self.get(FAILING_SYNCS)? == ALL || self.get(FULL)? == Full::Writes as u8)
    }

    /// Nothing fails any more.
    pub(crate) fn works(&self) -> Result<()> {
        self.full(None)?;
        self.fail_syncs(false)
    }

    pub(crate) fn full(&self, full: Option<Full>) -> Result<()> {
        self.set(FULL, full.map_or(0, |full| full as u8))
    }

    /// A write may stop in the middle.
    pub(crate) fn short_writes(&self, short: bool) -> Result<()> {
        self.set(SHORT_WRITES, short.into())
    }

    /// An fsync of the log may come too early.
    pub(crate) fn lie(&self) -> Result<()> {
        self.set(LYING, 1)
    }

    /// How many fsyncs failed.
    pub(crate) fn failed_syncs(&self) -> Result<u32> {
        self.number(FAILED_SYNCS)
    }

    /// How many writes a full disk refused.
    pub(crate) fn refused_writes(&self) -> Result<u32> {
        self.number(REFUSED_WRITES)
    }
}
