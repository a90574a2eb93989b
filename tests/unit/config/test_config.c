/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files under tests/vectors/config: `# expect: LINE:COLUMN: TEXT` lines are exactly the messages
 * that a file must give, in order; `# env: VALUE` in the first line is $SCION_DAEMON.
 */
#include "config/config.h"

#include "config/message.h"
#include "config/schema.h"
#include "config/tree.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE 65536
#define EXPECT   "# expect: "
#define ENV      "# env: "

/* A small file, ended by a NUL; NULL if it is not there. */
static char *read_all(const char *file, size_t *len)
{
	FILE *f = fopen(file, "re");
	char *text;

	*len = 0;
	if (!f)
		return NULL;
	text = calloc(1, MAX_FILE + 1);
	if (text)
		*len = fread(text, 1, MAX_FILE, f);
	fclose(f);
	return text;
}

static struct ip_addr addr(const char *text)
{
	struct ip_addr a = {0};

	CHECK(text, !ip_addr_parse(text, &a));
	return a;
}

static bool addr_is(const struct ip_addr *a, const char *text)
{
	char buf[IP_ADDR_STRLEN];

	return !strcmp(ip_addr_str(a, buf), text);
}

static bool prefix_is(const struct ip_prefix *p, const char *text)
{
	char buf[IP_PREFIX_STRLEN];

	return !strcmp(ip_prefix_str(p, buf), text);
}

static struct scion_addr peer(const char *text)
{
	struct scion_addr a = {0};

	CHECK(text, !scion_addr_parse(text, &a));
	return a;
}

/* Configuration of a text that is right, NULL (and a failed check) if it is not. */
static struct config *parse_good(const char *text)
{
	struct config_messages msgs;
	struct config *cfg = NULL;
	int err = config_parse(text, strlen(text), NULL, &cfg, &msgs);

	if (err < 0)
		config_messages_print(&msgs, "text", stdout);
	CHECK(text, !err);
	config_messages_free(&msgs);
	return cfg;
}

/* Does parsing @text fail, leave the output alone and give this first message? */
static bool fails(const char *text, size_t len, const char *message)
{
	struct config *cfg = (struct config *)1;
	struct config_messages msgs;
	int err = config_parse(text, len, NULL, &cfg, &msgs);
	char first[300] = "";
	bool ok;

	if (msgs.count)
		snprintf(first, sizeof(first), "%d:%d: %s", msgs.list[0].line, msgs.list[0].column,
			 msgs.list[0].text);
	ok = err == -EINVAL && cfg == (struct config *)1 && !strcmp(first, message);
	if (!ok)
		printf("\n%d, %s\n", err, first);
	config_messages_free(&msgs);
	return ok;
}

/* Compare messages with the comments of the file; prints what differs. */
static bool as_expected(const char *text, const struct config_messages *msgs)
{
	const char *line = text;
	size_t n = 0;
	bool ok = true;

	while ((line = strstr(line, EXPECT))) {
		const char *want = line + strlen(EXPECT);
		size_t len = strcspn(want, "\n");
		char got[300] = "nothing";

		if (n < msgs->count)
			snprintf(got, sizeof(got), "%d:%d: %s%s", msgs->list[n].line,
				 msgs->list[n].column, msgs->list[n].warning ? "warning: " : "",
				 msgs->list[n].text);
		if (strlen(got) != len || memcmp(got, want, len)) {
			printf("\n  want %.*s\n  got  %s\n", (int)len, want, got);
			ok = false;
		}
		line = want;
		n++;
	}
	for (; n < msgs->count; n++) {
		printf("\n  got beyond that %d:%d: %s\n", msgs->list[n].line, msgs->list[n].column,
		       msgs->list[n].text);
		ok = false;
	}
	return ok;
}

