/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_SOCK_DIAG_H
#define SHILA_IO_SOCK_DIAG_H

#include "shila/base/ip_addr.h"

#include <stdbool.h>
#include <stdint.h>

/* Asks the kernel whether it has a TCP socket, in the network namespace where it was opened. */
struct sock_diag {
	int fd; /* 0: nobody can be asked */
	uint32_t asked;
};

/* sock_diag_open() - Return: 0, or -errno if it cannot be asked here. */
int sock_diag_open(struct sock_diag *d);
void sock_diag_close(struct sock_diag *d);

/**
 * sock_diag_tcp() - Whether a socket has this 4-tuple; one that only listens does not count.
 * @ifindex: a socket that is bound to a device is found by that device alone; others by any, 0 too
 * Never blocks: the kernel answers while it is asked.
 * Return: 1, 0 there is none, -errno it cannot be told.
 */
int sock_diag_tcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		  const struct ip_addr *remote, uint16_t remote_port, int ifindex);

struct sock_diag_subflow {
	uint32_t token; /* by which the kernel of this side knows its MPTCP connection */
	uint8_t id;	/* of its local address; 0: that of the main flow */
	bool backup;
};

/* sock_diag_mptcp() - Return: 0, -ENOENT there is no such socket, -EPROTO it is no subflow (yet, or any more), -errno. */
int sock_diag_mptcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		    const struct ip_addr *remote, uint16_t remote_port, int ifindex, struct sock_diag_subflow *out);

#endif
