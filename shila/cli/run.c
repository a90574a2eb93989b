/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `shila run` becomes the program: it enters the namespace, sets the environment, gives up root and
 * calls exec. Nothing stays in between, so signals, the terminal and the exit code are the
 * program's.
 */
#include "shila/cli/run.h"

#include "shila/cli/call.h"
#include "shila/cli/mptcp_preload.h"
#include "shila/cli/netns_enter.h"
#include "shila/cli/text.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	char text[CALL_WHY_LEN + 64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fputs("shila run: ", stderr);
	text_print(stderr, text, SIZE_MAX);
	fputc('\n', stderr);
	return -1;
}

static const json_t *find_egress(const json_t *status, const char *wanted)
{
	const json_t *list = json_object_get(status, "egress"), *egress;
	char index[24];
	size_t i;

	json_array_foreach(list, i, egress)
	{
		const char *name = json_string_value(json_object_get(egress, "namespace"));

		snprintf(index, sizeof(index), "%zu", i);
		if (!wanted || !strcmp(wanted, index) || (name && !strcmp(wanted, name)))
			return egress;
	}
	return NULL;
}

/* get_namespace() - The name to enter, to free(); empty for the host's own. */
static char *get_namespace(const struct run_options *options)
{
	char why[CALL_WHY_LEN], *copy = NULL;
	const json_t *role, *error;
	const char *name;
	json_t *status;

	if (call(options->control, "status", NULL, JSON_OBJECT, &status, why) < 0) {
		fail("%s", why);
		return NULL;
	}
	error = json_object_get(status, "error");
	role = options->ingress ? json_object_get(status, "ingress")
				: find_egress(status, options->egress);
	name = json_string_value(json_object_get(role, "namespace"));
	if (name)
		copy = strdup(name);
	else if (json_is_string(error))
		fail("shilad is not ready: %s", json_string_value(error));
	else if (options->ingress)
		fail("this shilad has no ingress: add `ingress:` to its configuration");
	else if (options->egress)
		fail("this shilad has no egress %s: `shila status` shows what it has",
		     options->egress);
	else
		fail("this shilad has no egress: add `egress:` to its configuration");
	json_decref(status);
	return copy;
}

/* get_id() - A user or group id out of the environment. Return: 0, -ENOENT or -EINVAL. */
static int get_id(const char *variable, unsigned int *out)
{
	const char *text = getenv(variable);
	unsigned long id;
	char *end;

	if (!text)
		return -ENOENT;
	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || id >= UINT32_MAX)
		return -EINVAL;
	*out = id;
	return 0;
}

/* drop_root() - Become who called sudo. Return: 0 or -1, with a message. */
static int drop_root(void)
{
	const struct passwd *user;
	unsigned int uid, gid;
	int err = get_id("SUDO_UID", &uid);

	if (err == -ENOENT || (!err && uid == 0))
		return 0;
	if (err < 0 || get_id("SUDO_GID", &gid) < 0)
		return fail("SUDO_UID and SUDO_GID are not two ids: unset both, or use --root");

	user = getpwuid(uid);
	if ((user ? initgroups(user->pw_name, gid) : setgroups(1, (gid_t[]){ gid })) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return fail("cannot become user %u: %s", uid, strerror(errno));
	if (user && (setenv("HOME", user->pw_dir, 1) < 0 || setenv("USER", user->pw_name, 1) < 0 ||
		     setenv("LOGNAME", user->pw_name, 1) < 0))
		return fail("%s", strerror(errno));
	return 0;
}

int run(const struct run_options *options, char **argv)
{
	char why[NETNS_WHY_LEN], *namespace;
	int err;

	if (geteuid() != 0) {
		fail("entering a namespace needs root: sudo shila run ... (the program then runs "
		     "as you)");
		return RUN_EXIT_FAILED;
	}
	namespace = get_namespace(options);
	if (!namespace)
		return RUN_EXIT_FAILED;
	if (*namespace && netns_enter(namespace, why) < 0) {
		fail("%s", why);
		goto failed;
	}
	if (!options->plain_tcp && mptcp_preload(why) < 0) {
		fail("%s", why);
		goto failed;
	}
	if (!options->keep_root && drop_root() < 0)
		goto failed;
	free(namespace);

	execvp(argv[0], argv);
	err = errno;
	fail("%s: %s", argv[0], strerror(err));
	return err == ENOENT ? RUN_EXIT_NO_PROGRAM : RUN_EXIT_NO_EXEC;
failed:
	free(namespace);
	return RUN_EXIT_FAILED;
}
