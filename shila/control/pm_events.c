/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/pm_events.h"

#include <errno.h>
#include <string.h>

static void take(struct control *c, uint8_t side, const uint8_t *buf, int n, const struct pm_listener *l)
{
	struct mptcp_pm_event e;

	for (int at = 0, used; at < n; at += used) {
		used = mptcp_pm_parse(buf + at, (size_t)(n - at), c->s.pm[side].family, &e);
		if (used < 0)
			break;
		l->event(c, side, &e);
	}
}

void pm_events_read(uv_poll_t *poll, uint8_t side, const struct pm_listener *l)
{
	struct control *c = poll->data;
	_Alignas(8) uint8_t buf[8192];
	int n;

	while ((n = mptcp_pm_read(&c->s.pm[side], buf, sizeof(buf))) != -EAGAIN) {
		if (n == -ENOBUFS && l->missed)
			l->missed(c, side);
		if (n < 0 && n != -ENOBUFS && n != -EINTR) {
			log_error("events about %s: %s", l->what, strerror(-n));
			uv_poll_stop(poll);
			break;
		}
		take(c, side, buf, n, l);
	}
}

struct ctl_flow *pm_event_flow(struct control *c, uint8_t side, const struct mptcp_pm_event *e)
{
	struct flow_key key = {
		.side = side, .proto = INET_PROTO_TCP, .local = e->local, .remote = e->remote, .local_port = e->local_port,
		.remote_port = e->remote_port,
	};

	return flow_by_key(c, &key);
}
