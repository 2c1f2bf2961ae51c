/* A disk that fails on command, between a test and the real one: loaded with LD_PRELOAD.
 *
 * Under DISK_ROOT it counts operations and, as DISK_CONTROL (a shared page) says, kills the process before the nth, answers
 * that there is no space, or fails a flush. Into DISK_SHADOW it copies what was flushed, when it was: each file under its
 * inode, each directory as a listing. What is there is what a machine that loses its power would find at worst. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <dirent.h>

struct control {
    _Atomic int64_t kill_in;      /* operations until the process is killed; negative: never */
    _Atomic int64_t space;        /* bytes that can still be written; negative: no limit */
    _Atomic int64_t fail_sync_in; /* flushes until one fails; negative: never */
    _Atomic int64_t operations;
};

static struct control *control;
static char root[4096], shadow[4096];

__attribute__((constructor)) static void start(void) {
    const char *r = getenv("DISK_ROOT"), *s = getenv("DISK_SHADOW"), *c = getenv("DISK_CONTROL");
    if (!r || !c) return;
    int fd = open(c, O_RDWR);
    if (fd < 0) return;
    control = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (control == MAP_FAILED) { control = NULL; return; }
    snprintf(root, sizeof root, "%s", r);
    if (s) snprintf(shadow, sizeof shadow, "%s", s);
}

static int under_root(const char *path) {
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int watched(int fd) {
    char link[64], path[4096];
    if (!control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return under_root(path);
}

/* Counts an operation; kills the process when its time has come. */
static void step(void) {
    atomic_fetch_add(&control->operations, 1);
    if (atomic_load(&control->kill_in) >= 0 && atomic_fetch_sub(&control->kill_in, 1) == 0) kill(getpid(), SIGKILL);
}

/* True when there is space for n bytes. */
static int room(size_t n) {
    int64_t left = atomic_load(&control->space);
    if (left < 0) return 1;
    if (left < (int64_t)n) { errno = ENOSPC; return 0; }
    atomic_fetch_sub(&control->space, n);
    return 1;
}

static int name_of(int fd, char kind, char *out, size_t size) {
    struct statx x;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x) != 0) return 0;
    if (!(x.stx_mask & STATX_BTIME)) x.stx_btime.tv_sec = x.stx_btime.tv_nsec = 0;
    snprintf(out, size, "%c%llu-%lld.%09u", kind, (unsigned long long)x.stx_ino, (long long)x.stx_btime.tv_sec, x.stx_btime.tv_nsec);
    return 1;
}

static void put_all(int to, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t done = syscall(SYS_write, to, bytes, n);
        if (done <= 0) abort();
        bytes += done;
        n -= done;
    }
}

/* Copies a file as it is now, or the names in a directory, to where the power loss finds it. */
static void remember(int fd) {
    static _Atomic int serial;
    struct stat st;
    char name[128], path[4400], fresh[4500];
    if (!shadow[0] || fstat(fd, &st) != 0) return;
    int is_dir = S_ISDIR(st.st_mode);
    if (!name_of(fd, is_dir ? 'd' : 'f', name, sizeof name)) return;
    snprintf(path, sizeof path, "%s/%s", shadow, name);
    snprintf(fresh, sizeof fresh, "%s.%d", path, atomic_fetch_add(&serial, 1));
    int to = open(fresh, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (to < 0) abort();
    if (is_dir) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        DIR *dir = opendir(link);
        struct dirent *entry;
        while (dir && (entry = readdir(dir))) {
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            int child = openat(dirfd(dir), entry->d_name, O_PATH | O_NOFOLLOW);
            char line[600];
            if (child < 0) continue;
            struct stat cs;
            if (fstat(child, &cs) == 0 && name_of(child, S_ISDIR(cs.st_mode) ? 'd' : 'f', name, sizeof name)) {
                int n = snprintf(line, sizeof line, "%s %s\n", name, entry->d_name);
                put_all(to, line, n);
            }
            close(child);
        }
        if (dir) closedir(dir);
    } else {
        static __thread char buffer[1 << 16];
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int from = open(link, O_RDONLY);
        off_t at = 0;
        ssize_t n;
        while (from >= 0 && (n = syscall(SYS_pread64, from, buffer, sizeof buffer, at)) > 0) {
            put_all(to, buffer, n);
            at += n;
        }
        if (from >= 0) close(from);
    }
    close(to);
    syscall(SYS_renameat, AT_FDCWD, fresh, AT_FDCWD, path);
}

static int flush(int fd, long call) {
    if (watched(fd)) {
        step();
        if (atomic_load(&control->fail_sync_in) >= 0 && atomic_fetch_sub(&control->fail_sync_in, 1) == 0) {
            errno = EIO;
            return -1;
        }
        remember(fd);
        return 0;
    }
    return syscall(call, fd);
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

ssize_t write(int fd, const void *bytes, size_t n) {
    if (watched(fd)) {
        step();
        if (!room(n)) return -1;
    }
    return syscall(SYS_write, fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    if (watched(fd)) {
        step();
        if (!room(n)) return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t at) { return pwrite(fd, bytes, n, at); }

int ftruncate(int fd, off_t length) {
    if (watched(fd)) step();
    return syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int rename(const char *from, const char *to) {
    if (control && under_root(to)) step();
    return syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path) {
    if (control && under_root(path)) step();
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
