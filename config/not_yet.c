/* SPDX-License-Identifier: Apache-2.0 */
/* What the format has and this version does not do: refused here and nowhere else. */
#include "config/walk.h"

#include <string.h>

static void check_host_mode(const struct node *section, const char *name, struct report *r)
{
	const struct node *ns = node_find(section, "namespace");

	if (ns && !ns->bad && ns->kind == NODE_SCALAR && !ns->len)
		node_error(r, ns,
			   "%s.namespace: host mode (\"\") is not implemented yet in this version",
			   name);
}

static bool only_kernels(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->num_egress; i++)
		if (cfg->egress[i].path_manager != PATH_MANAGER_KERNEL)
			return false;
	return cfg->num_egress > 0;
}

void check_not_yet(const struct node *root, struct report *r, const struct config *cfg)
{
	const struct node *egress = node_find(root, "egress"), *routes = node_find(root, "routes");
	char name[KEY_STRLEN];

	if (egress && egress->kind == NODE_LIST)
		for (size_t i = 0; i < egress->count; i++)
			check_host_mode(egress->items[i], "egress", r);
	else
		check_host_mode(egress, "egress", r);
	check_host_mode(node_find(root, "ingress"), "ingress", r);
	for (size_t i = 0; i < cfg->num_routes; i++) {
		bool list = routes->kind == NODE_LIST;
		const struct node *route = list ? routes->items[i] : routes;

		if (list)
			snprintf(name, sizeof(name), "routes[%zu]", i);
		else
			strcpy(name, "routes");
		if (cfg->routes[i].mode == MODE_JOIN)
			node_error(r, node_find(route, "mode"),
				   "%s.mode: join is not implemented yet in this version", name);
		if (cfg->routes[i].backup && only_kernels(cfg))
			node_error(r, node_find(route, "backup"),
				   "%s.backup: needs egress.path_manager own: the kernel's knows no backup subflows", name);
	}
}
