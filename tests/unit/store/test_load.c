/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/store/store.h"

#include "tests/unit/check.h"
#include "tests/unit/store/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct image m;
static struct store_saved good; /* of the image as it is made */

/* From memory of exactly its size, so that sanitizers see a read past it. */
static int load(const void *bytes, size_t len, struct store_saved *out)
{
	uint8_t *exact = malloc(len ? len : 1);
	int err;

	if (!exact)
		abort();
	memcpy(exact, bytes, len);
	err = store_load(exact, len, out, why);
	free(exact);
	return err;
}

static void begin(void)
{
	image_make(&m);
	if (load(m.bytes, sizeof(m.bytes), &good))
		abort();
	CHECK("the image is good", good.num_flows == 3 && !good.bad_records && good.peers[1].addr.host.len &&
					  good.paths[0].in_set && good.paths[1].path && !good.paths[1].in_set);
}

static void end(void)
{
	store_saved_free(&good);
}

/* Is every record that was taken one of the good file? Returns how many are missing. */
static size_t missing(const struct store_saved *s, bool *ok)
{
	size_t gone = 0, i = 0;

	*ok = true;
	for (size_t n = 0; n < good.num_peers; n++) {
		if (s->peers[n].addr.host.len)
			*ok = *ok && sample_same_peer(&s->peers[n], &good.peers[n]);
		else
			gone += good.peers[n].addr.host.len != 0;
	}
	for (size_t n = 0; n < good.num_paths; n++) {
		if (s->paths[n].path)
			*ok = *ok && good.paths[n].path && sample_same_path(s->paths[n].path, good.paths[n].path) &&
			      s->paths[n].in_set == good.paths[n].in_set;
		else
			gone += good.paths[n].path != NULL;
	}
	for (size_t n = 0; n < good.num_flows; n++) {
		if (i < s->num_flows && s->flows[i].slot == good.flows[n].slot)
			*ok = *ok && sample_same_flow(&s->flows[i++], &good.flows[n]);
		else
			gone++;
	}
	*ok = *ok && i == s->num_flows;
	return gone;
}

static void test_truncated(void)
{
	struct store_saved s;
	size_t accepted = 0, silent = 0;

	begin();
	for (size_t len = 0; len < sizeof(m.bytes); len++) {
		*why = '\0';
		accepted += load(m.bytes, len, &s) != -EBADMSG;
		silent += !*why;
	}
	CHECK("no prefix of a file is one", !accepted);
	CHECK("each with a sentence", !silent);
	CHECK("nothing at all", load("", 0, &s) == -EBADMSG && strstr(why, "not a state file"));
	CHECK("in the header", load(m.bytes, 4095, &s) == -EBADMSG && strstr(why, "cut off"));
	CHECK("in a table", load(m.bytes, 8192, &s) == -EBADMSG && strstr(why, "8192 bytes long, and 20480"));
	end();
}

static void test_longer(void)
{
	static uint8_t longer[sizeof(m.bytes) + 1];
	struct store_saved s;

	begin();
	memcpy(longer, m.bytes, sizeof(m.bytes));
	CHECK("a byte more than the header says", load(longer, sizeof(longer), &s) == -EBADMSG);
	end();
}

