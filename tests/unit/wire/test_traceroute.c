/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/traceroute.h"

#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

#include <errno.h>
#include <string.h>

/* A request that `scion traceroute` sent, and what the last router of a real network answered (tests/vectors/capture.py). */
static struct path *path_of(const struct scion_pkt *request)
{
	static const struct path_hop hops[] = { { { 0x000100000000fc01 }, 1 }, { { 0x000100000000fc00 }, 101 },
						{ { 0x000100000000fc00 }, 3 }, { { 0x000100000000fc02 }, 103 } };
	uint8_t raw[SCION_MAX_PATH_LEN];

	memcpy(raw, request->path, request->path_len);
	raw[request->path_len - 12] = 0; /* without the alert */
	return path_new(hops, 4, raw, request->path_len);
}

static size_t load(const char *name, uint8_t *buf, size_t cap, struct scion_pkt *pkt, struct scmp_msg *m)
{
	int len = vector_load(name, buf, cap);

	CHECK(name, len > 0 && !scion_parse(buf, (size_t)len, pkt) && !scmp_parse(pkt, m));
	return len > 0 ? (size_t)len : 0;
}

/* scion_parse() is for what has arrived: of a request to be sent only the quote parser takes the path. */
static size_t load_request(const char *name, uint8_t *buf, size_t cap, struct scion_pkt *pkt)
{
	int len = vector_load(name, buf, cap);

	CHECK(name, len > 0 && !scion_parse_quote(buf, (size_t)len, pkt));
	return len > 0 ? (size_t)len : 0;
}

static void check_family(const char *request, const char *far, const char *core)
{
	uint8_t sent[2048], got[2048], built[TRACEROUTE_MAX_LEN];
	struct traceroute t = { .flow_id = 1, .id = 0xffff, .seq = 0 }, other;
	struct scion_pkt pkt, reply;
	struct scmp_msg m, wrong;
	struct scion_addr from, to;
	struct path *p, *empty = path_new(NULL, 0, NULL, 0);
	size_t len = load_request(request, sent, sizeof(sent), &pkt);

	p = path_of(&pkt);
	from = (struct scion_addr){ pkt.src_ia, scion_pkt_src(&pkt) };
	to = (struct scion_addr){ pkt.dst_ia, scion_pkt_dst(&pkt) };
	t.id = get_be16(pkt.l4 + 4);
	t.seq = get_be16(pkt.l4 + 6);
	t.flow_id = pkt.flow_id;
	CHECK("the same request", traceroute_build(built, sizeof(built), p, &from, &to, &t) == (int)len && !memcmp(built, sent, len));
	CHECK("just room", traceroute_build(built, len, p, &from, &to, &t) == (int)len);
	CHECK("no room", traceroute_build(built, len - 1, p, &from, &to, &t) == -EMSGSIZE);
	CHECK("no router on the empty path", traceroute_build(built, sizeof(built), empty, &from, &to, &t) == -EINVAL);

	load(far, got, sizeof(got), &reply, &m);
	t.id = m.id;
	t.seq = m.seq;
	CHECK("its answer", traceroute_is_answer(&reply, &m, p, &t));
	CHECK("nobody was asked", !traceroute_is_answer(&reply, &m, empty, &t));
	other = t;
	other.seq++;
	CHECK("to another question", !traceroute_is_answer(&reply, &m, p, &other));
	other = t;
	other.flow_id++;
	CHECK("with another FlowID", !traceroute_is_answer(&reply, &m, p, &other));
	other = t;
	other.id--;
	CHECK("to another port", !traceroute_is_answer(&reply, &m, p, &other));
	wrong = m;
	wrong.ingress++;
	CHECK("by another interface", !traceroute_is_answer(&reply, &wrong, p, &t));
	wrong = m;
	wrong.ia.v++;
	CHECK("of another AS", !traceroute_is_answer(&reply, &wrong, p, &t));
	wrong = m;
	wrong.type = SCMP_ECHO_REPLY;
	CHECK("another message", !traceroute_is_answer(&reply, &wrong, p, &t));
	wrong = m;
	wrong.code = 1;
	CHECK("another code", !traceroute_is_answer(&reply, &wrong, p, &t));
	reply.src_ia.v++;
	CHECK("from another AS", !traceroute_is_answer(&reply, &m, p, &t));

	load(core, got, sizeof(got), &reply, &m);
	t.id = m.id;
	t.seq = m.seq;
	CHECK("a router before the last", !traceroute_is_answer(&reply, &m, p, &t));
	path_put(empty);
	path_put(p);
}

static void test_real_routers(void)
{
	check_family("router_traceroute_request", "router_traceroute_far", "router_traceroute_core");
	check_family("router6_traceroute_request", "router6_traceroute_far", "router6_traceroute_core");
}

const struct unit_test unit_tests[] = {
	{ "a request and its answer", test_real_routers },
	{ 0 },
};
