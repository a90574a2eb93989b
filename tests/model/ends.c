/* SPDX-License-Identifier: Apache-2.0 */

/* Two ends, each client and server of the other; and what must be zero when all is over. */
#include "tests/model/sim.h"

#include <stdlib.h>
#include <string.h>

#define NUM_TUNS 4 /* ingress, and three of the egress */
#define MAX_TABLES 16

struct end ends[NUM_ENDS];

static struct end_params params;

/* ---- addresses ---- */

struct ip_addr kernel_client_addr(int end, uint8_t tun)
{
	return (struct ip_addr){ .len = 4, .b = { 10, 7, (uint8_t)(end + 1), tun } };
}

struct ip_addr kernel_target(int end)
{
	return (struct ip_addr){ .len = 4, .b = { 10, 70, (uint8_t)(2 - end), 9 } };
}

/* As the steering program does. */
void kernel_send(int end, uint8_t tun, const struct vnet_hdr *vnet, const uint8_t *pkt, size_t len)
{
	struct ip_pkt ip;
	uint16_t src, dst;

	if (ip_parse(pkt, len, &ip) < 0)
		abort();
	inet_ports(pkt, &ip, &src, &dst);
	sim_tun_give(end, tun, steer_worker(src, dst, ends[end].workers), vnet, pkt, len);
}

/* ---- what is alive, counted where the program is linked ---- */

static long live_tmpls, live_paths;
static struct flow_table *tables[MAX_TABLES];

struct tmpl *__real_tmpl_new(struct path *, const struct scion_addr *, uint16_t, const struct scion_addr *, uint16_t);
struct tmpl *__wrap_tmpl_new(struct path *, const struct scion_addr *, uint16_t, const struct scion_addr *, uint16_t);
struct tmpl *__wrap_tmpl_new(struct path *path, const struct scion_addr *local, uint16_t local_port,
			     const struct scion_addr *peer, uint16_t peer_port)
{
	struct tmpl *t = __real_tmpl_new(path, local, local_port, peer, peer_port);

	live_tmpls += !!t;
	return t;
}

void __real_tmpl_put(struct tmpl *t);
void __wrap_tmpl_put(struct tmpl *t);
void __wrap_tmpl_put(struct tmpl *t)
{
	live_tmpls -= t && t->refs == 1;
	__real_tmpl_put(t);
}

struct path *__real_path_new(const struct path_hop *hops, uint16_t num_hops, const uint8_t *raw, uint16_t raw_len);
struct path *__wrap_path_new(const struct path_hop *hops, uint16_t num_hops, const uint8_t *raw, uint16_t raw_len);
struct path *__wrap_path_new(const struct path_hop *hops, uint16_t num_hops, const uint8_t *raw, uint16_t raw_len)
{
	live_paths++;
	return __real_path_new(hops, num_hops, raw, raw_len);
}

void __real_path_put(struct path *p);
void __wrap_path_put(struct path *p);
void __wrap_path_put(struct path *p)
{
	live_paths -= p && p->refs == 1;
	__real_path_put(p);
}

int __real_flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed);
int __wrap_flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed);
int __wrap_flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed)
{
	for (int i = 0; i < MAX_TABLES; i++) {
		if (!tables[i]) {
			tables[i] = t;
			break;
		}
	}
	return __real_flow_table_init(t, flows, seed);
}

void __real_flow_table_fini(struct flow_table *t);
void __wrap_flow_table_fini(struct flow_table *t);
void __wrap_flow_table_fini(struct flow_table *t)
{
	for (int i = 0; i < MAX_TABLES; i++)
		if (tables[i] == t)
			tables[i] = NULL;
	__real_flow_table_fini(t);
}

/* ---- up and down ---- */

