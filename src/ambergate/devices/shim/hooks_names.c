/* The functions that ask about names: what a file is, whether it may be read, what is in the directory.
 *
 * Needed because nothing that can be opened stands behind the names (README.md, "A miss"). A file is told to be what it
 * is by FUSE: regular, of its mode, of size 0, since nobody knows its size before it is opened. */
#include "amber.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "where these differ, the functions below do not fit");

/* The real function of this name; POSIX lets dlsym return functions, ISO C has no cast for it. */
#define REAL(pointer, name)                       \
    do {                                          \
        void *symbol = dlsym(RTLD_NEXT, name);    \
        memcpy(&(pointer), &symbol, sizeof symbol); \
    } while (0)

/* The names are found once, when the library is loaded: dlsym may not be called everywhere that stat may. */
static int (*real_fstatat)(int, const char *, struct stat *, int);
static int (*real_statx)(int, const char *, int, unsigned int, struct statx *);
static int (*real_faccessat)(int, const char *, int, int);
static DIR *(*real_opendir)(const char *);
static int (*real_chdir)(const char *);
static ssize_t (*real_getxattr)(const char *, const char *, void *, size_t);
static ssize_t (*real_lgetxattr)(const char *, const char *, void *, size_t);
static ssize_t (*real_listxattr)(const char *, char *, size_t);
static ssize_t (*real_llistxattr)(const char *, char *, size_t);

static void find(void)
{
    if (real_chdir != NULL)
        return;
    REAL(real_fstatat, "fstatat");
    REAL(real_statx, "statx");
    REAL(real_faccessat, "faccessat");
    REAL(real_opendir, "opendir");
    REAL(real_getxattr, "getxattr");
    REAL(real_lgetxattr, "lgetxattr");
    REAL(real_listxattr, "listxattr");
    REAL(real_llistxattr, "llistxattr");
    REAL(real_chdir, "chdir");
}

__attribute__((constructor)) static void start(void)
{
    find();
}

static int stat_at(int directory, const char *path, void *result, int flags)
{
    struct amber_place place;
    struct stat *told = result;

    find();
    amber_recognise(directory, path, &place);
    if (place.kind != AMBER_FILE)
        return real_fstatat(directory, place.where, told, flags);
    if (real_fstatat(AT_FDCWD, amber_directory(), told, 0) != 0)
        return -1;
    told->st_mode = S_IFREG | place.file->mode;
    told->st_nlink = 1;
    told->st_size = 0;
    told->st_blocks = 0;
    return 0;
}

AMBER_EXPORT int stat(const char *restrict path, struct stat *restrict result)
{
    return stat_at(AT_FDCWD, path, result, 0);
}

AMBER_EXPORT int stat64(const char *restrict path, struct stat64 *restrict result)
{
    return stat_at(AT_FDCWD, path, result, 0);
}

AMBER_EXPORT int lstat(const char *restrict path, struct stat *restrict result)
{
    return stat_at(AT_FDCWD, path, result, AT_SYMLINK_NOFOLLOW);
}

AMBER_EXPORT int lstat64(const char *restrict path, struct stat64 *restrict result)
{
    return stat_at(AT_FDCWD, path, result, AT_SYMLINK_NOFOLLOW);
}

AMBER_EXPORT int fstatat(int directory, const char *restrict path, struct stat *restrict result, int flags)
{
    return stat_at(directory, path, result, flags);
}

AMBER_EXPORT int fstatat64(int directory, const char *restrict path, struct stat64 *restrict result, int flags)
{
    return stat_at(directory, path, result, flags);
}

/* What programs linked before glibc 2.33 call; the first argument is the version of the structure, and there is one. */
AMBER_EXPORT int __xstat(int version, const char *path, struct stat *result);
AMBER_EXPORT int __xstat64(int version, const char *path, struct stat64 *result);
AMBER_EXPORT int __lxstat(int version, const char *path, struct stat *result);
AMBER_EXPORT int __lxstat64(int version, const char *path, struct stat64 *result);
AMBER_EXPORT int __fxstatat(int version, int directory, const char *path, struct stat *result, int flags);
AMBER_EXPORT int __fxstatat64(int version, int directory, const char *path, struct stat64 *result, int flags);

