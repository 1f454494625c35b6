//! What `crash` is told.

use std::path::PathBuf;

use clap::{ArgGroup, Parser};

/// Kills a server again and again while sessions use it, and checks that none of them loses
/// anything.
///
/// Unless told otherwise, what the server wrote is there after a kill. The other ways need Linux
/// and a C compiler: a library in the server then plays a disk that fails, or that keeps only what
/// was synced when its power is cut.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "options; at most one of the group is given")]
#[command(group = ArgGroup::new("way"))]
pub(crate) struct Args {
    /// The `arcp` under test.
    #[arg(long, default_value = "target/debug/arcp")]
    pub(crate) arcp: PathBuf,
    /// How often the server is killed.
    #[arg(long, default_value_t = 25)]
    kills: u64,
    /// Cuts the power with each kill: what no fsync covered is gone, or in every other image
    /// survives page by page as chance will have it.
    #[arg(long, group = "way")]
    power_cut: bool,
    /// A power cut on a disk that says too early that it kept something: that must be found out,
    /// or the checks are worth nothing.
    #[arg(long, group = "way")]
    lying_disk: bool,
    /// In each life of the server, an fsync fails; then the power is cut.
    #[arg(long, group = "way")]
    fsync_fails_once: bool,
    /// In each life of the server, every fsync fails for some seconds; then the power is cut.
    #[arg(long, group = "way")]
    fsync_fails: bool,
    /// In each life of the server, the disk is full for some seconds; then the power is cut.
    #[arg(long, group = "way")]
    disk_full: bool,
    /// How often the power is cut.
    #[arg(long)]
    images: Option<u64>,
    /// Sessions at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sessions: u64,
    /// Jobs that each session keeps under way.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) jobs: u64,
    /// Decides what happens, as far as scheduling lets it; made up and printed if it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Keeps the store and the server's log when nothing was wrong, too.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// How a life of the server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Kill,
    PowerCut,
    LyingDisk,
    FsyncFailsOnce,
    FsyncFails,
    DiskFull,
}

impl Way {
    /// Whether the disk fails while the server runs.
    pub(crate) fn fails(self) -> bool {
        matches!(self, Self::FsyncFailsOnce | Self::FsyncFails | Self::DiskFull)
    }
}

impl Args {
    pub(crate) fn way(&self) -> Way {
        let ways = [
            (self.power_cut, Way::PowerCut),
            (self.lying_disk, Way::LyingDisk),
            (self.fsync_fails_once, Way::FsyncFailsOnce),
            (self.fsync_fails, Way::FsyncFails),
            (self.disk_full, Way::DiskFull),
        ];
        ways.into_iter().find_map(|(chosen, way)| chosen.then_some(way)).unwrap_or(Way::Kill)
    }

    /// How often the server is killed.
    pub(crate) fn lives(&self) -> u64 {
        match self.way() {
            Way::Kill => self.kills,
            Way::PowerCut | Way::LyingDisk => self.images.unwrap_or(50),
            Way::FsyncFailsOnce => self.images.unwrap_or(20),
            Way::FsyncFails | Way::DiskFull => self.images.unwrap_or(5),
        }
    }
}
