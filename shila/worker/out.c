/* SPDX-License-Identifier: Apache-2.0 */

/* From the TUN queues to the underlay: out_on_tun() is the map. */
#include "shila/worker/state.h"

#include "bpf/steer.h"
#include "shila/base/log.h"
#include "shila/core/datagram_cut.h"
#include "shila/core/outbound.h"
#include "shila/core/send_group.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define TUN_BATCH                                                                                  \
	64 /* trains of one wake-up of a TUN queue, as long as there is room in TRAINS_BYTES */
#define BULK_BYTES     (128 * 1024) /* of one wake-up of a bulk lane, but a train more: others wait meanwhile */
#define QUICK_MOST     1024	    /* trains that are sent before it: more than the kernel lets wait (txqueuelen) */
#define TUN_LOADED     8 /* so many datagrams in one wake-up: the next one reads without asking */
#define TUN_LOOK_AGAIN 8 /* wake-ups with one train each, after which it may be more */

void out_flush(void *ctx, struct send_batch *b)
{
	struct worker *w = ctx;
	struct underlay_msg msgs[SEND_MAX_MSGS];

	_Static_assert(SEND_MAX_MSGS <= UNDERLAY_MAX_BATCH, "one call sends a full batch");
	send_group(b);
	for (uint32_t i = 0; i < b->num_msgs; i++)
		msgs[i] = (struct underlay_msg){
			.to = b->msgs[i].to,
			.iov = b->msgs[i].iov,
			.num_iov = b->msgs[i].num_iov,
			.seg_bytes = b->msgs[i].seg_bytes,
			.num_segs = b->msgs[i].num_segs,
		};
	if (b->num_msgs) {
		underlay_send(w->send_fd, msgs, b->num_msgs, w->verdicts);
		flow_count(&w->stats.underlay_sends, 1);
		flow_count(&w->stats.underlay_messages, b->num_msgs);
	}
	if (b->acks_spared) {
		flow_count(&w->stats.acks_spared, b->acks_spared);
		b->acks_spared = 0;
	}
	send_batch_reset(b);
}

/* All that lies in @trains and @pieces: the flush of a full batch leaves the last of them. */
void out_send_all(struct worker *w)
{
	out_flush(w, &w->batch);
	w->pieces_used = 0;
}

/* Which worker has the flow is a function of the ports: whoever got its train hands it there. */
static bool pass_on(struct worker *w, const struct train *t)
{
	uint32_t to = steer_packet(t->pkt, t->len, w->cfg.num_rings);
	struct passed *p;

	if (to == w->cfg.index)
		return false;
	p = ring_reserve(&w->others[to]->passed[w->cfg.index], sizeof(*p) + t->len);
	if (!p) {
		w->verdicts[VERDICT_RING_FULL]++;
		return true;
	}
	p->vnet = t->vnet;
	p->tun = t->tun;
	p->side = t->side;
	p->len = t->len;
	memcpy(p->bytes, t->pkt, t->len);
	ring_commit(&w->others[to]->passed[w->cfg.index]);
	w->passed_to |= 1u << to;
	flow_count(&w->stats.trains_passed, 1);
	return true;
}

void out_wake_others(struct worker *w)
{
	for (unsigned int i = 0; w->passed_to; i++) {
		if (w->passed_to & 1u << i)
			wake_send(&w->others[i]->wake);
		w->passed_to &= ~(1u << i);
	}
}

/* Return: it is a datagram of an open flow. */
static bool out_packet(struct worker *w, struct train *train, uint64_t now_ms)
{
	struct flow *f;
	enum verdict v = outbound_train(&w->table, train, now_ms, &w->batch, &f);

	if (v == VERDICT_CONTROL)
		v = up_tun(w, train, f);
	if (f)
		up_look_at_flow(w, f);
	w->verdicts[v]++;
	return f && !f->tcp;
}

/* Return: how many datagrams of open flows it was. */
unsigned int out_train(struct worker *w, struct train *train, uint64_t now_ms)
{
	struct datagram_cut cut;
	struct train one;
	unsigned int n = 0;

	if (!datagram_cut_begin(&cut, train))
		return out_packet(w, train, now_ms);
	for (;;) {
		if (w->pieces_used + datagram_cut_most(&cut) > PIECES_BYTES)
			out_send_all(w);
		if (!datagram_cut_next(&cut, w->pieces + w->pieces_used, &one))
			return n;
		w->pieces_used += (one.len + 15) & ~(size_t)15;
		n += out_packet(w, &one, now_ms);
	}
}

/* Return: 1 a train was read, 0 nothing there, negative errno. */
static int read_train(struct worker_tun_port *port, uint8_t *slot, struct train *t)
{
	uint8_t *vnet = slot + TRAIN_ALIGN;
	ssize_t n = read(port->fd, vnet, TRAIN_VNET_HDR_LEN + TRAIN_MAX_BYTES);

	flow_count(&port->worker->stats.tun_reads, 1);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n < TRAIN_VNET_HDR_LEN)
		return 0;
	memcpy(&t->vnet, vnet, TRAIN_VNET_HDR_LEN);
	t->pkt = vnet + TRAIN_VNET_HDR_LEN;
	t->len = (uint32_t)n - TRAIN_VNET_HDR_LEN;
	t->tun = port->index;
	t->side = port->side;
	return 1;
}

