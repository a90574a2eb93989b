/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/stop.h"

#include "shila/cli/call.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STOP_TIMEOUT_S 15

/* open_process() - A descriptor of the process behind the socket, -1 where the kernel cannot tell.
 */
static int open_process(int fd, pid_t *pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
		return -1;
	*pid = peer.pid;
	return syscall(SYS_pidfd_open, peer.pid, 0);
}

static int wait_process(int process, pid_t pid, char *why)
{
	struct pollfd end = { .fd = process, .events = POLLIN };
	int n;

	do
		n = poll(&end, 1, STOP_TIMEOUT_S * 1000);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	snprintf(why, CALL_WHY_LEN,
		 "shilad (pid %d) was told to stop and is still there after %d s", (int)pid,
		 STOP_TIMEOUT_S);
	return n < 0 ? -errno : -ETIMEDOUT;
}

int stop_daemon(const char *control, json_t **result, char *why)
{
	int fd = call_open(control, why), process, err;
	json_t *answer;
	pid_t pid = 0;

	if (fd < 0)
		return fd;
	process = open_process(fd, &pid); /* before it can end, lest it be another's pid */
	err = call_send(fd, control, "stop", NULL, JSON_OBJECT, &answer, why);
	close(fd); /* or the daemon waits for us */
	if (err < 0)
		goto close_process;
	if (process >= 0)
		err = wait_process(process, pid, why);
	if (err < 0)
		json_decref(answer);
	else
		*result = answer;
close_process:
	if (process >= 0)
		close(process);
	return err;
}
