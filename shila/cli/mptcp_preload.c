/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/mptcp_preload.h"

#include <errno.h>
#include <glob.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WHY_LEN 512

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Where distributions keep it; MULTIARCH is the compiler's, such as x86_64-linux-gnu. */
static const char *const places[] = {
	"/usr/lib/" MULTIARCH "/mptcpize/libmptcpwrap.so*",
	"/usr/lib64/mptcpize/libmptcpwrap.so*",
	"/usr/lib/mptcpize/libmptcpwrap.so*",
	"/usr/local/lib/" MULTIARCH "/mptcpize/libmptcpwrap.so*",
	"/usr/local/lib64/mptcpize/libmptcpwrap.so*",
	"/usr/local/lib/mptcpize/libmptcpwrap.so*",
};

/* find_library() - To free(), or NULL. */
static char *find_library(void)
{
	char *found = NULL;
	glob_t hits;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !found; i++) {
		if (glob(places[i], 0, NULL, &hits))
			continue;
		for (size_t h = 0; h < hits.gl_pathc && !found; h++)
			if (access(hits.gl_pathv[h], R_OK) == 0)
				found = strdup(hits.gl_pathv[h]);
		globfree(&hits);
	}
	return found;
}

/* has_mptcp() - Return: 0 or -errno. */
static int has_mptcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* append_env() - Add to a list in a variable. An entry that begins with @unless stays as it is. */
static int append_env(const char *variable, const char *separator, const char *entry,
		      const char *unless)
{
	const char *old = getenv(variable);
	char *text;
	int err;

	if (!old || !*old)
		return setenv(variable, entry, 1) < 0 ? -errno : 0;
	if (strstr(old, unless))
		return 0;
	if (asprintf(&text, "%s%s%s", old, separator, entry) < 0)
		return -ENOMEM;
	err = setenv(variable, text, 1) < 0 ? -errno : 0;
	free(text);
	return err;
}

int mptcp_preload(char *why)
{
	char *library;
	int err = has_mptcp();

	if (err < 0) {
		snprintf(why, WHY_LEN,
			 "no MPTCP here (%s): it needs CONFIG_MPTCP in the kernel and "
			 "net.mptcp.enabled=1; "
			 "--no-mptcp runs the program with plain TCP",
			 strerror(-err));
		return err;
	}
	library = find_library();
	if (!library) {
		snprintf(why, WHY_LEN,
			 "libmptcpwrap.so, which makes TCP sockets MPTCP, is missing: install "
			 "mptcpize; "
			 "--no-mptcp runs the program with plain TCP");
		return -ENOENT;
	}
	err = append_env("LD_PRELOAD", ":", library, "libmptcpwrap.so");
	if (!err)
		err = append_env("GODEBUG", ",", "multipathtcp=1", "multipathtcp=");
	free(library);
	if (err < 0)
		snprintf(why, WHY_LEN, "cannot set the environment: %s", strerror(-err));
	return err;
}
