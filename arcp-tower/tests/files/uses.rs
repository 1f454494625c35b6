use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use arcp_tower::core::Code;
use arcp_tower::operation::files::{EntryKind, Files};

use crate::scene::{Scene, all, refused};

#[tokio::test]
async fn what_was_written_is_read_back_and_listed() {
    let scene = Scene::new();
    let path = scene.at("root/granted/new.txt");
    scene.write(&path, "hello").await.unwrap();
    assert_eq!(scene.read(&path).await.unwrap(), "hello");
    scene.link("a.txt", "link");
    let entries = scene.files.list(&scene.at("root/granted"), &scene.granted).await.unwrap();
    let seen: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind, e.size)).collect();
    assert_eq!(
        seen,
        [
            ("a.txt", EntryKind::File, 7),
            ("inner", EntryKind::Directory, 0),
            ("link", EntryKind::Symlink, 0),
            ("new.txt", EntryKind::File, 5),
        ]
    );
}

#[tokio::test]
async fn a_symlink_that_stays_in_the_granted_tree_is_followed_and_the_lease_is_asked_about_its_target() {
    let scene = Scene::new();
    let path = scene.link("inner/../a.txt", "link");
    assert_eq!(scene.read(&path).await.unwrap(), "granted");
    assert_eq!(*scene.asked.lock().unwrap(), [path, scene.at("root/granted/a.txt")]);
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_only_and_a_replaced_one_keeps_its_mode() {
    let scene = Scene::new();
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let (new, old) = (scene.at("root/granted/new"), scene.at("root/granted/a.txt"));
    fs::set_permissions(&old, fs::Permissions::from_mode(0o4754)).unwrap();
    scene.write(&new, "x").await.unwrap();
    scene.write(&old, "x").await.unwrap();
    // Not the bit that would run it as its owner.
    assert_eq!((mode(&new) & 0o177, mode(&old)), (0, 0o754));
}

#[tokio::test]
async fn a_missing_file_is_told_apart_from_a_forbidden_one() {
    let scene = Scene::new();
    refused(scene.read(&scene.at("root/granted/none")).await, Code::InvalidRequest, "not_found");
    refused(scene.read(&scene.at("root/granted/a.txt/none")).await, Code::InvalidRequest, "not_found");
    refused(scene.write(&scene.at("root/granted/none/x"), "x").await, Code::InvalidRequest, "not_found");
    // Whether it exists is not told to who may not have it.
    refused(scene.read(&scene.at("root/secret/none")).await, Code::PermissionDenied, "not_granted");
    refused(scene.read(&scene.at("root/secret/file")).await, Code::PermissionDenied, "not_granted");
}

#[tokio::test]
async fn a_directory_is_listed_and_not_read_and_a_file_the_other_way_round() {
    let scene = Scene::new();
    let (file, directory) = (scene.at("root/granted/a.txt"), scene.at("root/granted/inner"));
    refused(scene.read(&directory).await, Code::InvalidRequest, "directory");
    refused(scene.write(&directory, "x").await, Code::InvalidRequest, "directory");
    refused(scene.files.write(&scene.at("root"), "x", &all()).await, Code::InvalidRequest, "directory");
    refused(scene.names(&file).await, Code::InvalidRequest, "not_a_directory");
}

#[tokio::test]
async fn a_root_is_named_as_the_operator_wrote_it() {
    let scene = Scene::new();
    let alias = scene.at("alias");
    symlink(scene.at("root"), &alias).unwrap();
    let files = Files::below(&alias).unwrap();
    let path = format!("{alias}/granted/a.txt");
    let granted = arcp_tower::operation::Granted::new({
        let path = path.clone();
        move |asked: &str| asked == path
    });
    assert_eq!(files.read(&path, &granted).await.unwrap(), "granted");
    refused(files.read(&scene.at("root/granted/a.txt"), &all()).await, Code::PermissionDenied, "outside");
}

#[tokio::test]
async fn of_several_roots_the_innermost_is_meant() {
    let scene = Scene::new();
    let files = Files::below(scene.at("root")).unwrap().and_below(scene.at("root/granted")).unwrap();
    let files = files.and_below(scene.at("outside")).unwrap();
    assert_eq!(files.read(&scene.at("outside/file"), &all()).await.unwrap(), "outside");
    assert_eq!(files.read(&scene.at("root/secret/file"), &all()).await.unwrap(), "secret");
    // The outer root has the target too, but the path is one of the inner root.
    let path = scene.link("../secret/file", "link");
    refused(files.read(&path, &all()).await, Code::PermissionDenied, "outside");
}
