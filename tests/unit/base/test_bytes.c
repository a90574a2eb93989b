/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/bytes.h"

#include "tests/unit/check.h"

static void test_read(void)
{
	static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct rd r = rd_init(in, sizeof(in));
	uint8_t copy[3];

	CHECK("u8", rd_u8(&r) == 1);
	CHECK("be16", rd_be16(&r) == 0x0203);
	CHECK("be32", rd_be32(&r) == 0x04050607);
	CHECK("be64", rd_be64(&r) == 0x08090a0b0c0d0e0f);
	CHECK("all read", !r.bad && !r.left);
	CHECK("past the end gives zero", rd_be32(&r) == 0 && r.bad);
	r = rd_init(in, 2);
	rd_copy(&r, copy, 3);
	CHECK("a short copy gives zeros", r.bad && !copy[0] && !copy[2]);
	CHECK("and leaves nothing", rd_bytes(&r, 1) == NULL);
}

static void test_write(void)
{
	uint8_t out[15];
	struct wr w = wr_init(out, sizeof(out));

	wr_u8(&w, 1);
	wr_be16(&w, 0x0203);
	wr_be32(&w, 0x04050607);
	wr_be64(&w, 0x08090a0b0c0d0e0f);
	CHECK("full", !w.bad && !w.left);
	for (int i = 0; i < 15; i++)
		CHECK("network order", out[i] == i + 1);
	wr_u8(&w, 99);
	CHECK("past the end", w.bad && out[14] == 15);
	w = wr_init(out, 3);
	wr_be32(&w, 0);
	wr_u8(&w, 77);
	CHECK("after a failed write nothing is written any more", w.bad && out[0] == 1);
}

const struct unit_test unit_tests[] = {
	{ "read", test_read },
	{ "write", test_write },
	{ 0 },
};
