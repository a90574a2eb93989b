/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/path_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * path_dump IP:PORT [ISD-AS [refresh]]: what the path source says about the local AS and the paths
 * to another, one path a line: fingerprint, hops, what is known of it.
 */

struct dump {
	struct path_source *ps;
	struct isd_as dst;
	bool want_paths, refresh;
	int exit_code;
};

static void give_up(struct dump *d, int err, const char *why)
{
	fprintf(stderr, "path_dump: %s (%s)\n", why ? why : "not asked", strerror(-err));
	d->exit_code = 1;
	path_source_close(d->ps, NULL, NULL);
}

static char *addr_str(const union sock_addr *sa, char *buf, size_t cap)
{
	struct ip_addr ip = sock_addr_ip(sa);
	char text[IP_ADDR_STRLEN];

	snprintf(buf, cap, ip.len == 16 ? "[%s]:%u" : "%s:%u", ip_addr_str(&ip, text),
		 sock_addr_port(sa));
	return buf;
}

static void print_path(const struct path *p)
{
	char fingerprint[PATH_FINGERPRINT_STRLEN], ia[ISD_AS_STRLEN], addr[80];

	printf("%s", path_fingerprint_str(p, fingerprint));
	for (uint16_t i = 0; i < p->num_hops; i++)
		printf(" %s#%u", isd_as_str(p->hops[i].ia, ia), p->hops[i].ifid);
	printf(" raw %u mtu %u", p->raw_len, p->mtu_bytes);
	if (p->num_hops)
		printf(" via %s expires in %" PRId64 " s",
		       addr_str(&p->next_hop, addr, sizeof(addr)),
		       p->expiry_unix_s - (int64_t)time(NULL));
	if (p->latency_us != PATH_LATENCY_UNKNOWN)
		printf(" latency %" PRIu32 " us", p->latency_us);
	if (p->bandwidth_kbps)
		printf(" bandwidth %" PRIu64 " kbit/s", p->bandwidth_kbps);
	printf("\n");
}

static void on_paths(void *ctx, int err, const char *why, struct path **paths, size_t n)
{
	struct dump *d = ctx;

	if (err < 0) {
		give_up(d, err, why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		print_path(paths[i]);
		path_put(paths[i]);
	}
	path_source_close(d->ps, NULL, NULL);
}

static void on_local_as(void *ctx, int err, const char *why, const struct local_as *as)
{
	struct dump *d = ctx;
	char ia[ISD_AS_STRLEN], addr[80];

	if (err < 0) {
		give_up(d, err, why);
		return;
	}
	printf("# local AS %s mtu %u ports %u-%u routers", isd_as_str(as->ia, ia), as->mtu_bytes,
	       as->port_min, as->port_max);
	for (size_t i = 0; i < as->num_routers; i++)
		printf(" %s", addr_str(&as->routers[i], addr, sizeof(addr)));
	printf("\n");
	if (!d->want_paths) {
		path_source_close(d->ps, NULL, NULL);
		return;
	}
	err = path_source_paths(d->ps, d->dst, d->refresh, on_paths, d);
	if (err < 0)
		give_up(d, err, NULL);
}

int main(int argc, char **argv)
{
	struct dump d = {.want_paths = argc > 2, .refresh = argc > 3};
	union sock_addr daemon;
	uv_loop_t loop;
	int err;

	if (argc < 2 || sock_addr_parse(argv[1], &daemon) < 0 ||
	    (argc > 2 && isd_as_parse(argv[2], &d.dst) < 0)) {
		fprintf(stderr, "usage: path_dump IP:PORT [ISD-AS [refresh]]\n");
		return 2;
	}
	uv_loop_init(&loop);
	err = path_source_open(&loop, &daemon, &d.ps);
	if (err < 0) {
		fprintf(stderr, "path_dump: %s\n", strerror(-err));
		return 1;
	}
	err = path_source_local_as(d.ps, on_local_as, &d);
	if (err < 0)
		give_up(&d, err, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) < 0 ? 3 : d.exit_code;
}
