/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Server side: a socket of a subflow may end without a RST that comes by us: a firewall kept it back, or somebody forged
 * one for our kernel. It hears that from nobody else, and the client only when it sends on that subflow; so the client's
 * kernel is reset by CLOSE, and its path manager makes another one.
 */
#include "shila/control/pm_events.h"

#define LOST_MS 50 /* so long a RST may be on its way through us */

static void on_event(struct control *c, uint8_t side, const struct mptcp_pm_event *e)
{
	struct ctl_flow *f = e->type == MPTCP_PM_SUBFLOW_CLOSED && e->error ? pm_event_flow(c, side, e) : NULL;

	if (!f || !f->server || f->socket_lost || (f->state != FLOW_OPEN && f->state != FLOW_CLOSING))
		return;
	f->socket_lost = true;
	event_subflow_lost(f, e->error);
	flow_timer(f, LOST_MS);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	/* Where some were lost clients find it out when they send. */
	static const struct pm_listener listener = { .what = "lost subflows", .event = on_event };

	(void)status;
	(void)events;
	pm_events_read(poll, 0, &listener);
}

int lost_sockets_start(struct control *c)
{
	int err;

	if (c->s.pm[0].events <= 0)
		return 0;
	err = uv_poll_init(c->loop, &c->lost_sockets, c->s.pm[0].events);
	if (err < 0)
		return err;
	c->lost_sockets.data = c;
	return uv_poll_start(&c->lost_sockets, UV_READABLE, on_readable);
}

void lost_sockets_stop(struct control *c)
{
	if (c->lost_sockets.data)
		uv_close((uv_handle_t *)&c->lost_sockets, NULL);
}
