/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Create everything, connect it, run, tear down. In order: state directory, control socket, what the
 * path source says of the local AS (waited for as long as it takes, unless an earlier daemon left its flows and
 * what it knew), sockets, namespaces and TUNs, workers and control. The end goes backwards, or leaves all for the
 * next daemon.
 */
#include "shila/daemon.h"

#include "shila/control/control.h"
#include "shila/devices.h"
#include "shila/io/rpc.h"
#include "shila/io/underlay.h"
#include "shila/notify.h"
#include "shila/restart.h"
#include "shila/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_RETRY_MS	 1000
#define SOURCE_REMIND	 10   /* one line about it in so many tries */
#define FIRST_PORT	 31000 /* Go programs take theirs from the top of the range downwards */
#define TUN_MTU_MIN	 1500
#define HIGH_FD		 1000 /* more than control ever has open: below the usual limit of 1024 */

struct daemon {
	const struct config *cfg;
	uv_loop_t loop;
	uv_signal_t signals[2];
	uv_timer_t retry;
	struct rpc *rpc;
	struct path_source *source;
	struct local_as as;
	struct state state;
	struct devices devices;
	bool devices_up;
	struct control *control;
	struct store *store;
	struct store_saved saved; /* of the daemon before */
	bool resuming;		  /* there is something in it */
	unsigned int workers;
	int worker_fds[CONFIG_MAX_WORKERS], contact_fd;
	unsigned int num_fds;
	uint16_t worker_ports[CONFIG_MAX_WORKERS];
	unsigned int tries;
	char waiting[200]; /* for what, "" once it runs */
	bool stopping, detach;
	int err;
};

static void stop(struct daemon *d);

static void fail(struct daemon *d, int err, const char *why)
{
	log_error("%s", why);
	d->err = err;
	d->detach = d->resuming; /* what an earlier daemon left is not lost because this one cannot start */
	stop(d);
}

/* ---- control socket ---- */

static json_t *waiting_status(const struct daemon *d)
{
	return json_pack("{s:s, s:i, s:s, s:s}", "version", SHILA_VERSION, "pid", (int)getpid(), "state",
			 d->stopping ? "stopping" : "waiting", "error",
			 d->stopping ? "it is stopping" : d->waiting);
}

#define NOT_YET(d, why)                                                                            \
	do {                                                                                       \
		if (!(d)->control || (d)->stopping) {                                              \
			snprintf(why, RPC_WHY_LEN, "not ready: %s",                                \
				 (d)->stopping ? "it is stopping" : (d)->waiting);                 \
			return NULL;                                                               \
		}                                                                                  \
	} while (0)

static json_t *call_status(void *ctx, const json_t *params, char *why)
{
	struct daemon *d = ctx;
	unsigned int clients;
	uint64_t refused;
	json_t *o;

	(void)params;
	(void)why;
	if (!d->control || d->stopping)
		return waiting_status(d);
	o = report_status(d->control);
	rpc_use(d->rpc, &clients, &refused);
	json_array_append_new(json_object_get(o, "limits"),
			      report_limit("control_clients", d->cfg->limits.control_clients, clients, clients,
					   refused));
	return o;
}

static json_t *next_peer(void *ctx, const json_t *params, struct rpc_cursor *at, char *why)
{
	struct daemon *d = ctx;

	(void)params;
	NOT_YET(d, why);
	return report_next_peer(d->control, at);
}

static json_t *next_path(void *ctx, const json_t *params, struct rpc_cursor *at, char *why)
{
	struct daemon *d = ctx;
	const json_t *ia = json_object_get(params, "isd_as");
	struct isd_as only = { 0 };

	NOT_YET(d, why);
	if (ia && !json_is_null(ia) && (!json_is_string(ia) || isd_as_parse(json_string_value(ia), &only) < 0)) {
		snprintf(why, RPC_WHY_LEN, "isd_as: an ISD-AS like \"1-64512\" is wanted");
		return NULL;
	}
	return report_next_path(d->control, only, json_is_true(json_object_get(params, "why")), at);
}

static json_t *next_flow(void *ctx, const json_t *params, struct rpc_cursor *at, char *why)
{
	struct daemon *d = ctx;

	(void)params;
	NOT_YET(d, why);
	return report_next_flow(d->control, at);
}

