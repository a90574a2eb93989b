/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/replay.h"

#include "shila/base/reserve.h"

#include <errno.h>
#include <string.h>

enum { LARGE, SMALL };

int replay_init(struct replay *r, uint32_t flows, uint32_t flow_bytes, uint32_t bytes)
{
	if (bytes < REPLAY_LEAST_BYTES)
		return -EINVAL;
	memset(r, 0, sizeof(*r));
	r->num_flows = flows + 1;
	r->num_blocks = bytes / REPLAY_BLOCK_BYTES;
	r->flow_bytes = flow_bytes;
	r->oldest = r->newest = r->open[LARGE] = r->open[SMALL] = REPLAY_NO_BLOCK;
	r->bytes = reserve_new((size_t)r->num_blocks * REPLAY_BLOCK_BYTES);
	r->flows = reserve_new(r->num_flows * sizeof(r->flows[0]));
	r->acks = reserve_new(r->num_flows * sizeof(r->acks[0]));
	r->blocks = reserve_new(r->num_blocks * sizeof(r->blocks[0]));
	r->free = reserve_new(r->num_blocks * sizeof(r->free[0]));
	if (!r->bytes || !r->flows || !r->acks || !r->blocks || !r->free) {
		replay_fini(r);
		return -ENOMEM;
	}
	return 0;
}

void replay_fini(struct replay *r)
{
	reserve_free(r->bytes, (size_t)r->num_blocks * REPLAY_BLOCK_BYTES);
	reserve_free(r->flows, r->num_flows * sizeof(r->flows[0]));
	reserve_free(r->acks, r->num_flows * sizeof(r->acks[0]));
	reserve_free(r->blocks, r->num_blocks * sizeof(r->blocks[0]));
	reserve_free(r->free, r->num_blocks * sizeof(r->free[0]));
	memset(r, 0, sizeof(*r));
}

static struct replay_train *train_at(const struct replay *r, uint32_t at)
{
	return (struct replay_train *)(r->bytes + at);
}

static uint32_t occupied(uint32_t len)
{
	return ((uint32_t)sizeof(struct replay_train) + len + 15) & ~15u;
}

/* ---- blocks ---- */

static void unlink_block(struct replay *r, uint32_t n)
{
	struct replay_block *b = &r->blocks[n];

	*(b->older == REPLAY_NO_BLOCK ? &r->oldest : &r->blocks[b->older].newer) = b->newer;
	*(b->newer == REPLAY_NO_BLOCK ? &r->newest : &r->blocks[b->newer].older) = b->older;
}

/* The oldest train of a flow is no longer needed. */
static void forget_oldest(struct replay *r, struct replay_flow *f)
{
	struct replay_train *t = train_at(r, f->oldest);
	uint32_t n = f->oldest / REPLAY_BLOCK_BYTES;
	struct replay_block *b = &r->blocks[n];

	if (f->again == f->oldest)
		f->again = t->next;
	f->bytes -= occupied(t->len);
	f->oldest = t->next;
	t->flow = 0;
	if (--b->needed)
		return;
	if (n == r->open[LARGE] || n == r->open[SMALL]) {
		b->used = 0;
		return;
	}
	unlink_block(r, n);
	r->free[r->num_free++] = n;
}

/* What is in the oldest block, and of each of these flows what is older yet. */
static void empty_oldest_block(struct replay *r)
{
	uint32_t start = r->oldest * REPLAY_BLOCK_BYTES, at = start ? start : 16;
	struct replay_block *b = &r->blocks[r->oldest];
	uint32_t end = start + b->used;

	while (b->needed) {
		struct replay_train *t = train_at(r, at);

		while (t->flow) {
			forget_oldest(r, &r->flows[t->flow]);
			r->lost_to_worker++;
		}
		at += occupied(t->len);
		if (at >= end)
			break;
	}
}

static uint32_t take_block(struct replay *r)
{
	uint32_t n;

	if (!r->num_free && r->touched == r->num_blocks)
		empty_oldest_block(r);
	n = r->num_free ? r->free[--r->num_free] : r->touched++;
	r->blocks[n] = (struct replay_block){ .used = 0 };
	return n;
}

static void close_block(struct replay *r, uint32_t n)
{
	struct replay_block *b = &r->blocks[n];

	b->older = r->newest;
	b->newer = REPLAY_NO_BLOCK;
	*(r->newest == REPLAY_NO_BLOCK ? &r->oldest : &r->blocks[r->newest].newer) = n;
	r->newest = n;
}

