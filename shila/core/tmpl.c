/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/tmpl.h"

#include <stdlib.h>
#include <string.h>

struct tmpl *tmpl_new(struct path *path, const struct scion_addr *local, uint16_t local_port,
		      const struct scion_addr *peer, uint16_t peer_port)
{
	struct scion_hdr h = {
		.dst = *peer,
		.src = *local,
		.path = path->raw,
		.path_len = path->raw_len,
		.next_hdr = SCION_L4_UDP,
	};
	size_t len = scion_hdr_len(peer, local, path->raw_len);
	struct tmpl *t = calloc(1, sizeof(*t) + len + SCION_UDP_HDR_LEN);
	struct wr w;

	if (!t)
		return NULL;
	w = wr_init(t->hdr, len + SCION_UDP_HDR_LEN);
	if (scion_build_hdr(&w, &h) < 0) {
		free(t);
		return NULL;
	}
	wr_be16(&w, local_port);
	wr_be16(&w, peer_port);
	atomic_init(&t->refs, 1);
	t->path = path_get(path);
	t->peer = *peer;
	t->local_port = local_port;
	t->peer_port = peer_port;
	t->next_hop = path->next_hop.sa.sa_family ? path->next_hop :
						    sock_addr_make(&peer->host, peer_port);
	t->mtu_bytes = path->mtu_bytes;
	t->movable = path->raw_len;
	t->len = (uint16_t)(len + SCION_UDP_HDR_LEN);
	t->addr_hdr_len = (uint8_t)(16 + peer->host.len + local->host.len);
	t->outer_len = t->next_hop.sa.sa_family == AF_INET6 ? 48 : 28;
	t->csum = scion_csum_pseudo(t->hdr + 12, t->addr_hdr_len, 0, SCION_L4_UDP);
	t->csum = csum_add(t->csum, t->hdr + len, 4);
	return t;
}

struct tmpl *tmpl_get(struct tmpl *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tmpl_put(struct tmpl *t)
{
	if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
		path_put(t->path);
		liveness_put(t->live);
		free(t);
	}
}

void tmpl_write_hdr(const struct tmpl *t, uint8_t *out, uint32_t flow_id, uint8_t traffic_class, uint16_t frame_len)
{
	uint16_t l4_len = frame_len + SCION_UDP_HDR_LEN;

	memcpy(out, t->hdr, t->len);
	put_be32(out, (uint32_t)traffic_class << 20 | (flow_id & 0xfffff));
	put_be16(out + 6, l4_len);
	put_be16(out + t->len - SCION_UDP_HDR_LEN + 4, l4_len);
}

void tmpl_write(const struct tmpl *t, uint8_t *out, uint32_t flow_id, uint8_t traffic_class,
		uint16_t frame_len, uint64_t frame_sum)
{
	tmpl_write_hdr(t, out, flow_id, traffic_class, frame_len);
	tmpl_write_csum(t, out, frame_len, frame_sum);
}
