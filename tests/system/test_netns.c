/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/steer.h"
#include "netns/tun.h"

#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mptcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * The real kernel, in private namespaces:
 *
 *     client namespace                            server namespace
 *     tq-e0 10.7.1.1 --\                          tq-i 10.70.0.9
 *     tq-e1 10.7.1.2 ---- this program copies ----
 *     tq-e2 10.7.1.3 --/   packets
 *
 * What was made is looked at with `ip`, because that is what a person will do.
 */

#define SOL_MPTCP_LEVEL 284
#define PROTO_MPTCP     262

static char why[NETNS_WHY_LEN];
static char name_a[64], name_b[64];

const char *unit_skip(void)
{
	return netns_check_host(why) < 0 ? why : NULL;
}

/* Output of a shell command; valid until the next call. */
static const char *sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *sh(const char *fmt, ...)
{
	static char out[16384];
	char cmd[512];
	va_list ap;
	size_t n = 0;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	f = popen(cmd, "r");
	if (f) {
		n = fread(out, 1, sizeof(out) - 1, f);
		pclose(f);
	}
	out[n] = '\0';
	return out;
}

/* Whether @text is in the output of `ip -n name_a @args`. */
static bool ip_shows(const char *args, const char *text)
{
	return strstr(sh("ip -n %s %s 2>&1", name_a, args), text) != NULL;
}

/* The kernel notices a returning carrier in a thread of its own. */
static bool wait_until_shown(const char *args, const char *text)
{
	for (int i = 0; i < 100; i++) {
		if (ip_shows(args, text))
			return true;
		usleep(20000);
	}
	return false;
}

static struct netns open_ns(const char *name)
{
	struct netns ns = { .fd = -1 };
	int err = netns_open(name, &ns, why);

	CHECK(why, !err);
	return ns;
}

static void end_ns(struct netns *ns)
{
	CHECK(why, !netns_remove(ns, why));
	netns_close(ns);
}

static struct ip_addr addr(const char *text)
{
	struct ip_addr a = { 0 };

	CHECK(text, !ip_addr_parse(text, &a));
	return a;
}

/* What the daemon asks for TUN @i of an egress namespace. */
static struct netns_tun egress_tun(int i)
{
	struct netns_tun tun = {
		.alias = "shila:test",
		.mtu_bytes = 1500,
		.txqueuelen = 700,
		.gso_max_bytes = 57000,
		.num_addresses = 2,
		.default_route = i == 0,
		.table = 7000 + (uint32_t)i,
		.endpoint = true,
	};
	char text[IP_ADDR_STRLEN];

	snprintf(tun.name, sizeof(tun.name), "tq-e%d", i);
	snprintf(text, sizeof(text), "10.7.1.%d", i + 1);
	tun.addresses[0] = addr(text);
	snprintf(text, sizeof(text), "fd07::%d", i + 1);
	tun.addresses[1] = addr(text);
	return tun;
}

