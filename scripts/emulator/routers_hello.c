/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/routers.h"

#include "shila/base/bytes.h"
#include "shila/wire/scion.h"

#include <string.h>

/*
 * Whether a link lives is found out as with BFD: each end says what it hears, so a link that is dead
 * in one direction is down at both ends.
 */

enum { L4_BFD = 203, BFD_LEN = 24 };

struct router_interface *gate_interface(struct gate *p)
{
	return (struct router_interface *)router_interface(&p->node->router, p->id);
}

static size_t build_hello(const struct gate *p, uint8_t *buf)
{
	struct ip_addr local = sock_addr_ip(&p->local), remote = sock_addr_ip(&p->remote);
	struct scion_hdr h = {
		.flow_id = 1,
		.dst = { p->neighbour, remote },
		.src = { p->node->router.ia, local },
		.next_hdr = L4_BFD,
		.payload_len = BFD_LEN,
	};
	struct wr w = wr_init(buf, 128);
	size_t n = (size_t)scion_build_hdr(&w, &h);

	memset(buf + n, 0, BFD_LEN);
	buf[n] = 1 << 5; /* version */
	buf[n + 1] = (uint8_t)(p->hello << 6);
	buf[n + 2] = HELLO_TIMEOUT_MS / HELLO_INTERVAL_MS;
	buf[n + 3] = BFD_LEN;
	put_be16(buf + n + 6, p->id); /* my discriminator */
	put_be32(buf + n + 12, HELLO_INTERVAL_MS * 1000);
	put_be32(buf + n + 16, HELLO_INTERVAL_MS * 1000);
	return n + BFD_LEN;
}

static bool is_hello(const uint8_t *p, size_t len)
{
	return len >= 12 + BFD_LEN && p[4] == L4_BFD && p[8] == SCION_PATH_EMPTY && p[5] * 4u + BFD_LEN == len;
}

static void set_hello(struct gate *p, enum hello_state state)
{
	p->hello = state;
	gate_interface(p)->up = state == HELLO_UP;
}

static void got_hello(struct gate *p, const uint8_t *data)
{
	enum hello_state theirs = data[data[5] * 4u + 1] >> 6;

	if (!p->bfd)
		return;
	p->heard_ms = (int64_t)(loop_now() / 1000000);
	if (p->hello == HELLO_DOWN && theirs == HELLO_DOWN)
		set_hello(p, HELLO_INIT);
	else if (p->hello != HELLO_UP && (theirs == HELLO_INIT || (theirs == HELLO_UP && p->hello == HELLO_INIT)))
		set_hello(p, HELLO_UP);
	else if (p->hello == HELLO_UP && theirs == HELLO_DOWN)
		set_hello(p, HELLO_DOWN);
}

void routers_hello(struct routers *rs, int64_t now_ms, bool send)
{
	uint8_t buf[128];

	for (unsigned int i = 0; i < rs->num; i++) {
		struct node *n = rs->nodes[i];

		for (unsigned int j = 1; n->open && j < n->num_gates; j++) {
			struct gate *p = &n->gates[j];

			if (!p->bfd)
				continue;
			if (p->hello != HELLO_DOWN && now_ms - p->heard_ms > HELLO_TIMEOUT_MS)
				set_hello(p, HELLO_DOWN);
			if (send)
				gate_send(p, NULL, buf, build_hello(p, buf), sizeof(buf));
		}
	}
}

/* A hello that follows a train closely is merged with it, as its last and shorter packet. Return: its length */
size_t gate_take_hello(struct gate *p, const uint8_t *train, size_t len, size_t seg_len)
{
	size_t last = len % seg_len ? len % seg_len : seg_len;

	if (!is_hello(train + len - last, last))
		return 0;
	got_hello(p, train + len - last);
	return last;
}
