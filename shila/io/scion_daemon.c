/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/scion_daemon.h"

#include "shila/base/log.h"
#include "shila/base/wall_clock.h"
#include "shila/io/grpc_client.h"
#include "shila/io/underlay.h"
#include "shila/io/proto/daemon.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The path source that asks the SCION daemon: questions here, answers in scion_daemon_decode.c. */

#define SERVICE     "/proto.daemon.v1.DaemonService/"
#define WHAT        "SCION daemon"
#define REMEDY      "is it running, and is scion.daemon its address?"
#define DEADLINE_MS 5000 /* the first lookup of an AS fetches trust material and can take seconds  \
			  */

enum { GRPC_UNIMPLEMENTED = 12 };

/* A question under way. Three calls make one question about the local AS. */
struct request {
	struct request *prev, *next;
	struct path_source *ps;
	union {
		path_source_as_cb as_cb;
		path_source_paths_cb paths_cb;
	};
	void *ctx;
	struct isd_as dst;
	struct local_as as;
	unsigned int pending;
	int err; /* of the first call that failed */
	char why[GRPC_WHY_LEN];
};

struct path_source {
	struct grpc_client *grpc;
	struct request *requests;
	struct isd_as local; /* 0: not known yet */
	uint16_t mtu_bytes;  /* of the local AS; 0: not known yet */
	bool mtu_said;
	struct wall_clock clock;
	uint64_t rejected;
	char name[IP_ADDR_STRLEN + 32]; /* "SCION daemon IP:PORT" */
	void (*done)(void *ctx);
	void *done_ctx;
};

int path_source_open(uv_loop_t *loop, const union sock_addr *daemon, struct path_source **out)
{
	struct path_source *ps = calloc(1, sizeof(*ps));
	struct ip_addr ip = sock_addr_ip(daemon);
	char text[IP_ADDR_STRLEN];
	int err;

	if (!ps)
		return -ENOMEM;
	wall_clock_init(&ps->clock);
	snprintf(ps->name, sizeof(ps->name), ip.len == 16 ? WHAT " [%s]:%u" : WHAT " %s:%u",
		 ip_addr_str(&ip, text), sock_addr_port(daemon));
	err = grpc_client_open(loop, daemon, WHAT, REMEDY, &ps->grpc);
	if (err < 0) {
		free(ps);
		return err;
	}
	*out = ps;
	return 0;
}

static struct request *request_new(struct path_source *ps, void *ctx)
{
	struct request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->ps = ps;
	req->ctx = ctx;
	req->next = ps->requests;
	if (req->next)
		req->next->prev = req;
	ps->requests = req;
	return req;
}

static void request_unlink(struct request *req)
{
	if (req->prev)
		req->prev->next = req->next;
	else
		req->ps->requests = req->next;
	if (req->next)
		req->next->prev = req->prev;
}

static void on_client_closed(void *ctx)
{
	struct path_source *ps = ctx;

	while (ps->requests) {
		struct request *req = ps->requests;

		request_unlink(req);
		free(req);
	}
	if (ps->done)
		ps->done(ps->done_ctx);
	free(ps);
}

void path_source_close(struct path_source *ps, void (*done)(void *ctx), void *ctx)
{
	ps->done = done;
	ps->done_ctx = ctx;
	grpc_client_close(ps->grpc, on_client_closed, ps);
}

uint64_t path_source_rejected(const struct path_source *ps)
{
	return ps->rejected;
}

/* ---- the local AS ---- */

/*
 * limit_mtu() - What the device towards the border routers cannot carry is no MTU: probes would pass, and
 * data would not.
 */
static void limit_mtu(struct path_source *ps, struct local_as *as)
{
	int max = as->num_routers ? underlay_max_bytes(&as->routers[0]) : -ENOENT;

	if (max < SCION_DAEMON_MIN_MTU || as->mtu_bytes <= max)
		return;
	if (!ps->mtu_said)
		log_warn("%s: the MTU of the AS is %u, but no more than %d fits towards its border router: that is "
			 "used", ps->name, as->mtu_bytes, max);
	ps->mtu_said = true;
	as->mtu_bytes = (uint16_t)max;
}

