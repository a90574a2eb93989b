/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What goes wrong around the daemon: the clock is set, the machine was suspended, memory, descriptors or
 * the kernel's buffers are short. Looked at once a second, said once and no more than once a minute, with
 * what to do about it, and said again when it is over. What was left undone meanwhile is done.
 */
#include "shila/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOK_MS	 1000
#define STILL_MS 3000 /* a look is never later, unless nothing runs at all */
#define AGAIN_MS 60000 /* between two lines about the same */

/* Drops that no peer and no program can cause, and what helps. */
static const struct {
	enum verdict verdict;
	const char *help;
} watched[FAULTS_WATCHED] = {
	{ VERDICT_NO_MEMORY, "established flows go on, new ones wait; give the machine, or shilad's cgroup, more memory" },
	{ VERDICT_SEND_NO_BUFFERS, "TCP repeats what is lost; the machine is short of memory, or the queue of the "
				   "device to the border router too short (ip link set DEVICE txqueuelen N)" },
	{ VERDICT_SEND_REFUSED, "a firewall or a security module of this host forbids it (nft list ruleset): let UDP "
				"from shilad's ports out" },
	{ VERDICT_SEND_FAILED, "is the device to the border router up, and has it the address that shilad uses?" },
	{ VERDICT_SOCKET_FULL, "TCP repeats what is lost; more comes than this machine can carry, or all at once" },
	{ VERDICT_TUN_WRITE, "is the device in the namespace up, and the machine not short of memory?" },
};

static uint64_t count(struct control *c, enum verdict v)
{
	uint64_t n = c->drops[v];

	for (unsigned int w = 0; w < c->s.num_workers; w++)
		if (c->workers[w])
			n += flow_counter(&worker_get_stats(c->workers[w])->verdicts[v]);
	return v == VERDICT_SOCKET_FULL ? n + control_socket_drops(c) : n;
}

/* Return: whether this is to be logged now. */
static bool begins(struct fault *f, uint64_t now_ms)
{
	bool quiet = f->logged_ms && now_ms - f->logged_ms < AGAIN_MS;

	if (f->on)
		return false;
	f->on = true;
	f->said = !quiet;
	if (!quiet)
		f->logged_ms = now_ms;
	return !quiet;
}

/* The same for its end: nothing that was not said to begin. */
static bool ends(struct fault *f)
{
	bool was = f->on && f->said;

	f->on = f->said = false;
	return was;
}

static void look_at_drops(struct control *c, uint64_t now_ms)
{
	for (int i = 0; i < FAULTS_WATCHED; i++) {
		struct fault *f = &c->faults.drops[i];
		enum verdict v = watched[i].verdict;
		uint64_t n = count(c, v), before = f->count;

		f->count = n;
		if (n != before && begins(f, now_ms)) {
			f->first = before;
			log_warn("%s (%s, %" PRIu64 " so far): %s", verdict_sentence(v), verdict_name(v), n - before,
				 watched[i].help);
		} else if (n == before && ends(f)) {
			log_info("%s: over after %" PRIu64, verdict_name(v), n - f->first);
		}
	}
}

static void look_at_descriptors(struct control *c, uint64_t now_ms)
{
	int fd = open("/", O_PATH | O_CLOEXEC), err = fd < 0 ? errno : 0;
	struct rlimit limit = { 0 };

	if (fd >= 0)
		close(fd);
	if ((err == EMFILE || err == ENFILE) && begins(&c->faults.descriptors, now_ms)) {
		getrlimit(RLIMIT_NOFILE, &limit);
		log_warn("no file descriptor is left (%s): flows go on, the control socket and the SCION daemon are "
			 "out of reach; raise the limit, now %llu (ulimit -n, LimitNOFILE= of the unit)",
			 strerror(err), (unsigned long long)limit.rlim_cur);
	} else if (!err && ends(&c->faults.descriptors)) {
		log_info("there are file descriptors again");
	}
}

/* Paths live until a time of day. Whatever is right, fresh ones are good by both times. */
static void look_at_clock(struct control *c, uint64_t now_ms)
{
	struct wall_clock_event e = wall_clock_look(&c->clock);
	struct path_set *s, *next;

	if (!e.jump_s && !e.slept_s)
		return;
	c->n.clock_jumps += !!e.jump_s;
	if (e.jump_s && (!c->faults.clock_logged_ms || now_ms - c->faults.clock_logged_ms >= AGAIN_MS)) {
		c->faults.clock_logged_ms = now_ms;
		log_warn("the clock was set %" PRId64 " s %s: paths are used until they expire by both times, and "
			 "asked for anew; SCION needs the right time (chrony, systemd-timesyncd)",
			 e.jump_s < 0 ? -e.jump_s : e.jump_s, e.jump_s < 0 ? "back" : "forward");
	}
	if (e.slept_s)
		log_info("the machine was suspended for %" PRId64 " s: paths are asked for anew", e.slept_s);
	HASH_ITER(hh, c->sets, s, next)
		path_set_ask(s, true);
}

bool faults_stood_still(const struct control *c)
{
	return uv_now(c->loop) - c->faults.looked_ms > STILL_MS;
}

uint64_t faults_due_us(struct control *c)
{
	uint64_t ago_ms = control_now_ms(c) - c->faults.looked_ms;

	return ago_ms < LOOK_MS ? (LOOK_MS - ago_ms) * 1000 : 0;
}

void faults_look(struct control *c)
{
	uint64_t now_ms = control_now_ms(c);

	if (now_ms - c->faults.looked_ms < LOOK_MS)
		return;
	if (faults_stood_still(c)) {
		log_warn("shilad stood still for %.1f s: it was stopped, or the machine has too much to do",
			 (double)(now_ms - c->faults.looked_ms) / 1000);
		c->contact_backlog = true; /* timers come before sockets, or after them */
	}
	c->faults.looked_ms = now_ms;
	look_at_clock(c, now_ms);
	look_at_drops(c, now_ms);
	look_at_descriptors(c, now_ms);
	moves_stranded(c);
}

void faults_start(struct control *c)
{
	wall_clock_init(&c->clock);
	c->faults.looked_ms = control_now_ms(c);
}

void control_no_memory(struct control *c)
{
	c->drops[VERDICT_NO_MEMORY]++;
}