static json_t *next_event(void *ctx, const json_t *params, struct rpc_cursor *at, char *why)
{
	struct daemon *d = ctx;
	const json_t *after = json_object_get(params, "after");

	NOT_YET(d, why);
	if (after && !json_is_null(after) && (!json_is_integer(after) || json_integer_value(after) < 0)) {
		snprintf(why, RPC_WHY_LEN, "after: the number of an event is wanted");
		return NULL;
	}
	if (!at->at[1]++)
		at->at[0] = (uint64_t)json_integer_value(after);
	return report_next_event(d->control, at);
}

static json_t *call_drops(void *ctx, const json_t *params, char *why)
{
	struct daemon *d = ctx;

	(void)params;
	NOT_YET(d, why);
	return report_drops(d->control);
}

static json_t *call_stop(void *ctx, const json_t *params, char *why)
{
	struct daemon *d = ctx;

	(void)params;
	(void)why;
	log_info("asked to stop");
	stop(d);
	return json_object();
}

static const struct rpc_method methods[] = {
	{ "status", .call = call_status }, { "peers", .next = next_peer }, { "paths", .next = next_path },
	{ "flows", .next = next_flow },    { "events", .next = next_event }, { "drops", .call = call_drops }, { "stop", .call = call_stop },
	{ 0 },
};

/* ---- sockets ---- */

static uint16_t first_port(const struct local_as *as)
{
	if (!as->port_max) /* no range was told, and port 0 would be none */
		return FIRST_PORT;
	return as->port_min > FIRST_PORT || as->port_max < FIRST_PORT ? as->port_min : FIRST_PORT;
}

/* The port that a worker had before if it is free, else the next one of the range. */
static int open_worker_socket(struct daemon *d, const struct ip_addr *local, unsigned int i, char *why)
{
	const struct config *cfg = d->cfg;
	uint16_t port = cfg->contact.num_traffic	  ? cfg->contact.traffic[i] :
			i < d->state.num_ports ? d->state.ports[i] :
						 0;
	uint16_t min = first_port(&d->as), max = d->as.port_max ? d->as.port_max : UINT16_MAX;
	char ip[IP_ADDR_STRLEN];
	int fd = underlay_open(local, &port, min, max);

	if (fd == -EADDRINUSE && !cfg->contact.num_traffic && port) {
		port = 0;
		fd = underlay_open(local, &port, min, max);
	}
	if (fd < 0) {
		snprintf(why, STATE_WHY_LEN, "UDP %s:%u: %s%s", ip_addr_str(local, ip), port, strerror(-fd),
			 fd == -EADDRINUSE ? " (contact.traffic: another program has it)" : "");
		return fd;
	}
	d->worker_fds[i] = fd;
	d->worker_ports[i] = port;
	return 0;
}

/* What comes at once, and does not fit, is lost: TCP slows down, datagrams are missed. */
static void check_receive_buffer(int fd)
{
	uint32_t got = underlay_receive_bytes(fd);

	if (got < UNDERLAY_RECEIVE_BYTES)
		log_warn("the kernel gives %u KiB of receive buffer to a socket instead of %d KiB, so fast paths lose packets "
			 "(drop.socket_full): sysctl -w net.core.rmem_max=%d, or give shilad CAP_NET_ADMIN", got / 1024,
			 UNDERLAY_RECEIVE_BYTES / 1024, UNDERLAY_RECEIVE_BYTES);
}

static int open_sockets(struct daemon *d, const struct ip_addr *local, char *why)
{
	uint16_t port = d->cfg->contact.port;
	char ip[IP_ADDR_STRLEN];
	int err;

	d->contact_fd = underlay_open(local, &port, 0, 0);
	if (d->contact_fd < 0) {
		snprintf(why, STATE_WHY_LEN, "UDP %s:%u: %s%s", ip_addr_str(local, ip), port,
			 strerror(-d->contact_fd),
			 d->contact_fd == -EADDRINUSE ?
				 ": another program, or another shilad, has this port (contact.port)" :
			 d->contact_fd == -EADDRNOTAVAIL ?
				 ": no interface has this address (scion.address)" :
				 "");
		return d->contact_fd;
	}
	check_receive_buffer(d->contact_fd);
	if (d->as.port_max && (port < d->as.port_min || port > d->as.port_max))
		log_warn("contact.port %u is outside of this AS's range %u-%u: border routers of some versions "
			 "will not deliver to it", port, d->as.port_min, d->as.port_max);
	for (d->num_fds = 0; d->num_fds < d->workers; d->num_fds++) {
		err = open_worker_socket(d, local, d->num_fds, why);
		if (err < 0)
			return err;
	}
	d->state.num_ports = d->num_fds;
	memcpy(d->state.ports, d->worker_ports, sizeof(d->state.ports));
	return 0;
}

