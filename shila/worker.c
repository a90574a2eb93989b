/* SPDX-License-Identifier: Apache-2.0 */

/*
 *     outbound  tun read -> outbound_train: find flow, split, build headers -> underlay_send
 *     inbound   tun writev <- inbound: merge, rebuild header, find flow      <- underlay_recv
 *
 * on_tun() and on_underlay() below are the map. All memory is there before the thread starts.
 */
#include "shila/worker.h"

#include "bpf/steer.h"
#include "shila/core/datagram_cut.h"
#include "shila/core/inbound.h"
#include "shila/core/liveness_list.h"
#include "shila/core/outbound.h"
#include "shila/core/send_group.h"
#include "shila/io/underlay.h"
#include "shila/base/log.h"
#include "shila/base/ring.h"
#include "shila/base/warm.h"
#include "shila/wire/inet.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define TUN_BATCH	  64 /* trains of one wake-up of a TUN queue, as long as there is room in TRAINS_BYTES */
#define TUN_LOADED	  8  /* so many datagrams in one wake-up: the next one reads without asking */
#define TUN_LOOK_AGAIN	  8  /* wake-ups with one train each, after which it may be more */
#define UNDERLAY_BATCHES  4  /* recvmmsg() calls of one wake-up */
#define TRAIN_ALIGN	  6  /* so that the IP header behind the virtio_net_hdr is 16-byte aligned */
#define TRAIN_SLOT_BYTES  (TRAIN_ALIGN + TRAIN_VNET_HDR_LEN + TRAIN_MAX_BYTES + 48)
#define TRAINS_BYTES	  (16 * (size_t)TRAIN_SLOT_BYTES)
#define PIECES_BYTES	  (2 * (size_t)TRAIN_MAX_BYTES)
#define WARM_BYTES	  (64 * 1024) /* of queues, at the start */
#define TELL_MS		  5  /* what flows saw is told in so long: nobody waits for it */
#define LIVES_LATE_US	  4000 /* a timer that is later than this says that we stood still */
#define PASSED_BATCH	  64 /* trains of another worker in a row */
#define PASS_RING_BYTES	  (1024 * 1024) /* a train has 64 KiB at most */

enum order_type {
	ORDER_INSTALL = 1,
	ORDER_REMOVE,
	ORDER_SET_PATH,
	ORDER_ASKED_DONE,
	ORDER_OPEN,
	ORDER_HEARD,
	ORDER_WRITE,
	ORDER_RETRY,
	ORDER_ARRIVED,
	ORDER_RESET,
	ORDER_QUIET,
	ORDER_STOP,
};

struct order {
	uint8_t type;
	uint8_t tun, side, epoch;
	uint32_t slot;
	struct vnet_hdr vnet;
	struct flow_name theirs;
	struct tmpl *tmpl;
	union sock_addr from; /* ORDER_ARRIVED; its family is in @side, too */
	uint32_t len;
	_Alignas(16) uint8_t bytes[]; /* ORDER_INSTALL: struct flow; ORDER_WRITE, RETRY: a packet */
};

/* A train from the TUN queue of another worker. */
struct passed {
	struct vnet_hdr vnet;
	uint8_t tun, side;
	uint32_t len;
	_Alignas(16) uint8_t bytes[];
};

struct worker_tun_port {
	uv_poll_t poll;
	struct worker *worker;
	int fd;
	uint8_t index, side;
	unsigned int batch;   /* trains to look for in one wake-up: 1 or TUN_BATCH */
	unsigned int singles; /* wake-ups that looked for one */
	unsigned int datagrams; /* of the last wake-up */
};

