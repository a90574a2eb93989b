/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/control/ends.h"

/* What shila wrote to a TUN, without virtio_net_hdr; 0 if nothing came within a second. */
static size_t take(int fd, uint8_t *pkt, size_t cap)
{
	uint8_t buf[4096];

	for (int i = 0; i < 2000; i++) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n > TRAIN_VNET_HDR_LEN && (size_t)n - TRAIN_VNET_HDR_LEN <= cap) {
			memcpy(pkt, buf + TRAIN_VNET_HDR_LEN, (size_t)n - TRAIN_VNET_HDR_LEN);
			return (size_t)n - TRAIN_VNET_HDR_LEN;
		}
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(500);
	}
	return 0;
}

static bool tcp_of(const uint8_t *pkt, size_t len, struct ip_pkt *ip, struct tcp_hdr *tcp)
{
	return len && !ip_parse(pkt, len, ip) && ip->proto == INET_PROTO_TCP &&
	       !tcp_parse(pkt + ip->l4_off, len - ip->l4_off, tcp);
}

static json_t *all_flows(struct control *c)
{
	json_t *list = json_array(), *f;
	struct rpc_cursor at = { 0 };

	while ((f = report_next_flow(c, &at)))
		json_array_append_new(list, f);
	return list;
}

static json_t *one_flow(struct control *c)
{
	json_t *flows = all_flows(c), *f = json_incref(json_array_get(flows, json_array_size(flows) - 1));

	json_decref(flows);
	return f;
}

static bool is(json_t *o, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text && !strcmp(text, value);
}

/* ---- the tests, in order ---- */

static void test_up(void)
{
	uv_loop_init(&loop);
	end_up(&left, 1);
	end_up(&right, 2);
	run_ms(300);
	struct rpc_cursor at_peer = { 0 }, at_path = { 0 };
	json_t *peer = report_next_peer(left.c, &at_peer);
	json_t *path = report_next_path(left.c, (struct isd_as){ 0 }, true, &at_path);

	CHECK("the peer answers", is(peer, "state", "up"));
	CHECK("and told its worker ports", json_array_size(json_object_get(peer, "worker_ports")) == 1);
	CHECK("its path is probed", is(path, "state", "up"));
	CHECK("there are no more", !report_next_peer(left.c, &at_peer) &&
	      !report_next_path(left.c, (struct isd_as){ 0 }, true, &at_path));
	json_decref(peer);
	json_decref(path);
}

static void test_connection(void)
{
	uint8_t pkt[2048];
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	struct tcp_options o;
	char text[IP_ADDR_STRLEN];
	json_t *f;

	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = 4000, .dst_port = 80, .seq = 1000, .flags = TCP_SYN, .window = 500,
				  .opts = syn_opts, .opts_len = 8 });
	CHECK("the SYN comes out", tcp_of(pkt, take(right.kernel[0], pkt, sizeof(pkt)), &ip, &tcp));
	struct ip_addr src = ip_pkt_src(&ip), dst = ip_pkt_dst(&ip);

	CHECK("to the ingress address", !strcmp(ip_addr_str(&dst, text), "10.70.2.1"));
	CHECK("from a pool address", !strcmp(ip_addr_str(&src, text), "10.64.0.1"));
	CHECK("as it was", tcp.seq == 1000 && tcp.flags == TCP_SYN && tcp.dst_port == 80 && tcp.src_port == 4000);
	CHECK("but for the MSS, which fits the path",
	      !tcp_options_parse(tcp.opts, tcp.opts_len, &o) && o.mss == 1472 - 36 - 8 - 24 && o.mptcp == MPTCP_CAPABLE);

	give(right.kernel[0], "10.70.2.1", "10.64.0.1",
	     &(struct tcp_build){ .src_port = 80, .dst_port = 4000, .seq = 7000, .ack = 1001, .flags = TCP_SYN | TCP_ACK,
				  .window = 600, .opts = synack_opts, .opts_len = 16 });
	CHECK("the SYN/ACK comes back", tcp_of(pkt, take(left.kernel[1], pkt, sizeof(pkt)), &ip, &tcp));
	src = ip_pkt_src(&ip);
	CHECK("from what the client named", !strcmp(ip_addr_str(&src, text), "10.70.2.9"));
	CHECK("as it was", tcp.seq == 7000 && tcp.ack == 1001 && tcp.flags == (TCP_SYN | TCP_ACK));
	f = one_flow(left.c);
	CHECK("open at the client", is(f, "state", "open") && is(f, "role", "main") && is(f, "side", "client"));
	CHECK("its token is that of the server's key", is(f, "token", "4a7ef1fd"));
	json_decref(f);

	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = 4000, .dst_port = 80, .seq = 1001, .ack = 7001, .flags = TCP_ACK | TCP_PSH,
				  .window = 500, .data = (const uint8_t *)"hello", .len = 5 });
	CHECK("data", tcp_of(pkt, take(right.kernel[0], pkt, sizeof(pkt)), &ip, &tcp) && tcp.seq == 1001);
	CHECK("all of it", ip.len == 20u + 20 + 5 && !memcmp(pkt + 40, "hello", 5));
	run_ms(50);
	f = one_flow(right.c);
	CHECK("open at the server", is(f, "state", "open") && is(f, "side", "server") && is(f, "client", "10.7.1.1"));
	CHECK("counted", json_integer_value(json_object_get(f, "rx_bytes")) == 5);
	json_decref(f);
}

