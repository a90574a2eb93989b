/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CALL_TIMEOUT_S        10 /* without a single byte */
#define CALL_MAX_ANSWER_BYTES (256u << 20)
#define CALL_ID               1

__attribute__((format(printf, 3, 4))) static int fail(int err, char *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, CALL_WHY_LEN, fmt, args);
	va_end(args);
	return err;
}

static int connect_failed(int err, const char *control, char *why)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
	case -ECONNREFUSED:
		return fail(err, why,
			    "no shilad answers on %s: start it with `shilad --config FILE`, or "
			    "name its "
			    "socket with --control",
			    control);
	case -EACCES:
	case -EPERM:
		return fail(err, why,
			    "no permission for %s: it is open to the user who started shilad only, "
			    "use sudo",
			    control);
	case -EAGAIN:
		return fail(err, why, "shilad on %s is too busy to answer, try again", control);
	default:
		return fail(err, why, "cannot connect to %s: %s", control, strerror(-err));
	}
}

/* check_server() - Who listens there decides what `shila run` does as root: root or ourselves only. */
static int check_server(int fd, const char *control, char *why)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return fail(-errno, why, "%s: %s", control, strerror(errno));
	if (peer.uid != 0 && peer.uid != geteuid())
		return fail(-EPERM, why, "%s is served by user %u, who is neither root nor you: not used", control,
			    (unsigned int)peer.uid);
	return 0;
}

int call_open(const char *control, char *why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = CALL_TIMEOUT_S };
	int fd, err;

	if (!*control || strlen(control) >= sizeof(addr.sun_path))
		return fail(-ENAMETOOLONG, why,
			    "--control %s: a socket's path has 1 to %zu characters", control,
			    sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, control);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(-errno, why, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		err = connect_failed(-errno, control, why);
		close(fd);
		return err;
	}
	err = check_server(fd, control, why);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

static int send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= n;
	}
	return 0;
}

static int send_request(int fd, const char *method, json_t *params)
{
	json_t *root = json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", CALL_ID, "method",
				 method, "params", params);
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	int err = -ENOMEM;

	if (text) {
		err = send_all(fd, text, strlen(text));
		if (!err)
			err = send_all(fd, "\n", 1);
	}
	free(text);
	json_decref(root);
	return err;
}

/* read_line() - The answer without its line feed, to free(). */
static int read_line(int fd, char **out, size_t *len)
{
	size_t used = 0, size = 0;
	char *buf = NULL, *more, *end;
	int err;

	for (;;) {
		ssize_t n;

		if (used == size) {
			err = -EMSGSIZE;
			if (size >= CALL_MAX_ANSWER_BYTES)
				goto free_buf;
			size = size ? 2 * size : 65536;
			err = -ENOMEM;
			more = realloc(buf, size);
			if (!more)
				goto free_buf;
			buf = more;
		}
		n = recv(fd, buf + used, size - used, 0);
		if (n < 0 && errno == EINTR)
			continue;
		err = n < 0 ? -errno : -ECONNRESET;
		if (n <= 0)
			goto free_buf;
		end = memchr(buf + used, '\n', n);
		used += n;
		if (end) {
			*out = buf;
			*len = end - buf;
			return 0;
		}
	}
free_buf:
	free(buf);
	return err;
}

static int exchange_failed(int err, const char *control, char *why)
{
	switch (err) {
	case -EAGAIN:
		return fail(-ETIMEDOUT, why, "shilad on %s did not answer for %d s", control,
			    CALL_TIMEOUT_S);
	case -ECONNRESET:
	case -EPIPE:
		return fail(err, why, "shilad on %s closed the connection before it answered",
			    control);
	case -EMSGSIZE:
		return fail(err, why, "shilad on %s sent an answer larger than %u MiB", control,
			    CALL_MAX_ANSWER_BYTES >> 20);
	default:
		return fail(err, why, "%s: %s", control, strerror(-err));
	}
}

/* take_result() - The result out of an answer, which is not trusted. */
static int take_result(const char *control, const char *line, size_t len, json_type type,
		       json_t **result, char *why)
{
	json_t *root = json_loadb(line, len, 0, NULL);
	const json_t *id = json_object_get(root, "id");
	const char *version = json_string_value(json_object_get(root, "jsonrpc"));
	const json_t *error = json_object_get(root, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	json_t *value = json_object_get(root, "result");
	bool ours = version && !strcmp(version, "2.0");
	int err = 0;

	/* An error without an id is about what could not be read as a request, or about too many
	 * clients. */
	if (ours && message && (json_is_null(id) || json_integer_value(id) == CALL_ID))
		err = fail(-EREMOTEIO, why, "shilad: %s", message);
	else if (!ours || json_integer_value(id) != CALL_ID || !value || json_typeof(value) != type)
		err = fail(-EPROTO, why,
			   "what answers on %s is no shilad, or one of another version", control);
	else
		*result = json_incref(value);
	json_decref(root);
	return err;
}

int call_send(int fd, const char *control, const char *method, json_t *params, json_type type,
	      json_t **result, char *why)
{
	char *line = NULL;
	size_t len = 0;
	int err = send_request(fd, method, params);

	/* One that refuses at once (too many clients) may have closed before we wrote: its reason
	 * is there. */
	if (!err || err == -EPIPE)
		err = read_line(fd, &line, &len);
	if (err < 0)
		return exchange_failed(err, control, why);
	err = take_result(control, line, len, type, result, why);
	free(line);
	return err;
}

int call(const char *control, const char *method, json_t *params, json_type type, json_t **result,
	 char *why)
{
	int fd = call_open(control, why), err;

	if (fd < 0) {
		json_decref(params);
		return fd;
	}
	err = call_send(fd, control, method, params, type, result, why);
	close(fd);
	return err;
}