/* All files of a folder. Return: how many. */
static unsigned int check_folder(const char *folder, int want)
{
	char dir[512], file[1024], env[128];
	struct dirent *entry;
	unsigned int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/config/%s", getenv("SHILA_VECTORS"), folder);
	d = opendir(dir);
	CHECK(dir, d);
	while (d && (entry = readdir(d))) {
		struct config *cfg = NULL;
		struct config_messages msgs;
		size_t len;
		char *text;
		int err;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", dir, entry->d_name);
		text = read_all(file, &len);
		*env = '\0';
		if (len > strlen(ENV) && !memcmp(text, ENV, strlen(ENV)))
			snprintf(env, sizeof(env), "%.*s", (int)strcspn(text + strlen(ENV), "\n"),
				 text + strlen(ENV));
		err = config_load(file, *env ? env : NULL, &cfg, &msgs);
		if (err != want || !text || !as_expected(text, &msgs)) {
			printf("  in %s (%d)\n", entry->d_name, err);
			CHECK("a file gives other messages than it says", false);
		}
		n++;
		config_messages_free(&msgs);
		config_free(cfg);
		free(text);
	}
	if (d)
		closedir(d);
	return n;
}

static void test_bad_files(void)
{
	CHECK("all of them are there", check_folder("bad", -EINVAL) >= 100);
}

static void test_good_files(void)
{
	CHECK("all of them are there", check_folder("good", 0) >= 10);
}

static const char minimal[] = "version: 1\negress: {}\ningress: {}\n"
			      "routes: {to: 10.70.1.0/24, via: \"1-64513,10.13.0.2\"}\n";

static void test_defaults(void)
{
	struct config *cfg = parse_good(minimal);
	struct ip_addr a;

	if (!cfg)
		return;
	a = sock_addr_ip(&cfg->scion.daemon);
	CHECK("daemon", addr_is(&a, "127.0.0.1") && sock_addr_port(&cfg->scion.daemon) == 30255);
	CHECK("underlay address is looked up", !cfg->scion.address.len);
	CHECK("contact", cfg->contact.port == 31654 && !cfg->contact.num_traffic &&
				 cfg->contact.open_deadline_ms == 3000);
	CHECK("one egress", cfg->num_egress == 1);
	CHECK("its namespace", !strcmp(cfg->egress[0].namespace, "shila-egress"));
	CHECK("its devices",
	      !strcmp(cfg->egress[0].device, "shila-e") && cfg->egress[0].interfaces == 3);
	CHECK("its addresses", cfg->egress[0].num_addresses == 1 &&
				       prefix_is(&cfg->egress[0].addresses[0], "10.7.1.0/24"));
	CHECK("ingress", cfg->ingress.enabled && !strcmp(cfg->ingress.namespace, "shila-ingress") &&
				 !strcmp(cfg->ingress.device, "shila-i"));
	CHECK("ingress address",
	      cfg->ingress.num_addresses == 1 && addr_is(&cfg->ingress.addresses[0], "10.70.0.9"));
	CHECK("pool",
	      cfg->ingress.num_pool == 1 && prefix_is(&cfg->ingress.pool[0], "10.64.0.0/16"));
	CHECK("nobody is named", !cfg->ingress.num_allow);
	CHECK("everything is served",
	      cfg->ingress.num_serve == 3 && cfg->ingress.serve[0].proto == 6 &&
		      cfg->ingress.serve[1].proto == 17 && cfg->ingress.serve[2].proto == 1 &&
		      cfg->ingress.serve[0].port_min == 0 &&
		      cfg->ingress.serve[0].port_max == 65535);
	CHECK("paths", cfg->paths.metric == METRIC_LATENCY && cfg->paths.share == 1 &&
			       cfg->paths.replay && !cfg->paths.num_policy);
	CHECK("one route", cfg->num_routes == 1 && prefix_is(&cfg->routes[0].to, "10.70.1.0/24"));
	CHECK("contact port of a peer",
	      cfg->routes[0].num_via == 1 && cfg->routes[0].via[0].port == 31654);
	CHECK("the route's rest", cfg->routes[0].mode == MODE_FORWARD && !cfg->routes[0].subflows &&
					  !cfg->routes[0].backup && !cfg->routes[0].as.len &&
					  cfg->routes[0].line == 4);
	CHECK("inherited paths", cfg->routes[0].paths.share == 1 && cfg->routes[0].paths.replay);
	CHECK("workers", !cfg->workers && cfg->steering == STEERING_AUTO && !cfg->busy_poll_us);
	CHECK("limits", cfg->limits.flows == 65536 && cfg->limits.flows_per_peer == 16384 &&
				cfg->limits.half_open_per_peer == 1024 &&
				cfg->limits.opens_per_second_per_peer == 2000 &&
				cfg->limits.pool_addresses_per_peer == 4096 &&
				cfg->limits.flows_per_as == 32768 &&
				cfg->limits.half_open_per_as == 2048 &&
				cfg->limits.opens_per_second_per_as == 4000 &&
				cfg->limits.pool_addresses_per_as == 16384 &&
				cfg->limits.peers_per_as == 768 && cfg->limits.park_after_s == 300 &&
				cfg->limits.linger_s == 60 &&
				cfg->limits.frames_per_second_peers == 2000 &&
				cfg->limits.frames_per_second_as == 1000 &&
				cfg->limits.frames_per_second_strangers == 100 &&
				cfg->limits.scmp_per_second == 1000 &&
				cfg->limits.control_queue == 1024 &&
				cfg->limits.held_syns == 1024 && cfg->limits.peers == 1024 &&
				cfg->limits.paths_per_as == 512 && cfg->limits.control_clients == 32);
	CHECK("files",
	      !strcmp(cfg->state, "/run/shila") && !strcmp(cfg->control, "/run/shila/shilad.sock"));
	config_free(cfg);
}

