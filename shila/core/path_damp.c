/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_damp.h"

void path_damp_up(struct path_damp *d, uint64_t now_us)
{
	d->up_us = now_us;
}

void path_damp_down(struct path_damp *d, uint64_t now_us)
{
	uint64_t was_up_us = now_us - d->up_us;

	if (!d->up_us)
		return;
	d->up_us = 0;
	if (was_up_us >= PATH_DAMP_CALM_US)
		d->hold_us = 0;
	else if (was_up_us < PATH_DAMP_SOON_US)
		d->hold_us = !d->hold_us ? PATH_DAMP_FIRST_US :
			     d->hold_us < PATH_DAMP_MOST_US / 2 ? 2 * d->hold_us : PATH_DAMP_MOST_US;
}

bool path_damp_good(const struct path_damp *d, uint64_t good_since_us, uint64_t now_us)
{
	return now_us - good_since_us >= d->hold_us;
}

uint64_t path_damp_patience_us(const struct path_damp *d, uint64_t now_us)
{
	uint64_t halves = (now_us - d->alarm_us) / PATH_DAMP_FORGET_US;

	return halves < 32 ? d->patience_us >> halves : 0;
}

void path_damp_alarm(struct path_damp *d, uint64_t silent_us, uint64_t now_us)
{
	uint64_t us = silent_us + silent_us / 2, before_us = path_damp_patience_us(d, now_us);

	if (us < before_us)
		us = before_us;
	d->patience_us = us < PATH_DAMP_PATIENCE_MOST_US ? (uint32_t)us : PATH_DAMP_PATIENCE_MOST_US;
	d->alarm_us = now_us;
}
