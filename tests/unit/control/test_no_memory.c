/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The 1st allocation fails, the 2nd, and so on, in everything that the control thread does: it never ends
 * the daemon, nothing is lost for good, nothing is leaked (ASan), and what is repeated works.
 */
#include "tests/unit/control/ends.h"
#include "tests/unit/oom.h"

#define TRIES 200 /* of 20 ms: what a kernel would repeat */

static unsigned int faults_seen;

static void set_up(void)
{
	log_level = getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
	uv_loop_init(&loop);
	end_up(&left, 1);
	end_up(&right, 2);
	run_ms(300);
	CHECK("the peer answers", left.c->peers->state == PEER_UP && left.c->peers->num_workers == 1);
}

static size_t take_now(int fd, uint8_t *pkt, size_t cap)
{
	uint8_t buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= TRAIN_VNET_HDR_LEN || (size_t)n - TRAIN_VNET_HDR_LEN > cap)
		return 0;
	memcpy(pkt, buf + TRAIN_VNET_HDR_LEN, (size_t)n - TRAIN_VNET_HDR_LEN);
	return (size_t)n - TRAIN_VNET_HDR_LEN;
}

/* Both kernels for a while. Return: whether the flow's packet of @proto with @flags arrived at @fd. */
static bool turn(int fd, uint8_t proto, uint16_t port, uint8_t flags, uint8_t *pkt)
{
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	uint16_t src, dst;

	for (int i = 0; i < 20; i++) {
		size_t len = take_now(fd, pkt, 2048);

		if (len && !ip_parse(pkt, len, &ip) && ip.proto == proto) {
			inet_ports(pkt, &ip, &src, &dst);
			if (src == port || dst == port) {
				if (proto != INET_PROTO_TCP)
					return true;
				if (!tcp_parse(pkt + ip.l4_off, len - ip.l4_off, &tcp) && (tcp.flags & flags) == flags)
					return true;
			}
		}
		run_ms(1);
	}
	return false;
}

static void drain(void)
{
	uint8_t pkt[2048];

	run_ms(5);
	for (int side = 0; side < 2; side++) {
		while (take_now(left.kernel[side], pkt, sizeof(pkt)))
			;
		while (take_now(right.kernel[side], pkt, sizeof(pkt)))
			;
	}
}

/* A connection as kernels make it, that repeat what is lost, and its end. */
static bool connection(uint16_t port)
{
	uint8_t pkt[2048];
	bool syn = false, ack = false, data = false;
	struct tcp_build b = { .src_port = port, .dst_port = 80, .seq = 1000, .flags = TCP_SYN, .window = 500,
			       .opts = syn_opts, .opts_len = 8 };

	for (int i = 0; i < TRIES && !ack; i++) {
		if (!(i % 10)) /* the kernel's SYN, once more every 200 ms */
			give(left.kernel[1], "10.7.1.1", "10.70.2.9", &b);
		syn = turn(right.kernel[0], INET_PROTO_TCP, port, TCP_SYN, pkt) || syn;
		if (syn && !(i % 5))
			give(right.kernel[0], "10.70.2.1", "10.64.0.1",
			     &(struct tcp_build){ .src_port = 80, .dst_port = port, .seq = 7000, .ack = 1001,
						  .flags = TCP_SYN | TCP_ACK, .window = 600, .opts = synack_opts,
						  .opts_len = 16 });
		ack = turn(left.kernel[1], INET_PROTO_TCP, port, TCP_SYN | TCP_ACK, pkt);
	}
	for (int i = 0; i < TRIES && ack && !data; i++) {
		give(left.kernel[1], "10.7.1.1", "10.70.2.9",
		     &(struct tcp_build){ .src_port = port, .dst_port = 80, .seq = 1001, .ack = 7001,
					  .flags = TCP_ACK | TCP_PSH, .window = 500, .data = (const uint8_t *)"hello",
					  .len = 5 });
		data = turn(right.kernel[0], INET_PROTO_TCP, port, TCP_PSH, pkt);
	}
	give(left.kernel[1], "10.7.1.1", "10.70.2.9",
	     &(struct tcp_build){ .src_port = port, .dst_port = 80, .seq = 1006, .ack = 7001, .flags = TCP_RST | TCP_ACK });
	drain();
	return data;
}

static unsigned int living(struct control *c)
{
	struct ctl_flow *f;
	unsigned int n = 0;

	for (f = flow_after(c, NULL); f; f = flow_after(c, f))
		n += f->tcp && f->state != FLOW_LINGER;
	return n;
}

static bool at_rest(void)
{
	return !living(left.c) && !living(right.c) && !left.c->held && !right.c->held &&
	       !right.c->peers->use.half_open && left.c->peers->paths && left.c->peers->paths->tmpl;
}

/* Fresh paths, also for a flow. */
static void test_renewal(void)
{
	struct peer *p = left.c->peers;

	connection(4000);
	for (int i = 0; i < 100 && !at_rest(); i++)
		run_ms(10);
	for (unsigned int n = 1;; n++) {
		int64_t before = p->paths->path->expiry_unix_s;

		run_ms(210); /* no question follows another at once */
		if (!oom_sweep(n))
			break;
		path_set_ask(p->set, true);
		run_ms(10);
		faults_seen += oom_end();
		CHECK("the path stays", p->paths && p->paths->tmpl && p->set->num_paths == 1);
		CHECK("it is asked for again", uv_is_active((uv_handle_t *)&p->set->timer) &&
		      (p->paths->path->expiry_unix_s > before || uv_timer_get_due_in(&p->set->timer) <= 1000));
		run_ms(210);
		path_set_ask(p->set, true);
		run_ms(10);
		CHECK("and is renewed", p->paths->path->expiry_unix_s > before && !p->paths->next);
	}
}

