/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/tcp_options.h"

#include "shila/base/bytes.h"

#include <errno.h>
/* Its functions for SHA-256 alone: the others look up an implementation, and allocate, for each call. */
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_TIMESTAMPS = 8,
	OPT_MPTCP = 30,
	OPT_FAST_OPEN = 34,
	OPT_EXPERIMENT = 254,
	EXPERIMENT_FAST_OPEN = 0xf989, /* RFC 7413 before it had a number of its own */
};

#define TIMESTAMPS_OF_LINUX 0x0101080au /* two NOPs before them */

enum { SUBTYPE_CAPABLE = 0, SUBTYPE_JOIN = 1, SUBTYPE_DSS = 2 };
enum { DSS_ACK = 0x01, DSS_ACK_8 = 0x02, DSS_MAP = 0x04, DSS_SEQ_8 = 0x08, DSS_FIN = 0x10, DSS_FLAGS = 0x1f };

struct option {
	uint8_t kind;
	size_t len; /* whole */
	const uint8_t *p;
};

/*
 * The next option with a length, NOPs skipped.
 * Return: 1; 0 at the end of the list; -EBADMSG if it runs over the end.
 */
static int next_option(const uint8_t **p, size_t *left, struct option *out)
{
	while (*left && **p == OPT_NOP) {
		(*p)++;
		(*left)--;
	}
	if (!*left || **p == OPT_END)
		return 0;
	if (*left < 2 || (*p)[1] < 2 || (*p)[1] > *left)
		return -EBADMSG;
	*out = (struct option){(*p)[0], (*p)[1], *p};
	*p += out->len;
	*left -= out->len;
	return 1;
}

/*
 * The length tells who speaks: MP_CAPABLE has no key in a SYN (4; version 0 had the sender's, 12),
 * one in a SYN/ACK (12), both in the third ACK (20) and in the first data (22, with checksum 24).
 */
static void parse_capable(const struct option *o, struct tcp_options *out)
{
	if (o->len != 4 && o->len != 12 && o->len != 20 && o->len != 22 && o->len != 24)
		return;
	out->mptcp = MPTCP_CAPABLE;
	out->mptcp_version = o->p[2] & 0xf;
	if (o->len >= 12) {
		out->has_sender_key = true;
		memcpy(out->sender_key, o->p + 4, 8);
	}
	if (o->len >= 20) {
		out->has_receiver_key = true;
		memcpy(out->receiver_key, o->p + 12, 8);
	}
}

/* MP_JOIN: 12 bytes in a SYN (with the token), 16 in a SYN/ACK, 24 in the third ACK (HMACs). */
static void parse_join(const struct option *o, struct tcp_options *out)
{
	if (o->len != 12 && o->len != 16 && o->len != 24)
		return;
	out->mptcp = MPTCP_JOIN;
	if (o->len == 24)
		return; /* has neither of the following */
	out->backup = o->p[2] & 1;
	out->addr_id = o->p[3];
	if (o->len == 12) {
		out->has_token = true;
		out->token.v = get_be32(o->p + 4);
	}
}

int tcp_options_parse(const uint8_t *opts, size_t len, struct tcp_options *out)
{
	struct tcp_options t = {0};
	struct option o;
	int more;

	while ((more = next_option(&opts, &len, &o)) > 0) {
		switch (o.kind) {
		case OPT_MSS:
			if (o.len == 4)
				t.mss = get_be16(o.p + 2);
			break;
		case OPT_MPTCP:
			if (o.len < 4 || t.mptcp != MPTCP_NONE)
				break;
			if (o.p[2] >> 4 == SUBTYPE_CAPABLE)
				parse_capable(&o, &t);
			else if (o.p[2] >> 4 == SUBTYPE_JOIN)
				parse_join(&o, &t);
			break;
		case OPT_FAST_OPEN:
			t.fast_open = true;
			break;
		case OPT_EXPERIMENT:
			t.fast_open |= o.len >= 4 && get_be16(o.p + 2) == EXPERIMENT_FAST_OPEN;
			break;
		}
	}
	if (more < 0)
		return more;
	*out = t;
	return 0;
}