/* One byte of the file is wrong, anywhere: no wrong value comes through but of the sequence numbers. */
static void test_corrupted(void)
{
	static const uint8_t wrong[] = { 0x01, 0x80, 0xff };
	size_t refused = 0, left_out = 0, wrongly = 0, uncounted = 0, harmless = 0;

	begin();
	for (size_t at = 0; at < sizeof(m.bytes); at++) {
		struct store_saved s;
		size_t gone;
		bool ok;

		m.bytes[at] ^= wrong[at % 3];
		if (store_load(m.bytes, sizeof(m.bytes), &s, why) < 0) {
			refused++;
			wrongly += at >= sizeof(struct disk_header);
		} else {
			gone = missing(&s, &ok);
			wrongly += !ok || s.host.boot_id != good.host.boot_id;
			uncounted += gone && !s.bad_records;
			left_out += gone != 0;
			harmless += !gone;
			store_saved_free(&s);
		}
		m.bytes[at] ^= wrong[at % 3];
	}
	CHECK("every byte of the header counts", refused == sizeof(struct disk_header));
	CHECK("nothing wrong came through", !wrongly);
	CHECK("every record that is left out is counted", !uncounted);
	CHECK("every byte of a record counts",
	      left_out == 2 * sizeof(struct disk_peer) + 2 * sizeof(struct disk_path) + 3 * STORE_FLOW_COLD);
	CHECK("the others are of nothing", refused + left_out + harmless == sizeof(m.bytes));
	end();
}

/* All of the header, with the right check value. */
static void test_header(void)
{
	static const struct {
		const char *what;
		size_t at, len;
		uint64_t value;
		int err;
		const char *says;
	} cases[] = {
#define H(member) offsetof(struct disk_header, member), sizeof(((struct disk_header *)0)->member)
		{ "another program's", 0, 1, 'x', -EBADMSG, "not a state file of shila" },
		{ "a machine with another byte order", H(byte_order), 0x04030201, -EBADMSG, "another byte order" },
		{ "no byte order at all", H(byte_order), 0, -EBADMSG, "damaged" },
		{ "version 0", H(version), 0, -EPROTONOSUPPORT, "layout version 0" },
		{ "a later version", H(version), STORE_VERSION + 1, -EPROTONOSUPPORT, "layout version" },
		{ "no workers", H(workers), 0, -EBADMSG, "damaged" },
		{ "too many workers", H(workers), 9, -EBADMSG, "damaged" },
		{ "more workers than there are bytes", H(workers), 8, -EBADMSG, "by its header" },
		{ "more flows than there are bytes", H(flows), (1 << 20) - 1, -EBADMSG, "by its header" },
		{ "too many flows", H(flows), 1 << 20, -EBADMSG, "damaged" },
		{ "all bits in the number of peers", H(peers), UINT32_MAX, -EBADMSG, "damaged" },
		{ "all bits in the number of paths", H(paths), UINT32_MAX, -EBADMSG, "damaged" },
		{ "a local address of no family", H(local_len), 5, -EBADMSG, "damaged" },
		{ "a local address with something behind it", H(local_len), 4, -EBADMSG, "damaged" },
		{ "too many sides", H(num_sides), 10, -EBADMSG, "damaged" },
		{ "a name past the last side", H(num_sides), 1, -EBADMSG, "damaged" },
		{ "a name that does not end", H(sides), 'a', -EBADMSG, "damaged" }, /* see below */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct store_saved s;

		begin();
		if (cases[i].at == offsetof(struct disk_header, sides))
			memset(m.bytes + cases[i].at, (int)cases[i].value, 64);
		else
			memcpy(m.bytes + cases[i].at, &cases[i].value, cases[i].len);
		image_seal_header(&m);
		CHECK(cases[i].what, load(m.bytes, sizeof(m.bytes), &s) == cases[i].err);
		CHECK("says so", strstr(why, cases[i].says));
		end();
	}
}

