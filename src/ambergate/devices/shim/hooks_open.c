/* The functions that open files. Each looks at its path, and is the real one for all that is not ours. */
#include "amber.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEEDS_MODE(flags) (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE)

static int open_at(int directory, const char *path, int flags, mode_t mode)
{
    struct amber_place place;

    amber_recognise(directory, path, &place);
    if (place.kind == AMBER_FILE && !(flags & O_PATH))
        return amber_open(place.file, flags);
    if (place.kind == AMBER_NOTHING && (flags & O_CREAT)) {
        errno = EPERM; /* there are no other files, not even for root */
        return -1;
    }
    return amber_ready()->openat(directory, place.where, flags, mode);
}

#define MODE(flags)                               \
    mode_t mode = 0;                              \
    if (NEEDS_MODE(flags)) {                      \
        va_list rest;                             \
        va_start(rest, flags);                    \
        mode = (mode_t)va_arg(rest, unsigned int); \
        va_end(rest);                             \
    }

AMBER_EXPORT int open(const char *path, int flags, ...)
{
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

AMBER_EXPORT int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

AMBER_EXPORT int openat(int directory, const char *path, int flags, ...)
{
    MODE(flags)
    return open_at(directory, path, flags, mode);
}

AMBER_EXPORT int openat64(int directory, const char *path, int flags, ...)
{
    MODE(flags)
    return open_at(directory, path, flags | O_LARGEFILE, mode);
}

AMBER_EXPORT int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

AMBER_EXPORT int creat64(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_LARGEFILE, mode);
}

/* What a fortified program calls where it gives no mode; as glibc, these end a program that should have. */
static int fortified(int directory, const char *path, int flags)
{
    if (NEEDS_MODE(flags))
        abort();
    return open_at(directory, path, flags, 0);
}

AMBER_EXPORT int __open_2(const char *path, int flags);
AMBER_EXPORT int __open64_2(const char *path, int flags);
AMBER_EXPORT int __openat_2(int directory, const char *path, int flags);
AMBER_EXPORT int __openat64_2(int directory, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return fortified(AT_FDCWD, path, flags);
}

int __open64_2(const char *path, int flags)
{
    return fortified(AT_FDCWD, path, flags | O_LARGEFILE);
}

int __openat_2(int directory, const char *path, int flags)
{
    return fortified(directory, path, flags);
}

int __openat64_2(int directory, const char *path, int flags)
{
    return fortified(directory, path, flags | O_LARGEFILE);
}

/* The flags of open(2) that a mode of fopen(3) means; -1 with errno. */
static int flags_of(const char *mode)
{
    int flags;

    switch (mode[0]) {
    case 'r':
        flags = O_RDONLY;
        break;
    case 'w':
        flags = O_WRONLY | O_CREAT | O_TRUNC;
        break;
    case 'a':
        flags = O_WRONLY | O_CREAT | O_APPEND;
        break;
    default:
        errno = EINVAL;
        return -1;
    }
    for (mode++; *mode && *mode != ','; mode++) {
        if (*mode == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        else if (*mode == 'e')
            flags |= O_CLOEXEC;
        else if (*mode == 'x')
            flags |= O_EXCL;
    }
    return flags;
}

static FILE *open_stream(const char *path, const char *mode)
{
    struct amber_place place;
    FILE *stream;
    int flags, file, error;

    amber_recognise(AT_FDCWD, path, &place);
    if (place.kind == AMBER_ELSEWHERE)
        return amber_ready()->fopen(place.where, mode);
    flags = flags_of(mode);
    file = flags < 0 ? -1 : open_at(AT_FDCWD, path, flags, 0666);
    if (file < 0)
        return NULL;
    stream = fdopen(file, mode);
    if (stream == NULL) {
        error = errno;
        close(file);
        errno = error;
    }
    return stream;
}

/* Close what may be open, as freopen(3) does with a stream that it fails to change; keep errno. */
static FILE *given_up(FILE *stream, int file)
{
    int error = errno;

    if (stream != NULL)
        fclose(stream);
    if (file >= 0)
        close(file);
    errno = error;
    return NULL;
}

static FILE *reopen_for_reading(const struct amber_file *file, const char *mode, FILE *stream)
{
    char temporary[AMBER_TEMPORARY_MAX];
    int error;

    if (amber_fetch(file, O_RDONLY, temporary) != 0)
        return given_up(stream, -1);
    stream = amber_ready()->freopen(temporary, mode, stream);
    error = errno;
    unlink(temporary);
    errno = error;
    return stream;
}

/* By the real function on /dev/null, so that the stream's direction changes; then the connection is laid over it. */
static FILE *reopen_for_writing(const struct amber_file *file, const char *mode, int flags, FILE *stream)
{
    int connection = amber_open(file, flags | O_CLOEXEC);

    if (connection < 0)
        return given_up(stream, -1);
    stream = amber_ready()->freopen("/dev/null", mode, stream);
    if (stream == NULL || dup3(connection, fileno(stream), flags & O_CLOEXEC) < 0)
        return given_up(stream, connection);
    close(connection);
    return stream;
}

static FILE *change_stream(const char *path, const char *mode, FILE *stream)
{
    struct amber_place place;
    int flags;

    amber_recognise(AT_FDCWD, path, &place);
    flags = flags_of(mode);
    if (place.kind == AMBER_NOTHING && flags >= 0 && (flags & O_CREAT))
        errno = EPERM;
    else if (place.kind != AMBER_FILE)
        return amber_ready()->freopen(place.where, mode, stream);
    else if (flags >= 0)
        return (flags & O_ACCMODE) == O_RDONLY ? reopen_for_reading(place.file, mode, stream)
                                               : reopen_for_writing(place.file, mode, flags, stream);
    return given_up(stream, -1);
}

AMBER_EXPORT FILE *fopen(const char *path, const char *mode)
{
    return open_stream(path, mode);
}

AMBER_EXPORT FILE *fopen64(const char *path, const char *mode)
{
    return open_stream(path, mode);
}

AMBER_EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    return change_stream(path, mode, stream);
}

AMBER_EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
    return change_stream(path, mode, stream);
}