static void check_every_key_lists(const struct config *cfg)
{
	const struct config_ingress *in = &cfg->ingress;

	CHECK("egress", cfg->num_egress == 2 && cfg->egress[0].interfaces == 5 &&
				cfg->egress[0].path_manager == PATH_MANAGER_KERNEL &&
				cfg->egress[1].path_manager == PATH_MANAGER_OWN &&
				prefix_is(&cfg->egress[0].addresses[1], "fd00:7:1::/64") &&
				!strcmp(cfg->egress[1].namespace, "c2") &&
				!strcmp(cfg->egress[1].device, "shila-f"));
	CHECK("ingress addresses",
	      in->num_addresses == 2 && addr_is(&in->addresses[1], "fd00:70::9") &&
		      in->num_pool == 2 && prefix_is(&in->pool[1], "fd00:64::/64"));
	CHECK("allow", in->num_allow == 3 && !in->allow[0].host.len &&
			       in->allow[0].ia.v == (1ull << 48 | 64513) &&
			       addr_is(&in->allow[1].host, "10.14.0.2"));
	CHECK("serve",
	      in->num_serve == 5 && in->serve[0].port_min == 22 && in->serve[0].port_max == 22 &&
		      in->serve[1].port_min == 8000 && in->serve[1].port_max == 8100 &&
		      addr_is(&in->serve[2].address, "10.70.0.9") &&
		      addr_is(&in->serve[3].address, "10.70.0.80") && in->serve[4].proto == 1);
}

