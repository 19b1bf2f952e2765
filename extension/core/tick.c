/*-------------------------------------------------------------------------
 * tick.c
 *		Periodic work of the modules, as CALL hotdash._tick() does it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/tick.h"

#include "access/xact.h"
#include "core/clock.h"
#include "core/instance.h"
#include "core/spi.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MAX_TICKS 16
#define TICK_US USECS_PER_SEC

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
hd_tick_repeat(HdTick tick, bool atomic)
{
	bool more;

	do
	{
		/* As in a task; a procedure that commits holds none of its own. */
		PushActiveSnapshot(GetTransactionSnapshot());
		more = hd_instance_is_ours() && tick();
		PopActiveSnapshot();
		if (!atomic)
			SPI_commit();
	} while (more && !atomic);
}

void
hd_tick_call(bool atomic)
{
	for (int i = 0; i < nticks; i++)
		hd_tick_repeat(ticks[i], atomic);
}

TimestampTz
hd_tick_task(HdTick tick)
{
	bool more = false;

	StartTransactionCommand();

	/* Whatever the database's default is: ticks act on what was committed last. */
	XactIsoLevel = XACT_READ_COMMITTED;
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(hd_spi_extension_missing_ok()) && hd_instance_is_ours())
		more = tick();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return hd_clock_real() + (more ? 0 : TICK_US);
}

bool
hd_tick_is_time(TimestampTz *done_at, int64 every_us)
{
	TimestampTz now = hd_clock_now();

	if (*done_at <= now && now < *done_at + every_us)
		return false;
	*done_at = now;
	return true;
}
