/* SPDX-License-Identifier: Apache-2.0 */

/* The 1st allocation fails, the 2nd, and so on, while a configuration is read that has every key, and one full of mistakes. */
#include "config/config.h"
#include "shila/core/path_choice.h"
#include "tests/unit/check.h"
#include "tests/unit/oom.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *name)
{
	const char *folder = getenv("SHILA_VECTORS");
	char path[512], *text = calloc(1, 1 << 16);
	FILE *f;

	snprintf(path, sizeof(path), "%s/config/%s", folder ? folder : "tests/vectors", name);
	f = fopen(path, "r");
	CHECK(path, f && text && fread(text, 1, (1 << 16) - 1, f) > 100);
	if (f)
		fclose(f);
	return text;
}

static void test_right(void)
{
	char *text = read_file("good/every_key.yaml"), why[80];
	unsigned int failed = 0;

	for (unsigned int n = 1; oom_sweep(n); n++) {
		struct config_messages msgs = { 0 };
		struct config *cfg = NULL;
		int err = config_parse(text, strlen(text), NULL, &cfg, &msgs);

		if (oom_end()) {
			failed++;
			snprintf(why, sizeof(why), "allocation %u fails: it says so", n);
			CHECK(why, err == -ENOMEM && !cfg);
		} else {
			CHECK("right without failures", !err && cfg);
		}
		config_messages_free(&msgs);
		config_free(cfg);
	}
	CHECK("there was something to fail", failed > 50);
	free(text);
}

static void test_wrong(void)
{
	static const char text[] = "version: 1\nno_such: 1\negress: {interfaces: 99}\nroutes: [{to: x, via: y}, {}]\n"
				   "workers: many\nlimits: {flows: -1}\npaths: {policy: ['+', '-']}\n";

	for (unsigned int n = 1; oom_sweep(n); n++) {
		struct config_messages msgs = { 0 };
		struct config *cfg = NULL;
		int err = config_parse(text, strlen(text), NULL, &cfg, &msgs);

		oom_end();
		CHECK("never right", err < 0 && !cfg);
		config_messages_free(&msgs);
	}
}

static void test_policy(void)
{
	static char a[] = "+ 1-64512#0", b[] = "- 1-64513", c[] = "+";
	char *lines[] = { a, b, c };

	for (unsigned int n = 1; oom_sweep(n); n++) {
		struct path_policy *p = NULL;
		char why[128] = "";
		size_t bad = 0;
		int err = path_policy_parse(lines, 3, &p, &bad, why);

		CHECK("no memory is no mistake of the user", oom_end() ? err == -ENOMEM && !p : !err && p);
		path_policy_free(p);
	}
}

const struct unit_test unit_tests[] = {
	{ "a configuration with every key", test_right },
	{ "a configuration full of mistakes", test_wrong },
	{ "a policy", test_policy },
	{ 0 },
};