static void test_every_key(void)
{
	char file[512], text[SCION_ENDPOINT_STRLEN];
	struct config_messages msgs;
	struct config *cfg = NULL;
	struct ip_addr a;

	snprintf(file, sizeof(file), "%s/config/good/every_key.yaml", getenv("SHILA_VECTORS"));
	CHECK(file, !config_load(file, "[::1]:1", &cfg, &msgs));
	config_messages_free(&msgs);
	if (!cfg)
		return;
	a = sock_addr_ip(&cfg->scion.daemon);
	CHECK("daemon", addr_is(&a, "fd00::1") && addr_is(&cfg->scion.address, "127.0.0.1"));
	CHECK("contact", cfg->contact.port == 7654 && cfg->contact.num_traffic == 2 &&
				 cfg->contact.traffic[0] == 31001 &&
				 cfg->contact.traffic[1] == 31000 &&
				 cfg->contact.open_deadline_ms == 500 && cfg->workers == 2);
	check_every_key_lists(cfg);
	CHECK("paths", cfg->paths.metric == METRIC_BANDWIDTH && cfg->paths.share == 3 &&
			       !cfg->paths.replay && cfg->paths.num_policy == 2 &&
			       !strcmp(cfg->paths.policy[0], "+ 1-64513#1,2"));
	CHECK("routes", cfg->num_routes == 3);
	CHECK("via", cfg->routes[0].num_via == 2 &&
			     !strcmp(scion_endpoint_str(&cfg->routes[0].via[1], text),
				     "[1-ff00:0:110,fd00::1]:9000"));
	CHECK("route", addr_is(&cfg->routes[0].as, "10.70.0.9") && cfg->routes[0].subflows == 5 &&
			       cfg->routes[0].backup);
	CHECK("paths of a route replace what they name",
	      cfg->routes[0].paths.share == 2 && cfg->routes[0].paths.num_policy == 2 &&
		      !strcmp(cfg->routes[0].paths.policy[0], "- 1-64514"));
	CHECK("and inherit the rest", cfg->routes[0].paths.metric == METRIC_BANDWIDTH &&
					      !cfg->routes[0].paths.replay &&
					      cfg->routes[2].paths.num_policy == 2 &&
					      cfg->routes[2].paths.metric == METRIC_MTU);
	CHECK("steering", cfg->steering == STEERING_RINGS);
	CHECK("busy polling", cfg->busy_poll_us == 70);
	CHECK("limits", cfg->limits.flows == 1000 && cfg->limits.flows_per_peer == 100 &&
				cfg->limits.half_open_per_peer == 10 &&
				cfg->limits.opens_per_second_per_peer == 20 &&
				cfg->limits.pool_addresses_per_peer == 30 &&
				cfg->limits.flows_per_as == 200 &&
				cfg->limits.half_open_per_as == 20 &&
				cfg->limits.opens_per_second_per_as == 40 &&
				cfg->limits.pool_addresses_per_as == 60 &&
				cfg->limits.peers_per_as == 6 && cfg->limits.park_after_s == 7 &&
				cfg->limits.linger_s == 8 &&
				cfg->limits.frames_per_second_peers == 700 &&
				cfg->limits.frames_per_second_as == 600 &&
				cfg->limits.frames_per_second_strangers == 5 &&
				cfg->limits.scmp_per_second == 400 &&
				cfg->limits.control_queue == 40 && cfg->limits.held_syns == 50 &&
				cfg->limits.peers == 60 && cfg->limits.paths_per_as == 70 &&
				cfg->limits.kept_paths == 80 && cfg->limits.control_clients == 90);
	CHECK("files",
	      !strcmp(cfg->state, "/run/other") && !strcmp(cfg->control, "/run/other/sock"));
	config_free(cfg);
}

static void test_environment(void)
{
	struct config_messages msgs;
	struct config *cfg = NULL;

	CHECK("$SCION_DAEMON is taken",
	      !config_parse(minimal, strlen(minimal), "[fd00::2]:7", &cfg, &msgs) &&
		      sock_addr_port(&cfg->scion.daemon) == 7);
	config_messages_free(&msgs);
	config_free(cfg);
	CHECK("an empty one is none", !config_parse(minimal, strlen(minimal), "", &cfg, &msgs) &&
					      sock_addr_port(&cfg->scion.daemon) == 30255);
	config_messages_free(&msgs);
	config_free(cfg);
}

static void test_workers_of_traffic(void)
{
	struct config *cfg =
		parse_good("version: 1\negress: {}\ncontact: {traffic: [31000, 31001]}\n");

	CHECK("a worker for each port", cfg && cfg->workers == 2);
	config_free(cfg);
}

static void test_route_find(void)
{
	struct config *cfg = parse_good("version: 1\negress: {}\nroutes:\n"
					"- {to: 10.70.0.0/16, via: \"1-1,10.0.0.1\"}\n"
					"- {to: 10.70.1.0/24, via: \"1-2,10.0.0.1\"}\n"
					"- {to: 0.0.0.0/0, via: \"1-3,10.0.0.1\"}\n"
					"- {to: 10.70.1.7, via: \"1-4,10.0.0.1\"}\n");
	static const struct {
		const char *why, *dst;
		size_t route;
	} rows[] = {
		{"the only one", "10.70.2.1", 0},
		{"longer prefix", "10.70.1.1", 1},
		{"single address", "10.70.1.7", 3},
		{"default", "192.0.2.1", 2},
	};
	struct ip_addr a;

	if (!cfg)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		a = addr(rows[i].dst);
		CHECK(rows[i].why, config_route_find(cfg, &a) == &cfg->routes[rows[i].route]);
	}
	a = addr("fd00::1");
	CHECK("other family", !config_route_find(cfg, &a));
	config_free(cfg);
}

