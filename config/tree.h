/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONFIG_TREE_H
#define SHILA_CONFIG_TREE_H

#include "config/message.h"

/*
 * A YAML document as a tree that remembers where everything stood. Only plain YAML gets in: no
 * anchors, aliases, tags or second documents, nothing nested deeply, keys are text.
 */

#define TREE_MAX_BYTES (4u << 20)
#define TREE_MAX_DEPTH 16
#define TREE_MAX_NODES 262144 /* room for CONFIG_MAX_ROUTES routes that give every key */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	int line, column; /* from 1 */
	bool bad;         /* complained about: whoever meets it says nothing more */
	bool plain;       /* a scalar without quotes */
	char *text;       /* scalar, ended by a NUL that @len does not count */
	size_t len;
	size_t count, room;
	struct node **items; /* of a map: key, value, key, value... */
};

/**
 * tree_load() - Read one document.
 * @out: root, a map, to be freed with tree_free(); NULL after a syntax error
 * Return: 0; -EINVAL if there is no tree (reported); -ENOMEM. A tree may come with reported errors.
 */
int tree_load(const char *text, size_t len, struct report *r, struct node **out);
void tree_free(struct node *n);

/* node_find() - Value of a key of a map, NULL if it is not there (or @map is NULL or no map). */
struct node *node_find(const struct node *map, const char *key);
bool node_is_null(const struct node *n); /* nothing, ~ or null */

/* node_error() - Complain about the place of @n; says nothing if @n is bad already. */
void node_error(struct report *r, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void node_warning(struct report *r, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
