/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"
#include "shila/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Named namespaces as iproute2 makes them, so that `ip netns exec`, `ip -n` and nsenter work: a
 * file under /run/netns with the namespace bind-mounted on it. /run/netns is a shared mount of
 * itself, so that the names reach other mount namespaces. The directory is locked meanwhile, as
 * newer iproute2 does it, because two programs that make it a mount at once would stack two mounts.
 *
 * A crash between making the file and mounting leaves an empty file: it is taken over. Who has to know what
 * is his after a crash writes it down before that (netns_open_noted()).
 */

#define RUN_DIR "/run/netns"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* since Linux 5.14 */
#endif

int netns_why(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, NETNS_WHY_LEN, fmt, ap);
	va_end(ap);
	return err;
}

static int open_current(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int netns_enter(const struct netns *ns)
{
	int old = open_current();

	if (old < 0)
		return old;
	if (ns->fd >= 0 && setns(ns->fd, CLONE_NEWNET) < 0) {
		int err = -errno;

		close(old);
		return err;
	}
	return old;
}

/* Whether @fd is the namespace that this thread is in: then there is nothing to leave, and no right
 * needed. */
static bool is_current(int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat("/proc/thread-self/ns/net", &b) && a.st_ino == b.st_ino;
}

void netns_leave(int old_fd)
{
	if (!is_current(old_fd) && setns(old_fd, CLONE_NEWNET) < 0) {
		/* Whatever came next would be done to the wrong namespace. */
		log_error("cannot return to my network namespace: %s", strerror(errno));
		abort();
	}
	close(old_fd);
}

/* Fill in what identifies the namespace behind ns->fd. */
static int identify(struct netns *ns, char *why)
{
	socklen_t len = sizeof(ns->cookie);
	struct stat st;
	int old, sock, err = 0;

	old = netns_enter(ns);
	if (old < 0)
		return netns_why(why, old, "cannot enter network namespace '%s': %s", ns->name,
				 strerror(-old));
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &ns->cookie, &len) < 0 ||
	    stat("/proc/thread-self/ns/net", &st) < 0)
		err = netns_why(why, -errno, "cannot identify network namespace '%s': %s", ns->name,
				strerror(errno));
	else
		ns->inode = st.st_ino;
	if (sock >= 0)
		close(sock);
	netns_leave(old);
	return err;
}

static bool name_is_valid(const char *name)
{
	return strlen(name) < sizeof(((struct netns *)0)->name) && !strchr(name, '/') &&
	       strcmp(name, ".") && strcmp(name, "..");
}

static void path_of(const char *name, char *path, size_t size)
{
	snprintf(path, size, RUN_DIR "/%s", name);
}

/* Make /run/netns, lock it and have it a shared mount. Return: descriptor that holds the lock. */
static int lock_run_dir(char *why)
{
	bool mounted = false;
	int fd, err;

	if (mkdir(RUN_DIR, 0755) < 0 && errno != EEXIST)
		return netns_why(why, -errno, "cannot make " RUN_DIR ": %s", strerror(errno));
	fd = open(RUN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		goto failed;
	while (mount("", RUN_DIR, "none", MS_SHARED | MS_REC, NULL) < 0) {
		if (errno != EINVAL || mounted) /* EINVAL: not a mount yet */
			goto failed;
		if (mount(RUN_DIR, RUN_DIR, "none", MS_BIND | MS_REC, NULL) < 0)
			goto failed;
		mounted = true;
	}
	return fd;
failed:
	err = netns_why(why, -errno, "cannot prepare " RUN_DIR ": %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

/**
 * open_name() - Open the namespace of a name.
 * Return: a descriptor; -ENOENT if there is no such name, or one without a namespace behind it;
 * -EEXIST if there is something that is not ours to use.
 */
static int open_name(const char *path, char *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return netns_why(why, -errno, "cannot open %s: %s", path, strerror(errno));
	if (ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET)
		return fd;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_size) {
		close(fd);
		return netns_why(why, -ENOENT, "%s has no namespace", path);
	}
	close(fd);
	return netns_why(why, -EEXIST, "%s is not a network namespace; remove it", path);
}

/* What somebody writes down of a new namespace. */
struct note {
	int (*fn)(void *ctx, const struct netns *ns, char *why); /* NULL: nobody does */
	void *ctx;
};

/* An empty file, and the namespace of this thread on it. */
static int mount_current(const char *path, char *why)
{
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444), err;

	if (fd < 0)
		return netns_why(why, -errno, "cannot make %s: %s", path, strerror(errno));
	close(fd);
	if (!mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL))
		return 0;
	err = netns_why(why, -errno, "cannot mount a namespace on %s: %s", path, strerror(errno));
	unlink(path);
	return err;
}

