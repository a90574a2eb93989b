/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/store/store.h"

#include "tests/unit/check.h"
#include "tests/unit/store/sample.h"

#include <errno.h>
#include <sys/stat.h>

static struct store *create(const struct store_shape *shape)
{
	struct store_host host = sample_host();
	struct store *s = NULL;

	CHECK("made", !store_create(sample_dir, shape, &host, &s, why));
	if (!s)
		abort();
	return s;
}

/* What a daemon that starts now would find. */
static struct store_saved load(void)
{
	struct store_saved saved = { 0 };

	CHECK("read", !store_load_file(sample_dir, &saved, why));
	CHECK("nothing to complain about", !*why);
	return saved;
}

static bool same_host(const struct store_host *a, const struct store_host *b)
{
	bool sides = true;

	for (int i = 0; i < STORE_MAX_SIDES; i++)
		sides = sides && !strcmp(a->sides[i], b->sides[i]);
	return !memcmp(a->kernel_boot, b->kernel_boot, 16) && a->boot_id == b->boot_id &&
	       scion_addr_eq(&a->local, &b->local) && a->mtu_bytes == b->mtu_bytes && a->port_min == b->port_min &&
	       a->port_max == b->port_max && a->contact_port == b->contact_port && sides &&
	       !memcmp(a->worker_ports, b->worker_ports, sizeof(a->worker_ports)) && a->num_sides == b->num_sides;
}

static void test_empty(void)
{
	struct store_shape shape = SAMPLE_SHAPE;
	struct store_host host = sample_host();
	struct store_saved saved;
	struct store *s;
	struct stat st;
	char name[128];

	sample_begin();
	CHECK("no file: said by the code alone", store_load_file(sample_dir, &saved, why) == -ENOENT && !*why);
	s = create(&shape);
	CHECK("not there before it is published", store_load_file(sample_dir, &saved, why) == -ENOENT);
	CHECK("published", !store_publish(s, why));
	saved = load();
	CHECK("version", saved.version == STORE_VERSION);
	CHECK("shape", !memcmp(&saved.shape, &shape, sizeof(shape)));
	CHECK("host", same_host(&saved.host, &host));
	CHECK("nothing in it", !saved.num_flows && !saved.bad_records && saved.num_peers == 4 && saved.num_paths == 6);
	store_saved_free(&saved);

	host.mtu_bytes = 1400;
	host.port_max = 40000;
	host.local.host = sample_ip(false, 1);
	strcpy(host.sides[2], "third");
	store_set_host(s, &host);
	saved = load();
	CHECK("another host", same_host(&saved.host, &host));
	store_saved_free(&saved);

	snprintf(name, sizeof(name), "%s/" STORE_FILE, sample_dir);
	CHECK("only root reads it", !stat(name, &st) && (st.st_mode & 0777) == 0600);
	store_close(s);
	store_close(NULL);
	store_set_aside(sample_dir);
	CHECK("set aside", store_load_file(sample_dir, &saved, why) == -ENOENT);
	strcat(name, ".refused");
	CHECK("and kept", !stat(name, &st));
	sample_end();
}

