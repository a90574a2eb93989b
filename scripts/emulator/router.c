/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/router.h"

#include "scripts/emulator/router_packet.h"
#include "shila/wire/scmp.h"

/*
 * The steps and their order are those of the real router (scionproto/scion v0.15.1:
 * router/dataplane.go), because the order decides which of two mistakes is answered, and what has
 * been changed in the packet that an answer quotes.
 *
 * Each step returns true if the packet goes on; otherwise it has set the result.
 */

#define NS_PER_S    1000000000LL
#define EXP_UNIT_NS (NS_PER_S * 86400 / 256)

struct step {
	const struct router *r;
	struct packet k;
	uint16_t ingress, egress;
	int64_t now_ns;
	uint8_t *info, *hop; /* the current ones */
	bool peering, xover;
	struct router_result *out;
};

const struct router_interface *router_interface(const struct router *r, uint16_t id)
{
	for (unsigned int i = 0; i < r->num_interfaces; i++)
		if (r->interfaces[i].id == id)
			return &r->interfaces[i];
	return NULL;
}

const char *router_drop_str(enum router_drop d)
{
	static const char *const names[] = {
#define X(name, text, why) text,
		ROUTER_DROPS(X)
#undef X
	};

	return names[d];
}

static bool drop(struct step *s, enum router_drop why)
{
	s->out->verdict = ROUTER_DROP;
	s->out->drop = why;
	return false;
}

static bool answer(struct step *s, uint8_t type, uint8_t code, size_t pointer)
{
	struct scmp_answer a = { .type = type, .code = code, .pointer = (uint16_t)pointer };

	a.interface = type == SCMP_TRACEROUTE_REPLY && !s->egress ? s->ingress : s->egress;
	a.from_link = s->ingress != ROUTER_INTERNAL;
	router_answer(s->r, &s->k, &a, s->out);
	return false;
}

static bool problem(struct step *s, uint8_t code, size_t pointer)
{
	return answer(s, SCMP_PARAMETER_PROBLEM, code, pointer);
}

static size_t hop_pointer(const struct step *s)
{
	return (size_t)(packet_hop(&s->k, s->k.curr_hf) - s->k.p);
}

static void at_current(struct step *s)
{
	s->info = packet_info(&s->k, s->k.curr_inf);
	s->hop = packet_hop(&s->k, s->k.curr_hf);
}

static bool check_pointers(struct step *s)
{
	struct packet *k = &s->k;
	int peering;

	if (k->curr_hf >= k->num_hops || k->curr_inf >= k->num_inf)
		return drop(s, ROUTER_DROP_MALFORMED);
	at_current(s);
	/* a segment of one hop is for peering only */
	if (!(s->info[0] & INF_PEERING) && (k->seg_len[0] == 1 || k->seg_len[1] == 1 || k->seg_len[2] == 1))
		return drop(s, ROUTER_DROP_MALFORMED);
	if (k->curr_inf != packet_inf_of(k, k->curr_hf))
		return drop(s, ROUTER_DROP_MALFORMED);
	peering = packet_peering(k);
	if (peering < 0)
		return drop(s, ROUTER_DROP_MALFORMED);
	s->peering = peering;
	return true;
}

/* ---- checks ---- */

static uint16_t hop_in(const uint8_t *info, const uint8_t *hop)
{
	return get_be16(hop + (info[0] & INF_CONS_DIR ? 2 : 4));
}

static uint16_t hop_out(const uint8_t *info, const uint8_t *hop)
{
	return get_be16(hop + (info[0] & INF_CONS_DIR ? 4 : 2));
}

static bool check_expiry(struct step *s)
{
	int64_t until = get_be32(s->info + 4) * NS_PER_S + (s->hop[1] + 1) * EXP_UNIT_NS;

	return until >= s->now_ns || problem(s, SCMP_CODE_PATH_EXPIRED, hop_pointer(s));
}

static bool check_ingress(struct step *s)
{
	bool cons = s->info[0] & INF_CONS_DIR;

	if (s->ingress == ROUTER_INTERNAL || s->ingress == hop_in(s->info, s->hop))
		return true;
	return problem(s, cons ? SCMP_CODE_UNKNOWN_INGRESS : SCMP_CODE_UNKNOWN_EGRESS, hop_pointer(s));
}