static void test_namespace(void)
{
	struct netns ns = open_ns(name_a), again, own;
	char cmd[128];

	CHECK("made", ns.made && ns.inode && ns.cookie);
	again = open_ns(name_a);
	CHECK("found again", !again.made && again.inode == ns.inode && again.cookie == ns.cookie);
	netns_close(&again);
	own = open_ns("");
	CHECK("our own is another",
	      own.fd == -1 && own.inode != ns.inode && own.cookie != ns.cookie);
	CHECK("our own cannot be removed", netns_remove(&own, why) == -EINVAL);
	CHECK("ip netns exec works", strstr(sh("ip netns exec %s ip link 2>&1", name_a), "lo:"));

	again = ns;
	again.fd = -1;
	again.inode++;
	CHECK("another namespace of that name is left alone", netns_remove(&again, why) == -ESTALE);
	CHECK("removed", !netns_remove(&ns, why) && !ns.made);
	CHECK("nothing to remove is fine", !netns_remove(&ns, why));
	CHECK("no name left", !strstr(sh("ip netns list"), name_a));
	netns_close(&ns);

	/* What a crash in the middle of making leaves. */
	snprintf(cmd, sizeof(cmd), "/run/netns/%s", name_a);
	close(open(cmd, O_CREAT | O_WRONLY | O_CLOEXEC, 0444));
	ns = open_ns(name_a);
	CHECK("an empty name is taken over", ns.made && ns.inode != again.inode - 1);
	end_ns(&ns);

	close(open(cmd, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	sh("echo text > %s", cmd);
	CHECK("some other file is refused", netns_open(name_a, &ns, why) == -EEXIST);
	unlink(cmd);
	CHECK("a path is no name", netns_open("../x", &ns, why) == -EINVAL);
}

/* Writes down what is made, and whether its name was there already; @ctx: what to answer. */
static struct netns noted;
static bool noted_late;

static int note(void *ctx, const struct netns *ns, char *whence)
{
	char path[128];

	(void)whence;
	snprintf(path, sizeof(path), "/run/netns/%s", ns->name);
	noted = *ns;
	noted_late = !access(path, F_OK);
	return *(const int *)ctx;
}

/* Who is killed at any moment has written down what is there. */
static void test_noted(void)
{
	int answer = -ENOSPC;
	struct netns ns;
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s", name_a);
	CHECK("not noted, not made", netns_open_noted(name_a, note, &answer, &ns, why) == -ENOSPC && access(path, F_OK));
	answer = 0;
	CHECK("made", !netns_open_noted(name_a, note, &answer, &ns, why) && ns.made);
	CHECK("noted before it had its name", !noted_late && noted.inode == ns.inode && noted.cookie == ns.cookie);
	netns_close(&ns);
	noted.inode = 0;
	CHECK("what is there is not noted", !netns_open_noted(name_a, note, &answer, &ns, why) && !ns.made && !noted.inode);
	netns_close(&ns);
	CHECK("found", !netns_find(name_a, &ns, why) && ns.inode);
	end_ns(&ns);
	CHECK("not found", netns_find(name_a, &ns, why) == -ENOENT && access(path, F_OK));

	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444));
	CHECK("an empty name is no namespace", netns_find(name_a, &ns, why) == -ENOENT);
	ns = (struct netns){ .fd = -1 };
	snprintf(ns.name, sizeof(ns.name), "%s", name_a);
	CHECK("and is removed", !netns_remove(&ns, why) && access(path, F_OK));
}

static void test_prepare(void)
{
	static const struct {
		const char *key, *value;
	} rows[] = {
		{ "net.ipv4.conf.all.rp_filter", "0" },
		{ "net.ipv4.conf.default.rp_filter", "0" },
		{ "net.ipv4.ip_forward", "0" },
		{ "net.ipv6.conf.default.accept_ra", "0" },
		{ "net.ipv6.conf.default.addr_gen_mode", "1" },
		{ "net.mptcp.enabled", "1" },
		{ "net.mptcp.stale_loss_cnt", "1" },
		{ "net.mptcp.blackhole_timeout", "0" },
		{ "net.mptcp.syn_retrans_before_tcp_fallback", "128" },
		{ "net.mptcp.allow_join_initial_addr_port", "1" },
		{ "net.ipv4.ping_group_range", "0\t2147483647" },
	};
	struct netns ns = open_ns(name_a);

	CHECK(why, !netns_prepare(&ns, why));
	CHECK("twice", !netns_prepare(&ns, why));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *out = sh("ip netns exec %s sysctl -n %s 2>&1", name_a, rows[i].key);

		/* A kernel that does not have it yet says so. */
		CHECK(rows[i].key, !strncmp(out, rows[i].value, strlen(rows[i].value)) ||
					   strstr(out, "No such file"));
	}
	CHECK("receive buffer",
	      atoi(strrchr(sh("ip netns exec %s sysctl -n net.ipv4.tcp_rmem", name_a), '\t') + 1) >=
		      16 << 20);
	CHECK("lo is up", ip_shows("link show lo", "LOOPBACK,UP"));
	CHECK("limits", ip_shows("mptcp limits", "add_addr_accepted 8 subflows 8"));
	end_ns(&ns);
}

static const char *everything(void)
{
	return sh("for what in 'route show table all' '-6 route show table all' rule '-6 rule' "
		  "'mptcp endpoint'; do ip -n %s $what; done",
		  name_a);
}

