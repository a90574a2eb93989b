/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_NOTIFY_H
#define SHILA_NOTIFY_H

/* notify() - Tell the service manager (sd_notify protocol); nothing happens without $NOTIFY_SOCKET. */
void notify(const char *text);

#endif
