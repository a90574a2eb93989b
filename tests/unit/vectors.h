/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_VECTORS_H
#define SHILA_TESTS_VECTORS_H

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/**
 * vector_load() - Bytes of tests/vectors/@name.hex: hex digits, spaces, and comments behind #.
 * Return: how many; -ENOENT no such file (or SHILA_VECTORS is not set); -EBADMSG something else
 * than hex in it; -ENOSPC more than @cap.
 */
static inline int vector_load(const char *name, uint8_t *buf, size_t cap)
{
	const char *dir = getenv("SHILA_VECTORS");
	int c, high = -1, err = 0;
	char path[512];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.hex", dir ? dir : "", name);
	f = fopen(path, "r");
	if (!f)
		return -ENOENT;
	while (!err && (c = getc(f)) != EOF) {
		if (c == '#') {
			while (c != '\n' && c != EOF)
				c = getc(f);
		} else if (isxdigit(c)) {
			int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

			if (high < 0) {
				high = digit;
			} else if (n < cap) {
				buf[n++] = (uint8_t)(high << 4 | digit);
				high = -1;
			} else {
				err = -ENOSPC;
			}
		} else if (!isspace(c)) {
			err = -EBADMSG;
		}
	}
	fclose(f);
	if (high >= 0 && !err)
		err = -EBADMSG;
	return err < 0 ? err : (int)n;
}

#endif
