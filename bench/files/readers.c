/* Readers of the files, for soak and latency.
 *
 *     readers soak SECONDS PROCESSES THREADS   every token is read to its end and looked at
 *     readers open PATH COUNT                  nanoseconds of each open + read to the end + close, one in a line
 *     readers began                            the monotonic clock in nanoseconds, at the start of main
 *     readers wait PATH                        says "reading", reads, says what came
 *
 * A token is "N LENGTH " and then LENGTH bytes, each of them the letter that N and its place give: what was cut, mixed or
 * given twice is seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOKEN "/dev/amber/token"
#define MAX_TOKENS (1u << 27) /* a bit for each */
#define MAX_THREADS 512
#define LARGEST 65536

static struct shared {
    atomic_ulong read, wrong, twice, failed, leaked;
    atomic_uchar seen[MAX_TOKENS / 8];
} *all;
static struct timespec until;

static long long now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* The content of a file; its length, or -1. `again`: look whether its first byte is still the same. */
static ssize_t content(const char *path, char *target, size_t size, int again)
{
    size_t filled = 0;
    ssize_t count;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return -1;
    while ((count = read(file, target + filled, size - filled)) > 0)
        filled += (size_t)count;
    if (count < 0) {
        close(file);
        return -1;
    }
    if (again && filled > 0 && (pread(file, target + size, 1, 0) != 1 || target[size] != target[0]))
        atomic_fetch_add(&all->wrong, 1);
    close(file);
    return (ssize_t)filled;
}

static void look(const char *token, size_t size)
{
    char *end;
    unsigned long number = strtoul(token, &end, 10), length = strtoul(end, &end, 10);
    unsigned char bit = (unsigned char)(1u << (number % 8));

    if (number == 0 || number >= MAX_TOKENS || *end != ' ' || (size_t)(end + 1 - token) + length != size) {
        atomic_fetch_add(&all->wrong, 1);
        return;
    }
    for (unsigned long index = 0; index < length; index++)
        if (end[1 + index] != (char)('a' + (number + index) % 26)) {
            atomic_fetch_add(&all->wrong, 1);
            return;
        }
    if (atomic_fetch_or(&all->seen[number / 8], bit) & bit)
        atomic_fetch_add(&all->twice, 1);
}

static void *reads(void *unused)
{
    char token[LARGEST + 1];
    struct timespec at;

    (void)unused;
    do {
        ssize_t size = content(TOKEN, token, LARGEST, 1);

        if (size < 0)
            atomic_fetch_add(&all->failed, 1);
        else
            look(token, (size_t)size);
        atomic_fetch_add(&all->read, 1);
        clock_gettime(CLOCK_MONOTONIC, &at);
    } while (at.tv_sec < until.tv_sec || (at.tv_sec == until.tv_sec && at.tv_nsec < until.tv_nsec));
    return NULL;
}

static long descriptors(void)
{
    DIR *open_now = opendir("/proc/self/fd");
    long count = 0;

    while (open_now != NULL && readdir(open_now) != NULL)
        count++;
    closedir(open_now);
    return count;
}

static int process(int threads)
{
    pthread_t started[MAX_THREADS];
    long before = descriptors();

    for (int index = 0; index < threads; index++)
        if (pthread_create(&started[index], NULL, reads, NULL) != 0)
            return 1;
    for (int index = 0; index < threads; index++)
        pthread_join(started[index], NULL);
    atomic_fetch_add(&all->leaked, (unsigned long)(descriptors() - before));
    return 0;
}

static int soak(double seconds, int processes, int threads)
{
    int status, worst = 0;

    if (threads < 1 || threads > MAX_THREADS)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    for (int index = 0; index < processes; index++)
        if (fork() == 0)
            _exit(process(threads));
    while (wait(&status) > 0)
        worst |= status;
    printf("{\"read\": %lu, \"wrong\": %lu, \"twice\": %lu, \"failed\": %lu, \"leaked\": %lu}\n", all->read, all->wrong,
           all->twice, all->failed, all->leaked);
    return worst != 0;
}

static int timed(const char *path, int count)
{
    char text[LARGEST + 1];
    long long *took = malloc((size_t)count * sizeof *took);

    for (int index = 0; took != NULL && index < count; index++) {
        long long began = now();

        if (content(path, text, LARGEST, 0) < 0)
            return 1;
        took[index] = now() - began;
    }
    for (int index = 0; took != NULL && index < count; index++)
        printf("%lld\n", took[index]);
    free(took);
    return took == NULL;
}

int main(int count, char **words)
{
    long long began = now();

    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED || count < 2)
        return 2;
    if (strcmp(words[1], "began") == 0)
        return printf("%lld\n", began) < 0;
    if (strcmp(words[1], "soak") == 0 && count == 5)
        return soak(atof(words[2]), atoi(words[3]), atoi(words[4]));
    if (strcmp(words[1], "open") == 0 && count == 4)
        return timed(words[2], atoi(words[3]));
    if (strcmp(words[1], "wait") == 0 && count == 3) {
        char text[LARGEST + 1];

        puts("reading");
        fflush(stdout);
        return content(words[2], text, LARGEST, 0) < 0;
    }
    return 2;
}
