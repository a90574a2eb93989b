/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_FUZZ_H
#define SHILA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A fuzz target is tests/fuzz/fuzz_NAME.c with this function, a line in a meson.build,
 * `fuzz_targets += [['NAME', dep]]`, and a few files in tests/fuzz/corpus/NAME/.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* MUST() - What has to hold for every input. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
