/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>

/*
 * Runs a fuzz target over the files of its corpus (argv[1]) and over every prefix of the short
 * ones, each in memory of exactly its size so that sanitizers see any read past it.
 */

enum { MAX_FILE = 1 << 16, MAX_PREFIXED = 512 };

static void run(const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		abort();
	memcpy(exact, bytes, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static int run_file(const char *path)
{
	static uint8_t buf[MAX_FILE];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return -1;
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	run(buf, n);
	for (size_t i = 0; i < n && n <= MAX_PREFIXED; i++)
		run(buf, i);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int files = 0;
	struct dirent *e;
	DIR *dir;

	dir = argc == 2 ? opendir(argv[1]) : NULL;
	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	while ((e = readdir(dir))) {
		char path[1024];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		fprintf(stderr, "%s\n", e->d_name); /* the last one named is the one that crashed */
		if (run_file(path))
			return 1;
		files++;
	}
	closedir(dir);
	return files ? 0 : 1; /* an empty corpus tests nothing */
}
