/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_OOM_H
#define SHILA_TESTS_OOM_H

/*
 * A machine that is out of memory at an allocation that the test chooses: malloc() and its like of the code
 * that is linked into the test (the linker's --wrap), and jansson's. For sweeps: the 1st fails, the 2nd...
 *
 *	for (unsigned int n = 1; oom_sweep(n); n++) { ... the code ... }
 */
#include <stdbool.h>

/* Whether there is still something to fail: false once @n is more than the last round allocated. Starts the next. */
bool oom_sweep(unsigned int n);
/* From now on everything works, until the next oom_sweep(). Return: whether one failed in this round. */
bool oom_end(void);

#endif
