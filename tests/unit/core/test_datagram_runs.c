/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/datagram_runs.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

/* What is written to the TUN, cut as the kernel cuts it, is what was given: every byte, in order. */

#define MAX_PACKETS 200

static struct end *e;
static struct datagram_runs runs;
static struct flow flows[DATAGRAM_RUNS + 2];
static uint8_t *given[MAX_PACKETS];
static size_t given_len[MAX_PACKETS];
static unsigned int num_given;

static struct tun_writer writer(void)
{
	return (struct tun_writer){ .write = end_write, .ctx = e, .verdicts = e->verdicts };
}

static void begin(void)
{
	e = end_new("1-64512,10.0.0.1", 31000);
	memset(&runs, 0, sizeof(runs));
	runs.on = true;
	for (unsigned int i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
		flows[i].tun = (uint8_t)i;
}

static void forget(void)
{
	while (num_given)
		free(given[--num_given]);
	end_forget(e);
}

static void flush(void)
{
	struct tun_writer w = writer();

	datagram_runs_flush(&runs, &w);
}

/* A datagram of @f; @id and @df only in IPv4. */
static uint8_t *packet(bool v6, size_t payload, uint16_t id, bool df)
{
	static uint8_t p[66000];
	struct ip_addr src = ip(v6 ? "fd64::9" : "10.64.0.9"), dst = ip(v6 ? "fd70::9" : "10.70.0.9");
	size_t len = udp_packet(p, &src, &dst, 40000, 5201, payload);
	uint16_t csum;

	if (!v6) {
		put_be16(p + 4, id);
		put_be16(p + 6, df ? 0x4000 : 0);
		put_be16(p + 10, 0);
		csum = csum_finish(csum_add(0, p, 20));
		memcpy(p + 10, &csum, 2);
	}
	if (num_given == MAX_PACKETS)
		abort();
	given_len[num_given] = len;
	return given[num_given++] = copy_of(p, len);
}

static bool take(struct flow *f, const uint8_t *p)
{
	struct tun_writer w = writer();
	struct ip_pkt pkt;

	return !ip_parse(p, given_len[num_given - 1], &pkt) && datagram_runs_take(&runs, &w, f, p, &pkt);
}

/* The @n-th datagram of a train, as the kernel makes it. Return: its length, 0: there is none. */
static size_t cut(const struct written *t, unsigned int n, uint8_t *out)
{
	size_t hdr = t->vnet.hdr_len, at = hdr + (size_t)n * t->vnet.gso_size, len;
	bool v6 = t->pkt[0] >> 4 == 6;
	struct ip_pkt pkt;
	uint16_t csum;

	if (t->vnet.gso_type == VNET_GSO_NONE) {
		memcpy(out, t->pkt, t->len);
		return n ? 0 : t->len;
	}
	if (at >= t->len)
		return 0;
	len = t->len - at < t->vnet.gso_size ? t->len - at : t->vnet.gso_size;
	memcpy(out, t->pkt, hdr);
	memcpy(out + hdr, t->pkt + at, len);
	if (v6) {
		put_be16(out + 4, (uint16_t)(8 + len));
	} else {
		put_be16(out + 2, (uint16_t)(hdr + len));
		put_be16(out + 4, (uint16_t)(get_be16(out + 4) + n));
		put_be16(out + 10, 0);
		csum = csum_finish(csum_add(0, out, 20));
		memcpy(out + 10, &csum, 2);
	}
	put_be16(out + hdr - 4, (uint16_t)(8 + len));
	if (!ip_parse(out, hdr + len, &pkt))
		inet_l4_csum_set(out, &pkt);
	return hdr + len;
}

static bool train_is_sound(const struct written *t)
{
	bool v6 = t->pkt[0] >> 4 == 6;
	size_t ip_len = v6 ? 40 : 20;
	uint16_t pseudo;
	struct ip_pkt pkt;

	if (t->vnet.gso_type == VNET_GSO_NONE)
		return !t->vnet.flags;
	pseudo = csum_fold(inet_csum_pseudo(t->pkt + (v6 ? 8 : 12), t->pkt + (v6 ? 24 : 16), v6 ? 16 : 4,
					    INET_PROTO_UDP, (uint32_t)(t->len - ip_len)));
	return t->vnet.gso_type == VNET_GSO_UDP && t->vnet.flags == VNET_F_NEEDS_CSUM && t->vnet.csum_start == ip_len &&
	       t->vnet.csum_offset == 6 && t->vnet.hdr_len == ip_len + 8 && !ip_parse(t->pkt, t->len, &pkt) &&
	       get_be16(t->pkt + ip_len + 4) == (uint16_t)(t->len - ip_len) && !memcmp(t->pkt + ip_len + 6, &pseudo, 2) &&
	       (v6 || csum_fold(csum_add(0, t->pkt, 20)) == 0xffff) &&
	       (t->len - t->vnet.hdr_len + t->vnet.gso_size - 1u) / t->vnet.gso_size <= 64;
}

/* Everything that was given comes out, but for identifications of packets that must not be fragmented. */
static bool all_there(void)
{
	static uint8_t out[66000];
	unsigned int k = 0;

	for (unsigned int i = 0; i < e->num_got; i++) {
		if (!train_is_sound(&e->got[i]))
			return false;
		for (unsigned int n = 0; ; n++, k++) {
			size_t len = cut(&e->got[i], n, out);

			if (!len)
				break;
			if (k == num_given || len != given_len[k])
				return false;
			if (out[0] >> 4 == 4 && out[6] & 0x40) {
				memcpy(out + 4, given[k] + 4, 2);
				memcpy(out + 10, given[k] + 10, 2);
			}
			if (memcmp(out, given[k], len))
				return false;
		}
	}
	return k == num_given;
}

static void test_sizes(void)
{
	static const struct {
		const char *why;
		unsigned int n, written;
		uint16_t sizes[8]; /* in turn */
		unsigned int num_sizes;
	} cases[] = {
		{ "one alone stays as it is", 1, 1, { 64 }, 1 },
		{ "two", 2, 1, { 64 }, 1 },
		{ "64 and no more", 130, 3, { 64 }, 1 },
		{ "one byte each", 20, 1, { 1 }, 1 },
		{ "a shorter one is the last", 9, 3, { 64, 64, 20 }, 3 },
		{ "a longer one begins anew", 4, 3, { 64, 65 }, 2 },
		{ "all different", 8, 8, { 1, 2, 3, 4, 5, 6, 7, 8 }, 8 },
		{ "64 KiB and no more", 50, 2, { 1400 }, 1 },
	};

	begin();
	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			bool taken = true;

			for (unsigned int k = 0; k < cases[i].n; k++)
				taken &= take(&flows[1], packet(v6, cases[i].sizes[k % cases[i].num_sizes], (uint16_t)(0xfff0 + k), v6));
			flush();
			CHECK("taken", taken);
			CHECK(cases[i].why, e->num_got == cases[i].written && all_there() && e->got[0].tun == 1);
			forget();
		}
	}
	end_free(e);
}

