/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "scripts/emulator/props.h"

static const char *const direction_names[2] = { "ab", "ba" };

static void deliver(void *ctx, struct parcel *p, uint64_t now_ns)
{
	struct network_end *to = ctx;

	if (to->take) {
		to->take(to->taker, p, now_ns);
		return;
	}
	port_write(&to->port, p);
	parcel_put(to->link->network->pool, p);
}

static void on_readable(struct loop_source *source, uint64_t now_ns)
{
	struct network_end *end = (struct network_end *)((char *)source - offsetof(struct network_end, source));
	struct network *network = end->link->network;

	for (int i = 0; i < LOOP_BATCH; i++) {
		struct parcel *p = parcel_get(network->pool, PARCEL_MAX_BYTES);
		int err;

		if (!p) {
			/* What lies in the links comes out of them sometime; this packet does not. */
			static uint8_t sink[PARCEL_MAX_BYTES];
			struct parcel lost = { .data = sink, .room = sizeof(sink) };

			if (!port_read(&end->port, &lost))
				link_refuse(&end->lane.lane, &lost);
			return;
		}
		err = port_read(&end->port, p);
		if (err) {
			parcel_put(network->pool, p);
			if (err != -EAGAIN) {
				fprintf(stderr, "link %u: %s: %s\n", end->link->id, end->port.device, strerror(-err));
				loop_remove(network->loop, source);
			}
			return;
		}
		now_ns = loop_now();
		loop_send(&end->lane, p, now_ns);
		loop_drain(&end->lane, now_ns);
	}
}

static int attach_end(struct network_end *end, struct network_link *link, const json_t *config, char *why)
{
	const struct network_inside *inside = link->network->inside;
	int err = inside ? inside->attach(inside->ctx, config, end) : -ENOTSUP;

	end->port.carrier = true;
	if (err)
		snprintf(why, NETWORK_WHY_LEN, "link %u: no such interface of a router in this process", link->id);
	return err;
}

static int open_end(struct network_end *end, struct network_link *link, const json_t *config, char *why)
{
	const char *netns = NULL, *device = NULL;
	int err;

	if (json_object_get(config, "isd_as"))
		return attach_end(end, link, config, why);
	if (json_unpack((json_t *)config, "{s:s, s:s}", "netns", &netns, "device", &device) < 0) {
		snprintf(why, NETWORK_WHY_LEN, "link %u: an end has a netns and a device", link->id);
		return -EINVAL;
	}
	err = port_open_tun(&end->port, netns, device);
	if (!err) {
		end->source = (struct loop_source){ .fd = end->port.fd, .readable = on_readable };
		err = loop_add(link->network->loop, &end->source);
	}
	if (err)
		snprintf(why, NETWORK_WHY_LEN, "link %u: %s in %s: %s", link->id, device, netns, strerror(-err));
	return err;
}

static int open_lane(struct network_link *link, unsigned int direction, const json_t *config, char *why)
{
	struct network *network = link->network;
	struct loop_lane *lane = &link->ends[direction].lane;
	json_t *json = json_object_get(config, direction_names[direction]);
	struct link_props props = { 0 };
	const char *bad = json ? props_from_json(json, &props) : NULL;

	if (bad) {
		snprintf(why, NETWORK_WHY_LEN, "link %u: %s", link->id, bad);
		return -EINVAL;
	}
	link_init(&lane->lane, network->pool, link_seed(network->seed, link->id, direction), network->began_ns);
	link_set(&lane->lane, &props);
	lane->deliver = deliver;
	lane->ctx = &link->ends[!direction];
	return loop_add_lane(network->loop, lane);
}

static int open_link(struct network *network, const json_t *config, char *why)
{
	struct network_link *link = &network->links[network->num_links];
	json_int_t id = json_integer_value(json_object_get(config, "id"));
	json_t *ends = json_object_get(config, "ends");
	int err = 0;

	if (id < 1 || id > UINT32_MAX || json_array_size(ends) != 2) {
		snprintf(why, NETWORK_WHY_LEN, "a link has an id above 0 and two ends");
		return -EINVAL;
	}
	link->id = id;
	link->network = network;
	for (unsigned int i = 0; i < 2; i++) {
		link->ends[i].link = link;
		link->ends[i].port.fd = -1;
		link->ends[i].lane.lane.pool = network->pool;
	}
	network->num_links++; /* from now on network_close() looks after it */
	for (unsigned int i = 0; !err && i < 2; i++) {
		err = open_lane(link, i, config, why);
		if (!err)
			err = open_end(&link->ends[i], link, json_array_get(ends, i), why);
	}
	return err;
}

struct network *network_open(struct loop *loop, const json_t *config, const struct network_inside *inside, char *why)
{
	json_t *links = json_object_get(config, "links"), *link;
	struct network *network = calloc(1, sizeof(*network));
	size_t i;

	if (!network) {
		snprintf(why, NETWORK_WHY_LEN, "out of memory");
		return NULL;
	}
	network->loop = loop;
	network->pool = loop_pool(loop);
	network->inside = inside;
	network->began_ns = loop_now();
	network->seed = json_integer_value(json_object_get(config, "seed"));
	if (!json_is_array(links) || json_array_size(links) > NETWORK_MAX_LINKS) {
		snprintf(why, NETWORK_WHY_LEN, "links is not an array of at most %d", NETWORK_MAX_LINKS);
		goto close_network;
	}
	json_array_foreach(links, i, link)
		if (open_link(network, link, why) < 0)
			goto close_network;
	return network;
close_network:
	network_close(network);
	return NULL;
}

