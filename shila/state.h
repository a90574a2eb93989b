/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_STATE_H
#define SHILA_STATE_H

#include "config/config.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the daemon made in the kernel, kept on disk so that a later start, or `shilad --clean` after a
 * crash, finds it again and knows it from what others made. One directory per daemon, locked.
 */

#define STATE_MAX_NAMESPACES (CONFIG_MAX_EGRESS + 1)
#define STATE_MAX_DEVICES    72
#define STATE_WHY_LEN	     320

struct state_namespace {
	char name[CONFIG_NAME_LEN];
	uint64_t inode, cookie; /* tell it from a later one of the same name */
};

struct state_device {
	char namespace[CONFIG_NAME_LEN]; /* "" the daemon's own */
	char name[16];
};

struct state {
	char dir[108];
	int lock_fd;
	char id[17]; /* 16 hex digits, made once; TUNs carry the alias "shila:ID" */
	char control[108]; /* socket of the daemon that wrote it */
	size_t num_namespaces; /* that we made */
	struct state_namespace namespaces[STATE_MAX_NAMESPACES];
	size_t num_devices;
	struct state_device devices[STATE_MAX_DEVICES];
	size_t num_ports;
	uint16_t ports[CONFIG_MAX_WORKERS]; /* worker ports, kept once chosen */
};

/**
 * state_open() - Make and lock the directory, read the file if there is one.
 * Return: 0; -EBUSY if a daemon holds it; -EBADMSG if the file is not ours; -errno. @why: a sentence.
 */
int state_open(const char *dir, struct state *out, char *why);
/* state_parse() - What owned.json says, into an empty @s. Return: 0 or -EBADMSG, and then @s is of no use. */
int state_parse(const json_t *o, struct state *s);
/* state_set_aside() - Keep a file that was refused as owned.json.refused, so that state_open() starts from nothing. */
void state_set_aside(const char *dir);
int state_save(const struct state *s, char *why);
/* state_forget() - Remove file and directory: everything was cleaned up. */
void state_forget(struct state *s);
void state_close(struct state *s);

/* state_made() - Did we make this namespace? */
bool state_made(const struct state *s, const char *name, uint64_t inode, uint64_t cookie);
void state_add_namespace(struct state *s, const char *name, uint64_t inode, uint64_t cookie);
void state_add_device(struct state *s, const char *ns, const char *name);

#endif
