/* SPDX-License-Identifier: Apache-2.0 */

/* What the control thread ordered, and trains that other workers passed on, carried out in the
 * worker's own thread. */
#include "shila/worker/state.h"

#include "shila/core/outbound.h"
#include "shila/wire/inet.h"

#include <sys/uio.h>

#define PASSED_BATCH 64 /* trains of another worker in a row */

static void write_reset(struct worker *w, const struct flow *f, uint32_t seq)
{
	uint8_t pkt[TRAIN_VNET_HDR_LEN + 128] = { 0 };
	struct tcp_build b = {
		.src = &f->key.remote,
		.dst = &f->key.local,
		.src_port = f->key.remote_port,
		.dst_port = f->key.local_port,
		.seq = seq,
		.ack = f->hot->out_next,
		.flags = TCP_RST | TCP_ACK,
	};
	int len;

	len = inet_build_tcp(pkt + TRAIN_VNET_HDR_LEN, sizeof(pkt) - TRAIN_VNET_HDR_LEN, &b);
	if (len > 0) {
		struct iovec iov = { pkt, TRAIN_VNET_HDR_LEN + (size_t)len };

		w->verdicts[in_write(w, f->tun, &iov, 1)]++;
	}
}

/*
 * A RST must have exactly the sequence number that the kernel expects, anything else only yields a
 * challenge ACK. That is what its last ACK said (all that there is if no DATA came yet), or the end
 * of what was delivered since.
 */
static void reset_local(struct worker *w, const struct flow *f)
{
	if (!f->tcp)
		return;
	inbound_flush_flow(&w->in, f);
	write_reset(w, f, f->hot->out_ack);
	if (f->hot->known & FLOW_KNOWS_IN && f->hot->in_next != f->hot->out_ack)
		write_reset(w, f, f->hot->in_next);
}

static void set_path(struct worker *w, struct flow *f, struct tmpl *t, uint8_t epoch, enum path_change change)
{
	struct tmpl *old;

	if (!f) {
		tmpl_put(t);
		return;
	}
	out_flush(w, &w->batch); /* its messages may point into the old template */
	old = f->tmpl;
	f->tmpl = t;
	f->epoch = epoch;
	f->asked = false;
	if (change != PATH_RENEWED && old)
		replays_begin(w, f, old->live, change);
	up_give_back(w, old);
}

static void write_packet(struct worker *w, struct order *o)
{
	struct iovec iov[2] = { { &o->vnet, sizeof(o->vnet) }, { o->bytes, o->len } };

	w->verdicts[in_write(w, o->tun, iov, 2)]++;
}

static void remove_flow(struct worker *w, uint32_t slot)
{
	struct flow *f = flow_table_get(&w->table, slot);

	if (!f)
		return;
	inbound_flush_flow(&w->in, f);
	inbound_forget_flow(&w->in, slot);
	out_flush(w, &w->batch);
	if (w->batch.replay)
		replays_end(w, slot);
	up_give_back(w, f->tmpl);
	f->tmpl = NULL;
	flow_table_remove(&w->table, slot);
}

/* Control thinks that the flow is open. If it is not here, the packet must not go back and forth.
 */
static void retry_packet(struct worker *w, struct order *o)
{
	struct train train = {
		.vnet = o->vnet,
		.pkt = o->bytes,
		.len = o->len,
		.tun = o->tun,
		.side = o->side,
	};
	struct flow *f;
	enum verdict v = outbound_train(&w->table, &train, uv_now(&w->loop), &w->batch, &f);

	out_flush(w, &w->batch); /* the packet lies in the queue */
	if (f)
		up_look_at_flow(w, f);
	w->verdicts[v == VERDICT_CONTROL ? VERDICT_NO_FLOW : v]++;
}

/* A frame of a flow that was parked, and has a path now. */
static void take_arrived(struct worker *w, struct order *o)
{
	struct flow *f;
	enum verdict v = inbound_packet(&w->in, o->bytes, o->len, o->side == AF_INET6 ? 48 : 28,
					uv_now(&w->loop), &f);

	inbound_flush(&w->in); /* the packet lies in the queue */
	if (v == VERDICT_CONTROL)
		v = up_underlay(w, o->bytes, o->len, &o->from, f, v);
	if (f)
		up_look_at_flow(w, f);
	if (v != VERDICT_PASS)
		w->verdicts[v]++;
}

