//! What is left on the disk after a power cut.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::rng::Rng;

const PAGE: usize = 4096;
/// Shared memory is not on the disk.
const VOLATILE: &str = "-shm";

/// What a cut took away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Pages that are not what was written last.
    pub(crate) pages: usize,
    /// Files that are not there, or are there again.
    pub(crate) names: usize,
}

impl std::ops::AddAssign for Loss {
    fn add_assign(&mut self, more: Self) {
        self.pages += more.pages;
        self.names += more.names;
    }
}

/// Puts in `data` what the image says, and leaves an image of just that. Of what was written and
/// not synced nothing survives; in a mixed image, each page, size and name by chance.
pub(crate) fn restore(data: &Path, image: &Path, mixed: bool, rng: &mut Rng) -> io::Result<Loss> {
    let mut loss = Loss::default();
    let mut left = Vec::new();
    for name in names(image)?.union(&names(data)?) {
        let (durable, written) = (image.join(name), data.join(name));
        let content = content_of(image, &written)?;
        let same = content.is_some() && inode(&durable)? == content.as_ref().map(|(inode, _)| *inode);
        // The file was made or removed, and no fsync of the directory came after.
        let renamed = !same && mixed && rng.percent(50);
        let kept =
            if renamed { content.map(|(_, path)| path) } else { Some(durable).filter(|at| at.exists()) };
        loss.names += usize::from(!same && !renamed);
        let Some(kept) = kept else { continue };
        let mut bytes = fs::read(kept)?;
        if same || renamed {
            let now = fs::read(&written)?;
            if mixed {
                bytes = mix(bytes, &now, rng);
            }
            loss.pages += differing(&bytes, &now);
        }
        left.push((name.clone(), bytes));
    }
    for directory in [data, image] {
        fs::remove_dir_all(directory)?;
        fs::create_dir(directory)?;
        for (name, bytes) in &left {
            fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(loss)
}

/// The names of durable files; others begin with a dot.
fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with(VOLATILE) {
            names.insert(name);
        }
    }
    Ok(names)
}

fn inode(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What the image has of a file that was written, whatever its name: its inode there, and where.
fn content_of(image: &Path, written: &Path) -> io::Result<Option<(u64, PathBuf)>> {
    let Some(of) = inode(written)? else { return Ok(None) };
    let mut newest: Option<(u32, PathBuf)> = None;
    for entry in fs::read_dir(image)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((n, serial)) = name.strip_prefix('.').and_then(|name| name.split_once('.')) else {
            continue;
        };
        let (Ok(n), Ok(serial)) = (n.parse::<u64>(), serial.parse::<u32>()) else { continue };
        if n == of && newest.as_ref().is_none_or(|(known, _)| *known < serial) {
            newest = Some((serial, entry.path()));
        }
    }
    let Some((_, path)) = newest else { return Ok(None) };
    Ok(inode(&path)?.map(|inode| (inode, path)))
}

fn page(bytes: &[u8], n: usize) -> &[u8] {
    let from = (n * PAGE).min(bytes.len());
    &bytes[from..(from + PAGE).min(bytes.len())]
}

fn pages(a: &[u8], b: &[u8]) -> usize {
    a.len().max(b.len()).div_ceil(PAGE)
}

fn differing(a: &[u8], b: &[u8]) -> usize {
    (0..pages(a, b)).filter(|n| page(a, *n) != page(b, *n)).count()
}

/// What was kept, with chance deciding of each page whether what was written last survives.
fn mix(mut bytes: Vec<u8>, now: &[u8], rng: &mut Rng) -> Vec<u8> {
    for n in 0..pages(&bytes, now) {
        let newer = page(now, n);
        if page(&bytes, n) != newer && rng.percent(50) {
            let at = n * PAGE;
            bytes.resize(bytes.len().max(at + newer.len()), 0);
            bytes[at..at + newer.len()].copy_from_slice(newer);
        }
    }
    // The size is written by itself.
    if rng.percent(50) {
        bytes.resize(now.len(), 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with a file that is in the image with `kept`, and was then written.
    fn written(test: &str, kept: Option<&[u8]>, now: &[u8]) -> (PathBuf, PathBuf) {
        let dir = std::env::temp_dir().join(format!("arcp-image-{}-{test}", std::process::id()));
        let (data, image) = (dir.join("data"), dir.join("image"));
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(&image).unwrap();
        fs::write(data.join("a"), now).unwrap();
        let content = image.join(format!(".{}.1", inode(&data.join("a")).unwrap().unwrap()));
        fs::write(&content, kept.unwrap_or(now)).unwrap();
        if kept.is_some() {
            fs::hard_link(&content, image.join("a")).unwrap();
        }
        (data, image)
    }

    fn remove(data: &Path) {
        fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_was_not_synced_is_gone() {
        let (old, new) = (vec![1; 3 * PAGE], vec![2; 5 * PAGE]);
        let (data, image) = written("synced", Some(&old), &new);
        fs::write(data.join("a-shm"), "shared").unwrap();
        let loss = restore(&data, &image, false, &mut Rng::new(1)).unwrap();
        assert_eq!(loss, Loss { pages: 5, names: 0 });
        assert!(fs::read(data.join("a")).unwrap() == old && fs::read(image.join("a")).unwrap() == old);
        assert!(!data.join("a-shm").exists());
        assert_eq!(restore(&data, &image, false, &mut Rng::new(1)).unwrap().pages, 0);
        remove(&data);
    }

    #[test]
    fn a_file_whose_directory_was_not_synced_is_gone_or_in_a_mixed_image_perhaps() {
        let mut left = 0;
        for seed in 0..40 {
            let (data, image) = written("named", None, &[2; 10]);
            restore(&data, &image, seed % 2 == 1, &mut Rng::new(seed)).unwrap();
            left += usize::from(data.join("a").exists());
            assert!(seed % 2 == 1 || !data.join("a").exists());
            remove(&data);
        }
        assert!((5..15).contains(&left), "{left}");
    }

    #[test]
    fn in_a_mixed_image_some_pages_are_new_and_some_are_old() {
        let (old, new) = (vec![1; 100 * PAGE], vec![2; 100 * PAGE]);
        let (data, image) = written("mixed", Some(&old), &new);
        let loss = restore(&data, &image, true, &mut Rng::new(1)).unwrap();
        let mixed = fs::read(data.join("a")).unwrap();
        let whole = |page: &[u8]| page.iter().all(|byte| *byte == page[0]);
        assert!(mixed.len() == old.len() && mixed.chunks(PAGE).all(whole));
        assert_eq!(loss.pages, mixed.chunks(PAGE).filter(|page| page[0] == 1).count());
        assert!((25..75).contains(&loss.pages), "{}", loss.pages);
        remove(&data);
    }
}
