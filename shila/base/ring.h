/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_RING_H
#define SHILA_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A bounded queue of messages of any size between one writing and one reading thread: bytes in a
 * ring, no lock, no allocation. A message is contiguous; it is skipped over the end of the ring. Pages are touched
 * only as far as messages wait.
 */
struct ring {
	uint8_t *bytes;
	uint32_t size; /* a power of two */
	_Alignas(64) atomic_uint_fast64_t head; /* bytes ever written */
	_Alignas(64) atomic_uint_fast64_t tail; /* bytes ever read */
	uint32_t reserved; /* writer only: room taken by ring_reserve(), */
	uint32_t reserved_skip; /* with so many unused bytes up to the end */
	uint32_t skipped;    /* writer only: those of the last message that has such, */
	uint64_t skipped_at; /* and where they begin */
};

/* ring_init() - @size is rounded up to a power of two. Return: 0 or -ENOMEM. */
int ring_init(struct ring *r, uint32_t size);
void ring_fini(struct ring *r);

/**
 * ring_reserve() - Room for a message of @len bytes (16-byte aligned), or NULL if the ring is full.
 * The writer fills it and calls ring_commit(), before the next ring_reserve().
 */
void *ring_reserve(struct ring *r, uint32_t len);
void ring_commit(struct ring *r);

/* ring_peek() - Oldest message and its length, or NULL; valid until ring_release(). */
void *ring_peek(struct ring *r, uint32_t *len);
void ring_release(struct ring *r);

/* ring_empty() - As the reader sees it. */
bool ring_empty(struct ring *r);

/* ring_filled() - Bytes in it, as the writer sees it: at most so many. */
uint32_t ring_filled(const struct ring *r);

#endif