struct worker {
	struct worker_config cfg;
	uv_loop_t loop;
	struct wake wake;
	uv_poll_t underlay;
	uv_timer_t frag_timer;
	struct liveness_list lives; /* paths that are waited for */
	uv_timer_t lives_timer;
	uint64_t lives_at_us;	    /* when that expires; UINT64_MAX: it does not */
	struct worker_tun_port tuns[WORKER_MAX_TUNS];
	int send_fd; /* twin of underlay_fd, or that itself */
	pthread_t thread;
	bool running, loop_up, stopping;
	bool carried; /* something, since busy polling looked */
	struct flow_table table;
	struct inbound in;
	struct underlay_rx rx;
	struct ring up, down;
	struct ring passed[WORKER_MAX]; /* from each other worker */
	struct worker *others[WORKER_MAX];
	uint32_t passed_to; /* bits: others to be woken */
	atomic_bool quiet;
	bool up_fresh; /* something was put into @up since control was woken, */
	bool up_late;  /* or something that may wait for TELL_MS */
	uv_timer_t tell_timer;
	bool down_urgent; /* control's: an order was put into @down that is no matter of bookkeeping, */
	bool down_late;   /* or one that is, since the worker was woken */
	uint64_t orders_lost; /* control's: its own queue was full */
	struct admit admit;
	uint64_t verdicts[VERDICT_COUNT]; /* of the current batch */
	struct worker_stats stats;
	struct send_batch batch;
	uint8_t *trains; /* TRAINS_BYTES */
	uint8_t *pieces; /* PIECES_BYTES: datagrams of the batch that came as trains */
	size_t pieces_used;
};

static bool take_orders(struct worker *w);
static void arm_lives(struct worker *w);

static void look_at_clock(struct worker *w)
{
	w->batch.now_us = w->in.now_us = uv_hrtime() / 1000;
}

static void publish_verdicts(struct worker *w)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		if (w->verdicts[i]) {
			flow_count(&w->stats.verdicts[i], w->verdicts[i]);
			w->verdicts[i] = 0;
		}
	}
}

/* ---- to control ---- */

static struct up_msg *up_reserve(struct worker *w, enum up_type type, const struct flow *f, uint32_t len)
{
	struct up_msg *m = ring_reserve(&w->up, sizeof(*m) + len);

	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->type = type;
	if (f)
		m->flow = f->mine;
	m->len = len;
	return m;
}

static void up_commit(struct worker *w)
{
	ring_commit(&w->up);
	w->up_fresh = true;
}

/* A connection that opens and closes would wake control for each of its FINs. */
static void up_commit_late(struct worker *w)
{
	ring_commit(&w->up);
	w->up_late = true;
}

static void on_tell_timer(uv_timer_t *t)
{
	struct worker *w = t->data;

	if (ring_filled(&w->up))
		wake_send(w->cfg.control);
}

static void up_wake(struct worker *w)
{
	if (w->up_fresh)
		wake_send(w->cfg.control);
	else if (w->up_late && !uv_is_active((uv_handle_t *)&w->tell_timer))
		uv_timer_start(&w->tell_timer, on_tell_timer, TELL_MS, 0);
	w->up_fresh = w->up_late = false;
}

/* What a flow saw is told once; if the queue is full it stays in @saw and is told the next time. */
static void tell_flow(struct worker *w, struct flow *f)
{
	struct up_msg *m;

	if (f->saw == f->told)
		return;
	m = up_reserve(w, UP_FLOW, f, 0);
	if (!m)
		return;
	m->saw = f->saw;
	f->told = f->saw;
	up_commit_late(w);
}

/* After each train and segment. */
static void look_at_flow(struct worker *w, struct flow *f)
{
	tell_flow(w, f);
	if (f->tmpl)
		liveness_list_look(&w->lives, f->tmpl->live, w->batch.now_us);
}

static enum verdict up_tun(struct worker *w, const struct train *t, const struct flow *f)
{
	struct up_msg *m = up_reserve(w, UP_TUN, f, t->len);

	if (!m)
		return VERDICT_CONTROL_FULL;
	m->tun = t->tun;
	m->side = t->side;
	m->vnet = t->vnet;
	memcpy(m->bytes, t->pkt, t->len);
	up_commit(w);
	return VERDICT_CONTROL;
}