static void test_round_trip(void)
{
	struct store_shape shape = SAMPLE_SHAPE;
	struct store *s;
	struct store_saved saved;
	struct store_peer peers[3] = { sample_peer(0), sample_peer(1), sample_peer(8) };
	struct path *paths[] = {
		sample_path(0, true, 64513, 2, 0, 0),
		sample_path(1, false, 64514, 2, 3, 0),
		sample_path(2, true, 64521, 20, 40, 4), /* as long as can be */
		sample_path(3, true, 64513, 0, 0, 0),	/* empty: the same AS */
	};
	struct store_flow flows[6];
	struct flow_hot *hot;

	sample_begin();
	s = create(&shape);
	for (uint32_t i = 0; i < 3; i++)
		CHECK("peers in order", store_peer_put(s, &peers[i]) == i);
	for (uint32_t i = 0; i < 4; i++)
		CHECK("paths in order", store_path_put(s, paths[i], i & 1) == i);
	flows[0] = sample_flow(0, 1, false, 0, 0);
	flows[1] = sample_flow(0, 20, true, 1, 1);
	flows[2] = sample_flow(1, 1, true, 2, 2);
	flows[2].state = FLOW_CLOSING;
	flows[2].kind = FLOW_MAIN;
	flows[2].server = flows[2].confirmed = flows[2].has_token = false;
	flows[2].client = (struct ip_addr){ 0 };
	flows[2].token.v = 0;
	flows[3] = sample_flow(1, 2, false, 0, 3);
	flows[3].state = FLOW_LINGER;
	flows[3].kind = FLOW_PLAIN;
	flows[3].has_token = false;
	flows[3].token.v = 0;
	flows[4] = flows[3];
	flows[4].slot = 20;
	flows[4].mine.id = 20 << 12;
	flows[4].kind = FLOW_DATAGRAM;
	flows[4].key.proto = IPPROTO_UDP;
	flows[4].path = STORE_NONE;
	/* all bits set */
	flows[5] = sample_flow(0, 2, true, 1, 1);
	flows[5].mine = (struct flow_name){ 2 << 12 | 0xfff, 0xffff };
	flows[5].theirs = (struct flow_name){ UINT32_MAX, UINT16_MAX };
	flows[5].epoch = flows[5].tun = UINT8_MAX;
	flows[5].peer_port = flows[5].mss = UINT16_MAX;
	flows[5].path_changes = flows[5].saw = UINT8_MAX;
	flows[5].key.local_port = flows[5].key.remote_port = UINT16_MAX;
	flows[5].token.v = flows[5].isn = UINT32_MAX;
	flows[5].created_ms = UINT64_MAX;
	for (int i = 0; i < 6; i++)
		CHECK("put", store_flow_put(s, &flows[i]));
	hot = store_flow_hot(s, 1, 1);
	*hot = (struct flow_hot){ 0x11111111, 0x22222222, 0x33333333, 0x44444444, FLOW_KNOWS_OUT | FLOW_KNOWS_ACK,
				 .last_s = 0x55555555 };
	flows[2].epoch++;
	CHECK("put again", store_flow_put(s, &flows[2]));
	CHECK("the worker's part is left alone", hot->out_ack == 0x44444444);
	CHECK("nothing lacks", !store_lacks(s));
	CHECK("published", !store_publish(s, why));

	saved = load();
	CHECK("no bad records", !saved.bad_records && saved.num_flows == 6);
	for (int i = 0; i < 3; i++)
		CHECK("peer", sample_same_peer(&saved.peers[i], &peers[i]));
	CHECK("unused peer", !saved.peers[3].addr.host.len);
	for (int i = 0; i < 4; i++) {
		CHECK("path", sample_same_path(saved.paths[i].path, paths[i]));
		CHECK("one reference", saved.paths[i].path->refs == 1);
		CHECK("in set", saved.paths[i].in_set == (i & 1));
	}
	CHECK("unused path", !saved.paths[4].path && !saved.paths[5].path);
	if (saved.num_flows == 6) {
		CHECK("flow", sample_same_flow(&saved.flows[0], &flows[0]));
		CHECK("flow with all bits", sample_same_flow(&saved.flows[1], &flows[5]));
		CHECK("flow over a received path", sample_same_flow(&saved.flows[2], &flows[1]));
		CHECK("client's flow", sample_same_flow(&saved.flows[3], &flows[2]));
		CHECK("plain flow", sample_same_flow(&saved.flows[4], &flows[3]));
		CHECK("datagram flow", sample_same_flow(&saved.flows[5], &flows[4]));
		CHECK("sequence numbers", !memcmp(&saved.flows[3].hot, hot, sizeof(*hot)));
	}
	store_saved_free(&saved);

	for (int i = 0; i < 6; i++)
		store_flow_clear(s, flows[i].worker, flows[i].slot);
	store_flow_clear(s, 0, 7); /* none */
	for (uint32_t i = 0; i < 4; i++)
		store_path_drop(s, i, i & 1);
	for (uint32_t i = 0; i < 3; i++)
		store_peer_drop(s, i);
	saved = load();
	CHECK("all gone", !saved.num_flows && !saved.bad_records && !saved.peers[0].addr.host.len && !saved.paths[0].path);
	store_saved_free(&saved);
	store_close(s);
	for (int i = 0; i < 4; i++)
		path_put(paths[i]);
	sample_end();
}