static int local_address(struct daemon *d, struct ip_addr *out, char *why)
{
	const union sock_addr *to = d->as.num_routers ? &d->as.routers[0] : &d->cfg->scion.daemon;
	int err;

	if (d->cfg->scion.address.len) {
		*out = d->cfg->scion.address;
		return 0;
	}
	err = underlay_local_address(to, out);
	if (err < 0)
		snprintf(why, STATE_WHY_LEN, "no route to the border router: %s; set scion.address", strerror(-err));
	return err;
}

/* ---- start ---- */

/* A worker that looks takes its CPU from the programs, if there is no other. */
static uint32_t busy_poll_us(const struct daemon *d)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (d->cfg->busy_poll_us && cpus <= (long)d->workers) {
		log_warn("busy polling is off: %u workers would leave none of %ld CPUs to the programs (busy_poll_us, workers)",
			 d->workers, cpus);
		return 0;
	}
	return d->cfg->busy_poll_us;
}

static int start_control(struct daemon *d, const struct ip_addr *local)
{
	struct control_setup setup = {
		.loop = &d->loop,
		.cfg = d->cfg,
		.source = d->source,
		.as = d->as,
		.local = { d->as.ia, *local },
		.num_workers = d->workers,
		.contact_fd = d->contact_fd,
		.num_tuns = d->devices.num_tuns,
		.tun_fds = d->devices.fds,
		.tun_bulk_fds = d->devices.bulk_fds,
		.sieve = true,
		.busy_poll_us = busy_poll_us(d),
		.datagram_trains = !d->devices.no_datagram_trains,
		.rings = d->workers > 1 && d->devices.steering == STEERING_RINGS,
		.boot_id = d->resuming ? d->saved.host.boot_id : control_random(),
		.saved = d->resuming ? &d->saved : NULL,
	};
	struct store_host host;

	memcpy(setup.worker_fds, d->worker_fds, sizeof(setup.worker_fds));
	memcpy(setup.worker_ports, d->worker_ports, sizeof(setup.worker_ports));
	memcpy(setup.tuns, d->devices.tuns, sizeof(setup.tuns));
	memcpy(setup.diag, d->devices.diag, sizeof(setup.diag));
	memcpy(setup.pm, d->devices.pm, sizeof(setup.pm));
	restart_host(d->cfg, &setup, &host);
	d->store = restart_store(d->cfg, d->workers, &host);
	setup.store = d->store;
	return control_new(&setup, &d->control);
}

static void start(struct daemon *d, const struct ip_addr *known_local)
{
	char why[STATE_WHY_LEN] = "", ia[ISD_AS_STRLEN], ip[IP_ADDR_STRLEN];
	uint32_t mtu = d->as.mtu_bytes > TUN_MTU_MIN ? d->as.mtu_bytes : TUN_MTU_MIN;
	struct ip_addr local = known_local ? *known_local : (struct ip_addr){ 0 };
	int err = known_local ? 0 : local_address(d, &local, why);

	d->devices_up = true; /* from here on there may be something to remove */
	if (err >= 0)
		err = devices_up(&d->devices, d->cfg, &d->state, d->workers, mtu, why);
	if (err >= 0)
		err = open_sockets(d, &local, why);
	if (err >= 0)
		err = state_save(&d->state, why);
	if (err >= 0) {
		err = start_control(d, &local);
		if (err < 0)
			snprintf(why, sizeof(why), "workers: %s", strerror(-err));
	}
	if (err < 0) {
		fail(d, err, why);
		return;
	}
	store_saved_free(&d->saved);
	d->resuming = false;
	d->waiting[0] = '\0';
	log_info("ready: %s,%s, contact port %u, %u worker%s from port %u", isd_as_str(d->as.ia, ia),
		 ip_addr_str(&local, ip), d->cfg->contact.port, d->workers, d->workers == 1 ? "" : "s",
		 d->worker_ports[0]);
	notify("READY=1");
}

static void ask_source(struct daemon *d);

static void on_retry(uv_timer_t *t)
{
	ask_source(t->data);
}