/* Return: position of @bytes in the block that such trains fill. */
static uint32_t take_bytes(struct replay *r, uint32_t bytes)
{
	uint32_t *open = &r->open[bytes < REPLAY_SMALL_BYTES ? SMALL : LARGE], at;
	struct replay_block *b;

	if (*open == REPLAY_NO_BLOCK || r->blocks[*open].used + bytes > REPLAY_BLOCK_BYTES) {
		if (*open != REPLAY_NO_BLOCK)
			close_block(r, *open);
		*open = REPLAY_NO_BLOCK;
		*open = take_block(r);
	}
	b = &r->blocks[*open];
	if (!*open && !b->used)
		b->used = 16; /* position 0 is none */
	at = *open * REPLAY_BLOCK_BYTES + b->used;
	b->used += bytes;
	b->needed++;
	return at;
}

/* ---- flows ---- */

bool replay_keep(struct replay *r, uint32_t slot, const struct train *t, uint32_t end)
{
	struct replay_flow *f = &r->flows[slot];
	uint32_t bytes = occupied(t->len), at;
	struct replay_train *kept;

	if (f->oldest && (int32_t)(end - train_at(r, f->newest)->end) <= 0)
		return true; /* TCP sends it again */
	if (bytes > r->flow_bytes)
		return f->oldest;
	while (f->oldest && f->bytes + bytes > r->flow_bytes) {
		forget_oldest(r, f);
		r->lost_to_flow++;
	}
	at = take_bytes(r, bytes); /* may forget trains of this flow, too */
	kept = train_at(r, at);
	kept->next = 0;
	kept->flow = slot;
	kept->end = end;
	kept->len = t->len;
	kept->vnet = t->vnet;
	memcpy(kept->pkt, t->pkt, t->len);
	if (f->oldest)
		train_at(r, f->newest)->next = at;
	else
		f->oldest = at;
	f->newest = at;
	f->bytes += bytes;
	return true;
}

void replay_keep_ack(struct replay *r, uint32_t slot, const struct tcp_hdr *tcp, uint8_t traffic_class)
{
	struct replay_ack *a = &r->acks[slot];

	a->seq = tcp->seq;
	a->ack = tcp->ack;
	a->window = tcp->window;
	a->traffic_class = traffic_class;
	a->opts_len_1 = tcp->opts_len + 1;
	memcpy(a->opts, tcp->opts, tcp->opts_len);
}

bool replay_acked(struct replay *r, uint32_t slot, uint32_t ack)
{
	struct replay_flow *f = &r->flows[slot];

	while (f->oldest && (int32_t)(ack - train_at(r, f->oldest)->end) >= 0)
		forget_oldest(r, f);
	return f->oldest;
}

void replay_drop(struct replay *r, uint32_t slot)
{
	struct replay_flow *f = &r->flows[slot];

	while (f->oldest)
		forget_oldest(r, f);
	if (r->acks[slot].opts_len_1)
		r->acks[slot].opts_len_1 = 0;
}

uint32_t replay_begin(struct replay *r, uint32_t slot)
{
	struct replay_flow *f = &r->flows[slot];

	f->again = f->oldest;
	if (f->oldest)
		f->until = train_at(r, f->newest)->end;
	return f->bytes;
}

const struct replay_train *replay_next(struct replay *r, uint32_t slot)
{
	struct replay_flow *f = &r->flows[slot];
	struct replay_train *t = train_at(r, f->again);

	if (!f->again)
		return NULL;
	if ((int32_t)(t->end - f->until) > 0) {
		f->again = 0; /* that was sent on the new path */
		return NULL;
	}
	f->again = t->next;
	return t;
}

uint32_t replay_oldest_end(const struct replay *r, uint32_t slot)
{
	return train_at(r, r->flows[slot].oldest)->end;
}

bool replay_holds(struct replay *r, uint32_t slot, uint32_t end)
{
	struct replay_flow *f = &r->flows[slot];
	const struct replay_train *newest = train_at(r, f->newest);

	/* What comes next would soon take the place of what waits; or TCP no longer waits for that. */
	f->holds &= f->bytes <= r->flow_bytes / 4 * 3 && (r->num_free || r->touched < r->num_blocks) &&
		    (int32_t)(end - newest->end) >= 0;
	if (!f->holds || !f->again || end != newest->end || end == f->until)
		return false;
	f->until = end;
	f->held += newest->len;
	return true;
}

const struct replay_ack *replay_ack(const struct replay *r, uint32_t slot)
{
	return r->acks[slot].opts_len_1 ? &r->acks[slot] : NULL;
}
