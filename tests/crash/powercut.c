// A disk whose power can be cut, and that can fail: loaded into a server by LD_PRELOAD.
//
// Beside the directory that the server writes, POWERCUT_DATA, it keeps in POWERCUT_IMAGE what would be
// there if the power went now: the bytes that an fsync covered, under the names that an fsync of the
// directory covered. SQLite's unix VFS and Rust's File use the functions below; what went past them would
// be missing in the image, so an engine that used others would look worse, never better.
//
// The image holds, as `.<inode>.<serial>`, the content of every file that was opened, and hard links of
// these under the names that are durable. Files ending in `-shm` are shared memory, and never durable.
//
// POWERCUT_CONTROL is a file in shared memory by which faults are asked for and counted.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, FDS = 1 << 16, PATH = 2 * PATH_MAX };

// What tests/crash/src/disk.rs writes and reads.
struct control {
    uint8_t loaded;
    uint8_t failing_syncs; // so many fail, or all if it is 255
    uint8_t failing_file;  // of any file, or of those that end in: 1 -wal, 2 .db
    uint8_t full;          // 1: nothing can be written, 2: no file can grow
    uint8_t short_writes;  // a write stops in the middle
    uint8_t lying;         // an fsync of the log is done some milliseconds later, at the next one
    uint8_t unused[2];
    uint32_t failed_syncs;
    uint32_t refused_writes;
    uint32_t kept_pages;
};

// A file of the directory, or the directory itself.
struct file {
    struct file *next;
    ino_t inode; // 0 once it has no name: the number may be given again
    int kept;    // its content in the image; -1 if it has none
    unsigned serial;
    int kind; // as in failing_file
    bool directory;
    uint8_t *dirty; // for each page, whether it was written since it was last kept
    size_t pages;
    unsigned failures;
    struct timespec kept_at;
};

// An open file learns once of each failure, as on Linux.
static struct { struct file *file; unsigned seen; } open_files[FDS];
static struct file *files;
static char data[PATH_MAX], image[PATH_MAX];
static dev_t device;
static volatile struct control nothing, *control = &nothing;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    // what is above
static pthread_mutex_t syncing = PTHREAD_MUTEX_INITIALIZER; // the image

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

// The disk can do nothing that was not foreseen: better no server than a wrong image.
static void need(bool condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
        abort();
    }
}

static bool ends_in(const char *name, const char *end) {
    size_t length = strlen(name), of_end = strlen(end);
    return length >= of_end && strcmp(name + length - of_end, end) == 0;
}

static void join(char *path, const char *directory, const char *name) {
    int length = snprintf(path, PATH, "%s/%s", directory, name);
    need(length > 0 && length < PATH, name);
}

static struct file *find(ino_t inode) {
    struct file *file = files;
    while (file && file->inode != inode) file = file->next;
    return file;
}

static void content_path(const struct file *file, char *path) {
    char name[64];
    snprintf(name, sizeof name, ".%lu.%u", (unsigned long)file->inode, file->serial);
    join(path, image, name);
}

