/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/verdict.h"

#include "tests/unit/check.h"

#include <ctype.h>
#include <string.h>

/* Names are what scripts and `shila drops` look for. */
static void test_names(void)
{
	for (int v = 0; v < VERDICT_COUNT; v++) {
		const char *name = verdict_name((enum verdict)v), *text = verdict_sentence((enum verdict)v);
		bool plain = true;

		CHECK(name, v <= VERDICT_CONTROL || !strncmp(name, "drop.", 5));
		for (const char *c = name; *c; c++)
			plain &= islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '.' || *c == '_';
		CHECK("lower case, digits, dots and underscores", plain);
		CHECK("a sentence", strlen(text) > 5 && text[strlen(text) - 1] != '.');
		for (int w = 0; w < v; w++) {
			CHECK(name, strcmp(name, verdict_name((enum verdict)w)));
			CHECK(name, strcmp(text, verdict_sentence((enum verdict)w)));
		}
	}
	CHECK("what is carried is no drop", !strcmp(verdict_name(VERDICT_PASS), "pass"));
}

const struct unit_test unit_tests[] = {
	{ "names and sentences", test_names },
	{ 0 },
};
