/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an earlier daemon left, read from the bytes of its file. A change that a kill cut short is undone while
 * reading: the undo slot lies over the bytes it was taken from, the file itself stays as it is.
 */
#include "shila/store/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
	const uint8_t *bytes;
	size_t len;
	const uint8_t *undo_bytes; /* NULL: there is nothing to undo */
	uint64_t undo_at;
	uint32_t undo_len;
	struct store_place place;
};

/* Bytes @at.. of the file, as they were before a change that was cut short. */
static void fetch(const struct file *f, uint64_t at, void *out, size_t len)
{
	uint64_t from, to;

	memcpy(out, f->bytes + at, len);
	if (!f->undo_bytes)
		return;
	from = at > f->undo_at ? at : f->undo_at;
	to = at + len < f->undo_at + f->undo_len ? at + len : f->undo_at + f->undo_len;
	if (from < to)
		memcpy((uint8_t *)out + (from - at), f->undo_bytes + (from - f->undo_at), to - from);
}

/* Return: false if the slot is in use and damaged, so that a record may be torn (its check tells). */
static bool find_undo(struct file *f)
{
	struct disk_undo u;

	memcpy(&u, f->bytes + STORE_UNDO_AT, sizeof(u));
	if (!u.valid)
		return true;
	if (u.valid != 1 || !u.len || u.len > sizeof(u.bytes) || u.at > f->len || u.len > f->len - u.at ||
	    u.check != store_check((uint32_t)u.at, u.len, u.bytes, u.len))
		return false;
	f->undo_bytes = f->bytes + STORE_UNDO_AT + offsetof(struct disk_undo, bytes);
	f->undo_at = u.at;
	f->undo_len = u.len;
	return true;
}

/* ---- header ---- */

static int bad(char *why, const char *sentence)
{
	snprintf(why, STORE_WHY_LEN, "%s", sentence);
	return -EBADMSG;
}

static int load_header(struct file *f, struct store_saved *out, char *why)
{
	struct disk_header h;

	if (f->len < STORE_TABLES_AT)
		return bad(why, f->len < sizeof(h.magic) || memcmp(f->bytes, STORE_MAGIC, sizeof(h.magic)) ?
				"it is not a state file of shila" : "it is cut off in its header");
	memcpy(&h, f->bytes, sizeof(h));
	if (memcmp(h.magic, STORE_MAGIC, sizeof(h.magic)))
		return bad(why, "it is not a state file of shila");
	if (h.byte_order == __builtin_bswap32(STORE_BYTE_ORDER))
		return bad(why, "it was written by a machine with another byte order");
	if (h.byte_order != STORE_BYTE_ORDER)
		return bad(why, "its header is damaged");
	if (h.version < STORE_OLDEST || h.version > STORE_VERSION) {
		snprintf(why, STORE_WHY_LEN, "it has layout version %" PRIu32 ", this shilad reads %d to %d", h.version,
			 STORE_OLDEST, STORE_VERSION);
		return -EPROTONOSUPPORT;
	}
	out->bad_records += !find_undo(f);
	fetch(f, 0, &h, sizeof(h));
	if (store_header_parse(&h, &out->shape, &out->host) < 0 || store_place_of(&out->shape, &f->place) < 0)
		return bad(why, "its header is damaged");
	if (f->place.size != f->len) {
		snprintf(why, STORE_WHY_LEN, "it is %zu bytes long, and %" PRIu64 " by its header", f->len,
			 f->place.size);
		return -EBADMSG;
	}
	out->version = h.version;
	return 0;
}

/* ---- tables ---- */

/* A set of numbers that are looked up by a hash; open addressing, at most half full. */
struct index {
	uint32_t *at; /* number + 1; 0: empty */
	uint32_t mask;
};

static int index_init(struct index *x, size_t n)
{
	uint32_t size = 16;

	while (size < 2 * n)
		size *= 2;
	x->at = calloc(size, sizeof(*x->at));
	x->mask = size - 1;
	return x->at ? 0 : -ENOMEM;
}

