/* SPDX-License-Identifier: Apache-2.0 */

/* The 1st allocation fails, the 2nd, and so on: answers of the SCION daemon, requests on the control socket. */
#include "shila/io/rpc.h"
#include "shila/io/rpc_request.h"
#include "shila/io/scion_daemon.h"
#include "tests/unit/check.h"
#include "tests/unit/oom.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- paths ---- */

static void test_paths(void)
{
	static const char *const names[] = { "paths_diamond", "paths_leaf", "paths_local" };
	const char *folder = getenv("SHILA_VECTORS");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		static uint8_t bytes[1 << 16];
		char path[512];
		size_t len;
		FILE *f;

		snprintf(path, sizeof(path), "%s/../fuzz/corpus/scion_daemon/%s", folder ? folder : "tests/vectors", names[i]);
		f = fopen(path, "r");
		len = f ? fread(bytes, 1, sizeof(bytes), f) : 0;
		CHECK(path, len > 20);
		if (!f)
			continue;
		fclose(f);
		len -= 8; /* then the destination */
		for (unsigned int n = 1; oom_sweep(n); n++) {
			struct isd_as dst = { get_be64(bytes + len) };
			struct scion_daemon_drops drops;
			struct path *paths[64];
			size_t num = 0;
			int err = scion_daemon_paths_decode(bytes, len, dst, paths, 64, &num, &drops);

			snprintf(path, sizeof(path), "%s: allocation %u fails", names[i], n);
			CHECK(path, oom_end() ? err == -ENOMEM && !num : !err && num);
			while (num)
				path_put(paths[--num]);
		}
	}
}

/* ---- the control socket ---- */

static json_t *call_echo(void *ctx, const json_t *params, char *why)
{
	(void)ctx;
	(void)why;
	return json_pack("{s:O, s:s}", "params", params, "more", "a text");
}

static const struct rpc_method methods[] = { { .name = "echo", .call = call_echo }, { 0 } };

static void turns(uv_loop_t *loop, int n)
{
	while (n--) {
		uv_run(loop, UV_RUN_NOWAIT);
		usleep(500);
	}
}

static bool asked(uv_loop_t *loop, const char *name, int ms)
{
	static const char line[] = "{\"jsonrpc\": \"2.0\", \"id\": 7, \"method\": \"echo\", \"params\": {\"a\": [1, 2]}}\n";
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char buf[512];
	ssize_t n = -1;

	strcpy(addr.sun_path, name);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || write(fd, line, sizeof(line) - 1) < 0) {
		close(fd);
		return false;
	}
	for (int i = 0; i < 2 * ms && n < 0; i++) {
		turns(loop, 1);
		n = read(fd, buf, sizeof(buf) - 1);
	}
	close(fd);
	turns(loop, 3);
	if (n > 0)
		buf[n] = '\0';
	return n > 0 && strstr(buf, "\"more\"");
}

static void on_closed(void *ctx)
{
	*(bool *)ctx = true;
}

static void test_rpc(void)
{
	char dir[] = "/tmp/shila-test-XXXXXX", name[64], why[RPC_WHY_LEN];
	struct rpc *rpc = NULL;
	bool closed = false;
	uv_loop_t loop;

	CHECK("a folder", mkdtemp(dir) != NULL);
	snprintf(name, sizeof(name), "%s/sock", dir);
	uv_loop_init(&loop);
	for (unsigned int n = 1; oom_sweep(n); n++) {
		int err = rpc_open(&loop, name, methods, NULL, 4, &rpc, why);

		CHECK("it says so", oom_end() ? err == -ENOMEM && !rpc : !err && rpc);
	}
	for (unsigned int n = 1; oom_sweep(n); n++) {
		asked(&loop, name, 150); /* an answer, an error, or the end of the connection */
		oom_end();
		CHECK("the next one is answered", asked(&loop, name, 500));
	}
	if (rpc)
		rpc_close(rpc, on_closed, &closed);
	uv_run(&loop, UV_RUN_DEFAULT);
	CHECK("nothing is left", closed && uv_loop_close(&loop) == 0);
	rmdir(dir);
}

const struct unit_test unit_tests[] = {
	{ "paths", test_paths },
	{ "control socket", test_rpc },
	{ 0 },
};
