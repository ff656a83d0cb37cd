/* What the shim knows from its start: its settings, and the functions that it stands before.
 *
 * Read once, when the library is loaded, and never changed: a program that changes its environment later does not
 * change where its secrets come from. */
#include "amber.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "settings.h"

static struct amber_real real;
static char directory[PATH_MAX];
static struct sockaddr_un agent;
static atomic_int ready; /* 0: not yet; 1: done. Doing it twice at once writes the same bytes twice. */

static void *found(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static void read_settings(void)
{
    const char *place = getenv("AMBER_DIR");
    const char *name = getenv("AMBER_AGENT");

    if (place == NULL || place[0] != '/' || strlen(place) >= sizeof directory - NAME_MAX - 1 || name == NULL ||
        name[0] != '/' || strlen(name) >= sizeof agent.sun_path)
        return;
    agent.sun_family = AF_UNIX;
    strcpy(agent.sun_path, name);
    strcpy(directory, place);
    for (size_t end = strlen(directory); end > 1 && directory[end - 1] == '/'; end--)
        directory[end - 1] = 0;
}

const struct amber_real *amber_ready(void)
{
    if (!atomic_load_explicit(&ready, memory_order_acquire)) {
        /* POSIX lets dlsym return functions; ISO C has no cast for it, so the bytes are copied. */
        void *symbols[] = {found("openat"), found("fopen"), found("freopen")};
        memcpy(&real.openat, &symbols[0], sizeof symbols[0]);
        memcpy(&real.fopen, &symbols[1], sizeof symbols[1]);
        memcpy(&real.freopen, &symbols[2], sizeof symbols[2]);
        read_settings();
        atomic_store_explicit(&ready, 1, memory_order_release);
    }
    return &real;
}

__attribute__((constructor)) static void start(void)
{
    amber_ready();
}

const char *amber_directory(void)
{
    amber_ready();
    return directory[0] ? directory : NULL;
}

const struct sockaddr_un *amber_agent(void)
{
    return &agent;
}