static int load_peers(const struct file *f, struct store_saved *out)
{
	struct index seen;

	out->num_peers = out->shape.peers;
	out->peers = calloc(out->num_peers, sizeof(*out->peers));
	if (!out->peers || index_init(&seen, out->num_peers) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < out->num_peers; i++) {
		struct store_peer *p = &out->peers[i];
		struct disk_peer d;
		uint32_t h;
		int err;

		fetch(f, store_peer_at(&f->place, i), &d, sizeof(d));
		err = store_peer_parse(&d, i, p);
		if (err <= 0) {
			out->bad_records += err < 0;
			continue;
		}
		h = store_check((uint32_t)d.ia, (uint32_t)(d.ia >> 32), d.host, sizeof(d.host));
		while (seen.at[h & seen.mask] && !scion_addr_eq(&out->peers[seen.at[h & seen.mask] - 1].addr, &p->addr))
			h++;
		if (seen.at[h & seen.mask]) { /* a second record of one peer */
			memset(p, 0, sizeof(*p));
			out->bad_records++;
		} else {
			seen.at[h & seen.mask] = i + 1;
		}
	}
	free(seen.at);
	return 0;
}

static int load_paths(const struct file *f, struct store_saved *out)
{
	out->num_paths = out->shape.paths;
	out->paths = calloc(out->num_paths, sizeof(*out->paths));
	if (!out->paths)
		return -ENOMEM;
	for (uint32_t i = 0; i < out->num_paths; i++) {
		struct disk_path d;
		int err;

		fetch(f, store_path_at(&f->place, i), &d, sizeof(d));
		err = store_path_parse(&d, i, &out->paths[i].path, &out->paths[i].in_set);
		if (err == -ENOMEM)
			return err;
		out->bad_records += err < 0;
	}
	return 0;
}

static bool refers_well(const struct store_saved *s, const struct store_flow *f)
{
	return f->key.side < s->host.num_sides && f->peer < s->num_peers && s->peers[f->peer].addr.host.len &&
	       (f->path == STORE_NONE || (f->path < s->num_paths && s->paths[f->path].path &&
					  s->paths[f->path].path->dst_ia.v == s->peers[f->peer].addr.ia.v));
}

/* Two records of one key can be if the daemon was killed while one took the other's place. */
static bool is_newer(const struct store_flow *a, const struct store_flow *b)
{
	bool over_a = a->state == FLOW_LINGER, over_b = b->state == FLOW_LINGER;

	return over_a != over_b ? over_b : a->created_ms > b->created_ms;
}

static int drop_doubles(struct store_saved *out)
{
	struct index seen;
	size_t n = 0;

	if (index_init(&seen, out->num_flows) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < out->num_flows; i++) {
		uint32_t h = flow_key_hash(&out->flows[i].key, out->host.boot_id), *at = &seen.at[h & seen.mask];

		while (*at && !flow_key_eq(&out->flows[*at - 1].key, &out->flows[i].key))
			at = &seen.at[++h & seen.mask];
		if (*at) {
			bool newer = is_newer(&out->flows[i], &out->flows[*at - 1]);

			out->flows[newer ? *at - 1 : i].state = FLOW_NONE;
			out->bad_records++;
			if (!newer)
				continue;
		}
		*at = (uint32_t)i + 1;
	}
	free(seen.at);
	for (size_t i = 0; i < out->num_flows; i++)
		if (out->flows[i].state != FLOW_NONE)
			out->flows[n++] = out->flows[i];
	out->num_flows = n;
	return 0;
}