static void test_sharing(void)
{
	struct store_shape shape = SAMPLE_SHAPE;
	struct store *s;
	struct store_saved saved;
	struct store_peer p = sample_peer(3);
	struct path *a = sample_path(0, true, 64513, 2, 2, 0), *same = sample_path(0, true, 64513, 2, 2, 0);
	struct path *other = sample_path(0, true, 64513, 2, 2, 0), *received = sample_path(0, false, 64513, 2, 2, 0);
	struct path *renamed = sample_path(1, true, 64513, 2, 2, 0);

	sample_begin();
	s = create(&shape);
	CHECK("published", !store_publish(s, why));
	CHECK("one record for a peer", !store_peer_put(s, &p) && !store_peer_put(s, &p));
	p.boot_id = 5;
	p.num_workers = 0;
	memset(p.worker_ports, 0, sizeof(p.worker_ports));
	store_peer_update(s, 0, &p);
	store_peer_drop(s, 0);
	store_peer_drop(s, STORE_NONE);
	saved = load();
	CHECK("one user is left; brought up to date", sample_same_peer(&saved.peers[0], &p));
	store_saved_free(&saved);
	store_peer_drop(s, 0);
	saved = load();
	CHECK("no user is left", !saved.peers[0].addr.host.len);
	store_saved_free(&saved);

	other->mtu_bytes++;
	CHECK("first", store_path_put(s, a, false) == 0);
	CHECK("another MTU", store_path_put(s, other, false) == 1);
	CHECK("the same bytes without the ASes", store_path_put(s, received, false) == 2);
	CHECK("an equal one", store_path_put(s, same, true) == 0);
	saved = load();
	CHECK("of the set since then", saved.paths[0].in_set && !saved.paths[1].in_set);
	store_saved_free(&saved);
	store_path_drop(s, 0, true);
	saved = load();
	CHECK("no longer of the set", saved.paths[0].path && !saved.paths[0].in_set && !saved.bad_records);
	store_saved_free(&saved);
	store_path_drop(s, 0, false);
	store_path_drop(s, STORE_NONE, false);
	saved = load();
	CHECK("gone", !saved.paths[0].path && saved.paths[1].path);
	store_saved_free(&saved);
	CHECK("its number is taken again", store_path_put(s, same, true) == 0 && store_path_put(s, a, true) == 0);
	saved = load();
	CHECK("of the set from the start", saved.paths[0].in_set);
	store_saved_free(&saved);
	store_path_drop(s, 0, true);
	store_path_drop(s, 0, true);
	CHECK("of another path now", store_path_put(s, renamed, false) == 0);
	CHECK("which the one before does not take for its own", store_path_put(s, a, false) == 3 && store_path_put(s, same, false) == 3);
	CHECK("nor the other way round", store_path_put(s, renamed, false) == 0 && store_path_put(s, a, true) == 3);
	saved = load();
	CHECK("each says its own", sample_same_path(saved.paths[0].path, renamed) && sample_same_path(saved.paths[3].path, a));
	store_saved_free(&saved);
	store_close(s);
	path_put(a);
	path_put(same);
	path_put(other);
	path_put(received);
	path_put(renamed);
	sample_end();
}

static void test_full_table(void)
{
	struct store_shape shape = { .workers = 1, .flows = 16, .peers = 2, .paths = 2 };
	struct path *paths[3];
	struct store_peer p;
	struct store *s;

	sample_begin();
	s = create(&shape);
	for (unsigned int i = 0; i < 3; i++) {
		p = sample_peer(i);
		CHECK("as many peers as fit", store_peer_put(s, &p) == (i < 2 ? i : STORE_NONE));
	}
	CHECK("counted", store_lacks(s) == 1 && store_lack_error(s) == -E2BIG);
	CHECK("no better now", !store_retry(s));
	for (unsigned int i = 0; i < 3; i++) {
		paths[i] = sample_path(i, true, 64513, 2, 0, 0);
		CHECK("as many paths as fit", store_path_put(s, paths[i], true) == (i < 2 ? i : STORE_NONE));
	}
	CHECK("counted", store_lacks(s) == 2);
	store_path_drop(s, 1, true);
	CHECK("now there is room", store_retry(s) && !store_lacks(s));
	CHECK("said once", !store_retry(s));
	CHECK("taken", store_path_put(s, paths[2], true) == 1);
	for (unsigned int i = 0; i < 3; i++)
		path_put(paths[i]);
	store_close(s);
	sample_end();
}

