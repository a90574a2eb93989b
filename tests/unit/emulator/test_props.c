/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/props.h"

#include "tests/unit/check.h"

#include <string.h>

static const char *from(const char *text, struct link_props *props)
{
	json_t *json = json_loads(text, 0, NULL);
	const char *why = props_from_json(json, props);

	json_decref(json);
	return why;
}

static void test_there_and_back(void)
{
	struct link_props props = { .rate_bit_s = 1000000007, .queue_bytes = 99, .queue_ns = 12345678, .delay_ns = 1000001,
				    .jitter_ns = 3, .loss = 0.25, .burst_start = 0.125, .burst_end = 0.5,
				    .burst_loss = 1, .reorder = 0.0625, .reorder_ns = 7, .duplicate = 0.75,
				    .cut = LINK_CUT_SILENT },
			  back = { 0 };
	json_t *json = props_to_json(&props);

	CHECK("taken", !props_from_json(json, &back));
	CHECK("the same", !memcmp(&props, &back, sizeof(props)));
	json_decref(json);
}

static void test_some(void)
{
	struct link_props props = { .delay_ns = 5, .loss = 0.5 };

	CHECK("taken", !from("{\"delay_ms\": 10, \"cut\": \"all\"}", &props));
	CHECK("what is named", props.delay_ns == 10000000 && props.cut == LINK_CUT_ALL);
	CHECK("the rest stays", props.loss == 0.5);
}

static void test_refused(void)
{
	static const char *const bad[] = { "{\"delay\": 10}",	"{\"delay_ms\": \"10\"}", "{\"delay_ms\": -1}",
					   "{\"loss\": 1.5}",	"{\"cut\": \"half\"}",	  "{\"cut\": 1}",
					   "[]",		"{\"delay_ms\": 1e300}",  "{\"burst_start\": 0.1}",
					   "{\"loss\": 0.1, \"x\": 1}" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct link_props props = { .delay_ns = 5 }, before = props;

		CHECK(bad[i], from(bad[i], &props) && !memcmp(&props, &before, sizeof(props)));
	}
}

const struct unit_test unit_tests[] = {
	{ "there and back", test_there_and_back },
	{ "some of them", test_some },
	{ "refused", test_refused },
	{ NULL, NULL },
};