static enum verdict up_underlay(struct worker *w, const uint8_t *p, size_t len,
				const union sock_addr *from, const struct flow *f, enum verdict why)
{
	struct up_msg *m = up_reserve(w, UP_UNDERLAY, f, (uint32_t)len);

	if (!m)
		return VERDICT_CONTROL_FULL;
	m->verdict = (uint8_t)why;
	m->from = *from;
	memcpy(m->bytes, p, len);
	up_commit(w);
	return why;
}

/* Freeing is not for workers; only if control is too busy to take it. */
static void give_back(struct worker *w, struct tmpl *t)
{
	struct up_msg *m = t ? up_reserve(w, UP_TMPL, NULL, sizeof(t)) : NULL;

	if (!m) {
		tmpl_put(t);
		return;
	}
	memcpy(m->bytes, &t, sizeof(t));
	up_commit_late(w);
}

/* ---- outbound ---- */

static void flush_batch(void *ctx, struct send_batch *b)
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
static void send_all(struct worker *w)
{
	flush_batch(w, &w->batch);
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

static void wake_others(struct worker *w)
{
	for (unsigned int i = 0; w->passed_to; i++) {
		if (w->passed_to & 1u << i)
			wake_send(&w->others[i]->wake);
		w->passed_to &= ~(1u << i);
	}
}

/* Return: it is a datagram of an open flow. */
static bool on_tun_packet(struct worker *w, struct train *train, uint64_t now_ms)
{
	struct flow *f;
	enum verdict v = outbound_train(&w->table, train, now_ms, &w->batch, &f);

	if (v == VERDICT_CONTROL)
		v = up_tun(w, train, f);
	if (f)
		look_at_flow(w, f);
	w->verdicts[v]++;
	return f && !f->tcp;
}

/* Return: how many datagrams of open flows it was. */
static unsigned int on_tun_train(struct worker *w, struct train *train, uint64_t now_ms)
{
	struct datagram_cut cut;
	struct train one;
	unsigned int n = 0;

	if (!datagram_cut_begin(&cut, train))
		return on_tun_packet(w, train, now_ms);
	for (;;) {
		if (w->pieces_used + datagram_cut_most(&cut) > PIECES_BYTES)
			send_all(w);
		if (!datagram_cut_next(&cut, w->pieces + w->pieces_used, &one))
			return n;
		w->pieces_used += (one.len + 15) & ~(size_t)15;
		n += on_tun_packet(w, &one, now_ms);
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
 * A read that only says "nothing there" would be one TUN call more than there are trains. But datagrams are small
 * and many, and then one such read is cheaper than to ask before each.
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

static void on_tun(uv_poll_t *handle, int status, int events)
{
	struct worker_tun_port *port = handle->data;
	struct worker *w = port->worker;
	uint64_t now_ms = uv_now(&w->loop);
	unsigned int n = 0, datagrams = 0;
	size_t at = 0; /* the trains lie behind each other: few pages, when they are small */
	int err = status;

	(void)events;
	look_at_clock(w);
	if (!take_orders(w))
		return;
	while (err >= 0 && n < port->batch && at + TRAIN_SLOT_BYTES <= TRAINS_BYTES && (!n || tun_readable(port))) {
		struct train train;

		err = read_train(port, w->trains + at, &train);
		if (err <= 0)
			break;
		at += (TRAIN_ALIGN + TRAIN_VNET_HDR_LEN + train.len + 63) & ~(size_t)63;
		if (!w->cfg.num_rings || !pass_on(w, &train))
			datagrams += on_tun_train(w, &train, now_ms);
		n++;
	}
	send_all(w);
	w->carried |= n;
	flow_count(&w->stats.trains_out, n);
	if (err < 0) {
		/* The device is gone (namespace deleted by hand): nothing comes any more. */
		log_error("tun queue %u of worker %u: %s", port->index, w->cfg.index, uv_strerror(err));
		uv_poll_stop(&port->poll);
	}
	learn_batch(port, n);
	port->datagrams = datagrams;
	wake_others(w);
	arm_lives(w);
	publish_verdicts(w);
	up_wake(w);
}

/* ---- inbound ---- */

static enum verdict write_tun(void *ctx, uint8_t tun, struct iovec *iov, int n)
{
	struct worker *w = ctx;

	flow_count(&w->stats.tun_writes, 1);
	flow_count(&w->stats.trains_in, 1);
	while (writev(w->tuns[tun].fd, iov, n) < 0)
		if (errno != EINTR)
			return VERDICT_TUN_WRITE;
	return VERDICT_PASS;
}

static void on_segment(struct worker *w, uint8_t *p, size_t len, const union sock_addr *from, uint64_t now_ms)
{
	struct flow *f;
	enum verdict v = inbound_packet(&w->in, p, len, from->sa.sa_family == AF_INET6 ? 48 : 28, now_ms, &f);

	if (v == VERDICT_CONTROL || v == VERDICT_PARKED ||
	    (v == VERDICT_FRAME_UNKNOWN_FLOW && admit_unknown(&w->admit, w->in.who, now_ms)))
		v = up_underlay(w, p, len, from, f, v);
	if (f)
		look_at_flow(w, f);
	if (v != VERDICT_PASS)
		w->verdicts[v]++; /* passes are counted a train, when it is written */
}

/* Parts whose other half never came are counted also when nothing else comes. */
static void on_frag_timer(uv_timer_t *t)
{
	struct worker *w = t->data;

	inbound_expire(&w->in, uv_now(&w->loop));
	if (w->in.num_frags)
		uv_timer_start(t, on_frag_timer, INBOUND_FRAG_MS, 0);
	publish_verdicts(w);
}

static void on_underlay(uv_poll_t *handle, int status, int events)
{
	struct worker *w = handle->data;
	uint64_t now_ms = uv_now(&w->loop);
	int n = UNDERLAY_RX_BUFFERS;
	bool many;

	(void)events;
	look_at_clock(w);
	take_orders(w);
	many = inbound_many_flows(&w->in);
	for (int batch = 0; status >= 0 && batch < UNDERLAY_BATCHES && n == UNDERLAY_RX_BUFFERS; batch++) {
		n = underlay_recv(w->cfg.underlay_fd, &w->rx);
		w->carried |= n > 0;
		flow_count(&w->stats.underlay_receives, 1);
		for (int i = 0; i < n; i++) {
			uint8_t *p = w->rx.iov[i].iov_base;
			size_t left = w->rx.msgs[i].msg_len, seg = underlay_rx_segment(&w->rx, (unsigned int)i);

			while (left) {
				size_t len = left < seg ? left : seg;

				if (many && left > len)
					inbound_prefetch(&w->in, p + len, left - len);
				else if (many && i + 1 < n)
					inbound_prefetch(&w->in, w->rx.iov[i + 1].iov_base, w->rx.msgs[i + 1].msg_len);
				on_segment(w, p, len, &w->rx.from[i], now_ms);
				flow_count(&w->stats.segments_in, 1);
				p += len;
				left -= len;
			}
		}
		inbound_flush(&w->in);
	}
	if (w->in.acks_merged) {
		flow_count(&w->stats.acks_merged, w->in.acks_merged);
		w->in.acks_merged = 0;
	}
	if (w->in.num_frags && !uv_is_active((uv_handle_t *)&w->frag_timer))
		uv_timer_start(&w->frag_timer, on_frag_timer, INBOUND_FRAG_MS, 0);
	arm_lives(w);
	publish_verdicts(w);
	up_wake(w);
}

/* ---- are the paths alive? ---- */

/* Return: false: no flow that may say something is on the path any more. */
static bool act_on_path(void *ctx, struct liveness *l, unsigned int todo)
{
	struct worker *w = ctx;
	struct flow *f = flow_table_get(&w->table, l->flow);
	struct up_msg *m;

	if (!f)
		return false;
	if (todo & (LIVENESS_DO_ANSWER | LIVENESS_DO_ASK)) {
		if (!outbound_alive(f, l, todo & LIVENESS_DO_ASK, &w->batch))
			return false;
		flow_count(&w->stats.alives, 1);
	}
	if (todo & LIVENESS_DO_SUSPECT && f->tmpl && f->tmpl->live == l) {
		flow_count(&w->stats.suspects, 1);
		m = up_reserve(w, UP_SUSPECT, f, 0);
		if (m) {
			m->saw = f->epoch;
			up_commit(w);
		}
	}
	return true;
}

static void on_lives_timer(uv_timer_t *t)
{
	struct worker *w = t->data;
	uint64_t wanted_us = w->lives_at_us, late_us;

	w->lives_at_us = UINT64_MAX;
	look_at_clock(w);
	late_us = w->batch.now_us > wanted_us + LIVES_LATE_US ? w->batch.now_us - wanted_us : 0;
	/* What would prove the contrary may have come already. */
	if (liveness_list_late(&w->lives, w->batch.now_us))
		on_underlay(&w->underlay, 0, UV_READABLE);
	liveness_list_tick(&w->lives, w->batch.now_us, late_us, act_on_path, w);
	flush_batch(w, &w->batch);
	if (late_us && w->lives.first)
		w->lives.due_us = w->batch.now_us + LIVES_LATE_US;
	arm_lives(w);
	publish_verdicts(w);
	up_wake(w);
}

static void arm_lives(struct worker *w)
{
	uint64_t now_us = w->batch.now_us;

	if (w->lives.due_us >= w->lives_at_us || w->stopping)
		return;
	w->lives_at_us = w->lives.due_us;
	uv_timer_start(&w->lives_timer, on_lives_timer, w->lives.due_us > now_us ? (w->lives.due_us - now_us + 999) / 1000 : 0, 0);
}

/* ---- orders of the control thread ---- */

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

		w->verdicts[write_tun(w, f->tun, &iov, 1)]++;
	}
}

/*
 * A RST must have exactly the sequence number that the kernel expects, anything else only yields a
 * challenge ACK. That is what its last ACK said (all that there is if no DATA came yet), or the end of
 * what was delivered since.
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

static void set_path(struct worker *w, struct flow *f, struct tmpl *t, uint8_t epoch)
{
	if (!f) {
		tmpl_put(t);
		return;
	}
	flush_batch(w, &w->batch); /* its messages may point into the old template */
	give_back(w, f->tmpl);
	f->tmpl = t;
	f->epoch = epoch;
	f->asked = false;
}

