/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ALIVEs that tell the other side of a move or of renewed bytes. A path with thousands of flows may die at
 * once, and a border router drops what comes in bursts: they go out in small ones, in order.
 */
#include "shila/control/control.h"

#define BURST	       16 /* in a millisecond */
#define ANNOUNCE_MS    60
#define ANNOUNCE_TIMES 10 /* the wait between them doubles after the third: 15 s in all */

void announcing_forget(struct ctl_flow *f)
{
	if (!f->announce_queued)
		return;
	FLOW_LIST_DEL(f->control->announcing, f, announce);
	f->announce_queued = false;
}

/*
 * An ALIVE is believed once the path has answered, which takes three frames; a number that the other side has sent at once.
 * The first time the worker has told it by itself.
 */
static void tell(struct ctl_flow *f)
{
	flow_send_alive(f);
	if (f->tcp && !f->server && f->announce_left && f->announce_left < ANNOUNCE_TIMES)
		worker_tell(f->control->workers[f->worker], f->slot);
}

static void on_announcer(uv_timer_t *t)
{
	struct control *c = t->data;

	for (unsigned int i = 0; i < BURST && c->announcing; i++) {
		struct ctl_flow *f = flow_of(c, c->announcing);

		announcing_forget(f);
		tell(f);
	}
	control_kick(c);
	if (c->announcing)
		uv_timer_start(t, on_announcer, 1, 0);
}

void announcing_alive(struct ctl_flow *f)
{
	struct control *c = f->control;
	uint64_t now = control_now_ms(c);

	if (f->announce_queued)
		return;
	if (now != c->announced_ms) {
		c->announced_ms = now;
		c->announced = 0;
	}
	if (!c->announcing && c->announced < BURST) {
		c->announced++;
		tell(f);
		return;
	}
	FLOW_LIST_ADD(c->announcing, f, announce);
	f->announce_queued = true;
	if (!uv_is_active((uv_handle_t *)&c->announcer))
		uv_timer_start(&c->announcer, on_announcer, 1, 0);
}

/* The other side has followed once a frame of the new epoch came from it. */
static bool followed(const struct ctl_flow *f)
{
	return worker_flow_rx_epoch(f->control->workers[f->worker], f->slot) == f->epoch;
}

void announcing_move(struct ctl_flow *f)
{
	f->announce_left = ANNOUNCE_TIMES;
	announcing_timer(f);
}

/* A FIN that was seen here may be lost on the old path: who lingers tells of its move, too. */
static void rest(struct ctl_flow *f)
{
	if (f->state == FLOW_LINGER)
		flow_timer(f, f->control->cfg->limits.linger_s * 1000ull);
	else
		parking_rest(f);
}

void announcing_timer(struct ctl_flow *f)
{
	unsigned int sent = ANNOUNCE_TIMES - f->announce_left;

	if (sent && followed(f))
		f->announce_left = 0;
	if (!f->announce_left) {
		rest(f);
		return;
	}
	announcing_alive(f);
	f->announce_left--;
	if (!f->announce_left)
		rest(f);
	else
		flow_timer(f, (uint64_t)ANNOUNCE_MS << (sent > 2 ? sent - 2 : 0));
}
