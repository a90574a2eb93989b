/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/json.h"

#include "shila/wire/inet.h"

#include <stdio.h>

json_t *json_ip(const struct ip_addr *a)
{
	char text[IP_ADDR_STRLEN];

	return json_string(ip_addr_str(a, text));
}

json_t *json_endpoint(const struct ip_addr *a, uint16_t port)
{
	char ip[IP_ADDR_STRLEN], text[IP_ADDR_STRLEN + 10];

	snprintf(text, sizeof(text), a->len == 16 ? "[%s]:%u" : "%s:%u", ip_addr_str(a, ip), port);
	return json_string(text);
}

json_t *json_protocol(uint8_t proto)
{
	switch (proto) {
	case INET_PROTO_TCP:
		return json_string("tcp");
	case INET_PROTO_UDP:
		return json_string("udp");
	case INET_PROTO_ICMP:
		return json_string("icmp");
	case INET_PROTO_ICMPV6:
		return json_string("icmpv6");
	default:
		return json_sprintf("%u", proto);
	}
}

json_t *json_role(enum flow_kind kind)
{
	switch (kind) {
	case FLOW_MAIN:
		return json_string("main");
	case FLOW_SUB:
		return json_string("sub");
	case FLOW_PLAIN:
		return json_string("plain");
	case FLOW_DATAGRAM:
		return json_string("datagram");
	}
	return json_string("unknown");
}