static void test_connections(void)
{
	char why[100];

	for (unsigned int n = 1; oom_sweep(n); n++) {
		bool works = connection((uint16_t)(4000 + n));

		faults_seen += oom_end();
		snprintf(why, sizeof(why), "the connection in which allocation %u fails", n);
		CHECK(why, works);
		for (int i = 0; i < 100 && !at_rest(); i++)
			run_ms(10);
		CHECK("nothing of it stays", at_rest());
	}
}

static bool datagram(uint16_t port)
{
	/* IPv4 and UDP, 4 bytes, without checksums: the kernel may leave them out in UDP, not in IP */
	uint8_t buf[TRAIN_VNET_HDR_LEN + 32] = { 0 }, *p = buf + TRAIN_VNET_HDR_LEN, pkt[2048];
	static const uint8_t ip[20] = { 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 7, 1, 1, 10, 70, 2, 9 };
	uint16_t sum;

	memcpy(p, ip, sizeof(ip));
	sum = csum_finish(csum_add(0, p, 20));
	memcpy(p + 10, &sum, 2);
	put_be16(p + 20, port);
	put_be16(p + 22, 53);
	put_be16(p + 24, 12);
	for (int i = 0; i < TRIES; i++) {
		if (!(i % 10))
			CHECK("a datagram", write(left.kernel[1], buf, sizeof(buf)) > 0);
		if (turn(right.kernel[0], INET_PROTO_UDP, port, 0, pkt))
			return true;
	}
	return false;
}

static void test_datagrams(void)
{
	char why[100];

	for (unsigned int n = 1; oom_sweep(n); n++) {
		bool works = datagram((uint16_t)(5000 + n));

		faults_seen += oom_end();
		snprintf(why, sizeof(why), "the datagram at which allocation %u fails", n);
		CHECK(why, works);
		drain();
	}
	for (int i = 0; i < 100 && left.c->held; i++)
		run_ms(10);
	CHECK("nothing is held", !left.c->held && !right.c->held);
}

/* What is refused, or belongs to nobody: without memory there may be no answer, and nothing else. */
static void test_refusals(void)
{
	for (unsigned int n = 1; oom_sweep(n); n++) {
		give(left.kernel[1], "10.7.1.1", "192.0.2.1",
		     &(struct tcp_build){ .src_port = 4002, .dst_port = 80, .seq = 5, .flags = TCP_SYN, .opts = syn_opts,
					  .opts_len = 8 });
		give(left.kernel[1], "10.7.1.1", "10.70.2.9",
		     &(struct tcp_build){ .src_port = (uint16_t)(6000 + n), .dst_port = 81, .seq = 5, .flags = TCP_SYN,
					  .opts = syn_opts, .opts_len = 8 });
		give(left.kernel[1], "10.7.1.1", "10.70.2.9",
		     &(struct tcp_build){ .src_port = 4005, .dst_port = 80, .seq = 5, .ack = 9, .flags = TCP_ACK });
		run_ms(60);
		faults_seen += oom_end();
		for (int i = 0; i < 400 && !at_rest(); i++)
			run_ms(10);
		CHECK("nothing of it stays", at_rest());
		drain();
	}
}

static void test_reports(void)
{
	for (unsigned int n = 1; n < 300 && oom_sweep(n); n++) {
		struct rpc_cursor peers = { 0 }, paths = { 0 }, flows = { 0 };

		json_decref(report_next_peer(left.c, &peers));
		json_decref(report_next_path(left.c, (struct isd_as){ 0 }, true, &paths));
		json_decref(report_next_flow(right.c, &flows));
		json_decref(report_drops(left.c));
		json_decref(report_status(left.c));
		faults_seen += oom_end();
	}
}

static void stopped(void *ctx)
{
	*(int *)ctx += 1;
}

static void test_stop(void)
{
	int done = 0;

	oom_sweep(1); /* the end needs no memory */
	control_stop(right.c, false, stopped, &done);
	oom_sweep(1);
	control_stop(left.c, false, stopped, &done);
	run_ms(50);
	oom_end();
	CHECK("both have stopped", done == 2);
	end_free(&left);
	end_free(&right);
}

static void test_start(void)
{
	struct end e;
	unsigned int failed = 0;

	for (unsigned int n = 1;; n++) {
		int done = 0, err;

		memset(&e, 0, sizeof(e));
		end_prepare(&e, 1);
		if (!oom_sweep(n)) {
			end_free(&e);
			break;
		}
		err = control_new(&e.s, &e.c);
		if (oom_end()) {
			faults_seen++;
			failed += err == -ENOMEM;
			CHECK("it says so, or does without", !err || err == -ENOMEM);
		}
		if (e.c)
			control_stop(e.c, false, stopped, &done);
		run_ms(10);
		end_free(&e);
	}
	CHECK("most of it cannot be done without", failed > 10);
	run_ms(20);
	CHECK("nothing is left on the loop", uv_loop_close(&loop) == 0);
	CHECK("there was something to fail", faults_seen > 100);
}

const struct unit_test unit_tests[] = {
	{ "two ends", set_up },
	{ "paths are renewed", test_renewal },
	{ "connections", test_connections },
	{ "datagrams", test_datagrams },
	{ "refusals", test_refusals },
	{ "reports", test_reports },
	{ "stop", test_stop },
	{ "start", test_start },
	{ 0 },
};
