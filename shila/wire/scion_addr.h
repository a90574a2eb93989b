/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_SCION_ADDR_H
#define SHILA_WIRE_SCION_ADDR_H

#include "shila/base/ip_addr.h"

#include <stdbool.h>
#include <stdint.h>

/* ISD (16 bit) and AS (48 bit) as one number in host byte order: ISD << 48 | AS. */
struct isd_as {
	uint64_t v;
};

/* A host in the SCION network. */
struct scion_addr {
	struct isd_as ia;
	struct ip_addr host;
};

/* A host and its SCION/UDP port; 0: none given. */
struct scion_endpoint {
	struct scion_addr addr;
	uint16_t port;
};

#define ISD_AS_STRLEN	      24
#define SCION_ADDR_STRLEN     (ISD_AS_STRLEN + IP_ADDR_STRLEN)
#define SCION_ENDPOINT_STRLEN (SCION_ADDR_STRLEN + 10)

bool scion_addr_eq(const struct scion_addr *a, const struct scion_addr *b);

/**
 * isd_as_parse() - "1-64512", "1-ff00:0:110", "2-0:0:fc00".
 * Return: 0 or -EINVAL. Wildcards (0) are accepted, callers that want none check for them.
 */
int isd_as_parse(const char *text, struct isd_as *out);
char *isd_as_str(struct isd_as ia, char *buf); /* ISD_AS_STRLEN */

/* scion_addr_parse() - "1-64512,10.0.0.1", "1-ff00:0:110,2001:db8::1", "1-64512,[::1]". */
int scion_addr_parse(const char *text, struct scion_addr *out);
char *scion_addr_str(const struct scion_addr *a, char *buf); /* SCION_ADDR_STRLEN */

/**
 * scion_endpoint_parse() - With a port or without: "[1-64512,10.0.0.1]:9000", "1-64512,10.0.0.1",
 * and the older "1-64512,10.0.0.1:9000", "1-64512,[::1]:9000".
 */
int scion_endpoint_parse(const char *text, struct scion_endpoint *out);
/* Prints the canonical form, without brackets when there is no port. SCION_ENDPOINT_STRLEN */
char *scion_endpoint_str(const struct scion_endpoint *e, char *buf);

#endif
