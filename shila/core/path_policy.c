/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_choice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Access control lists as the path policies of SCION define them. Every interface of a path is
 * judged by the first entry that matches it, and a path is allowed if all of its interfaces are:
 *
 *   + 1-64512#3       interface 3 of that AS, in either direction
 *   - 1-64513#1,2     of that AS: entered by 1, or left by 2; 0 stands for any
 *   - 2-0 (or: - 2)   all of ISD 2
 *   +                 everything: the last entry, and no other
 */

struct rule {
	bool allow;
	uint16_t isd;     /* 0: any */
	uint64_t as;      /* 0: any */
	uint16_t in, out; /* 0: any */
};

struct path_policy {
	size_t n;
	struct rule rules[];
};

enum { WHY_LEN = 128 };

static bool parse_u16(const char *text, size_t len, uint16_t *out)
{
	uint32_t v = 0;

	if (!len || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + text[i] - '0';
	}
	*out = v;
	return v <= UINT16_MAX;
}

/* parse_interfaces() - "IF" or "IN,OUT". */
static bool parse_interfaces(const char *text, struct rule *r)
{
	const char *comma = strchr(text, ',');
	bool ok = parse_u16(text, comma ? (size_t)(comma - text) : strlen(text), &r->in);

	r->out = r->in;
	return ok && (!comma || parse_u16(comma + 1, strlen(comma + 1), &r->out));
}

/* parse_predicate() - Return: what is wrong, or NULL. */
static const char *parse_predicate(const char *text, struct rule *r)
{
	const char *hash = strchr(text, '#');
	size_t len = hash ? (size_t)(hash - text) : strlen(text);
	char ia_text[ISD_AS_STRLEN];
	struct isd_as ia;

	if (!hash && parse_u16(text, len, &r->isd))
		return NULL;
	if (len >= sizeof(ia_text))
		return "is no ISD-AS";
	memcpy(ia_text, text, len);
	ia_text[len] = '\0';
	if (isd_as_parse(ia_text, &ia) < 0)
		return "is no ISD-AS";
	r->isd = ia.v >> 48;
	r->as = ia.v & 0xffffffffffff;
	if (hash && !parse_interfaces(hash + 1, r))
		return "has a wrong interface, want #IF or #IN,OUT";
	if (!r->as && (r->in || r->out))
		return "names an interface but no AS";
	return NULL;
}

static const char *parse_rule(const char *text, struct rule *r)
{
	size_t len;
	char copy[64];

	*r = (struct rule){ 0 };
	text += strspn(text, " \t");
	if (*text != '+' && *text != '-')
		return "does not begin with + or -";
	r->allow = *text++ == '+';
	if (!*text)
		return NULL;
	if (*text != ' ' && *text != '\t')
		return "has no space behind + or -";
	text += strspn(text, " \t");
	len = strcspn(text, " \t");
	if (text[len + strspn(text + len, " \t")])
		return "has more than one predicate";
	if (len >= sizeof(copy))
		return "is no ISD-AS";
	memcpy(copy, text, len);
	copy[len] = '\0';
	return len ? parse_predicate(copy, r) : NULL;
}

static bool matches_all(const struct rule *r)
{
	return !r->isd && !r->as && !r->in && !r->out;
}

int path_policy_parse(char *const *entries, size_t n, struct path_policy **out, size_t *bad,
		      char *why)
{
	struct path_policy *pol = calloc(1, sizeof(*pol) + n * sizeof(*pol->rules));
	const char *wrong = NULL;
	size_t i;

	*bad = 0;
	if (!pol) {
		snprintf(why, WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	pol->n = n;
	for (i = 0; i < n && !wrong; i++) {
		wrong = parse_rule(entries[i], &pol->rules[i]);
		if (!wrong && i + 1 < n && matches_all(&pol->rules[i]))
			wrong = "decides everything, so what follows is never reached";
		else if (!wrong && i + 1 == n && !matches_all(&pol->rules[i]))
			wrong = "is the last, which must be + or - alone";
	}
	if (!wrong && n) {
		*out = pol;
		return 0;
	}
	if (wrong) {
		*bad = i - 1;
		snprintf(why, WHY_LEN, "\"%.40s\" %s", entries[i - 1], wrong);
	} else {
		snprintf(why, WHY_LEN, "a policy without entries, want at least + or -");
	}
	free(pol);
	return -EINVAL;
}

void path_policy_free(struct path_policy *pol)
{
	free(pol);
}

static bool rule_matches(const struct rule *r, const struct path_hop *hop, bool in)
{
	uint16_t ifid = in ? r->in : r->out;

	return (!r->isd || r->isd == hop->ia.v >> 48) &&
	       (!r->as || r->as == (hop->ia.v & 0xffffffffffff)) && (!ifid || ifid == hop->ifid);
}

bool path_policy_allows(const struct path_policy *pol, const struct path *p)
{
	if (!pol)
		return true;
	for (uint16_t i = 0; i < p->num_hops; i++) {
		size_t r = 0;

		/* The last rule matches everything. */
		while (!rule_matches(&pol->rules[r], &p->hops[i], i % 2))
			r++;
		if (!pol->rules[r].allow)
			return false;
	}
	return true;
}