static void write_packet(struct worker *w, struct order *o)
{
	struct iovec iov[2] = { { &o->vnet, sizeof(o->vnet) }, { o->bytes, o->len } };

	w->verdicts[write_tun(w, o->tun, iov, 2)]++;
}

static void remove_flow(struct worker *w, uint32_t slot)
{
	struct flow *f = flow_table_get(&w->table, slot);

	if (!f)
		return;
	inbound_flush_flow(&w->in, f);
	inbound_forget_flow(&w->in, slot);
	flush_batch(w, &w->batch);
	give_back(w, f->tmpl);
	f->tmpl = NULL;
	flow_table_remove(&w->table, slot);
}

/* Control thinks that the flow is open. If it is not here, the packet must not go back and forth. */
static void retry_packet(struct worker *w, struct order *o)
{
	struct train train = {
		.vnet = o->vnet, .pkt = o->bytes, .len = o->len, .tun = o->tun, .side = o->side,
	};
	struct flow *f;
	enum verdict v = outbound_train(&w->table, &train, uv_now(&w->loop), &w->batch, &f);

	flush_batch(w, &w->batch); /* the packet lies in the queue */
	if (f)
		look_at_flow(w, f);
	w->verdicts[v == VERDICT_CONTROL ? VERDICT_NO_FLOW : v]++;
}