static struct ctl_flow *open_flow(struct control *c)
{
	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f))
		if (f->tcp && f->state == FLOW_OPEN)
			return f;
	return NULL;
}

/* The client moved its flow and tells it by ALIVEs, which the server believes once the new path has answered a PROBE. */
static void test_probe_of_a_move(void)
{
	struct ctl_flow *client = open_flow(left.c), *server = open_flow(right.c);
	struct frame_hdr h = { .type = FRAME_ALIVE };
	struct arrival a = { .verdict = VERDICT_CONTROL };
	struct frame_probe first, other;
	uint8_t pkt[256] = { 0 };
	uint64_t probes;
	struct wr w;

	CU_ASSERT_FATAL(client && server && client->tmpl->len + FRAME_PROBE_LEN <= (int)sizeof(pkt));
	h.to = client->theirs;
	h.epoch = client->epoch + 1;
	w = wr_init(pkt + client->tmpl->len, FRAME_PROBE_LEN);
	frame_build_hdr(&w, &h);
	tmpl_write(client->tmpl, pkt, client->slot, 0, FRAME_PROBE_LEN, csum_add(0, pkt + client->tmpl->len, FRAME_PROBE_LEN));
	a.bytes = pkt;
	a.len = client->tmpl->len + FRAME_PROBE_LEN;
	a.socket = server->worker;
	a.peer = left.s.local;
	CHECK("an ALIVE", !scion_parse(pkt, a.len, &a.pkt) && !scion_udp_parse(&a.pkt, &a.udp));

	probes = right.c->n.probes_tx;
	moves_follow(right.c, server, &a, &h, false);
	CU_ASSERT_FATAL(server->move != NULL);
	first = (struct frame_probe){ .id = server->move->id, .sent_us = server->move->sent_us };
	CHECK("asked", right.c->n.probes_tx == probes + 1 && server->epoch != h.epoch);
	moves_follow(right.c, server, &a, &h, false);
	CHECK("not with each frame", right.c->n.probes_tx == probes + 1);
	usleep(60000);
	moves_follow(right.c, server, &a, &h, false);
	CHECK("but again: it, or its answer, may be lost", right.c->n.probes_tx == probes + 2);
	CHECK("the same question", server->move->id == first.id && server->move->sent_us == first.sent_us);
	other = first;
	other.sent_us++;
	CHECK("another answer", !moves_probe_reply(right.c, server->peer, &other) && server->epoch != h.epoch);
	CHECK("the answer to either", moves_probe_reply(right.c, server->peer, &first) && server->epoch == h.epoch);
	CHECK("once", !moves_probe_reply(right.c, server->peer, &first) && !server->move);
	client->epoch = h.epoch; /* as if it had really moved */
	flow_set_tmpl(client, tmpl_get(client->tmpl));
	run_ms(20);
}

