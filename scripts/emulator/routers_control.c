/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/routers.h"

#include <inttypes.h>
#include <string.h>

/* What scripts/lab asks for and wants: one line in, JSON out. */

static void print_interfaces(const struct routers *rs, FILE *f)
{
	char ia[ISD_AS_STRLEN];

	fputc('{', f);
	for (unsigned int i = 0; i < rs->num; i++) {
		const struct router *r = &rs->nodes[i]->router;

		fprintf(f, "%s\n \"%s\": {\"running\": %s, \"interfaces\": {", i ? "," : "", isd_as_str(r->ia, ia),
			rs->nodes[i]->open ? "true" : "false");
		for (unsigned int j = 0; j < r->num_interfaces; j++)
			fprintf(f, "%s\"%u\": \"%s\"", j ? ", " : "", r->interfaces[j].id,
				rs->nodes[i]->open && r->interfaces[j].up ? "up" : "down");
		fputs("}}", f);
	}
	fputs("\n}\n", f);
}

static void print_counters(const struct routers *rs, FILE *f)
{
	char ia[ISD_AS_STRLEN];

	fputc('{', f);
	for (unsigned int i = 0; i < rs->num; i++) {
		const struct node *n = rs->nodes[i];

		fprintf(f, "%s\n \"%s\": {\"answers\": %" PRIu64 ", \"drops\": {", i ? "," : "",
			isd_as_str(n->router.ia, ia), n->answers);
		for (enum router_drop d = 0; d < ROUTER_NUM_DROPS; d++)
			fprintf(f, "%s\"%s\": %" PRIu64, d ? ", " : "", router_drop_str(d), n->drops[d]);
		fputs("}, \"interfaces\": {", f);
		for (unsigned int j = 0; j < n->num_gates; j++) {
			const struct gate *p = &n->gates[j];

			fprintf(f,
				"%s\n  \"%u\": {\"rx_packets\": %" PRIu64 ", \"tx_packets\": %" PRIu64
				", \"tx_bytes\": %" PRIu64 ", \"tx_failed\": %" PRIu64 "}",
				j ? "," : "", p->id, p->rx_packets, p->tx_packets, p->tx_bytes, p->tx_failed);
		}
		fputs("}}", f);
	}
	fputs("\n}\n", f);
}

static struct node *find(const struct routers *rs, const char *text)
{
	struct isd_as ia;

	if (!text || isd_as_parse(text, &ia))
		return NULL;
	for (unsigned int i = 0; i < rs->num; i++)
		if (rs->nodes[i]->router.ia.v == ia.v)
			return rs->nodes[i];
	return NULL;
}

void routers_command(struct routers *rs, char *line, FILE *f)
{
	char *save, *word = strtok_r(line, " \n", &save), *which = strtok_r(NULL, " \n", &save);
	struct node *n = find(rs, which);
	int err = 0;

	if (!word)
		return;
	if (!strcmp(word, "interfaces")) {
		print_interfaces(rs, f);
		return;
	}
	if (!strcmp(word, "counters")) {
		print_counters(rs, f);
		return;
	}
	if (n && !strcmp(word, "stop")) {
		node_close(n);
	} else if (n && !strcmp(word, "start")) {
		if (!n->open)
			err = node_open(rs, n);
	} else {
		fprintf(f, "{\"error\": \"no such command or router\"}\n");
		return;
	}
	if (err)
		fprintf(f, "{\"error\": \"%s\"}\n", strerror(-err));
	else
		fputs("{}\n", f);
}
