/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_NETNS_NETNS_H
#define SHILA_NETNS_NETNS_H

#include "shila/base/ip_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Network namespaces and what shila puts into them. Everything here blocks and runs before the loop
 * starts (or after it ended). Calls are idempotent: what a crashed daemon left is found and reused.
 * All functions return 0 or a negative errno and write one sentence to @why on failure.
 */

#define NETNS_WHY_LEN 256

/* A namespace, by name under /run/netns, or the one the daemon runs in (name ""). */
struct netns {
	char name[64];
	int fd;		 /* open namespace, close-on-exec; -1 for "" */
	bool made;	 /* by us: to be removed at the end */
	uint64_t inode;	 /* identifies it together with @cookie */
	uint64_t cookie; /* SO_NETNS_COOKIE */
};

/**
 * netns_open() - Open a namespace, making it if there is none of that name.
 * The caller compares inode and cookie with its state file to tell whether it made it earlier.
 */
int netns_open(const char *name, struct netns *out, char *why);
/**
 * netns_open_noted() - The same; @note is told of a new namespace before anything has its name.
 * Who is killed from then on finds what is there by what @note wrote down. If it fails nothing is made.
 */
int netns_open_noted(const char *name, int (*note)(void *ctx, const struct netns *ns, char *why), void *ctx,
		     struct netns *out, char *why);
/* netns_find() - Open a namespace; -ENOENT if there is none of that name, or a name without one. */
int netns_find(const char *name, struct netns *out, char *why);
void netns_close(struct netns *ns); /* closes the descriptor, removes nothing */
int netns_remove(struct netns *ns, char *why); /* unmount and unlink the name */

/* netns_enter()/netns_leave() - Move the calling thread into @ns and back (fd from enter). */
int netns_enter(const struct netns *ns);
void netns_leave(int old_fd);

/* What to set up in a namespace. */
struct netns_tun {
	char name[16];
	char alias[64];		      /* "shila:<state id>", marks it as ours */
	uint32_t mtu_bytes, txqueuelen;
	uint32_t gso_max_bytes;	      /* 0: leave */
	size_t num_addresses;
	struct ip_addr addresses[8];  /* /32 and /128 */
	bool default_route;	      /* metric 0 default in the main table, both families */
	uint32_t table; /* 0: none; else one with a default over this device, and rules "from address" */
	bool keep_endpoints;	      /* those of an earlier start stay: connections of then have subflows by them */
	bool endpoint;		      /*
				       * MPTCP endpoint `subflow dev` for each address. The kernel has
				       * room for 8; what is too much is a warning. Main flows leave from
				       * the TUN with the default route, so with 5 TUNs of both families
				       * that one can do without.
				       */
};

/**
 * netns_tun_owner() - Whether a device of that name is in @ns.
 * @alias: of the device, empty if it has none (64 bytes)
 * Return: 1 it is there, 0 it is not, negative errno.
 */
int netns_tun_owner(const struct netns *ns, const char *name, char *alias, char *why);

/**
 * netns_tun_setup() - Alias, MTU, queue length, gso_max_size, addresses, link up, routes, rules, endpoints
 * of an existing TUN. What is there already is fine, other addresses of the device are removed.
 */
int netns_tun_setup(const struct netns *ns, const struct netns_tun *tun, char *why);
/* netns_tun_remove() - Device, rules, routes, endpoints; also what is left of one that is gone. */
int netns_tun_remove(const struct netns *ns, const char *name, char *why);

/**
 * netns_prepare() - What a namespace of ours needs as a whole: lo up, rp_filter off, IPv6 without
 * autoconfiguration, net.mptcp sysctls, MPTCP limits. A missing sysctl is a warning (logged).
 */
int netns_prepare(const struct netns *ns, char *why);
/* netns_warn() - One that is not ours stays as it is, but without MPTCP all is in vain: one line. */
void netns_warn(const struct netns *ns);

/**
 * netns_raise_limits() - Extra subflows (at most 8) and accepted ADD_ADDRs of a connection; never
 * lowers them. netns_prepare() does it; in host mode it is all that is needed of it: with the default
 * of 2 a server refuses more joins.
 */
int netns_raise_limits(const struct netns *ns, uint32_t subflows, uint32_t add_addrs, char *why);

/**
 * netns_path_manager() - Who manages the subflows of sockets that are made from now on: a program, or the kernel.
 * Return: 0, or -errno: the kernel has no such choice.
 */
int netns_path_manager(const struct netns *ns, bool userspace);

/* netns_device_index() - Return: 0 there is none of that name, -errno. */
int netns_device_index(const struct netns *ns, const char *name);

/* netns_set_mtu() - MTU of one device, at run time. */
int netns_set_mtu(const struct netns *ns, const char *name, uint32_t mtu_bytes, char *why);

/* netns_sysctl() - Write /proc/sys/@path in @ns. */
int netns_sysctl(const struct netns *ns, const char *path, const char *value);

/* netns_check_host() - Root, /dev/net/tun, MPTCP in the kernel: a sentence with the remedy in @why. */
int netns_check_host(char *why);

#endif
