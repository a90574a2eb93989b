/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The file of the running daemon. It has its full size from the start and is mapped whole, but its tables are a
 * hole until they are used: then a chunk is allocated first, because a write into the hole of a full disk is a
 * SIGBUS. What is not allocated is never touched.
 *
 * A record changes whole or not at all. Only a kill can cut a change short, and what the program stored before it
 * stays in the page cache in the order of the program. So the old bytes go to the undo slot, it is marked, the
 * record changes, the mark is taken away; a reader that finds the mark takes the old bytes.
 */
#include "shila/store/layout.h"
#include "shila/store/store_priv.h"

#include "shila/base/warm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK_HOLE, CHUNK_THERE, CHUNK_REFUSED };

/* ---- room ---- */

static int allocate(struct store *s, size_t chunk)
{
	off_t at = (off_t)chunk * STORE_CHUNK, len = STORE_CHUNK;
	int err;

	if (at + len > (off_t)s->place.size)
		len = (off_t)s->place.size - at;
	do
		err = posix_fallocate(s->fd, at, len);
	while (err == EINTR);
	s->chunks[chunk] = err ? CHUNK_REFUSED : CHUNK_THERE;
	if (!err && s->map)
		warm_up(s->map + at, (size_t)len); /* no worker waits for the disk when it writes there first */
	return -err;
}

/* What the first connections need, as far as there is room now. */
static void allocate_first(struct store *s)
{
	size_t first[2 + STORE_MAX_WORKERS] = { s->place.peers / STORE_CHUNK, s->place.paths / STORE_CHUNK };
	size_t n = 2;

	for (uint32_t w = 0; w < s->place.shape.workers; w++)
		first[n++] = store_flow_at(&s->place, (uint8_t)w, 1) / STORE_CHUNK;
	for (size_t i = 0; i < n; i++)
		if (s->chunks[first[i]] == CHUNK_HOLE && allocate(s, first[i]) < 0)
			s->chunks[first[i]] = CHUNK_HOLE; /* asked for again when it is needed */
}

bool store_lack(struct store *s, int err)
{
	s->lacks++;
	s->lack_error = err;
	return false;
}

static bool is_there(const struct store *s, uint64_t at, size_t len)
{
	for (size_t c = at / STORE_CHUNK; c <= (at + len - 1) / STORE_CHUNK; c++)
		if (s->chunks[c] != CHUNK_THERE)
			return false;
	return true;
}

bool store_room(struct store *s, uint64_t at, size_t len)
{
	for (size_t c = at / STORE_CHUNK; c <= (at + len - 1) / STORE_CHUNK; c++) {
		int err = 0;

		if (s->chunks[c] == CHUNK_THERE)
			continue;
		if (s->refused) /* the disk is asked again in store_retry() only */
			s->chunks[c] = CHUNK_REFUSED;
		else
			err = allocate(s, c);
		if (err)
			s->refused = err;
		if (s->refused)
			return store_lack(s, s->refused);
	}
	return true;
}

uint64_t store_lacks(const struct store *s)
{
	return s->lacks;
}

int store_lack_error(const struct store *s)
{
	return s->lack_error;
}

bool store_retry(struct store *s)
{
	bool better = table_has_room(&s->peers) || table_has_room(&s->paths);

	s->refused = 0;
	for (size_t c = 0; c < s->num_chunks && !s->refused; c++)
		if (s->chunks[c] == CHUNK_REFUSED) {
			s->refused = allocate(s, c);
			better = better || !s->refused;
		}
	if (s->refused)
		s->lack_error = s->refused;
	if (!better)
		return false;
	s->peers.was_full = s->paths.was_full = false;
	s->lacks = 0; /* all is put again, and counted again */
	return true;
}

/* ---- changes ---- */

static struct disk_undo *undo_of(struct store *s)
{
	return (struct disk_undo *)(s->map + STORE_UNDO_AT);
}

/* Stores of this thread reach the memory in their order, also seen by whoever comes after a kill. */
static void in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

void store_change(struct store *s, uint64_t at, const void *bytes, size_t len)
{
	struct disk_undo *u = undo_of(s);

	if (!memcmp(s->map + at, bytes, len))
		return;
	u->at = at;
	u->len = (uint32_t)len;
	memcpy(u->bytes, s->map + at, len);
	u->check = store_check((uint32_t)at, (uint32_t)len, u->bytes, len);
	in_order();
	__atomic_store_n(&u->valid, 1, __ATOMIC_RELEASE);
	in_order();
	memcpy(s->map + at, bytes, len);
	in_order();
	__atomic_store_n(&u->valid, 0, __ATOMIC_RELEASE);
	in_order();
}

