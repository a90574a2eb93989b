/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/rpc.h"

#include "shila/io/rpc_request.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS 5000
#define MAX_CLIENTS 32

static char dir[64], path[96];

struct fixture {
	uv_loop_t loop;
	struct rpc *rpc;
	char why[RPC_WHY_LEN];
	int calls;
	unsigned int elements;
	bool closed;
};

static json_t *call_echo(void *ctx, const json_t *params, char *why)
{
	struct fixture *f = ctx;

	(void)why;
	f->calls++;
	return params ? json_incref((json_t *)params) : json_object();
}

static json_t *call_fail(void *ctx, const json_t *params, char *why)
{
	(void)ctx;
	(void)params;
	snprintf(why, RPC_WHY_LEN, "cannot: \xff is no UTF-8");
	return NULL;
}

static json_t *call_big(void *ctx, const json_t *params, char *why)
{
	json_t *array = json_array();
	struct fixture *f = ctx;

	(void)params;
	(void)why;
	f->calls++;
	for (int i = 0; i < 20000; i++)
		json_array_append_new(array, json_integer(1000000 + i));
	return array;
}

static void on_done(void *ctx)
{
	struct fixture *f = ctx;

	f->closed = true;
}

static json_t *call_stop(void *ctx, const json_t *params, char *why)
{
	struct fixture *f = ctx;

	(void)params;
	(void)why;
	rpc_close(f->rpc, on_done, f);
	f->rpc = NULL;
	return json_object();
}

/* A list of {"count"} numbers, that breaks off at {"fail"}. */
static json_t *next_number(void *ctx, const json_t *params, struct rpc_cursor *at, char *why)
{
	json_int_t count = json_integer_value(json_object_get(params, "count"));
	const json_t *fail = json_object_get(params, "fail");
	struct fixture *f = ctx;

	f->elements++;
	if (fail && (json_int_t)at->at[0] == json_integer_value(fail)) {
		snprintf(why, RPC_WHY_LEN, "broken");
		return NULL;
	}
	return (json_int_t)at->at[0] < count ? json_integer(1000000 + (json_int_t)at->at[0]++) : NULL;
}

static const struct rpc_method methods[] = {
	{ "echo", .call = call_echo },
	{ "fail", .call = call_fail },
	{ "big", .call = call_big },
	{ "stop", .call = call_stop },
	{ "list", .next = next_number },
	{ 0 },
};

static int fixture_open(struct fixture *f)
{
	*f = (struct fixture){ 0 };
	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "/tmp/shila-test-rpc-%d", getpid());
		snprintf(path, sizeof(path), "%s/control.sock", dir);
	}
	uv_loop_init(&f->loop);
	return rpc_open(&f->loop, path, methods, f, MAX_CLIENTS, &f->rpc, f->why);
}

static void fixture_close(struct fixture *f)
{
	if (f->rpc)
		rpc_close(f->rpc, on_done, f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	CHECK("closed", f->closed);
	CHECK("no handle is left", uv_loop_close(&f->loop) == 0);
	CHECK("the socket is gone", access(path, F_OK) < 0 && errno == ENOENT);
	CHECK("its folder too", access(dir, F_OK) < 0 && errno == ENOENT);
}

static void turn(struct fixture *f)
{
	uv_run(&f->loop, UV_RUN_NOWAIT);
	usleep(200);
}

static int dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* put() - Write all of it, turning the loop. False if the other side closed. */
static bool put(struct fixture *f, int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			text += n;
			len -= n;
		}
		turn(f);
	}
	return true;
}

/* get() - One line without its line feed, or NULL at the end of the stream. */
static const char *get(struct fixture *f, int fd)
{
	static char line[1 << 20];
	size_t used = 0;

	for (int ms = 0; ms < DEADLINE_MS && used < sizeof(line) - 1;) {
		ssize_t n = recv(fd, line + used, sizeof(line) - 1 - used, MSG_PEEK);
		char *end;

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return NULL;
		if (n < 0) {
			turn(f);
			ms++;
			continue;
		}
		end = memchr(line + used, '\n', n);
		if (end)
			n = end + 1 - (line + used);
		recv(fd, line + used, n, 0);
		used += n;
		if (end) {
			*end = '\0';
			return line;
		}
	}
	CHECK("an answer came in time", false);
	return NULL;
}