/* The new namespace exists as long as this thread is in it, and from the mount on by its name. @ns has no descriptor. */
static int mount_new(const char *path, struct netns *ns, const struct note *note, char *why)
{
	int old = open_current(), err = 0;

	if (old < 0)
		return netns_why(why, old, "cannot open my network namespace: %s", strerror(-old));
	if (unshare(CLONE_NEWNET) < 0) {
		err = netns_why(why, -errno, "cannot make a network namespace: %s (needs root)",
				strerror(errno));
		close(old);
		return err;
	}
	if (note->fn)
		err = identify(ns, why);
	if (note->fn && !err)
		err = note->fn(note->ctx, ns, why);
	if (!err)
		err = mount_current(path, why);
	netns_leave(old);
	return err;
}

/*
 * In a mount namespace of its own (a hardened unit, `ip netns exec`) the daemon works, but nobody
 * else sees its names.
 */
static void warn_if_hidden(const char *path)
{
	struct stat mine, init;

	if (!stat("/proc/thread-self/ns/mnt", &mine) && !stat("/proc/1/ns/mnt", &init) &&
	    mine.st_ino != init.st_ino)
		log_warn("shilad runs in a mount namespace of its own, so `shila run` and `ip "
			 "netns` "
			 "cannot use %s from outside; start it with nsenter --net instead of "
			 "ip netns exec, or without PrivateMounts",
			 path);
}

/* Make the namespace unless another program was faster. Return: a descriptor. */
static int make_name(const char *path, struct netns *ns, const struct note *note, char *why)
{
	int lock, err;

	lock = lock_run_dir(why);
	if (lock < 0)
		return lock;
	err = open_name(path, why);
	if (err != -ENOENT)
		goto unlock;
	err = mount_new(path, ns, note, why);
	if (err < 0)
		goto unlock;
	err = open_name(path, why);
	ns->made = true;
	warn_if_hidden(path);
unlock:
	close(lock);
	return err;
}

/* @note: NULL: nothing is made */
static int open_or_make(const char *name, const struct note *note, struct netns *out, char *why)
{
	struct netns ns = { .fd = -1 };
	char path[sizeof(RUN_DIR) + sizeof(ns.name) + 1];
	int err;

	if (!name_is_valid(name))
		return netns_why(why, -EINVAL, "'%s' cannot be the name of a namespace", name);
	strcpy(ns.name, name);
	if (*name) {
		path_of(name, path, sizeof(path));
		ns.fd = open_name(path, why);
		if (ns.fd == -ENOENT && note) {
			ns.fd = -1;
			ns.fd = make_name(path, &ns, note, why);
		}
		if (ns.fd < 0)
			return ns.fd;
	}
	err = identify(&ns, why);
	if (err < 0) {
		char ignored[NETNS_WHY_LEN];

		if (ns.made)
			netns_remove(&ns, ignored);
		netns_close(&ns);
		return err;
	}
	*out = ns;
	return 0;
}

int netns_open(const char *name, struct netns *out, char *why)
{
	return open_or_make(name, &(struct note){ 0 }, out, why);
}

int netns_open_noted(const char *name, int (*note)(void *ctx, const struct netns *ns, char *why), void *ctx,
		     struct netns *out, char *why)
{
	return open_or_make(name, &(struct note){ note, ctx }, out, why);
}

int netns_find(const char *name, struct netns *out, char *why)
{
	return open_or_make(name, NULL, out, why);
}

void netns_close(struct netns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	ns->fd = -1;
}

int netns_remove(struct netns *ns, char *why)
{
	char path[sizeof(RUN_DIR) + sizeof(ns->name) + 1];
	struct stat st;
	int lock, fd, err = 0;

	if (!*ns->name)
		return netns_why(why, -EINVAL, "the daemon's own namespace cannot be removed");
	path_of(ns->name, path, sizeof(path));
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	lock = lock_run_dir(why);
	if (lock < 0)
		return lock;
	fd = open_name(path, why);
	if (fd >= 0) {
		if (!fstat(fd, &st) && st.st_ino != ns->inode)
			err = netns_why(why, -ESTALE, "%s is another namespace now", path);
		close(fd);
	} else if (fd != -ENOENT) {
		err = fd;
	}
	if (err)
		goto unlock;
	/* In the other order unlink() finds the name busy. EINVAL: nothing is mounted on it. */
	if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		err = netns_why(why, -errno, "cannot unmount %s: %s", path, strerror(errno));
	else if (unlink(path) < 0 && errno != ENOENT)
		err = netns_why(why, -errno, "cannot remove %s: %s", path, strerror(errno));
	else
		ns->made = false;
unlock:
	close(lock);
	return err;
}
