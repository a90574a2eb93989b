/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONTROL_PM_EVENTS_H
#define SHILA_CONTROL_PM_EVENTS_H

#include "shila/control/control.h"

/* What subflows.c (clients) and lost_sockets.c (servers) share: events of the kernel about subflows. */

struct pm_listener {
	const char *what; /* for the log */
	void (*event)(struct control *c, uint8_t side, const struct mptcp_pm_event *e);
	void (*missed)(struct control *c, uint8_t side); /* some had no room; may be NULL */
};

/* pm_events_read() - All that is there of @side. @poll: its data is the control; stopped if nothing more can come. */
void pm_events_read(uv_poll_t *poll, uint8_t side, const struct pm_listener *l);

struct ctl_flow *pm_event_flow(struct control *c, uint8_t side, const struct mptcp_pm_event *e); /* or NULL */

#endif