static void test_tun(void)
{
	struct netns ns = open_ns(name_a);
	struct netns_tun tun;
	int fds[3][2], more[2];
	char alias[64], *before;

	netns_prepare(&ns, why);
	CHECK("no such device", netns_tun_owner(&ns, "tq-e0", alias, why) == 0);
	tun = egress_tun(0);
	CHECK("nothing to set up", netns_tun_setup(&ns, &tun, why) == -ENODEV);
	for (int i = 0; i < 3; i++) {
		tun = egress_tun(i);
		CHECK(why, !tun_open(&ns, tun.name, 2, false, fds[i], NULL, why));
		CHECK(why, !netns_tun_setup(&ns, &tun, why));
		CHECK("persistent", !tun_persist(fds[i][0]));
	}
	CHECK("owner",
	      netns_tun_owner(&ns, "tq-e1", alias, why) == 1 && !strcmp(alias, "shila:test"));
	CHECK("in use", tun_open(&ns, "tq-e0", 1, true, more, NULL, why) == -EBUSY);
	CHECK("not a TUN", tun_open(&ns, "lo", 1, true, more, NULL, why) < 0);

	CHECK("link", ip_shows("-d link show tq-e1", "vnet_hdr on multi_queue numqueues 2") &&
			      ip_shows("-d link show tq-e1", "persist on"));
	CHECK("up, with queue length",
	      ip_shows("link show tq-e1", "UP") && ip_shows("link show tq-e1", "qlen 700"));
	CHECK("gso_max_size", ip_shows("-d link show tq-e1", "gso_max_size 57000"));
	CHECK("IPv4 address", ip_shows("addr show tq-e1", "inet 10.7.1.2/32"));
	CHECK("IPv6 address", ip_shows("addr show tq-e1", "inet6 fd07::2/128 scope global nodad"));
	CHECK("no link-local address", !ip_shows("addr show tq-e1", "fe80"));
	CHECK("default route", ip_shows("route show default", "dev tq-e0"));
	CHECK("IPv6 default route", ip_shows("-6 route show default", "dev tq-e0"));
	CHECK("one default route", !ip_shows("route show default", "tq-e1"));
	CHECK("table", ip_shows("route show table 7002", "default dev tq-e2"));
	CHECK("IPv6 table", ip_shows("-6 route show table 7002", "default dev tq-e2"));
	CHECK("rule", ip_shows("rule", "from 10.7.1.3 lookup 7002"));
	CHECK("IPv6 rule", ip_shows("-6 rule", "from fd07::3 lookup 7002"));
	CHECK("endpoint", ip_shows("mptcp endpoint show", "10.7.1.3 id 5 subflow dev tq-e2"));
	CHECK("IPv6 endpoint", ip_shows("mptcp endpoint show", "fd07::3 id 6 subflow dev tq-e2"));
	CHECK("way out by source", ip_shows("route get 1.1.1.1 from 10.7.1.3", "dev tq-e2"));
	CHECK("IPv6 way out by source",
	      ip_shows("route get 2001:db8::1 from fd07::2", "dev tq-e1"));

	/* A crash: all queues are gone, everything else stays and is found to be right. */
	before = strdup(everything());
	CHECK("there is something", strlen(before) > 300);
	for (int i = 0; i < 3; i++)
		for (int q = 0; q < 2; q++)
			close(fds[i][q]);
	for (int i = 0; i < 3; i++) {
		tun = egress_tun(i);
		CHECK(why, !tun_open(&ns, tun.name, 2, true, fds[i], NULL, why));
		CHECK(why, !netns_tun_setup(&ns, &tun, why));
	}
	for (int i = 0; i < 100 && strcmp(before, everything()); i++)
		usleep(20000); /* routes are marked linkdown for a moment */
	CHECK("everything as before", !strcmp(before, everything()));
	free(before);

	/* Another configuration: other addresses, another table. */
	tun = egress_tun(2);
	tun.addresses[0] = addr("10.9.9.9");
	tun.num_addresses = 1;
	tun.table = 7100;
	CHECK(why, !netns_tun_setup(&ns, &tun, why));
	CHECK("new address only", ip_shows("addr show tq-e2", "10.9.9.9/32") &&
					  !ip_shows("addr show tq-e2", "10.7.1.3") &&
					  !ip_shows("addr show tq-e2", "fd07"));
	CHECK("new endpoint only", ip_shows("mptcp endpoint", "10.9.9.9") &&
					   !ip_shows("mptcp endpoint", "10.7.1.3") &&
					   !ip_shows("mptcp endpoint", "fd07::3"));
	CHECK("new rule only", ip_shows("rule", "from 10.9.9.9 lookup 7100") &&
				       !ip_shows("rule", "10.7.1.3") &&
				       !ip_shows("-6 rule", "fd07::3"));
	CHECK("new table only", ip_shows("route show table 7100", "tq-e2") &&
					!ip_shows("route show table 7002", "tq-e2") &&
					!ip_shows("-6 route show table 7002", "tq-e2"));
	tun = egress_tun(0);
	tun.default_route = false;
	CHECK(why, !netns_tun_setup(&ns, &tun, why));
	CHECK("no default route any more", !*sh("ip -n %s route show default", name_a) &&
						   ip_shows("route show table 7000", "tq-e0"));
	CHECK("MTU",
	      !netns_set_mtu(&ns, "tq-e2", 1700, why) && ip_shows("link show tq-e2", "mtu 1700"));
	CHECK("MTU of nothing", netns_set_mtu(&ns, "tq-x", 1700, why) == -ENODEV);

	CHECK(why, !netns_tun_remove(&ns, "tq-e2", why));
	CHECK("device gone", netns_tun_owner(&ns, "tq-e2", alias, why) == 0);
	CHECK("rule gone", !ip_shows("rule", "10.9.9.9"));
	CHECK("endpoint gone", !ip_shows("mptcp endpoint", "10.9.9.9"));
	CHECK("the others are not", ip_shows("mptcp endpoint", "10.7.1.2"));

	/* A device that went away by itself leaves a rule and endpoints, which the next removal
	 * takes. */
	CHECK("not persistent", !tun_unpersist(fds[1][0]));
	close(fds[1][0]);
	close(fds[1][1]);
	CHECK("device gone by itself", netns_tun_owner(&ns, "tq-e1", alias, why) == 0);
	CHECK("rule left", ip_shows("rule", "10.7.1.2") && ip_shows("mptcp endpoint", "10.7.1.2"));
	CHECK(why, !netns_tun_remove(&ns, "tq-e1", why));
	CHECK("and swept", !ip_shows("rule", "10.7.1.2") && !ip_shows("-6 rule", "fd07::2") &&
				   !ip_shows("mptcp endpoint", "10.7.1.2") &&
				   !ip_shows("mptcp endpoint", "fd07::2"));
	CHECK(why, !netns_tun_remove(&ns, "tq-e0", why));
	CHECK("twice", !netns_tun_remove(&ns, "tq-e0", why));
	CHECK("no rule of ours", !ip_shows("rule", "lookup 7") && !ip_shows("-6 rule", "lookup 7"));
	CHECK("no endpoint", !*sh("ip -n %s mptcp endpoint", name_a));
	CHECK("no route", !*sh("ip -n %s route", name_a));
	for (int q = 0; q < 2; q++) {
		close(fds[0][q]);
		close(fds[2][q]);
	}
	end_ns(&ns);
}

