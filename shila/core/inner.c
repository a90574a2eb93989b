/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/inner.h"

#include <errno.h>
#include <string.h>

#define ICMP4_REDIRECT 5

enum inner inner_of(const struct flow_key *key, bool server, const uint8_t *pkt, const struct ip_pkt *ip)
{
	bool tcp = key->proto == INET_PROTO_TCP, own_ports;
	uint16_t src_port, dst_port;
	struct ip_pkt quote;
	int err;

	if (ip->addr_len != key->local.len)
		return INNER_FOREIGN;
	if (ip->later_fragment) {
		if (tcp || ip->proto != key->proto)
			return INNER_FOREIGN;
		return server || (!key->local_port && !key->remote_port) ? INNER_OWN : INNER_RELATED;
	}
	inet_ports(pkt, ip, &src_port, &dst_port);
	own_ports = src_port == key->remote_port && dst_port == key->local_port;
	err = inet_quote(pkt, ip, &quote);
	if (!err) {
		/* Its addresses are replaced only where they are those of the packet around it. */
		return own_ports && quote.proto == key->proto && pkt[ip->l4_off] != ICMP4_REDIRECT &&
				       !memcmp(quote.src, ip->dst, ip->addr_len) &&
				       !memcmp(quote.dst, ip->src, ip->addr_len) ?
			       INNER_OWN :
			       INNER_FOREIGN;
	}
	if (err != -ENOMSG || tcp || ip->proto != key->proto || ip->len == ip->l4_off)
		return INNER_FOREIGN;
	if (!own_ports)
		return !server && ip->proto == INET_PROTO_UDP && dst_port && dst_port == key->local_port ?
			       INNER_RELATED :
			       INNER_FOREIGN;
	/* Of ICMP echoes alone: nobody outside has to do with neighbours, routers and groups. */
	if (ip->proto == INET_PROTO_ICMP || ip->proto == INET_PROTO_ICMPV6)
		return icmp_classify(ip, pkt[ip->l4_off]) == ICMP_ECHO ? INNER_OWN : INNER_FOREIGN;
	return INNER_OWN;
}