bool tcp_options_clamp_mss(uint8_t *opts, size_t len, uint16_t mss)
{
	const uint8_t *p = opts;
	bool changed = false;
	struct option o;

	while (next_option(&p, &len, &o) > 0) {
		if (o.kind != OPT_MSS || o.len != 4 || get_be16(o.p + 2) <= mss)
			continue;
		put_be16(opts + (o.p - opts) + 2, mss);
		changed = true;
	}
	return changed;
}

bool tcp_options_detach_data_fin(uint8_t *opts, size_t len)
{
	const uint8_t *p = opts;
	struct option o;

	if (len >= 12 && get_be32(opts) == TIMESTAMPS_OF_LINUX) { /* asked for every train */
		p += 12;
		len -= 12;
	}
	while (next_option(&p, &len, &o) > 0) {
		uint8_t *dss = opts + (o.p - opts), flags;
		size_t want = 4 + 6; /* subflow sequence number and data length */

		if (o.kind != OPT_MPTCP || o.len < 4 || o.p[2] >> 4 != SUBTYPE_DSS)
			continue;
		flags = o.p[3];
		if (!(flags & DSS_FIN) || !(flags & DSS_MAP))
			return false;
		if (flags & DSS_ACK)
			want += flags & DSS_ACK_8 ? 8 : 4;
		want += flags & DSS_SEQ_8 ? 8 : 4;
		if (o.len != want || get_be16(dss + want - 2) < 2)
			return false;
		dss[3] = flags & (uint8_t)~DSS_FIN;
		put_be16(dss + want - 2, (uint16_t)(get_be16(dss + want - 2) - 1)); /* the DATA_FIN had counted */
		return true;
	}
	return false;
}

/* A data ACK and nothing else: no mapping, no DATA_FIN, nothing that might be new. */
static bool bare_data_ack(const struct option *o)
{
	uint8_t flags;

	if (o->len < 8 || o->p[2] >> 4 != SUBTYPE_DSS)
		return false;
	flags = o->p[3] & DSS_FLAGS;
	return flags == DSS_ACK ? o->len == 8 : flags == (DSS_ACK | DSS_ACK_8) && o->len == 12;
}

/* @more: it is another one. */
static bool data_ack_follows(const struct option *newer, const struct option *older, bool *more)
{
	int64_t d;

	if (!bare_data_ack(newer) || !bare_data_ack(older) || newer->p[3] != older->p[3])
		return false;
	d = newer->len == 8 ? (int32_t)(get_be32(newer->p + 4) - get_be32(older->p + 4)) :
			      (int64_t)(get_be64(newer->p + 4) - get_be64(older->p + 4));
	*more |= d > 0;
	return d >= 0;
}

bool tcp_options_supersede(const uint8_t *newer, const uint8_t *older, size_t len, bool *data_ack_more)
{
	size_t left = len, older_left = len;
	struct option a, b;
	int more;

	while ((more = next_option(&newer, &left, &a)) > 0) {
		if (next_option(&older, &older_left, &b) <= 0 || a.kind != b.kind || a.len != b.len || left != older_left)
			return false;
		if (a.kind == OPT_MPTCP ? !data_ack_follows(&a, &b, data_ack_more) : a.kind != OPT_TIMESTAMPS)
			return false;
	}
	return !more && !next_option(&older, &older_left, &b);
}

bool tcp_options_have_data_fin(const uint8_t *opts, size_t len)
{
	struct option o;

	while (next_option(&opts, &len, &o) > 0)
		if (o.kind == OPT_MPTCP && o.len >= 4 && o.p[2] >> 4 == SUBTYPE_DSS && o.p[3] & DSS_FIN)
			return true;
	return false;
}

struct mptcp_token mptcp_token_of_key(const uint8_t key[8])
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, key, 8);
	SHA256_Final(hash, &c);
	return (struct mptcp_token){get_be32(hash)};
}
