/* SPDX-License-Identifier: Apache-2.0 */

/*
 * SIGKILL at every instruction: a child changes the file one instruction at a time, and whenever the file looks
 * different, what a daemon would read that starts then is held against what it read before and after the change.
 */
#include "shila/store/store_priv.h"

#include "tests/unit/check.h"
#include "tests/unit/store/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

enum { SIZE = 20480 }; /* of the file */

static const struct store_shape shape = { .workers = 1, .flows = 16, .peers = 3, .paths = 3 };
static struct store *s;
static struct path *path;

static bool same_saved(const struct store_saved *a, const struct store_saved *b)
{
	bool same = a->num_flows == b->num_flows && !a->bad_records && !b->bad_records &&
		    a->host.mtu_bytes == b->host.mtu_bytes && !strcmp(a->host.sides[0], b->host.sides[0]);

	for (size_t i = 0; same && i < a->num_flows; i++)
		same = sample_same_flow(&a->flows[i], &b->flows[i]);
	for (size_t i = 0; same && i < shape.peers; i++)
		same = sample_same_peer(&a->peers[i], &b->peers[i]);
	for (size_t i = 0; same && i < shape.paths; i++) {
		const struct path *p = a->paths[i].path, *q = b->paths[i].path;

		same = !p == !q && a->paths[i].in_set == b->paths[i].in_set && (!p || sample_same_path(p, q));
	}
	return same;
}

static void read_now(const uint8_t *file, struct store_saved *out)
{
	static uint8_t copy[SIZE];

	memcpy(copy, file, SIZE);
	if (store_load(copy, SIZE, out, why) < 0)
		abort();
}

/* Lets the child run to where it begins to write; what is before that would take most of the time. */
static void run_to_change(pid_t pid)
{
#ifdef __x86_64__
	void *at = (void *)store_change;
	long word = ptrace(PTRACE_PEEKTEXT, pid, at, NULL);
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_POKETEXT, pid, at, (word & ~0xffl) | 0xcc) < 0 || ptrace(PTRACE_CONT, pid, NULL, NULL) < 0 ||
	    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP ||
	    ptrace(PTRACE_POKETEXT, pid, at, word) < 0 || ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		abort();
	regs.rip--;
	CHECK("at the breakpoint", regs.rip == (unsigned long)at);
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0)
		abort();
#else
	(void)pid;
#endif
}

/* One change, seen from outside. */
static void step(const char *what, void (*change)(void))
{
	static uint8_t before[SIZE], last[SIZE];
	struct store_saved first, end, now;
	unsigned int looks = 0, neither = 0, back = 0, status_bad = 0;
	unsigned long instructions = 0;
	bool changed = false;
	char name[128];
	uint8_t *file;
	int fd, status;
	pid_t pid;

	snprintf(name, sizeof(name), "%s/" STORE_FILE, sample_dir);
	fd = open(name, O_RDWR);
	file = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || file == MAP_FAILED)
		abort();

	/* What it comes to, then back to where it was: the file, and in the child also the memory. */
	memcpy(before, file, SIZE);
	read_now(file, &first);
	pid = fork();
	if (!pid) {
		change();
		_exit(0);
	}
	CHECK("changed", waitpid(pid, &status, 0) == pid && !status);
	read_now(file, &end);
	CHECK("it does change something", !same_saved(&first, &end));
	memcpy(file, before, SIZE);

	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		change();
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		abort();
	memcpy(last, file, SIZE);
	run_to_change(pid);
	CHECK("nothing is written before", !memcmp(last, file, SIZE));
	for (;; instructions++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid ||
		    !WIFSTOPPED(status)) {
			status_bad++;
			break;
		}
		if (WSTOPSIG(status) == SIGSTOP)
			break;
		status_bad += WSTOPSIG(status) != SIGTRAP;
		if (!memcmp(last, file, SIZE))
			continue;
		memcpy(last, file, SIZE);
		looks++;
		read_now(file, &now);
		if (same_saved(&now, &end))
			changed = true;
		else if (!same_saved(&now, &first))
			neither++;
		else
			back += changed;
		store_saved_free(&now);
	}
	CHECK("every instruction was seen", !status_bad && instructions > 50);
	CHECK("the file was seen in between", looks >= 4);
	CHECK(what, !neither);
	CHECK("once there it stays", changed && !back);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	munmap(file, SIZE);
	close(fd);
	store_saved_free(&first);
	store_saved_free(&end);
	change(); /* here, too */
}

static void put_peer(void)
{
	struct store_peer p = sample_peer(1);

	store_peer_put(s, &p);
}

static void update_peer(void)
{
	struct store_peer p = sample_peer(1);

	memset(p.worker_ports, 0, sizeof(p.worker_ports));
	p.num_workers = 0;
	p.boot_id = 77;
	store_peer_update(s, 0, &p);
}

static void drop_peer(void)
{
	store_peer_drop(s, 0);
}

static void put_path(void)
{
	store_path_put(s, path, false);
}

static void put_path_of_set(void)
{
	store_path_put(s, path, true);
}

static void drop_path_of_set(void)
{
	store_path_drop(s, 0, true);
}

static void drop_path(void)
{
	store_path_drop(s, 0, false);
}

static void put_flow(void)
{
	struct store_flow f = sample_flow(0, 3, true, 0, 0);

	store_flow_put(s, &f);
}

static void move_flow(void)
{
	struct store_flow f = sample_flow(0, 3, true, 0, STORE_NONE);

	f.epoch++;
	f.state = FLOW_CLOSING;
	f.theirs.id ^= 0xfff;
	store_flow_put(s, &f);
}

static void clear_flow(void)
{
	store_flow_clear(s, 0, 3);
}

static void set_host(void)
{
	struct store_host h = sample_host();

	h.mtu_bytes++;
	strcpy(h.sides[0], "another-ingress");
	store_set_host(s, &h);
}

static void test_kill(void)
{
	struct store_host host = sample_host();

	sample_begin();
	path = sample_path(1, true, 64514, 2, 3, 0);
	if (store_create(sample_dir, &shape, &host, &s, why) || store_publish(s, why))
		abort();
	step("a peer comes", put_peer);
	step("a peer changes", update_peer);
	step("a path comes", put_path);
	step("a path comes into a set", put_path_of_set);
	step("a flow comes", put_flow);
	step("a flow moves", move_flow);
	step("a flow goes", clear_flow);
	step("a path leaves its set", drop_path_of_set);
	step("a path goes", drop_path);
	step("a peer goes", drop_peer);
	step("the host changes", set_host);
	store_close(s);
	path_put(path);
	sample_end();
}

/* Not where a tracer is there already, or tracing is forbidden. */
const char *unit_skip(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
	return waitpid(pid, &status, 0) == pid && !status ? NULL : "ptrace is not permitted";
}

const struct unit_test unit_tests[] = {
	{ "killed at every instruction", test_kill },
	{ 0 },
};
