/* Opening one of the files: a regular file for who reads, the connection itself for who writes. */
#include "amber.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIES 64 /* names tried; one is enough unless process numbers repeat, as between PID namespaces */

/* A new file in the private directory, open for writing: its descriptor, or -1 with errno. */
static int new_file(mode_t mode, char temporary[AMBER_TEMPORARY_MAX])
{
    static atomic_uint last;
    int file = -1;

    for (int left = TRIES; left > 0; left--) {
        snprintf(temporary, AMBER_TEMPORARY_MAX, "%s/.amber-%ld-%u", amber_directory(), (long)getpid(),
                 atomic_fetch_add_explicit(&last, 1, memory_order_relaxed));
        file = amber_ready()->openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file >= 0 || errno != EEXIST)
            break;
    }
    if (file >= 0 && fchmod(file, mode) != 0) {
        int error = errno;

        close(file);
        unlink(temporary);
        errno = error;
        return -1;
    }
    return file;
}

int amber_fetch(const struct amber_file *file, int flags, char temporary[AMBER_TEMPORARY_MAX])
{
    uint32_t length = 0;
    int connection = amber_ask(file->name, flags, &length);
    int target, error;

    if (connection < 0)
        return -1;
    target = new_file(file->mode, temporary);
    if (target < 0) {
        error = errno;
        close(connection);
        errno = error;
        return -1;
    }
    if (amber_receive(connection, length, target) != 0) {
        error = errno;
        close(target);
        unlink(temporary);
        errno = error;
        return -1;
    }
    close(target);
    return 0;
}

/* The file has its name for as long as the real open takes. Behind the names of our files there is never a file. */
static int open_for_reading(const struct amber_file *file, int flags)
{
    char temporary[AMBER_TEMPORARY_MAX];
    int opened, error;

    if (amber_fetch(file, flags, temporary) != 0)
        return -1;
    opened = amber_ready()->openat(AT_FDCWD, temporary, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
    error = errno;
    unlink(temporary);
    errno = error;
    return opened;
}

static int open_for_writing(const struct amber_file *file, int flags)
{
    uint32_t length = 0;
    int connection = amber_ask(file->name, flags, &length);

    if (connection < 0)
        return -1;
    /* Close-on-exec until here: a child forked meanwhile must not keep the writer from its end. */
    if (!(flags & O_CLOEXEC))
        fcntl(connection, F_SETFD, 0);
    if (flags & O_NONBLOCK)
        fcntl(connection, F_SETFL, O_NONBLOCK);
    if ((flags & O_ACCMODE) == O_WRONLY)
        shutdown(connection, SHUT_RD);
    return connection;
}

int amber_open(const struct amber_file *file, int flags)
{
    int before = errno;
    int opened;

    if (flags & O_DIRECTORY) {
        errno = ENOTDIR;
        return -1;
    }
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        errno = EEXIST;
        return -1;
    }
    opened = (flags & O_ACCMODE) == O_RDONLY ? open_for_reading(file, flags) : open_for_writing(file, flags);
    if (opened >= 0)
        errno = before;
    return opened;
}