static void test_parse(void)
{
	static const struct {
		const char *why, *line;
		int code;
		const char *method;
		const char *id; /* as JSON; NULL: none */
	} rows[] = {
		{ "call", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}", 0, "a", "1" },
		{ "params", "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"a\",\"params\":{}}", 0,
		  "a", "\"x\"" },
		{ "notification", "{\"jsonrpc\":\"2.0\",\"method\":\"a\"}", 0, "a", NULL },
		{ "null id", "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}", 0, "a", "null" },
		{ "empty", "", RPC_ERR_PARSE, NULL, NULL },
		{ "cut", "{\"jsonrpc\":\"2.0\",\"id\":1,", RPC_ERR_PARSE, NULL, NULL },
		{ "two on a line", "{} {}", RPC_ERR_PARSE, NULL, NULL },
		{ "key twice", "{\"id\":1,\"id\":2}", RPC_ERR_PARSE, NULL, NULL },
		{ "not UTF-8", "\"\xff\"", RPC_ERR_PARSE, NULL, NULL },
		{ "batch", "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}]",
		  RPC_ERR_INVALID_REQUEST, NULL, NULL },
		{ "empty batch", "[]", RPC_ERR_INVALID_REQUEST, NULL, NULL },
		{ "nothing in it", "{}", RPC_ERR_INVALID_REQUEST, NULL, NULL },
		{ "version 1", "{\"id\":1,\"method\":\"a\"}", RPC_ERR_INVALID_REQUEST, NULL, "1" },
		{ "version as number", "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"a\"}",
		  RPC_ERR_INVALID_REQUEST, NULL, "1" },
		{ "object as id", "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}",
		  RPC_ERR_INVALID_REQUEST, NULL, NULL },
		{ "number as method", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}",
		  RPC_ERR_INVALID_REQUEST, NULL, "1" },
		{ "params as array",
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[]}",
		  RPC_ERR_INVALID_PARAMS, NULL, "1" },
		{ "params as null",
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":null}",
		  RPC_ERR_INVALID_REQUEST, NULL, "1" },
	};
	struct rpc_request req;
	const char *why;
	json_t *id;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int code = rpc_request_parse(rows[i].line, strlen(rows[i].line), &req, &why);

		CHECK(rows[i].why, code == rows[i].code);
		CHECK(rows[i].why, rows[i].method
					   ? req.method && !strcmp(req.method, rows[i].method)
					   : !req.method);
		id = rows[i].id ? json_loads(rows[i].id, JSON_DECODE_ANY, NULL) : NULL;
		CHECK(rows[i].why, id ? json_equal(id, req.id) : !req.id);
		json_decref(id);
		rpc_request_fini(&req);
	}
}

/* Whole conversations: what is sent, and what comes back, line by line. */
static void test_talk(void)
{
#define ERROR(id, code, text)                                                                      \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":" code ",\"message\":\"" text "\"" \
	"}}"
	static const struct {
		const char *why, *send, *answers[4];
	} rows[] = {
		{ "a call",
		  "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"echo\",\"params\":{\"a\":[1,2]}}\n",
		  { "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":[1,2]}}" } },
		{ "no params, string id, CRLF",
		  "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"echo\"}\r\n",
		  { "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}" } },
		{ "two in one write, in order",
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n\n{\"jsonrpc\":\"2.0\","
		  "\"id\":2,\"method\":\"nope\"}\n",
		  { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
		    ERROR("2", "-32601", "no such method") } },
		{ "notifications have no answer",
		  "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n{\"jsonrpc\":\"2.0\",\"method\":"
		  "\"nope\"}\n"
		  "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[]}\n" },
		{ "broken JSON does not end the connection",
		  "{\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\"}\n",
		  { ERROR("null", "-32700", "not valid JSON"),
		    "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}" } },
		{ "a batch",
		  "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}]\n",
		  { ERROR("null", "-32600", "batches are not supported") } },
		{ "a method that fails with bad text",
		  "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"fail\"}\n",
		  { ERROR("4", "-32000", "failed") } },
		{ "params by position",
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"echo\",\"params\":[]}\n",
		  { ERROR("5", "-32602", "params go by name: an object") } },
	};
	static const char last[] = "{\"jsonrpc\":\"2.0\",\"id\":\"end\",\"method\":\"echo\"}\n";
	struct fixture f;
	const char *line;
	int fd;

	CHECK("opens", fixture_open(&f) == 0);
	fd = dial();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Byte by byte, then at once: where a message is cut makes no difference. */
		for (int round = 0; round < 2; round++) {
			size_t len = strlen(rows[i].send);

			for (size_t at = 0; round == 0 && at < len; at++)
				put(&f, fd, rows[i].send + at, 1);
			if (round == 1)
				put(&f, fd, rows[i].send, len);
			put(&f, fd, last, strlen(last));
			for (int a = 0; a < 4 && rows[i].answers[a]; a++) {
				line = get(&f, fd);
				CHECK(rows[i].why, line && !strcmp(line, rows[i].answers[a]));
			}
			line = get(&f, fd);
			CHECK(rows[i].why, line && strstr(line, "\"end\""));
		}
	}
	close(fd);
	fixture_close(&f);
}

