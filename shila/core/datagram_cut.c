/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/datagram_cut.h"

#include "shila/wire/checksum.h"
#include "shila/wire/inet.h"

#include <string.h>

#define UDP_HDR_LEN 8u

bool datagram_cut_begin(struct datagram_cut *cut, const struct train *whole)
{
	struct ip_pkt ip;

	if (whole->vnet.gso_type != VNET_GSO_UDP || !whole->vnet.gso_size || ip_parse(whole->pkt, whole->len, &ip) < 0 ||
	    ip.proto != INET_PROTO_UDP || ip.fragment || ip.len <= ip.l4_off + UDP_HDR_LEN)
		return false;
	*cut = (struct datagram_cut){ .whole = whole, .ip_len = ip.l4_off };
	return true;
}

uint32_t datagram_cut_most(const struct datagram_cut *cut)
{
	uint32_t most = cut->ip_len + UDP_HDR_LEN + cut->whole->vnet.gso_size;

	return most < cut->whole->len ? most : cut->whole->len;
}

bool datagram_cut_next(struct datagram_cut *cut, uint8_t *mem, struct train *one)
{
	const struct train *whole = cut->whole;
	uint32_t hdr_len = cut->ip_len + UDP_HDR_LEN, left = whole->len - hdr_len - cut->at;
	uint32_t n = left < whole->vnet.gso_size ? left : whole->vnet.gso_size;
	uint16_t csum;

	if (!n)
		return false;
	memcpy(mem, whole->pkt, hdr_len);
	memcpy(mem + hdr_len, whole->pkt + hdr_len + cut->at, n);
	if (mem[0] >> 4 == 6) {
		put_be16(mem + 4, (uint16_t)(hdr_len + n - 40));
	} else {
		put_be16(mem + 2, (uint16_t)(hdr_len + n));
		put_be16(mem + 4, (uint16_t)(get_be16(mem + 4) + cut->num));
		put_be16(mem + 10, 0);
		csum = csum_finish(csum_add(0, mem, cut->ip_len));
		memcpy(mem + 10, &csum, 2);
	}
	put_be16(mem + cut->ip_len + 4, (uint16_t)(UDP_HDR_LEN + n));
	*one = (struct train){
		.vnet = { .flags = VNET_F_NEEDS_CSUM, .csum_start = (uint16_t)cut->ip_len, .csum_offset = 6 },
		.pkt = mem,
		.len = hdr_len + n,
		.tun = whole->tun,
		.side = whole->side,
	};
	cut->at += n;
	cut->num++;
	return true;
}
