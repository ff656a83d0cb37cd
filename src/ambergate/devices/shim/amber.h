/* What the parts of the shim share. README.md beside this file says how they work together. */
#ifndef AMBER_H
#define AMBER_H

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#define AMBER_EXPORT __attribute__((visibility("default")))
#define AMBER_TEMPORARY_MAX (PATH_MAX + 64)

/* One of the twelve files. */
struct amber_file {
    const char *name;
    mode_t mode;
};

enum amber_kind {
    AMBER_ELSEWHERE, /* none of our business */
    AMBER_DIRECTORY, /* the directory itself */
    AMBER_FILE,      /* one of the files */
    AMBER_NOTHING,   /* below the directory, and no file of ours */
};

/* What a path names. */
struct amber_place {
    enum amber_kind kind;
    const struct amber_file *file; /* of AMBER_FILE */
    const char *where;             /* the path for the real function: `path`, or the one that was given */
    char path[PATH_MAX];
};

/* The real functions behind those that the shim stands before. */
struct amber_real {
    int (*openat)(int, const char *, int, ...);
    FILE *(*fopen)(const char *, const char *);
    FILE *(*freopen)(const char *, const char *, FILE *);
};

/* The settings were read and the real functions found; does nothing after the first time. */
const struct amber_real *amber_ready(void);

/* The private directory, or NULL where there is no agent: then nothing is recognised. */
const char *amber_directory(void);

/* Whether and where a path leads to our files. Follows no symbolic link. Leaves errno as it is. */
void amber_recognise(int directory, const char *path, struct amber_place *place);

/* Open one of the files, as openat(2) would. */
int amber_open(const struct amber_file *file, int flags);

/* The content of one of the files, in a new file; its name is written to `temporary`, and is the caller's to unlink.
   0, or -1 with errno. */
int amber_fetch(const struct amber_file *file, int flags, char temporary[AMBER_TEMPORARY_MAX]);

/* A connection whose agent agreed to open the file, with the length of what it sends in `length`; or -1 with errno. */
int amber_ask(const char *name, int flags, uint32_t *length);

/* What the agent sends is read into an open file: 0, or -1 with errno. Ends the connection. */
int amber_receive(int connection, uint32_t length, int file);

#endif
