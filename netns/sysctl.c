/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"
#include "shila/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* /proc/sys/net shows the namespace of the thread that opens it, so enter, open, and come back. */

static int open_in(const struct netns *ns, const char *path, int flags)
{
	char full[256];
	int old, fd;

	if (snprintf(full, sizeof(full), "/proc/sys/%s", path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	old = netns_enter(ns);
	if (old < 0)
		return old;
	fd = open(full, flags | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	netns_leave(old);
	return fd;
}

int netns_sysctl(const struct netns *ns, const char *path, const char *value)
{
	size_t len = strlen(value);
	int fd = open_in(ns, path, O_WRONLY);
	int err = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, value, len);
	if (n != (ssize_t)len)
		err = n < 0 ? -errno : -EIO;
	close(fd);
	return err;
}

int netns_sysctl_get(const struct netns *ns, const char *path, char *value, size_t size)
{
	int fd = open_in(ns, path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, value, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

/* One setting of a whole namespace and what is missing without it; NULL: nothing worth a line. */
struct setting {
	const char *path, *value, *lost;
};

/*
 * A new namespace inherits much of the IPv4 settings of the host (rp_filter, forwarding), so all
 * that matters is written; forwarding first, because turning it off resets others.
 */
static const struct setting settings[] = {
	{ "net/ipv4/ip_forward", "0", NULL },
	{ "net/ipv4/conf/all/rp_filter", "0", "packets from pool addresses may be dropped" },
	{ "net/ipv4/conf/default/rp_filter", "0", "packets from pool addresses may be dropped" },
	/* What comes out of a TUN was sent by another host: it may not bend our routes. */
	{ "net/ipv4/conf/all/accept_redirects", "0", NULL },
	{ "net/ipv4/conf/default/accept_redirects", "0", NULL },
	/* `ping` without privileges, as most distributions have it */
	{ "net/ipv4/ping_group_range", "0 2147483647", "ping needs root in the namespace" },

	{ "net/mptcp/enabled", "1", "no MPTCP, connections use one path" },
	/* Else a server refuses joins to the address that the client knows. */
	{ "net/mptcp/allow_join_initial_addr_port", "1", "no subflows" },
	/* Three lost SYNs would turn MPTCP off in the whole namespace for an hour. */
	{ "net/mptcp/blackhole_timeout", "0", NULL },
	/* A connection never becomes plain TCP because of lost SYNs. */
	{ "net/mptcp/syn_retrans_before_tcp_fallback", "128", "lost SYNs can end MPTCP" },
	/* A dead subflow is given up early; 0 would halve the goodput of healthy ones. */
	{ "net/mptcp/stale_loss_cnt", "1", "a dead subflow stalls its connection for longer" },
};

/* No packet may leave by a TUN that no program sent, so IPv6 configures nothing by itself. */
static const struct setting settings_ipv6[] = {
	{ "net/ipv6/conf/all/disable_ipv6", "0", NULL },
	{ "net/ipv6/conf/default/disable_ipv6", "0", NULL },
	{ "net/ipv6/conf/all/forwarding", "0", NULL },
	{ "net/ipv6/conf/default/addr_gen_mode", "1", NULL },
	{ "net/ipv6/conf/default/accept_ra", "0", "router advertisements are accepted" },
	{ "net/ipv6/conf/all/accept_ra", "0", "router advertisements are accepted" },
	{ "net/ipv6/conf/default/autoconf", "0", NULL },
	{ "net/ipv6/conf/default/router_solicitations", "0", NULL },
	{ "net/ipv6/conf/default/accept_dad", "0", NULL },
	{ "net/ipv6/conf/default/dad_transmits", "0", NULL },
	{ "net/ipv6/conf/all/accept_redirects", "0", NULL },
	{ "net/ipv6/conf/default/accept_redirects", "0", NULL },
};

static void apply(const struct netns *ns, const struct setting *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = netns_sysctl(ns, list[i].path, list[i].value);

		if (err < 0 && list[i].lost)
			log_warn("namespace '%s': cannot write %s (%s): %s", ns->name, list[i].path,
				 strerror(-err), list[i].lost);
		else if (err < 0)
			log_debug("namespace '%s': no %s: %s", ns->name, list[i].path,
				  strerror(-err));
	}
}

/* The name until Linux 6.14 and the one since; both stay in step where both are there. */
int netns_path_manager(const struct netns *ns, bool userspace)
{
	int err = netns_sysctl(ns, "net/mptcp/path_manager", userspace ? "userspace" : "kernel");

	return err < 0 ? netns_sysctl(ns, "net/mptcp/pm_type", userspace ? "1" : "0") : err;
}

/*
 * TCP buffers start with at least @start bytes and grow to at least @max; what is larger stays.
 *
 * An MPTCP receiver holds what overtakes on the fast paths until the slowest has delivered: sum of
 * the rates times the longest RTT, twice for a lost segment that is sent again, twice again because
 * the kernel counts its overhead. 3 x 40 Mbit/s at 200 ms: 12 MB. A sender needs this per subflow:
 * 40 Mbit/s at 300 ms: 6 MB; larger send buffers mean more queued in a subflow when it dies so not more.
 *
 * Receive buffers start at what they may grow to: when what overtook fills the buffer of an MPTCP
 * connection, Linux (6.18) takes nothing more from its subflows, not even the data that all wait for, and the
 * connection stands still for good. It grows only with what the program reads, so never again then. So
 * it holds from the start more than a sender's buffer can have on the way. A limit: nobody gets it at once.
 */
static void raise_buffers(const struct netns *ns, const char *path, unsigned int start, unsigned int max)
{
	unsigned int low, was_start, was_max;
	char value[64];

	if (netns_sysctl_get(ns, path, value, sizeof(value)) < 0 ||
	    sscanf(value, "%u %u %u", &low, &was_start, &was_max) != 3) {
		log_warn("namespace '%s': cannot read %s", ns->name, path);
		return;
	}
	if (was_max >= max && was_start >= start)
		return;
	snprintf(value, sizeof(value), "%u %u %u", low, start > was_start ? start : was_start,
		 max > was_max ? max : was_max);
	if (netns_sysctl(ns, path, value) < 0)
		log_warn("namespace '%s': cannot raise %s to %u bytes: long paths are not filled, and MPTCP may "
			 "stand still when much is lost",
			 ns->name, path, max);
}

/* 8 is the most that kernels allow, and the default of 2 also limits what a server accepts. */
#define MPTCP_SUBFLOWS 8

/* Bytes, with the kernel's overhead. */
#define RECEIVE_BUFFER (16 << 20)
#define SEND_BUFFER    (6 << 20)

void netns_warn(const struct netns *ns)
{
	char on[8];

	if (!netns_sysctl_get(ns, "net/mptcp/enabled", on, sizeof(on)) && !strcmp(on, "0"))
		log_warn("namespace %s: MPTCP is off, so connections use one path only: ip netns "
			 "exec %s sysctl -w net.mptcp.enabled=1",
			 ns->name, ns->name);
}

int netns_prepare(const struct netns *ns, char *why)
{
	char value[16];
	int err;

	apply(ns, settings, sizeof(settings) / sizeof(settings[0]));
	if (netns_sysctl_get(ns, "net/ipv6/conf/all/disable_ipv6", value, sizeof(value)) == 0)
		apply(ns, settings_ipv6, sizeof(settings_ipv6) / sizeof(settings_ipv6[0]));
	raise_buffers(ns, "net/ipv4/tcp_rmem", RECEIVE_BUFFER, RECEIVE_BUFFER);
	raise_buffers(ns, "net/ipv4/tcp_wmem", 0, SEND_BUFFER);
	err = netns_lo_up(ns, why);
	if (err < 0)
		return err;
	return netns_raise_limits(ns, MPTCP_SUBFLOWS, MPTCP_SUBFLOWS, why);
}