/* A frame of a flow that was parked, and has a path now. */
static void take_arrived(struct worker *w, struct order *o)
{
	struct flow *f;
	enum verdict v = inbound_packet(&w->in, o->bytes, o->len, o->side == AF_INET6 ? 48 : 28, uv_now(&w->loop), &f);

	inbound_flush(&w->in); /* the packet lies in the queue */
	if (v == VERDICT_CONTROL)
		v = up_underlay(w, o->bytes, o->len, &o->from, f, v);
	if (f)
		look_at_flow(w, f);
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
		set_path(w, f, o->tmpl, o->epoch);
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
		for (unsigned int i = 0; i < w->cfg.num_tuns; i++)
			uv_poll_stop(&w->tuns[i].poll);
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
			.vnet = p->vnet, .pkt = p->bytes, .len = p->len, .tun = p->tun, .side = p->side,
		};
		on_tun_train(w, &train, now_ms);
		send_all(w); /* the train lies in the ring */
		ring_release(ring);
		flow_count(&w->stats.trains_out, 1);
	}
	return false;
}

/*
 * Most orders wait for the next wake-up, whatever it is for: they are there before the packets that they are about.
 * False: no more packets are to be taken.
 */
static bool take_orders(struct worker *w)
{
	struct order *o;
	uint32_t len;

	while ((o = ring_peek(&w->down, &len))) {
		carry_out(w, o);
		ring_release(&w->down);
	}
	return !atomic_load_explicit(&w->quiet, memory_order_relaxed);
}

