/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values: one function per type, text in, value or reason out. None knows where the text stood.
 */
#include "config/message.h"
#include "config/schema.h"
#include "shila/wire/frame.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Longest text that can be any address or endpoint. */
#define ADDR_TEXT_MAX (SCION_ENDPOINT_STRLEN + 8)

__attribute__((format(printf, 2, 3))) static int refuse(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, CFG_WHY_LEN, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* refuse() with the value in front. */
static int refuse_text(char *why, const char *text, const char *reason)
{
	char quoted[QUOTE_STRLEN];

	return refuse(why, "%s %s", quote_str(text, strlen(text), quoted), reason);
}

/* Decimal digits and nothing else; UINT64_MAX for what is no number, large numbers saturate. */
static uint64_t number(const char *text, size_t len)
{
	uint64_t v = 0;

	if (!len ||
	    (len > 1 && *text == '0')) /* 010 is 8 to some readers of YAML and 10 to others */
		return UINT64_MAX;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return UINT64_MAX;
		if (v < UINT64_MAX / 20)
			v = v * 10 + (uint64_t)(text[i] - '0');
	}
	return v;
}

static int parse_u32(const struct cfg_key *k, const char *text, void *out, char *why)
{
	char quoted[QUOTE_STRLEN];
	size_t len = strlen(text);
	uint64_t v = number(text, len);

	quote_str(text, len, quoted);
	if (*text == '-' && number(text + 1, len - 1) != UINT64_MAX)
		return refuse(why, "%s is below %u", quoted, k->min);
	if (v == UINT64_MAX)
		return refuse(why, "%s is not a whole number", quoted);
	if (k->min == k->max && v != k->min)
		return refuse(why, "must be %u, is %s", k->min, quoted);
	if (v < k->min)
		return refuse(why, "%s is below %u", quoted, k->min);
	if (v > k->max)
		return refuse(why, "%s is above %u", quoted, k->max);
	*(uint32_t *)out = (uint32_t)v;
	return 0;
}

static int parse_port(const struct cfg_key *k, const char *text, void *out, char *why)
{
	uint64_t v = number(text, strlen(text));

	(void)k;
	if (v < 1 || v > 65535)
		return refuse_text(why, text, "is not a port (1 to 65535)");
	*(uint16_t *)out = (uint16_t)v;
	return 0;
}

/* Index of @text in a list of words, -1 if it is none of them. */
static int word(const char *text, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (!strcasecmp(text, words[i]))
			return i;
	return -1;
}

static int parse_bool(const struct cfg_key *k, const char *text, void *out, char *why)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes", NULL};
	int i = word(text, words);

	(void)k;
	if (i < 0)
		return refuse_text(why, text, "is neither on nor off");
	*(bool *)out = i & 1;
	return 0;
}

/* @out: an enum as large as an int, whose values are the places of @words (schema.c checks the sizes). */
static int parse_word(const char *text, const char *const *words, void *out, char *why, const char *refusal)
{
	int i = word(text, words);

	if (i < 0)
		return refuse_text(why, text, refusal);
	memcpy(out, &i, sizeof(i));
	return 0;
}

static int parse_metric(const struct cfg_key *k, const char *text, void *out, char *why)
{
	static const char *const words[] = {[METRIC_LATENCY] = "latency",
					    [METRIC_HOPS] = "hops",
					    [METRIC_MTU] = "mtu",
					    [METRIC_BANDWIDTH] = "bandwidth",
					    NULL};

	(void)k;
	return parse_word(text, words, out, why, "is none of latency, hops, mtu, bandwidth");
}

static int parse_mode(const struct cfg_key *k, const char *text, void *out, char *why)
{
	static const char *const words[] = {[MODE_FORWARD] = "forward", [MODE_JOIN] = "join", NULL};

	(void)k;
	return parse_word(text, words, out, why, "is neither forward nor join");
}

static int parse_steering(const struct cfg_key *k, const char *text, void *out, char *why)
{
	static const char *const words[] = {[STEERING_AUTO] = "auto",
					    [STEERING_PROGRAM] = "program",
					    [STEERING_RINGS] = "rings",
					    NULL};

	(void)k;
	return parse_word(text, words, out, why, "is none of auto, program, rings");
}