static void configure(int n)
{
	static const char *const yaml =
		"version: 1\ncontact: {port: 31654}\n"
		"egress: {namespace: e%d, interfaces: 3, addresses: [10.7.%d.0/24]}\n"
		"ingress: {namespace: i%d, address: 10.70.%d.1, pool: 10.64.0.0/24, serve: [tcp/80-81, udp/53]}\n"
		"routes: [{to: 10.70.%d.0/24, via: \"[1-%d,10.%d.0.1]:31654\"}]\n"
		"limits: {flows: 64, flows_per_peer: 64, peers: 8, control_queue: %u, held_syns: 64}\n";
	struct config_messages msgs = { 0 };
	char text[1024];

	snprintf(text, sizeof(text), yaml, n, n + 1, n, n + 1, 2 - n, 64513 - n, 1 - n, params.queue);
	if (config_parse(text, strlen(text), NULL, &ends[n].cfg, &msgs)) {
		for (size_t i = 0; i < msgs.count; i++)
			fprintf(stderr, "%s\n", msgs.list[i].text);
		abort();
	}
	config_messages_free(&msgs);
}

void end_start(int n)
{
	struct end *e = &ends[n];
	int before = sim_end;

	sim_trace("%s starts", n ? "right" : "left");
	sim_end = n;
	configure(n);
	sim_loop_init(&e->loop, n);
	e->workers = params.workers[n];
	if (e->boots++ && !rng_below(&sim_rng, 3))
		e->ports ^= 1; /* its state is lost, and its ports with it */
	e->s = (struct control_setup){
		.loop = &e->loop, .cfg = e->cfg, .num_workers = e->workers, .num_tuns = NUM_TUNS, .tun_fds = e->fds,
		.boot_id = rng_next(&product_rng), .source = sim_source(n), .local = *sim_addr(n),
	};
	e->s.as.ia = e->s.local.ia;
	e->s.as.mtu_bytes = PATH_MTU;
	for (unsigned int w = 0; w < e->workers; w++) {
		e->s.worker_ports[w] = (uint16_t)(31000 + 10 * e->ports + w);
		e->s.worker_fds[w] = sim_socket(n, e->s.worker_ports[w]);
	}
	e->s.contact_fd = sim_socket(n, 31654);
	for (uint8_t t = 0; t < NUM_TUNS; t++) {
		e->s.tuns[t].side = t > 0;
		for (unsigned int w = 0; w < e->workers; w++)
			e->fds[t][w] = sim_tun(n, t, w);
	}
	sim_net_set_alive(n, true);
	if (control_new(&e->s, &e->c) < 0)
		abort();
	sim_end = before;
}

static void stopped(void *ctx)
{
	*(bool *)ctx = true;
}

static void end_down(int n)
{
	struct end *e = &ends[n];
	bool done = false;
	int before = sim_end;

	sim_end = n;
	control_stop(e->c, false, stopped, &done);
	sim_source_cancel(n);
	uv_run(&e->loop, UV_RUN_DEFAULT);
	if (!done || uv_loop_close(&e->loop))
		sim_fail("%s has not stopped: something is left on its loop", n ? "right" : "left");
	control_free(e->c);
	e->c = NULL;
	config_free(e->cfg);
	sim_close_all(n);
	watch_reset(n);
	sim_end = before;
}

void end_stop(int n)
{
	sim_trace("%s is stopped", n ? "right" : "left");
	end_down(n);
	sim_net_set_alive(n, false);
}

void end_crash(int n)
{
	sim_trace("%s crashes", n ? "right" : "left");
	sim_net_set_alive(n, false);
	end_down(n);
}

void ends_up(const struct end_params *p)
{
	params = *p;
	net_forget();
	live_tmpls = live_paths = 0;
	for (int n = 0; n < NUM_ENDS; n++) {
		ends[n].boots = ends[n].ports = 0;
		end_start(n);
	}
}

void ends_down(void)
{
	for (int n = 0; n < NUM_ENDS; n++)
		end_crash(n);
	net_forget();
	if (!sim_failed && (live_tmpls || live_paths))
		sim_fail("%ld templates and %ld paths are left after both ends have stopped", live_tmpls, live_paths);
}

/* ---- what must be zero ---- */

