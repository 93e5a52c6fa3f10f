/* Lets system calls on files below the folder FAILING fail with EIO: FAILING_RATE of 1000, and those that read
   only if FAILING_READS is set. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(int fd, int reads) {
    const char *folder = getenv("FAILING"), *rate = getenv("FAILING_RATE");
    char link[64], target[4096];
    if (!folder || !rate || (reads && !getenv("FAILING_READS"))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    if (size <= 0) return 0;
    target[size] = 0;
    if (strncmp(target, folder, strlen(folder)) || random() % 1000 >= atoi(rate)) return 0;
    errno = EIO;
    return 1;
}

#define CALL(result, name, reads, parameters, arguments)                      \
    result name parameters {                                                  \
        static result (*real) parameters;                                     \
        if (!real) real = dlsym(RTLD_NEXT, #name);                            \
        return fails(fd, reads) ? -1 : real arguments;                        \
    }

CALL(ssize_t, write, 0, (int fd, const void *data, size_t size), (fd, data, size))
CALL(ssize_t, pwrite, 0, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
CALL(ssize_t, pwrite64, 0, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
CALL(ssize_t, writev, 0, (int fd, const struct iovec *data, int count), (fd, data, count))
CALL(ssize_t, pwritev, 0, (int fd, const struct iovec *data, int count, off_t at), (fd, data, count, at))
CALL(ssize_t, pwritev64, 0, (int fd, const struct iovec *data, int count, off_t at), (fd, data, count, at))
CALL(int, fsync, 0, (int fd), (fd))
CALL(int, fdatasync, 0, (int fd), (fd))
CALL(int, syncfs, 0, (int fd), (fd))
CALL(int, ftruncate, 0, (int fd, off_t size), (fd, size))
CALL(int, fallocate, 0, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
CALL(ssize_t, read, 1, (int fd, void *data, size_t size), (fd, data, size))
CALL(ssize_t, pread, 1, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
CALL(ssize_t, pread64, 1, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
CALL(ssize_t, preadv, 1, (int fd, const struct iovec *data, int count, off_t at), (fd, data, count, at))
CALL(ssize_t, preadv64, 1, (int fd, const struct iovec *data, int count, off_t at), (fd, data, count, at))