void network_close(struct network *network)
{
	if (!network)
		return;
	for (uint32_t i = 0; i < network->num_links; i++) {
		for (struct network_end *end = network->links[i].ends; end < network->links[i].ends + 2; end++) {
			if (end->port.fd >= 0) {
				loop_remove(network->loop, &end->source);
				port_close(&end->port);
			}
			link_fini(&end->lane.lane);
		}
	}
	free(network);
}

static json_t *refuse(const char *why)
{
	return json_pack("{s:b, s:s}", "ok", 0, "why", why);
}

static json_t *show_lane(const struct network_end *end)
{
	const struct link_lane *lane = &end->lane.lane;
	const struct port_counts *port = &end->port.counts;
	json_t *counters = json_object();

	for (int i = 0; i < LINK_NUM_COUNTERS; i++)
		json_object_set_new(counters, link_counter_names[i],
				    json_pack("{s:I, s:I}", "packets", (json_int_t)lane->counts[i].packets, "bytes",
					      (json_int_t)lane->counts[i].bytes));
	return json_pack("{s:o, s:o, s:I, s:{s:I, s:I, s:I, s:I}}", "props", props_to_json(&lane->props), "counters",
			 counters, "inside", (json_int_t)lane->inside, "port", "reads", (json_int_t)port->reads,
			 "writes", (json_int_t)port->writes, "refused", (json_int_t)port->refused, "malformed",
			 (json_int_t)port->malformed);
}

static json_t *show(const struct network *network)
{
	json_t *links = json_array();
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	for (uint32_t i = 0; i < network->num_links; i++) {
		const struct network_end *ends = network->links[i].ends;

		json_array_append_new(links, json_pack("{s:I, s:b, s:o, s:o}", "id",
						       (json_int_t)network->links[i].id, "carrier",
						       ends[0].port.carrier && ends[1].port.carrier, "ab",
						       show_lane(&ends[0]), "ba", show_lane(&ends[1])));
	}
	return json_pack("{s:b, s:I, s:f, s:{s:f, s:f}, s:I, s:o}", "ok", 1, "seed", (json_int_t)network->seed,
			 "uptime_s", (loop_now() - network->began_ns) / 1e9, "cpu_s", "user",
			 use.ru_utime.tv_sec + use.ru_utime.tv_usec / 1e6, "system",
			 use.ru_stime.tv_sec + use.ru_stime.tv_usec / 1e6, "memory_bytes",
			 (json_int_t)parcel_pool_used(network->pool), "links", links);
}

static struct network_link *find(struct network *network, json_int_t id)
{
	for (uint32_t i = 0; i < network->num_links; i++)
		if (network->links[i].id == id)
			return &network->links[i];
	return NULL;
}

static int set_carrier(struct network_end *end, bool on)
{
	if (on == end->port.carrier)
		return 0;
	if (!end->take)
		return port_set_carrier(&end->port, on);
	end->port.carrier = on; /* of what nobody sees: all that counts is that nothing passes */
	return 0;
}

static json_t *set(struct network *network, const json_t *request)
{
	struct network_link *link = find(network, json_integer_value(json_object_get(request, "link")));
	const char *direction = json_string_value(json_object_get(request, "direction")), *bad;
	json_t *json = json_object_get(request, "props"), *carrier = json_object_get(request, "carrier");
	struct link_props props[2];
	bool wanted[2];

	if (!link)
		return refuse("there is no such link");
	for (int i = 0; i < 2; i++)
		wanted[i] = !direction || !strcmp(direction, "both") || !strcmp(direction, direction_names[i]);
	if (!wanted[0] && !wanted[1])
		return refuse("a direction is ab, ba or both");
	for (int i = 0; i < 2; i++) {
		props[i] = link->ends[i].lane.lane.props;
		bad = json && wanted[i] ? props_from_json(json, &props[i]) : NULL;
		if (bad)
			return refuse(bad);
	}
	for (int i = 0; i < 2; i++) {
		int err = 0;

		if (wanted[i])
			link_set(&link->ends[i].lane.lane, &props[i]);
		if (json_is_boolean(carrier))
			err = set_carrier(&link->ends[i], json_is_true(carrier));
		if (err)
			return refuse(strerror(-err));
	}
	return json_pack("{s:b}", "ok", 1);
}

static json_t *reseed(struct network *network, const json_t *request)
{
	json_t *seed = json_object_get(request, "seed");
	uint64_t now = loop_now();

	if (!json_is_integer(seed))
		return refuse("the seed is not a number");
	network->seed = json_integer_value(seed);
	for (uint32_t i = 0; i < network->num_links; i++)
		for (unsigned int d = 0; d < 2; d++)
			link_reseed(&network->links[i].ends[d].lane.lane,
				    link_seed(network->seed, network->links[i].id, d), now);
	return json_pack("{s:b}", "ok", 1);
}

json_t *network_call(struct network *network, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));

	if (op && !strcmp(op, "show"))
		return show(network);
	if (op && !strcmp(op, "set"))
		return set(network, request);
	if (op && !strcmp(op, "seed"))
		return reseed(network, request);
	return refuse("op is show, set or seed");
}