static void test_what_does_not_join(void)
{
	static const struct {
		const char *why;
		bool v6;
		int at;	   /* byte of the second packet that differs, -1: none */
		uint8_t to;
		bool fix;  /* its checksums are made right */
		bool taken;
	} cases[] = {
		{ "another TOS", false, 1, 0x28, true, true },
		{ "another TTL", false, 8, 17, true, true },
		{ "another source", false, 15, 77, true, true },
		{ "another source port", false, 21, 9, true, true },
		{ "another destination port", false, 23, 9, true, true },
		{ "an identification that does not follow", false, 5, 99, true, true },
		{ "a wrong checksum of the IP header", false, 10, 0, false, false },
		{ "a wrong checksum", false, 60, 0xee, false, false },
		{ "a fragment", false, 6, 0x20, true, false },
		{ "another traffic class", true, 1, 0x80, true, true },
		{ "another flow label", true, 3, 5, true, true },
		{ "another hop limit", true, 7, 17, true, true },
		{ "another destination", true, 39, 17, true, true },
		{ "a wrong checksum, IPv6", true, 80, 0xee, false, false },
		{ "another protocol", true, 6, 136, true, false },
	};

	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *p;
		struct ip_pkt pkt;
		bool taken;

		take(&flows[1], packet(cases[i].v6, 64, 7, false));
		p = packet(cases[i].v6, 64, 8, false);
		p[cases[i].at] = cases[i].to;
		if (cases[i].fix && !ip_parse(p, given_len[1], &pkt)) {
			if (!cases[i].v6) {
				uint16_t csum;

				put_be16(p + 10, 0);
				csum = csum_finish(csum_add(0, p, 20));
				memcpy(p + 10, &csum, 2);
			}
			inet_l4_csum_set(p, &pkt);
		}
		taken = take(&flows[1], p);
		CHECK(cases[i].why, taken == cases[i].taken);
		CHECK("what was before is written before", taken || e->num_got == 1);
		flush();
		CHECK("not joined", e->num_got == (taken ? 2u : 1u));
		forget();
	}
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t *p = packet(v6, 64, 1, true);

		put_be16(p + (v6 ? 46 : 26), 0);
		CHECK("not for a program that has no checksum", !take(&flows[1], p));
		p = packet(v6, 0, 1, true);
		CHECK("nor an empty one", !take(&flows[1], p));
		runs.on = false;
		CHECK("nor for a kernel that has no such trains", !take(&flows[1], packet(v6, 64, 1, true)));
		runs.on = true;
	}
	take(&flows[1], packet(false, 64, 1, true));
	take(&flows[1], packet(false, 64, 1, true));
	flush();
	CHECK("identifications of what is not fragmented mean nothing", e->num_got == 1 && e->got[0].vnet.gso_size == 64);
	forget();
	end_free(e);
}

