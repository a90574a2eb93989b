/* SPDX-License-Identifier: Apache-2.0 */

/* The store of a build with the layout version before: what shilad-previous is to the daemon. */
#include "shila/store/store.h"

#include "tests/unit/check.h"
#include "tests/unit/store/image.h"

#include <errno.h>

static void test_versions(void)
{
	struct store_saved s;
	struct image m;

	CHECK("this is the build before", STORE_VERSION == 1);
	image_make(&m);
	CHECK("it writes its own version", image_header(&m)->version == 1);
	CHECK("and reads it", !store_load(m.bytes, sizeof(m.bytes), &s, why) && s.version == 1 && s.num_flows == 3);
	CHECK("without what came later", s.num_flows == 3 && s.flows[0].hot.out_next == 1001 && !s.flows[0].hot.last_s);
	store_saved_free(&s);
	image_header(&m)->version = 2;
	image_seal_header(&m);
	CHECK("it refuses what it cannot know", store_load(m.bytes, sizeof(m.bytes), &s, why) == -EPROTONOSUPPORT);
	CHECK("naming both", strstr(why, "layout version 2") && strstr(why, "1 to 1"));
}

static void test_file(void)
{
	static const struct store_shape shape = SAMPLE_SHAPE;
	struct store_host host = sample_host();
	struct store_saved saved;
	struct store_peer p = sample_peer(0);
	struct store_flow f = sample_flow(0, 1, true, 0, STORE_NONE);
	struct store *s;

	sample_begin();
	if (store_create(sample_dir, &shape, &host, &s, why) || store_publish(s, why))
		abort();
	CHECK("put", !store_peer_put(s, &p) && store_flow_put(s, &f));
	store_flow_hot(s, 0, 1)->last_s = 5; /* the worker of any build writes it */
	CHECK("read", !store_load_file(sample_dir, &saved, why) && saved.version == 1 && saved.num_flows == 1);
	CHECK("as it was put", sample_same_flow(&saved.flows[0], &f) && !saved.flows[0].hot.last_s);
	store_saved_free(&saved);
	store_close(s);
	sample_end();
}

const struct unit_test unit_tests[] = {
	{ "versions", test_versions },
	{ "a file", test_file },
	{ 0 },
};
