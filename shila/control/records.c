/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The records of flows: allocated RECORDS_CHUNK at a time, as what the allocator and a table of pointers take for each would be a
 * twentieth of them. A record stays where it is, so flows name each other by worker and slot: half of a pointer.
 */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

/* ---- where they are ---- */

static size_t num_chunks(const struct control *c)
{
	return c->cfg->limits.flows / RECORDS_CHUNK + 1;
}

bool records_init(struct control *c, unsigned int w)
{
	c->records[w] = calloc(num_chunks(c), sizeof(*c->records[w]));
	c->next_slot[w] = 1; /* 0 is none */
	return c->records[w];
}

void records_fini(struct control *c)
{
	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		for (size_t i = 0; c->records[w] && i < num_chunks(c); i++)
			free(c->records[w][i]);
		free(c->records[w]);
		c->records[w] = NULL;
	}
}

struct ctl_flow *record_new(struct control *c, unsigned int w, uint32_t slot)
{
	struct ctl_flow **chunk = &c->records[w][slot / RECORDS_CHUNK], *f;

	if (!*chunk)
		*chunk = calloc(RECORDS_CHUNK, sizeof(*f));
	if (!*chunk)
		return NULL;
	f = flow_record(c, w, slot);
	f->worker = (uint8_t)w;
	f->slot = slot;
	f->control = c;
	return f;
}

struct ctl_flow *record_take(struct control *c, unsigned int w)
{
	struct ctl_flow *f = c->free_head[w] ? flow_record(c, w, c->free_head[w]) : NULL;

	/* First in, first out, so that a slot rests as long as possible before it is used again. */
	if (c->next_slot[w] <= c->cfg->limits.flows && (!f || c->next_slot[w] < 1024)) {
		f = record_new(c, w, c->next_slot[w]);
		c->next_slot[w] += !!f;
		return f;
	}
	if (!f)
		return NULL;
	c->free_head[w] = f->next_free;
	if (!c->free_head[w])
		c->free_tail[w] = 0;
	f->next_free = 0;
	return f;
}

void record_give(struct control *c, struct ctl_flow *f)
{
	unsigned int w = f->worker;

	/* Everything but the record itself (slot, timer) starts from zero again. */
	memset(&f->flow_start, 0, sizeof(*f) - offsetof(struct ctl_flow, flow_start));
	if (c->free_tail[w])
		flow_record(c, w, c->free_tail[w])->next_free = f->slot;
	else
		c->free_head[w] = f->slot;
	c->free_tail[w] = f->slot;
}

/* ---- lists of them ---- */

static struct flow_link *link_of(struct ctl_flow *f, size_t at)
{
	return (struct flow_link *)(void *)((char *)f + at);
}

/* The first one's @prev is the last one. */
void flow_list_add(uint32_t *list, struct ctl_flow *f, size_t at)
{
	struct flow_link *l = link_of(f, at), *first;
	uint32_t ref = flow_ref(f);

	l->next = 0;
	if (*list) {
		first = link_of(flow_of(f->control, *list), at);
		l->prev = first->prev;
		link_of(flow_of(f->control, first->prev), at)->next = ref;
		first->prev = ref;
	} else {
		l->prev = ref;
		*list = ref;
	}
}

void flow_list_del(uint32_t *list, struct ctl_flow *f, size_t at)
{
	struct flow_link *l = link_of(f, at);
	struct control *c = f->control;

	if (*list == flow_ref(f))
		*list = l->next;
	else
		link_of(flow_of(c, l->prev), at)->next = l->next;
	if (l->next)
		link_of(flow_of(c, l->next), at)->prev = l->prev;
	else if (*list)
		link_of(flow_of(c, *list), at)->prev = l->prev;
}
