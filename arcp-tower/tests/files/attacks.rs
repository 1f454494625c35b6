use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use arcp_tower::core::Code::{InvalidRequest, PermissionDenied};
use arcp_tower::operation::files::Files;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::scene::{Scene, all, refused};

#[tokio::test]
async fn s26_a_path_that_is_not_canonical_opens_nothing_and_the_lease_is_not_asked() {
    let scene = Scene::new();
    let below = |rest: &str| scene.at(&format!("root/granted{rest}"));
    for path in [
        below("/../secret/file"),
        below("/inner/../a.txt"),
        below("/./a.txt"),
        below("//a.txt"),
        below("/a.txt/"),
        below("/a.txt\0.png"),
        below("/.."),
        "granted/a.txt".to_owned(),
        "../granted/a.txt".to_owned(),
        String::new(),
    ] {
        refused(scene.read(&path).await, InvalidRequest, "path");
        refused(scene.write(&path, "x").await, InvalidRequest, "path");
        refused(scene.names(&path).await, InvalidRequest, "path");
    }
    assert!(scene.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn s29_encoded_dots_backslashes_and_trailing_dots_are_names_like_others() {
    let scene = Scene::new();
    for name in
        ["%2e%2e", "..%2fsecret%2ffile", "..\\secret\\file", "a.txt.", "a.txt ", "...", "\u{ff0e}\u{ff0e}"]
    {
        let path = scene.at(&format!("root/granted/{name}"));
        refused(scene.read(&path).await, InvalidRequest, "not_found");
    }
}

#[tokio::test]
async fn what_is_below_no_root_is_refused_whatever_the_lease_says() {
    let scene = Scene::new();
    for path in ["/etc/passwd", "/", &scene.at("outside/file"), &scene.at("root-too"), &scene.at("roo")] {
        refused(scene.files.read(path, &all()).await, PermissionDenied, "outside");
        refused(scene.files.write(path, "x", &all()).await, PermissionDenied, "outside");
        refused(scene.files.list(path, &all()).await, PermissionDenied, "outside");
    }
}

#[tokio::test]
async fn s27_a_symlink_out_of_the_root_is_refused_absolute_or_relative() {
    let scene = Scene::new();
    for (n, target) in ["/etc/passwd", "/", "../../outside/file", "../../..", &scene.at("root/granted/a.txt")]
        .into_iter()
        .enumerate()
    {
        let link = scene.link(target, &format!("link{n}"));
        for path in [link.clone(), format!("{link}/etc/passwd")] {
            refused(scene.files.read(&path, &all()).await, PermissionDenied, "outside");
            refused(scene.files.list(&path, &all()).await, PermissionDenied, "outside");
        }
    }
    let link = scene.link("../../outside", "directory");
    refused(scene.files.write(&format!("{link}/new"), "x", &all()).await, PermissionDenied, "outside");
    assert_eq!(fs::read_dir(scene.at("outside")).unwrap().count(), 1);
}

#[tokio::test]
async fn s27_a_symlink_out_of_the_granted_tree_is_refused_and_its_target_is_not_told() {
    let scene = Scene::new();
    let (file, directory) = (scene.link("../secret/file", "file"), scene.link("../secret", "directory"));
    for path in [&file, &format!("{directory}/file")] {
        let error = scene.read(path).await.unwrap_err();
        assert!(!error.to_string().replace(path.as_str(), "").contains("secret"), "{error}");
        refused(scene.read(path).await, PermissionDenied, "not_granted");
    }
    refused(scene.names(&directory).await, PermissionDenied, "not_granted");
    for name in ["file", "new"] {
        refused(scene.write(&format!("{directory}/{name}"), "x").await, PermissionDenied, "not_granted");
    }
    assert_eq!(scene.content("root/secret/file"), "secret");
    assert!(!fs::exists(scene.at("root/secret/new")).unwrap());
}

#[tokio::test]
async fn s28_a_write_never_follows_a_symlink_in_the_last_component() {
    let scene = Scene::new();
    for target in ["a.txt", "../secret/file", "/etc/passwd", "nothing"] {
        let path = scene.link(target, "link");
        refused(scene.write(&path, "x").await, PermissionDenied, "symlink");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(scene.content("root/granted/a.txt"), "granted");
    assert!(!fs::exists(scene.at("root/granted/nothing")).unwrap());
}

#[tokio::test]
async fn a_loop_of_symlinks_is_refused() {
    let scene = Scene::new();
    let path = scene.link("b", "a");
    scene.link("a", "b");
    refused(scene.read(&path).await, PermissionDenied, "symlink");
}

#[tokio::test]
async fn s28_a_hard_link_is_refused_unless_the_operator_allows_them() {
    let scene = Scene::new();
    let path = scene.at("root/granted/hard");
    fs::hard_link(scene.at("root/secret/file"), &path).unwrap();
    refused(scene.read(&path).await, PermissionDenied, "hard_link");
    refused(scene.write(&path, "x").await, PermissionDenied, "hard_link");
    assert_eq!(scene.content("root/secret/file"), "secret");
    let files = scene.files.clone().allow_hard_links();
    assert_eq!(files.read(&path, &scene.granted).await.unwrap(), "secret");
    // What is written takes the place of one name; the other keeps what it had.
    files.write(&path, "x", &scene.granted).await.unwrap();
    assert_eq!(
        (scene.content("root/granted/hard"), scene.content("root/secret/file")),
        ("x".into(), "secret".into())
    );
}

#[tokio::test]
async fn s28_files_of_the_kernel_are_refused_even_where_everything_is_served() {
    let files = Files::below("/").unwrap();
    let scene = Scene::new();
    for path in
        ["/proc/self/environ", "/proc/1/status", "/sys/kernel/mm", "/dev/null", "/dev", "/proc", "/sys"]
    {
        refused(files.read(path, &all()).await, PermissionDenied, "special");
    }
    for path in ["/proc/self/root/etc/passwd", "/proc/self/cwd/x", "/proc/self/fd/0", "/dev/fd/0"] {
        let error = files.read(path, &all()).await.unwrap_err();
        assert_eq!(error.code(), PermissionDenied, "{path}: {error}");
    }
    refused(files.write("/dev/new", "x", &all()).await, PermissionDenied, "special");
    refused(files.list("/proc/self", &all()).await, PermissionDenied, "special");
    let link = scene.link("../../../../../../../../proc/self/root/etc/passwd", "root");
    assert_eq!(files.read(&link, &all()).await.unwrap_err().code(), PermissionDenied);
    for root in ["/proc", "/proc/self", "/sys", "/dev", "/dev/shm"] {
        assert!(Files::below(root).is_err(), "{root}");
    }
}

#[tokio::test]
async fn a_fifo_a_socket_and_a_device_are_refused_and_nobody_waits_for_them() {
    let scene = Scene::new();
    let fifo = scene.at("root/granted/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let socket = scene.at("root/granted/socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let device = scene.at("root/granted/zero");
    let made = mknodat(CWD, &device, FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 5));
    // Only root makes devices.
    let paths = [Some(fifo), Some(socket), made.is_ok().then_some(device)];
    let all_refused = async {
        for path in paths.iter().flatten() {
            refused(scene.read(path).await, PermissionDenied, "special");
            refused(scene.write(path, "x").await, PermissionDenied, "special");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_refused).await.unwrap();
}

#[tokio::test]
async fn a_root_must_be_a_directory_and_be_named_without_dots() {
    let scene = Scene::new();
    for root in [scene.at("root/granted/a.txt"), scene.at("none"), scene.at("root/../outside")] {
        let error = Files::below(&root).unwrap_err();
        assert!(error.to_string().contains(&root), "{error}");
    }
}