int __xstat(int version, const char *path, struct stat *result)
{
    (void)version;
    return stat_at(AT_FDCWD, path, result, 0);
}

int __xstat64(int version, const char *path, struct stat64 *result)
{
    (void)version;
    return stat_at(AT_FDCWD, path, result, 0);
}

int __lxstat(int version, const char *path, struct stat *result)
{
    (void)version;
    return stat_at(AT_FDCWD, path, result, AT_SYMLINK_NOFOLLOW);
}

int __lxstat64(int version, const char *path, struct stat64 *result)
{
    (void)version;
    return stat_at(AT_FDCWD, path, result, AT_SYMLINK_NOFOLLOW);
}

int __fxstatat(int version, int directory, const char *path, struct stat *result, int flags)
{
    (void)version;
    return stat_at(directory, path, result, flags);
}

int __fxstatat64(int version, int directory, const char *path, struct stat64 *result, int flags)
{
    (void)version;
    return stat_at(directory, path, result, flags);
}

AMBER_EXPORT int statx(int directory, const char *restrict path, int flags, unsigned int mask,
                       struct statx *restrict result)
{
    struct amber_place place;

    find();
    amber_recognise(directory, path, &place);
    if (place.kind != AMBER_FILE)
        return real_statx(directory, place.where, flags, mask, result);
    if (real_statx(AT_FDCWD, amber_directory(), 0, mask, result) != 0)
        return -1;
    result->stx_mode = (__u16)(S_IFREG | place.file->mode);
    result->stx_nlink = 1;
    result->stx_size = 0;
    result->stx_blocks = 0;
    return 0;
}

static int access_at(int directory, const char *path, int wanted, int flags)
{
    struct amber_place place;

    find();
    amber_recognise(directory, path, &place);
    if (place.kind != AMBER_FILE)
        return real_faccessat(directory, place.where, wanted, flags);
    if ((wanted & X_OK) || ((wanted & W_OK) && !(place.file->mode & S_IWUSR))) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

AMBER_EXPORT int access(const char *path, int wanted)
{
    return access_at(AT_FDCWD, path, wanted, 0);
}

AMBER_EXPORT int eaccess(const char *path, int wanted)
{
    return access_at(AT_FDCWD, path, wanted, AT_EACCESS);
}

AMBER_EXPORT int euidaccess(const char *path, int wanted)
{
    return access_at(AT_FDCWD, path, wanted, AT_EACCESS);
}

AMBER_EXPORT int faccessat(int directory, const char *path, int wanted, int flags)
{
    return access_at(directory, path, wanted, flags);
}

/* Where the directory is at no name but its own, it is reached by its alias too. */
AMBER_EXPORT DIR *opendir(const char *path)
{
    struct amber_place place;

    find();
    amber_recognise(AT_FDCWD, path, &place);
    return real_opendir(place.where);
}

AMBER_EXPORT int chdir(const char *path)
{
    struct amber_place place;

    find();
    amber_recognise(AT_FDCWD, path, &place);
    return real_chdir(place.where);
}

/* `ls -l` asks for access lists and labels, and calls the whole file missing where the name is. */
AMBER_EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    struct amber_place place;

    find();
    amber_recognise(AT_FDCWD, path, &place);
    return real_getxattr(place.where, name, value, size);
}

AMBER_EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    struct amber_place place;

    find();
    amber_recognise(AT_FDCWD, path, &place);
    return real_lgetxattr(place.where, name, value, size);
}

AMBER_EXPORT ssize_t listxattr(const char *path, char *list, size_t size)
{
    struct amber_place place;

    find();
    amber_recognise(AT_FDCWD, path, &place);
    return real_listxattr(place.where, list, size);
}

AMBER_EXPORT ssize_t llistxattr(const char *path, char *list, size_t size)
{
    struct amber_place place;

    find();
    amber_recognise(AT_FDCWD, path, &place);
    return real_llistxattr(place.where, list, size);
}
