/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"
#include "shila/wire/scion.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

static struct scion_hdr hdr_of(const struct scion_pkt *pkt)
{
	return (struct scion_hdr){
		.flow_id = pkt->flow_id,
		.traffic_class = pkt->traffic_class,
		.dst = { pkt->dst_ia, scion_pkt_dst(pkt) },
		.src = { pkt->src_ia, scion_pkt_src(pkt) },
		.path = pkt->path,
		.path_len = pkt->path_len,
		.next_hdr = pkt->l4_proto,
		.payload_len = (uint16_t)pkt->l4_len,
	};
}

/* Same numbers, same bytes. */
static void must_equal(const struct scion_pkt *a, const struct scion_pkt *b)
{
	MUST(a->flow_id == b->flow_id && a->traffic_class == b->traffic_class);
	MUST(a->path_type == b->path_type && a->path_len == b->path_len &&
	     a->hdr_len == b->hdr_len);
	MUST(a->addr_hdr_len == b->addr_hdr_len && a->dst_len == b->dst_len &&
	     a->src_len == b->src_len);
	MUST(a->dst_ia.v == b->dst_ia.v && a->src_ia.v == b->src_ia.v);
	MUST(!memcmp(a->addr_hdr, b->addr_hdr, a->addr_hdr_len));
	MUST(!a->path_len || !memcmp(a->path, b->path, a->path_len));
	MUST(a->l4_proto == b->l4_proto && a->l4_len == b->l4_len);
}

static void check_udp(const struct scion_pkt *pkt)
{
	static uint8_t l4[1 << 16], built[1 << 17];
	struct scion_hdr h = hdr_of(pkt);
	struct scion_pkt copy = *pkt, again;
	struct scion_udp udp, udp2;
	uint16_t csum = 0;
	uint64_t sum;
	int n, err;

	/* The checksum would stop nearly every input here, so it is put right. */
	if (pkt->l4_len < SCION_UDP_HDR_LEN || pkt->l4_len > UINT16_MAX)
		return;
	memcpy(l4, pkt->l4, pkt->l4_len);
	memcpy(l4 + 6, &csum, 2);
	sum = scion_csum_pseudo(pkt->addr_hdr, pkt->addr_hdr_len, (uint32_t)pkt->l4_len,
				SCION_L4_UDP);
	csum = csum_finish(csum_add(sum, l4, pkt->l4_len));
	memcpy(l4 + 6, &csum, 2);
	copy.l4 = l4;
	err = scion_udp_parse(&copy, &udp);
	MUST(err == 0 || err == -EBADMSG);
	if (err)
		return;
	n = scion_udp_build(built, sizeof(built), &h, udp.src_port, udp.dst_port, udp.data,
			    udp.len);
	MUST(n == pkt->hdr_len + (int)pkt->l4_len);
	MUST(!scion_parse_quote(built, (size_t)n, &again));
	must_equal(&copy, &again);
	MUST(!scion_udp_parse(&again, &udp2) && udp2.src_port == udp.src_port &&
	     udp2.dst_port == udp.dst_port && udp2.len == udp.len);
	MUST(!memcmp(udp2.data, udp.data, udp.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t built[SCION_MAX_HDR_LEN];
	struct wr w = wr_init(built, sizeof(built));
	struct scion_pkt pkt, quote;
	struct scion_udp udp;
	struct scion_hdr h;
	int err = scion_parse_quote(data, size, &quote);

	MUST(!err || err == -EBADMSG || err == -EPROTONOSUPPORT || err == -EAFNOSUPPORT);
	if (err) { /* whatever is no quote has not arrived either */
		MUST(scion_parse(data, size, &pkt));
		return 0;
	}
	MUST(quote.l4 >= data + quote.hdr_len && quote.l4 + quote.l4_len <= data + size);
	h = hdr_of(&quote);
	h.next_hdr = data[4];
	h.payload_len = get_be16(data + 6);
	MUST(scion_build_hdr(&w, &h) == quote.hdr_len);
	MUST(!memcmp(built, data, 10) && !memcmp(built + 12, data + 12, quote.hdr_len - 12u));

	if (!scion_parse(data, size, &pkt)) {
		must_equal(&pkt, &quote);
		MUST(pkt.l4 + pkt.l4_len == data + size);
		(void)scion_udp_parse(&pkt, &udp);
		if (pkt.l4_proto == SCION_L4_UDP)
			check_udp(&pkt);
	}
	return 0;
}