/* What others made in a namespace is neither replaced nor removed. */
static void test_foreign(void)
{
	struct netns_tun tun = egress_tun(0);
	struct netns ns = open_ns(name_a);
	int fd;

	netns_prepare(&ns, why);
	sh("ip -n %s link add other type veth peer name other2; ip -n %s link set other up; "
	   "ip -n %s route add default dev other; ip -n %s rule add from 10.7.1.77 lookup 7000; "
	   "ip -n %s addr add 192.0.2.1/24 dev other; "
	   "ip -n %s mptcp endpoint add 192.0.2.1 dev other subflow",
	   name_a, name_a, name_a, name_a, name_a, name_a);
	CHECK(why, !tun_open(&ns, tun.name, 1, true, &fd, NULL, why));
	CHECK("another default route",
	      netns_tun_setup(&ns, &tun, why) == -EEXIST && strstr(why, "remove it"));
	CHECK("is still there", ip_shows("route show default", "dev other"));
	tun.default_route = false;
	CHECK(why, !netns_tun_setup(&ns, &tun, why));
	CHECK(why, !netns_tun_remove(&ns, tun.name, why));
	CHECK("route, rule and endpoint are left alone",
	      ip_shows("route show default", "dev other") && ip_shows("rule", "10.7.1.77") &&
		      ip_shows("mptcp endpoint", "192.0.2.1"));
	close(fd);
	end_ns(&ns);
}

