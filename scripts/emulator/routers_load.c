/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/routers.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* The files of an AS, as scripts/labnet/config.py writes them for the real router. */

struct loading {
	const char *file;
	const char *problem;
	struct node *node;
};

static const char *text_of(struct loading *l, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (!s) {
		l->problem = key;
		return "";
	}
	return s;
}

static void address(struct loading *l, const json_t *o, const char *key, union sock_addr *out)
{
	if (sock_addr_parse(text_of(l, o, key), out))
		l->problem = key;
}

static void isd_as(struct loading *l, const json_t *o, const char *key, struct isd_as *out)
{
	if (isd_as_parse(text_of(l, o, key), out))
		l->problem = key;
}

static enum router_link link_type(const char *text)
{
	static const char *const names[] = {
		[ROUTER_LINK_CORE] = "core",
		[ROUTER_LINK_PARENT] = "parent",
		[ROUTER_LINK_CHILD] = "child",
		[ROUTER_LINK_PEER] = "peer",
	};

	for (enum router_link i = ROUTER_LINK_CORE; i <= ROUTER_LINK_PEER; i++)
		if (!strcmp(text, names[i]))
			return i;
	return ROUTER_LINK_NONE;
}

static struct gate *add_gate(struct loading *l, uint16_t id)
{
	struct node *n = l->node;
	struct gate *p;

	if (n->num_gates > ROUTER_MAX_INTERFACES) {
		l->problem = "interfaces, there are too many";
		return NULL;
	}
	p = &n->gates[n->num_gates++];
	*p = (struct gate){ .source.fd = -1, .node = n, .id = id, .hello = HELLO_DOWN };
	return p;
}

static void interface(struct loading *l, const char *id_text, const json_t *o)
{
	const json_t *underlay = json_object_get(o, "underlay");
	struct router *r = &l->node->router;
	unsigned long id = strtoul(id_text, NULL, 10);
	struct router_interface *i;
	struct gate *p;

	if (!id || id > UINT16_MAX || router_interface(r, (uint16_t)id)) {
		l->problem = "interfaces, for an id";
		return;
	}
	p = add_gate(l, (uint16_t)id);
	if (!p)
		return;
	address(l, underlay, "local", &p->local);
	address(l, underlay, "remote", &p->remote);
	isd_as(l, o, "isd_as", &p->neighbour);
	p->bfd = !json_is_true(json_object_get(json_object_get(o, "bfd"), "disable"));
	i = &r->interfaces[r->num_interfaces++];
	*i = (struct router_interface){ (uint16_t)id, link_type(text_of(l, o, "link_to")), !p->bfd };
	if (i->link == ROUTER_LINK_NONE)
		l->problem = "link_to";
}

static void topology(struct loading *l, json_t *root)
{
	json_t *routers = json_object_get(root, "border_routers"), *control = json_object_get(root, "control_service");
	json_t *router = json_object_iter_value(json_object_iter(routers)), *o;
	struct gate *internal = add_gate(l, ROUTER_INTERNAL);
	const char *id;

	isd_as(l, root, "isd_as", &l->node->router.ia);
	if (json_object_size(routers) != 1) {
		l->problem = "border_routers, there is not just one";
		return;
	}
	address(l, router, "internal_addr", &internal->local);
	l->node->router.host = sock_addr_ip(&internal->local);
	json_object_foreach(json_object_get(router, "interfaces"), id, o)
		interface(l, id, o);
	if (json_object_size(control))
		address(l, json_object_iter_value(json_object_iter(control)), "addr", &l->node->router.control);
}

static struct hop_key *load_key(const char *file)
{
	char text[128] = "";
	uint8_t raw[96];
	FILE *f = fopen(file, "r");
	size_t n, len;

	if (!f)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		n--;
	if (!n || n % 4 || EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n) < 0)
		return NULL;
	len = n / 4 * 3; /* what stands for less at the end counts as whole */
	for (; n && text[n - 1] == '='; n--)
		len--;
	return hop_key_new(raw, (int)len);
}

struct node *node_load(const char *netns, const char *dir)
{
	char file[4096], key_file[4096];
	struct loading l = { .file = file };
	json_error_t error;
	json_t *root;

	snprintf(file, sizeof(file), "%s/topology.json", dir);
	snprintf(key_file, sizeof(key_file), "%s/keys/master0.key", dir);
	root = json_load_file(file, 0, &error);
	if (!root) {
		fprintf(stderr, "%s:%d: %s\n", file, error.line, error.text);
		return NULL;
	}
	l.node = calloc(1, sizeof(*l.node));
	if (!l.node)
		l.problem = "memory";
	else
		topology(&l, root);
	json_decref(root);
	if (l.problem) {
		fprintf(stderr, "%s: wrong or missing: %s\n", file, l.problem);
		free(l.node);
		return NULL;
	}
	l.node->netns = netns;
	l.node->key = load_key(key_file);
	l.node->router.key = l.node->key;
	if (!l.node->key) {
		fprintf(stderr, "%s: no key in base64\n", key_file);
		free(l.node);
		return NULL;
	}
	return l.node;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	node_close(n);
	hop_key_free(n->key);
	free(n);
}
