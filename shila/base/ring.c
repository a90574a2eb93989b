/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Before each message: its length; SKIP: the rest up to the end of the ring is unused. */
#define HDR  16u /* with the padding: a message is aligned for any type of C */
#define SKIP UINT32_MAX
/* An empty ring starts from its beginning once so much of it was used: a large one takes no more memory, and stays warm. */
#define FRONT (256u * 1024)

static uint32_t padded(uint32_t len)
{
	return HDR + ((len + 15) & ~15u);
}

int ring_init(struct ring *r, uint32_t size)
{
	uint32_t n = 4096;

	while (n < size)
		n *= 2;
	memset(r, 0, sizeof(*r));
	r->bytes = aligned_alloc(64, n);
	if (!r->bytes)
		return -ENOMEM;
	r->size = n;
	return 0;
}

void ring_fini(struct ring *r)
{
	free(r->bytes);
	r->bytes = NULL;
}

void *ring_reserve(struct ring *r, uint32_t len)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint32_t need = padded(len), at = head & (r->size - 1), to_end = r->size - at;
	bool skip = need > to_end || (head == tail && at >= FRONT && at >= need);
	uint32_t total = skip ? to_end + need : need;

	if (len > r->size / 2 || total > r->size - (head - tail))
		return NULL;
	if (skip) {
		memcpy(r->bytes + at, &(uint32_t){ SKIP }, sizeof(uint32_t));
		at = 0;
	}
	memcpy(r->bytes + at, &len, sizeof(len));
	r->reserved = total;
	r->reserved_skip = skip ? to_end : 0;
	return r->bytes + at + HDR;
}

void ring_commit(struct ring *r)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (r->reserved_skip) {
		r->skipped_at = head;
		r->skipped = r->reserved_skip;
	}
	atomic_store_explicit(&r->head, head + r->reserved, memory_order_release);
	r->reserved = 0;
}

bool ring_empty(struct ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) ==
	       atomic_load_explicit(&r->tail, memory_order_relaxed);
}

uint32_t ring_filled(const struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint32_t filled = (uint32_t)(atomic_load_explicit(&r->head, memory_order_relaxed) - tail);

	return r->skipped && tail <= r->skipped_at ? filled - r->skipped : filled;
}

void *ring_peek(struct ring *r, uint32_t *len)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t at = tail & (r->size - 1);

	if (ring_empty(r))
		return NULL;
	memcpy(len, r->bytes + at, sizeof(*len));
	if (*len == SKIP) {
		atomic_store_explicit(&r->tail, tail + (r->size - at), memory_order_release);
		at = 0; /* the message itself was committed together with the skip */
		memcpy(len, r->bytes, sizeof(*len));
	}
	return r->bytes + at + HDR;
}

void ring_release(struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t len;

	memcpy(&len, r->bytes + (tail & (r->size - 1)), sizeof(len));
	atomic_store_explicit(&r->tail, tail + padded(len), memory_order_release);
}