static void test_permissions(void)
{
	struct fixture f, g;
	struct stat st;
	mode_t mask = umask(0);
	int fd;

	CHECK("opens", fixture_open(&f) == 0);
	CHECK("only the owner may use it, whatever the umask",
	      stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK("the folder is made", stat(dir, &st) == 0 && (st.st_mode & 07777) == 0755);
	umask(mask);

	CHECK("a live one is not replaced",
	      fixture_open(&g) == -EADDRINUSE && strstr(g.why, "another daemon"));
	uv_loop_close(&g.loop);
	CHECK("it still answers", (fd = dial()) >= 0);
	close(fd);
	fixture_close(&f);

	/* What a killed daemon leaves: a socket file that nobody listens on. */
	CHECK("opens again", fixture_open(&f) == 0);
	rename(path, "/tmp/shila-test-rpc-stale");
	fixture_open(&g); /* a second one, made to leave its file */
	rename("/tmp/shila-test-rpc-stale", path);
	uv_run(&f.loop, UV_RUN_NOWAIT);
	rpc_close(g.rpc, on_done, &g);
	uv_run(&g.loop, UV_RUN_DEFAULT);
	uv_loop_close(&g.loop);
	CHECK("another's socket is not unlinked", access(path, F_OK) == 0);
	fixture_close(&f);

	mkdir(dir, 0755);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	CHECK("a file that is no socket is left alone",
	      fixture_open(&f) == -EEXIST && access(path, F_OK) == 0);
	uv_loop_close(&f.loop);
	unlink(path);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	{
		struct sockaddr_un addr = { .sun_family = AF_UNIX };

		strcpy(addr.sun_path, path);
		CHECK("a dead socket", bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	}
	close(fd);
	CHECK("is replaced", fixture_open(&f) == 0);
	CHECK("by one that answers", (fd = dial()) >= 0);
	close(fd);
	rpc_close(f.rpc, on_done, &f);
	f.rpc = NULL;
	uv_run(&f.loop, UV_RUN_DEFAULT);
	CHECK("a folder that was there stays", rmdir(dir) == 0);
	uv_loop_close(&f.loop);
}

static void test_long_line(void)
{
	static char line[RPC_MAX_LINE_BYTES + 1];
	struct fixture f;
	const char *answer;
	int fd;

	CHECK("opens", fixture_open(&f) == 0);
	memset(line, ' ', sizeof(line));
	memcpy(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}", 40);
	line[RPC_MAX_LINE_BYTES - 1] = '\n';
	fd = dial();
	CHECK("the longest line", put(&f, fd, line, RPC_MAX_LINE_BYTES));
	answer = get(&f, fd);
	CHECK("is served", answer && strstr(answer, "\"result\""));

	line[RPC_MAX_LINE_BYTES - 1] = ' ';
	put(&f, fd, line, sizeof(line));
	answer = get(&f, fd);
	CHECK("one byte more is refused",
	      answer && strstr(answer, "-32600") && strstr(answer, "too long"));
	CHECK("and ends the connection", !get(&f, fd));
	CHECK("without being served", f.calls == 1);
	close(fd);
	fixture_close(&f);
}

static void test_many(void)
{
	int fds[MAX_CLIENTS + 1];
	static const char call[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n";
	struct fixture f;
	const char *answer;

	CHECK("opens", fixture_open(&f) == 0);
	for (int i = 0; i <= MAX_CLIENTS; i++) {
		fds[i] = dial();
		turn(&f);
	}
	answer = get(&f, fds[MAX_CLIENTS]);
	CHECK("one too many is told so", answer && strstr(answer, "too many clients"));
	CHECK("and closed", !get(&f, fds[MAX_CLIENTS]));
	for (int i = 0; i < MAX_CLIENTS; i++) {
		put(&f, fds[i], call, strlen(call));
		CHECK("the others are served", get(&f, fds[i]));
	}
	for (int i = 0; i <= MAX_CLIENTS; i++)
		close(fds[i]);
	for (int i = 0; i < 10; i++)
		turn(&f);
	fds[0] = dial();
	put(&f, fds[0], call, strlen(call));
	CHECK("a place that became free is used again", get(&f, fds[0]));
	close(fds[0]);
	fixture_close(&f);
}

/* A client that asks much and reads nothing costs a bounded amount, and does not stop another. */
static void test_flood(void)
{
	static const char big[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\"}\n";
	static const char echo[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}\n";
	struct fixture f;
	int flood, other, sent = 0, answers = 0, calls;

	CHECK("opens", fixture_open(&f) == 0);
	flood = dial();
	other = dial();
	for (int i = 0; i < 20000; i++) {
		if (send(flood, big, strlen(big), MSG_NOSIGNAL) == (ssize_t)strlen(big))
			sent++;
		else
			usleep(1);
		if (i % 100 == 0)
			turn(&f);
	}
	for (int i = 0; i < 100; i++)
		turn(&f);
	calls = f.calls;
	/* Each answer is 160 kB; two exceed what may wait, and some fit the socket's own buffer. */
	CHECK("the flood is held back", sent > 20 && calls <= 8);
	put(&f, other, echo, strlen(echo));
	CHECK("another is served", get(&f, other));

	shutdown(flood, SHUT_WR);
	while (answers < 20 && get(&f, flood))
		answers++;
	CHECK("who reads goes on", answers == 20 && f.calls > calls);
	close(flood);
	close(other);
	fixture_close(&f);
}

static void test_end(void)
{
	static const char echo[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n";
	static const char stop[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stop\"}\n";
	struct fixture f;
	const char *answer;
	uint64_t start;
	int fd, idle;

	CHECK("opens", fixture_open(&f) == 0);
	fd = dial();
	put(&f, fd, echo, strlen(echo));
	put(&f, fd, echo, strlen(echo) / 2);
	shutdown(fd, SHUT_WR);
	CHECK("answered after the client's end", get(&f, fd));
	CHECK("half a message is not", !get(&f, fd));
	CHECK("nor served", f.calls == 1);
	close(fd);

	idle = dial();
	fd = dial();
	put(&f, fd, stop, strlen(stop));
	start = uv_hrtime();
	uv_run(&f.loop, UV_RUN_DEFAULT);
	CHECK("ends without waiting", f.closed && uv_hrtime() - start < 100000000);
	answer = get(&f, fd);
	CHECK("the call that ends it is answered", answer && strstr(answer, "\"result\":{}"));
	CHECK("and closed", !get(&f, fd) && !get(&f, idle));
	close(fd);
	close(idle);
	CHECK("no handle is left", uv_loop_close(&f.loop) == 0);

	/* An answer that nobody reads does not keep the daemon. */
	CHECK("opens", fixture_open(&f) == 0);
	fd = dial();
	for (int i = 0; i < 8; i++)
		put(&f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\"}\n", 40);
	start = uv_hrtime();
	fixture_close(&f);
	CHECK("bounded", uv_hrtime() - start < 1000000000);
	close(fd);
}

/* A long answer is made while it is read, in parts, and others have their turns. */
static void test_parts(void)
{
	static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"list\",\"params\":{\"count\":%d}}\n";
	static const char echo[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}\n";
	static const char broken[] =
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"list\",\"params\":{\"count\":9,\"fail\":%d}}\n";
	static const char quiet[] = "{\"jsonrpc\":\"2.0\",\"method\":\"list\"}\n";
	char text[128];
	struct fixture f;
	const char *answer;
	unsigned int before;
	json_t *o;
	int fd, other;

	CHECK("opens", fixture_open(&f) == 0);
	fd = dial();
	other = dial();
	for (int count = 0; count <= 100000; count = count ? 10 * count : 1) {
		snprintf(text, sizeof(text), list, count);
		put(&f, fd, text, strlen(text));
		answer = get(&f, fd);
		o = answer ? json_loads(answer, 0, NULL) : NULL;
		CHECK("one line of JSON", o && json_array_size(json_object_get(o, "result")) == (size_t)count);
		CHECK("in order, whole", !count || json_integer_value(json_array_get(json_object_get(o, "result"),
				(size_t)count - 1)) == 999999 + count);
		CHECK("with its id", o && !strcmp(json_string_value(json_object_get(o, "id")), "x"));
		json_decref(o);
	}

	/* Unread, and more than fits anywhere: what waits is bounded, and so is the work. */
	snprintf(text, sizeof(text), list, 5000000);
	put(&f, fd, text, strlen(text));
	put(&f, fd, echo, strlen(echo));
	for (int i = 0; i < 300; i++)
		turn(&f);
	before = f.elements;
	for (int i = 0; i < 300; i++)
		turn(&f);
	CHECK("who does not read is not served further", f.elements == before && f.elements < 111113 + 300000);
	put(&f, other, echo, strlen(echo));
	CHECK("another is", get(&f, other));
	close(fd);
	for (int i = 0; i < 50; i++)
		turn(&f);
	before = f.elements;
	for (int i = 0; i < 50; i++)
		turn(&f);
	CHECK("who leaves in the middle is forgotten", f.elements == before);

	snprintf(text, sizeof(text), broken, 0);
	put(&f, other, text, strlen(text));
	answer = get(&f, other);
	CHECK("an error at the start is an answer", answer && strstr(answer, "broken") && strstr(answer, "-32000"));
	put(&f, other, quiet, strlen(quiet));
	put(&f, other, echo, strlen(echo));
	answer = get(&f, other);
	CHECK("a notification has none", answer && strstr(answer, "\"id\":2"));
	snprintf(text, sizeof(text), broken, 5);
	put(&f, other, text, strlen(text));
	CHECK("one in the middle ends the connection", !get(&f, other));
	close(other);

	/* The end comes in the middle of an answer. */
	fd = dial();
	snprintf(text, sizeof(text), list, 5000000);
	put(&f, fd, text, strlen(text));
	for (int i = 0; i < 20; i++)
		turn(&f);
	fixture_close(&f);
	close(fd);
}

/* Of this thread: a busy machine lets it wait, which is no turn of ours. */
static uint64_t worked_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Many who ask for all they can get: each turn of the loop stays short, and nobody waits for ever. */
static void test_turns(void)
{
	static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\",\"params\":{\"count\":20000}}\n";
	struct fixture f;
	uint64_t longest = 0;
	int fds[MAX_CLIENTS], left = MAX_CLIENTS;
	char buf[65536];

	CHECK("opens", fixture_open(&f) == 0);
	for (int i = 0; i < MAX_CLIENTS; i++) {
		fds[i] = dial();
		put(&f, fds[i], list, strlen(list));
	}
	for (int round = 0; left && round < 100000; round++) {
		uint64_t took = worked_ns();

		uv_run(&f.loop, UV_RUN_NOWAIT);
		took = worked_ns() - took;
		longest = took > longest ? took : longest;
		for (int i = 0; i < MAX_CLIENTS; i++) {
			ssize_t n = fds[i] < 0 ? 0 : recv(fds[i], buf, sizeof(buf), 0);

			if (n > 0 && buf[n - 1] == '\n') {
				close(fds[i]);
				fds[i] = -1;
				left--;
			}
		}
	}
	CHECK("all are answered", !left);
	CHECK("2 ms and one element more is a turn", longest < 50000000);
	fixture_close(&f);
}

const struct unit_test unit_tests[] = {
	{ "requests", test_parse },
	{ "conversations", test_talk },
	{ "permissions, stale sockets", test_permissions },
	{ "line length", test_long_line },
	{ "number of clients", test_many },
	{ "flood and slow reader", test_flood },
	{ "end of client and server", test_end },
	{ "answers in parts", test_parts },
	{ "turns", test_turns },
	{ 0 },
};
