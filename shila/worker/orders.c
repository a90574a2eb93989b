/* SPDX-License-Identifier: Apache-2.0 */

/* The control thread's side of the two queues. */
#include "shila/worker/state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct tmpl *worker_up_tmpl(const struct up_msg *m)
{
	struct tmpl *t;

	memcpy(&t, m->bytes, sizeof(t));
	return t;
}

/* What changes the table only has time until the next packet comes. */
static bool is_urgent(enum order_type type)
{
	switch (type) {
	case ORDER_INSTALL:
	case ORDER_REMOVE:
	case ORDER_SET_PATH:
	case ORDER_ASKED_DONE:
	case ORDER_OPEN:
	case ORDER_HEARD:
		return false;
	case ORDER_TELL:
	case ORDER_WRITE:
	case ORDER_RETRY:
	case ORDER_ARRIVED:
	case ORDER_RESET:
	case ORDER_QUIET:
	case ORDER_STOP:
		break;
	}
	return true;
}

static struct order *order_reserve(struct worker *w, enum order_type type, uint32_t slot,
				   uint32_t len)
{
	struct order *o = ring_reserve(&w->down, sizeof(*o) + len);

	if (!o) {
		w->down_urgent = true; /* that it is emptied */
		w->orders_lost++;
		return NULL;
	}
	w->down_late = true;
	w->down_urgent |= is_urgent(type) || ring_filled(&w->down) > w->down.size / 4;
	memset(o, 0, sizeof(*o));
	o->type = type;
	o->slot = slot;
	o->len = len;
	return o;
}

int worker_install(struct worker *w, uint32_t slot, const struct flow *f)
{
	struct order *o = order_reserve(w, ORDER_INSTALL, slot, sizeof(*f));

	if (!o)
		return -ENOBUFS;
	memcpy(o->bytes, f, sizeof(*f));
	ring_commit(&w->down);
	return 0;
}

static int order_plain(struct worker *w, enum order_type type, uint32_t slot)
{
	if (!order_reserve(w, type, slot, 0))
		return -ENOBUFS;
	ring_commit(&w->down);
	return 0;
}

int worker_remove(struct worker *w, uint32_t slot)
{
	return order_plain(w, ORDER_REMOVE, slot);
}

int worker_asked_done(struct worker *w, uint32_t slot)
{
	return order_plain(w, ORDER_ASKED_DONE, slot);
}

int worker_heard(struct worker *w, uint32_t slot)
{
	return order_plain(w, ORDER_HEARD, slot);
}

int worker_tell(struct worker *w, uint32_t slot)
{
	return order_plain(w, ORDER_TELL, slot);
}

int worker_reset_local(struct worker *w, uint32_t slot)
{
	return order_plain(w, ORDER_RESET, slot);
}

int worker_set_path(struct worker *w, uint32_t slot, struct tmpl *t, uint8_t epoch, enum path_change change)
{
	struct order *o = order_reserve(w, ORDER_SET_PATH, slot, 0);

	if (!o)
		return -ENOBUFS;
	o->tmpl = t;
	o->epoch = epoch;
	o->change = (uint8_t)change;
	w->down_urgent |= change != PATH_RENEWED; /* there may be no next packet before it is carried out */
	ring_commit(&w->down);
	return 0;
}

int worker_open_flow(struct worker *w, uint32_t slot, const struct flow_name *theirs)
{
	struct order *o = order_reserve(w, ORDER_OPEN, slot, 0);

	if (!o)
		return -ENOBUFS;
	o->theirs = *theirs;
	ring_commit(&w->down);
	return 0;
}

static int order_packet(struct worker *w, enum order_type type, uint8_t tun, uint8_t side,
			const struct vnet_hdr *vnet, const void *pkt, uint32_t len)
{
	struct order *o = order_reserve(w, type, 0, len);

	if (!o)
		return -ENOBUFS;
	o->tun = tun;
	o->side = side;
	if (vnet)
		o->vnet = *vnet;
	memcpy(o->bytes, pkt, len);
	ring_commit(&w->down);
	return 0;
}

int worker_write(struct worker *w, uint8_t tun, const struct vnet_hdr *vnet, const void *pkt,
		 uint32_t len)
{
	return order_packet(w, ORDER_WRITE, tun, 0, vnet, pkt, len);
}

int worker_retry(struct worker *w, uint8_t tun, uint8_t side, const struct vnet_hdr *vnet,
		 const void *pkt, uint32_t len)
{
	return order_packet(w, ORDER_RETRY, tun, side, vnet, pkt, len);
}

int worker_arrived(struct worker *w, const union sock_addr *from, const void *pkt, uint32_t len)
{
	struct order *o = order_reserve(w, ORDER_ARRIVED, 0, len);

	if (!o)
		return -ENOBUFS;
	o->side = (uint8_t)from->sa.sa_family;
	o->from = *from;
	memcpy(o->bytes, pkt, len);
	ring_commit(&w->down);
	return 0;
}

bool worker_kick(struct worker *w)
{
	if (w->down_urgent) {
		wake_send(&w->wake);
		w->down_late = false;
	}
	w->down_urgent = false;
	return w->down_late;
}

void worker_flush(struct worker *w)
{
	if (ring_filled(&w->down))
		wake_send(&w->wake);
	w->down_urgent = w->down_late = false;
}

const struct up_msg *worker_next(struct worker *w)
{
	uint32_t len;

	return ring_peek(&w->up, &len);
}

void worker_done(struct worker *w)
{
	ring_release(&w->up);
}

/* An order that must not be lost. */
void order_insist(struct worker *w, enum order_type type)
{
	while (order_plain(w, type, 0) < 0) {
		worker_kick(w);
		usleep(1000);
	}
	worker_kick(w);
}