static void on_wake(struct wake *wake)
{
	struct worker *w = wake->data;

	look_at_clock(w);
	take_orders(w);
	for (unsigned int i = 0; i < w->cfg.num_rings; i++)
		if (w->passed[i].bytes && !take_passed(w, &w->passed[i], uv_now(&w->loop)))
			wake_send(&w->wake); /* TUN and underlay get their turn */
	arm_lives(w);
	/* Room may have come for removals and events that did not fit before. */
	publish_verdicts(w);
	up_wake(w);
	if (w->stopping) {
		for (unsigned int i = 0; i < w->cfg.num_tuns; i++)
			uv_close((uv_handle_t *)&w->tuns[i].poll, NULL);
		uv_close((uv_handle_t *)&w->underlay, NULL);
		uv_close((uv_handle_t *)&w->frag_timer, NULL);
		uv_close((uv_handle_t *)&w->tell_timer, NULL);
		uv_close((uv_handle_t *)&w->lives_timer, NULL);
		wake_close(&w->wake);
	}
}

/*
 * Sleeping and waking up take longer than carrying a packet. A worker looks for more before it sleeps: longer if
 * that, or a little more of it, found something, shorter if it was in vain.
 */
static void run_busy(struct worker *w)
{
	uint64_t most_ns = w->cfg.busy_poll_us * 1000ull, least_ns = most_ns / 64, for_ns = most_ns;
	int alive = 1;

	while (alive) {
		uint64_t slept = uv_hrtime(), now, end;

		w->carried = false;
		alive = uv_run(&w->loop, UV_RUN_ONCE);
		if (!w->carried)
			continue; /* an order, a timer */
		now = uv_hrtime();
		if (now - slept < most_ns)
			for_ns = 4 * for_ns < most_ns ? 4 * for_ns : most_ns;
		end = now + for_ns;
		w->carried = false;
		while (alive && uv_hrtime() < end) {
			alive = uv_run(&w->loop, UV_RUN_NOWAIT);
			if (w->carried) {
				w->carried = false;
				for_ns = 2 * for_ns < most_ns ? 2 * for_ns : most_ns;
				end = uv_hrtime() + for_ns;
			}
		}
		for_ns = for_ns / 2 > least_ns ? for_ns / 2 : least_ns; /* this time it was in vain */
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	sigset_t all;

	sigfillset(&all); /* signals are for the control thread */
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	/* Who is woken for a packet lets the one who sent it send the next: else every packet costs two switches. */
	sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ 0 });
	if (w->cfg.busy_poll_us)
		run_busy(w);
	else
		uv_run(&w->loop, UV_RUN_DEFAULT);
	return NULL;
}