unsigned int ends_flows(void)
{
	unsigned int n = 0;

	for (int i = 0; i < NUM_ENDS; i++)
		n += ends[i].c->by_key.used;
	return n;
}

static uint32_t tables_used(void)
{
	uint32_t n = 0;

	for (int i = 0; i < MAX_TABLES; i++)
		n += tables[i] ? tables[i]->used : 0;
	return n;
}

static long peer_tmpls(const struct control *c)
{
	long n = 0;

	for (const struct peer *p = c->peers; p; p = p->hh.next)
		for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
			n += !!pp->tmpl;
	return n;
}

#define ZERO(what, value)                                                                          \
	do {                                                                                       \
		unsigned long long v_ = (unsigned long long)(value);                               \
		if (v_) {                                                                          \
			snprintf(why, len, "%s: %s is %llu", n ? "right" : "left", what, v_);      \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* What is counted is what there is, at any time. */
void ends_agree(void)
{
	for (int n = 0; n < NUM_ENDS; n++) {
		struct control *c = ends[n].c;

		for (struct peer *p = c ? c->peers : NULL; p; p = p->hh.next) {
			uint32_t flows = 0, half_open = 0;

			for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f)) {
				flows += f->peer == p;
				half_open += f->peer == p && f->server && !f->confirmed && f->state < FLOW_LINGER;
			}
			if (p->flows != flows || p->use.half_open != half_open)
				sim_fail("%s: %u flows and %u half-open ones are counted, there are %u and %u",
					 n ? "right" : "left", p->flows, p->use.half_open, flows, half_open);
			for (struct peer_path *pp = p->paths; pp; pp = pp->next) {
				flows = 0;
				for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f))
					flows += f->path == pp;
				if (pp->flows != flows)
					sim_fail("%s: a path counts %u flows, there are %u", n ? "right" : "left",
						 pp->flows, flows);
			}
		}
	}
}

static bool end_clean(int n, char *why, size_t len)
{
	struct control *c = ends[n].c;
	uint32_t used = 0;

	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f)) {
		if (f->tcp) {
			char text[256];

			snprintf(why, len, "%s: there is still %s, %s, %s", n ? "right" : "left", flow_str(f, text),
				 f->server ? "server" : "client", flow_state_str(f->state));
			return false;
		}
		used++;
	}
	for (unsigned int w = 0; w < ends[n].workers; w++)
		used -= c->flows_used[w];
	ZERO("flows that count but are not there", used);
	ZERO("half_open", c->peers ? c->peers->use.half_open : 0);
	ZERO("held", c->held);
	if (c->by_key.used)
		return true; /* DATAGRAM flows */
	ZERO("by_theirs", c->by_theirs.used);
	ZERO("conns", c->by_token.used);
	ZERO("pool addresses in use", pool_used(c->pool));
	ZERO("moves_probed", HASH_COUNT(c->by_probe));
	for (struct peer *p = c->peers; p; p = p->hh.next) {
		ZERO("flows of a peer", p->use.flows);
		ZERO("half_open", p->use.half_open);
		for (struct peer_path *pp = p->paths; pp; pp = pp->next)
			ZERO("flows of a path", pp->flows);
	}
	return true;
}

bool ends_clean(char *why, size_t len)
{
	long tmpls = 0, remembered = 0;

	for (int n = 0; n < NUM_ENDS; n++) {
		if (!end_clean(n, why, len))
			return false;
		remembered += (long)tmpls_remembered(ends[n].c);
		tmpls += peer_tmpls(ends[n].c);
	}
	if (tables_used() != ends_flows()) {
		snprintf(why, len, "workers have %u flows, control has %u", tables_used(), ends_flows());
		return false;
	}
	if (!ends_flows() && (live_tmpls != tmpls + remembered || live_paths > 3 * NUM_ENDS * NUM_PATHS + remembered)) {
		snprintf(why, len, "%ld templates instead of %ld, %ld paths", live_tmpls, tmpls + remembered, live_paths);
		return false;
	}
	return true;
}
