/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_SOCK_DIAG_H
#define SHILA_IO_SOCK_DIAG_H

#include "shila/base/ip_addr.h"

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
 * Never blocks: the kernel answers while it is asked.
 * Return: 1, 0 there is none, -errno it cannot be told.
 */
int sock_diag_tcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		  const struct ip_addr *remote, uint16_t remote_port);

/**
 * sock_diag_mptcp() - By which token the kernel of this side knows the MPTCP connection of a subflow.
 * Return: 0, -ENOENT there is no such subflow, -errno.
 */
int sock_diag_mptcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		    const struct ip_addr *remote, uint16_t remote_port, uint32_t *token);

#endif
