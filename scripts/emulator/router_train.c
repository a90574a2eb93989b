/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/router_packet.h"

/*
 * A train is mostly one flow on one path: the headers of its packets differ in nothing, in the last
 * one in PayloadLen. What has been found out about the first then holds for those behind it, and of
 * the header only the path has been changed.
 */

struct likeness {
	bool known;
	size_t hdr_len, fixed_len;
	uint8_t dst_port[2];
	uint8_t before[SCION_MAX_HDR_LEN];
	const uint8_t *after;
};

static void remember(struct likeness *like, const uint8_t *p, size_t len)
{
	size_t hdr_len = len >= COMMON_LEN ? p[5] * 4u : 0;

	like->after = NULL;
	/* Other protocols have more that decides where they go. */
	if (hdr_len < COMMON_LEN + 16 || len < hdr_len + 8 || p[4] != SCION_L4_UDP)
		return;
	like->hdr_len = hdr_len;
	like->fixed_len = COMMON_LEN + 16u + 4u * ((p[9] >> 4 & 3u) + 1) + 4u * ((p[9] & 3u) + 1);
	memcpy(like->before, p, hdr_len);
	memcpy(like->dst_port, p + hdr_len + 2, 2);
	like->after = p;
}

static bool is_like(const struct likeness *like, const uint8_t *p, size_t len)
{
	return like->known && len >= like->hdr_len + 8 && len <= ROUTER_MAX_PACKET && !memcmp(p, like->before, 6) &&
	       !memcmp(p + 8, like->before + 8, like->hdr_len - 8) && like->hdr_len + get_be16(p + 6) == len &&
	       !memcmp(p + like->hdr_len + 2, like->dst_port, 2);
}

static bool same_way(const struct router_result *a, const struct router_result *b)
{
	if (a->verdict != b->verdict)
		return false;
	switch (a->verdict) {
	case ROUTER_FORWARD:
		return a->egress == b->egress;
	case ROUTER_DELIVER:
		return sock_addr_eq(&a->to, &b->to);
	case ROUTER_DROP:
		return a->drop == b->drop;
	case ROUTER_ANSWER:
		break;
	}
	return false;
}

/* Of one packet the result says what is sent: it may be an answer, or cut. */
static void emit_run(router_emit_fn *emit, void *ctx, const struct router_result *res, const uint8_t *p, size_t len,
		     size_t seg_len, unsigned int count)
{
	if (count == 1)
		emit(ctx, res, res->p, res->len, res->len, 1);
	else
		emit(ctx, res, p, len, seg_len, count);
}

void router_train(const struct router *r, uint8_t *p, size_t len, size_t seg_len, uint16_t ingress, int64_t now_ns,
		  router_emit_fn *emit, void *ctx)
{
	struct router_result res[2], *run = &res[0], *next = &res[1];
	struct likeness like;
	size_t start = 0;
	unsigned int count = 0;

	like.known = false;
	like.after = NULL;
	if (!seg_len || seg_len > len)
		seg_len = len;
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < seg_len ? len - at : seg_len;
		if (count && is_like(&like, p + at, n)) {
			memcpy(p + at + like.fixed_len, like.after + like.fixed_len, like.hdr_len - like.fixed_len);
			count++;
			continue;
		}
		remember(&like, p + at, n);
		router_forward(r, p + at, n, ingress, now_ns, next);
		/* A packet that was cut ends its run: what is behind it does not follow any more. */
		if (count && same_way(run, next) && seg_len <= ROUTER_MAX_PACKET) {
			count++;
		} else {
			struct router_result *old = run;

			if (count)
				emit_run(emit, ctx, run, p + start, at - start, seg_len, count);
			run = next;
			next = old;
			start = at;
			count = 1;
		}
		like.known = like.after && (run->verdict == ROUTER_FORWARD || run->verdict == ROUTER_DELIVER);
	}
	if (count)
		emit_run(emit, ctx, run, p + start, len - start, seg_len, count);
}
