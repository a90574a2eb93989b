/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/datagram_runs.h"

#include "shila/wire/checksum.h"

#include <string.h>

#define UDP_HDR_LEN 8u
#define IP4_DF	    0x4000

static uint16_t ip4_id(const uint8_t *pkt)
{
	return get_be16(pkt + 4);
}

static bool dont_fragment(const uint8_t *pkt)
{
	return get_be16(pkt + 6) & IP4_DF;
}

/* IP header without options, and UDP header, for all the datagrams together. */
static void build_hdr(struct datagram_run *run)
{
	uint32_t ip_len = run->hdr_len - UDP_HDR_LEN, l4_len = UDP_HDR_LEN + run->bytes;
	uint8_t *ip = run->hdr + TRAIN_VNET_HDR_LEN, *udp = ip + ip_len;
	bool v6 = ip_len == 40;
	struct vnet_hdr vnet = {
		.flags = VNET_F_NEEDS_CSUM,
		.gso_type = VNET_GSO_UDP,
		.hdr_len = (uint16_t)run->hdr_len,
		.gso_size = (uint16_t)run->seg_bytes,
		.csum_start = (uint16_t)ip_len,
		.csum_offset = 6,
	};
	uint16_t csum;

	memcpy(run->hdr, &vnet, sizeof(vnet));
	memcpy(ip, run->pkt, run->hdr_len);
	if (v6) {
		put_be16(ip + 4, (uint16_t)l4_len);
	} else {
		put_be16(ip + 2, (uint16_t)(ip_len + l4_len));
		put_be16(ip + 10, 0);
		csum = csum_finish(csum_add(0, ip, 20));
		memcpy(ip + 10, &csum, 2);
	}
	put_be16(udp + 4, (uint16_t)l4_len);
	/* With NEEDS_CSUM the field holds the sum of the pseudo header, not complemented. */
	csum = csum_fold(inet_csum_pseudo(ip + (v6 ? 8 : 12), ip + (v6 ? 24 : 16), v6 ? 16 : 4, INET_PROTO_UDP, l4_len));
	memcpy(udp + 6, &csum, 2);
	run->iov[0] = (struct iovec){ run->hdr, TRAIN_VNET_HDR_LEN + run->hdr_len };
}

static void write_run(struct datagram_run *run, const struct tun_writer *w)
{
	struct vnet_hdr none = { 0 };
	struct iovec alone[2] = { { &none, sizeof(none) }, { (void *)(uintptr_t)run->pkt, run->pkt_len } };

	if (run->num == 1) {
		w->verdicts[w->write(w->ctx, run->flow->tun, alone, 2)]++;
		return;
	}
	build_hdr(run);
	w->verdicts[w->write(w->ctx, run->flow->tun, run->iov, (int)run->num + 1)]++;
}

void datagram_runs_flush(struct datagram_runs *r, const struct tun_writer *w)
{
	for (unsigned int i = 0; i < r->num_open; i++)
		write_run(&r->open[i], w);
	r->num_open = 0;
}

/* The order between flows does not matter. */
static void close_run(struct datagram_runs *r, const struct tun_writer *w, unsigned int i)
{
	write_run(&r->open[i], w);
	r->num_open--;
	if (i != r->num_open)
		memcpy(&r->open[i], &r->open[r->num_open], sizeof(r->open[i]));
}

void datagram_runs_flush_flow(struct datagram_runs *r, const struct tun_writer *w, const struct flow *f)
{
	for (unsigned int i = 0; i < r->num_open; i++) {
		if (r->open[i].flow == f) {
			close_run(r, w, i);
			return;
		}
	}
}

/* Whether the kernel would make exactly this packet out of a train. */
static bool plain(const uint8_t *pkt, const struct ip_pkt *ip)
{
	const uint8_t *udp = pkt + ip->l4_off;

	return ip->proto == INET_PROTO_UDP && !ip->fragment && ip->l4_off == (ip->version == 6 ? 40u : 20u) &&
	       ip->len > ip->l4_off + UDP_HDR_LEN && (uint32_t)get_be16(udp + 4) == ip->len - ip->l4_off && get_be16(udp + 6) &&
	       (ip->version == 6 || csum_fold(csum_add(0, pkt, 20)) == 0xffff) && inet_l4_csum_ok(pkt, ip);
}

static bool joins(const struct datagram_run *run, const uint8_t *pkt, const struct ip_pkt *ip, uint32_t payload)
{
	const uint8_t *first = run->pkt;

	if (run->closed || payload > run->seg_bytes || run->num == DATAGRAM_RUN_MAX ||
	    run->hdr_len + run->bytes + payload > TRAIN_MAX_BYTES - 1 || ip->l4_off + UDP_HDR_LEN != run->hdr_len ||
	    memcmp(first + ip->l4_off, pkt + ip->l4_off, 4))
		return false;
	if (ip->version == 6)
		return !memcmp(first, pkt, 4) && !memcmp(first + 6, pkt + 6, 34);
	/* Version, size, TOS; flags, TTL, protocol; addresses. */
	return !memcmp(first, pkt, 2) && !memcmp(first + 6, pkt + 6, 4) && !memcmp(first + 12, pkt + 12, 8) &&
	       (dont_fragment(pkt) || ip4_id(pkt) == (uint16_t)(run->last_id + 1));
}

static void add(struct datagram_run *run, const uint8_t *pkt, const struct ip_pkt *ip, uint32_t payload)
{
	run->iov[++run->num] = (struct iovec){ (void *)(uintptr_t)(pkt + run->hdr_len), payload };
	run->bytes += payload;
	run->closed = payload < run->seg_bytes;
	run->last_id = ip->version == 4 ? ip4_id(pkt) : 0;
}

bool datagram_runs_take(struct datagram_runs *r, const struct tun_writer *w, struct flow *f, const uint8_t *pkt,
			const struct ip_pkt *ip)
{
	bool fine = r->on && plain(pkt, ip);
	struct datagram_run *run;
	uint32_t payload;

	if (!fine) {
		datagram_runs_flush_flow(r, w, f);
		return false;
	}
	payload = ip->len - ip->l4_off - UDP_HDR_LEN;
	for (unsigned int i = 0; i < r->num_open; i++) {
		run = &r->open[i];
		if (run->flow != f)
			continue;
		if (joins(run, pkt, ip, payload)) {
			add(run, pkt, ip, payload);
			return true;
		}
		close_run(r, w, i);
		break;
	}
	if (r->num_open == DATAGRAM_RUNS)
		close_run(r, w, 0);
	run = &r->open[r->num_open++];
	run->flow = f;
	run->pkt = pkt;
	run->pkt_len = ip->len;
	run->hdr_len = ip->l4_off + UDP_HDR_LEN;
	run->seg_bytes = payload;
	run->bytes = run->num = 0;
	add(run, pkt, ip, payload);
	return true;
}
