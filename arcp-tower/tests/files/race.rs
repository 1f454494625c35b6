//! What a path leads to changes while it is used.
//!
//! `ARCP_CASES=100000` runs the long form: so many changes of each kind.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arcp_tower::core::Code;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::scene::Scene;

/// As many changes as the environment asks for, or a few.
fn swaps() -> usize {
    std::env::var("ARCP_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

/// What the other side of a race has seen.
#[derive(Default)]
struct Seen {
    good: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Seen {
    /// Whether both states were met often enough to show anything.
    fn both_met(&self) -> bool {
        [&self.good, &self.refused].iter().all(|count| count.load(Ordering::Relaxed) >= 10)
    }
}

/// That what the lease does not cover is as it was.
#[track_caller]
fn untouched(scene: &Scene) {
    for (directory, content) in [("root/secret", "secret"), ("outside", "outside")] {
        assert_eq!(fs::read_dir(scene.at(directory)).unwrap().count(), 1, "{directory}");
        assert_eq!(scene.content(&format!("{directory}/file")), content);
    }
}

/// Swaps two names, at least [`swaps`] times and until both states were met by the other side.
fn swap(one: String, other: String, seen: Arc<Seen>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut done, wanted) = (0, swaps());
        while done < wanted || !seen.both_met() {
            // The other side failed.
            if Arc::strong_count(&seen) == 1 {
                return;
            }
            renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            done += 1;
        }
        seen.over.store(true, Ordering::Relaxed);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_a_directory_that_is_swapped_for_a_symlink_again_and_again_gives_no_read_outside() {
    for target in ["../secret", "../../outside", "/etc"] {
        let (scene, seen) = (Scene::new(), Arc::<Seen>::default());
        let swapping = swap(scene.at("root/granted/inner"), scene.link(target, "swapped"), seen.clone());
        let path = scene.at("root/granted/inner/file");
        while !seen.over.load(Ordering::Relaxed) {
            match scene.read(&path).await {
                Ok(content) => {
                    assert_eq!(content, "granted");
                    seen.good.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            let names = scene.names(&scene.at("root/granted/inner")).await;
            assert!(names.is_err() || names.as_deref() == Ok(&["file".to_owned()]), "{names:?}");
        }
        swapping.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_a_directory_that_is_swapped_for_a_symlink_again_and_again_gives_no_write_outside() {
    for target in ["../secret", "../../outside"] {
        let (scene, seen) = (Scene::new(), Arc::<Seen>::default());
        let swapping = swap(scene.at("root/granted/inner"), scene.link(target, "swapped"), seen.clone());
        let (file, new) = (scene.at("root/granted/inner/file"), scene.at("root/granted/inner/new"));
        while !seen.over.load(Ordering::Relaxed) {
            for path in [&file, &new] {
                match scene.write(path, "granted").await {
                    Ok(()) => seen.good.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        assert_eq!(error.code(), Code::PermissionDenied, "{error}");
                        seen.refused.fetch_add(1, Ordering::Relaxed)
                    }
                };
                untouched(&scene);
            }
        }
        swapping.join().unwrap();
        untouched(&scene);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_a_file_that_is_swapped_for_a_symlink_again_and_again_is_never_followed_by_a_write() {
    let (scene, seen) = (Scene::new(), Arc::<Seen>::default());
    let (file, link) = (scene.at("root/granted/a.txt"), scene.at("root/granted/link"));
    let (met, swapped, planted) = (seen.clone(), file.clone(), link);
    let swapping = std::thread::spawn(move || {
        let (mut done, wanted) = (0, swaps());
        // Until both were met, unless the other side failed.
        while (done < wanted || !met.both_met()) && Arc::strong_count(&met) > 1 {
            // A write replaces what has the name, so both are planted anew each time.
            fs::write(&planted, "written").unwrap();
            fs::rename(&planted, &swapped).unwrap();
            symlink("../secret/file", &planted).unwrap();
            fs::rename(&planted, &swapped).unwrap();
            done += 1;
        }
        met.over.store(true, Ordering::Relaxed);
    });
    while !seen.over.load(Ordering::Relaxed) {
        match scene.write(&file, "written").await {
            Ok(()) => seen.good.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                assert_eq!(error.code(), Code::PermissionDenied, "{error}");
                seen.refused.fetch_add(1, Ordering::Relaxed)
            }
        };
        if let Ok(content) = scene.read(&file).await {
            assert_eq!(content, "written");
        }
    }
    swapping.join().unwrap();
    assert_eq!(scene.content("root/secret/file"), "secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_the_old_content_or_the_new_and_never_half_of_it() {
    let scene = Arc::new(Scene::new());
    let path = scene.at("root/granted/a.txt");
    scene.files.write(&path, vec![b'a'; 100_000], &scene.granted).await.unwrap();
    let writing = tokio::spawn({
        let (scene, path) = (scene.clone(), path.clone());
        async move {
            for n in 0..200_usize {
                let (byte, bytes) = (b"ab"[n % 2], 100_000 + n % 2);
                scene.files.write(&path, vec![byte; bytes], &scene.granted).await.unwrap();
            }
        }
    });
    while !writing.is_finished() {
        let content = scene.files.read(&path, &scene.granted).await.unwrap();
        let bytes = if content[0] == b'a' { 100_000 } else { 100_001 };
        assert_eq!(content.len(), bytes);
        assert!(content.iter().all(|byte| *byte == content[0]));
    }
    writing.await.unwrap();
}
