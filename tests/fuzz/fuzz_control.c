/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/control.h"

#include "shila/io/underlay.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * A control thread with all it has, and a worker that only takes its orders down. The input is a row of
 * messages from workers and from the path source: op(1) which(1) length(2) bytes.
 *
 *     0  a packet from TUN `which`: IP
 *     1  a datagram from the underlay, as it is
 *     2  a frame of the peer in a right SCION packet: from peer `which` & 1 over its path, to the contact
 *        port with `which` & 2
 *     3  likewise, and the receiver's name in it becomes that of flow `which`, so that it hits something
 *     4  the worker saw what the low bits say in flow 1
 *     5  the path source answers what it was asked: a path, with `which` & 1 no path, with `which` & 2 an error
 *
 * What holds: no crash, no leak, limits, and no answer to a datagram that is larger than it.
 */

enum { MAX_FLOWS = 16, WORKER_PORT = 31000, CONTACT_PORT = 31654 };

static uv_loop_t loop;
static struct config *cfg;
static struct control *ctl;
static struct path *paths[2]; /* to the peers: empty, over one link */
static struct tmpl *from_peer[2][2]; /* [peer][contact] */

/* ---- a worker ---- */

struct worker {
	struct tmpl *tmpl[MAX_FLOWS + 1]; /* of installed flows */
	struct flow_stats flow_stats;
	struct worker_stats stats;
	struct up_msg *msg;
};