/* as_part_done() - One of the calls is answered (@err) or was never made; the last one reports. */
static void as_part_done(struct request *req, int err, const char *why)
{
	if (err < 0 && !req->err) {
		req->err = err;
		snprintf(req->why, sizeof(req->why), "%s", why);
	}
	if (--req->pending)
		return;
	request_unlink(req);
	if (!req->err) {
		limit_mtu(req->ps, &req->as);
		req->ps->local = req->as.ia;
		req->ps->mtu_bytes = req->as.mtu_bytes;
	}
	req->as_cb(req->ctx, req->err, req->err ? req->why : NULL, req->err ? NULL : &req->as);
	free(req);
}

static void as_part_nonsense(struct request *req, const char *about)
{
	char why[GRPC_WHY_LEN];

	snprintf(why, sizeof(why), "%s tells nonsense about %s", req->ps->name, about);
	as_part_done(req, -EPROTO, why);
}

static void on_as(void *ctx, int err, unsigned int status, const char *why, const uint8_t *msg,
		  size_t len)
{
	struct request *req = ctx;

	(void)status;
	if (!err && scion_daemon_as_decode(msg, len, &req->as) < 0)
		as_part_nonsense(req, "the local AS (its number or MTU)");
	else
		as_part_done(req, err, why);
}

static void on_interfaces(void *ctx, int err, unsigned int status, const char *why,
			  const uint8_t *msg, size_t len)
{
	struct request *req = ctx;

	(void)status;
	if (!err && scion_daemon_interfaces_decode(msg, len, &req->as) < 0)
		as_part_nonsense(req, "the border routers");
	else
		as_part_done(req, err, why);
}

static void on_port_range(void *ctx, int err, unsigned int status, const char *why,
			  const uint8_t *msg, size_t len)
{
	struct request *req = ctx;

	if (err == -EREMOTEIO && status == GRPC_UNIMPLEMENTED)
		as_part_done(req, 0, NULL); /* older than port ranges */
	else if (!err && scion_daemon_port_range_decode(msg, len, &req->as) < 0)
		as_part_nonsense(req, "the range of ports");
	else
		as_part_done(req, err, why);
}

int path_source_local_as(struct path_source *ps, path_source_as_cb cb, void *ctx)
{
	static const struct {
		const char *method;
		grpc_cb cb;
	} parts[] = {
		/* All three messages are empty: AS 0 is the local one. */
		{SERVICE "AS", on_as},
		{SERVICE "Interfaces", on_interfaces},
		{SERVICE "PortRange", on_port_range},
	};
	struct request *req = request_new(ps, ctx);
	int err = 0;

	if (!req)
		return -ENOMEM;
	req->as_cb = cb;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		err = grpc_client_call(ps->grpc, parts[i].method, NULL, 0, DEADLINE_MS, parts[i].cb,
				       req);
		if (err < 0)
			break;
		req->pending++;
	}
	if (!req->pending) {
		request_unlink(req);
		free(req);
		return err;
	}
	if (err < 0) {
		req->err = err;
		snprintf(req->why, sizeof(req->why), "%s cannot be asked: %s", ps->name,
			 strerror(-err));
	}
	return 0;
}

/* ---- paths ---- */

/*
 * unusable() - What only the context tells: a path that has expired, an empty path to another AS, a
 * path out of another AS than ours.
 */
static const char *unusable(const struct path_source *ps, const struct path *p, int64_t now_s)
{
	if (p->expiry_unix_s <= now_s)
		return "expired; do the clocks agree?";
	if (!ps->local.v)
		return NULL;
	if (!p->num_hops != (p->dst_ia.v == ps->local.v))
		return "empty path to another AS, or none to the own";
	if (p->num_hops && p->hops[0].ia.v != ps->local.v)
		return "starts in another AS";
	return NULL;
}

