/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"
#include "shila/wire/scmp.h"
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
	return 0;
}
