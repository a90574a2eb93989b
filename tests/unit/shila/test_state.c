/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/state.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], why[STATE_WHY_LEN];

static char *name(const char *file)
{
	static char text[2][128];
	static int i;

	i ^= 1;
	snprintf(text[i], sizeof(text[i]), "%s/%s", dir, file);
	return text[i];
}

static void begin(void)
{
	strcpy(dir, "/tmp/shila-test-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	strcat(dir, "/a/b");
	*why = '\0';
}

static void finish(void)
{
	char cmd[100];

	*strstr(dir, "/a/b") = '\0';
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	CHECK("removed", !system(cmd));
}

static void write_file(const char *file, const char *text)
{
	FILE *f = fopen(name(file), "w");

	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
}

/* Whoever else can write there could make root write anywhere. */
static void test_directory(void)
{
	struct state s;
	char other[128];

	begin();
	CHECK("a new one", !state_open(dir, &s, why));
	state_forget(&s);
	state_close(&s);
	CHECK("made again", !mkdir(dir, 0755) && !chmod(dir, 0775));
	CHECK("not one that a group may write to", state_open(dir, &s, why) == -EPERM && strstr(why, "by others"));
	CHECK("nor everybody", !chmod(dir, 0757) && state_open(dir, &s, why) == -EPERM);
	if (!geteuid()) {
		CHECK("nor one of another user", !chmod(dir, 0755) && !chown(dir, 65534, 65534) &&
		      state_open(dir, &s, why) == -EPERM && strstr(why, "another user"));
		CHECK("given back", !chown(dir, 0, 0));
	}
	snprintf(other, sizeof(other), "%s-real", dir);
	CHECK("a symbolic link in its place", !chmod(dir, 0755) && !rename(dir, other) && !symlink(other, dir));
	CHECK("is refused", state_open(dir, &s, why) == -EPERM && strstr(why, "symbolic link"));
	CHECK("nothing was written behind it", access(name("lock"), F_OK) < 0);
	finish();
}

static void test_round_trip(void)
{
	struct state s, t;

	begin();
	CHECK("folders are made", !state_open(dir, &s, why) && !*why);
	CHECK("an id of its own", strlen(s.id) == 16 && strspn(s.id, "0123456789abcdef") == 16);
	CHECK("nothing is owned", !s.num_namespaces && !s.num_devices && !s.num_ports);
	state_add_namespace(&s, "shila-egress", 4026532000, UINT64_MAX);
	state_add_namespace(&s, "shila-ingress", 4026532001, 7);
	state_add_namespace(&s, "shila-egress", 4026532002, 8); /* made anew */
	state_add_device(&s, "shila-egress", "shila-e0");
	state_add_device(&s, "shila-egress", "shila-e0");
	state_add_device(&s, "", "shila-e0");
	s.ports[s.num_ports++] = 31000;
	s.ports[s.num_ports++] = 65535;
	snprintf(s.control, sizeof(s.control), "/run/with \"quotes\".sock");
	CHECK("no double entries", s.num_namespaces == 2 && s.num_devices == 2);
	CHECK("saved", !state_save(&s, why) && access(name("owned.json.new"), F_OK));
	state_close(&s);
	state_close(&s);
	CHECK("read again", !state_open(dir, &t, why));
	CHECK("the same id", !strcmp(s.id, t.id) && !strcmp(s.control, t.control));
	CHECK("namespaces", t.num_namespaces == 2 && state_made(&t, "shila-egress", 4026532002, 8));
	CHECK("another inode: somebody made it again", !state_made(&t, "shila-egress", 4026532000, 8));
	CHECK("another cookie likewise", !state_made(&t, "shila-egress", 4026532002, 9));
	CHECK("another name", !state_made(&t, "shila", 4026532002, 8));
	CHECK("devices", t.num_devices == 2 && !strcmp(t.devices[1].name, "shila-e0") && !*t.devices[1].namespace);
	CHECK("ports", t.num_ports == 2 && t.ports[0] == 31000 && t.ports[1] == 65535);
	state_add_namespace(&t, "big", UINT64_MAX, UINT64_MAX - 1);
	state_save(&t, why);
	state_close(&t);
	CHECK("numbers beyond 63 bits", !state_open(dir, &t, why) && state_made(&t, "big", UINT64_MAX, UINT64_MAX - 1));
	state_forget(&t);
	CHECK("all of it is gone", access(dir, F_OK) == -1);
	state_close(&t);
	finish();
}

static void test_lock(void)
{
	struct state s, t;

	begin();
	CHECK("first", !state_open(dir, &s, why));
	CHECK("second", state_open(dir, &t, why) == -EBUSY && strstr(why, "in use"));
	state_close(&s);
	CHECK("after it", !state_open(dir, &t, why));
	state_forget(&t);
	CHECK("a new directory while the old one is still locked", !state_open(dir, &s, why));
	state_close(&s);
	state_close(&t);
	finish();
}

/* Openers and removers at the same time: never two that both hold a lock others see. */
static void test_lock_race(void)
{
	int owner[2];
	pid_t child[4];
	char c = 'x';
	bool fine = true;

	begin();
	if (pipe(owner))
		abort();
	fcntl(owner[0], F_SETFL, O_NONBLOCK);
	CHECK("token", write(owner[1], &c, 1) == 1); /* who has the lock must find the token here */
	for (int i = 0; i < 4; i++) {
		child[i] = fork();
		if (child[i])
			continue;
		for (int k = 0; k < 400; k++) {
			struct state s;

			if (state_open(dir, &s, why))
				continue;
			if (read(owner[0], &c, 1) != 1)
				_exit(1); /* somebody else holds it too */
			/* The token goes back before the directory does: from then on the next may own it. */
			if (write(owner[1], &c, 1) != 1)
				_exit(2);
			state_forget(&s);
			state_close(&s);
		}
		_exit(0);
	}
	for (int i = 0; i < 4; i++) {
		int status;

		waitpid(child[i], &status, 0);
		fine &= status == 0;
	}
	CHECK("one owner at any time", fine);
	close(owner[0]);
	close(owner[1]);
	finish();
}

static void test_foreign_files(void)
{
	static const struct {
		const char *why, *text, *says;
	} cases[] = {
		{ "empty", "", "owned.json:1" },
		{ "cut off", "{\"version\": 1, \"id\": \"0123", "owned.json:1" },
		{ "not JSON", "hello\n", "owned.json:1" },
		{ "an array", "[1]", "not written by this version" },
		{ "no version", "{\"id\": \"0123456789abcdef\"}", "not written by this version" },
		{ "a later version", "{\"version\": 2, \"id\": \"0123456789abcdef\"}", "not written by this version" },
		{ "id too short", "{\"version\": 1, \"id\": \"012345\"}", "not written by this version" },
		{ "id is a number", "{\"version\": 1, \"id\": 123}", "not written by this version" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct state s;

		begin();
		CHECK("made", !state_open(dir, &s, why));
		state_close(&s);
		write_file("owned.json", cases[i].text);
		CHECK(cases[i].why, state_open(dir, &s, why) == -EBADMSG && strstr(why, cases[i].says));
		CHECK("the lock is free again", state_open(dir, &s, why) == -EBADMSG);
		finish();
	}
}

static void test_odd_values(void)
{
	struct state s;
	char text[60000] = "{\"version\": 1, \"id\": \"0123456789abcdef\", \"namespaces\": 7, \"devices\": [1, null, {\"name\": "
			   "\"a-name-that-is-far-too-long-for-a-device\"}], \"worker_ports\": {}}";

	begin();
	CHECK("made", !state_open(dir, &s, why));
	state_close(&s);
	write_file("owned.json", text);
	CHECK("other types are nothing", !state_open(dir, &s, why) && s.num_namespaces == 0 && s.num_ports == 0);
	CHECK("names are cut", strlen(s.devices[2].name) == 15);
	state_close(&s);
	strcpy(text, "{\"version\": 1, \"id\": \"0123456789abcdef\", \"worker_ports\": [1");
	for (int i = 0; i < 500; i++)
		strcat(text, ",1");
	strcat(text, "]}");
	write_file("owned.json", text);
	CHECK("more ports than there can be", state_open(dir, &s, why) == -EBADMSG);
	strcpy(strstr(text, "worker_ports"), "devices\": [{}");
	for (int i = 0; i < 500; i++)
		strcat(text, ",{}");
	strcat(text, "]}");
	write_file("owned.json", text);
	CHECK("more devices than there can be", state_open(dir, &s, why) == -EBADMSG);
	finish();
}

static void test_no_directory(void)
{
	struct state s;

	begin();
	*strstr(dir, "/a/b") = '\0';
	write_file("a", ""); /* a file where the folder should be */
	strcat(dir, "/a/b");
	CHECK("a file in the way", state_open(dir, &s, why) == -ENOTDIR && strstr(why, dir) && strstr(why, "`state`"));
	finish();
}

const struct unit_test unit_tests[] = {
	{ "whose directory", test_directory },
	{ "write and read", test_round_trip },
	{ "lock", test_lock },
	{ "lock, with others that remove it", test_lock_race },
	{ "files of others", test_foreign_files },
	{ "odd values", test_odd_values },
	{ "no directory", test_no_directory },
	{ 0 },
};