/* Host mode: the namespace that the daemon runs in, here one of ours. */
static void test_host_mode(void)
{
	struct netns ns = open_ns(name_a), own;
	struct netns_tun tun = egress_tun(1);
	int fd, old = netns_enter(&ns);

	CHECK("entered", old >= 0);
	own = open_ns("");
	CHECK("the same namespace", own.fd == -1 && !own.made && own.cookie == ns.cookie);
	CHECK(why, !tun_open(&own, tun.name, 1, true, &fd, NULL, why));
	CHECK(why, !netns_tun_setup(&own, &tun, why));
	CHECK("rule and endpoint",
	      ip_shows("rule", "from 10.7.1.2 lookup 7001") &&
		      ip_shows("mptcp endpoint", "10.7.1.2 id 1 subflow dev tq-e1"));
	CHECK("limits are raised",
	      !netns_raise_limits(&own, 5, 0, why) && ip_shows("mptcp limits", "subflows 5"));
	CHECK("and never lowered",
	      !netns_raise_limits(&own, 3, 1, why) &&
		      ip_shows("mptcp limits", "add_addr_accepted 1 subflows 5"));
	CHECK("MTU",
	      !netns_set_mtu(&own, tun.name, 1600, why) && ip_shows("link show tq-e1", "mtu 1600"));
	CHECK(why, !netns_tun_remove(&own, tun.name, why));
	CHECK("nothing left", !*sh("ip -n %s mptcp endpoint; ip -n %s route show table all "
				   "proto 115; ip -n %s rule | grep 7001",
				   name_a, name_a, name_a));
	close(fd);
	netns_leave(old);
	end_ns(&ns);
}

/* ---- traffic ---- */

#define QUEUES 4

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int socket_in(const struct netns *ns, int family, int type, int proto)
{
	int old = netns_enter(ns), fd;

	if (old < 0)
		return old;
	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
	netns_leave(old);
	return fd;
}

/* What the copying loop saw. */
struct seen {
	bool join[3]; /* an MP_JOIN SYN on TUN i, with the address of TUN i */
	bool wrong;   /* an address on the TUN of another */
	bool main;    /* the MP_CAPABLE SYN on TUN 0 */
};

static void look(struct seen *seen, int i, const uint8_t *pkt, size_t len)
{
	bool v4 = pkt[0] >> 4 == 4;
	size_t l4 = v4 ? 20 : 40;
	uint8_t src = v4 ? pkt[15] : pkt[23];

	if (src != i + 1)
		seen->wrong = true;
	if (len < l4 + 20 || (pkt[l4 + 13] & 0x12) != 0x02)
		return;
	for (size_t o = l4 + 20; o + 2 < len && o < l4 + (size_t)(pkt[l4 + 12] >> 4) * 4;
	     o += pkt[o] <= 1 || !pkt[o + 1] ? 1 : pkt[o + 1]) {
		if (pkt[o] != 30)
			continue;
		if (pkt[o + 2] >> 4 == 1)
			seen->join[i] = true;
		else if (i == 0)
			seen->main = true;
	}
}

/* Copy packets between the three client TUNs and the server's until nothing came for 30 ms. */
static void copy(const int *client, int server, struct seen *seen)
{
	static uint8_t buf[TUN_VNET_HDR_LEN + 65536];
	struct pollfd p[4] = { { client[0], POLLIN, 0 },
			       { client[1], POLLIN, 0 },
			       { client[2], POLLIN, 0 },
			       { server, POLLIN, 0 } };

	while (poll(p, 4, 30) > 0) {
		for (int i = 0; i < 4; i++) {
			ssize_t n = read(p[i].fd, buf, sizeof(buf));
			uint8_t *pkt = buf + TUN_VNET_HDR_LEN;
			int to = server;

			if (n <= TUN_VNET_HDR_LEN + 20)
				continue;
			if (i < 3)
				look(seen, i, pkt, (size_t)n - TUN_VNET_HDR_LEN);
			else
				to = client[(pkt[0] >> 4 == 4 ? pkt[19] - 1 : pkt[39] - 1) % 3];
			CHECK("written", write(to, buf, (size_t)n) == n);
		}
	}
}

