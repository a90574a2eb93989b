/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/frame.h"

#include "tests/fuzz/fuzz.h"

/* Parse, build, parse again: the same struct; and the built frame has a length the protocol allows.
 */

static uint8_t buf[70000];

static struct rd again(int len, const struct frame_hdr *was, bool epoch)
{
	struct frame_hdr h;
	struct rd r;

	MUST(len >= FRAME_HDR_LEN);
	r = rd_init(buf, (size_t)len);
	MUST(!frame_parse_hdr(&r, &h));
	MUST(h.type == was->type);
	if (epoch)
		MUST(h.epoch == was->epoch && h.to.id == was->to.id && h.to.tag == was->to.tag);
	return r;
}

static bool same_name(struct flow_name a, struct flow_name b)
{
	return a.id == b.id && a.tag == b.tag;
}

static void check_hdr(const struct frame_hdr *h)
{
	struct wr w = wr_init(buf, sizeof(buf));
	struct frame_hdr g;
	struct rd r;

	frame_build_hdr(&w, h);
	r = again(FRAME_HDR_LEN, h, true);
	r = rd_init(buf, FRAME_HDR_LEN);
	MUST(!w.bad && !frame_parse_hdr(&r, &g));
	MUST(g.flags == h->flags && g.req == h->req && g.ans == h->ans);
}

static void check_thin(struct rd *r, const struct frame_hdr *h)
{
	struct wr w = wr_init(buf, sizeof(buf));
	struct thin_tcp a, b;
	size_t before = r->left;

	if (frame_parse_thin(r, &a))
		return;
	MUST(before - r->left == frame_thin_len(a.flags, a.opts_len));
	MUST(a.opts_len <= 40 && a.opts_len % 4 == 0);
	frame_build_hdr(&w, h);
	frame_build_thin(&w, &a);
	MUST(!w.bad);
	*r = again((int)(w.p - buf), h, true);
	MUST(!frame_parse_thin(r, &b) && !r->left);
	MUST(a.seq == b.seq && a.ack == b.ack && a.flags == b.flags && a.window == b.window);
	MUST(a.urgent == b.urgent && a.opts_len == b.opts_len &&
	     !memcmp(a.opts, b.opts, a.opts_len));
}

static void check_open(struct rd *r, const struct frame_hdr *h)
{
	struct frame_open a, b;
	size_t len = r->left + FRAME_HDR_LEN;
	int n;

	if (frame_parse_open(r, &a))
		return;
	MUST(len >= FRAME_OPEN_MIN_LEN && FLOW_ID_INDEX(a.from.id));
	n = frame_build_open(buf, sizeof(buf), &a);
	MUST(n >= FRAME_OPEN_MIN_LEN && (size_t)n <= len);
	*r = again(n, h, false);
	MUST(!frame_parse_open(r, &b));
	MUST(same_name(a.from, b.from) && a.kind == b.kind && a.proto == b.proto &&
	     a.epoch == b.epoch);
	MUST(a.path_mtu == b.path_mtu && a.born_ms == b.born_ms && a.src_port == b.src_port && a.dst_port == b.dst_port);
	MUST(ip_addr_eq(&a.src, &b.src) && ip_addr_eq(&a.dst, &b.dst) && a.src.len == a.dst.len);
	MUST(a.body_len == b.body_len && !memcmp(a.body, b.body, a.body_len));
}

static void check_accept(struct rd *r, const struct frame_hdr *h)
{
	struct frame_accept a, b;
	int n;

	if (frame_parse_accept(r, &a))
		return;
	MUST(a.worker_port && FLOW_ID_INDEX(a.from.id));
	n = frame_build_accept(buf, sizeof(buf), &h->to, h->epoch, &a);
	MUST(n <= FRAME_ACCEPT_MAX_LEN);
	*r = again(n, h, true);
	MUST(!frame_parse_accept(r, &b) && same_name(a.from, b.from) &&
	     a.worker_port == b.worker_port);
	MUST(a.body_len == b.body_len && !memcmp(a.body, b.body, a.body_len));
}

static void check_end(struct rd *r, const struct frame_hdr *h)
{
	struct frame_end a, b;

	if (frame_parse_end(r, &a))
		return;
	*r = again(frame_build_end(buf, sizeof(buf), h->type, &h->to, &a), h, false);
	MUST(!frame_parse_end(r, &b) && same_name(a.from, b.from) && a.reason == b.reason);
	MUST(*frame_reason_str(a.reason));
}

static void check_hello(struct rd *r, const struct frame_hdr *h)
{
	struct frame_hello a, b;

	if (frame_parse_hello(r, &a))
		return;
	MUST(a.num_workers && a.num_workers <= FRAME_MAX_WORKERS);
	*r = again(frame_build_hello(buf, sizeof(buf), h->type, &a), h, false);
	MUST(!frame_parse_hello(r, &b));
	MUST(a.min_version == b.min_version && a.max_version == b.max_version &&
	     a.features == b.features);
	MUST(a.boot_id == b.boot_id && a.cookie == b.cookie && a.max_flows == b.max_flows);
	MUST(a.num_workers == b.num_workers &&
	     !memcmp(a.worker_ports, b.worker_ports, sizeof(a.worker_ports)));
}

static void check_probe(struct rd *r, const struct frame_hdr *h)
{
	struct frame_probe a, b;

	if (frame_parse_probe(r, &a))
		return;
	*r = again(frame_build_probe(buf, sizeof(buf), h->type, &a), h, false);
	MUST(!frame_parse_probe(r, &b) && a.id == b.id && a.sent_us == b.sent_us);
}

static void check_unknown(struct rd *r, const struct frame_hdr *h)
{
	struct frame_unknown a, b;

	if (frame_parse_unknown(r, &a))
		return;
	*r = again(frame_build_unknown(buf, sizeof(buf), &a), h, false);
	MUST(!frame_parse_unknown(r, &b) && same_name(a.addressed, b.addressed));
	MUST(a.scion_flow_id == b.scion_flow_id && a.scion_flow_id < 1 << FLOW_ID_INDEX_BITS);
}

static void check_datagram(struct rd *r, const struct frame_hdr *h)
{
	struct wr w = wr_init(buf, sizeof(buf));
	uint16_t a, b;

	if (frame_parse_datagram(r, h, &a))
		return;
	MUST(frame_build_datagram(&w, h, a) > 0);
	wr_u8(&w, 0x45);
	*r = again((int)(w.p - buf), h, true);
	MUST(!frame_parse_datagram(r, h, &b) && a == b && r->left == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct frame_hdr h;

	if (frame_parse_hdr(&r, &h))
		return 0;
	MUST(r.left == size - FRAME_HDR_LEN);
	check_hdr(&h);
	switch ((enum frame_type)h.type) {
	case FRAME_HELLO:
	case FRAME_HELLO_ACK:
		check_hello(&r, &h);
		break;
	case FRAME_OPEN:
		check_open(&r, &h);
		break;
	case FRAME_ACCEPT:
		check_accept(&r, &h);
		break;
	case FRAME_REJECT:
	case FRAME_CLOSE:
		check_end(&r, &h);
		break;
	case FRAME_DATA:
		check_thin(&r, &h);
		break;
	case FRAME_DATAGRAM:
		check_datagram(&r, &h);
		break;
	case FRAME_PROBE:
	case FRAME_PROBE_REPLY:
		check_probe(&r, &h);
		break;
	case FRAME_UNKNOWN:
		check_unknown(&r, &h);
		break;
	case FRAME_ALIVE:
		break;
	}
	return 0;
}
