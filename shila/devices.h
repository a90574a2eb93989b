/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_DEVICES_H
#define SHILA_DEVICES_H

#include "netns/netns.h"
#include "shila/control/control.h"
#include "shila/state.h"

/* Namespaces and TUN devices of one daemon: made or found again at the start, removed at the end. */

struct devices {
	size_t num_namespaces;
	struct netns namespaces[STATE_MAX_NAMESPACES];
	unsigned int num_tuns;
	struct control_tun tuns[CONTROL_MAX_TUNS];
	unsigned int tun_ns[CONTROL_MAX_TUNS]; /* index into namespaces */
	int fds[CONTROL_MAX_TUNS][CONFIG_MAX_WORKERS];
	int bulk_fds[CONTROL_MAX_TUNS][CONFIG_MAX_WORKERS]; /* of the second lane (bpf/lane.h); -1: there is none */
	unsigned int queues;
	struct sock_diag diag[CONFIG_MAX_EGRESS + 1]; /* by side */
	struct mptcp_pm pm[CONFIG_MAX_EGRESS + 1];    /* by side; no commands: the kernel manages subflows itself; 0: only watched */
	bool no_datagram_trains; /* some TUN takes every datagram alone */
	enum config_steering steering; /* rings: some TUN has no program */
};

/**
 * devices_up() - Everything that the configuration names.
 * @workers: queues of each TUN, and as many for the second lane
 * @mtu_bytes: of the TUNs
 * Return: 0 or -errno with a sentence in @why; what was made by then is in the state file.
 */
int devices_up(struct devices *d, const struct config *cfg, struct state *state, unsigned int workers,
	       uint32_t mtu_bytes, char *why);

/* devices_detach() - Close the queues; everything stays as it is, for the next daemon. */
void devices_detach(struct devices *d);

/* devices_down() - Close the queues and remove what we made. Return: 0, or the first error. */
int devices_down(struct devices *d, char *why);

/* devices_clean() - Remove what a dead daemon left, as its state file says. */
int devices_clean(const struct state *state, char *why);

#endif
