/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_STORE_IMAGE_H
#define SHILA_TESTS_STORE_IMAGE_H

#include "tests/unit/store/sample.h"

/* A small file in memory, as store_create() and a few puts make it: 2 peers, 2 paths, 3 flows. */

struct image {
	struct store_place place;
	uint8_t bytes[20480];
};

static inline struct disk_header *image_header(struct image *m)
{
	return (struct disk_header *)m->bytes;
}

static inline struct disk_undo *image_undo(struct image *m)
{
	return (struct disk_undo *)(m->bytes + STORE_UNDO_AT);
}

static inline struct disk_peer *image_peer(struct image *m, uint32_t i)
{
	return (struct disk_peer *)(m->bytes + store_peer_at(&m->place, i));
}

static inline struct disk_path *image_path(struct image *m, uint32_t i)
{
	return (struct disk_path *)(m->bytes + store_path_at(&m->place, i));
}

static inline struct disk_flow *image_flow(struct image *m, uint32_t slot)
{
	return (struct disk_flow *)(m->bytes + store_flow_at(&m->place, 0, slot));
}

static inline void image_seal_header(struct image *m)
{
	struct disk_header *h = image_header(m);

	h->check = store_check(h->version, 0, &h->workers, sizeof(*h) - offsetof(struct disk_header, workers));
}

static inline void image_seal_peer(struct image *m, uint32_t i)
{
	struct disk_peer *d = image_peer(m, i);

	d->check = store_check(STORE_SEED_PEER, i, (uint8_t *)d + 4, sizeof(*d) - 4);
}

static inline void image_seal_flow(struct image *m, uint32_t slot)
{
	struct disk_flow *d = image_flow(m, slot);

	d->check = store_check(0, slot, (uint8_t *)d + 4, STORE_FLOW_COLD - 4);
}

static inline void image_make(struct image *m)
{
	static const struct store_shape shape = { .workers = 1, .flows = 16, .peers = 3, .paths = 3 };
	struct store_host host = sample_host();

	memset(m, 0, sizeof(*m));
	if (store_place_of(&shape, &m->place) < 0 || m->place.size != sizeof(m->bytes) ||
	    !store_header_build(&shape, &host, image_header(m)))
		abort();
	for (uint32_t i = 0; i < 2; i++) {
		struct store_peer p = sample_peer(i + 1);
		struct path *path = sample_path(i, !i, 64514 + i, 2, i ? 3 : 0, 0);

		if (!store_peer_build(&p, i, image_peer(m, i)) || !store_path_build(path, image_path(m, i)))
			abort();
		image_path(m, i)->in_set = !i;
		store_path_seal(image_path(m, i), i);
		path_put(path);
	}
	for (uint32_t slot = 1; slot <= 3; slot++) {
		struct store_flow f = sample_flow(0, slot, slot & 1, slot & 1, slot < 3 ? slot & 1 : STORE_NONE);

		if (!store_flow_build(&f, image_flow(m, slot)))
			abort();
		image_flow(m, slot)->hot = (struct flow_hot){ 1000 + slot, 2000 + slot, 3000 + slot, 4000 + slot, 7, { 0 },
							       5000 + slot };
	}
}

#endif
