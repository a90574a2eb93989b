/* SPDX-License-Identifier: Apache-2.0 */

/* From the underlay to the TUNs: in_on_underlay() is the map. */
#include "shila/worker/state.h"

#include <errno.h>
#include <sys/uio.h>

#define IN_BATCHES    4 /* recvmmsg() calls of one wake-up, */
#define IN_BYTES      (256 * 1024) /* and bytes, but a call more: others wait meanwhile */
#define IN_FULL_BYTES 16384 /* when buffers come as full as that, a call takes */
#define IN_FEW	      4	    /* of them instead of all */

enum verdict in_write(void *ctx, uint8_t tun, struct iovec *iov, int n)
{
	struct worker *w = ctx;

	flow_count(&w->stats.tun_writes, 1);
	flow_count(&w->stats.trains_in, 1);
	while (writev(w->ports[tun].fd, iov, n) < 0)
		if (errno != EINTR)
			return VERDICT_TUN_WRITE;
	return VERDICT_PASS;
}

static void on_segment(struct worker *w, uint8_t *p, size_t len, const union sock_addr *from,
		       uint64_t now_ms)
{
	struct flow *f;
	enum verdict v = inbound_packet(&w->in, p, len, from->sa.sa_family == AF_INET6 ? 48 : 28,
					now_ms, &f);

	if (v == VERDICT_CONTROL || v == VERDICT_PARKED ||
	    (v == VERDICT_FRAME_UNKNOWN_FLOW && admit_unknown(&w->admit, w->in.who, now_ms)))
		v = up_underlay(w, p, len, from, f, v);
	if (f)
		up_look_at_flow(w, f);
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
	worker_publish_verdicts(w);
}

/* What one buffer holds: equal datagrams, the last may be shorter. @more: there is a buffer behind it. */
static void take_buffer(struct worker *w, unsigned int i, bool more, bool many, uint64_t now_ms)
{
	uint8_t *p = w->rx.iov[i].iov_base;
	size_t left = w->rx.msgs[i].msg_len, seg = underlay_rx_segment(&w->rx, i);

	while (left) {
		size_t len = left < seg ? left : seg;

		if (many && left > len)
			inbound_prefetch(&w->in, p + len, left - len);
		else if (many && more)
			inbound_prefetch(&w->in, w->rx.iov[i + 1].iov_base, w->rx.msgs[i + 1].msg_len);
		on_segment(w, p, len, &w->rx.from[i], now_ms);
		flow_count(&w->stats.segments_in, 1);
		p += len;
		left -= len;
	}
}

static void take(struct worker *w, size_t most_bytes)
{
	uint64_t now_ms = uv_now(&w->loop);
	bool many = inbound_many_flows(&w->in), more = true;
	size_t bytes = 0;

	for (int batch = 0; more && batch < IN_BATCHES && bytes < most_bytes; batch++) {
		unsigned int want = w->few_buffers && most_bytes == IN_BYTES ? IN_FEW : UNDERLAY_RX_BUFFERS;
		int n = underlay_recv(w->cfg.underlay_fd, &w->rx, want);
		size_t before = bytes;

		flow_count(&w->stats.underlay_receives, 1);
		if (n <= 0)
			break;
		w->carried = true;
		for (int i = 0; i < n; i++) {
			bytes += w->rx.msgs[i].msg_len;
			take_buffer(w, (unsigned int)i, i + 1 < n, many, now_ms);
		}
		inbound_flush(&w->in);
		w->few_buffers = (bytes - before) / (unsigned int)n >= IN_FULL_BYTES;
		more = (unsigned int)n == want;
	}
}

static void end_of_take(struct worker *w)
{
	if (w->in.acks_merged) {
		flow_count(&w->stats.acks_merged, w->in.acks_merged);
		w->in.acks_merged = 0;
	}
	if (w->in.num_frags && !uv_is_active((uv_handle_t *)&w->frag_timer))
		uv_timer_start(&w->frag_timer, on_frag_timer, INBOUND_FRAG_MS, 0);
	lives_arm(w);
	worker_publish_verdicts(w);
	up_wake(w);
}

void in_on_underlay(uv_poll_t *handle, int status, int events)
{
	struct worker *w = handle->data;

	(void)events;
	worker_look_at_clock(w);
	orders_take(w);
	if (status >= 0)
		take(w, IN_BYTES);
	end_of_take(w);
}

void in_take_all(struct worker *w)
{
	worker_look_at_clock(w);
	orders_take(w);
	take(w, SIZE_MAX);
	end_of_take(w);
}
