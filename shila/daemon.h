/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_DAEMON_H
#define SHILA_DAEMON_H

#include "config/config.h"

/* daemon_run() - Run until stopped. Return: 0, or a negative errno after logging why. */
int daemon_run(const struct config *cfg);

/* daemon_clean() - Remove what a daemon with this configuration left behind. As above. */
int daemon_clean(const struct config *cfg);

#endif
