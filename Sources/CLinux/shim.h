// Kernel calls that Swift cannot import (variadic `syscall`, `prctl`) or that must act on the calling thread only
// (glibc's setresuid changes every thread). All return -1 and set errno on failure.
#pragma once
#ifdef __linux__
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern long syscall(long number, ...);
extern int prctl(int option, ...);
// Declared by glibc under _GNU_SOURCE only, which Swift's importer does not set.
extern int pipe2(int descriptors[2], int flags);
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);

// Numbers of the new mount interface are the same on every architecture.
#define CLINUX_SYS_OPEN_TREE 428
#define CLINUX_SYS_MOVE_MOUNT 429
#define CLINUX_SYS_PIDFD_OPEN 434
#define CLINUX_SYS_PIDFD_SEND_SIGNAL 424
#define CLINUX_SYS_MOUNT_SETATTR 442

static inline int clinux_pidfd_open(pid_t pid) { return (int)syscall(CLINUX_SYS_PIDFD_OPEN, (long)pid, 0L); }
static inline int clinux_pidfd_kill(int pidfd) { return (int)syscall(CLINUX_SYS_PIDFD_SEND_SIGNAL, (long)pidfd, (long)SIGKILL, 0L, 0L); }
static inline int clinux_memfd(const char *name) { return (int)syscall(SYS_memfd_create, name, 1L /* MFD_CLOEXEC */); }

struct clinux_rlimit64 { uint64_t soft, hard; };
// Lowers both limits to at most `limit`; never raises one, which would need a capability.
static inline int clinux_lower_limit(pid_t pid, int resource, uint64_t limit) {
    struct clinux_rlimit64 value;
    if (syscall(SYS_prlimit64, (long)pid, (long)resource, 0L, &value) != 0) return -1;
    if (value.hard < limit) limit = value.hard;
    value.soft = value.hard = limit;
    return (int)syscall(SYS_prlimit64, (long)pid, (long)resource, &value, 0L);
}

static inline int clinux_set_dumpable(int on) { return prctl(4 /* PR_SET_DUMPABLE */, (unsigned long)on, 0UL, 0UL, 0UL); }
static inline int clinux_get_dumpable(void) { return prctl(3 /* PR_GET_DUMPABLE */, 0UL, 0UL, 0UL, 0UL); }

// Real and effective ids of this thread; the saved ids stay 0, so that root can come back.
static inline int clinux_thread_become(uid_t id) {
    if (syscall(SYS_setgroups, 0L, 0L) != 0) return -1;
    if (syscall(SYS_setresgid, (long)id, (long)id, 0L) != 0) return -1;
    return (int)syscall(SYS_setresuid, (long)id, (long)id, 0L);
}
static inline int clinux_thread_return(void) {
    if (syscall(SYS_setresuid, 0L, 0L, 0L) != 0) return -1;
    return (int)syscall(SYS_setresgid, 0L, 0L, 0L);
}

// A mount namespace of this thread alone.
static inline int clinux_unshare_mounts(void) { return (int)syscall(SYS_unshare, 0x00020200L /* CLONE_NEWNS | CLONE_FS */); }
static inline int clinux_enter_mounts(int fd) { return (int)syscall(SYS_setns, (long)fd, 0x00020000L /* CLONE_NEWNS */); }

// A detached copy of one mount, beginning at path; links are not followed at its end.
static inline int clinux_open_tree(const char *path) {
    return (int)syscall(CLINUX_SYS_OPEN_TREE, -100L, path, 1L | 0x80000L | 0x100L /* CLONE | CLOEXEC | AT_SYMLINK_NOFOLLOW */);
}
static inline int clinux_move_mount(int tree, const char *target) {
    return (int)syscall(CLINUX_SYS_MOVE_MOUNT, (long)tree, "", -100L, target, 4L /* MOVE_MOUNT_F_EMPTY_PATH */);
}
struct clinux_mount_attr { uint64_t set, clear, propagation, userns; };
// Shows the files of a detached mount under other ids, as the user namespace maps them.
static inline int clinux_map_ids(int tree, int userns) {
    struct clinux_mount_attr attr = { 0x00100000 | 0x2 | 0x4 /* IDMAP | NOSUID | NODEV */, 0, 0, (uint64_t)userns };
    return (int)syscall(CLINUX_SYS_MOUNT_SETATTR, (long)tree, "", 0x1000L /* AT_EMPTY_PATH */, &attr, (long)sizeof attr);
}

// A child that does nothing in a user namespace of its own until it is killed: its namespace can be opened meanwhile.
static inline pid_t clinux_userns_holder(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, 0x10000000L /* CLONE_NEWUSER */ | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0) {
        prctl(1 /* PR_SET_PDEATHSIG */, (unsigned long)SIGKILL, 0UL, 0UL, 0UL);
        for (;;) pause();
    }
    return pid;
}

// Readiness by number instead of by a packed union.
static inline int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }
static inline int clinux_epoll_add(int poll, int descriptor, uint64_t number) {
    struct epoll_event event = { .events = EPOLLIN, .data = { .u64 = number } };
    return epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
}
static inline int clinux_epoll_remove(int poll, int descriptor) {
    struct epoll_event event = { 0 };
    return epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, &event);
}
// At most 64 numbers of ready descriptors; waits without limit.
static inline int clinux_epoll_wait(int poll, uint64_t *numbers) {
    struct epoll_event events[64];
    int count = epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; i++) numbers[i] = events[i].data.u64;
    return count;
}
static inline int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
static inline int clinux_eventfd_signal(int descriptor) { return eventfd_write(descriptor, 1); }
#endif