static void test_flows(void)
{
	struct tun_writer w;

	begin();
	w = writer();
	for (unsigned int k = 0; k < 40; k++)
		take(&flows[k % 4], packet(k & 1, 64, (uint16_t)(k / 4), false));
	CHECK("nothing is written before the end", !e->num_got);
	datagram_runs_flush_flow(&runs, &w, &flows[2]);
	CHECK("one flow", e->num_got == 1 && e->got[0].tun == 2 && e->got[0].len == 28 + 640);
	datagram_runs_flush_flow(&runs, &w, &flows[2]);
	CHECK("once", e->num_got == 1);
	flush();
	CHECK("the others", e->num_got == 4 && e->verdicts[VERDICT_PASS] == 4);
	forget();
	for (unsigned int k = 0; k < DATAGRAM_RUNS + 2; k++)
		take(&flows[k], packet(false, 64, 1, false));
	CHECK("the oldest makes room", e->num_got == 2);
	e->write_result = VERDICT_TUN_WRITE;
	flush();
	CHECK("all are written, what fails is counted", e->num_got == DATAGRAM_RUNS + 2 && !runs.num_open &&
	      e->verdicts[VERDICT_TUN_WRITE] == DATAGRAM_RUNS);
	forget();
	end_free(e);
}

/* Random sizes, flags and identifications of one flow: what comes out is what went in. */
static void test_random(void)
{
	static const uint16_t sizes[] = { 1, 17, 64, 64, 64, 200, 1200 };
	unsigned int bad = 0, joined = 0;

	begin();
	for (unsigned int round = 0; round < 500; round++) {
		uint16_t id = (uint16_t)rnd(65536);
		bool df = rnd(2), v6 = rnd(2);

		for (unsigned int n = 1 + rnd(150); n; n--) {
			if (!rnd(10))
				df = !df;
			if (!rnd(10))
				id = (uint16_t)(id + rnd(9));
			bad += !take(&flows[0], packet(v6, sizes[rnd(rnd(2) ? 7 : 4)], id++, df));
		}
		flush();
		joined += num_given - e->num_got;
		bad += !all_there();
		forget();
	}
	CHECK("all of them", !bad);
	CHECK("many joined", joined > 5000);
	end_free(e);
}

const struct unit_test unit_tests[] = {
	{ "sizes", test_sizes },
	{ "what does not join", test_what_does_not_join },
	{ "flows", test_flows },
	{ "random", test_random },
	{ 0 },
};