static void test_peer_allowed(void)
{
	static const struct {
		const char *why, *allow, *peer;
		bool want;
	} rows[] = {
		{"peer of a route", "[]", "1-64513,10.13.0.2", true},
		{"second address of a route", "[]", "1-64513,fd00::2", true},
		{"other host of its AS", "[]", "1-64513,10.13.0.3", false},
		{"same host in another AS", "[]", "1-64514,10.13.0.2", false},
		{"listed AS", "[1-64514]", "1-64514,10.0.0.1", true},
		{"a list replaces the routes", "[1-64514]", "1-64513,10.13.0.2", false},
		{"other ISD", "[1-64514]", "2-64514,10.0.0.1", false},
		{"listed host", "[\"1-64514,10.0.0.1\"]", "1-64514,10.0.0.1", true},
		{"other host", "[\"1-64514,10.0.0.1\"]", "1-64514,10.0.0.2", false},
		{"second entry", "[1-2, \"1-64514,fd00::1\"]", "1-64514,fd00::1", true},
	};
	struct scion_addr p;
	struct config *cfg;
	char text[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\ningress: {allow: %s}\nroutes: {to: 10.70.1.0/24, "
			 "via: [\"1-64513,10.13.0.2\", \"1-64513,fd00::2\"]}\n",
			 rows[i].allow);
		cfg = parse_good(text);
		p = peer(rows[i].peer);
		CHECK(rows[i].why, cfg && config_peer_allowed(cfg, &p) == rows[i].want);
		config_free(cfg);
	}
	cfg = parse_good(
		"version: 1\negress: {}\nroutes: {to: 10.70.1.0/24, via: \"1-1,10.0.0.1\"}\n");
	p = peer("1-1,10.0.0.1");
	CHECK("without ingress nobody", cfg && !config_peer_allowed(cfg, &p));
	config_free(cfg);
	cfg = parse_good("version: 1\ningress: {}\n");
	CHECK("without routes and allow nobody", cfg && !config_peer_allowed(cfg, &p));
	config_free(cfg);
}

static void test_port_served(void)
{
	static const struct {
		const char *why, *serve;
		uint8_t proto;
		uint16_t port;
		const char *address;
		bool want;
	} rows[] = {
		{"any port", "tcp/*", 6, 80, "10.70.0.9", true},
		{"port 0 too", "udp/*", 17, 0, "10.70.0.9", true},
		{"other protocol", "tcp/*", 17, 80, "10.70.0.9", false},
		{"the port", "tcp/80", 6, 80, "10.70.0.9", true},
		{"another port", "tcp/80", 6, 81, "10.70.0.9", false},
		{"first of a range", "udp/80-90", 17, 80, "10.70.0.9", true},
		{"last of a range", "udp/80-90", 17, 90, "10.70.0.9", true},
		{"behind the range", "udp/80-90", 17, 91, "10.70.0.9", false},
		{"IPv6 ingress address", "tcp/80", 6, 80, "fd00:70::9", true},
		{"not an ingress address", "tcp/80", 6, 80, "10.70.0.10", false},
		{"address named", "tcp/80@10.70.0.10", 6, 80, "10.70.0.10", true},
		{"then only that", "tcp/80@10.70.0.10", 6, 80, "10.70.0.9", false},
		{"second entry", "[udp/53, tcp/80]", 6, 80, "10.70.0.9", true},
		{"ICMP", "icmp", 1, 7, "10.70.0.9", true},
		{"ICMPv6", "icmp", 58, 7, "fd00:70::9", true},
		{"no ICMP", "tcp/*", 1, 7, "10.70.0.9", false},
		{"other protocols never", "[tcp/*, udp/*, icmp]", 47, 0, "10.70.0.9", false},
		{"nothing", "[]", 6, 80, "10.70.0.9", false},
	};
	struct config *cfg;
	struct ip_addr a;
	char text[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\ningress: {serve: %s, address: [10.70.0.9, fd00:70::9], "
			 "pool: [10.64.0.0/16, fd00:64::/64], allow: 1-1}\n",
			 rows[i].serve);
		cfg = parse_good(text);
		a = addr(rows[i].address);
		CHECK(rows[i].why, cfg && config_port_served(cfg, rows[i].proto, rows[i].port,
							     &a) == rows[i].want);
		config_free(cfg);
	}
	cfg = parse_good("version: 1\negress: {}\n");
	a = addr("10.70.0.9");
	CHECK("without ingress nothing", cfg && !config_port_served(cfg, 6, 80, &a));
	config_free(cfg);
}