/*
 * A read that only says "nothing there" would be one TUN call more than there are trains. But
 * datagrams are small and many, and then one such read is cheaper than to ask before each.
 */
static bool tun_readable(const struct worker_tun_port *port)
{
	struct pollfd p = { .fd = port->fd, .events = POLLIN };

	return port->datagrams >= TUN_LOADED || poll(&p, 1, 0) > 0;
}

/* Asking whether there is more costs a call too: not when there never is. */
static void learn_batch(struct worker_tun_port *port, unsigned int n)
{
	if (port->batch > 1 && n <= 1) {
		port->batch = 1;
		port->singles = 0;
	} else if (port->batch == 1 && ++port->singles == TUN_LOOK_AGAIN) {
		port->batch = TUN_BATCH;
	}
}

/*
 * Trains of one wake-up lie behind each other in @trains: few pages, when they are small. Their payload is lent to the
 * batch until it is sent.
 */
static size_t train_end(size_t at, const struct train *t)
{
	return at + ((TRAIN_ALIGN + TRAIN_VNET_HDR_LEN + t->len + 63) & ~(size_t)63);
}

/* Return: how many datagrams of open flows it was. */
static unsigned int carry_train(struct worker *w, struct train *train, uint64_t now_ms)
{
	return w->cfg.num_rings && pass_on(w, train) ? 0 : out_train(w, train, now_ms);
}

/* Return: trains that were read and carried, as in @datagrams; *err: negative errno of the queue. */
static unsigned int take_quick(struct worker_tun_port *port, uint64_t now_ms, unsigned int *datagrams, int *err)
{
	struct worker *w = port->worker;
	unsigned int n = 0;
	size_t at = 0;

	while (n < port->batch && at + TRAIN_SLOT_BYTES <= TRAINS_BYTES && (!n || tun_readable(port))) {
		struct train train;

		*err = read_train(port, w->trains + at, &train);
		if (*err <= 0)
			break;
		at = train_end(at, &train);
		*datagrams += carry_train(w, &train, now_ms);
		n++;
	}
	return n;
}

/* What is in the quick lane was there before, or has less to send: all of it, from @at on in @trains. */
static unsigned int take_first(struct worker_tun_port *port, uint64_t now_ms, size_t from)
{
	struct worker *w = port->worker;
	struct train train;
	unsigned int n = 0;
	size_t at = from;

	for (; n < QUICK_MOST && tun_readable(port) && read_train(port, w->trains + at, &train) > 0; n++) {
		at = train_end(at, &train);
		carry_train(w, &train, now_ms);
		if (at + TRAIN_SLOT_BYTES > TRAINS_BYTES) {
			out_send_all(w);
			at = from;
		}
	}
	return n;
}

/* The same for a bulk lane. What it gives is sent behind all that is in the quick lane by then. */
static unsigned int take_bulk(struct worker_tun_port *port, uint64_t now_ms, unsigned int *datagrams, int *err)
{
	struct worker *w = port->worker;
	struct train trains[TUN_BATCH];
	unsigned int n = 0, first;
	size_t at = 0;

	while (n < port->batch && at < BULK_BYTES && (!n || tun_readable(port))) {
		*err = read_train(port, w->trains + at, &trains[n]);
		if (*err <= 0)
			break;
		at = train_end(at, &trains[n++]);
	}
	if (!n)
		return 0;
	first = take_first(port->first, now_ms, at);
	flow_count(&w->stats.trains_out, first);
	for (unsigned int i = 0; i < n; i++)
		*datagrams += carry_train(w, &trains[i], now_ms);
	return n;
}

void out_on_tun(uv_poll_t *handle, int status, int events)
{
	struct worker_tun_port *port = handle->data;
	struct worker *w = port->worker;
	uint64_t now_ms = uv_now(&w->loop);
	unsigned int n = 0, datagrams = 0;
	int err = status;

	(void)events;
	worker_look_at_clock(w);
	if (!orders_take(w))
		return;
	if (err >= 0)
		n = port->first ? take_bulk(port, now_ms, &datagrams, &err) : take_quick(port, now_ms, &datagrams, &err);
	out_send_all(w);
	w->carried |= n;
	flow_count(&w->stats.trains_out, n);
	if (err < 0) {
		/* The device is gone (namespace deleted by hand): nothing comes any more. */
		log_error("tun queue %u of worker %u: %s", port->index, w->cfg.index,
			  uv_strerror(err));
		uv_poll_stop(&port->poll);
	}
	learn_batch(port, n);
	port->datagrams = datagrams;
	out_wake_others(w);
	lives_arm(w);
	worker_publish_verdicts(w);
	up_wake(w);
}