int worker_new(const struct worker_config *c, struct worker **out)
{
	(void)c;
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void worker_adopt(struct worker *w, uint32_t slot, const struct flow *f)
{
	(void)worker_install(w, slot, f);
}

void worker_connect(struct worker *const *all, unsigned int n)
{
	(void)all;
	(void)n;
}

void workers_quiet(struct worker *const *all, unsigned int n)
{
	(void)all;
	(void)n;
}

int worker_start(struct worker *w)
{
	(void)w;
	return 0;
}

void worker_free(struct worker *w)
{
	for (int i = 0; w && i <= MAX_FLOWS; i++)
		tmpl_put(w->tmpl[i]);
	free(w);
}

const struct up_msg *worker_next(struct worker *w)
{
	return w->msg;
}

void worker_done(struct worker *w)
{
	free(w->msg);
	w->msg = NULL;
}

struct tmpl *worker_up_tmpl(const struct up_msg *m)
{
	(void)m;
	abort(); /* the stub frees templates itself */
}

int worker_install(struct worker *w, uint32_t slot, const struct flow *f)
{
	MUST(slot && slot <= MAX_FLOWS && !w->tmpl[slot] && f->tmpl);
	w->tmpl[slot] = f->tmpl;
	return 0;
}

int worker_remove(struct worker *w, uint32_t slot)
{
	MUST(slot && slot <= MAX_FLOWS && w->tmpl[slot]);
	tmpl_put(w->tmpl[slot]);
	w->tmpl[slot] = NULL;
	return 0;
}

int worker_set_path(struct worker *w, uint32_t slot, struct tmpl *t, uint8_t epoch, enum path_change change)
{
	(void)epoch;
	(void)change;
	MUST(slot && slot <= MAX_FLOWS && w->tmpl[slot]);
	if (!t)
		return 0; /* parked: the old one goes with the flow */
	tmpl_put(w->tmpl[slot]);
	w->tmpl[slot] = t;
	return 0;
}

int worker_asked_done(struct worker *w, uint32_t slot)
{
	(void)w;
	MUST(slot && slot <= MAX_FLOWS);
	return 0;
}

int worker_open_flow(struct worker *w, uint32_t slot, const struct flow_name *theirs)
{
	(void)theirs;
	MUST(slot && slot <= MAX_FLOWS && w->tmpl[slot]);
	return 0;
}

int worker_heard(struct worker *w, uint32_t slot)
{
	MUST(slot && slot <= MAX_FLOWS && w->tmpl[slot]);
	return 0;
}

int worker_tell(struct worker *w, uint32_t slot)
{
	MUST(slot && slot <= MAX_FLOWS && w->tmpl[slot]);
	return 0;
}

int worker_write(struct worker *w, uint8_t tun, const struct vnet_hdr *vnet, const void *pkt, uint32_t len)
{
	struct ip_pkt ip;

	(void)w;
	(void)vnet;
	MUST(tun < 2 && len <= CONTROL_MAX_PACKET && !ip_parse(pkt, len, &ip));
	return 0;
}

int worker_retry(struct worker *w, uint8_t tun, uint8_t side, const struct vnet_hdr *vnet, const void *pkt,
		 uint32_t len)
{
	(void)w;
	(void)vnet;
	(void)pkt;
	MUST(tun < 2 && side < 2 && len <= CONTROL_MAX_PACKET);
	return 0;
}

int worker_arrived(struct worker *w, const union sock_addr *from, const void *pkt, uint32_t len)
{
	(void)w;
	(void)pkt;
	MUST(from && len <= CONTROL_MAX_PACKET);
	return 0;
}

int worker_reset_local(struct worker *w, uint32_t slot)
{
	MUST(slot && slot <= MAX_FLOWS && w->tmpl[slot]);
	return 0;
}

void worker_flush(struct worker *w)
{
	(void)w;
}

bool worker_kick(struct worker *w)
{
	(void)w;
	return false;
}

const struct flow_stats *worker_flow_stats(const struct worker *w, uint32_t slot)
{
	MUST(slot && slot <= MAX_FLOWS);
	return &w->flow_stats;
}

uint8_t worker_flow_rx_epoch(const struct worker *w, uint32_t slot)
{
	(void)w;
	(void)slot;
	return 0;
}

uint64_t worker_orders_lost(const struct worker *w)
{
	(void)w;
	return 0;
}

const struct worker_stats *worker_get_stats(const struct worker *w)
{
	return &w->stats;
}

/* ---- the network ---- */

static size_t sent;

enum verdict underlay_sendto(int fd, const union sock_addr *to, const void *p, size_t len)
{
	struct scion_pkt pkt;

	(void)fd;
	MUST(sock_addr_port(to) && !scion_parse_quote(p, len, &pkt) && len <= 1472);
	sent += len;
	return VERDICT_PASS;
}

uint32_t underlay_receive_bytes(int fd)
{
	(void)fd;
	return UNDERLAY_RECEIVE_BYTES;
}

uint32_t underlay_dropped(int fd)
{
	(void)fd;
	return 0;
}

/* ---- a path source ---- */

static struct {
	path_source_paths_cb cb;
	void *ctx;
	struct isd_as dst;
} asked[8];
static unsigned int num_asked;

int path_source_paths(struct path_source *ps, struct isd_as dst, bool refresh, path_source_paths_cb cb, void *ctx)
{
	(void)ps;
	(void)refresh;
	if (num_asked == sizeof(asked) / sizeof(*asked))
		return -EBUSY;
	asked[num_asked].cb = cb;
	asked[num_asked].ctx = ctx;
	asked[num_asked++].dst = dst;
	return 0;
}

uint64_t path_source_rejected(const struct path_source *ps)
{
	(void)ps;
	return 0;
}

static void answer(uint8_t how)
{
	unsigned int n = num_asked;

	num_asked = 0; /* the answers may ask again */
	for (unsigned int i = 0; i < n; i++) {
		struct path *p = asked[i].dst.v == paths[0]->dst_ia.v ? paths[0] : paths[1];
		bool there = !(how & 3) && asked[i].dst.v == p->dst_ia.v;

		if (there)
			path_get(p);
		if (how & 2)
			asked[i].cb(asked[i].ctx, -ETIMEDOUT, "silence", NULL, 0);
		else
			asked[i].cb(asked[i].ctx, 0, NULL, there ? &p : NULL, there);
	}
}

/* ---- a life of it ---- */

static struct path *make_path(const char *ia, int ends)
{
	struct path_hop hops[2];
	uint8_t raw[36] = { 0 };
	struct path *p;

	isd_as_parse("1-64512", &hops[0].ia);
	isd_as_parse(ia, &hops[1].ia);
	hops[0].ifid = 7;
	hops[1].ifid = 107;
	put_be32(raw, 2 << 12); /* one segment of two hops */
	raw[4] = 1;
	put_be32(raw + 8, 0xf0000000); /* made in 2097 */
	raw[13] = raw[25] = 63;
	put_be16(raw + 16, 7);
	put_be16(raw + 26, 107);
	p = ends ? path_new(hops, 2, raw, sizeof(raw)) : path_new(NULL, 0, NULL, 0);
	isd_as_parse(ia, &p->dst_ia);
	p->mtu_bytes = 1400;
	p->expiry_unix_s = INT64_MAX;
	sock_addr_parse("127.0.0.2:30042", &p->next_hop);
	return p;
}

/* What a peer puts in front of its frames: towards us, over the path reversed. */
static struct tmpl *peer_tmpl(int peer, bool contact)
{
	uint8_t raw[36];
	struct scion_addr us, them;
	struct path_hop hops[2];
	struct path *p;
	struct tmpl *t;

	scion_addr_parse("1-64512,127.0.0.1", &us);
	scion_addr_parse(peer ? "1-64513,127.0.0.3" : "1-64512,127.0.0.2", &them);
	if (peer) {
		hops[0] = paths[1]->hops[1];
		hops[1] = paths[1]->hops[0];
		MUST(!scion_path_reverse(paths[1]->raw, paths[1]->raw_len, raw));
	}
	p = peer ? path_new(hops, 2, raw, sizeof(raw)) : path_new(NULL, 0, NULL, 0);
	p->dst_ia = us.ia;
	p->mtu_bytes = 1400;
	p->next_hop = paths[0]->next_hop;
	t = tmpl_new(p, &them, 31001, &us, contact ? CONTACT_PORT : WORKER_PORT);
	path_put(p);
	return t;
}

static void forget_all(void)
{
	for (int i = 0; i < 4; i++)
		tmpl_put(from_peer[i / 2][i % 2]);
	path_put(paths[0]);
	path_put(paths[1]);
	config_free(cfg);
}

static void set_up(void)
{
	static const char yaml[] =
		"version: 1\ncontact: {port: 31654}\n"
		"egress: {namespace: e, interfaces: 1, addresses: [10.7.1.0/24, \"fd00:7::/64\"]}\n"
		"ingress: {namespace: i, address: [10.70.1.1, \"fd00:70::1\"], pool: [10.64.0.0/29, \"fd00:64::/64\"],\n"
		"  serve: [tcp/80, udp/53, icmp], allow: [\"1-64512\", \"1-64513\"]}\n"
		"routes: [{to: 10.70.2.0/24, via: \"1-64512,127.0.0.2\"}, {to: \"fd00:72::/64\", via: \"1-64513,127.0.0.3\"}]\n"
		"limits: {flows: 16, half_open_per_peer: 4, held_syns: 8, peers: 4}\n";
	struct config_messages msgs = { 0 };

	log_level = LOG_LEVEL_ERROR;
	MUST(!config_parse(yaml, strlen(yaml), NULL, &cfg, &msgs));
	config_messages_free(&msgs);
	paths[0] = make_path("1-64512", 0);
	paths[1] = make_path("1-64513", 1);
	for (int i = 0; i < 4; i++)
		from_peer[i / 2][i % 2] = peer_tmpl(i / 2, i % 2);
	atexit(forget_all);
}

static void begin(void)
{
	static int tun_fds[2][CONFIG_MAX_WORKERS];
	struct control_setup s = {
		.loop = &loop, .cfg = cfg, .num_workers = 1, .worker_fds = { -1 }, .worker_ports = { WORKER_PORT },
		.num_tuns = 2, .tuns = { { .side = 0 }, { .side = 1 } }, .tun_fds = tun_fds, .boot_id = 1,
	};

	uv_loop_init(&loop);
	s.contact_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	scion_addr_parse("1-64512,127.0.0.1", &s.local);
	s.as.ia = s.local.ia;
	s.as.mtu_bytes = 1472;
	num_asked = 0;
	MUST(!control_new(&s, &ctl));
}

static void on_stopped(void *ctx)
{
	*(bool *)ctx = true;
}

static void finish(void)
{
	bool stopped = false;
	int fd = ctl->s.contact_fd;

	control_stop(ctl, false, on_stopped, &stopped);
	answer(2); /* the answers that were under way come too late */
	uv_run(&loop, UV_RUN_DEFAULT);
	MUST(stopped && !uv_loop_close(&loop));
	control_free(ctl);
	close(fd);
}

/* ---- messages ---- */

static struct up_msg *message(enum up_type type, size_t len)
{
	struct up_msg *m = calloc(1, sizeof(*m) + len);

	m->type = (uint8_t)type;
	m->len = (uint32_t)len;
	sock_addr_parse("127.0.0.2:30042", &m->from);
	return m;
}

static struct up_msg *frame_message(uint8_t op, uint8_t which, const uint8_t *p, size_t len)
{
	const struct tmpl *t = from_peer[which & 1][0];
	struct up_msg *m = message(UP_UNDERLAY, t->len + len);
	uint8_t *frame = m->bytes + t->len;
	uint32_t slot = 1 + which / 4 % MAX_FLOWS;
	struct ctl_flow *f = slot < ctl->next_slot[0] ? flow_record(ctl, 0, slot) : NULL;

	memcpy(frame, p, len);
	m->verdict = which & 0x80 ? VERDICT_FRAME_UNKNOWN_FLOW : VERDICT_CONTROL;
	if (op == 3 && f && len >= FRAME_HDR_LEN) {
		put_be16(frame + 6, f->mine.tag);
		put_be32(frame + 8, f->mine.id);
		m->flow = f->mine;
	}
	tmpl_write(t, m->bytes, slot, 0, (uint16_t)len, csum_add(0, frame, len));
	return m;
}

static void give(struct up_msg *m)
{
	ctl->workers[0]->msg = m;
	dispatch_workers(&ctl->from_workers);
	MUST(!ctl->workers[0]->msg);
}

static void one(uint8_t op, uint8_t which, const uint8_t *p, size_t len)
{
	struct up_msg *m;

	sent = 0;
	switch (op % 6) {
	case 0:
		m = message(UP_TUN, len);
		memcpy(m->bytes, p, len);
		m->tun = m->side = which & 1;
		give(m);
		break;
	case 1:
		m = message(UP_UNDERLAY, len);
		memcpy(m->bytes, p, len);
		give(m);
		MUST(sent <= len);
		break;
	case 2:
	case 3:
		m = frame_message(op % 6, which, p, len);
		len = m->len;
		give(m);
		MUST(sent <= len);
		break;
	case 4:
		m = message(UP_FLOW, 0);
		m->saw = which;
		if (ctl->next_slot[0] > 1)
			m->flow = flow_record(ctl, 0, 1)->mine;
		give(m);
		break;
	case 5:
		answer(which);
		uv_run(&loop, UV_RUN_NOWAIT);
		break;
	}
	MUST(ctl->flows_used[0] <= MAX_FLOWS && ctl->held <= cfg->limits.held_syns);
	MUST(HASH_COUNT(ctl->peers) <= cfg->limits.peers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct rpc_cursor at = { 0 };
	json_t *o;

	if (!cfg)
		set_up();
	begin();
	while (r.left >= 4) {
		uint8_t op = rd_u8(&r), which = rd_u8(&r);
		size_t len = rd_be16(&r);

		if (len > r.left)
			len = r.left;
		one(op, which, rd_bytes(&r, len), len);
	}
	while ((o = report_next_flow(ctl, &at)))
		json_decref(o);
	json_decref(report_status(ctl));
	finish();
	return 0;
}
