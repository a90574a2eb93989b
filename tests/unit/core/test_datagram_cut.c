/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/datagram_cut.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

/* A train as the kernel gives it, and the packets that it would have made of it. */

static uint8_t whole[66000], mem[66000], wanted[66000];
static struct train train;

static void ip4_csum(uint8_t *p, size_t ip_len)
{
	uint16_t csum;

	put_be16(p + 10, 0);
	csum = csum_finish(csum_add(0, p, ip_len));
	memcpy(p + 10, &csum, 2);
}

static size_t make(bool v6, size_t payload, uint16_t seg, uint16_t id)
{
	struct ip_addr src = ip(v6 ? "fd64::9" : "10.64.0.9"), dst = ip(v6 ? "fd70::9" : "10.70.0.9");
	size_t len = udp_packet(whole, &src, &dst, 40000, 5201, payload);

	for (size_t i = 0; i < payload; i++)
		whole[len - payload + i] = (uint8_t)(i * 7 + i / 251);
	if (!v6) {
		put_be16(whole + 4, id);
		ip4_csum(whole, 20);
	}
	train = (struct train){
		.vnet = { .flags = VNET_F_NEEDS_CSUM, .gso_type = VNET_GSO_UDP, .gso_size = seg, .csum_offset = 6,
			  .csum_start = v6 ? 40 : 20, .hdr_len = v6 ? 48 : 28 },
		.pkt = whole, .len = (uint32_t)len, .tun = 3, .side = 2,
	};
	return len;
}

/* The @n-th packet of a train of @payload bytes, with its checksums. */
static size_t want(bool v6, size_t payload, uint16_t seg, uint16_t id, unsigned int n)
{
	size_t hdr = v6 ? 48 : 28, at = (size_t)n * seg, some = payload - at < seg ? payload - at : seg;
	struct ip_pkt pkt;

	memcpy(wanted, whole, hdr);
	memcpy(wanted + hdr, whole + hdr + at, some);
	if (v6) {
		put_be16(wanted + 4, (uint16_t)(8 + some));
	} else {
		put_be16(wanted + 2, (uint16_t)(hdr + some));
		put_be16(wanted + 4, (uint16_t)(id + n));
		ip4_csum(wanted, 20);
	}
	put_be16(wanted + hdr - 4, (uint16_t)(8 + some));
	if (!ip_parse(wanted, hdr + some, &pkt))
		inet_l4_csum_set(wanted, &pkt);
	return hdr + some;
}

static bool is_as_wanted(const struct train *one, size_t len)
{
	struct ip_pkt pkt;

	if (one->len != len || one->vnet.flags != VNET_F_NEEDS_CSUM || one->vnet.gso_type != VNET_GSO_NONE ||
	    one->vnet.csum_offset != 6 || one->tun != 3 || one->side != 2 || ip_parse(one->pkt, one->len, &pkt) < 0 ||
	    one->vnet.csum_start != pkt.l4_off)
		return false;
	inet_l4_csum_set(one->pkt, &pkt); /* as outbound_train() does */
	return !memcmp(one->pkt, wanted, len);
}

static bool all_cut(bool v6, size_t payload, uint16_t seg, uint16_t id, unsigned int *num)
{
	struct datagram_cut cut;
	struct train one;

	*num = 0;
	make(v6, payload, seg, id);
	if (!datagram_cut_begin(&cut, &train))
		return false;
	while (datagram_cut_next(&cut, mem, &one)) {
		if (one.len > datagram_cut_most(&cut) || !is_as_wanted(&one, want(v6, payload, seg, id, *num)))
			return false;
		++*num;
	}
	return !datagram_cut_next(&cut, mem, &one);
}

static void test_sizes(void)
{
	static const struct {
		const char *why;
		size_t payload;
		uint16_t seg;
		unsigned int num;
	} cases[] = {
		{ "two", 128, 64, 2 },
		{ "a shorter one at the end", 130, 64, 3 },
		{ "64 KiB", 64000, 1200, 54 },
		{ "one byte each", 9, 1, 9 },
		{ "one only", 64, 64, 1 },
		{ "less than one", 10, 64, 1 },
	};
	unsigned int num;

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			CHECK(cases[i].why, all_cut(v6, cases[i].payload, cases[i].seg, 0xfffe, &num) &&
						    num == cases[i].num);
	}
}

static void test_random(void)
{
	unsigned int num, bad = 0;

	for (unsigned int i = 0; i < 2000; i++) {
		size_t payload = 1 + rnd(rnd(2) ? 65000 : 3000);
		uint16_t seg = (uint16_t)(1 + payload / 128 + rnd(1500)), id = (uint16_t)rnd(65536);

		bad += !all_cut(rnd(2), payload, seg, id, &num) || num != (payload + seg - 1) / seg;
	}
	CHECK("all of them", !bad);
}

static void test_no_train(void)
{
	struct datagram_cut cut;

	make(false, 640, 64, 7);
	train.vnet.gso_type = VNET_GSO_NONE;
	CHECK("a packet alone", !datagram_cut_begin(&cut, &train));
	train.vnet.gso_type = VNET_GSO_TCPV4;
	CHECK("a train of TCP", !datagram_cut_begin(&cut, &train));
	make(false, 640, 0, 7);
	CHECK("no size", !datagram_cut_begin(&cut, &train));
	make(false, 640, 64, 7);
	train.len--;
	CHECK("shorter than it says", !datagram_cut_begin(&cut, &train));
	make(false, 640, 64, 7);
	whole[6] = 0x20;
	CHECK("a fragment", !datagram_cut_begin(&cut, &train));
	make(true, 640, 64, 7);
	whole[6] = INET_PROTO_TCP;
	CHECK("another protocol", !datagram_cut_begin(&cut, &train));
	make(true, 0, 64, 7);
	CHECK("nothing in it", !datagram_cut_begin(&cut, &train));
}

const struct unit_test unit_tests[] = {
	{ "sizes", test_sizes },
	{ "random", test_random },
	{ "what is no train", test_no_train },
	{ 0 },
};
