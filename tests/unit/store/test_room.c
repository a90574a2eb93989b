/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that is full: a tmpfs of our own that is as large as the test wants it. */
#include "shila/store/store.h"

#include "tests/unit/check.h"
#include "tests/unit/store/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct store_shape shape = { .workers = 2, .flows = 4096, .peers = 16, .paths = 200 };

static void write_text(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "%s: %s\n", file, strerror(errno));
	if (fd >= 0)
		close(fd);
}

const char *unit_skip(void)
{
	char map[2][32];

	snprintf(map[0], sizeof(map[0]), "0 %d 1", geteuid());
	snprintf(map[1], sizeof(map[1]), "0 %d 1", getegid());
	if (unshare(CLONE_NEWNS) < 0) { /* without root in a user namespace, if there may be one */
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return "no mount namespace";
		write_text("/proc/self/setgroups", "deny");
		write_text("/proc/self/uid_map", map[0]);
		write_text("/proc/self/gid_map", map[1]);
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "no mount namespace";
	return NULL;
}

/* Nobody else sees it. */
static void begin(const char *size)
{
	sample_begin();
	if (mount("none", sample_dir, "tmpfs", 0, size) < 0)
		abort();
}

static void resize(const char *size)
{
	CHECK("resized", !mount("none", sample_dir, "tmpfs", MS_REMOUNT, size));
}

static void end(void)
{
	if (umount(sample_dir))
		abort();
	sample_end();
}

static off_t taken(void)
{
	struct stat st;
	char name[128];

	snprintf(name, sizeof(name), "%s/" STORE_FILE, sample_dir);
	return stat(name, &st) ? 0 : st.st_blocks * 512;
}

static struct store *create(void)
{
	struct store_host host = sample_host();
	struct store *s = NULL;

	if (store_create(sample_dir, &shape, &host, &s, why) || store_publish(s, why))
		abort();
	return s;
}

static struct store_flow flow(uint8_t worker, uint32_t slot)
{
	struct store_flow f = sample_flow(worker, slot, true, 0, STORE_NONE);

	f.key.side = 0;
	f.key.local_port = (uint16_t)slot;
	f.key.remote_port = worker;
	return f;
}

static size_t num_flows(void)
{
	struct store_saved saved;
	size_t n;

	if (store_load_file(sample_dir, &saved, why) < 0)
		abort();
	n = saved.bad_records ? SIZE_MAX : saved.num_flows;
	store_saved_free(&saved);
	return n;
}

static void test_grows(void)
{
	struct store_peer p = sample_peer(0);
	struct store *s;
	off_t at_first;

	begin("size=4m");
	s = create();
	at_first = taken();
	CHECK("a chunk of each table at first", at_first > 0 && at_first <= 4 * 65536);
	CHECK("a peer is there already", !store_peer_put(s, &p) && taken() == at_first);
	for (uint32_t slot = 1; slot <= 4096; slot++) {
		struct store_flow f = flow(0, slot);

		if (!store_flow_put(s, &f) || !store_flow_hot(s, 0, slot))
			CHECK("put", false);
	}
	CHECK("what they take: half a MiB and the ends of chunks",
	      taken() - at_first >= 4096 * 128 - 65536 && taken() - at_first <= 4096 * 128 + 2 * 65536);
	CHECK("all there", num_flows() == 4096 && !store_lacks(s));
	CHECK("reading takes nothing", taken() - at_first <= 4096 * 128 + 2 * 65536);
	store_flow_clear(s, 1, 4000);
	CHECK("nor does clearing what is not there", taken() - at_first <= 4096 * 128 + 2 * 65536);
	store_close(s);
	end();
}

static void test_full(void)
{
	struct store_peer p = sample_peer(0);
	struct path *paths[100];
	unsigned int kept = 0, refused = 0, again = 0;
	uint32_t i;
	struct store *s;

	begin("size=256k");
	s = create();
	CHECK("peer", !store_peer_put(s, &p));
	for (uint32_t slot = 1; slot <= 4096; slot++) {
		struct store_flow f = flow(0, slot);
		bool put = store_flow_put(s, &f);

		kept += put;
		refused += !put;
		if (!put && slot == 4096) {
			CHECK("no place for the worker either", !store_flow_hot(s, 0, slot));
			refused++;
		}
	}
	CHECK("some are kept, most are not", kept > 500 && kept < 2000);
	CHECK("each is counted", store_lacks(s) == refused && store_lack_error(s) == -ENOSPC);
	CHECK("what was kept is there", num_flows() == kept);
	for (i = 0; i < 100; i++) {
		paths[i] = sample_path(i, true, 64513, 20, 20, 20);
		again += store_path_put(s, paths[i], true) == STORE_NONE;
	}
	CHECK("paths neither", again && store_lacks(s) == refused + again);
	store_flow_clear(s, 0, 4096); /* never there */
	CHECK("still full", !store_retry(s) && store_lacks(s) == refused + again);

	resize("size=320k");
	CHECK("a little room", store_retry(s) && !store_lacks(s));
	resize("size=2m");
	CHECK("while nothing was asked for in vain since", store_retry(s));
	for (uint32_t slot = 1; slot <= 4096; slot++) {
		struct store_flow f = flow(0, slot);

		if (!store_flow_put(s, &f))
			CHECK("put once more", false);
	}
	for (uint32_t slot = 1; slot <= 4096; slot++) {
		struct store_flow f = flow(1, slot);

		if (!store_flow_put(s, &f))
			CHECK("and others", false);
	}
	CHECK("all there", num_flows() == 8192 && !store_lacks(s));
	CHECK("nothing to try again", !store_retry(s));
	store_close(s);
	for (i = 0; i < 100; i++)
		path_put(paths[i]);
	end();
}

static void test_full_at_start(void)
{
	struct store_host host = sample_host();
	struct store *s = NULL;
	char name[128];

	begin("size=32k");
	CHECK("refused", store_create(sample_dir, &shape, &host, &s, why) == -ENOSPC && !s);
	CHECK("says so", strstr(why, "flows.new") && strstr(why, "No space left"));
	snprintf(name, sizeof(name), "%s/" STORE_FILE ".new", sample_dir);
	CHECK("leaves nothing", access(name, F_OK) < 0);
	end();
}

static void test_file_size_limit(void)
{
	struct store_host host = sample_host();
	struct rlimit was, small;
	struct store *s = NULL;

	sample_begin();
	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &was))
		abort();
	small = was;
	small.rlim_cur = 65536;
	CHECK("limited", !setrlimit(RLIMIT_FSIZE, &small));
	CHECK("refused", store_create(sample_dir, &shape, &host, &s, why) == -EFBIG && !s);
	CHECK("no longer limited", !setrlimit(RLIMIT_FSIZE, &was));
	sample_end();
}

/* Killed while it made its file: the next one begins anew. */
static void test_left_over(void)
{
	struct store_host host = sample_host();
	struct store_saved saved;
	struct store *s = NULL, *t = NULL;

	begin("size=1m");
	CHECK("made", !store_create(sample_dir, &shape, &host, &s, why));
	CHECK("made over it", !store_create(sample_dir, &shape, &host, &t, why));
	CHECK("the second counts", !store_publish(t, why) && store_publish(s, why) == -ENOENT && *why);
	CHECK("there", !store_load_file(sample_dir, &saved, why));
	store_saved_free(&saved);
	store_close(s);
	store_close(t);
	store_forget(sample_dir);
	CHECK("nothing is left", store_load_file(sample_dir, &saved, why) == -ENOENT);
	end();
}

const struct unit_test unit_tests[] = {
	{ "chunks", test_grows },
	{ "a disk that gets full", test_full },
	{ "a full disk", test_full_at_start },
	{ "a limit of the file size", test_file_size_limit },
	{ "a file that was never published", test_left_over },
	{ 0 },
};