static int parse_path_manager(const struct cfg_key *k, const char *text, void *out, char *why)
{
	static const char *const words[] = {[PATH_MANAGER_AUTO] = "auto",
					    [PATH_MANAGER_OWN] = "own",
					    [PATH_MANAGER_KERNEL] = "kernel",
					    NULL};

	(void)k;
	return parse_word(text, words, out, why, "is none of auto, own, kernel");
}

static int parse_netns(const struct cfg_key *k, const char *text, void *out, char *why)
{
	(void)k;
	if (strlen(text) >= CONFIG_NAME_LEN)
		return refuse(why, "a name of %zu characters is longer than %d", strlen(text),
			      CONFIG_NAME_LEN - 1);
	if (*text == '.' || *text == '-')
		return refuse_text(why, text, "begins with a dot or a dash");
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return refuse_text(
				why, text,
				"is not a name (letters, digits, dash, dot, underscore)");
	strcpy(out, text);
	return 0;
}

static int parse_file(const struct cfg_key *k, const char *text, void *out, char *why)
{
	size_t len = strlen(text);

	(void)k;
	if (*text != '/')
		return refuse_text(why, text, "does not begin with /");
	if (len >= CFG_FILE_LEN)
		return refuse(why, "%zu characters are more than %d", len, CFG_FILE_LEN - 1);
	if (text[len - 1] == '/')
		return refuse_text(why, text, "ends with /");
	strcpy(out, text);
	return 0;
}

/* Addresses that never name one host elsewhere. IPv6 link-local ones would need a zone. */
static const struct {
	const char *prefix, *what;
} special[] = {
	{"0.0.0.0/8", "unspecified"}, {"127.0.0.0/8", "loopback"},
	{"224.0.0.0/4", "multicast"}, {"255.255.255.255/32", "broadcast"},
	{"::/128", "unspecified"},    {"::1/128", "loopback"},
	{"fe80::/10", "link-local"},  {"ff00::/8", "multicast"},
};

/*
 * What is special about a prefix, NULL: nothing. @loopback: this is not. @whole: set if all of the
 * prefix is, not only addresses in it.
 */
static const char *special_of(const struct ip_prefix *p, bool loopback, bool *whole)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		struct ip_prefix s;

		if (ip_prefix_parse(special[i].prefix, &s) < 0 || !ip_prefix_overlap(p, &s))
			continue;
		if (loopback && !strcmp(special[i].what, "loopback"))
			continue;
		*whole = p->bits >= s.bits;
		return special[i].what;
	}
	return NULL;
}

/* refuse() for an address that is special, 0 if it is not. */
static int refuse_special(const struct ip_addr *a, bool loopback, const char *text, char *why)
{
	const struct ip_prefix p = {.addr = *a, .bits = a->len * 8};
	char quoted[QUOTE_STRLEN];
	const char *what;
	bool whole;

	what = special_of(&p, loopback, &whole);
	if (!what)
		return 0;
	return refuse(why, "%s: the address is %s", quote_str(text, strlen(text), quoted), what);
}

static int parse_addr(const struct cfg_key *k, const char *text, void *out, char *why)
{
	struct ip_addr a;
	int err;

	if (ip_addr_parse(text, &a) < 0)
		return refuse_text(why, text, "is not an IPv4 or IPv6 address");
	err = refuse_special(&a, k->flags & CFG_LOOPBACK, text, why);
	if (err < 0)
		return err;
	*(struct ip_addr *)out = a;
	return 0;
}

static int parse_sock(const struct cfg_key *k, const char *text, void *out, char *why)
{
	union sock_addr sa;

	(void)k;
	if (sock_addr_parse(text, &sa) < 0)
		return refuse_text(why, text, "is not ADDRESS:PORT ([ADDRESS]:PORT for IPv6)");
	*(union sock_addr *)out = sa;
	return 0;
}

static int parse_prefix(const struct cfg_key *k, const char *text, void *out, char *why)
{
	char quoted[QUOTE_STRLEN];
	struct ip_prefix p;
	const char *what;
	bool whole;

	switch (ip_prefix_parse(text, &p)) {
	case 0:
		break;
	case -ERANGE:
		return refuse_text(why, text, "has more bits than the address");
	case -EDOM:
		return refuse(why, "%s has bits set behind the prefix length",
			      quote_str(text, strlen(text), quoted));
	default:
		return refuse_text(why, text, "is not ADDRESS/BITS");
	}
	what = special_of(&p, false, &whole);
	if (what && (whole || !(k->flags & CFG_REMOTE)))
		return refuse(why, "%s %s %s", quote_str(text, strlen(text), quoted),
			      whole ? "is" : "contains addresses that are", what);
	*(struct ip_prefix *)out = p;
	return 0;
}

