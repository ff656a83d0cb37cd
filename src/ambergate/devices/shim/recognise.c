/* Which paths lead to our files.
 *
 * Paths are compared as text: "//", "." and ".." are resolved without asking the file system, and relative paths begin
 * at the working directory or at the directory descriptor. A symbolic link that leads to our files is not followed: the
 * real open then finds nothing that can be opened (README.md, "A miss"). */
#include "amber.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ALIAS "/dev/amber"

/* As nodes.py has them; a test compares. */
static const struct amber_file FILES[] = {
    {"token", 0444},           {"secret", 0444},  {"status", 0444},      {"endpoint_url", 0644},
    {"endpoint_ip", 0644},     {"kbs_url", 0644}, {"kbs_ip", 0644},      {"endpoint_apikey", 0644},
    {"kbs_keyid", 0644},       {"renew", 0644},   {"userdata", 0644},    {"cacerts", 0444},
};

static const struct amber_file *file_named(const char *name)
{
    for (size_t index = 0; index < sizeof FILES / sizeof FILES[0]; index++)
        if (strcmp(FILES[index].name, name) == 0)
            return &FILES[index];
    return NULL;
}

/* Whether a relative path is worth the question where it begins: most are not. */
static int may_be_ours(const char *path)
{
    const char *last = strrchr(path, '/');

    last = last == NULL ? path : last + 1;
    return last[0] == 0 || last[0] == '.' || strcmp(last, "amber") == 0 || file_named(last) != NULL;
}

/* The directory at which a relative path begins: 0, or -1. */
static int beginning(int directory, char text[PATH_MAX])
{
    char link[32];
    ssize_t size;

    if (directory == AT_FDCWD)
        return getcwd(text, PATH_MAX) != NULL && text[0] == '/' ? 0 : -1;
    if (snprintf(link, sizeof link, "/proc/self/fd/%d", directory) >= (int)sizeof link)
        return -1;
    size = readlink(link, text, PATH_MAX - 1);
    if (size <= 0 || text[0] != '/')
        return -1;
    text[size] = 0;
    return 0;
}

/* Append the parts of a path to a text that is one already: 0, or -1 if they do not fit. */
static int append(char text[PATH_MAX], const char *path)
{
    size_t end = strlen(text);

    if (end == 1)
        end = 0; /* only "/" */
    while (*path) {
        size_t part = strcspn(path, "/");

        if (part == 2 && path[0] == '.' && path[1] == '.') {
            while (end > 0 && text[--end] != '/')
                ;
        } else if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (end + 1 + part >= PATH_MAX)
                return -1;
            text[end] = '/';
            memcpy(text + end + 1, path, part);
            end += 1 + part;
        }
        path += part + (path[part] == '/');
    }
    if (end == 0)
        text[end++] = '/';
    text[end] = 0;
    return 0;
}

/* What stands behind `root` in `text`: "" for the directory itself, "/..." below it, NULL elsewhere. */
static const char *behind(const char *text, const char *root)
{
    size_t size = strlen(root);

    if (strncmp(text, root, size) != 0 || (text[size] != 0 && text[size] != '/'))
        return NULL;
    return text + size;
}

static void recognise(int directory, const char *path, struct amber_place *place)
{
    const char *root = amber_directory();
    const char *rest;
    char text[PATH_MAX] = "/";
    int slash;

    if (root == NULL || path == NULL || path[0] == 0)
        return;
    if (path[0] != '/' && (!may_be_ours(path) || beginning(directory, text) != 0))
        return;
    if (append(text, path) != 0)
        return;
    rest = behind(text, ALIAS);
    if (rest == NULL)
        rest = behind(text, root);
    if (rest == NULL) {
        /* Through our directory and out again, which only we can follow: "/dev/amber/..". */
        if (strncmp(path, ALIAS "/", sizeof ALIAS) == 0)
            place->where = strcpy(place->path, text);
        return;
    }
    slash = path[strlen(path) - 1] == '/';
    if (strlen(root) + strlen(rest) + 2 > sizeof place->path)
        return;
    place->where = strcat(strcpy(place->path, root), rest);
    if (rest[0] == 0) {
        place->kind = AMBER_DIRECTORY;
        return;
    }
    place->file = slash ? NULL : file_named(rest + 1);
    place->kind = place->file == NULL ? AMBER_NOTHING : AMBER_FILE;
    if (slash)
        strcat(place->path, "/");
}

void amber_recognise(int directory, const char *path, struct amber_place *place)
{
    int before = errno;

    place->kind = AMBER_ELSEWHERE;
    place->file = NULL;
    place->where = path;
    recognise(directory, path, place);
    errno = before;
}
