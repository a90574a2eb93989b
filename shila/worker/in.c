/* SPDX-License-Identifier: Apache-2.0 */

/* From the underlay to the TUNs: in_on_underlay() is the map. */
#include "shila/worker/state.h"

#include <errno.h>
#include <sys/uio.h>

#define UNDERLAY_BATCHES 4 /* recvmmsg() calls of one wake-up */

enum verdict in_write(void *ctx, uint8_t tun, struct iovec *iov, int n)
{
	struct worker *w = ctx;

	flow_count(&w->stats.tun_writes, 1);
	flow_count(&w->stats.trains_in, 1);
	while (writev(w->tuns[tun].fd, iov, n) < 0)
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

void in_on_underlay(uv_poll_t *handle, int status, int events)
{
	struct worker *w = handle->data;
	uint64_t now_ms = uv_now(&w->loop);
	int n = UNDERLAY_RX_BUFFERS;
	bool many;

	(void)events;
	worker_look_at_clock(w);
	orders_take(w);
	many = inbound_many_flows(&w->in);
	for (int batch = 0; status >= 0 && batch < UNDERLAY_BATCHES && n == UNDERLAY_RX_BUFFERS;
	     batch++) {
		n = underlay_recv(w->cfg.underlay_fd, &w->rx);
		w->carried |= n > 0;
		flow_count(&w->stats.underlay_receives, 1);
		for (int i = 0; i < n; i++) {
			uint8_t *p = w->rx.iov[i].iov_base;
			size_t left = w->rx.msgs[i].msg_len,
			       seg = underlay_rx_segment(&w->rx, (unsigned int)i);

			while (left) {
				size_t len = left < seg ? left : seg;

				if (many && left > len)
					inbound_prefetch(&w->in, p + len, left - len);
				else if (many && i + 1 < n)
					inbound_prefetch(&w->in, w->rx.iov[i + 1].iov_base,
							 w->rx.msgs[i + 1].msg_len);
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
	lives_arm(w);
	worker_publish_verdicts(w);
	up_wake(w);
}
