/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/rpc_socket.h"

#include "shila/io/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int fail(int err, char *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, RPC_WHY_LEN, fmt, args);
	va_end(args);
	return err;
}

/* make_dir() - The folder of the socket, if it is missing. */
static int make_dir(struct rpc_socket *s, char *why)
{
	char dir[sizeof(s->addr.sun_path)], *slash;

	strcpy(dir, s->addr.sun_path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) == 0)
		s->made_dir = true;
	else if (errno != EEXIST)
		return fail(-errno, why, "cannot make the folder %s: %s", dir, strerror(errno));
	return 0;
}

static void remove_dir(const struct rpc_socket *s)
{
	char dir[sizeof(s->addr.sun_path)];

	if (!s->made_dir)
		return;
	strcpy(dir, s->addr.sun_path);
	*strrchr(dir, '/') = '\0';
	rmdir(dir); /* stays if somebody else put something there */
}

/* remove_stale() - Make way for the socket, unless somebody lives there. */
static int remove_stale(const struct sockaddr_un *addr, char *why)
{
	const char *path = addr->sun_path;
	struct stat st;
	int fd, err;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : fail(-errno, why, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail(-EEXIST, why,
			    "%s is there and not a socket: remove it or set control:", path);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(-errno, why, "%s: socket: %s", path, strerror(errno));
	err = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	close(fd);
	if (err == 0 || err == -EAGAIN) /* EAGAIN: its backlog is full */
		return fail(-EADDRINUSE, why,
			    "another daemon answers on %s: stop it or set another control:", path);
	if (err != -ECONNREFUSED && err != -ENOENT)
		return fail(err, why, "%s: %s", path, strerror(-err));
	if (unlink(path) < 0 && errno != ENOENT)
		return fail(-errno, why, "cannot remove the old %s: %s", path, strerror(errno));
	return 0;
}

/* bind_socket() - Return: descriptor or -errno. */
static int bind_socket(struct rpc_socket *s, char *why)
{
	const struct sockaddr_un *addr = &s->addr;
	struct stat st;
	int fd, err;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(-errno, why, "%s: socket: %s", addr->sun_path, strerror(errno));
	/*
	 * bind() gives the file the mode of the socket's own inode, less the umask. So it is never
	 * open to others, not even for a moment, and the umask of the process (shared with its
	 * threads) stays.
	 */
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		err = fail(-errno, why, "cannot make the control socket %s: %s", addr->sun_path,
			   strerror(errno));
		goto close_fd;
	}
	if (lstat(addr->sun_path, &st) < 0) {
		err = fail(-errno, why, "%s: %s", addr->sun_path, strerror(errno));
		goto close_fd;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return fd;
close_fd:
	close(fd);
	return err;
}

int rpc_socket_open(struct rpc_socket *s, const char *path, char *why)
{
	int ret;

	*s = (struct rpc_socket){ .addr.sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(s->addr.sun_path))
		return fail(-ENAMETOOLONG, why, "%s: a socket's path has 1 to 107 characters", path);
	strcpy(s->addr.sun_path, path);
	ret = make_dir(s, why);
	if (ret < 0)
		return ret;
	ret = remove_stale(&s->addr, why);
	if (ret == 0)
		ret = bind_socket(s, why);
	if (ret < 0)
		remove_dir(s);
	return ret;
}

void rpc_socket_remove(const struct rpc_socket *s)
{
	struct stat st;

	if (lstat(s->addr.sun_path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->addr.sun_path);
	remove_dir(s);
}