/* Zero in either part stands for "any", which is no place to send to or to let in. */
static bool is_wildcard(struct isd_as ia)
{
	return !(ia.v >> 48) || !(ia.v & 0xffffffffffffu);
}

static int check_peer(const struct scion_addr *a, const char *text, char *why)
{
	if (is_wildcard(a->ia))
		return refuse_text(why, text, "has a wildcard (0) in its ISD-AS");
	return refuse_special(&a->host, true, text, why);
}

static int parse_allow(const struct cfg_key *k, const char *text, void *out, char *why)
{
	struct config_allow v = {0};
	struct scion_addr a;
	struct ip_addr host;
	int err;

	(void)k;
	if (!isd_as_parse(text, &v.ia)) {
		if (is_wildcard(v.ia))
			return refuse_text(why, text, "has a wildcard (0) in its ISD-AS");
	} else if (!scion_addr_parse(text, &a)) {
		err = check_peer(&a, text, why);
		if (err < 0)
			return err;
		v.ia = a.ia;
		v.host = a.host;
	} else if (!ip_addr_parse(text, &host)) {
		return refuse_text(why, text, "has no ISD-AS (inside [ ] quote \"ISD-AS,HOST\")");
	} else {
		return refuse_text(why, text, "is neither ISD-AS nor ISD-AS,HOST");
	}
	*(struct config_allow *)out = v;
	return 0;
}

static int parse_via(const struct cfg_key *k, const char *text, void *out, char *why)
{
	struct scion_endpoint e;
	struct ip_addr host;
	struct isd_as ia;
	int err;

	(void)k;
	if (scion_endpoint_parse(text, &e) < 0) {
		if (!isd_as_parse(text, &ia))
			return refuse_text(why, text,
					   "has no host (inside [ ] quote \"ISD-AS,HOST\")");
		if (!ip_addr_parse(text, &host))
			return refuse_text(why, text,
					   "has no ISD-AS (inside [ ] quote \"ISD-AS,HOST\")");
		return refuse_text(why, text, "is neither ISD-AS,HOST nor [ISD-AS,HOST]:PORT");
	}
	err = check_peer(&e.addr, text, why);
	if (err < 0)
		return err;
	if (!e.port)
		e.port = FRAME_CONTACT_PORT;
	*(struct scion_endpoint *)out = e;
	return 0;
}

static bool same_allow(const void *va, const void *vb)
{
	const struct config_allow *a = va, *b = vb;

	return a->ia.v == b->ia.v && ip_addr_eq(&a->host, &b->host);
}

static bool same_via(const void *va, const void *vb)
{
	const struct scion_endpoint *a = va, *b = vb;

	return scion_addr_eq(&a->addr, &b->addr) && a->port == b->port;
}

static bool same_serve(const void *va, const void *vb)
{
	const struct config_serve *a = va, *b = vb;

	return a->proto == b->proto && a->port_min == b->port_min && a->port_max == b->port_max &&
	       ip_addr_eq(&a->address, &b->address);
}

/* PORT, PORT-PORT or *. */
static int parse_ports(const char *text, struct config_serve *v, const char *whole, char *why)
{
	const char *dash = strchr(text, '-');
	uint64_t lo, hi;

	if (!strcmp(text, "*")) {
		v->port_min = 0;
		v->port_max = 65535;
		return 0;
	}
	lo = number(text, dash ? (size_t)(dash - text) : strlen(text));
	hi = dash ? number(dash + 1, strlen(dash + 1)) : lo;
	if (lo < 1 || lo > 65535 || hi < 1 || hi > 65535)
		return refuse_text(why, whole, "needs a port, PORT-PORT or * (1 to 65535)");
	if (lo > hi)
		return refuse_text(why, whole, "has its ports in the wrong order");
	v->port_min = (uint16_t)lo;
	v->port_max = (uint16_t)hi;
	return 0;
}