/* Records whose check value is right and which contradict themselves or others. */
static void test_records(void)
{
	enum { PEER, PATH, FLOW };
	static const struct {
		const char *what;
		int table;
		size_t at, len;
		uint64_t value;
		size_t bad; /* records left out, with those that refer to it */
	} cases[] = {
#define PEER_(member, value) PEER, offsetof(struct disk_peer, member), sizeof(((struct disk_peer *)0)->member), value
#define PATH_(member, value) PATH, offsetof(struct disk_path, member), sizeof(((struct disk_path *)0)->member), value
#define FLOW_(member, value) FLOW, offsetof(struct disk_flow, member), sizeof(((struct disk_flow *)0)->member), value
		{ "peer: a mark that is none", PEER_(used, 2), 3 },
		{ "peer: no mark", PEER_(used, 0), 3 },
		{ "peer: no family", PEER_(host_len, 0), 3 },
		{ "peer: an address with something behind it", PEER_(host[15], 4), 3 },
		{ "peer: too many workers", PEER_(num_workers, 9), 3 },
		{ "peer: a port less than workers", PEER_(num_workers, 3), 3 },
		{ "peer: a port more", PEER_(num_workers, 1), 3 },
		{ "peer: a wildcard", PEER_(ia, 1ull << 48), 3 },
		{ "peer: no contact port", PEER_(contact_port, 0), 3 },
		{ "path: a mark that is none", PATH_(used, 3), 2 },
		{ "path: half of a set", PATH_(in_set, 2), 2 },
		{ "path: an odd number of hops", PATH_(num_hops, 3), 2 },
		{ "path: hops fewer than its bytes say", PATH_(num_hops, 2), 2 },
		{ "path: too many hops", PATH_(num_hops, 130), 2 },
		{ "path: no bytes", PATH_(raw_len, 0), 2 },
		{ "path: bytes cut off", PATH_(raw_len, 4 + 16 + 48), 2 },
		{ "path: too many bytes", PATH_(raw_len, 797), 2 },
		{ "path: another interface than in its bytes", PATH_(hop_ifid[2], 77), 2 },
		{ "path: not at its first hop", PATH_(raw[0], 1), 2 },
		{ "path: not at its first segment", PATH_(raw[0], 0x40), 2 },
		{ "path: only one AS known", PATH_(hop_ia[0], 1ull << 48 | 9), 2 },
		{ "path: no MTU", PATH_(mtu_bytes, 0), 2 },
		{ "path: to nowhere", PATH_(dst_ia, 0), 2 },
		{ "path: to another AS than the peer's", PATH_(dst_ia, 1ull << 48 | 9), 1 }, /* only the flow */
		{ "path: no next hop", PATH_(next_hop_len, 0), 2 },
		{ "path: next hop of no family", PATH_(next_hop_len, 7), 2 },
		{ "path: next hop without a port", PATH_(next_hop_port, 0), 2 },
		{ "flow: not open yet", FLOW_(state_kind, FLOW_SUB << 4), 1 },
		{ "flow: a state that is none", FLOW_(state_kind, FLOW_SUB << 4 | 15), 1 },
		{ "flow: a state of a later version", FLOW_(state_kind, FLOW_SUB << 4 | 5), 1 },
		{ "flow: no kind", FLOW_(state_kind, DISK_OPEN), 1 },
		{ "flow: a kind that is none", FLOW_(state_kind, DISK_OPEN | 5 << 4), 1 },
		{ "flow: datagrams of TCP", FLOW_(state_kind, DISK_OPEN | FLOW_DATAGRAM << 4), 1 },
		{ "flow: a subflow of UDP", FLOW_(proto, 17), 1 },
		{ "flow: unknown flags", FLOW_(flags, 0xff), 1 },
		{ "flow: a server's without client", FLOW_(flags, DISK_FLOW_SERVER | DISK_FLOW_V6), 1 },
		{ "flow: a token without the flag", FLOW_(flags, DISK_FLOW_V6 | DISK_FLOW_CLIENT), 1 },
		{ "flow: IPv4 with something behind it", FLOW_(flags, DISK_FLOW_CLIENT | DISK_FLOW_TOKEN), 1 },
		{ "flow: a side that is not there", FLOW_(side, 3), 1 },
		{ "flow: the name of another slot", FLOW_(mine_id, 2 << 12), 1 },
		{ "flow: no name at the peer", FLOW_(theirs_id, 0xfff), 1 },
		{ "flow: no port of the peer", FLOW_(peer_port, 0), 1 },
		{ "flow: a peer that is not there", FLOW_(peer, 2), 1 },
		{ "flow: a peer past the table", FLOW_(peer, 3), 1 },
		{ "flow: no peer", FLOW_(peer, STORE_NONE), 1 },
		{ "flow: a path that is not there", FLOW_(path, 2), 1 },
		{ "flow: a path past the table", FLOW_(path, 3), 1 },
		{ "flow: a path past the end of the world", FLOW_(path, STORE_NONE - 1), 1 },
		{ "flow: the other peer", FLOW_(peer, 0), 1 }, /* in another AS than its path */
		{ "flow: without a path", FLOW_(path, STORE_NONE), 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Peer 1 has two ports and flows 1 and 3; path 1 was received, and flow 1 uses it. */
		struct store_saved s;
		uint8_t *record;

		begin();
		record = cases[i].table == PEER ? (uint8_t *)image_peer(&m, 1) :
			 cases[i].table == PATH ? (uint8_t *)image_path(&m, 1) : (uint8_t *)image_flow(&m, 1);
		memcpy(record + cases[i].at, &cases[i].value, cases[i].len);
		image_seal_peer(&m, 1);
		store_path_seal(image_path(&m, 1), 1);
		image_seal_flow(&m, 1);
		CHECK("the file is taken", !load(m.bytes, sizeof(m.bytes), &s));
		CHECK(cases[i].what, s.bad_records == cases[i].bad);
		CHECK("the flow of others is there", s.num_flows && s.flows[s.num_flows > 1 ? s.num_flows - 2 : 0].slot <= 2);
		store_saved_free(&s);
		end();
	}
}

static void test_places(void)
{
	struct store_saved s;

	begin();
	*image_flow(&m, 4) = *image_flow(&m, 1);
	*image_peer(&m, 2) = *image_peer(&m, 1);
	*image_path(&m, 2) = *image_path(&m, 1);
	*image_flow(&m, 0) = *image_flow(&m, 1);
	image_seal_flow(&m, 0);
	CHECK("taken", !load(m.bytes, sizeof(m.bytes), &s));
	CHECK("records in another place than they were made for, and slot 0", s.bad_records == 4 && s.num_flows == 3);
	store_saved_free(&s);
	image_seal_peer(&m, 2);
	CHECK("taken", !load(m.bytes, sizeof(m.bytes), &s));
	CHECK("a second record of one peer", s.bad_records == 4 && s.peers[1].addr.host.len && !s.peers[2].addr.host.len);
	store_saved_free(&s);
	end();
}

static void test_doubles(void)
{
	static const struct {
		const char *what;
		uint8_t old, new;
		uint64_t older_ms;
		uint32_t slot; /* that stays */
	} cases[] = {
		{ "the newer one", DISK_OPEN, DISK_OPEN, 1, 4 },
		{ "the newer one", DISK_CLOSING, DISK_OPEN, 1, 4 },
		{ "the first of two at once", DISK_OPEN, DISK_OPEN, 0, 1 },
		{ "not one that lingers", DISK_LINGER, DISK_OPEN, 0, 4 },
		{ "not one that lingers, even if newer", DISK_OPEN, DISK_LINGER, 1, 1 },
	};
	struct store_saved s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		*image_flow(&m, 4) = *image_flow(&m, 1);
		image_flow(&m, 4)->mine_id = 4 << 12;
		image_flow(&m, 1)->created_ms = 100;
		image_flow(&m, 4)->created_ms = 100 + cases[i].older_ms;
		image_flow(&m, 1)->state_kind = (uint8_t)(FLOW_SUB << 4 | cases[i].old);
		image_flow(&m, 4)->state_kind = (uint8_t)(FLOW_SUB << 4 | cases[i].new);
		image_seal_flow(&m, 1);
		image_seal_flow(&m, 4);
		CHECK("taken", !load(m.bytes, sizeof(m.bytes), &s));
		CHECK("one of them is left out", s.bad_records == 1 && s.num_flows == 3);
		CHECK(cases[i].what, s.num_flows == 3 && s.flows[cases[i].slot == 1 ? 0 : 2].slot == cases[i].slot);
		CHECK("in order", s.num_flows == 3 && s.flows[0].slot < s.flows[1].slot && s.flows[1].slot < s.flows[2].slot);
		store_saved_free(&s);
		end();
	}
}

