/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_CHECK_H
#define SHILA_TESTS_CHECK_H

#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>

/* CHECK() - Assert with the reason in words, which a failure prints. */
#define CHECK(why, cond) CU_assertImplementation(!!(cond), __LINE__, (why), __FILE__, "", CU_FALSE)

/* Each test file defines this table, ended by an entry without a name. */
struct unit_test {
	const char *name;
	void (*run)(void);
};

extern const struct unit_test unit_tests[];

/* unit_skip() - Optional: why these tests cannot run here (exit code 77), NULL if they can. */
const char *unit_skip(void) __attribute__((weak));

#endif
