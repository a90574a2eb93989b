/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A second socket with the address of another one, only to send from it. The kernel wakes whoever polls a
 * socket each time that a segment of it is freed, 45 times a train, also if they wait for something to read only:
 * so what is sent goes through a socket that nobody polls.
 */
#include "shila/io/underlay.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

/* Both have the port, and the first one of them gets all that arrives. */
static int share(int fd, int twin, const union sock_addr *sa)
{
	struct sock_filter first[] = { { BPF_RET | BPF_K, 0, 0, 0 } };
	struct sock_fprog prog;
	int on = 1;

	memset(&prog, 0, sizeof(prog)); /* its padding, too: the kernel is given all of it */
	prog.len = 1;
	prog.filter = first;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    setsockopt(twin, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(twin, &sa->sa, sock_addr_len(sa)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0)
		return -errno;
	return 0;
}

int underlay_twin(int fd)
{
	union sock_addr sa;
	socklen_t len = sizeof(sa);
	int twin, err;

	if (getsockname(fd, &sa.sa, &len) < 0)
		return -errno;
	if (sa.sa.sa_family != AF_INET && sa.sa.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	twin = underlay_socket(sa.sa.sa_family == AF_INET6);
	if (twin < 0)
		return twin;
	err = share(fd, twin, &sa);
	if (err < 0) {
		close(twin);
		return err;
	}
	return twin;
}