static void test_surplus_join(void)
{
	static const uint8_t join[] = { 0x1e, 12, 0x10, 2, 0x4a, 0x7e, 0xf1, 0xfd, 1, 2, 3, 4 };
	uint8_t pkt[2048];
	struct ip_pkt ip;
	struct tcp_hdr tcp;

	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = 4001, .dst_port = 80, .seq = 5, .flags = TCP_SYN, .window = 500,
				  .opts = join, .opts_len = 12 });
	CHECK("RST", tcp_of(pkt, take(left.kernel[1], pkt, sizeof(pkt)), &ip, &tcp) && tcp.flags & TCP_RST);
	CHECK("with MP_TCPRST", tcp.opts_len == 4 && tcp.opts[0] == 0x1e && tcp.opts[2] >> 4 == 8 &&
	      tcp.opts[3] == MPTCP_RST_RESOURCES);
}

static void test_refusals(void)
{
	uint8_t pkt[2048];
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	size_t len;

	give(left.kernel[1], "10.7.1.1", "192.0.2.1",
	     &(struct tcp_build){ .src_port = 4002, .dst_port = 80, .seq = 5, .flags = TCP_SYN, .opts = syn_opts, .opts_len = 8 });
	len = take(left.kernel[1], pkt, sizeof(pkt));
	CHECK("no route: ICMP host unreachable", len && !ip_parse(pkt, len, &ip) && ip.proto == INET_PROTO_ICMP &&
	      pkt[ip.l4_off] == 3 && pkt[ip.l4_off + 1] == 1);
	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = 4003, .dst_port = 81, .seq = 5, .flags = TCP_SYN, .opts = syn_opts, .opts_len = 8 });
	CHECK("port not served: RST", tcp_of(pkt, take(left.kernel[1], pkt, sizeof(pkt)), &ip, &tcp) &&
	      tcp.flags & TCP_RST && tcp.ack == 6);
	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = 4004, .dst_port = 80, .seq = 5, .flags = TCP_SYN, .opts = syn_opts, .opts_len = 8 });
	CHECK("a SYN for a closed port", tcp_of(pkt, take(right.kernel[0], pkt, sizeof(pkt)), &ip, &tcp));
	give(right.kernel[0], "10.70.2.1", "10.64.0.1",
	     &(struct tcp_build){ .src_port = 80, .dst_port = 4004, .ack = 6, .flags = TCP_RST | TCP_ACK });
	CHECK("becomes a RST for the client", tcp_of(pkt, take(left.kernel[1], pkt, sizeof(pkt)), &ip, &tcp) &&
	      tcp.flags & TCP_RST);
	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = 4005, .dst_port = 80, .seq = 5, .ack = 9, .flags = TCP_ACK });
	CHECK("a segment of no flow: RST", tcp_of(pkt, take(left.kernel[1], pkt, sizeof(pkt)), &ip, &tcp) &&
	      tcp.flags & TCP_RST && tcp.seq == 9);
}

static void stopped(void *ctx)
{
	*(int *)ctx += 1;
}

static void test_stop(void)
{
	int done = 0;
	uint8_t pkt[2048];
	struct ip_pkt ip;
	struct tcp_hdr tcp;

	control_stop(right.c, false, stopped, &done);
	CHECK("CLOSE resets the client's TCP", tcp_of(pkt, take(left.kernel[1], pkt, sizeof(pkt)), &ip, &tcp) &&
	      tcp.flags & TCP_RST && tcp.src_port == 80 && tcp.dst_port == 4000);
	json_t *flows = all_flows(left.c);

	for (size_t i = 0; i < json_array_size(flows); i++)
		CHECK("that flow is gone", !is(json_array_get(flows, i), "local", "10.7.1.1:4000"));
	json_decref(flows);
	control_stop(left.c, false, stopped, &done);
	run_ms(100);
	CHECK("both have stopped", done == 2);
	for (struct end *e = &left; e; e = e == &left ? &right : NULL)
		end_free(e);
	run_ms(20);
	CHECK("nothing is left on the loop", uv_loop_close(&loop) == 0);
}

const struct unit_test unit_tests[] = {
	{ "two ends find each other", test_up },
	{ "a connection", test_connection },
	{ "the path of a move is probed until it answers", test_probe_of_a_move },
	{ "a surplus join", test_surplus_join },
	{ "refusals", test_refusals },
	{ "stop", test_stop },
	{ 0 },
};
