/*-------------------------------------------------------------------------
 * tick.c
 *		Periodic work of the modules, as CALL hotdash._tick() does it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/tick.h"

#include "executor/spi.h"

#define MAX_TICKS 8

static HdTick ticks[MAX_TICKS];
static int nticks = 0;

void
hd_tick_register(HdTick tick)
{
	if (nticks == MAX_TICKS)
		elog(ERROR, "too many ticks");
	ticks[nticks++] = tick;
}

void
hd_tick_call(bool atomic)
{
	for (int i = 0; i < nticks; i++)
	{
		bool more;

		do
		{
			more = ticks[i]();
			if (!atomic)
				SPI_commit();
		} while (more && !atomic);
	}
}
