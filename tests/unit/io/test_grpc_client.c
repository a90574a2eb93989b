/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/grpc_client.h"

#include "tests/unit/check.h"
#include "tests/unit/io/fake_grpc.h"

#include <errno.h>

#define REMEDY "is it there?"

struct result {
	struct grpc_client *close_me; /* by the callback */
	int calls, err;
	unsigned int status;
	char why[GRPC_WHY_LEN];
	uint8_t msg[64];
	size_t len;
};

static void on_result(void *ctx, int err, unsigned int status, const char *why, const uint8_t *msg,
		      size_t len)
{
	struct result *res = ctx;

	res->calls++;
	res->err = err;
	res->status = status;
	snprintf(res->why, sizeof(res->why), "%s", why ? why : "");
	res->len = len;
	if (len && len <= sizeof(res->msg))
		memcpy(res->msg, msg, len);
	if (res->close_me)
		grpc_client_close(res->close_me, NULL, NULL);
}

static void on_guard(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* run_until() - Run the loop until @res has @calls, at most 3 s. */
static void run_until(uv_loop_t *loop, const struct result *res, int calls)
{
	uv_timer_t guard;
	bool late = false;

	uv_timer_init(loop, &guard);
	guard.data = &late;
	uv_timer_start(&guard, on_guard, 3000, 0);
	while (res->calls < calls && !late)
		uv_run(loop, UV_RUN_ONCE);
	CHECK("the call ends", !late);
	uv_close((uv_handle_t *)&guard, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

static void on_done(void *ctx)
{
	*(bool *)ctx = true;
}

static void finish(uv_loop_t *loop, struct grpc_client *c)
{
	bool done = false;

	grpc_client_close(c, on_done, &done);
	uv_run(loop, UV_RUN_DEFAULT);
	CHECK("closed", done);
	CHECK("nothing is left on the loop", uv_loop_close(loop) == 0);
}

static struct result one_call(const union sock_addr *addr, unsigned int deadline_ms)
{
	struct result res = {0};
	struct grpc_client *c;
	uv_loop_t loop;

	uv_loop_init(&loop);
	CHECK("opens", grpc_client_open(&loop, addr, "server", REMEDY, &c) == 0);
	CHECK("starts",
	      grpc_client_call(c, "/a.B/Echo", NULL, 0, deadline_ms, on_result, &res) == 0);
	CHECK("never calls back at once", res.calls == 0);
	run_until(&loop, &res, 1);
	finish(&loop, c);
	CHECK("one callback", res.calls == 1);
	return res;
}

static const uint8_t hello[] = "hello";

static void test_answers(void)
{
	static const struct {
		const char *why;
		struct fake_answer answer;
		int err;
		unsigned int status;
		const char *text;
	} rows[] = {
		{"a message", {.body = hello, .len = 5}, 0, 0, ""},
		{"an empty message", {0}, 0, 0, ""},
		{"an error with a message",
		 {.status = 5, .message = "no%20such%0athing"},
		 -EREMOTEIO,
		 5,
		 "answers with error 5 (not found): no such?thing"},
		{"an error in the headers",
		 {.status = 12, .message = "x", .flags = FAKE_TRAILERS_ONLY},
		 -EREMOTEIO,
		 12,
		 "(unimplemented): x"},
		{"a number that no status has",
		 {.status = 4711},
		 -EREMOTEIO,
		 1000,
		 "1000 (no such status)"},
		{"the server's own deadline", {.status = 4}, -ETIMEDOUT, 4, "deadline"},
		{"no status at all",
		 {.body = hello, .len = 5, .flags = FAKE_NO_STATUS},
		 -EPROTO,
		 0,
		 "without status; " REMEDY},
		{"HTTP 404", {.flags = FAKE_NOT_FOUND}, -EPROTO, 0, "HTTP status 404; " REMEDY},
		{"compressed",
		 {.body = hello, .len = 5, .flags = FAKE_COMPRESSED},
		 -EPROTO,
		 0,
		 "not one plain"},
		{"frame longer than the body",
		 {.body = hello, .len = 5, .flags = FAKE_LENGTH},
		 -EPROTO,
		 0,
		 "not one plain"},
		{"two messages",
		 {.body = hello, .len = 5, .flags = FAKE_TWICE},
		 -EPROTO,
		 0,
		 "not one plain"},
		{"success without a message",
		 {.flags = FAKE_NO_MESSAGE},
		 -EPROTO,
		 0,
		 "not one plain"},
		{"more than an answer may have",
		 {.flags = FAKE_FLOOD},
		 -EPROTO,
		 0,
		 "more than the 4096 KiB"},
		{"stream reset", {.flags = FAKE_RESET}, -EPROTO, 0, "does not speak gRPC"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fake_answer answers[] = {rows[i].answer, {.status = -1}};
		struct fake_grpc srv;
		struct result res;

		fake_grpc_start(&srv, FAKE_HTTP2, answers);
		res = one_call(&srv.addr, 2000);
		CHECK(rows[i].why, res.err == rows[i].err);
		CHECK(rows[i].why, res.status == rows[i].status);
		CHECK(rows[i].why, strstr(res.why, rows[i].text));
		CHECK(rows[i].why, !res.err || strstr(res.why, srv.name));
		CHECK(rows[i].why,
		      res.err || (res.len == answers[0].len && !memcmp(res.msg, hello, res.len)));
		fake_grpc_stop(&srv);
	}
}

static void test_no_server(void)
{
	static const struct {
		const char *why;
		enum fake_mode mode;
		int err;
		const char *text;
	} rows[] = {
		{"silence", FAKE_SILENT, -ETIMEDOUT, "gave no answer within 150 ms; " REMEDY},
		{"closed at once", FAKE_CLOSE, -ENETUNREACH, REMEDY},
		{"garbage", FAKE_GARBAGE, 0, REMEDY},
		{"HTTP/1.1", FAKE_HTTP1, 0, REMEDY},
	};
	struct fake_grpc srv;
	struct result res;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fake_grpc_start(&srv, rows[i].mode, NULL);
		res = one_call(&srv.addr, 150);
		CHECK(rows[i].why, rows[i].err ? res.err == rows[i].err : res.err < 0);
		CHECK(rows[i].why, strstr(res.why, rows[i].text));
		fake_grpc_stop(&srv);
	}
	/* The port was ours a moment ago and is free now. */
	res = one_call(&srv.addr, 1000);
	CHECK("nothing listens", res.err == -ENETUNREACH);
	CHECK("says what and where", !strncmp(res.why, "server 127.0.0.1:", 17));
	CHECK("says why and what to do",
	      strstr(res.why, " does not answer: connection refused; " REMEDY));
}

static void test_many(void)
{
	struct fake_answer answers[] = {{.body = hello, .len = 5}, {.status = -1}};
	struct result res = {0};
	struct grpc_client *c;
	struct fake_grpc srv;
	uv_loop_t loop;
	int err = 0;

	fake_grpc_start(&srv, FAKE_HTTP2, answers);
	uv_loop_init(&loop);
	grpc_client_open(&loop, &srv.addr, "server", REMEDY, &c);
	for (int i = 0; i < 40; i++)
		grpc_client_call(c, "/a.B/Echo", hello, 5, 2000, on_result, &res);
	run_until(&loop, &res, 40);
	CHECK("all answered", res.calls == 40 && !res.err);
	CHECK("each asked once", atomic_load(&srv.requests) == 40);

	for (int i = 0; i < GRPC_MAX_CALLS; i++)
		err |= grpc_client_call(c, "/a.B/Echo", NULL, 0, 2000, on_result, &res);
	CHECK("as many calls as the limit says", !err);
	err = grpc_client_call(c, "/a.B/Echo", NULL, 0, 2000, on_result, &res);
	CHECK("and no more", err == -EBUSY);
	finish(&loop, c);
	CHECK("a closed client calls nobody", res.calls == 40);
	fake_grpc_stop(&srv);
}

/* Those that wait for a connection have the same deadline. */
static void test_many_in_silence(void)
{
	struct result res = {0};
	struct grpc_client *c;
	struct fake_grpc srv;
	uint64_t start_ms;
	uv_loop_t loop;

	fake_grpc_start(&srv, FAKE_SILENT, NULL);
	uv_loop_init(&loop);
	grpc_client_open(&loop, &srv.addr, "server", REMEDY, &c);
	start_ms = uv_hrtime() / 1000000;
	for (int i = 0; i < 3 * GRPC_MAX_CONNECTIONS; i++)
		grpc_client_call(c, "/a.B/Echo", hello, 5, 800, on_result, &res);
	while (uv_hrtime() / 1000000 - start_ms < 150)
		uv_run(&loop, UV_RUN_NOWAIT);
	CHECK("on as many connections as the limit says",
	      !res.calls && atomic_load(&srv.connections) <= GRPC_MAX_CONNECTIONS);
	run_until(&loop, &res, 3 * GRPC_MAX_CONNECTIONS);
	CHECK("timed out", res.err == -ETIMEDOUT);
	CHECK("all at the deadline", uv_hrtime() / 1000000 - start_ms < 2 * 800);
	finish(&loop, c);
	fake_grpc_stop(&srv);
}

static void test_server_comes_back(void)
{
	struct fake_answer answers[] = {{.body = hello, .len = 5}, {.status = -1}};
	struct result res = {0};
	struct grpc_client *c;
	struct fake_grpc srv;
	uv_loop_t loop;

	fake_grpc_start(&srv, FAKE_SILENT_FIRST, answers);
	uv_loop_init(&loop);
	grpc_client_open(&loop, &srv.addr, "server", REMEDY, &c);
	grpc_client_call(c, "/a.B/Echo", NULL, 0, 150, on_result, &res);
	run_until(&loop, &res, 1);
	CHECK("silence", res.err == -ETIMEDOUT);
	for (int i = 2; i < 5; i++) {
		grpc_client_call(c, "/a.B/Echo", NULL, 0, 2000, on_result, &res);
		run_until(&loop, &res, i);
		CHECK("answered", !res.err);
	}
	finish(&loop, c);
	fake_grpc_stop(&srv);
}

static void test_slow_beside_fast(void)
{
	struct fake_answer answers[] = {{.method = "/a.B/Slow", .flags = FAKE_HANG},
					{.body = hello, .len = 5},
					{.status = -1}};
	struct result slow = {0}, fast = {0};
	struct grpc_client *c;
	struct fake_grpc srv;
	uv_loop_t loop;

	fake_grpc_start(&srv, FAKE_HTTP2, answers);
	uv_loop_init(&loop);
	grpc_client_open(&loop, &srv.addr, "server", REMEDY, &c);
	grpc_client_call(c, "/a.B/Slow", NULL, 0, 300, on_result, &slow);
	grpc_client_call(c, "/a.B/Echo", NULL, 0, 300, on_result, &fast);
	run_until(&loop, &fast, 1);
	CHECK("a call that hangs holds up no other", !fast.err && !slow.calls);
	run_until(&loop, &slow, 1);
	CHECK("and ends at its deadline", slow.err == -ETIMEDOUT);
	finish(&loop, c);
	fake_grpc_stop(&srv);
}

static void test_close_in_callback(void)
{
	struct fake_answer answers[] = {{.body = hello, .len = 5}, {.status = -1}};
	struct result res = {0};
	struct fake_grpc srv;
	uv_loop_t loop;

	fake_grpc_start(&srv, FAKE_HTTP2, answers);
	uv_loop_init(&loop);
	grpc_client_open(&loop, &srv.addr, "server", REMEDY, &res.close_me);
	grpc_client_call(res.close_me, "/a.B/Echo", NULL, 0, 2000, on_result, &res);
	grpc_client_call(res.close_me, "/a.B/Echo", NULL, 0, 2000, on_result, &res);
	uv_run(&loop, UV_RUN_DEFAULT);
	CHECK("only the first was called", res.calls == 1);
	CHECK("nothing is left on the loop", uv_loop_close(&loop) == 0);
	fake_grpc_stop(&srv);
}

static void test_percent_decode(void)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{"plain", "no path", "no path"},
		{"encoded", "no%20path%3A%3a", "no path::"},
		{"control characters do not reach a terminal", "a%1b[2J%00%0A\x7f", "a?[2J???"},
		{"half an escape stays", "50% 5%4", "50% 5%4"},
		{"no escape at all stays", "%zz", "%zz"},
		{"cut", "0123456789abcdefXX", "0123456789abcde"},
	};
	char out[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CHECK(rows[i].why,
		      !strcmp(grpc_percent_decode(rows[i].in, strlen(rows[i].in), out, sizeof(out)),
			      rows[i].out));
}

const struct unit_test unit_tests[] = {
	{"answers, right and wrong", test_answers},
	{"no server, or another one", test_no_server},
	{"many calls", test_many},
	{"many calls to a silent server", test_many_in_silence},
	{"a server that comes back", test_server_comes_back},
	{"slow beside fast", test_slow_beside_fast},
	{"closed by its own callback", test_close_in_callback},
	{"percent decoding", test_percent_decode},
	{0},
};
