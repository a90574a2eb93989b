/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/store/image.h"

/*
 * A state file. Input: one byte of flags, then as the flags say the file itself, or changes to a small good
 * one: place (2 bytes), number of bytes (1), the bytes. With right check values nothing but the checks of values
 * stands between a changed file and the daemon.
 */
enum { RAW = 0x01, SEAL_HEADER = 0x02, SEAL_RECORDS = 0x04, SEAL_UNDO = 0x08 };

static void change(struct image *m, struct rd *r)
{
	while (r->left >= 3) {
		uint16_t at = rd_be16(r), len = rd_u8(r);

		len = len < r->left ? len : (uint16_t)r->left;
		at %= sizeof(m->bytes);
		len = len < sizeof(m->bytes) - at ? len : (uint16_t)(sizeof(m->bytes) - at);
		rd_copy(r, m->bytes + at, len);
	}
}

static void seal(struct image *m, uint8_t flags)
{
	struct disk_undo *u = image_undo(m);

	for (uint32_t i = 0; i < m->place.shape.peers && flags & SEAL_RECORDS; i++) {
		if (image_peer(m, i)->used)
			image_seal_peer(m, i);
		if (image_path(m, i)->used)
			store_path_seal(image_path(m, i), i);
	}
	for (uint32_t i = 1; i <= m->place.shape.flows && flags & SEAL_RECORDS; i++)
		if (image_flow(m, i)->state_kind)
			image_seal_flow(m, i);
	if (flags & SEAL_HEADER)
		image_seal_header(m);
	if (flags & SEAL_UNDO && u->len <= sizeof(u->bytes))
		u->check = store_check((uint32_t)u->at, u->len, u->bytes, u->len);
}

static void check_flow(const struct store_saved *s, const struct store_flow *f)
{
	const struct store_peer *peer = &s->peers[f->peer];
	struct store_flow again = { 0 };
	struct disk_flow d;

	MUST(f->peer < s->num_peers && peer->addr.host.len);
	MUST(f->path == STORE_NONE || s->paths[f->path].path->dst_ia.v == peer->addr.ia.v);
	MUST(f->worker < s->shape.workers && f->slot && f->slot <= s->shape.flows && FLOW_ID_INDEX(f->mine.id) == f->slot);
	MUST(f->key.side < s->host.num_sides && f->key.local.len == f->key.remote.len);
	MUST(f->server ? f->client.len == f->key.local.len : true);
	MUST((f->kind == FLOW_DATAGRAM) == (f->key.proto != IPPROTO_TCP));
	MUST(store_flow_build(f, &d));
	d.hot = f->hot;
	MUST(store_flow_parse(&d, STORE_VERSION, f->worker, f->slot, &again) == 1 && sample_same_flow(f, &again));
}

static void check(const struct store_saved *s)
{
	struct store_place place;
	struct disk_header h;

	MUST(!store_place_of(&s->shape, &place) && store_header_build(&s->shape, &s->host, &h));
	for (uint32_t i = 0; i < s->num_peers; i++) {
		struct store_peer again;
		struct disk_peer d;

		if (s->peers[i].addr.host.len)
			MUST(store_peer_build(&s->peers[i], i, &d) && store_peer_parse(&d, i, &again) == 1 &&
			     sample_same_peer(&s->peers[i], &again));
	}
	for (uint32_t i = 0; i < s->num_paths; i++) {
		const struct path *p = s->paths[i].path;
		struct disk_path d;
		struct path *again;
		bool in_set;

		if (!p)
			continue;
		MUST(p->num_hops <= PATH_MAX_HOPS && !(p->num_hops % 2) && p->raw_len <= SCION_MAX_PATH_LEN);
		MUST(store_path_build(p, &d));
		store_path_seal(&d, i);
		MUST(store_path_parse(&d, i, &again, &in_set) == 1 && sample_same_path(p, again));
		path_put(again);
	}
	for (size_t i = 0; i < s->num_flows; i++) {
		check_flow(s, &s->flows[i]);
		for (size_t j = 0; j < i; j++)
			MUST(!flow_key_eq(&s->flows[i].key, &s->flows[j].key) && s->flows[j].slot < s->flows[i].slot);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image good;
	struct rd r = rd_init(data, size);
	uint8_t flags = rd_u8(&r);
	struct store_saved s;
	struct image m;
	int err;

	*why = '\0';
	if (flags & RAW) {
		err = store_load(r.p, r.left, &s, why);
	} else {
		if (!good.place.size)
			image_make(&good);
		m = good;
		change(&m, &r);
		seal(&m, flags);
		err = store_load(m.bytes, sizeof(m.bytes), &s, why);
	}
	if (err < 0) {
		MUST(*why && strlen(why) < STORE_WHY_LEN);
		return 0;
	}
	check(&s);
	store_saved_free(&s);
	return 0;
}