static int parse_serve(const struct cfg_key *k, const char *text, void *out, char *why)
{
	struct config_serve v = {.port_max = 65535};
	char buf[ADDR_TEXT_MAX];
	char *slash, *at;
	int err;

	(void)k;
	if (strlen(text) >= sizeof(buf))
		return refuse_text(why, text, "is not PROTO/PORT");
	strcpy(buf, text);
	at = strchr(buf, '@');
	if (at)
		*at++ = '\0';
	slash = strchr(buf, '/');
	if (slash)
		*slash++ = '\0';
	if (!strcasecmp(buf, "icmp"))
		v.proto = 1;
	else if (!strcasecmp(buf, "tcp"))
		v.proto = 6;
	else if (!strcasecmp(buf, "udp"))
		v.proto = 17;
	else
		return refuse_text(why, text, "does not begin with tcp/, udp/ or icmp");
	if (v.proto == 1 && slash)
		return refuse_text(why, text, "has a port, but ICMP has none");
	if (v.proto != 1) {
		err = parse_ports(slash ? slash : "", &v, text, why);
		if (err < 0)
			return err;
	}
	if (at && ip_addr_parse(at, &v.address) < 0)
		return refuse_text(why, text, "has no IPv4 or IPv6 address behind the @");
	err = at ? refuse_special(&v.address, false, text, why) : 0;
	if (err < 0)
		return err;
	*(struct config_serve *)out = v;
	return 0;
}

/* Digits up to @end; false if there are none or too many. */
static bool skip_interface(const char **p)
{
	size_t n = strspn(*p, "0123456789");

	*p += n;
	return n && n <= 5;
}

/*
 * [+-]( ISD-AS(#IF(,IF)?)?)? - only whether it is well-formed; what it means is known to core. 0
 * is any.
 */
static int parse_policy(const struct cfg_key *k, const char *text, void *out, char *why)
{
	static const char *const form =
		"is not + or -, alone or with ISD-AS, ISD-AS#IF or ISD-AS#IF,IF";
	char buf[ISD_AS_STRLEN];
	const char *p = text + 1;
	struct isd_as ia;
	char *copy;

	(void)k;
	if (*text != '+' && *text != '-')
		return refuse_text(why, text, form);
	if (*p) {
		size_t n;

		if (*p != ' ')
			return refuse_text(why, text, form);
		p += strspn(p, " ");
		n = strcspn(p, "#");
		if (n >= sizeof(buf))
			return refuse_text(why, text, form);
		memcpy(buf, p, n);
		buf[n] = '\0';
		p += n;
		if (isd_as_parse(buf, &ia) < 0)
			return refuse_text(why, text, form);
		if (*p == '#') {
			p++;
			if (!skip_interface(&p) || (*p == ',' && (p++, !skip_interface(&p))) || *p)
				return refuse_text(why, text, form);
		}
	}
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*(char **)out = copy;
	return 0;
}

const struct cfg_type_info cfg_types[CFG_NUM_TYPES] = {
	[CFG_MAP] = {"keys with values", false, NULL},
	[CFG_U32] = {"a number", true, parse_u32},
	[CFG_PORT] = {"a port", true, parse_port},
	[CFG_BOOL] = {"on or off", true, parse_bool},
	[CFG_METRIC] = {"a metric", false, parse_metric},
	[CFG_MODE] = {"a mode", false, parse_mode},
	[CFG_STEERING] = {"a way", false, parse_steering},
	[CFG_PATH_MANAGER] = {"a path manager", false, parse_path_manager},
	[CFG_NETNS] = {"the name of a namespace", false, parse_netns},
	[CFG_FILE] = {"the path of a file", false, parse_file},
	[CFG_ADDR] = {"an address", false, parse_addr},
	[CFG_SOCK] = {"ADDRESS:PORT", false, parse_sock},
	[CFG_PREFIX] = {"a prefix", false, parse_prefix},
	[CFG_ALLOW] = {"ISD-AS or ISD-AS,HOST", false, parse_allow, same_allow},
	[CFG_SERVE] = {"PROTO/PORT", false, parse_serve, same_serve},
	[CFG_VIA] = {"the SCION address of a peer", false, parse_via, same_via},
	[CFG_POLICY] = {"an entry of an access control list", false, parse_policy},
};