static struct file *add(const char *name, ino_t inode, const char *durable) {
    static unsigned serial;
    struct file *file = calloc(1, sizeof *file);
    need(file, "memory");
    file->inode = inode;
    file->serial = ++serial;
    file->kind = ends_in(name, "-wal") ? 1 : ends_in(name, ".db") ? 2 : 0;
    file->kept = -1;
    if (!ends_in(name, "-shm")) {
        char path[PATH];
        content_path(file, path);
        need(!durable || link(durable, path) == 0, path);
        NEXT(open);
        file->kept = next(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        need(file->kept >= 0, path);
    }
    file->next = files;
    return files = file;
}

// What is in the image when the server starts is what is in its directory.
__attribute__((constructor)) static void load(void) {
    const char *in = getenv("POWERCUT_DATA"), *out = getenv("POWERCUT_IMAGE");
    const char *by = getenv("POWERCUT_CONTROL");
    if (!in || !out || !by) return;
    struct stat at;
    need(realpath(in, data) && realpath(out, image) && stat(data, &at) == 0, in);
    device = at.st_dev;
    NEXT(open);
    int fd = next(by, O_RDWR | O_CLOEXEC);
    need(fd >= 0, by);
    void *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(shared != MAP_FAILED, by);
    control = shared;
    struct file *directory = calloc(1, sizeof *directory);
    need(directory, "memory");
    *directory = (struct file){ .inode = at.st_ino, .kept = -1, .directory = true };
    files = directory;
    DIR *names = opendir(image);
    need(names, image);
    for (struct dirent *entry; (entry = readdir(names));) {
        char path[PATH], durable[PATH];
        if (entry->d_name[0] == '.') continue;
        join(path, data, entry->d_name);
        join(durable, image, entry->d_name);
        need(stat(path, &at) == 0, path);
        add(entry->d_name, at.st_ino, durable);
    }
    closedir(names);
    control->loaded = 1;
}

static struct file *of(int fd) {
    return fd >= 0 && fd < FDS ? open_files[fd].file : NULL;
}

static void mark(struct file *file, off_t from, off_t to) {
    if (file->kept < 0 || to <= from) return;
    size_t first = (size_t)from / PAGE, end = ((size_t)to + PAGE - 1) / PAGE;
    pthread_mutex_lock(&lock);
    if (end > file->pages) {
        file->dirty = realloc(file->dirty, end);
        need(file->dirty, "memory");
        memset(file->dirty + file->pages, 0, end - file->pages);
        file->pages = end;
    }
    memset(file->dirty + first, 1, end - first);
    pthread_mutex_unlock(&lock);
}

static int opened(int fd, int flags) {
    if (fd < 0 || !device) return fd;
    int saved = errno;
    char link[64], path[PATH];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    size_t prefix = strlen(data);
    struct stat at;
    if (strncmp(path, data, prefix) == 0 && (path[prefix] == '/' || !path[prefix])) {
        need(fd < FDS && fstat(fd, &at) == 0 && !(flags & O_TRUNC), path);
        pthread_mutex_lock(&lock);
        struct file *file = find(at.st_ino);
        if (!file) file = add(path, at.st_ino, NULL);
        open_files[fd].seen = file->failures;
        open_files[fd].file = file;
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments); \
        NEXT(name); \
        return opened(next(path, flags, mode), flags); \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    NEXT(close);
    if (of(fd)) open_files[fd].file = NULL;
    return next(fd);
}

int unlink(const char *path) {
    NEXT(unlink);
    struct stat at;
    bool last = device && lstat(path, &at) == 0 && at.st_dev == device && at.st_nlink == 1;
    int done = next(path);
    if (done == 0 && last) {
        pthread_mutex_lock(&lock);
        struct file *file = find(at.st_ino);
        if (file) file->inode = 0;
        pthread_mutex_unlock(&lock);
    }
    return done;
}

static ssize_t refused(void) {
    __atomic_add_fetch(&control->refused_writes, 1, __ATOMIC_SEQ_CST);
    errno = ENOSPC;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    NEXT(pwrite64);
    struct file *file = of(fd);
    if (!file) return next(fd, bytes, n, at);
    struct stat now;
    if (control->full == 1) return refused();
    if (control->full == 2) {
        need(fstat(fd, &now) == 0, "fstat");
        if (at >= now.st_size) return refused();
        if (at + (off64_t)n > now.st_size) n = (size_t)(now.st_size - at);
    }
    if (control->short_writes && n > 1) n = (n + 1) / 2;
    ssize_t written = next(fd, bytes, n, at);
    // After the write: a page that is marked too early would count as kept without it.
    if (written > 0) mark(file, at, at + written);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    return pwrite64(fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    NEXT(write);
    if (!of(fd)) return next(fd, bytes, n);
    ssize_t written = pwrite64(fd, bytes, n, lseek64(fd, 0, SEEK_CUR));
    if (written > 0) lseek64(fd, written, SEEK_CUR);
    return written;
}

int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64);
    struct file *file = of(fd);
    if (!file) return next(fd, size);
    struct stat before;
    need(fstat(fd, &before) == 0, "fstat");
    if (control->full && size > before.st_size) return (int)refused();
    int done = next(fd, size);
    // What is cut off now is zero if the file grows over it again.
    if (done == 0) mark(file, size, before.st_size);
    return done;
}