/* What is beyond the check value: the worker's. */
static void test_hot(void)
{
	struct store_saved s;

	begin();
	memset(&image_flow(&m, 1)->hot, 0xff, sizeof(struct flow_hot));
	CHECK("taken", !load(m.bytes, sizeof(m.bytes), &s) && !s.bad_records && s.num_flows == 3);
	CHECK("only what is known of it", s.flows[0].hot.known == 7 && !s.flows[0].hot.reserved[0]);
	CHECK("numbers as they are", s.flows[0].hot.out_next == UINT32_MAX && s.flows[1].hot.out_next == 1002);
	store_saved_free(&s);
	end();
}

static void undo_of(uint64_t at, size_t len)
{
	struct disk_undo *u = image_undo(&m);

	u->at = at;
	u->len = (uint32_t)len;
	memcpy(u->bytes, m.bytes + at, len);
	u->check = store_check((uint32_t)at, (uint32_t)len, u->bytes, len);
	u->valid = 1;
}

static void test_undo(void)
{
	struct { const char *what; uint64_t at; size_t len; } cases[] = {
		{ "peer", store_peer_at(&m.place, 1), sizeof(struct disk_peer) },
		{ "path", store_path_at(&m.place, 1), sizeof(struct disk_path) },
		{ "flow", store_flow_at(&m.place, 0, 1), STORE_FLOW_COLD },
		{ "header", STORE_HEADER_CHECKED, sizeof(struct disk_header) - STORE_HEADER_CHECKED },
	};
	struct store_saved s;
	bool ok;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		undo_of(cases[i].at, cases[i].len);
		memset(m.bytes + cases[i].at, 0x5a, cases[i].len / 2);
		CHECK(cases[i].what, !load(m.bytes, sizeof(m.bytes), &s) && !s.bad_records && !missing(&s, &ok) && ok);
		store_saved_free(&s);
		image_undo(&m)->valid = 0;
		if (load(m.bytes, sizeof(m.bytes), &s) == 0) {
			CHECK("not without the mark", s.bad_records);
			store_saved_free(&s);
		}
		/* A mark over nothing that can be. */
		image_undo(&m)->valid = 1;
		image_undo(&m)->bytes[0]++;
		if (load(m.bytes, sizeof(m.bytes), &s) == 0) {
			CHECK("nor with damaged bytes", s.bad_records >= 2);
			store_saved_free(&s);
		}
		end();
	}
	begin();
	undo_of(store_peer_at(&m.place, 1), 64);
	image_undo(&m)->at = UINT64_MAX - 10;
	CHECK("far away", !load(m.bytes, sizeof(m.bytes), &s) && s.bad_records == 1 && s.num_flows == 3);
	store_saved_free(&s);
	image_undo(&m)->at = sizeof(m.bytes) - 63;
	CHECK("past the end", !load(m.bytes, sizeof(m.bytes), &s) && s.bad_records == 1 && s.num_flows == 3);
	store_saved_free(&s);
	image_undo(&m)->at = 0;
	image_undo(&m)->len = UINT32_MAX;
	CHECK("too long", !load(m.bytes, sizeof(m.bytes), &s) && s.bad_records == 1 && s.num_flows == 3);
	store_saved_free(&s);
	end();
}

