/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/router.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/*
 * A router that would check MACs would take nothing of what a fuzzer makes, so the first byte says
 * how many of the hop fields, from the current one, get a right one.
 *
 *   flags(1)     bit 0: as a train; bits 1 and 2: right MACs; bits 3 to 5: interface it comes in by
 *   seg_len(1)   of a train, in units of 8 bytes
 *   the packet
 */

enum { NUM_LINKS = 5, PATH_AT_LEAST = 4 + 8 + 12 };

static struct router router;

static void set_up(void)
{
	static const uint8_t master[16] = { 1 };
	static const uint8_t host[] = { 10, 0, 0, 1 };

	if (router.key)
		return;
	router.key = hop_key_new(master, sizeof(master));
	router.ia.v = 1ULL << 48 | 64512;
	router.host = ip_addr_make(host, sizeof(host));
	router.control = sock_addr_make(&router.host, 30252);
	for (uint16_t i = 0; i < NUM_LINKS; i++)
		router.interfaces[router.num_interfaces++] =
			(struct router_interface){ (uint16_t)(i + 1), (enum router_link)(i % 4 + 1), i != 4 };
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* A right MAC for the current hop field, and one for that behind it, as far as the packet goes */
static void put_macs(uint8_t *p, size_t len, unsigned int count, uint16_t in)
{
	size_t fixed = len > 12 ? 12u + 16 + 4 * ((p[9] >> 4 & 3u) + 1) + 4 * ((p[9] & 3u) + 1) : len;
	unsigned int inf, hf, seg[3], num_inf;
	uint8_t *path = p + fixed;

	if (len < fixed + PATH_AT_LEAST)
		return;
	inf = path[0] >> 6;
	hf = path[0] & 0x3f;
	seg[0] = (unsigned int)(path[1] & 3) << 4 | path[2] >> 4;
	seg[1] = (path[2] & 15u) << 2 | path[3] >> 6;
	seg[2] = path[3] & 63;
	num_inf = (unsigned int)!!seg[0] + !!seg[1] + !!seg[2];
	for (; count && inf < num_inf; count--, hf++) {
		uint8_t *info = path + 4 + 8 * inf, *hop = path + 4 + 8 * num_inf + 12 * hf;
		struct hop_mac_input m;

		if (hop + 12 > p + len)
			return;
		m = (struct hop_mac_input){ .beta = be16(info + 2), .exp_time = hop[1] };
		m.timestamp = (uint32_t)be16(info + 4) << 16 | be16(info + 6);
		m.cons_ingress = be16(hop + 2);
		m.cons_egress = be16(hop + 4);
		hop_mac(router.key, &m, hop + 6);
		if (!(info[0] & 1) && in && !(info[0] & 2)) { /* which the router adds first */
			info[2] ^= hop[6];
			info[3] ^= hop[7];
		}
		in = 0;
		inf = hf + 1 < seg[0] ? 0 : hf + 1 < seg[0] + seg[1] ? 1 : 2;
	}
}

static void check(const struct router_result *r, const uint8_t *p, size_t len)
{
	MUST(r->verdict <= ROUTER_DROP);
	if (r->verdict == ROUTER_DROP) {
		MUST(r->drop < ROUTER_NUM_DROPS && *router_drop_str(r->drop));
		return;
	}
	if (r->p == r->scmp)
		MUST(r->verdict == ROUTER_ANSWER && r->len >= 12 && r->len <= ROUTER_MAX_SCMP && r->scmp[4] == 202);
	else
		MUST(r->p == p && r->len <= len);
	if (r->verdict == ROUTER_FORWARD)
		MUST(router_interface(&router, r->egress) && router_interface(&router, r->egress)->up);
	if (r->verdict == ROUTER_DELIVER)
		MUST(sock_addr_len(&r->to));
}

static void on_run(void *ctx, const struct router_result *res, const uint8_t *p, size_t len, size_t seg_len,
		   unsigned int count)
{
	unsigned int *seen = ctx;

	(void)p;
	MUST(count && seg_len <= len);
	MUST(count == 1 || (res->verdict != ROUTER_ANSWER && len > (count - 1) * seg_len && len <= count * seg_len));
	*seen += count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t p[1 << 16], train[1 << 16];
	static struct router_result res;
	unsigned int seen = 0;
	size_t len = size - 2, seg_len;
	uint16_t in;

	if (size < 2 || len > sizeof(p))
		return 0;
	set_up();
	in = (data[0] >> 3 & 7) % (NUM_LINKS + 1);
	memcpy(p, data + 2, len);
	put_macs(p, len, data[0] >> 1 & 3, in);
	memcpy(train, p, len);
	router_forward(&router, p, len, in, 1700000000LL * 1000000000, &res);
	check(&res, p, len);
	if (!(data[0] & 1))
		return 0;
	seg_len = data[1] ? 8u * data[1] : len;
	router_train(&router, train, len, seg_len, in, 1700000000LL * 1000000000, on_run, &seen);
	MUST(seen == (len ? (len + (seg_len < len ? seg_len : len) - 1) / (seg_len < len ? seg_len : len) : 0));
	return 0;
}