static void carry_out(struct worker *w, struct order *o)
{
	struct flow *f = flow_table_get(&w->table, o->slot);

	switch ((enum order_type)o->type) {
	case ORDER_INSTALL:
		flow_table_insert(&w->table, o->slot, (const struct flow *)o->bytes);
		return;
	case ORDER_REMOVE:
		remove_flow(w, o->slot);
		return;
	case ORDER_SET_PATH:
		set_path(w, f, o->tmpl, o->epoch, (enum path_change)o->change);
		return;
	case ORDER_ASKED_DONE:
		if (f)
			f->asked = false;
		return;
	case ORDER_OPEN:
		if (f) {
			f->theirs = o->theirs;
			f->slow = false;
		}
		return;
	case ORDER_HEARD:
		if (f)
			f->unheard = false;
		return;
	case ORDER_TELL:
		if (f)
			replays_tell(w, f);
		return;
	case ORDER_WRITE:
		write_packet(w, o);
		return;
	case ORDER_RETRY:
		retry_packet(w, o);
		return;
	case ORDER_ARRIVED:
		take_arrived(w, o);
		return;
	case ORDER_RESET:
		if (f)
			reset_local(w, f);
		return;
	case ORDER_QUIET:
		for (unsigned int i = 0; i < w->num_ports; i++)
			uv_poll_stop(&w->ports[i].poll);
		atomic_store(&w->quiet, true);
		return;
	case ORDER_STOP:
		w->stopping = true;
		return;
	}
}

/* Trains that other workers read. False: there may be more. */
static bool take_passed(struct worker *w, struct ring *ring, uint64_t now_ms)
{
	struct passed *p;
	uint32_t len;

	for (unsigned int n = 0; n < PASSED_BATCH; n++) {
		struct train train;

		p = ring_peek(ring, &len);
		if (!p)
			return true;
		train = (struct train){
			.vnet = p->vnet,
			.pkt = p->bytes,
			.len = p->len,
			.tun = p->tun,
			.side = p->side,
		};
		out_train(w, &train, now_ms);
		out_send_all(w); /* the train lies in the ring */
		ring_release(ring);
		flow_count(&w->stats.trains_out, 1);
	}
	return false;
}

/*
 * Most orders wait for the next wake-up, whatever it is for: they are there before the packets that
 * they are about. False: no more packets are to be taken.
 */
bool orders_take(struct worker *w)
{
	struct order *o;
	uint32_t len;

	while ((o = ring_peek(&w->down, &len))) {
		carry_out(w, o);
		ring_release(&w->down);
	}
	replays_run(w);
	return !atomic_load_explicit(&w->quiet, memory_order_relaxed);
}

void orders_on_wake(struct wake *wake)
{
	struct worker *w = wake->data;

	worker_look_at_clock(w);
	orders_take(w);
	for (unsigned int i = 0; i < w->cfg.num_rings; i++)
		if (w->passed[i].bytes && !take_passed(w, &w->passed[i], uv_now(&w->loop)))
			wake_send(&w->wake); /* TUN and underlay get their turn */
	lives_arm(w);
	/* Room may have come for removals and events that did not fit before. */
	worker_publish_verdicts(w);
	up_wake(w);
	if (w->stopping) {
		for (unsigned int i = 0; i < w->num_ports; i++)
			uv_close((uv_handle_t *)&w->ports[i].poll, NULL);
		uv_close((uv_handle_t *)&w->underlay, NULL);
		uv_close((uv_handle_t *)&w->frag_timer, NULL);
		uv_close((uv_handle_t *)&w->tell_timer, NULL);
		uv_close((uv_handle_t *)&w->lives_timer, NULL);
		uv_close((uv_handle_t *)&w->replay_timer, NULL);
		wake_close(&w->wake);
	}
}
