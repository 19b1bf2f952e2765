/*-------------------------------------------------------------------------
 * cursors.c
 *		Cursors WITH HOLD that a SQL handler leaves behind.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/cursors.h"

#include "access/xact.h"
#include "core/spi.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/portal.h"

static ProcessUtility_hook_type prev_utility = NULL;

/* Since hd_jobs_cursors_watch. */
static bool declared = false;

static HdSpiPlan held_cursors = {
	.sql = "SELECT name FROM pg_catalog.pg_cursors WHERE is_holdable",
};

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *completion)
{
	if (IsA(pstmt->utilityStmt, DeclareCursorStmt) &&
		(castNode(DeclareCursorStmt, pstmt->utilityStmt)->options & CURSOR_OPT_HOLD) != 0)
		declared = true;
	if (prev_utility != NULL)
		prev_utility(pstmt, query_string, read_only_tree, context, params, query_env, dest,
					 completion);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context, params, query_env,
								dest, completion);
}

void
hd_jobs_cursors_register(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

void
hd_jobs_cursors_watch(void)
{
	declared = false;
}

void
hd_jobs_cursors_close(void)
{
	HdSpi spi;

	if (!declared)
		return;
	hd_spi_begin(&spi);
	hd_spi_run(&held_cursors, NULL, NULL, false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		Portal portal = GetPortalByName(name);

		/* SPI's own level is not a subtransaction, so the handler's is the current one. */
		if (PortalIsValid(portal) && portal->createSubid == GetCurrentSubTransactionId())
			PortalDrop(portal, false);
	}
	hd_spi_end(&spi);
}