/* ---- control's side ---- */

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

static struct order *order_reserve(struct worker *w, enum order_type type, uint32_t slot, uint32_t len)
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

int worker_reset_local(struct worker *w, uint32_t slot)
{
	return order_plain(w, ORDER_RESET, slot);
}

int worker_set_path(struct worker *w, uint32_t slot, struct tmpl *t, uint8_t epoch)
{
	struct order *o = order_reserve(w, ORDER_SET_PATH, slot, 0);

	if (!o)
		return -ENOBUFS;
	o->tmpl = t;
	o->epoch = epoch;
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

int worker_write(struct worker *w, uint8_t tun, const struct vnet_hdr *vnet, const void *pkt, uint32_t len)
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

const struct flow_stats *worker_flow_stats(const struct worker *w, uint32_t slot)
{
	return &w->table.slots[slot].stats;
}

uint8_t worker_flow_rx_epoch(const struct worker *w, uint32_t slot)
{
	return flow_rx_epoch(&w->table.slots[slot]);
}

uint64_t worker_orders_lost(const struct worker *w)
{
	return w->orders_lost;
}

const struct worker_stats *worker_get_stats(const struct worker *w)
{
	return &w->stats;
}

/* ---- life ---- */

/* What the first packets need; the rest of these is touched by later ones. */
static void warm_up_worker(struct worker *w)
{
	warm_up_code();
	warm_up(w->trains, TRAINS_BYTES);
	warm_up(w->rx.bytes, UNDERLAY_RX_BUFFERS * UNDERLAY_RX_BYTES);
	warm_up(w->up.bytes, WARM_BYTES < w->up.size ? WARM_BYTES : w->up.size);
	warm_up(w->down.bytes, WARM_BYTES < w->down.size ? WARM_BYTES : w->down.size);
	flow_table_warm_up(&w->table);
}

static int start_polling(struct worker *w)
{
	int err = uv_loop_init(&w->loop);

	if (err < 0)
		return err;
	w->loop_up = true;
	err = wake_init(&w->loop, &w->wake, on_wake);
	if (err < 0)
		return err;
	w->wake.data = w;
	uv_timer_init(&w->loop, &w->frag_timer);
	w->frag_timer.data = w;
	uv_timer_init(&w->loop, &w->tell_timer);
	w->tell_timer.data = w;
	uv_timer_init(&w->loop, &w->lives_timer);
	w->lives_timer.data = w;
	w->lives.due_us = w->lives_at_us = UINT64_MAX;
	err = uv_poll_init(&w->loop, &w->underlay, w->cfg.underlay_fd);
	if (err < 0)
		return err;
	w->underlay.data = w;
	err = uv_poll_start(&w->underlay, UV_READABLE, on_underlay);
	for (unsigned int i = 0; err >= 0 && i < w->cfg.num_tuns; i++) {
		struct worker_tun_port *port = &w->tuns[i];

		*port = (struct worker_tun_port){
			.worker = w, .fd = w->cfg.tuns[i].fd, .index = (uint8_t)i,
			.side = w->cfg.tuns[i].side, .batch = 1,
		};
		err = uv_poll_init(&w->loop, &port->poll, port->fd);
		if (err < 0)
			return err;
		port->poll.data = port;
		err = uv_poll_start(&port->poll, UV_READABLE, on_tun);
	}
	return err;
}

int worker_new(const struct worker_config *cfg, struct worker **out)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	int err;

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->cfg = *cfg;
	w->wake.fd = -1;
	w->in = (struct inbound){
		.table = &w->table, .local = cfg->local, .port = cfg->port,
		.admit = cfg->peers ? &w->admit : NULL, .write = write_tun, .ctx = w, .verdicts = w->verdicts,
	};
	w->in.runs.on = cfg->datagram_trains;
	w->send_fd = underlay_twin(cfg->underlay_fd);
	if (w->send_fd < 0)
		w->send_fd = cfg->underlay_fd;
	w->batch.flush = flush_batch;
	w->batch.ctx = w;
	w->trains = malloc(TRAINS_BYTES);
	w->pieces = malloc(PIECES_BYTES);
	err = w->trains && w->pieces ? 0 : -ENOMEM;
	if (!err)
		err = inbound_init(&w->in);
	if (!err && cfg->peers)
		err = admit_init(&w->admit, cfg->peers, &cfg->rates);
	if (!err)
		err = flow_table_init(&w->table, cfg->max_flows, cfg->hash_seed);
	if (!err)
		err = underlay_rx_init(&w->rx);
	if (!err)
		err = ring_init(&w->up, cfg->queue_bytes);
	if (!err)
		err = ring_init(&w->down, cfg->queue_bytes);
	for (unsigned int i = 0; !err && i < cfg->num_rings; i++)
		if (i != cfg->index)
			err = ring_init(&w->passed[i], PASS_RING_BYTES);
	if (!err)
		warm_up_worker(w);
	if (!err)
		err = start_polling(w);
	if (err < 0) {
		worker_free(w);
		return err;
	}
	*out = w;
	return 0;
}