static int load_flows(const struct file *f, struct store_saved *out)
{
	size_t cap = 0;

	for (uint8_t w = 0; w < out->shape.workers; w++) {
		for (uint32_t slot = 0; slot <= out->shape.flows; slot++) {
			struct store_flow flow;
			struct disk_flow d;
			int err;

			fetch(f, store_flow_at(&f->place, w, slot), &d, sizeof(d));
			err = store_flow_parse(&d, out->version, w, slot, &flow);
			if (!err)
				continue;
			if (err < 0 || !slot || !refers_well(out, &flow)) {
				out->bad_records++;
				continue;
			}
			if (out->num_flows == cap) {
				struct store_flow *more;

				cap = cap ? 2 * cap : 64;
				more = realloc(out->flows, cap * sizeof(*more));
				if (!more)
					return -ENOMEM;
				out->flows = more;
			}
			out->flows[out->num_flows++] = flow;
		}
	}
	return drop_doubles(out);
}

int store_load(const uint8_t *bytes, size_t len, struct store_saved *out, char *why)
{
	struct file f = { .bytes = bytes, .len = len };
	struct store_saved s = { 0 };
	int err;

	*why = '\0';
	err = load_header(&f, &s, why);
	if (err < 0)
		return err;
	err = load_peers(&f, &s);
	if (!err)
		err = load_paths(&f, &s);
	if (!err)
		err = load_flows(&f, &s);
	if (err < 0) {
		snprintf(why, STORE_WHY_LEN, "%s", strerror(-err));
		store_saved_free(&s);
		return err;
	}
	*out = s;
	return 0;
}

void store_saved_free(struct store_saved *s)
{
	for (size_t i = 0; s->paths && i < s->num_paths; i++)
		path_put(s->paths[i].path);
	free(s->peers);
	free(s->paths);
	free(s->flows);
	memset(s, 0, sizeof(*s));
}

/* ---- files ---- */

static uint64_t largest_file(void)
{
	struct store_shape most = { STORE_MAX_WORKERS, STORE_MAX_TABLE - 1, STORE_MAX_TABLE, STORE_MAX_TABLE };
	struct store_place place;

	return store_place_of(&most, &place) < 0 ? 0 : place.size;
}

/*
 * The parts of a sparse file that are there, into memory that is zero. Reading a mapping of it instead would
 * allocate its holes on a tmpfs, and end in SIGBUS where there is no room for them.
 */
static int read_parts(int fd, uint8_t *bytes, off_t len)
{
	for (off_t at = 0; at < len;) {
		off_t end, data = lseek(fd, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			return 0; /* a hole up to the end */
		end = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (end < 0)
			return -errno;
		if (end > len)
			end = len;
		for (at = data; at < end;) {
			ssize_t n = pread(fd, bytes + at, (size_t)(end - at), at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 ? -errno : -EBADMSG; /* it shrinks */
			at += n;
		}
	}
	return 0;
}

int store_load_file(const char *dir, struct store_saved *out, char *why)
{
	char name[STORE_NAME_LEN];
	uint8_t *bytes = NULL;
	struct stat st;
	int fd, err = 0;

	*why = '\0';
	fd = open(store_file_name(name, dir, ""), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0) {
		err = -errno;
		goto say;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > largest_file()) {
		err = bad(why, "it is not a state file of shila");
		goto close_fd;
	}
	bytes = calloc(1, st.st_size ? (size_t)st.st_size : 1);
	if (!bytes)
		err = -ENOMEM;
	if (!err)
		err = read_parts(fd, bytes, st.st_size);
	if (err < 0)
		goto say;
	err = store_load(bytes, (size_t)st.st_size, out, why);
	goto free_bytes;
say:
	snprintf(why, STORE_WHY_LEN, "%s", err == -EBADMSG ? "it was cut off while it was read" : strerror(-err));
free_bytes:
	free(bytes);
close_fd:
	if (fd >= 0)
		close(fd);
	return err;
}

void store_set_aside(const char *dir)
{
	char from[STORE_NAME_LEN], to[STORE_NAME_LEN];

	rename(store_file_name(from, dir, ""), store_file_name(to, dir, ".refused"));
}

void store_forget(const char *dir)
{
	static const char *const ends[] = { "", ".new", ".refused" };
	char name[STORE_NAME_LEN];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		unlink(store_file_name(name, dir, ends[i]));
}