/* ---- the file ---- */

static int fail(char *why, const char *what, const char *name, int err)
{
	snprintf(why, STORE_WHY_LEN, "%s: %s: %s", name, what, strerror(-err));
	return err;
}

int store_create(const char *dir, const struct store_shape *shape, const struct store_host *host, struct store **out,
		 char *why)
{
	struct store *s = calloc(1, sizeof(*s));
	char name[STORE_NAME_LEN];
	struct disk_header h;
	int err;

	store_file_name(name, dir, ".new");
	if (!s)
		return fail(why, "state file", name, -ENOMEM);
	s->fd = -1;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	if (store_place_of(shape, &s->place) < 0 || !store_header_build(shape, host, &h)) {
		err = fail(why, "sizes or host of the state file", name, -EINVAL);
		goto close_store;
	}
	s->num_chunks = (s->place.size + STORE_CHUNK - 1) / STORE_CHUNK;
	s->chunks = calloc(s->num_chunks, 1);
	if (!s->chunks || table_init(&s->peers, shape->peers) < 0 || table_init(&s->paths, shape->paths) < 0) {
		err = fail(why, "state file", name, -ENOMEM);
		goto close_store;
	}
	unlink(name); /* of a start that was cut short */
	s->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->fd < 0) {
		err = fail(why, "cannot be made", name, -errno);
		goto close_store;
	}
	if (ftruncate(s->fd, (off_t)s->place.size) < 0) {
		err = fail(why, "cannot be made as large as it has to be", name, -errno);
		goto unlink_file;
	}
	err = allocate(s, 0);
	if (err < 0) {
		fail(why, "no room on the disk", name, err);
		goto unlink_file;
	}
	s->map = mmap(NULL, s->place.size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		err = fail(why, "cannot be mapped", name, -errno);
		goto unlink_file;
	}
	warm_up(s->map, s->place.size < STORE_CHUNK ? s->place.size : STORE_CHUNK);
	allocate_first(s);
	memcpy(s->map, &h, sizeof(h));
	*out = s;
	return 0;
unlink_file:
	unlink(name);
close_store:
	store_close(s);
	return err;
}

int store_publish(struct store *s, char *why)
{
	char from[STORE_NAME_LEN], to[STORE_NAME_LEN];

	if (rename(store_file_name(from, s->dir, ".new"), store_file_name(to, s->dir, "")) < 0)
		return fail(why, "cannot be put in its place", from, -errno);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->map)
		munmap(s->map, s->place.size);
	if (s->fd >= 0)
		close(s->fd);
	table_fini(&s->peers);
	table_fini(&s->paths);
	free(s->chunks);
	free(s);
}

void store_set_host(struct store *s, const struct store_host *host)
{
	struct disk_header h;

	if (store_header_build(&s->place.shape, host, &h))
		store_change(s, STORE_HEADER_CHECKED, (uint8_t *)&h + STORE_HEADER_CHECKED, sizeof(h) - STORE_HEADER_CHECKED);
	else
		store_lack(s, -EINVAL);
}

/* ---- flows ---- */

static bool has_slot(const struct store *s, uint8_t worker, uint32_t slot)
{
	return worker < s->place.shape.workers && slot && slot <= s->place.shape.flows;
}

struct flow_hot *store_flow_hot(struct store *s, uint8_t worker, uint32_t slot)
{
	uint64_t at = store_flow_at(&s->place, worker, slot);

	assert(has_slot(s, worker, slot));
	if (!store_room(s, at, sizeof(struct disk_flow)))
		return NULL;
	return &((struct disk_flow *)(s->map + at))->hot;
}

bool store_flow_put(struct store *s, const struct store_flow *f)
{
	uint64_t at = store_flow_at(&s->place, f->worker, f->slot);
	struct disk_flow d;

	assert(has_slot(s, f->worker, f->slot));
	if (!store_flow_build(f, &d) || f->peer >= s->place.shape.peers ||
	    (f->path >= s->place.shape.paths && f->path != STORE_NONE)) {
		store_flow_clear(s, f->worker, f->slot);
		return store_lack(s, -EINVAL);
	}
	if (!store_room(s, at, sizeof(d)))
		return false;
	store_change(s, at, &d, STORE_FLOW_COLD);
	return true;
}

void store_flow_clear(struct store *s, uint8_t worker, uint32_t slot)
{
	static const struct disk_flow none;
	uint64_t at = store_flow_at(&s->place, worker, slot);

	assert(has_slot(s, worker, slot));
	if (is_there(s, at, sizeof(none)))
		store_change(s, at, &none, STORE_FLOW_COLD);
}