static void on_local_as(void *ctx, int err, const char *why, const struct local_as *as)
{
	struct daemon *d = ctx;
	char ia[ISD_AS_STRLEN];

	if (d->stopping)
		return;
	if (err < 0) {
		if (d->tries++ % SOURCE_REMIND == 0 || strcmp(d->waiting, why))
			log_warn("%s; shilad waits for it (scion.daemon in the configuration, or $SCION_DAEMON, "
				 "says where it is)", why);
		snprintf(d->waiting, sizeof(d->waiting), "%s", why);
		uv_timer_start(&d->retry, on_retry, SOURCE_RETRY_MS, 0);
		return;
	}
	if (d->control) { /* resumed with what the daemon before knew */
		if (as->ia.v != d->as.ia.v)
			log_warn("the SCION daemon is now of another AS, %s: stop shilad (shila stop) and start it again",
				 isd_as_str(as->ia, ia));
		else
			control_set_as(d->control, as);
		return;
	}
	d->as = *as;
	start(d, NULL);
}

static void ask_source(struct daemon *d)
{
	int err = path_source_local_as(d->source, on_local_as, d);

	if (err < 0)
		on_local_as(d, err, "the SCION daemon cannot be asked", NULL);
}

/*
 * With flows of an earlier daemon there is nothing to wait for: what it knew of the AS was right until a moment
 * ago, and the SCION daemon may be away just now.
 */
static void resume_or_ask(struct daemon *d)
{
	d->resuming = restart_load(d->cfg, &d->saved);
	if (d->resuming) {
		const struct store_host *h = &d->saved.host;

		d->as = (struct local_as){
			.ia = h->local.ia, .mtu_bytes = h->mtu_bytes, .port_min = h->port_min, .port_max = h->port_max,
		};
		if (d->workers != d->saved.shape.workers)
			log_warn("workers: %u takes effect at the next clean start (shila stop); until then %u",
				 d->workers, d->saved.shape.workers);
		d->workers = d->saved.shape.workers;
		start(d, &h->local.host);
		if (d->stopping)
			return;
	}
	ask_source(d);
}

/* ---- end ---- */

static void on_rpc_closed(void *ctx)
{
	(void)ctx;
}

/* A second Ctrl-C must not interrupt the tidying up: closing the handles would bring back its default. */
static void ignore_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 2; i++)
		uv_close((uv_handle_t *)&d->signals[i], NULL);
}

static void close_rest(struct daemon *d)
{
	ignore_signals(d);
	uv_close((uv_handle_t *)&d->retry, NULL);
	if (d->rpc)
		rpc_close(d->rpc, on_rpc_closed, d);
	if (d->source)
		path_source_close(d->source, NULL, NULL);
}

static void on_control_stopped(void *ctx)
{
	close_rest(ctx);
}

/* Everything on the loop is closed; what is left is removed behind it. */
static void stop(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	notify("STOPPING=1");
	if (d->control)
		control_stop(d->control, d->detach, on_control_stopped, d);
	else
		close_rest(d);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct daemon *d = s->data;

	if (d->stopping)
		return;
	/* SIGTERM is a restart: connections wait for the next daemon. */
	d->detach = number == SIGTERM;
	log_info("%s: %s", number == SIGINT ? "interrupted" : "terminated",
		 d->detach ? "detaching, connections stay" : "stopping");
	stop(d);
}

static void on_never(uv_poll_t *p, int status, int events)
{
	(void)p;
	(void)status;
	(void)events;
}

/*
 * libuv aborts when its table of watched descriptors cannot grow. Watching a high one for a moment makes
 * it as large as it will ever be, while there is somebody to see it fail.
 */