void worker_adopt(struct worker *w, uint32_t slot, const struct flow *f)
{
	flow_table_insert(&w->table, slot, f);
}

void worker_connect(struct worker *const *all, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < n; k++)
			all[i]->others[k] = all[k];
}

int worker_start(struct worker *w)
{
	int err = -pthread_create(&w->thread, NULL, worker_main, w);

	if (!err) {
		char name[16];

		w->running = true;
		snprintf(name, sizeof(name), "worker %u", w->cfg.index);
		pthread_setname_np(w->thread, name);
	}
	return err;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* Orders that were never carried out hold templates, and so do messages that nobody took. */
static void drop_queues(struct worker *w)
{
	const struct up_msg *m;
	struct order *o;
	uint32_t len;

	while (w->up.bytes && (m = ring_peek(&w->up, &len))) {
		if (m->type == UP_TMPL)
			tmpl_put(worker_up_tmpl(m));
		ring_release(&w->up);
	}

	while (w->down.bytes && (o = ring_peek(&w->down, &len))) {
		if (o->type == ORDER_SET_PATH)
			tmpl_put(o->tmpl);
		if (o->type == ORDER_INSTALL)
			tmpl_put(((const struct flow *)o->bytes)->tmpl);
		ring_release(&w->down);
	}
}

/* An order that must not be lost. */
static void insist(struct worker *w, enum order_type type)
{
	while (order_plain(w, type, 0) < 0) {
		worker_kick(w);
		usleep(1000);
	}
	worker_kick(w);
}

void workers_quiet(struct worker *const *all, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (all[i] && all[i]->running)
			insist(all[i], ORDER_QUIET);
	for (unsigned int i = 0; i < n; i++)
		while (all[i] && all[i]->running && !atomic_load(&all[i]->quiet))
			usleep(100);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	if (w->running) {
		insist(w, ORDER_STOP);
		pthread_join(w->thread, NULL);
	}
	if (w->loop_up) {
		uv_walk(&w->loop, close_handle, NULL);
		uv_run(&w->loop, UV_RUN_DEFAULT);
		uv_loop_close(&w->loop);
	}
	wake_fini(&w->wake);
	if (w->send_fd != w->cfg.underlay_fd)
		close(w->send_fd);
	liveness_list_fini(&w->lives);
	drop_queues(w);
	flow_table_fini(&w->table);
	inbound_fini(&w->in);
	admit_fini(&w->admit);
	underlay_rx_fini(&w->rx);
	ring_fini(&w->up);
	ring_fini(&w->down);
	for (unsigned int i = 0; i < WORKER_MAX; i++)
		ring_fini(&w->passed[i]);
	free(w->trains);
	free(w->pieces);
	free(w);
}
