/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion.h"

#include <errno.h>

/*
 * Raw paths of path type SCION, as daemon and packets hold them:
 *
 *   meta (4):       CurrINF(2) CurrHF(6) RSV(6) Seg0Len(6) Seg1Len(6) Seg2Len(6)
 *   info (8) x 1-3: flags(1) 0(1) SegID(2) timestamp(4)
 *   hop (12) x 64:  flags(1) ExpTime(1) ConsIngress(2) ConsEgress(2) MAC(6)
 *
 * A segment is walked in construction direction (flag C) or against it, which decides what of a hop
 * field is the way in and what the way out. Hop fields are in travel order.
 */

enum { META_LEN = 4, INF_LEN = 8, HOP_LEN = 12 };
enum { INF_CONS_DIR = 0x01, INF_PEERING = 0x02 };
enum { HOP_ALERT_EGRESS = 0x01, HOP_ALERT_INGRESS = 0x02 };
enum { EXP_UNITS_PER_DAY = 256, DAY_S = 86400 };

int scion_path_meta_parse(struct rd *r, struct scion_path_meta *out)
{
	uint32_t w = rd_be32(r);
	struct scion_path_meta m = {
		.curr_inf = (uint8_t)(w >> 30),
		.curr_hf = w >> 24 & 0x3f,
		.seg_len = { w >> 12 & 0x3f, w >> 6 & 0x3f, w & 0x3f },
	};
	unsigned int s0 = m.seg_len[0], s1 = m.seg_len[1], s2 = m.seg_len[2];
	unsigned int num_hf = s0 + s1 + s2;
	unsigned int inf; /* segment that holds the current hop field */

	m.num_inf = (uint8_t)(!!s0 + !!s1 + !!s2);
	m.num_hf = (uint8_t)num_hf;
	inf = (unsigned int)(m.curr_hf >= s0) + (m.curr_hf >= s0 + s1);

	/* The first line also refuses a path without hops: such packets carry path type Empty. */
	if (r->bad || !s0 || (!s1 && s2) || num_hf > SCION_MAX_HOPS || m.curr_hf >= num_hf ||
	    m.curr_inf != inf)
		return -EBADMSG;
	*out = m;
	return 0;
}

int scion_path_check(const uint8_t *path, size_t len, struct scion_path_meta *out)
{
	struct rd r = rd_init(path, len);
	struct scion_path_meta m;

	if (scion_path_meta_parse(&r, &m))
		return -EBADMSG;
	if (r.left != (size_t)(INF_LEN * m.num_inf + HOP_LEN * m.num_hf))
		return -EBADMSG;
	*out = m;
	return 0;
}

int scion_path_reverse(const uint8_t *path, size_t len, uint8_t *out)
{
	struct scion_path_meta m;
	const uint8_t *hops;
	unsigned int last;
	uint32_t w;
	int err = scion_path_check(path, len, &m);

	if (err < 0)
		return err;
	last = m.num_inf - 1u;
	w = (last - m.curr_inf) << 30 | (m.num_hf - 1u - m.curr_hf) << 24;
	for (unsigned int i = 0; i <= last; i++) {
		w |= (uint32_t)m.seg_len[last - i] << (12 - 6 * i);
		memcpy(out + META_LEN + INF_LEN * i, path + META_LEN + INF_LEN * (last - i),
		       INF_LEN);
		out[META_LEN + INF_LEN * i] ^= INF_CONS_DIR;
	}
	put_be32(out, w);

	hops = path + len - HOP_LEN;
	out += META_LEN + INF_LEN * m.num_inf;
	for (unsigned int i = 0; i < m.num_hf; i++, out += HOP_LEN, hops -= HOP_LEN) {
		memcpy(out, hops, HOP_LEN);
		/* Of a traceroute request: the reply must not stop at routers. */
		out[0] &= (uint8_t) ~(HOP_ALERT_EGRESS | HOP_ALERT_INGRESS);
	}
	return 0;
}

int scion_path_interfaces(const uint8_t *path, size_t len, uint16_t *out, size_t max)
{
	struct scion_path_meta m;
	const uint8_t *hop;
	size_t n = 0;
	int err = scion_path_check(path, len, &m);

	if (err < 0)
		return err;
	hop = path + META_LEN + INF_LEN * m.num_inf;
	for (unsigned int inf = 0; inf < m.num_inf; inf++) {
		const uint8_t *info = path + META_LEN + INF_LEN * inf;
		bool cons = info[0] & INF_CONS_DIR, peering = info[0] & INF_PEERING;
		bool prev_peering = inf && (info[-INF_LEN] & INF_PEERING);

		/* Routers refuse a lone hop without peering, and a join that is half peering. */
		if ((m.seg_len[inf] == 1 && !peering) || (inf && peering != prev_peering))
			return -EBADMSG;
		for (unsigned int i = 0; i < m.seg_len[inf]; i++, hop += HOP_LEN) {
			bool first = !i && (!inf || !peering);
			bool last = i + 1u == m.seg_len[inf] && (inf + 1u == m.num_inf || !peering);
			uint16_t in = get_be16(hop + (cons ? 2 : 4));
			uint16_t eg = get_be16(hop + (cons ? 4 : 2));

			/* A join: in by the last hop before it, out by the first behind it. */
			if (n + !first + !last > max)
				return -ENOSPC;
			if (!first)
				out[n++] = in;
			if (!last)
				out[n++] = eg;
		}
	}
	return (int)n;
}

int64_t scion_path_expiry(const uint8_t *path, size_t len)
{
	struct scion_path_meta m;
	const uint8_t *hop;
	int64_t first = INT64_MAX;

	if (!len)
		return 0;
	if (scion_path_check(path, len, &m))
		return -EBADMSG;
	hop = path + META_LEN + INF_LEN * m.num_inf;
	for (unsigned int inf = 0; inf < m.num_inf; inf++) {
		int64_t timestamp = get_be32(path + META_LEN + INF_LEN * inf + 4);

		for (unsigned int i = 0; i < m.seg_len[inf]; i++, hop += HOP_LEN) {
			int64_t until = timestamp + (hop[1] + 1) * DAY_S / EXP_UNITS_PER_DAY;

			if (until < first)
				first = until;
		}
	}
	return first;
}

int scion_path_set_alert_last(uint8_t *path, size_t len)
{
	struct scion_path_meta m;
	bool cons;
	int err = scion_path_check(path, len, &m);

	if (err < 0)
		return err;
	cons = path[META_LEN + INF_LEN * (m.num_inf - 1)] & INF_CONS_DIR;
	path[len - HOP_LEN] |= cons ? HOP_ALERT_INGRESS : HOP_ALERT_EGRESS;
	return 0;
}