static void reserve_watchers(uv_loop_t *loop)
{
	uv_poll_t high;
	int pair[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	fd = fcntl(pair[0], F_DUPFD_CLOEXEC, HIGH_FD);
	if (fd >= 0 && !uv_poll_init(loop, &high, fd)) {
		uv_poll_start(&high, UV_READABLE, on_never);
		uv_close((uv_handle_t *)&high, NULL);
		uv_run(loop, UV_RUN_NOWAIT); /* before @high goes */
	}
	if (fd >= 0)
		close(fd);
	close(pair[0]);
	close(pair[1]);
}

static int start_loop(struct daemon *d, char *why)
{
	int err = uv_loop_init(&d->loop);

	if (err < 0) {
		snprintf(why, STATE_WHY_LEN, "event loop: %s", uv_strerror(err));
		return err;
	}
	reserve_watchers(&d->loop);
	uv_signal_init(&d->loop, &d->signals[0]);
	uv_signal_init(&d->loop, &d->signals[1]);
	uv_timer_init(&d->loop, &d->retry);
	d->signals[0].data = d->signals[1].data = d->retry.data = d;
	uv_signal_start(&d->signals[0], on_signal, SIGINT);
	uv_signal_start(&d->signals[1], on_signal, SIGTERM);
	return 0;
}

static void tear_down(struct daemon *d)
{
	char why[STATE_WHY_LEN] = "";

	uv_run(&d->loop, UV_RUN_DEFAULT); /* closes what the first run left */
	if (uv_loop_close(&d->loop) < 0)
		log_warn("event loop: handles are still open");
	control_free(d->control);
	if (d->contact_fd >= 0)
		close(d->contact_fd);
	for (unsigned int i = 0; i < d->num_fds; i++)
		close(d->worker_fds[i]);
	store_close(d->store);
	store_saved_free(&d->saved);
	if (d->detach && (d->state.num_namespaces || d->state.num_devices)) {
		devices_detach(&d->devices);
		log_info("namespaces, devices and connections stay: start shilad again to go on, or remove them with "
			 "`shilad --clean`");
		return;
	}
	store_forget(d->cfg->state);
	/*
	 * The file may name more than this run made: what a killed daemon left, if this one never came
	 * as far as to take it over, or has other names in its configuration.
	 */
	if ((d->devices_up && devices_down(&d->devices, why) < 0) || devices_clean(&d->state, why) < 0) {
		log_error("%s", why);
		d->err = d->err ? d->err : -EIO;
		return; /* the state file stays, for --clean */
	}
	state_forget(&d->state);
}

int daemon_run(const struct config *cfg)
{
	struct daemon *d = calloc(1, sizeof(*d));
	char why[STATE_WHY_LEN] = "";
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	int err;

	if (!d)
		return -ENOMEM;
	d->cfg = cfg;
	d->contact_fd = -1;
	d->workers = cfg->workers ? cfg->workers : cpus < CONFIG_MAX_WORKERS ? cpus : CONFIG_MAX_WORKERS;
	snprintf(d->waiting, sizeof(d->waiting), "starting");
	signal(SIGPIPE, SIG_IGN);
	err = netns_check_host(why);
	if (err < 0)
		goto free_daemon;
	err = state_open(cfg->state, &d->state, why);
	if (err == -EBADMSG) {
		log_warn("%s; it is set aside as owned.json.refused: what an earlier daemon made is not known any more",
			 why);
		state_set_aside(cfg->state);
		err = state_open(cfg->state, &d->state, why);
	}
	if (err < 0)
		goto free_daemon;
	why[0] = '\0';
	snprintf(d->state.control, sizeof(d->state.control), "%s", cfg->control);
	err = start_loop(d, why);
	if (err < 0)
		goto close_state;
	err = state_save(&d->state, why); /* --clean removes the socket by it */
	if (err >= 0)
		err = rpc_open(&d->loop, cfg->control, methods, d, cfg->limits.control_clients, &d->rpc,
			       why);
	if (err >= 0) {
		err = path_source_open(&d->loop, &cfg->scion.daemon, &d->source);
		if (err < 0)
			snprintf(why, sizeof(why), "SCION daemon client: %s", strerror(-err));
	}
	if (err < 0)
		fail(d, err, why);
	else
		resume_or_ask(d);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	tear_down(d);
	err = d->err;
	why[0] = '\0';
	if (!err && !d->detach)
		log_info("stopped, everything removed");
close_state:
	state_close(&d->state);
free_daemon:
	if (*why)
		log_error("%s", why);
	free(d);
	return err;
}

int daemon_clean(const struct config *cfg)
{
	struct state s;
	char why[STATE_WHY_LEN] = "";
	struct stat st;
	int err;

	if (stat(cfg->state, &st) < 0 && errno == ENOENT) {
		log_info("nothing to clean: there is no %s", cfg->state);
		return 0;
	}
	err = state_open(cfg->state, &s, why);
	if (err < 0) {
		log_error("%s", why);
		return err;
	}
	restart_farewell(cfg);
	err = devices_clean(&s, why);
	if (err < 0) {
		log_error("%s", why);
	} else {
		store_forget(cfg->state);
		if (*s.control)
			unlink(s.control);
		log_info("removed %zu namespace%s and %zu device%s", s.num_namespaces,
			 s.num_namespaces == 1 ? "" : "s", s.num_devices, s.num_devices == 1 ? "" : "s");
		state_forget(&s);
	}
	state_close(&s);
	return err;
}
