/*-------------------------------------------------------------------------
 * sla.c
 *		Entry of the SLA clocks.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/sla.h"

#include "sla/scan.h"

void
hd_sla_init(void)
{
	hd_sla_scan_init();
}