static void join_over_each_tun(const struct netns *a, const struct netns *b, const int *client,
			       int server, const char *dst)
{
	struct ip_addr to = addr(dst);
	union sock_addr sa = sock_addr_make(&to, 5201);
	struct mptcp_info info = { 0 };
	socklen_t info_len = sizeof(info);
	uint64_t end_ms = now_ms() + 5000;
	struct seen seen = { 0 };
	int l, c, s = -1, one = 1;
	char data[8];

	l = socket_in(b, sa.sa.sa_family, SOCK_STREAM, PROTO_MPTCP);
	c = socket_in(a, sa.sa.sa_family, SOCK_STREAM, PROTO_MPTCP);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	CHECK("listen", l >= 0 && !bind(l, &sa.sa, sock_addr_len(&sa)) && !listen(l, 4));
	CHECK("connect",
	      c >= 0 && connect(c, &sa.sa, sock_addr_len(&sa)) < 0 && errno == EINPROGRESS);
	while (now_ms() < end_ms && info.mptcpi_subflows < 2) {
		copy(client, server, &seen);
		if (s < 0)
			s = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s < 0)
			continue;
		/* Data both ways: joins start when the connection is fully established. */
		CHECK("sent", write(c, "hello", 5) == 5 && write(s, "hello", 5) == 5);
		copy(client, server, &seen);
		if (getsockopt(s, SOL_MPTCP_LEVEL, 1, &info, &info_len) < 0)
			break;
	}
	CHECK("main flow by the first TUN", seen.main);
	CHECK("joins by the second and third", !seen.join[0] && seen.join[1] && seen.join[2]);
	CHECK("no address on the TUN of another", !seen.wrong);
	CHECK("two subflows more at the server", info.mptcpi_subflows == 2);
	CHECK("data arrived", read(s, data, sizeof(data)) > 0 && read(c, data, sizeof(data)) > 0);
	close(c);
	close(s);
	close(l);
	copy(client, server, &seen);
}

static void test_join(void)
{
	struct netns a = open_ns(name_a), b = open_ns(name_b);
	struct netns_tun in = { .name = "tq-i",
				.alias = "shila:test",
				.mtu_bytes = 1500,
				.txqueuelen = 500,
				.num_addresses = 2,
				.default_route = true };
	int client[3], server = -1;

	netns_prepare(&a, why);
	netns_prepare(&b, why);
	for (int i = 0; i < 3; i++) {
		struct netns_tun tun = egress_tun(i);

		CHECK(why, !tun_open(&a, tun.name, 1, true, &client[i], NULL, why));
		CHECK(why, !netns_tun_setup(&a, &tun, why));
	}
	in.addresses[0] = addr("10.70.0.9");
	in.addresses[1] = addr("fd70::9");
	CHECK(why, !tun_open(&b, in.name, 1, true, &server, NULL, why));
	CHECK(why, !netns_tun_setup(&b, &in, why));

	join_over_each_tun(&a, &b, client, server, "10.70.0.9");
	join_over_each_tun(&a, &b, client, server, "fd70::9");

	for (int i = 0; i < 3; i++)
		close(client[i]);
	close(server);
	end_ns(&a);
	end_ns(&b);
}

#define QUEUES 4

/* Read what is in the queues. Return: packets; @elsewhere counts those in the wrong queue. */
static unsigned int drain(const int *fds, unsigned int *elsewhere, unsigned int *in_queue)
{
	static uint8_t buf[TUN_VNET_HDR_LEN + 65536];
	unsigned int total = 0;

	for (uint32_t q = 0; q < QUEUES; q++) {
		ssize_t n;

		while ((n = read(fds[q], buf, sizeof(buf))) > TUN_VNET_HDR_LEN) {
			*elsewhere += q != steer_packet(buf + TUN_VNET_HDR_LEN,
							(size_t)n - TUN_VNET_HDR_LEN, QUEUES);
			in_queue[q]++;
			total++;
		}
	}
	return total;
}

