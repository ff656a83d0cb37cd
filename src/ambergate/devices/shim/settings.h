/* Where the agent listens. Of use only where there is a directory. */
#ifndef AMBER_SETTINGS_H
#define AMBER_SETTINGS_H

struct sockaddr_un;

const struct sockaddr_un *amber_agent(void);

#endif
