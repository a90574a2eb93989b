/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/scion_daemon.h"

#include "shila/io/grpc_client.h"
#include "shila/io/proto/daemon.pb-c.h"
#include "tests/unit/check.h"
#include "tests/unit/io/fake_grpc.h"

#include <errno.h>
#include <time.h>

#define LEAF_A ((struct isd_as){1ull << 48 | 64513})
#define CORE   ((struct isd_as){1ull << 48 | 64512})
#define LEAF_B ((struct isd_as){1ull << 48 | 64514})

typedef Proto__Daemon__V1__Path PathMsg;

/* What the daemon of leaf A says about a path over the core to leaf B; a test spoils one thing. */
struct sample {
	PathMsg path;
	Proto__Daemon__V1__Interface next_hop;
	Proto__Daemon__V1__Underlay underlay;
	Proto__Daemon__V1__PathInterface hops[8], *hops_at[8];
	Proto__Daemon__V1__Timestamp expiration;
	Proto__Daemon__V1__Duration latency[3], *latency_at[3];
	uint64_t bandwidth[3];
	uint8_t raw[68];
};

static void put_hop(uint8_t *p, uint8_t exp_time, uint16_t cons_in, uint16_t cons_out)
{
	p[1] = exp_time;
	put_be16(p + 2, cons_in);
	put_be16(p + 4, cons_out);
	memset(p + 6, 0x5a, 6);
}

static void sample_init(struct sample *s, uint16_t up, uint16_t down, uint32_t timestamp)
{
	const struct path_hop hops[] = {
		{LEAF_A, up}, {CORE, 100 + up}, {CORE, down}, {LEAF_B, 100 + down}};

	memset(s, 0, sizeof(*s));
	proto__daemon__v1__path__init(&s->path);
	proto__daemon__v1__interface__init(&s->next_hop);
	proto__daemon__v1__underlay__init(&s->underlay);
	proto__daemon__v1__timestamp__init(&s->expiration);
	for (int i = 0; i < 4; i++) {
		proto__daemon__v1__path_interface__init(&s->hops[i]);
		s->hops[i].isd_as = hops[i].ia.v;
		s->hops[i].id = hops[i].ifid;
	}
	for (int i = 0; i < 8; i++)
		s->hops_at[i] = &s->hops[i];
	for (int i = 0; i < 3; i++) {
		proto__daemon__v1__duration__init(&s->latency[i]);
		s->latency[i].nanos = 1000000 * (i + 1);
		s->latency_at[i] = &s->latency[i];
		s->bandwidth[i] = 30000 - 10000 * i;
	}
	/* Two segments of two hops: up against construction direction, down along it. */
	put_be32(s->raw, 2 << 12 | 2 << 6);
	put_be16(s->raw + 6, 0x1234);
	put_be32(s->raw + 8, timestamp);
	s->raw[12] = 1;
	put_be32(s->raw + 16, timestamp + 100);
	put_hop(s->raw + 20, 63, up, 0);
	put_hop(s->raw + 32, 63, 0, 100 + up);
	put_hop(s->raw + 44, 63, 0, down);
	put_hop(s->raw + 56, 63, 100 + down, 0);

	s->underlay.address = (char *)"10.13.0.1:30042";
	s->next_hop.address = &s->underlay;
	s->expiration.seconds = (int64_t)timestamp + 21600;
	s->path.raw.data = s->raw;
	s->path.raw.len = sizeof(s->raw);
	s->path.interface = &s->next_hop;
	s->path.n_interfaces = 4;
	s->path.interfaces = s->hops_at;
	s->path.mtu = 1472;
	s->path.expiration = &s->expiration;
	s->path.n_latency = 3;
	s->path.latency = s->latency_at;
	s->path.n_bandwidth = 3;
	s->path.bandwidth = s->bandwidth;
}

/* pack() - A PathsResponse of these paths. Returns its length. */
static size_t pack(PathMsg *const *paths, size_t n, uint8_t *buf)
{
	Proto__Daemon__V1__PathsResponse m = PROTO__DAEMON__V1__PATHS_RESPONSE__INIT;

	m.n_paths = n;
	m.paths = (PathMsg **)paths;
	return proto__daemon__v1__paths_response__pack(&m, buf);
}

static struct scion_daemon_drops drops;

