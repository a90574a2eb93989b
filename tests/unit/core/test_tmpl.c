/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/tmpl.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

static const struct {
	const char *why, *local, *peer;
	unsigned int hops;
} ends[] = {
	{ "IPv4 hosts", "1-64512,10.0.0.1", "2-ff00:0:110,10.13.0.2", 2 },
	{ "IPv6 hosts", "1-64512,fd00::1", "2-64513,2001:db8::2", 5 },
	{ "one of each", "1-64512,fd00::1", "2-64513,10.13.0.2", 64 },
	{ "the other way round", "1-64512,10.0.0.1", "2-64513,fd00::9", 1 },
	{ "the own AS, path Empty", "1-64512,10.0.0.1", "1-64512,10.0.0.2", 0 },
};

static bool same(const struct tmpl *t, const struct scion_hdr *h, const uint8_t *frame, size_t len)
{
	static uint8_t want[70000], got[70000];
	int n = scion_udp_build(want, sizeof(want), h, 31000, 31001, frame, len);

	memset(got, 0xee, sizeof(got));
	memcpy(got + t->len, frame, len);
	tmpl_write(t, got, h->flow_id, h->traffic_class, (uint16_t)len, csum_add(0, frame, len));
	return n == (int)(t->len + len) && !memcmp(got, want, (size_t)n);
}

static void test_equals_builder(void)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct path *p = make_path(ends[i].hops, 1472, 0x77);
		uint8_t frame[1500];
		struct scion_hdr h = { .path = p->raw, .path_len = p->raw_len };
		struct tmpl *t;
		bool all = true;

		scion_addr_parse(ends[i].local, &h.src);
		scion_addr_parse(ends[i].peer, &h.dst);
		t = tmpl_new(p, &h.src, 31000, &h.dst, 31001);
		CHECK(ends[i].why, t && t->len == scion_hdr_len(&h.dst, &h.src, p->raw_len) + 8);
		for (size_t len = 12; len < sizeof(frame); len += 1 + rnd(7)) { /* odd lengths too */
			for (size_t k = 0; k < len; k++)
				frame[k] = (uint8_t)rnd(256);
			h.flow_id = rnd(1 << 20);
			h.traffic_class = (uint8_t)rnd(256);
			all &= same(t, &h, frame, len);
		}
		CHECK(ends[i].why, all);
		CHECK("budget", tmpl_budget(t) == (t->len < 1472 ? 1472 - t->len : 0));
		tmpl_put(t);
		CHECK("the template gave its reference back", atomic_load(&p->refs) == 1);
		path_put(p);
	}
}

static void test_zero_checksum(void)
{
	struct end *a = end_new("1-64512,10.0.0.1", 31000), *b = end_new("2-64513,10.13.0.2", 31001);
	struct tmpl *t = make_tmpl(a, b, 3, 1472);
	uint8_t frame[14] = { 0x17 }, out[1500];
	bool found = false;
	uint16_t csum;

	for (uint32_t v = 0; v < 0x10000 && !found; v++) {
		put_be16(frame + 12, (uint16_t)v);
		tmpl_write(t, out, 0, 0, sizeof(frame), csum_add(0, frame, sizeof(frame)));
		memcpy(&csum, out + t->len - 2, 2);
		if (!csum)
			break;
		found = csum == 0xffff;
	}
	CHECK("a sum of zero is sent as ffff, never as 0", found);
	memcpy(out + t->len, frame, sizeof(frame));
	struct scion_pkt pkt;
	struct scion_udp udp;

	CHECK("and it verifies", !scion_parse(out, t->len + sizeof(frame), &pkt) && !scion_udp_parse(&pkt, &udp));
	tmpl_put(t);
	end_free(a);
	end_free(b);
}

static void test_refused(void)
{
	struct path *p = path_new(NULL, 0, (const uint8_t[SCION_MAX_HDR_LEN]){ 0 }, SCION_MAX_HDR_LEN);
	struct scion_addr a;

	scion_addr_parse("1-64512,10.0.0.1", &a);
	CHECK("a path that no header holds", !tmpl_new(p, &a, 1, &a, 2));
	CHECK("its reference was not kept", atomic_load(&p->refs) == 1);
	path_put(p);
	tmpl_put(NULL);
}

static void test_next_hop(void)
{
	struct end *a = end_new("1-64512,10.0.0.1", 31000), *b = end_new("1-64512,fd00::2", 31001);
	struct tmpl *near = make_tmpl(a, b, 0, 1472), *far = make_tmpl(a, b, 2, 1472);
	struct ip_addr n = sock_addr_ip(&near->next_hop);

	CHECK("in the own AS straight to the host", ip_addr_eq(&n, &b->addr.host));
	CHECK("and its port", sock_addr_port(&near->next_hop) == 31001 && near->outer_len == 48);
	CHECK("else to the router", sock_addr_port(&far->next_hop) == 30042 && far->outer_len == 28);
	CHECK("no budget when the MTU is smaller than the header",
	      tmpl_budget(&(struct tmpl){ .mtu_bytes = 100, .len = 101 }) == 0);
	tmpl_put(tmpl_get(near));
	tmpl_put(near);
	tmpl_put(far);
	end_free(a);
	end_free(b);
}

const struct unit_test unit_tests[] = {
	{ "the same bytes as scion_udp_build", test_equals_builder },
	{ "zero checksum", test_zero_checksum },
	{ "refused", test_refused },
	{ "next hop and budget", test_next_hop },
	{ 0 },
};