static void test_refused_values(void)
{
	static const struct {
		const char *what;
		size_t at, len;
		uint64_t value;
	} bad[] = {
#define BAD(what, member, value) { what, offsetof(struct store_flow, member), sizeof(((struct store_flow *)0)->member), value }
		BAD("a flow that is only being opened", state, FLOW_OPENING),
		BAD("a closed flow", state, FLOW_CLOSED),
		BAD("no state", state, FLOW_NONE),
		BAD("no kind", kind, 0),
		BAD("a kind that is none", kind, FLOW_DATAGRAM + 1),
		BAD("a kind beyond four bits", kind, 0x11),
		BAD("TCP as datagrams", kind, FLOW_DATAGRAM),
		BAD("UDP as a subflow", key.proto, IPPROTO_UDP),
		BAD("a token of a plain connection", kind, FLOW_PLAIN),
		BAD("a server's flow without client", client.len, 0),
		BAD("two families", client.len, 16),
		BAD("two families", key.remote.len, 16),
		BAD("no address", key.local.len, 0),
		BAD("a name of another slot", mine.id, 9 << 12),
		BAD("no name at the peer", theirs.id, 0xfff),
		BAD("no port of the peer", peer_port, 0),
		BAD("a peer beyond the table", peer, 4),
		BAD("a path beyond the table", path, 6),
	};
	struct store_shape shape = SAMPLE_SHAPE;
	struct store_saved saved;
	struct store_peer p = sample_peer(0);
	struct store *s;

	sample_begin();
	s = create(&shape);
	CHECK("published", !store_publish(s, why));
	CHECK("peer", !store_peer_put(s, &p));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct store_flow f = sample_flow(0, 1, false, 0, STORE_NONE);

		f.key.side = 0;
		CHECK("good at first", store_flow_put(s, &f));
		memcpy((uint8_t *)&f + bad[i].at, &bad[i].value, bad[i].len);
		CHECK(bad[i].what, !store_flow_put(s, &f));
		CHECK("counted", store_lacks(s) == i + 1 && store_lack_error(s) == -EINVAL);
		saved = load();
		CHECK("and no longer kept as it was", !saved.num_flows && !saved.bad_records);
		store_saved_free(&saved);
	}
	p.contact_port = 0;
	CHECK("a peer without port", store_peer_put(s, &p) == STORE_NONE);
	store_close(s);
	sample_end();
}

static void test_refused_shapes(void)
{
	static const struct store_shape bad[] = {
		{ 0, 1, 1, 1 }, { 9, 1, 1, 1 }, { 1, 0, 1, 1 }, { 1, 1 << 20, 1, 1 }, { 1, 1, 0, 1 }, { 1, 1, 1, 0 },
		{ 1, 1, (1 << 20) + 1, 1 }, { 1, 1, 1, (1 << 20) + 1 },
	};
	struct store_shape largest = { 8, (1 << 20) - 1, 1 << 20, 1 << 20 };
	struct store_host host = sample_host();
	struct store *s = NULL;
	struct store_flow f;
	struct store_peer p = sample_peer(0);
	char name[128];
	struct stat st;

	sample_begin();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK("a shape that no file has", store_create(sample_dir, &bad[i], &host, &s, why) == -EINVAL && *why);
	s = create(&largest);
	f = sample_flow(7, (1 << 20) - 1, true, 0, STORE_NONE);
	f.mine.id = 0xffffffff;
	CHECK("the last slot of the largest file", !store_peer_put(s, &p) && store_flow_put(s, &f));
	CHECK("takes little room", !store_publish(s, why));
	snprintf(name, sizeof(name), "%s/" STORE_FILE, sample_dir);
	CHECK("a chunk of each table, and of the last slot", !stat(name, &st) && st.st_blocks * 512 <= (3 + 8 + 1) * 65536);
	store_close(s);
	store_forget(sample_dir);
	CHECK("no such directory", store_create("/nonexistent", &largest, &host, &s, why) == -ENOENT);
	CHECK("says where", strstr(why, "/nonexistent/flows.new"));
	sample_end();
}

const struct unit_test unit_tests[] = {
	{ "an empty file", test_empty },
	{ "round trip of every field", test_round_trip },
	{ "shared records", test_sharing },
	{ "a full table", test_full_table },
	{ "flows that are not kept", test_refused_values },
	{ "shapes", test_refused_shapes },
	{ 0 },
};
