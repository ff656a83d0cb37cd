/* What programs do with the files: the API key is written, the token read twice, then the secret and the status. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show(const char *name)
{
    char path[64], content[65536];
    size_t filled = 0;
    ssize_t count = -1;
    int file;

    snprintf(path, sizeof path, "/dev/amber/%s", name);
    file = open(path, O_RDONLY);
    while (file >= 0 && (count = read(file, content + filled, sizeof content - filled)) > 0)
        filled += (size_t)count;
    if (count < 0)
        printf("%s failed: %s\n", name, strerror(errno));
    else
        printf("%s: %.*s\n", name, (int)filled, content);
    if (file >= 0)
        close(file);
}

static int put(const char *key)
{
    int file = open("/dev/amber/endpoint_apikey", O_WRONLY | O_TRUNC);

    return file < 0 || write(file, key, strlen(key)) != (ssize_t)strlen(key) || close(file) != 0;
}

int main(int count, char **words)
{
    if (count > 1)
        printf("key %s\n", put(words[1]) ? strerror(errno) : "written");
    show("token");
    show("token");
    show("secret");
    show("status");
    return 0;
}
