/* What programs do with files, one deed for each word; errors are told as numbers. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGEST (128 * 1024)

static int failed(void)
{
    printf("errno %d\n", errno);
    return 1;
}

/* The content of an open file, and a line end. */
static int show(int file)
{
    char *content = malloc(LARGEST);
    size_t filled = 0;
    ssize_t count;

    if (file < 0)
        return free(content), failed();
    while ((count = read(file, content + filled, LARGEST - filled)) > 0)
        filled += (size_t)count;
    if (count < 0)
        return free(content), failed();
    flockfile(stdout);
    fwrite(content, 1, filled, stdout);
    putchar('\n');
    funlockfile(stdout);
    free(content);
    return close(file);
}

static int read_all(char **paths)
{
    int worst = 0;

    for (; *paths; paths++) {
        errno = 77; /* a success leaves it as it is */
        int file = open(*paths, O_RDONLY);
        if (file >= 0 && errno != 77)
            return 99;
        worst |= show(file);
    }
    return worst;
}

static int stream(char **words)
{
    char line[256];
    FILE *file = fopen(words[0], words[1]);

    if (file == NULL)
        return failed();
    if (words[2])
        return fputs(words[2], file) < 0 || fclose(file) != 0;
    if (fgets(line, sizeof line, file) == NULL)
        return 1;
    puts(line);
    return fclose(file);
}

static int write_text(char **words)
{
    int file = open(words[0], O_WRONLY | O_TRUNC);

    if (file < 0)
        return failed();
    if (write(file, words[1], strlen(words[1])) != (ssize_t)strlen(words[1]))
        return failed();
    return close(file);
}

static int below(char **words)
{
    int directory = open(words[0], O_RDONLY | O_DIRECTORY);
    int result = directory < 0 ? failed() : show(openat(directory, words[1], O_RDONLY));

    close(directory);
    return result;
}

static int from(char **words)
{
    return chdir(words[0]) ? failed() : show(open(words[1], O_RDONLY));
}

/* The descriptor is that of an ordinary file. */
static int ordinary(char **words)
{
    struct stat told;
    char first, again, from_copy;
    int file = open(words[0], O_RDONLY | O_CLOEXEC), copy = dup(file);
    const char *mapped;

    if (file < 0 || fstat(file, &told) != 0)
        return failed();
    mapped = mmap(NULL, (size_t)told.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (read(file, &first, 1) != 1 || read(copy, &from_copy, 1) != 1 || lseek(file, 0, SEEK_SET) != 0 ||
        read(copy, &again, 1) != 1 || mapped == MAP_FAILED)
        return failed();
    printf("%d %o %ld %d %d %d %d\n", S_ISREG(told.st_mode), told.st_mode & 0777, (long)told.st_size, first == again,
           mapped[0] == first && mapped[1] == from_copy, fcntl(file, F_GETFD), write(file, "x", 1) < 0);
    return 0;
}

static char **thread_words;

static void *reads(void *unused)
{
    (void)unused;
    for (int left = atoi(thread_words[1]); left > 0; left--)
        if (show(open(thread_words[2], O_RDONLY)) != 0)
            exit(1);
    return NULL;
}

static int threads(char **words)
{
    pthread_t started[64];
    int count = atoi(words[0]);

    thread_words = words;
    for (int index = 0; index < count; index++)
        pthread_create(&started[index], NULL, reads, NULL);
    for (int index = 0; index < count; index++)
        pthread_join(started[index], NULL);
    return 0;
}

/* Here, in a child, and in what a child becomes. */
static int family(char **words)
{
    int status;

    show(open(words[0], O_RDONLY));
    fflush(stdout);
    for (int child = 0; child < 2; child++) {
        if (fork() == 0) {
            if (child)
                execl("/proc/self/exe", "program", "read", words[0], NULL);
            exit(show(open(words[0], O_RDONLY)));
        }
        if (wait(&status) < 0 || status != 0)
            return 1;
    }
    return 0;
}

static int reopen(char **words)
{
    char line[256] = "";

    if (freopen(words[0], "r", stdin) == NULL || fgets(line, sizeof line, stdin) == NULL)
        return failed();
    fputs(line, stderr);
    if (freopen(words[1], "w", stdout) == NULL)
        return 1;
    return fputs(words[2], stdout) < 0 || fclose(stdout) != 0;
}

/* A compiler that hardens programs calls __open_2 and its kin here: it does not know the flags. */
static int fortified(char **words)
{
    int flags = (int)strlen(words[1]) - 1;
    int worst = show(open(words[0], flags)) | show(open64(words[0], flags));

    return worst | show(openat(AT_FDCWD, words[0], flags)) | show(openat64(AT_FDCWD, words[0], flags));
}

static int descriptors(void)
{
    DIR *open_now = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(open_now) != NULL)
        count++;
    closedir(open_now);
    return count;
}

/* Nothing stays open, whatever happens. */
static int leaks(char **words)
{
    int before = descriptors(), file;

    for (int left = 50; left > 0; left--)
        for (char **path = words; *path; path++)
            if ((file = open(*path, left % 2 ? O_RDONLY : O_WRONLY)) >= 0)
                close(file);
    printf("%d\n", descriptors() - before);
    return 0;
}

/* What is told of a name without opening it. */
static int tell(char **words)
{
    struct stat told;

    if (stat(words[0], &told) != 0)
        return failed();
    printf("%d %o %ld %d %d %d %d\n", S_ISREG(told.st_mode), told.st_mode & 0777, (long)told.st_size,
           access(words[0], R_OK), access(words[0], W_OK), access(words[0], X_OK), faccessat(AT_FDCWD, words[0], 0, 0));
    return 0;
}

/* The exchange for both directions: what is there now, then a new value. */
static int both(char **words)
{
    char old[256];
    int file = open(words[0], O_RDWR);
    ssize_t count = file < 0 ? -1 : read(file, old, sizeof old);

    if (count < 0 || read(file, old + count, 1) != 0 || write(file, words[1], strlen(words[1])) < 0)
        return failed();
    printf("%.*s\n", (int)count, old);
    return close(file);
}

static int flags(char **words)
{
    return show(open(words[0], atoi(words[1]), 0600));
}

int main(int count, char **words)
{
    static const struct {
        const char *word;
        int (*deed)(char **);
    } DEEDS[] = {
        {"read", read_all},   {"stream", stream},       {"write", write_text}, {"below", below},
        {"from", from},       {"ordinary", ordinary},   {"threads", threads},  {"family", family},
        {"reopen", reopen},   {"fortified", fortified}, {"leaks", leaks},      {"tell", tell},
        {"both", both},       {"flags", flags},
    };

    for (size_t index = 0; count > 1 && index < sizeof DEEDS / sizeof DEEDS[0]; index++)
        if (strcmp(DEEDS[index].word, words[1]) == 0)
            return DEEDS[index].deed(words + 2);
    return 2;
}