static void test_sizes(void)
{
	size_t room = TREE_MAX_BYTES + 1, len;
	char *text = malloc(room);
	struct config *cfg;

	if (!text)
		return;
	CHECK("nothing", fails("", 0,
			       "1:1: the file is empty: it needs `version: 1` and `egress` or "
			       "`ingress`, or both"));
	memset(text, '#', room);
	CHECK("too large", fails(text, room, "1:1: the file is larger than 4 MiB"));
	CHECK("one comment of 4 MiB", fails(text, room - 1,
					    "1:1: the file is empty: it needs `version: "
					    "1` and `egress` or `ingress`, or both"));
	memset(text, '[', room);
	CHECK("deep", fails(text, room - 1, "1:17: nested more than 16 deep"));
	memset(text, '{', room);
	CHECK("deep maps", fails(text, room - 1, "1:17: nested more than 16 deep"));
	for (size_t i = 0; i < room; i++)
		text[i] = i % 2 ? '1' : ',';
	text[0] = '[';
	CHECK("too many values", fails(text, room - 1, "1:524288: more than 262144 values"));

	len = (size_t)sprintf(text, "version: 1\negress: {}\nroutes:\n");
	for (int i = 0; i < CONFIG_MAX_ROUTES; i++)
		len += (size_t)sprintf(text + len, "- {to: 10.%d.%d.0/24, via: \"1-1,10.0.0.1\"}\n",
				       100 + i / 256, i % 256);
	cfg = parse_good(text);
	CHECK("as many routes as possible", cfg && cfg->num_routes == CONFIG_MAX_ROUTES);
	config_free(cfg);
	sprintf(text + len, "- {to: 10.99.0.0/24, via: \"1-1,10.0.0.1\"}\n");
	CHECK("and one more",
	      fails(text, strlen(text), "4:1: routes: 4097 entries are more than 4096"));
	free(text);
}

static void test_many_messages(void)
{
	struct config_messages msgs;
	struct config *cfg = NULL;
	char *text = malloc(64 * 1024);
	size_t len;

	if (!text)
		return;
	len = (size_t)sprintf(text, "version: 1\negress: {}\n");
	for (int i = 0; i < 2 * CONFIG_MAX_MESSAGES; i++)
		len += (size_t)sprintf(text + len, "no_such_%d: 1\n", i);
	CHECK("refused", config_parse(text, len, NULL, &cfg, &msgs) == -EINVAL);
	CHECK("no more than are read", msgs.count == CONFIG_MAX_MESSAGES);
	CHECK("and it says so", !strcmp(msgs.list[msgs.count - 1].text, "and 1002 more messages"));
	config_messages_free(&msgs);
	config_messages_free(&msgs);
	CHECK("freed twice is fine", !msgs.count && !msgs.list);
	free(text);
}

static void test_load(void)
{
	struct config *cfg = NULL;
	struct config_messages msgs;

	CHECK("no file", config_load("/nonexistent/shila.yaml", NULL, &cfg, &msgs) == -ENOENT);
	CHECK("no message either", !msgs.count);
	CHECK("a directory", config_load("/", NULL, &cfg, &msgs) == -EISDIR);
	CHECK("a file without end",
	      config_load("/dev/zero", NULL, &cfg, &msgs) == -EINVAL && msgs.count == 1);
	config_messages_free(&msgs);
	CHECK("output is untouched", !cfg);
	config_free(NULL);
}

static void test_print(void)
{
	struct config_messages msgs;
	struct config *cfg = NULL;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	config_parse("version: 1\negress: {}\nx: 1\n", 26, NULL, &cfg, &msgs);
	config_messages_print(&msgs, "/etc/shila/shila.yaml", f);
	fclose(f);
	CHECK("lines of an editor",
	      !strcmp(text,
		      "/etc/shila/shila.yaml:2:9: warning: routes: none, so nothing can be "
		      "reached from the egress\n/etc/shila/shila.yaml:3:1: x: unknown key\n"));
	free(text);
	config_messages_free(&msgs);
}

/* A file of the folder config/, beside the tests. */
static char *read_config_file(const char *name)
{
	char file[512];
	size_t len;

	snprintf(file, sizeof(file), "%s/../../config/%s", getenv("SHILA_VECTORS"), name);
	return read_all(file, &len);
}