static size_t decode(PathMsg *const *paths, size_t n, struct path **out, size_t max)
{
	static uint8_t buf[1 << 20];
	size_t got = 99;
	int err =
		scion_daemon_paths_decode(buf, pack(paths, n, buf), LEAF_B, out, max, &got, &drops);

	CHECK("decodes", err == 0);
	return got;
}

static void test_good_path(void)
{
	struct sample s;
	struct path *p = NULL;
	PathMsg *list[1];
	union sock_addr br;

	sample_init(&s, 3, 7, 1000000);
	list[0] = &s.path;
	CHECK("one path", decode(list, 1, &p, 1) == 1);
	if (!p)
		return;
	sock_addr_parse("10.13.0.1:30042", &br);
	CHECK("nothing left out", !drops.bad && !drops.surplus);
	CHECK("destination", p->dst_ia.v == LEAF_B.v);
	CHECK("hops", p->num_hops == 4 && p->hops[2].ia.v == CORE.v && p->hops[2].ifid == 7);
	CHECK("raw bytes", p->raw_len == 68 && !memcmp(p->raw, s.raw, 68));
	CHECK("MTU", p->mtu_bytes == 1472);
	CHECK("next hop", sock_addr_eq(&p->next_hop, &br));
	CHECK("latencies added", p->latency_us == 6000);
	CHECK("least bandwidth", p->bandwidth_kbps == 10000);
	CHECK("expiry", p->expiry_unix_s == 1000000 + 21600);
	path_put(p);

	s.expiration.seconds += 5000;
	decode(list, 1, &p, 1);
	CHECK("the hop fields expire first", p->expiry_unix_s == 1000000 + 21600);
	path_put(p);
	s.expiration.seconds = 1000005;
	decode(list, 1, &p, 1);
	CHECK("announced to expire before the hop fields", p->expiry_unix_s == 1000005);
	path_put(p);
	s.latency[1].nanos = -1;
	s.bandwidth[2] = 0;
	decode(list, 1, &p, 1);
	CHECK("one latency unknown: the sum too", p->latency_us == PATH_LATENCY_UNKNOWN);
	CHECK("one bandwidth unknown: the least too", p->bandwidth_kbps == 0);
	path_put(p);
	s.path.n_latency = 2;
	s.path.n_bandwidth = 0;
	decode(list, 1, &p, 1);
	CHECK("too few latencies", p->latency_us == PATH_LATENCY_UNKNOWN);
	CHECK("no bandwidths", p->bandwidth_kbps == 0);
	path_put(p);
}

static void spoil_odd(struct sample *s)
{
	s->path.n_interfaces = 3;
}

static void spoil_none(struct sample *s)
{
	s->path.n_interfaces = 0;
}

static void spoil_dst(struct sample *s)
{
	s->hops[3].isd_as++;
}

static void spoil_joint(struct sample *s)
{
	s->hops[2].isd_as++;
}

static void spoil_wildcard(struct sample *s)
{
	s->hops[0].isd_as = 1ull << 48;
}

static void spoil_loop(struct sample *s)
{
	s->hops[0].isd_as = LEAF_B.v;
}

static void spoil_id_large(struct sample *s)
{
	s->hops[0].id = 65536 + 3;
}

static void spoil_id_zero(struct sample *s)
{
	s->hops[0].id = 0;
}

static void spoil_id_other(struct sample *s)
{
	s->hops[2].id++;
}

static void spoil_raw_short(struct sample *s)
{
	s->path.raw.len -= 12;
}

static void spoil_raw_none(struct sample *s)
{
	s->path.raw.len = 0;
}

static void spoil_raw_pointer(struct sample *s)
{
	put_be32(s->raw, 1u << 24 | 2 << 12 | 2 << 6);
}

static void spoil_raw_segments(struct sample *s)
{
	put_be32(s->raw, 2 << 6 | 2);
}

static void spoil_mtu_small(struct sample *s)
{
	s->path.mtu = SCION_DAEMON_MIN_MTU - 1;
}

static void spoil_mtu_large(struct sample *s)
{
	s->path.mtu = 65536;
}

static void spoil_next_hop_missing(struct sample *s)
{
	s->path.interface = NULL;
}

static void spoil_next_hop_name(struct sample *s)
{
	s->underlay.address = (char *)"router.example:30042";
}