static bool check_length(struct step *s)
{
	return s->k.hdr_len + get_be16(s->k.p + 6) == s->k.len || problem(s, SCMP_CODE_PACKET_SIZE, 0);
}

/*
 * Behind the first hop a packet from inside would come from another router of the AS, and there is
 * none. A path that says it came in by nothing passes here, and fails elsewhere.
 */
static bool check_transit(struct step *s)
{
	const struct packet *k = &s->k;
	unsigned int inf = k->curr_inf, hf = k->curr_hf;

	if (!hf || s->ingress != ROUTER_INTERNAL)
		return true;
	if (!s->peering && inf && packet_inf_of(k, hf - 1) == inf - 1) {
		inf--;
		hf--;
	}
	return !hop_in(packet_info(k, inf), packet_hop(k, hf)) || drop(s, ROUTER_DROP_TRANSIT);
}

static bool check_ias(struct step *s)
{
	bool src_local = s->k.src_ia.v == s->r->ia.v, dst_local = s->k.dst_ia.v == s->r->ia.v;
	bool bad_src, bad_dst;

	if (s->ingress == ROUTER_INTERNAL) {
		bad_src = !s->k.curr_hf && !src_local;
		bad_dst = dst_local;
	} else {
		bad_src = src_local;
		bad_dst = (s->k.curr_hf + 1u == s->k.num_hops) != dst_local;
	}
	if (bad_src)
		return problem(s, SCMP_CODE_SRC_ADDR, COMMON_LEN + 8);
	return !bad_dst || problem(s, SCMP_CODE_DST_ADDR, COMMON_LEN);
}

static bool is_mapped(const uint8_t *host)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(host, mapped, sizeof(mapped));
}

static bool check_src_host(struct step *s)
{
	const struct packet *k = &s->k;

	if (k->src_ia.v != s->r->ia.v || k->src_type == HOST_IPV4 ||
	    (k->src_type == HOST_IPV6 && !is_mapped(k->src_host)))
		return true;
	if (k->src_type == HOST_SVC)
		return drop(s, ROUTER_DROP_MALFORMED); /* the real one does not survive this */
	return problem(s, SCMP_CODE_SRC_ADDR, 0);
}

static bool check_mac(struct step *s)
{
	struct hop_mac_input in = {
		.beta = get_be16(s->info + 2),
		.timestamp = get_be32(s->info + 4),
		.exp_time = s->hop[1],
		.cons_ingress = get_be16(s->hop + 2),
		.cons_egress = get_be16(s->hop + 4),
	};
	uint8_t mac[HOP_MAC_LEN];

	hop_mac(s->r->key, &in, mac);
	return !memcmp(mac, s->hop + 6, HOP_MAC_LEN) || problem(s, SCMP_CODE_INVALID_MAC, hop_pointer(s));
}

/* Whether the packet asks this end of the AS for an answer; @at_egress which of the two. */
static bool alerted(struct step *s, bool at_egress)
{
	bool cons = s->info[0] & INF_CONS_DIR;
	uint8_t flag = cons == at_egress ? HOP_ALERT_EGRESS : HOP_ALERT_INGRESS;

	if (!(s->hop[0] & flag))
		return false;
	s->hop[0] &= (HOP_ALERT_EGRESS | HOP_ALERT_INGRESS) & ~flag;
	return true;
}

/* ---- on its way ---- */

static bool deliver(struct step *s)
{
	const struct packet *k = &s->k;
	struct ip_addr host;
	uint16_t port;

	if (k->dst_type == HOST_SVC) {
		/* multicast counts as anycast */
		bool control = (get_be16(k->dst_host) & 0x7fff) == 2;

		if (!control || !s->r->control.sa.sa_family)
			return answer(s, SCMP_DEST_UNREACHABLE, 0, 0);
		s->out->to = s->r->control;
		s->out->verdict = ROUTER_DELIVER;
		return true;
	}
	if (k->dst_type != HOST_IPV4 && k->dst_type != HOST_IPV6)
		return problem(s, SCMP_CODE_DST_ADDR, 0);
	if (packet_port(k, &port))
		return drop(s, ROUTER_DROP_L4);
	host = ip_addr_make(k->dst_host, k->dst_len);
	if (ip_addr_is_unspecified(&host) || (k->dst_type == HOST_IPV6 && is_mapped(k->dst_host)))
		return problem(s, SCMP_CODE_DST_ADDR, 0);
	s->out->to = sock_addr_make(&host, port);
	s->out->verdict = ROUTER_DELIVER;
	return true;
}