static void test_version_before(void)
{
	struct store_saved s;
	bool ok;

	begin();
	CHECK("this one has all", good.version == 2 && good.flows[0].hot.last_s == 5001);
	image_header(&m)->version = 1;
	image_seal_header(&m);
	CHECK("read", !load(m.bytes, sizeof(m.bytes), &s) && s.version == 1);
	CHECK("all records are as they were", !s.bad_records && !missing(&s, &ok) && ok);
	CHECK("sequence numbers, too", s.flows[2].hot.in_next == 2003 && s.flows[2].hot.known == 7);
	CHECK("what it did not have is not guessed", !s.flows[0].hot.last_s);
	store_saved_free(&s);
	image_header(&m)->version = 3;
	image_seal_header(&m);
	CHECK("a later one is refused", load(m.bytes, sizeof(m.bytes), &s) == -EPROTONOSUPPORT);
	CHECK("naming both", !strcmp(why, "it has layout version 3, this shilad reads 1 to 2"));
	image_header(&m)->version = 1; /* and not by chance: the check value knows the version */
	CHECK("nor under another number", load(m.bytes, sizeof(m.bytes), &s) == -EBADMSG);
	end();
}

static void put_file(const void *bytes, size_t len)
{
	char name[128];
	FILE *f;

	snprintf(name, sizeof(name), "%s/" STORE_FILE, sample_dir);
	f = fopen(name, "w");
	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f))
		abort();
}

