/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_INET_PRIV_H
#define SHILA_WIRE_INET_PRIV_H

#include "shila/wire/inet.h"

/* What inet.c (taking apart) and inet_build.c (making, changing) share. */

#define IP_MAX_LEN   (40 + 65535)
#define ICMP_HDR_LEN 8

/* l4_csum_off() - Where in layer 4 the checksum is; 0 where there is none that we know. */
size_t l4_csum_off(const struct ip_pkt *ip);

#endif