static bool change_segment(struct step *s)
{
	s->xover = true;
	if (!packet_next_hop(&s->k))
		return drop(s, ROUTER_DROP_MALFORMED);
	at_current(s);
	return check_expiry(s) && check_mac(s);
}

static bool is_pair(enum router_link a, enum router_link b, enum router_link x, enum router_link y)
{
	return (a == x && b == y) || (a == y && b == x);
}

static bool check_egress(struct step *s, const struct router_interface *out)
{
	const struct router_interface *from = router_interface(s->r, s->ingress);
	enum router_link a = from ? from->link : ROUTER_LINK_NONE, to;
	bool cons = s->info[0] & INF_CONS_DIR;

	if (!out && s->egress)
		return problem(s, cons ? SCMP_CODE_UNKNOWN_EGRESS : SCMP_CODE_UNKNOWN_INGRESS, hop_pointer(s));
	if (!s->xover && s->ingress == ROUTER_INTERNAL)
		return true;
	to = out ? out->link : ROUTER_LINK_NONE;
	if (!s->xover) {
		if ((a == ROUTER_LINK_CORE && to == ROUTER_LINK_CORE) ||
		    is_pair(a, to, ROUTER_LINK_CHILD, ROUTER_LINK_PARENT) ||
		    is_pair(a, to, ROUTER_LINK_CHILD, ROUTER_LINK_PEER))
			return true;
		return problem(s, SCMP_CODE_PATH, hop_pointer(s));
	}
	if (is_pair(a, to, ROUTER_LINK_CORE, ROUTER_LINK_CHILD) ||
	    (a == ROUTER_LINK_CHILD && to == ROUTER_LINK_CHILD))
		return true;
	return problem(s, SCMP_CODE_SEGMENT_CHANGE, (size_t)(s->info - s->k.p));
}

static bool leave(struct step *s)
{
	const struct router_interface *out;

	s->egress = hop_out(s->info, s->hop);
	out = router_interface(s->r, s->egress);
	if (!check_egress(s, out))
		return false;
	if (!out) { /* of a host, and its path ends here: the host gets it back */
		s->out->verdict = ROUTER_ANSWER;
		return true;
	}
	/* Before the state of the link is looked at: the answer tells which link it is that is dead. */
	if (alerted(s, true))
		return answer(s, SCMP_TRACEROUTE_REPLY, 0, 0);
	if (!out->up)
		return answer(s, SCMP_EXT_IF_DOWN, 0, 0);
	if ((s->info[0] & INF_CONS_DIR) && !s->peering)
		info_add_mac(s->info, s->hop);
	if (!packet_next_hop(&s->k))
		return drop(s, ROUTER_DROP_MALFORMED);
	s->out->verdict = ROUTER_FORWARD;
	s->out->egress = s->egress;
	return true;
}

void router_forward(const struct router *r, uint8_t *p, size_t len, uint16_t ingress, int64_t now_ns,
		    struct router_result *out)
{
	struct step s = { .r = r, .ingress = ingress, .now_ns = now_ns, .out = out };
	enum router_drop why;

	s.k.p = p;
	s.k.len = len < ROUTER_MAX_PACKET ? len : ROUTER_MAX_PACKET;
	out->p = p;
	out->len = s.k.len;
	if (packet_read(&s.k, &why)) {
		drop(&s, why);
		return;
	}
	if (!check_pointers(&s) || !check_expiry(&s) || !check_ingress(&s) || !check_length(&s) || !check_transit(&s) ||
	    !check_ias(&s) || !check_src_host(&s))
		return;
	/* Against the direction of construction the router at the entry takes its own MAC out again. */
	if (!(s.info[0] & INF_CONS_DIR) && ingress != ROUTER_INTERNAL && !s.peering)
		info_add_mac(s.info, s.hop);
	if (!check_mac(&s))
		return;
	if (ingress != ROUTER_INTERNAL && alerted(&s, false)) {
		answer(&s, SCMP_TRACEROUTE_REPLY, 0, 0);
		return;
	}
	if (s.k.dst_ia.v == r->ia.v) {
		deliver(&s);
		return;
	}
	if (packet_is_xover(&s.k) && !s.peering && !change_segment(&s))
		return;
	leave(&s);
}
