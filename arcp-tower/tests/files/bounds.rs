use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_tower::core::Code;
use arcp_tower::operation::Granted;
use arcp_tower::operation::files::FileLimits;

use crate::scene::{Scene, refused};

fn small() -> FileLimits {
    FileLimits::default().with(|limits| {
        limits.read = 7;
        limits.write = 3;
        limits.entries = 2;
        limits.concurrent = 2;
    })
}

#[tokio::test]
async fn a_file_a_write_and_a_directory_that_are_too_large_are_refused() {
    let mut scene = Scene::new();
    scene.files = scene.files.with_limits(small());
    let (file, directory) = (scene.at("root/granted/a.txt"), scene.at("root/granted"));
    assert_eq!(scene.read(&file).await.unwrap(), "granted");
    assert_eq!(scene.names(&directory).await.unwrap(), ["a.txt", "inner"]);
    refused(scene.write(&file, "four").await, Code::InternalError, "limit");
    assert_eq!(scene.content("root/granted/a.txt"), "granted");
    scene.write(&scene.at("root/granted/b"), "3 b").await.unwrap();
    refused(scene.names(&directory).await, Code::InternalError, "limit");
    fs::write(&file, "8 bytes!").unwrap();
    refused(scene.read(&file).await, Code::InternalError, "limit");
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_old_content_and_nothing_beside_it() {
    let scene = Scene::new();
    let path = scene.at("root/granted/inner/file");
    let name = format!("{path}{}", "n".repeat(300));
    refused(scene.write(&name, "x").await, Code::InvalidRequest, "path");
    refused(scene.write(&scene.at("root/granted/inner"), "x").await, Code::InvalidRequest, "directory");
    scene.write(&path, "new").await.unwrap();
    assert_eq!(scene.names(&scene.at("root/granted/inner")).await.unwrap(), ["file"]);
    assert_eq!(scene.content("root/granted/inner/file"), "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn only_so_many_operations_run_at_once() {
    let mut scene = Scene::new();
    scene.files = scene.files.with_limits(small());
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let granted = Granted::new({
        let (now, most) = (now, most.clone());
        move |_: &str| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            true
        }
    });
    let path = scene.at("root/granted/a.txt");
    let reads = (0..200).map(|_| {
        let (files, granted, path) = (scene.files.clone(), granted.clone(), path.clone());
        tokio::spawn(async move { files.read(&path, &granted).await.unwrap() })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), "granted");
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
}