static void test_files(void)
{
	static const char foreign[] = "#!/bin/sh\necho this is no state\n";
	struct store_saved s;
	char name[128], other[128];

	begin();
	sample_begin();
	snprintf(name, sizeof(name), "%s/" STORE_FILE, sample_dir);
	snprintf(other, sizeof(other), "%s/elsewhere", sample_dir);
	put_file(m.bytes, sizeof(m.bytes));
	CHECK("without holes", !store_load_file(sample_dir, &s, why) && s.num_flows == 3);
	store_saved_free(&s);
	put_file(m.bytes, 10000);
	CHECK("cut off", store_load_file(sample_dir, &s, why) == -EBADMSG && strstr(why, "10000 bytes"));
	put_file(foreign, sizeof(foreign));
	CHECK("foreign", store_load_file(sample_dir, &s, why) == -EBADMSG && strstr(why, "not a state file"));
	put_file("", 0);
	CHECK("empty", store_load_file(sample_dir, &s, why) == -EBADMSG && strstr(why, "not a state file"));
	CHECK("a hole larger than any state", !truncate(name, 1ll << 40) &&
						      store_load_file(sample_dir, &s, why) == -EBADMSG && *why);
	CHECK("a link is not followed", !rename(name, other) && !symlink("elsewhere", name) &&
						store_load_file(sample_dir, &s, why) == -ELOOP && *why);
	CHECK("a directory", !unlink(name) && !mkdir(name, 0700) && store_load_file(sample_dir, &s, why) == -EBADMSG);
	CHECK("a pipe does not stop it", !rmdir(name) && !mkfifo(name, 0600) &&
						 store_load_file(sample_dir, &s, why) == -EBADMSG && *why);
	unlink(other);
	sample_end();
	end();
}

/* The CPU may have an instruction for it. */
static void test_check(void)
{
	uint8_t bytes[400];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i + 7 * i + 3);
	for (uint32_t len = 0; len <= 320; len++)
		for (uint32_t at = 0; at < 9; at++)
			CHECK("the same value either way", store_check(len, at, bytes + at, len) == store_check_plain(len, at, bytes + at, len));
	/* RFC 3720, B.4: 32 bytes of zeros; here 8 of them are the seed. */
	memset(bytes, 0, sizeof(bytes));
	CHECK("the right value", store_check(0, 0, bytes, 24) == 0x8a9136aa && store_check_plain(0, 0, bytes, 24) == 0x8a9136aa);
}

const struct unit_test unit_tests[] = {
	{ "check values", test_check },
	{ "every length that is too short", test_truncated },
	{ "too long", test_longer },
	{ "every byte corrupted", test_corrupted },
	{ "headers", test_header },
	{ "records", test_records },
	{ "records in the wrong place", test_places },
	{ "two flows of one key", test_doubles },
	{ "sequence numbers", test_hot },
	{ "undo", test_undo },
	{ "the version before", test_version_before },
	{ "files", test_files },
	{ 0 },
};
