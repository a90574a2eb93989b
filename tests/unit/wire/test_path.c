/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/path.h"

#include "tests/unit/check.h"

static const struct path_hop left[] = { { { 1 }, 1 }, { { 2 }, 11 }, { { 2 }, 12 }, { { 3 }, 5 } };
static const struct path_hop right[] = { { { 3 }, 6 }, { { 2 }, 13 }, { { 2 }, 11 }, { { 1 }, 1 } };
static const struct path_hop received[] = { { { 0 }, 1 }, { { 0 }, 11 }, { { 0 }, 12 }, { { 0 }, 5 } };

static void test_identity(void)
{
	static const uint8_t raw_a[] = { 1, 2, 3 }, raw_b[] = { 4, 5 };
	struct path *a = path_new(left, 4, raw_a, 3);
	struct path *b = path_new(left, 4, raw_b, 2);
	struct path *c = path_new(right, 4, raw_a, 3);
	struct path *d = path_new(received, 4, raw_a, 3), *e = path_new(left, 2, raw_a, 3);
	char text[PATH_FINGERPRINT_STRLEN];

	CHECK("same interfaces, other bytes: the same path", path_same(a, b));
	CHECK("other interfaces, same bytes: another path", !path_same(a, c));
	CHECK("hops are copied", a->hops[3].ifid == 5 && a->num_hops == 4);
	CHECK("raw bytes are copied", b->raw_len == 2 && b->raw[1] == 5);
	CHECK("32 bytes as hex", strlen(path_fingerprint_str(a, text)) == 64);
	CHECK("a link is the same in both directions", path_shared_links(a, c) == 1);
	CHECK("a path shares all links with itself", path_shared_links(a, b) == 2);
	CHECK("the same way, by numbers of interfaces alone", path_same_interfaces(a, d) && !path_same_interfaces(a, c));
	CHECK("a part of it is another way", !path_same_interfaces(a, e));
	CHECK("interface found", path_has_interface(a, (struct isd_as){ 2 }, 12));
	CHECK("interface of another AS", !path_has_interface(a, (struct isd_as){ 3 }, 12));
	path_put(a);
	path_put(b);
	path_put(c);
	path_put(d);
	path_put(e);
}

static void test_references(void)
{
	struct path *a = path_new(NULL, 0, NULL, 0);

	CHECK("the same object", path_get(a) == a);
	path_put(a);
	CHECK("still there", atomic_load(&a->refs) == 1);
	path_put(a);
	path_put(NULL);
}

const struct unit_test unit_tests[] = {
	{ "identity is the interface sequence", test_identity },
	{ "references", test_references },
	{ 0 },
};