int ftruncate(int fd, off_t size) {
    return ftruncate64(fd, size);
}

// Takes the names that the directory has now into the image, and those it has no longer out of it.
static void keep_names(void) {
    char path[PATH], content[PATH], durable[PATH], fresh[PATH];
    join(fresh, image, ".fresh");
    DIR *names = opendir(data);
    need(names, data);
    for (struct dirent *entry; (entry = readdir(names));) {
        struct stat at, here, there;
        join(path, data, entry->d_name);
        if (stat(path, &at) != 0 || !S_ISREG(at.st_mode)) continue;
        pthread_mutex_lock(&lock);
        struct file *file = find(at.st_ino);
        pthread_mutex_unlock(&lock);
        if (!file || file->kept < 0) continue;
        content_path(file, content);
        join(durable, image, entry->d_name);
        need(fstat(file->kept, &here) == 0, content);
        if (stat(durable, &there) == 0 && there.st_ino == here.st_ino) continue;
        need(link(content, fresh) == 0 && rename(fresh, durable) == 0, durable);
    }
    closedir(names);
    names = opendir(image);
    need(names, image);
    for (struct dirent *entry; (entry = readdir(names));) {
        join(path, data, entry->d_name);
        join(durable, image, entry->d_name);
        if (entry->d_name[0] != '.' && access(path, F_OK) != 0) need(unlink(durable) == 0, durable);
    }
    closedir(names);
}

// Copies the pages that were written into the image; if the disk fails, some of them. They count as
// clean then, too: an fsync after one that failed does not write them (fsync(2)).
static void keep(struct file *file, int fd, bool failing) {
    if (file->directory) {
        if (!failing) keep_names();
        return;
    }
    if (file->kept < 0) return;
    pthread_mutex_lock(&lock);
    size_t pages = file->pages;
    uint8_t *dirty = file->dirty;
    file->dirty = NULL;
    file->pages = 0;
    pthread_mutex_unlock(&lock);
    char page[PAGE];
    for (size_t i = 0; i < pages; i++) {
        if (!dirty[i] || (failing && rand() % 2)) continue;
        off64_t at = (off64_t)i * PAGE;
        ssize_t n = pread64(fd, page, PAGE, at);
        NEXT(pwrite64);
        need(n >= 0 && next(file->kept, page, (size_t)n, at) == n, "the image");
        control->kept_pages++;
    }
    free(dirty);
    struct stat now;
    NEXT(ftruncate64);
    need(fstat(fd, &now) == 0 && (failing || next(file->kept, now.st_size) == 0), "the image");
}

// Whether the disk says that it kept what it will keep a little later.
static bool lies(struct file *file) {
    enum { LATE = 30 };
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long since = (now.tv_sec - file->kept_at.tv_sec) * 1000 + (now.tv_nsec - file->kept_at.tv_nsec) / 1000000;
    if (control->lying && file->kind == 1 && since < LATE) return true;
    file->kept_at = now;
    return false;
}

static int sync_file(int fd, int (*next)(int)) {
    struct file *file = of(fd);
    if (!file) return next(fd);
    if (next(fd) != 0) return -1;
    pthread_mutex_lock(&syncing);
    bool concerned = !control->failing_file || control->failing_file == file->kind;
    bool failing = control->failing_syncs && concerned;
    if (failing) {
        if (control->failing_syncs != 255) control->failing_syncs--;
        control->failed_syncs++;
        file->failures++;
    }
    if (failing || !lies(file)) keep(file, fd, failing);
    bool failed = open_files[fd].seen != file->failures;
    open_files[fd].seen = file->failures;
    pthread_mutex_unlock(&syncing);
    if (failed) errno = EIO;
    return failed ? -1 : 0;
}

int fsync(int fd) {
    NEXT(fsync);
    return sync_file(fd, next);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    return sync_file(fd, next);
}
