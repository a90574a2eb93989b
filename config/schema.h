/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONFIG_SCHEMA_H
#define SHILA_CONFIG_SCHEMA_H

#include "config/config.h"

/*
 * The table of keys. One row feeds the parser, the defaults, the checks of single values and the
 * manual page (a test compares them); what involves several keys is in check.c.
 */

enum cfg_type {
	CFG_MAP,    /* keys of its own: the rows that begin with "KEY." (or @like) */
	CFG_U32,    /* uint32_t within min..max */
	CFG_PORT,   /* uint16_t */
	CFG_BOOL,   /* bool */
	CFG_METRIC, /* enum config_metric */
	CFG_MODE,   /* enum config_mode */
	CFG_STEERING, /* enum config_steering */
	CFG_PATH_MANAGER, /* enum config_path_manager */
	CFG_NETNS,  /* char[CONFIG_NAME_LEN], may be "" */
	CFG_FILE,   /* char[CFG_FILE_LEN], absolute */
	CFG_ADDR,   /* struct ip_addr */
	CFG_SOCK,   /* union sock_addr */
	CFG_PREFIX, /* struct ip_prefix */
	CFG_ALLOW,  /* struct config_allow */
	CFG_SERVE,  /* struct config_serve */
	CFG_VIA,    /* struct scion_endpoint */
	CFG_POLICY, /* char *, on the heap */
	CFG_NUM_TYPES
};

#define CFG_FILE_LEN 108

enum cfg_flag {
	CFG_REQUIRED = 1 << 0,
	CFG_LIST = 1 << 1,         /* an array in the struct, one value is a list of one */
	CFG_HEAP = 1 << 2,         /* with CFG_LIST: the struct holds a pointer to the array */
	CFG_AUTO = 1 << 3,         /* `auto` leaves zero: decided at run time */
	CFG_OPTIONAL = 1 << 4,     /* a map whose absence means that it is off, not all defaults */
	CFG_INHERIT = 1 << 5,      /* a map: keys that are not given keep what the struct holds */
	CFG_LOOPBACK = 1 << 6,     /* an address that may be loopback */
	CFG_REMOTE = 1 << 7,       /* a prefix that may contain special addresses (0.0.0.0/0) */
	CFG_MAY_BE_EMPTY = 1 << 8, /* [] means none, not a mistake, though there is a default */
};

struct cfg_key {
	const char *key; /* whole: "egress.interfaces" */
	enum cfg_type type;
	unsigned int flags;
	size_t at, count_at, size; /* offsets in the section's struct; size of a list's element */
	uint32_t max_count;
	uint32_t min, max; /* CFG_U32 */
	const char *def;   /* as text, lists separated by ", " */
	const char *like;  /* CFG_MAP: has the keys of this section */
	const char *help;
};

extern const struct cfg_key cfg_keys[];
extern const size_t cfg_num_keys;

/* Room for the reason why a value is refused. */
#define CFG_WHY_LEN 192

/* What is known of a type. */
struct cfg_type_info {
	const char *what; /* "a number" */
	bool unquoted;    /* "3" in quotes is text */
	/* parse() - Text to value. Return: 0, -EINVAL with a reason in @why (CFG_WHY_LEN), -ENOMEM.
	 */
	int (*parse)(const struct cfg_key *k, const char *text, void *out, char *why);
	/* same() - Whether two are equal; NULL: their bytes are. For types with padding. */
	bool (*same)(const void *a, const void *b);
};

extern const struct cfg_type_info cfg_types[CFG_NUM_TYPES];

/* cfg_name() - Last part of the key, as it stands in the file. */
const char *cfg_name(const struct cfg_key *k);
/* cfg_in_section() - Is @k a key of this section itself ("" is the top)? */
bool cfg_in_section(const struct cfg_key *k, const char *section);

#endif
