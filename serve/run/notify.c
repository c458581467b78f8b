/* notify.c - one datagram to the socket that systemd names: a path, or with '@' in front an abstract name. */
#include "base/vlm.h"

#include "serve/run/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void vlm_notify(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const size_t n = name ? strlen(name) : 0;
    if (n < 2 || n >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@'))
        return;
    memcpy(address.sun_path, name, n);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                          (const struct sockaddr *)&address, size);
    (void)sent;
    close(fd);
}

double vlm_notify_watchdog(void)
{
    const char *text = getenv("WATCHDOG_USEC"), *process = getenv("WATCHDOG_PID");
    if (!text || (process && strtoll(process, NULL, 10) != getpid()))
        return 0;
    const long long usec = strtoll(text, NULL, 10);
    return usec > 0 ? (double)usec * 1e-6 : 0;
}
