/* Prints an attestation token, as any program would print a file.
 *
 *     cc -O2 -o amber_reader amber_reader.c
 *     amber run --simulate -- ./amber_reader [FILE...]
 *
 * Without arguments it reads /dev/amber/token. It knows nothing of attestation: open, read to the end, print. Each
 * open that is read gives a token of its own. A read that fails says why by errno, and more in /dev/amber/status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_file(const char *path) {
    char buffer[4096];
    ssize_t count;
    int file = open(path, O_RDONLY);

    if (file < 0) {
        fprintf(stderr, "amber_reader: open %s: %s\n", path, strerror(errno));
        return 1;
    }
    do {
        count = read(file, buffer, sizeof buffer);
        if (count > 0)
            fwrite(buffer, 1, (size_t)count, stdout);
    } while (count > 0 || (count < 0 && errno == EINTR));
    if (count < 0)
        fprintf(stderr, "amber_reader: read %s: %s\n", path, strerror(errno));
    else
        putchar('\n');
    close(file);
    return count < 0;
}

int main(int argc, char **argv) {
    int failed = 0;

    if (argc < 2)
        failed = print_file("/dev/amber/token");
    for (int index = 1; index < argc; index++)
        failed |= print_file(argv[index]);
    return failed || fflush(stdout) != 0;
}