/* Part of the manual about one key, up to the next; NULL if it has none. */
static char *manual_entry(const char *manual, const char *key)
{
	char begin[128];
	const char *at, *end;

	snprintf(begin, sizeof(begin), "\n.It Cm %s", key);
	for (at = strstr(manual, begin); at; at = strstr(at + 1, begin))
		if (strchr(" \n", at[strlen(begin)]))
			break;
	if (!at)
		return NULL;
	end = strstr(at + 1, "\n.It ");
	if (!end || (strstr(at, "\n.El") && strstr(at, "\n.El") < end))
		end = strstr(at, "\n.El");
	return end ? strndup(at, (size_t)(end - at)) : strdup(at);
}

/* Every key of the table is in the manual, with the same default, range and necessity. */
static void test_manual(void)
{
	char *manual = read_config_file("shila.yaml.5");
	char want[128];

	CHECK("there is a manual", manual);
	for (size_t i = 0; i < cfg_num_keys && manual; i++) {
		const struct cfg_key *k = &cfg_keys[i];
		char *entry = manual_entry(manual, k->key);

		CHECK(k->key, entry);
		if (!entry)
			continue;
		*want = '\0';
		if (k->def)
			snprintf(want, sizeof(want), "\nDefault: %s.", k->def);
		else if (k->flags & CFG_REQUIRED)
			snprintf(want, sizeof(want), "\nRequired.");
		CHECK(k->key, strstr(entry, want));
		if (k->type == CFG_U32 && k->min != k->max) {
			snprintf(want, sizeof(want), "%u to %u", k->min, k->max);
			CHECK(k->key, strstr(entry, want));
		}
		CHECK(k->key, !(k->flags & CFG_LIST) == !strstr(entry, " list"));
		free(entry);
	}
	for (const char *at = manual; at && (at = strstr(at, "\n.It Cm ")); at++) {
		bool known = false;

		for (size_t i = 0; i < cfg_num_keys; i++) {
			size_t len = strlen(cfg_keys[i].key);

			known |= !strncmp(at + 8, cfg_keys[i].key, len) &&
				 strchr(" \n", at[8 + len]);
		}
		CHECK("the manual has no key that the table has not", known);
	}
	free(manual);
}

/* The shipped example is right as it is, gives no warning and shows every key. */
static void test_example(void)
{
	char *text = read_config_file("shila.yaml");
	struct config_messages msgs;
	struct config *cfg = NULL;
	char want[64];

	CHECK("there is an example", text);
	if (!text)
		return;
	CHECK("it is right", !config_parse(text, strlen(text), NULL, &cfg, &msgs));
	config_messages_print(&msgs, "shila.yaml", stdout);
	CHECK("nothing is complained about", !msgs.count);
	config_messages_free(&msgs);
	config_free(cfg);
	for (size_t i = 0; i < cfg_num_keys; i++) {
		snprintf(want, sizeof(want), "%s:", cfg_name(&cfg_keys[i]));
		CHECK(want, strstr(text, want));
	}
	free(text);
}

/* The table itself: names are unique, defaults are within what it says. */
static void test_table(void)
{
	for (size_t i = 0; i < cfg_num_keys; i++) {
		const struct cfg_key *k = &cfg_keys[i];

		CHECK(k->key, k->help && *k->help);
		CHECK(k->key, !(k->flags & CFG_LIST) || (k->size && k->max_count));
		CHECK(k->key, k->type == CFG_MAP || cfg_types[k->type].parse);
		CHECK(k->key, k->type != CFG_U32 || (k->min <= k->max && k->max));
		for (size_t j = 0; j < i; j++)
			CHECK(k->key, strcmp(k->key, cfg_keys[j].key));
	}
}

const struct unit_test unit_tests[] = {
	{"wrong files", test_bad_files},
	{"right files", test_good_files},
	{"defaults", test_defaults},
	{"every key", test_every_key},
	{"environment", test_environment},
	{"workers follow the ports", test_workers_of_traffic},
	{"routes", test_route_find},
	{"allow", test_peer_allowed},
	{"serve", test_port_served},
	{"large and deep", test_sizes},
	{"many messages", test_many_messages},
	{"load", test_load},
	{"print", test_print},
	{"table", test_table},
	{"manual", test_manual},
	{"example", test_example},
	{0},
};
