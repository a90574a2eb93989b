/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_choice.h"

#include "tests/unit/check.h"

#include <errno.h>

#define AS(isd, as) ((struct isd_as){ (uint64_t)(isd) << 48 | (as) })

static void test_allows(void)
{
	/* 1-64513#5 > 1-64512#105, then out by 12 > 2-64514#112 */
	static const struct path_hop hops[] = { { AS(1, 64513), 5 },
						{ AS(1, 64512), 105 },
						{ AS(1, 64512), 12 },
						{ AS(2, 64514), 112 } };
	static const struct {
		const char *why;
		const char *entries[4];
		bool allowed;
	} rows[] = {
		{ "allow all", { "+" }, true },
		{ "deny all", { "-" }, false },
		{ "a predicate that matches all is a default", { "- 0-0#0" }, false },
		{ "deny an AS on the path", { "- 1-64512", "+" }, false },
		{ "deny an AS beside the path", { "- 1-64520", "+" }, true },
		{ "the same number in another ISD", { "- 2-64512", "+" }, true },
		{ "an AS in any ISD", { "- 0-64512", "+" }, false },
		{ "deny an ISD", { "- 2", "+" }, false },
		{ "deny an ISD, long form", { "- 2-0#0", "+" }, false },
		{ "allow one ISD: the path leaves it", { "+ 1", "-" }, false },
		{ "allow both ISDs", { "+ 1", "+ 2", "-" }, true },
		{ "first match decides", { "+ 1-64512", "- 1", "+" }, false },
		{ "first match decides, for each interface",
		  { "+ 1-64512", "+ 1-64513", "- 1", "+" },
		  true },
		{ "deny an interface, in either direction", { "- 1-64512#12", "+" }, false },
		{ "deny an interface, in either direction", { "- 1-64512#105", "+" }, false },
		{ "deny another interface", { "- 1-64512#13", "+" }, true },
		{ "deny by way in", { "- 1-64512#105,0", "+" }, false },
		{ "deny by way in: not the way out", { "- 1-64512#12,99", "+" }, true },
		{ "deny by way out", { "- 1-64512#99,12", "+" }, false },
		{ "the source is left by its interface", { "- 1-64513#99,5", "+" }, false },
		{ "the destination is entered by its interface",
		  { "- 2-64514#112,99", "+" },
		  false },
		{ "an interface allowed, the others of that AS not",
		  { "+ 1-64512#12", "- 1-64512", "+" },
		  false },
		{ "both interfaces allowed", { "+ 1-64512#105,12", "- 1-64512", "+" }, true },
		{ "hexadecimal AS", { "- 1-0:0:fc00", "+" }, false },
		{ "spaces", { "  -   1-64512  ", " + " }, false },
	};
	struct path *p = path_new(hops, 4, NULL, 0), *empty = path_new(NULL, 0, NULL, 0);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct path_policy *pol = NULL;
		char why[128] = "";
		size_t n = 0, bad = 99;

		while (n < 4 && rows[i].entries[n])
			n++;
		CHECK(rows[i].why,
		      path_policy_parse((char *const *)rows[i].entries, n, &pol, &bad, why) == 0);
		if (!pol)
			continue;
		CHECK(rows[i].why, path_policy_allows(pol, p) == rows[i].allowed);
		CHECK("a path without interfaces offends nobody", path_policy_allows(pol, empty));
		path_policy_free(pol);
	}
	CHECK("no policy allows all", path_policy_allows(NULL, p));
	path_policy_free(NULL);
	path_put(p);
	path_put(empty);
}

static void test_refused(void)
{
	static const struct {
		const char *why;
		const char *entries[4];
		size_t bad;
		const char *text;
	} rows[] = {
		{ "nothing", { NULL }, 0, "without entries" },
		{ "no default", { "+ 1-64512" }, 0, "is the last, which must be + or - alone" },
		{ "no default", { "- 1-64512", "+ 1" }, 1, "is the last" },
		{ "default too early", { "+", "- 1-64512", "+" }, 0, "never reached" },
		{ "default too early, long form",
		  { "- 1-64512", "+ 0-0", "+" },
		  1,
		  "never reached" },
		{ "no sign", { "1-64512", "+" }, 0, "does not begin with + or -" },
		{ "empty", { "", "+" }, 0, "does not begin with + or -" },
		{ "no space", { "+1-64512", "+" }, 0, "no space" },
		{ "two predicates", { "- 1-64512 1-64513", "+" }, 0, "more than one predicate" },
		{ "no AS", { "- 1-", "+" }, 0, "is no ISD-AS" },
		{ "text", { "- zurich", "+" }, 0, "is no ISD-AS" },
		{ "ISD of 17 bits", { "- 65536", "+" }, 0, "is no ISD-AS" },
		{ "no interface", { "- 1-64512#", "+" }, 0, "wrong interface" },
		{ "half an interface pair", { "- 1-64512#1,", "+" }, 0, "wrong interface" },
		{ "three interfaces", { "- 1-64512#1,2,3", "+" }, 0, "wrong interface" },
		{ "interface of 17 bits", { "- 1-64512#65536", "+" }, 0, "wrong interface" },
		{ "negative interface", { "- 1-64512#-1", "+" }, 0, "wrong interface" },
		{ "interface of any AS", { "- 1-0#1", "+" }, 0, "names an interface but no AS" },
		{ "interface of an ISD", { "- 1#1", "+" }, 0, "is no ISD-AS" },
		{ "far too long",
		  { "- "
		    "1-"
		    "645121111111111111111111111111111111111111111111111111111111111111111111111111"
		    "1111",
		    "+" },
		  0,
		  "is no ISD-AS" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct path_policy *pol = NULL;
		char why[128] = "";
		size_t n = 0, bad = 99;

		while (n < 4 && rows[i].entries[n])
			n++;
		CHECK(rows[i].why, path_policy_parse((char *const *)rows[i].entries, n, &pol, &bad,
						     why) == -EINVAL);
		CHECK(rows[i].why, bad == rows[i].bad);
		CHECK(rows[i].why, strstr(why, rows[i].text));
		CHECK("nothing is returned", !pol);
	}
}

const struct unit_test unit_tests[] = {
	{ "what is allowed", test_allows },
	{ "what is refused", test_refused },
	{ 0 },
};
