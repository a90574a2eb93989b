/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "config/tree.h"
#include "config/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int config_parse(const char *text, size_t len, const char *env_daemon, struct config **out,
		 struct config_messages *msgs)
{
	struct report r = {.msgs = msgs};
	struct config *cfg;
	struct node *root;
	int err;

	*msgs = (struct config_messages){0};
	err = tree_load(text, len, &r, &root);
	if (err < 0)
		goto end_report;
	cfg = calloc(1, sizeof(*cfg));
	if (!cfg) {
		err = -ENOMEM;
		goto free_tree;
	}
	err = walk_tree(root, env_daemon, &r, cfg);
	if (err < 0)
		goto free_config;
	check_config(root, &r, cfg);
	check_not_yet(root, &r, cfg);
	if (r.errors || r.no_memory) {
		err = r.no_memory ? -ENOMEM : -EINVAL;
		goto free_config;
	}
	*out = cfg;
	cfg = NULL;
free_config:
	config_free(cfg);
free_tree:
	tree_free(root);
end_report:
	report_end(&r);
	return err;
}

/* Reads pipes too, hence no fstat(). One byte more than allowed, so that the parser sees it. */
static int read_file(const char *file, char **out, size_t *out_len)
{
	size_t len = 0, room = 0;
	char *text = NULL;
	int fd, err = 0;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (len <= TREE_MAX_BYTES) {
		ssize_t n;

		if (len == room) {
			char *more = realloc(text, room ? room * 2 : 16384);

			if (!more) {
				err = -ENOMEM;
				break;
			}
			text = more;
			room = room ? room * 2 : 16384;
		}
		n = read(fd, text + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	if (err < 0) {
		free(text);
		return err;
	}
	*out = text;
	*out_len = len;
	return 0;
}

int config_load(const char *file, const char *env_daemon, struct config **out,
		struct config_messages *msgs)
{
	char *text = NULL;
	size_t len = 0;
	int err;

	*msgs = (struct config_messages){0};
	err = read_file(file, &text, &len);
	if (err < 0)
		return err;
	err = config_parse(text, len, env_daemon, out, msgs);
	free(text);
	return err;
}

void config_free(struct config *cfg)
{
	if (!cfg)
		return;
	for (size_t i = 0; i < cfg->num_routes; i++)
		walk_paths_fini(&cfg->routes[i].paths);
	walk_paths_fini(&cfg->paths);
	free(cfg->routes);
	free(cfg->ingress.allow);
	free(cfg->ingress.serve);
	free(cfg);
}

const struct config_route *config_route_find(const struct config *cfg, const struct ip_addr *dst)
{
	const struct config_route *best = NULL;

	for (size_t i = 0; i < cfg->num_routes; i++) {
		const struct config_route *route = &cfg->routes[i];

		if (ip_prefix_contains(&route->to, dst) &&
		    (!best || route->to.bits > best->to.bits))
			best = route;
	}
	return best;
}

bool config_peer_allowed(const struct config *cfg, const struct scion_addr *peer)
{
	const struct config_ingress *in = &cfg->ingress;

	if (!in->enabled)
		return false;
	for (size_t i = 0; i < in->num_allow; i++)
		if (in->allow[i].ia.v == peer->ia.v &&
		    (!in->allow[i].host.len || ip_addr_eq(&in->allow[i].host, &peer->host)))
			return true;
	if (in->num_allow)
		return false;
	for (size_t i = 0; i < cfg->num_routes; i++)
		for (size_t j = 0; j < cfg->routes[i].num_via; j++)
			if (scion_addr_eq(&cfg->routes[i].via[j].addr, peer))
				return true;
	return false;
}

/* @port -1: any */
static bool served(const struct config *cfg, uint8_t proto, int port, const struct ip_addr *address)
{
	const struct config_ingress *in = &cfg->ingress;
	bool ingress_address = false;

	if (!in->enabled)
		return false;
	if (proto == 58) /* ICMPv6 */
		proto = 1;
	for (size_t i = 0; i < in->num_addresses; i++)
		ingress_address |= ip_addr_eq(&in->addresses[i], address);
	for (size_t i = 0; i < in->num_serve; i++) {
		const struct config_serve *s = &in->serve[i];

		if (s->proto != proto)
			continue;
		if (proto != 1 && port >= 0 && (port < s->port_min || port > s->port_max))
			continue;
		if (s->address.len ? ip_addr_eq(&s->address, address) : ingress_address)
			return true;
	}
	return false;
}

bool config_port_served(const struct config *cfg, uint8_t proto, uint16_t port, const struct ip_addr *address)
{
	return served(cfg, proto, port, address);
}

bool config_proto_served(const struct config *cfg, uint8_t proto, const struct ip_addr *address)
{
	return served(cfg, proto, -1, address);
}
