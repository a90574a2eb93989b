/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/scion_daemon.h"
#include "tests/fuzz/fuzz.h"

/* The last 8 bytes are the destination that was asked for, the rest is the daemon's answer. */
static void check_path(const struct path *p, struct isd_as dst)
{
	uint16_t ids[PATH_MAX_HOPS];

	MUST(p->dst_ia.v == dst.v && p->num_hops % 2 == 0 && p->mtu_bytes >= SCION_DAEMON_MIN_MTU);
	if (!p->num_hops) {
		MUST(!p->raw_len && p->expiry_unix_s == INT64_MAX);
		return;
	}
	MUST(p->hops[p->num_hops - 1].ia.v == dst.v && p->hops[0].ia.v != dst.v);
	MUST(p->next_hop.sa.sa_family == AF_INET || p->next_hop.sa.sa_family == AF_INET6);
	MUST(scion_path_interfaces(p->raw, p->raw_len, ids, PATH_MAX_HOPS) == p->num_hops);
	for (uint16_t i = 0; i < p->num_hops; i++)
		MUST(ids[i] == p->hops[i].ifid && ids[i]);
	MUST(p->expiry_unix_s <= scion_path_expiry(p->raw, p->raw_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scion_daemon_drops drops;
	struct local_as as = {0};
	struct isd_as dst = {0};
	struct path *paths[8];
	size_t n = 0;

	if (size >= 8)
		dst.v = get_be64(data + (size -= 8));
	if (!scion_daemon_paths_decode(data, size, dst, paths, 8, &n, &drops))
		MUST(n <= 8 && !drops.bad == !drops.reason);
	for (size_t i = 0; i < n; i++) {
		check_path(paths[i], dst);
		for (size_t j = 0; j < i; j++)
			MUST(!path_same(paths[i], paths[j]));
	}
	while (n)
		path_put(paths[--n]);

	if (!scion_daemon_as_decode(data, size, &as))
		MUST(as.ia.v >> 48 && as.mtu_bytes >= SCION_DAEMON_MIN_MTU);
	(void)scion_daemon_interfaces_decode(data, size, &as);
	MUST(as.num_routers <= 16);
	if (!scion_daemon_port_range_decode(data, size, &as))
		MUST(as.port_min <= as.port_max);
	return 0;
}
