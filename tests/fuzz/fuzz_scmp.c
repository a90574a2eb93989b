/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"
#include "shila/wire/scmp.h"
#include "shila/wire/traceroute.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

static void check_quote(const uint8_t *p, size_t len)
{
	struct scmp_quote q;

	if (scmp_quote_parse(p, len, &q))
		return;
	MUST(q.pkt.l4 + q.pkt.l4_len <= p + len);
	MUST(q.has_ports || (!q.src_port && !q.dst_port));
}

static void check_rebuild(const struct scion_pkt *pkt, const struct scmp_msg *m)
{
	static uint8_t built[1 << 17];
	struct scion_hdr h = {
		.flow_id = pkt->flow_id,
		.traffic_class = pkt->traffic_class,
		.dst = { pkt->dst_ia, scion_pkt_dst(pkt) },
		.src = { pkt->src_ia, scion_pkt_src(pkt) },
		.path = pkt->path,
		.path_len = pkt->path_len,
	};
	struct scion_pkt again;
	struct scmp_msg m2;
	int n = scmp_build(built, sizeof(built), &h, m);

	MUST(n == pkt->hdr_len + (int)pkt->l4_len);
	MUST(!scion_parse(built, (size_t)n, &again) && !scmp_parse(&again, &m2));
	MUST(m2.type == m->type && m2.code == m->code && m2.mtu == m->mtu &&
	     m2.pointer == m->pointer);
	MUST(m2.ia.v == m->ia.v && m2.ingress == m->ingress && m2.egress == m->egress);
	MUST(m2.id == m->id && m2.seq == m->seq && m2.len == m->len);
	MUST(!memcmp(m2.data, m->data, m->len));
}

/* A question over the path of the packet, and the packet as its answer. */
static void check_traceroute(const struct scion_pkt *pkt, const struct scmp_msg *m)
{
	const struct path_hop hops[2] = { { pkt->dst_ia, 1 }, { pkt->src_ia, (uint16_t)m->ingress } };
	struct scion_addr from = { pkt->dst_ia, scion_pkt_dst(pkt) }, to = { pkt->src_ia, scion_pkt_src(pkt) };
	struct traceroute t = { pkt->flow_id, m->id, m->seq };
	uint8_t buf[TRACEROUTE_MAX_LEN];
	struct path *p = path_new(hops, 2, pkt->path, pkt->path_len);
	struct scion_pkt sent;
	int n;

	if (!p)
		return;
	n = traceroute_build(buf, sizeof(buf), p, &from, &to, &t);
	if (n > 0) {
		MUST(!scion_parse_quote(buf, (size_t)n, &sent) && sent.l4_proto == SCION_L4_SCMP && sent.l4_len == 24);
		MUST(sent.flow_id == t.flow_id && sent.path_len == pkt->path_len && get_be16(sent.l4 + 4) == t.id);
	}
	if (traceroute_is_answer(pkt, m, p, &t))
		MUST(m->type == SCMP_TRACEROUTE_REPLY && m->ia.v == pkt->src_ia.v);
	path_put(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t l4[1 << 16];
	struct scion_pkt pkt;
	struct scmp_msg m;
	uint16_t csum = 0;
	uint64_t sum;
	int err;

	check_quote(data, size);
	if (scion_parse(data, size, &pkt) || pkt.l4_proto != SCION_L4_SCMP)
		return 0;
	err = scmp_parse(&pkt, &m);
	MUST(!err || err == -EBADMSG || err == -EILSEQ || err == -ENOMSG);

	/* The checksum would stop nearly every input here, so it is put right. */
	if (pkt.l4_len < 4)
		return 0;
	memcpy(l4, pkt.l4, pkt.l4_len);
	memcpy(l4 + 2, &csum, 2);
	sum = scion_csum_pseudo(pkt.addr_hdr, pkt.addr_hdr_len, (uint32_t)pkt.l4_len,
				SCION_L4_SCMP);
	csum = csum_finish(csum_add(sum, l4, pkt.l4_len));
	memcpy(l4 + 2, &csum, 2);
	pkt.l4 = l4;
	err = scmp_parse(&pkt, &m);
	MUST(!err || err == -EBADMSG || err == -ENOMSG);
	if (err)
		return 0;
	MUST(m.data + m.len == l4 + pkt.l4_len);
	if (m.type < 128)
		check_quote(m.data, m.len);
	check_rebuild(&pkt, &m);
	check_traceroute(&pkt, &m);
	return 0;
}
