/* Talking to the agent: one connection for each open.
 *
 * Request: 4 bytes "AMB1", 4 bytes flags of open(2), 1 byte length of the name, the name.
 * Reply:   4 bytes errno (0: yes), 4 bytes length, and as many bytes of content. Numbers are the machine's own.
 * After a yes to an open for writing the connection is the file: what the program writes goes to the agent, and is in
 * force when its last descriptor is closed. */
#include "amber.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "settings.h"

#define MAX_CONTENT (64 * 1024) /* nodes.MAX_CONTENT */
#define MAX_ERRNO 4095          /* the kernel's own limit */
#define CHUNK 4096

/* A failure on the way to the agent or back. What the agent itself has to say comes in its reply. */
static int broken(int error)
{
    switch (error) {
    case EINTR: /* as open(2): only for a handler that asked for it */
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return error;
    default:
        return EIO;
    }
}

static int fails(int connection, int error)
{
    if (connection >= 0)
        close(connection);
    errno = error;
    return -1;
}

/* Exactly `size` bytes: 0, or -1 with errno. */
static int take(int connection, void *target, size_t size)
{
    char *next = target;

    while (size > 0) {
        ssize_t got = recv(connection, next, size, 0);

        if (got <= 0) {
            errno = got == 0 ? EIO : broken(errno);
            return -1;
        }
        next += got;
        size -= (size_t)got;
    }
    return 0;
}

int amber_ask(const char *name, int flags, uint32_t *length)
{
    const struct sockaddr_un *agent = amber_agent();
    struct {
        char magic[4];
        uint32_t flags;
        unsigned char size;
        char name[NAME_MAX];
    } request = {.magic = {'A', 'M', 'B', '1'}, .flags = (uint32_t)flags, .size = (unsigned char)strlen(name)};
    size_t size = offsetof(__typeof__(request), name) + request.size;
    uint32_t reply[2];
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connection < 0)
        return fails(connection, broken(errno));
    memcpy(request.name, name, request.size);
    if (connect(connection, (const struct sockaddr *)agent, sizeof *agent) != 0)
        return fails(connection, broken(errno));
    if (send(connection, &request, size, MSG_NOSIGNAL) != (ssize_t)size)
        return fails(connection, broken(errno));
    if (take(connection, reply, sizeof reply) != 0)
        return fails(connection, errno);
    if (reply[0] != 0)
        return fails(connection, reply[0] <= MAX_ERRNO ? (int)reply[0] : EIO);
    if (reply[1] > MAX_CONTENT)
        return fails(connection, E2BIG);
    *length = reply[1];
    return connection;
}

/* All of it: 0, or -1 with errno. */
static int put(int file, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(file, bytes, size);

        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            bytes += done;
            size -= (size_t)done;
        }
    }
    return 0;
}

int amber_receive(int connection, uint32_t length, int file)
{
    char chunk[CHUNK];
    int error = 0;

    while (length > 0 && error == 0) {
        size_t part = length < CHUNK ? length : CHUNK;

        if (take(connection, chunk, part) != 0 || put(file, chunk, part) != 0)
            error = errno;
        length -= (uint32_t)part;
    }
    explicit_bzero(chunk, sizeof chunk); /* it held a secret, or a part of one */
    if (error != 0)
        return fails(connection, error);
    close(connection);
    return 0;
}
