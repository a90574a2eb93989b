/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* An answer is sent at once or not at all: nobody may stop the links by not reading. */
#define SEND_BUFFER_BYTES (1 << 20)

struct client {
	struct loop_source source;
	struct control *control;
	size_t len;
	char line[CONTROL_LINE_BYTES];
};

struct control {
	struct loop_source source;
	struct loop *loop;
	json_t *(*answer)(void *ctx, const json_t *request);
	void *ctx;
	struct client clients[CONTROL_MAX_CLIENTS];
	char path[108];
};

static void drop(struct client *client)
{
	loop_remove(client->control->loop, &client->source);
	close(client->source.fd);
	client->source.fd = -1;
}

/* Return: whether the client got its answer. */
static bool reply(struct client *client, const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, 0, NULL), *answer;
	size_t bytes;
	char *text;
	bool sent;

	answer = client->control->answer(client->control->ctx, request);
	json_decref(request);
	text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	json_decref(answer);
	if (!text)
		return false;
	bytes = strlen(text);
	text[bytes++] = '\n'; /* in place of its end */
	sent = send(client->source.fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes;
	free(text);
	return sent;
}

static void on_request(struct loop_source *source, uint64_t now_ns)
{
	struct client *client = (struct client *)((char *)source - offsetof(struct client, source));
	ssize_t n = recv(source->fd, client->line + client->len, sizeof(client->line) - client->len, MSG_DONTWAIT);
	char *end;

	(void)now_ns;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(client);
		return;
	}
	client->len += n;
	while ((end = memchr(client->line, '\n', client->len))) {
		size_t len = end + 1 - client->line;

		if (!reply(client, client->line, len)) {
			drop(client);
			return;
		}
		client->len -= len;
		memmove(client->line, end + 1, client->len);
	}
	if (client->len == sizeof(client->line))
		drop(client); /* a line without end */
}

static void on_connection(struct loop_source *source, uint64_t now_ns)
{
	struct control *control = (struct control *)((char *)source - offsetof(struct control, source));
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), size = SEND_BUFFER_BYTES;
	struct client *client = control->clients;

	(void)now_ns;
	if (fd < 0)
		return;
	while (client < control->clients + CONTROL_MAX_CLIENTS && client->source.fd >= 0)
		client++;
	if (client == control->clients + CONTROL_MAX_CLIENTS) {
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	client->len = 0;
	client->source = (struct loop_source){ .fd = fd, .readable = on_request };
	if (loop_add(control->loop, &client->source) < 0) {
		close(fd);
		client->source.fd = -1;
	}
}

static int listen_on(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	strcpy(addr.sun_path, path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0600) < 0 || listen(fd, 16) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int control_open(struct loop *loop, const char *path, json_t *(*answer)(void *ctx, const json_t *request), void *ctx,
		 struct control **out)
{
	struct control *control;
	int fd, err;

	if (strlen(path) >= sizeof(control->path))
		return -ENAMETOOLONG;
	control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		control->clients[i].source.fd = -1;
		control->clients[i].control = control;
	}
	control->loop = loop;
	control->answer = answer;
	control->ctx = ctx;
	strcpy(control->path, path);
	fd = listen_on(path);
	err = fd;
	if (fd < 0)
		goto free_control;
	control->source = (struct loop_source){ .fd = fd, .readable = on_connection };
	err = loop_add(loop, &control->source);
	if (err < 0)
		goto close_fd;
	*out = control;
	return 0;
close_fd:
	close(fd);
	unlink(path);
free_control:
	free(control);
	return err;
}

void control_close(struct control *control)
{
	if (!control)
		return;
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++)
		if (control->clients[i].source.fd >= 0)
			drop(&control->clients[i]);
	loop_remove(control->loop, &control->source);
	close(control->source.fd);
	unlink(control->path);
	free(control);
}
