/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-emulator: the links of a lab between the namespaces of its ASes, in one process. scripts/lab starts it and
 * talks to it; docs/lab.md, "Emulated links". It is ready when its control socket takes connections, and ends with
 * SIGTERM or SIGINT; its devices go with it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "scripts/emulator/control.h"
#include "scripts/emulator/network.h"

/* Links are hardware that does not wait for programs; less than this changes nothing where cores are idle. */
#define NICE (-10)

struct ending {
	struct loop_source source;
	struct loop *loop;
};

static void on_signal(struct loop_source *source, uint64_t now_ns)
{
	(void)now_ns;
	loop_stop(((struct ending *)((char *)source - offsetof(struct ending, source)))->loop);
}

static int watch_signals(struct ending *ending, struct loop *loop)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ending->loop = loop;
	ending->source = (struct loop_source){ .fd = signalfd(-1, &set, SFD_CLOEXEC), .readable = on_signal };
	return ending->source.fd < 0 ? -errno : loop_add(loop, &ending->source);
}

static json_t *answer(void *ctx, const json_t *request)
{
	return network_call(ctx, request);
}

static int run(const json_t *config)
{
	json_int_t memory = json_integer_value(json_object_get(config, "memory_bytes"));
	const char *path = json_string_value(json_object_get(config, "socket"));
	struct parcel_pool *pool = parcel_pool_new(memory > 0 ? (size_t)memory : NETWORK_MEMORY_BYTES);
	struct loop *loop = pool ? loop_new(pool) : NULL;
	char why[NETWORK_WHY_LEN] = "out of memory";
	struct control *control = NULL;
	struct network *network;
	struct ending ending;
	int err = -ENOMEM;

	if (!loop)
		goto free_pool;
	network = network_open(loop, config, NULL, why);
	if (!network)
		goto free_loop;
	err = watch_signals(&ending, loop);
	if (!err)
		err = path ? control_open(loop, path, answer, network, &control) : -EINVAL;
	if (!err)
		err = loop_run(loop);
	snprintf(why, sizeof(why), "%s: %s", path ? path : "no socket in the configuration", strerror(-err));
	control_close(control);
	close(ending.source.fd);
	network_close(network);
free_loop:
	loop_free(loop);
free_pool:
	parcel_pool_free(pool);
	if (err)
		fprintf(stderr, "lab-emulator: %s\n", why);
	return err;
}

int main(int argc, char **argv)
{
	json_error_t where;
	json_t *config;
	int err;

	if (argc != 3 || strcmp(argv[1], "--config")) {
		fprintf(stderr, "usage: lab-emulator --config FILE\nThe links of a lab; scripts/lab starts it. See docs/lab.md.\n");
		return 2;
	}
	config = json_load_file(argv[2], 0, &where);
	if (!config) {
		fprintf(stderr, "lab-emulator: %s:%d: %s\n", argv[2], where.line, where.text);
		return 1;
	}
	prctl(PR_SET_TIMERSLACK, 1000ul); /* 1 us instead of 50 */
	setpriority(PRIO_PROCESS, 0, NICE);
	err = run(config);
	json_decref(config);
	return err ? 1 : 0;
}
