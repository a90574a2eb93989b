/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_MPTCP_PM_H
#define SHILA_IO_MPTCP_PM_H

#include "shila/base/ip_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The MPTCP path manager of Linux as a program has it: events of connections, and commands about their subflows, by
 * generic netlink (family `mptcp_pm`), in the network namespace where it was opened. Commands are for connections of
 * sockets that were made while net.mptcp.path_manager was `userspace`.
 */

/* A subflow, or what is to become one, as the kernel of this side has it. */
struct mptcp_pm_subflow {
	uint32_t token; /* of the connection, that the peer's joins carry: not the one in ours */
	struct ip_addr local, remote; /* of one family */
	uint16_t local_port, remote_port;
	uint8_t id;	/* create: not 0, and new in the connection; remove: which */
	int ifindex;	/* create: that it is bound to, 0: none */
	bool backup;	/* create, set priority */
};

enum mptcp_pm_command {
	MPTCP_PM_CREATE,   /* MP_JOIN leaves before this returns */
	MPTCP_PM_DESTROY,  /* by FIN */
	MPTCP_PM_PRIORITY, /* MP_PRIO */
	MPTCP_PM_REMOVE,   /* the kernel forgets the address of @id; only token and id count */
};

enum mptcp_pm_event_type {
	MPTCP_PM_OTHER,
	MPTCP_PM_ESTABLISHED,	 /* the connection takes subflows from now on */
	MPTCP_PM_CLOSED,	 /* there is no such connection any more; only the token counts */
	MPTCP_PM_SUBFLOW_CLOSED, /* while its connection goes on */
};

struct mptcp_pm_event {
	enum mptcp_pm_event_type type;
	uint32_t token;
	struct ip_addr local, remote; /* IPv4 also if the socket is of IPv6 */
	uint16_t local_port, remote_port;
	uint8_t error;	  /* errno: 0 FIN or destroyed here, ECONNABORTED ended here, ECONNRESET by RST, ... */
	bool server_side; /* of a connection that was accepted here */
	bool no_joins;	  /* the peer does not want any to this address */
};

/**
 * mptcp_pm_build() - A command as the kernel takes it.
 * @buf: aligned as struct nlmsghdr
 * Return: its length, -EINVAL addresses of two families, -EMSGSIZE.
 */
int mptcp_pm_build(void *buf, size_t cap, uint16_t family, uint32_t seq, enum mptcp_pm_command cmd,
		   const struct mptcp_pm_subflow *s);

/**
 * mptcp_pm_parse() - One message of the event group.
 * @msg: aligned as struct nlmsghdr
 * Return: length of the message, after which there may be another one; -EBADMSG.
 */
int mptcp_pm_parse(const void *msg, size_t len, uint16_t family, struct mptcp_pm_event *out);

#define MPTCP_PM_WHY_LEN 80

/**
 * mptcp_pm_parse_answer() - What the kernel says to a command.
 * @why: its own words, empty if there are none (MPTCP_PM_WHY_LEN)
 * Return: 0 done; negative: the error, made out of the words where that tells more: -ESRCH no such connection,
 * -EOPNOTSUPP the kernel manages that one itself, -EEXIST its address has another id, or the id another address;
 * 1: not an answer to @seq; -EBADMSG.
 */
int mptcp_pm_parse_answer(const void *msg, size_t len, uint32_t seq, char *why);

struct mptcp_pm {
	int commands, events; /* 0: not open; events alone: mptcp_pm_watch() */
	uint16_t family;
	uint32_t seq;
};

/* mptcp_pm_open() - Return: 0; -EOPNOTSUPP the kernel has no such thing; -errno. */
int mptcp_pm_open(struct mptcp_pm *pm);
/* mptcp_pm_watch() - Events of subflows that are lost, and nothing else, whoever manages them. Return: as mptcp_pm_open(). */
int mptcp_pm_watch(struct mptcp_pm *pm);
void mptcp_pm_close(struct mptcp_pm *pm); /* fine if it is not open */

/* mptcp_pm_do() - Never waits for the network. Return: as mptcp_pm_parse_answer(), or -errno. */
int mptcp_pm_do(struct mptcp_pm *pm, enum mptcp_pm_command cmd, const struct mptcp_pm_subflow *s, char *why);

/**
 * mptcp_pm_read() - What is there of events, each once.
 * Return: bytes, to be parsed; -EAGAIN there is nothing, -ENOBUFS some were lost, -errno.
 */
int mptcp_pm_read(struct mptcp_pm *pm, void *buf, size_t cap);

#endif
