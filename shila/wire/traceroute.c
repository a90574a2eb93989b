/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/traceroute.h"

#include <errno.h>
#include <string.h>

int traceroute_build(uint8_t *buf, size_t cap, const struct path *path, const struct scion_addr *from,
		     const struct scion_addr *to, const struct traceroute *t)
{
	uint8_t raw[SCION_MAX_PATH_LEN];
	struct scion_hdr h = {
		.flow_id = t->flow_id, .dst = *to, .src = *from, .path = raw, .path_len = path->raw_len,
	};
	struct scmp_msg m = { .type = SCMP_TRACEROUTE_REQUEST, .id = t->id, .seq = t->seq };
	int err;

	if (!path->num_hops || !path->raw_len || path->raw_len > sizeof(raw))
		return -EINVAL;
	memcpy(raw, path->raw, path->raw_len);
	err = scion_path_set_alert_last(raw, path->raw_len);
	return err < 0 ? err : scmp_build(buf, cap, &h, &m);
}

bool traceroute_is_answer(const struct scion_pkt *pkt, const struct scmp_msg *m, const struct path *path,
			  const struct traceroute *t)
{
	const struct path_hop *last = path->num_hops ? &path->hops[path->num_hops - 1] : NULL;

	return last && m->type == SCMP_TRACEROUTE_REPLY && !m->code && pkt->flow_id == t->flow_id && m->id == t->id &&
	       m->seq == t->seq && pkt->src_ia.v == last->ia.v && m->ia.v == last->ia.v && m->ingress == last->ifid;
}
