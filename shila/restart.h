/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_RESTART_H
#define SHILA_RESTART_H

#include "shila/control/control.h"

/* The state file between two daemons: whether it may be gone on with, and the one that this daemon writes. */

/**
 * restart_load() - What an earlier daemon left, if this one can go on with it. Logs why not, and sets a file aside
 * that cannot be read.
 * Return: true: @out is filled, to be freed.
 */
bool restart_load(const struct config *cfg, struct store_saved *out);

/* restart_host() - What the next daemon needs to know of this one. */
void restart_host(const struct config *cfg, const struct control_setup *setup, struct store_host *out);

/* restart_store() - The file of this daemon, not yet published; NULL (logged): it runs without. */
struct store *restart_store(const struct config *cfg, unsigned int workers, const struct store_host *host);

/* restart_farewell() - CLOSE for every flow that a dead daemon left: its peers need not find out by themselves. */
void restart_farewell(const struct config *cfg);

#endif
