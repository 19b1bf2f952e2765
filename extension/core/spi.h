/*-------------------------------------------------------------------------
 * spi.h
 *		SPI as the extension's owner: pinned search path, kept plans.
 *
 * Model: hd_spi_begin switches to the owner of the extension, pins
 * search_path to pg_catalog, pg_temp, and connects; hd_spi_end undoes it.
 * On an error the (sub)transaction's abort undoes the same, so no PG_TRY is
 * needed around them.
 *
 * A statement is a static HdSpiPlan: its plan is made at first use and kept
 * for the session.  Plans are made and run with enable_seqscan = off: a plan
 * kept from a time when a table was empty must not scan it when it is full.
 * Just-in-time compilation is off.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SPI_H
#define HD_SPI_H

#include "postgres.h"

#include "executor/spi.h"

#define HD_SPI_MAX_ARGS 28

typedef struct HdSpi
{
	Oid saved_user;
	int saved_security;
	int guc_level;
} HdSpi;

typedef struct HdSpiPlan
{
	const char *sql;
	int nargs;
	Oid argtypes[HD_SPI_MAX_ARGS];
	bool generic;	 /* planned once: no value of an argument makes another plan better */
	SPIPlanPtr plan; /* kept for the session once made */
} HdSpiPlan;

/*
 * hd_spi_begin / hd_spi_end
 *		Enter and leave SPI as the extension's owner.
 */
extern void hd_spi_begin(HdSpi *spi);
extern void hd_spi_end(HdSpi *spi);

/*
 * hd_spi_begin_for_all
 *		The same for work that is of all tenants, also where the session is bound
 *		to one.
 */
extern void hd_spi_begin_for_all(HdSpi *spi);

/*
 * hd_spi_run
 *		Run a kept statement between begin and end.
 *
 * values, nulls: as SPI_execute_plan; nulls may be NULL.  limit: most rows to
 * return, 0 for all.  Returns the SPI result code (>= 0); rows are in
 * SPI_tuptable until hd_spi_end.
 */
extern int hd_spi_run(HdSpiPlan *plan, Datum *values, const char *nulls, bool read_only,
					  long limit);

/*
 * hd_spi_switch_user / hd_spi_restore_user
 *		The first half alone: become the extension's owner for direct table
 *		access, which checks no search path.
 */
extern void hd_spi_switch_user(HdSpi *spi);
extern void hd_spi_restore_user(HdSpi *spi);

/*
 * hd_spi_extension
 *		Oid of the installed extension; raises 55000 when it is not installed
 *		in this database (a function called while DROP EXTENSION runs).
 */
extern Oid hd_spi_extension(void);

/*
 * hd_spi_extension_missing_ok
 *		The same, InvalidOid instead of an error.
 */
extern Oid hd_spi_extension_missing_ok(void);

/*
 * hd_spi_relation
 *		Oid of a table, index or sequence of schema hotdash, by name.
 *
 * cache: a static variable of the caller; refilled after the extension was
 * dropped and created again.
 */
typedef struct HdSpiRelation
{
	const char *name;
	Oid oid;
	uint64 generation;
} HdSpiRelation;

extern Oid hd_spi_relation(HdSpiRelation *rel);

/*
 * hd_spi_run_latest
 *		Run a writing statement that sees what is committed now, whatever the
 *		isolation level: for rows that the caller has made sure of by other means.
 */
extern void hd_spi_run_latest(HdSpiPlan *plan, Datum *values, const char *nulls);

/*
 * hd_spi_run_counting
 *		Run a statement that has to read whole tables, as of a snapshot.
 */
extern void hd_spi_run_counting(HdSpiPlan *plan, Datum *values, Snapshot snapshot);

/*
 * hd_spi_ids
 *		An argument of type bigint[].
 */
extern Datum hd_spi_ids(const int64 *ids, int n);

/*
 * hd_spi_result
 *		A column, counted from 1, of a row, from 0, of the last result; 0 where it
 *		is null.
 */
extern Datum hd_spi_result(uint64 row, int column);

#endif /* HD_SPI_H */