static void send_one(const struct netns *ns, const struct ip_addr *to, int type, uint16_t port,
		     size_t len)
{
	static const uint8_t data[5000];
	union sock_addr sa = sock_addr_make(to, port);
	int fd = socket_in(ns, sa.sa.sa_family, type, 0);

	CHECK("socket", fd >= 0);
	if (type == SOCK_DGRAM)
		CHECK("sent", sendto(fd, data, len, 0, &sa.sa, sock_addr_len(&sa)) == (ssize_t)len);
	else
		CHECK("connecting", connect(fd, &sa.sa, sock_addr_len(&sa)) < 0);
	close(fd);
}

static void test_steering(void)
{
	struct netns ns = open_ns(name_a);
	struct netns_tun tun = egress_tun(0);
	struct ip_addr to[2] = { addr("192.0.2.1"), addr("2001:db8::1") };
	unsigned int elsewhere = 0, in_queue[QUEUES] = { 0 }, total;
	int fds[QUEUES], err;

	netns_prepare(&ns, why);
	CHECK(why, !tun_open(&ns, tun.name, QUEUES, true, fds, NULL, why));
	CHECK(why, !netns_tun_setup(&ns, &tun, why));
	err = steer_attach(fds[QUEUES - 1], QUEUES, false);
	if (err == -EPERM || err == -ENOSYS) {
		printf("  the kernel refuses the steering program (%s)\n", strerror(-err));
		goto close_fds;
	}
	CHECK("attached", !err);
	/* Router solicitations and the like come within a second, if they come. */
	usleep(1200000);
	CHECK("nothing leaves by itself", !drain(fds, &elsewhere, in_queue));
	for (uint16_t i = 0; i < 200; i++)
		send_one(&ns, &to[i % 2], i % 4 < 2 ? SOCK_DGRAM : SOCK_STREAM, 5000 + i, 100);
	total = drain(fds, &elsewhere, in_queue);
	CHECK("all came out", total >= 200);
	CHECK("each by the queue of its worker", !elsewhere);
	for (int q = 0; q < QUEUES; q++)
		CHECK("every queue is used", in_queue[q] > 20);

	memset(in_queue, 0, sizeof(in_queue));
	for (uint16_t i = 0; i < 16; i++)
		send_one(&ns, &to[i % 2], SOCK_DGRAM, 7000 + i, 4000);
	total = drain(fds, &elsewhere, in_queue);
	CHECK("three fragments each", total == 48);
	CHECK("all of them by worker 0", in_queue[0] == 48 && !elsewhere);

	/* The program stays with a persistent device; a restart replaces it by its own. */
	for (int q = 0; q < QUEUES; q++)
		close(fds[q]);
	CHECK(why, !tun_open(&ns, tun.name, QUEUES, true, fds, NULL, why));
	CHECK("attached again", !steer_attach(fds[0], QUEUES, false));
	CHECK("carrier is back", wait_until_shown("link show up dev tq-e0", "state U"));
	for (uint16_t i = 0; i < 40; i++)
		send_one(&ns, &to[i % 2], SOCK_DGRAM, 5000 + i, 100);
	CHECK("steered after a restart", drain(fds, &elsewhere, in_queue) >= 40 && !elsewhere);
close_fds:
	for (int q = 0; q < QUEUES; q++)
		close(fds[q]);
	end_ns(&ns);
}

/* A failed check must not leave a namespace behind, whatever it skipped. */
static void remove_leftovers(void)
{
	sh("ip netns del %s 2>/dev/null; ip netns del %s 2>/dev/null", name_a, name_b);
}

static void set_names(void)
{
	snprintf(name_a, sizeof(name_a), "shila-test-%d-a", getpid());
	snprintf(name_b, sizeof(name_b), "shila-test-%d-b", getpid());
	atexit(remove_leftovers);
	CHECK("names", true);
}

const struct unit_test unit_tests[] = {
	/* clang-format off: one a line */
	{ "names of this run", set_names },
	{ "namespace", test_namespace },
	{ "noted", test_noted },
	{ "prepare", test_prepare },
	{ "TUN devices", test_tun },
	{ "what others made", test_foreign },
	{ "host mode", test_host_mode },
	{ "a join by each TUN", test_join },
	{ "steering", test_steering },
	{ 0 },
};
