/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONTROL_JSON_H
#define SHILA_CONTROL_JSON_H

#include "shila/base/ip_addr.h"
#include "shila/wire/frame.h"

#include <jansson.h>
#include <stdint.h>

/* Values as docs/control-socket.md has them; new references, NULL without memory. */

json_t *json_ip(const struct ip_addr *a);
json_t *json_endpoint(const struct ip_addr *a, uint16_t port); /* "10.0.0.1:80", "[fd00::1]:80" */
json_t *json_protocol(uint8_t proto);			       /* "tcp", else the number as text */
json_t *json_role(enum flow_kind kind);

#endif
