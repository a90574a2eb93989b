/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/spare.h"

#include "shila/wire/tcp_options.h"

#include <string.h>

bool spare_older(const struct thin_tcp *older, const struct thin_tcp *newer)
{
	int32_t more = (int32_t)(newer->ack - older->ack);
	bool data_ack_more = false;

	if (more < 0 || newer->seq != older->seq || newer->opts_len != older->opts_len)
		return false;
	if (!more && !memcmp(newer->opts, older->opts, newer->opts_len))
		return false; /* repeated */
	return tcp_options_supersede(newer->opts, older->opts, newer->opts_len, &data_ack_more) && (more || data_ack_more);
}

bool spare_newer(const struct thin_tcp *older, uint32_t end, const struct thin_tcp *newer)
{
	return newer->seq == end && newer->ack == older->ack && newer->window == older->window &&
	       newer->opts_len == older->opts_len && !memcmp(newer->opts, older->opts, newer->opts_len) &&
	       (older->flags & TCP_FIN || (older->flags == TCP_ACK && tcp_options_have_data_fin(newer->opts, newer->opts_len)));
}
