/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/state.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_VERSION 1

static char *file_name(const struct state *s, const char *name, char *buf)
{
	snprintf(buf, 160, "%s/%s", s->dir, name);
	return buf;
}

/* Like mkdir -p; nothing in it is secret. */
static int make_dir(const char *dir)
{
	char buf[108];

	snprintf(buf, sizeof(buf), "%s", dir);
	for (char *p = buf + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(buf, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(buf, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * What root writes there must be nobody else's to redirect: a directory of another user, or one that others
 * may write to, could lead owned.json by a symbolic link to any file.
 */
static int check_dir(const char *dir, char *why)
{
	struct stat st;

	if (lstat(dir, &st) < 0) {
		snprintf(why, STATE_WHY_LEN, "%s: %s", dir, strerror(errno));
		return -errno;
	}
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	snprintf(why, STATE_WHY_LEN, "%s %s: remove it, or set another `state`", dir,
		 S_ISLNK(st.st_mode)	    ? "is a symbolic link" :
		 !S_ISDIR(st.st_mode)	    ? "is not a directory" :
		 st.st_uid != geteuid() ? "belongs to another user" :
						  "can be written to by others");
	return -EPERM;
}

static void copy(char *out, size_t size, const json_t *v)
{
	const char *text = json_string_value(v);

	snprintf(out, size, "%s", text ? text : "");
}

static uint64_t number(const json_t *v)
{
	return (uint64_t)json_integer_value(v);
}

int state_parse(const json_t *o, struct state *s)
{
	json_t *v;
	size_t i;

	if (json_integer_value(json_object_get(o, "version")) != STATE_VERSION ||
	    json_string_length(json_object_get(o, "id")) != sizeof(s->id) - 1)
		return -EBADMSG;
	copy(s->id, sizeof(s->id), json_object_get(o, "id"));
	copy(s->control, sizeof(s->control), json_object_get(o, "control"));
	json_array_foreach(json_object_get(o, "namespaces"), i, v) {
		struct state_namespace *n = &s->namespaces[s->num_namespaces];

		if (s->num_namespaces == STATE_MAX_NAMESPACES)
			return -EBADMSG;
		copy(n->name, sizeof(n->name), json_object_get(v, "name"));
		n->inode = number(json_object_get(v, "inode"));
		n->cookie = number(json_object_get(v, "cookie"));
		s->num_namespaces++;
	}
	json_array_foreach(json_object_get(o, "devices"), i, v) {
		struct state_device *d = &s->devices[s->num_devices];

		if (s->num_devices == STATE_MAX_DEVICES)
			return -EBADMSG;
		copy(d->namespace, sizeof(d->namespace), json_object_get(v, "namespace"));
		copy(d->name, sizeof(d->name), json_object_get(v, "name"));
		s->num_devices++;
	}
	json_array_foreach(json_object_get(o, "worker_ports"), i, v) {
		if (s->num_ports == CONFIG_MAX_WORKERS)
			return -EBADMSG;
		s->ports[s->num_ports++] = (uint16_t)number(v);
	}
	return 0;
}

/* Did another shilad remove the file (state_forget) between our opening and locking it? */
static bool lock_is_gone(int fd, const char *file)
{
	struct stat held, there;

	return fstat(fd, &held) < 0 || stat(file, &there) < 0 || held.st_ino != there.st_ino ||
	       held.st_dev != there.st_dev;
}

static int take_lock(const char *file, int *out)
{
	for (;;) {
		int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int err = -errno;

			close(fd);
			return err;
		}
		if (!lock_is_gone(fd, file)) {
			*out = fd;
			return 0;
		}
		close(fd); /* a lock on a file without a name keeps nobody out */
	}
}

static const char *remedy(int err)
{
	return err == -ENOSPC || err == -EDQUOT ? ": make room there, or set another `state` in the configuration" : "";
}

int state_open(const char *dir, struct state *out, char *why)
{
	struct state s = { .lock_fd = -1 };
	char file[160];
	json_error_t je;
	json_t *o;
	int err;

	snprintf(s.dir, sizeof(s.dir), "%s", dir);
	err = make_dir(dir);
	if (err < 0) {
		snprintf(why, STATE_WHY_LEN, "%s: %s (it is `state` in the configuration)", dir, strerror(-err));
		return err;
	}
	err = check_dir(dir, why);
	if (err < 0)
		return err;
	err = take_lock(file_name(&s, "lock", file), &s.lock_fd);
	if (err < 0) {
		if (err == -EWOULDBLOCK) {
			err = -EBUSY;
			snprintf(why, STATE_WHY_LEN,
				 "%s is in use by a running shilad: stop it (shila stop), or give this one "
				 "another `state` and `control`", dir);
		} else {
			snprintf(why, STATE_WHY_LEN, "%s: %s%s", file, strerror(-err), remedy(err));
		}
		goto close_lock;
	}
	o = json_load_file(file_name(&s, "owned.json", file), 0, &je);
	if (!o && access(file, F_OK) == 0) {
		err = -EBADMSG;
		snprintf(why, STATE_WHY_LEN, "%s:%d: %.40s", file,
			 je.line, je.text);
		goto close_lock;
	}
	if (o) {
		err = state_parse(o, &s);
		json_decref(o);
		if (err < 0) {
			snprintf(why, STATE_WHY_LEN, "%s was not written by this version of shilad", file);
			goto close_lock;
		}
	} else {
		uint64_t id = 0;

		if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
			err = -EIO;
			snprintf(why, STATE_WHY_LEN, "no random numbers");
			goto close_lock;
		}
		snprintf(s.id, sizeof(s.id), "%016llx", (unsigned long long)id);
	}
	*out = s;
	return 0;
close_lock:
	if (s.lock_fd >= 0)
		close(s.lock_fd);
	return err;
}

/* All of it, and on the disk before it gets its name: a machine that loses power must not leave an empty file. */
static int write_file(const char *file, const char *text, size_t len)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;

	if (fd < 0)
		return -errno;
	while (len && !err) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	return err;
}

/* NULL: no memory. */
static char *state_text(const struct state *s)
{
	json_t *o = json_object(), *ns = json_array(), *dev = json_array(), *ports = json_array();
	char *text = NULL;
	int bad = 0;

	for (size_t i = 0; i < s->num_namespaces; i++)
		bad |= json_array_append_new(ns, json_pack("{s:s, s:I, s:I}", "name", s->namespaces[i].name, "inode",
							   (json_int_t)s->namespaces[i].inode, "cookie",
							   (json_int_t)s->namespaces[i].cookie));
	for (size_t i = 0; i < s->num_devices; i++)
		bad |= json_array_append_new(dev, json_pack("{s:s, s:s}", "namespace", s->devices[i].namespace, "name",
							    s->devices[i].name));
	for (size_t i = 0; i < s->num_ports; i++)
		bad |= json_array_append_new(ports, json_integer(s->ports[i]));
	bad |= json_object_set_new(o, "version", json_integer(STATE_VERSION));
	bad |= json_object_set_new(o, "id", json_string(s->id));
	bad |= json_object_set_new(o, "control", json_string(s->control));
	bad |= json_object_set_new(o, "namespaces", ns);
	bad |= json_object_set_new(o, "devices", dev);
	bad |= json_object_set_new(o, "worker_ports", ports);
	if (!bad)
		text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	return text;
}

int state_save(const struct state *s, char *why)
{
	char file[160], tmp[160], *text = state_text(s);
	int err = text ? 0 : -ENOMEM;

	file_name(s, "owned.json.new", tmp);
	/* Whole or not at all: a crash in between leaves the old one. */
	if (!err)
		err = write_file(tmp, text, strlen(text));
	if (!err && rename(tmp, file_name(s, "owned.json", file)) < 0)
		err = -errno;
	if (err < 0) {
		snprintf(why, STATE_WHY_LEN, "%s: cannot be written: %s%s", tmp, strerror(-err), remedy(err));
		unlink(tmp);
	}
	free(text);
	return err;
}

void state_set_aside(const char *dir)
{
	char from[160], to[176];

	snprintf(from, sizeof(from), "%s/owned.json", dir);
	snprintf(to, sizeof(to), "%s.refused", from);
	rename(from, to);
}

void state_forget(struct state *s)
{
	static const char *const names[] = { "owned.json.new", "owned.json.refused", "owned.json", "lock" };
	char file[160];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(file_name(s, names[i], file));
	rmdir(s->dir);
}

void state_close(struct state *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
}

bool state_made(const struct state *s, const char *name, uint64_t inode, uint64_t cookie)
{
	for (size_t i = 0; i < s->num_namespaces; i++)
		if (!strcmp(s->namespaces[i].name, name) && s->namespaces[i].inode == inode &&
		    s->namespaces[i].cookie == cookie)
			return true;
	return false;
}

void state_add_namespace(struct state *s, const char *name, uint64_t inode, uint64_t cookie)
{
	struct state_namespace *n = NULL;

	for (size_t i = 0; i < s->num_namespaces; i++)
		if (!strcmp(s->namespaces[i].name, name))
			n = &s->namespaces[i];
	if (!n && s->num_namespaces < STATE_MAX_NAMESPACES)
		n = &s->namespaces[s->num_namespaces++];
	if (!n)
		return;
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->inode = inode;
	n->cookie = cookie;
}

void state_add_device(struct state *s, const char *ns, const char *name)
{
	struct state_device *d;

	for (size_t i = 0; i < s->num_devices; i++)
		if (!strcmp(s->devices[i].namespace, ns) && !strcmp(s->devices[i].name, name))
			return;
	if (s->num_devices == STATE_MAX_DEVICES)
		return;
	d = &s->devices[s->num_devices++];
	snprintf(d->namespace, sizeof(d->namespace), "%s", ns);
	snprintf(d->name, sizeof(d->name), "%s", name);
}
