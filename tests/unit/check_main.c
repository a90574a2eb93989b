/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/check.h"

#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>

int main(void)
{
	CU_pSuite suite;
	unsigned int failed;

	if (unit_skip && unit_skip()) {
		printf("skipped: %s\n", unit_skip());
		return 77;
	}
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	suite = CU_add_suite(program_invocation_short_name, NULL, NULL);
	for (const struct unit_test *t = unit_tests; t->name; t++)
		if (!suite || !CU_add_test(suite, t->name, t->run))
			return 2;
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() || !CU_get_number_of_asserts();
	CU_cleanup_registry();
	return failed ? 1 : 0;
}