static void on_paths(void *ctx, int err, unsigned int status, const char *why, const uint8_t *msg,
		     size_t len)
{
	struct request *req = ctx;
	struct path_source *ps = req->ps;
	struct path *paths[SCION_DAEMON_MAX_PATHS];
	struct scion_daemon_drops drops = {0};
	char ia[ISD_AS_STRLEN], text[GRPC_WHY_LEN];
	size_t n = 0, kept = 0;

	(void)status;
	isd_as_str(req->dst, ia);
	wall_clock_look(&ps->clock);
	if (!err) {
		err = scion_daemon_paths_decode(msg, len, req->dst, paths, SCION_DAEMON_MAX_PATHS,
						&n, &drops);
		why = text;
		snprintf(text, sizeof(text), "%s: answer about %s %s", ps->name, ia,
			 err == -ENOMEM ? "does not fit into memory" : "is malformed");
	}
	for (size_t i = 0; i < n; i++) {
		const char *wrong = unusable(ps, paths[i], wall_clock_earliest(&ps->clock));

		if (!wrong) {
			/* A path begins in the local AS, so it cannot take more than that does. */
			if (ps->mtu_bytes && paths[i]->mtu_bytes > ps->mtu_bytes)
				paths[i]->mtu_bytes = ps->mtu_bytes;
			paths[kept++] = paths[i];
			continue;
		}
		path_put(paths[i]);
		if (!drops.bad++)
			drops.reason = wrong;
	}
	if (drops.bad) {
		/* Once as a warning: a daemon that is wrong is wrong at every refresh. */
		log_at(ps->rejected ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
		       "%s: %u of its paths to %s are not used (the first: %s)", ps->name,
		       drops.bad, ia, drops.reason);
		ps->rejected += drops.bad;
		if (!kept) {
			err = -EPROTO;
			snprintf(text, sizeof(text),
				 "%s: none of its %u paths to %s can be used: %s", ps->name,
				 drops.bad, ia, drops.reason);
		}
	}
	if (drops.surplus)
		log_debug("%s: %u more paths to %s than are kept", ps->name, drops.surplus, ia);
	request_unlink(req);
	req->paths_cb(req->ctx, err, err < 0 ? why : NULL, kept ? paths : NULL, kept);
	free(req);
}

int path_source_paths(struct path_source *ps, struct isd_as dst, bool refresh,
		      path_source_paths_cb cb, void *ctx)
{
	Proto__Daemon__V1__PathsRequest m = PROTO__DAEMON__V1__PATHS_REQUEST__INIT;
	struct request *req = request_new(ps, ctx);
	uint8_t buf[64];
	int err;

	if (!req)
		return -ENOMEM;
	req->paths_cb = cb;
	req->dst = dst;
	m.destination_isd_as = dst.v;
	m.refresh = refresh;
	err = grpc_client_call(ps->grpc, SERVICE "Paths", buf,
			       proto__daemon__v1__paths_request__pack(&m, buf), DEADLINE_MS,
			       on_paths, req);
	if (err < 0) {
		request_unlink(req);
		free(req);
	}
	return err;
}

static void on_interface_down(void *ctx, int err, unsigned int status, const char *why,
			      const uint8_t *msg, size_t len)
{
	(void)ctx, (void)status, (void)msg, (void)len;
	if (err < 0)
		log_debug("%s", why);
}

void path_source_interface_down(struct path_source *ps, struct isd_as ia, uint64_t ifid)
{
	Proto__Daemon__V1__NotifyInterfaceDownRequest m =
		PROTO__DAEMON__V1__NOTIFY_INTERFACE_DOWN_REQUEST__INIT;
	uint8_t buf[64];

	m.isd_as = ia.v;
	m.id = ifid;
	(void)grpc_client_call(ps->grpc, SERVICE "NotifyInterfaceDown", buf,
			       proto__daemon__v1__notify_interface_down_request__pack(&m, buf),
			       DEADLINE_MS, on_interface_down, NULL);
}