static void spoil_next_hop_port(struct sample *s)
{
	s->underlay.address = (char *)"10.13.0.1:0";
}

static void spoil_next_hop_any(struct sample *s)
{
	s->underlay.address = (char *)"0.0.0.0:30042";
}

static void spoil_next_hop_group(struct sample *s)
{
	s->underlay.address = (char *)"[ff02::1]:30042";
}

static void test_bad_paths(void)
{
	static const struct {
		const char *why;
		void (*spoil)(struct sample *s);
		const char *reason;
	} rows[] = {
		{"odd number of interfaces", spoil_odd, "number of interfaces"},
		{"no interfaces", spoil_none, "number of interfaces"},
		{"to another AS", spoil_dst, "ends in another AS"},
		{"links that do not join", spoil_joint, "enters one AS and leaves another"},
		{"wildcard AS", spoil_wildcard, "wildcard"},
		{"loop", spoil_loop, "enters an AS twice"},
		{"interface id of 17 bits", spoil_id_large, "interface id out of range"},
		{"interface id 0", spoil_id_zero, "interface id out of range"},
		{"another interface in the raw path", spoil_id_other,
		 "raw path and interfaces differ"},
		{"raw path cut", spoil_raw_short, "raw path is malformed"},
		{"no raw path", spoil_raw_none, "raw path is malformed"},
		{"raw path at its second hop", spoil_raw_pointer,
		 "does not start at its first hop"},
		{"raw path with a gap", spoil_raw_segments, "raw path is malformed"},
		{"tiny MTU", spoil_mtu_small, "MTU"},
		{"MTU of 17 bits", spoil_mtu_large, "MTU"},
		{"no border router", spoil_next_hop_missing, "border router"},
		{"border router with a name", spoil_next_hop_name, "border router"},
		{"port 0", spoil_next_hop_port, "border router"},
		{"unspecified address", spoil_next_hop_any, "border router"},
		{"multicast address", spoil_next_hop_group, "border router"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sample before, bad, after;
		PathMsg *list[] = {&before.path, &bad.path, &after.path};
		struct path *out[3] = {NULL};
		size_t n;

		sample_init(&before, 1, 2, 1000000);
		sample_init(&bad, 3, 4, 1000000);
		sample_init(&after, 5, 6, 1000000);
		rows[i].spoil(&bad);
		n = decode(list, 3, out, 3);
		CHECK(rows[i].why, n == 2 && drops.bad == 1);
		CHECK(rows[i].why, drops.reason && strstr(drops.reason, rows[i].reason));
		CHECK("the paths beside it are kept",
		      n == 2 && out[0]->hops[0].ifid == 1 && out[1]->hops[0].ifid == 5);
		while (n)
			path_put(out[--n]);
	}
}

static void test_malformed_message(void)
{
	static uint8_t buf[4096];
	struct sample s;
	PathMsg *list[] = {&s.path, &s.path};
	struct path *out[2];
	size_t len, n = 99, good = 0;

	sample_init(&s, 1, 2, 1000000);
	len = pack(list, 2, buf);
	for (size_t cut = 1; cut < len; cut++) {
		int err = scion_daemon_paths_decode(buf, cut, LEAF_B, out, 2, &n, &drops);

		good += !err;
		for (size_t i = 0; !err && i < n; i++)
			path_put(out[i]);
	}
	CHECK("cut anywhere but between two paths: refused", good == 1);
	CHECK("an empty answer: no path",
	      scion_daemon_paths_decode(NULL, 0, LEAF_B, out, 2, &n, &drops) == 0 && !n);
	CHECK("group: refused", scion_daemon_paths_decode((const uint8_t *)"\x0b", 1, LEAF_B, out,
							  2, &n, &drops) == -EPROTO);
	CHECK("varint without end",
	      scion_daemon_paths_decode(
		      (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, LEAF_B,
		      out, 2, &n, &drops) == -EPROTO);
	CHECK("unknown fields of every type are skipped",
	      scion_daemon_paths_decode((const uint8_t *)"\x10\x05\x19"
							 "12345678"
							 "\x25"
							 "1234"
							 "\x2a\x02"
							 "xy",
					20, LEAF_B, out, 2, &n, &drops) == 0 &&
		      !n && !drops.bad);
	CHECK("a path that is no message is one bad path",
	      scion_daemon_paths_decode((const uint8_t *)"\x0a\x02\x0a\x05", 4, LEAF_B, out, 2, &n,
					&drops) == 0 &&
		      !n && drops.bad == 1);
}

static void test_duplicates_and_limits(void)
{
	struct sample a, b, c;
	PathMsg *list[] = {&a.path, &b.path, &c.path};
	static uint8_t flood[2 * (SCION_DAEMON_MAX_ENTRIES + 5)];
	struct path *out[3];
	size_t n;

	sample_init(&a, 1, 2, 1000000);
	sample_init(&b, 1, 2, 1000500);
	sample_init(&c, 1, 2, 999000);
	n = decode(list, 3, out, 3);
	CHECK("equal interfaces: one path", n == 1 && !drops.bad);
	CHECK("that lives longest", out[0]->expiry_unix_s == 1000500 + 21600);
	path_put(out[0]);

	sample_init(&b, 3, 4, 1000000);
	sample_init(&c, 1, 2, 1000900);
	n = decode(list, 3, out, 1);
	CHECK("the first are kept", n == 1 && out[0]->hops[0].ifid == 1 && drops.surplus == 1);
	CHECK("and still renewed", out[0]->expiry_unix_s == 1000900 + 21600);
	path_put(out[0]);

	for (size_t i = 0; i < sizeof(flood); i += 2)
		flood[i] = 0x0a; /* an empty path */
	CHECK("a flood of empty paths",
	      scion_daemon_paths_decode(flood, sizeof(flood), LEAF_B, out, 3, &n, &drops) == 0);
	CHECK("is not even looked at beyond the limit",
	      drops.bad == SCION_DAEMON_MAX_ENTRIES && drops.surplus == 5);
}

static void test_local_path(void)
{
	PathMsg m = PROTO__DAEMON__V1__PATH__INIT;
	PathMsg *list[] = {&m};
	struct path *p = NULL;

	m.mtu = 1472;
	CHECK("the empty path", decode(list, 1, &p, 1) == 1 && p->num_hops == 0 && p->raw_len == 0);
	CHECK("never expires", p && p->expiry_unix_s == INT64_MAX && p->mtu_bytes == 1472);
	path_put(p);
}

static void test_local_as(void)
{
	static const struct {
		const char *why;
		uint64_t ia;
		uint32_t mtu;
		int err;
	} rows[] = {
		{"fine", 1ull << 48 | 64512, 1472, 0},
		{"no ISD", 64512, 1472, -EPROTO},
		{"no AS", 1ull << 48, 1472, -EPROTO},
		{"no MTU", 1ull << 48 | 64512, 0, -EPROTO},
		{"MTU of 17 bits", 1ull << 48 | 64512, 65536 + 1472, -EPROTO},
	};
	static const struct {
		const char *why;
		uint32_t from, to;
		int err;
	} ranges[] = {
		{"fine", 31000, 32767, 0},
		{"all", 1, 65535, 0},
		{"none", 0, 0, 0},
		{"reversed", 2000, 1000, -EPROTO},
		{"no port", 1024, 65536, -EPROTO},
	};
	uint8_t buf[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Proto__Daemon__V1__ASResponse m = PROTO__DAEMON__V1__ASRESPONSE__INIT;
		struct local_as as = {0};

		m.isd_as = rows[i].ia;
		m.mtu = rows[i].mtu;
		CHECK(rows[i].why,
		      scion_daemon_as_decode(buf, proto__daemon__v1__asresponse__pack(&m, buf),
					     &as) == rows[i].err);
		CHECK(rows[i].why,
		      rows[i].err ? !as.ia.v : as.ia.v == rows[i].ia && as.mtu_bytes == 1472);
	}
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		Proto__Daemon__V1__PortRangeResponse m =
			PROTO__DAEMON__V1__PORT_RANGE_RESPONSE__INIT;
		struct local_as as = {0};

		m.dispatched_port_start = ranges[i].from;
		m.dispatched_port_end = ranges[i].to;
		CHECK(ranges[i].why,
		      scion_daemon_port_range_decode(
			      buf, proto__daemon__v1__port_range_response__pack(&m, buf), &as) ==
			      ranges[i].err);
		CHECK(ranges[i].why, ranges[i].err ? !as.port_max : as.port_max == ranges[i].to);
	}
}

static void test_interfaces(void)
{
	static const char *const addrs[] = {"10.0.0.1:30042", "10.0.0.1:30042", "nonsense",
					    "[fd00::1]:30042"};
	Proto__Daemon__V1__InterfacesResponse m = PROTO__DAEMON__V1__INTERFACES_RESPONSE__INIT;
	Proto__Daemon__V1__InterfacesEntry entries[40], *at[40];
	Proto__Daemon__V1__Interface itf[40];
	Proto__Daemon__V1__Underlay underlay[40];
	struct local_as as = {0};
	char many[40][24];
	uint8_t buf[4096];

	for (int i = 0; i < 40; i++) {
		proto__daemon__v1__interfaces_entry__init(&entries[i]);
		proto__daemon__v1__interface__init(&itf[i]);
		proto__daemon__v1__underlay__init(&underlay[i]);
		underlay[i].address = (char *)addrs[i % 4];
		itf[i].address = &underlay[i];
		entries[i].key = i + 1;
		entries[i].value = &itf[i];
		at[i] = &entries[i];
	}
	m.interfaces = at;
	m.n_interfaces = 4;
	CHECK("decodes", !scion_daemon_interfaces_decode(
				 buf, proto__daemon__v1__interfaces_response__pack(&m, buf), &as));
	CHECK("two routers, what is nonsense left out", as.num_routers == 2);
	CHECK("in their order",
	      as.routers[0].sa.sa_family == AF_INET && as.routers[1].sa.sa_family == AF_INET6);
	for (int i = 0; i < 40; i++) {
		snprintf(many[i], sizeof(many[i]), "10.0.0.%d:30042", i + 1);
		underlay[i].address = many[i];
	}
	m.n_interfaces = 40;
	CHECK("decodes", !scion_daemon_interfaces_decode(
				 buf, proto__daemon__v1__interfaces_response__pack(&m, buf), &as));
	CHECK("as many as there is room for", as.num_routers == 16);
	CHECK("cut: refused", scion_daemon_interfaces_decode(buf, 5, &as) == -EPROTO);
}

/* ---- the whole source, against a server that says what the test wants ---- */

struct seen {
	struct path_source *ps;
	int as_calls, paths_calls, err;
	char why[GRPC_WHY_LEN];
	struct local_as as;
	size_t n;
	bool close;
};

static void note(struct seen *seen, int err, const char *why)
{
	seen->err = err;
	snprintf(seen->why, sizeof(seen->why), "%s", why ? why : "");
	if (seen->close)
		path_source_close(seen->ps, NULL, NULL);
	seen->close = false;
}

static void on_as(void *ctx, int err, const char *why, const struct local_as *as)
{
	struct seen *seen = ctx;

	seen->as_calls++;
	if (as)
		seen->as = *as;
	note(seen, err, why);
}

static void on_paths(void *ctx, int err, const char *why, struct path **paths, size_t n)
{
	struct seen *seen = ctx;

	seen->paths_calls++;
	seen->n = n;
	while (n)
		path_put(paths[--n]);
	note(seen, err, why);
}

static void run(uv_loop_t *loop, const int *calls, int want)
{
	while (*calls < want && uv_run(loop, UV_RUN_ONCE))
		;
}

#define METHOD(name) "/proto.daemon.v1.DaemonService/" name

static void test_source(void)
{
	static uint8_t as_msg[64], itf_msg[64], range_msg[64], paths_msg[4096];
	Proto__Daemon__V1__ASResponse as = PROTO__DAEMON__V1__ASRESPONSE__INIT;
	Proto__Daemon__V1__PortRangeResponse range = PROTO__DAEMON__V1__PORT_RANGE_RESPONSE__INIT;
	struct sample good, expired, foreign;
	PathMsg local = PROTO__DAEMON__V1__PATH__INIT;
	PathMsg *list[] = {&good.path, &expired.path, &foreign.path, &local};
	struct fake_answer answers[] = {
		{METHOD("AS"), .body = as_msg},           {METHOD("Interfaces"), .body = itf_msg},
		{METHOD("PortRange"), .body = range_msg}, {METHOD("Paths"), .body = paths_msg},
		{METHOD("NotifyInterfaceDown")},          {.status = -1},
	};
	struct seen seen = {0};
	struct fake_grpc srv;
	uv_loop_t loop;

	as.isd_as = LEAF_A.v;
	as.mtu = 1472;
	answers[0].len = proto__daemon__v1__asresponse__pack(&as, as_msg);
	range.dispatched_port_start = 31000;
	range.dispatched_port_end = 32767;
	answers[2].len = proto__daemon__v1__port_range_response__pack(&range, range_msg);
	sample_init(&good, 1, 2, (uint32_t)time(NULL));
	sample_init(&expired, 3, 4, (uint32_t)time(NULL) - 30000);
	sample_init(&foreign, 5, 6, (uint32_t)time(NULL));
	foreign.hops[0].isd_as += 10;
	local.mtu = 1472;
	answers[3].len = pack(list, 4, paths_msg);

	fake_grpc_start(&srv, FAKE_HTTP2, answers);
	uv_loop_init(&loop);
	CHECK("opens", !path_source_open(&loop, &srv.addr, &seen.ps));
	CHECK("asks", !path_source_local_as(seen.ps, on_as, &seen));
	run(&loop, &seen.as_calls, 1);
	CHECK("the local AS", !seen.err && seen.as.ia.v == LEAF_A.v && seen.as.mtu_bytes == 1472);
	CHECK("its ports", seen.as.port_min == 31000 && seen.as.port_max == 32767);
	path_source_interface_down(seen.ps, CORE, 5);
	CHECK("asks", !path_source_paths(seen.ps, LEAF_B, true, on_paths, &seen));
	run(&loop, &seen.paths_calls, 1);
	CHECK("of four paths the good one", !seen.err && seen.n == 1);
	CHECK("the expired, the foreign and the empty one are counted",
	      path_source_rejected(seen.ps) == 3);

	answers[3].len = pack(list + 1, 1, paths_msg);
	CHECK("asks", !path_source_paths(seen.ps, LEAF_B, false, on_paths, &seen));
	run(&loop, &seen.paths_calls, 2);
	CHECK("all expired: an error that says so",
	      seen.err == -EPROTO && strstr(seen.why, "clocks"));
	answers[3].len = 0;
	CHECK("asks", !path_source_paths(seen.ps, LEAF_B, false, on_paths, &seen));
	run(&loop, &seen.paths_calls, 3);
	CHECK("no path is no error", !seen.err && !seen.n);

	answers[2].status = 12;
	CHECK("asks", !path_source_local_as(seen.ps, on_as, &seen));
	run(&loop, &seen.as_calls, 2);
	CHECK("a daemon older than port ranges", !seen.err && seen.as.port_max == 0);
	answers[1].status = 13;
	CHECK("asks", !path_source_local_as(seen.ps, on_as, &seen));
	run(&loop, &seen.as_calls, 3);
	CHECK("one of three answers is an error",
	      seen.err == -EREMOTEIO && strstr(seen.why, "SCION daemon 127.0.0.1:"));
	answers[1].status = 0;
	answers[0].len = 0;
	CHECK("asks", !path_source_local_as(seen.ps, on_as, &seen));
	run(&loop, &seen.as_calls, 4);
	CHECK("no AS at all", seen.err == -EPROTO && strstr(seen.why, "nonsense"));

	seen.close = true;
	CHECK("asks", !path_source_paths(seen.ps, LEAF_B, false, on_paths, &seen));
	CHECK("asks", !path_source_paths(seen.ps, LEAF_A, false, on_paths, &seen));
	CHECK("asks", !path_source_local_as(seen.ps, on_as, &seen));
	uv_run(&loop, UV_RUN_DEFAULT);
	CHECK("closed by a callback: no other is called", seen.as_calls + seen.paths_calls == 8);
	CHECK("nothing is left on the loop", uv_loop_close(&loop) == 0);
	fake_grpc_stop(&srv);
}

const struct unit_test unit_tests[] = {
	{"a good path", test_good_path},
	{"bad paths", test_bad_paths},
	{"malformed messages", test_malformed_message},
	{"duplicates and limits", test_duplicates_and_limits},
	{"the path to the own AS", test_local_path},
	{"the local AS", test_local_as},
	{"interfaces", test_interfaces},
	{"asked over gRPC", test_source},
	{0},
};
