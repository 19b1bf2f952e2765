/*-------------------------------------------------------------------------
 * parts.h
 *		Tables that are kept for a time, in numbered parts.
 *
 * Model: sql/core_parts.sql says what a family of tables is and how its parts
 * come and go.  Here is what a session needs that files rows: which part
 * takes them changes rarely, so it keeps the answer for as long as the
 * generation stays the same.
 *
 * Locking: none of its own.  Whoever files a row holds RowExclusiveLock on
 * the part until the transaction ends, and no lock on the parent.
 *-------------------------------------------------------------------------
 */
#ifndef HD_PARTS_H
#define HD_PARTS_H

#include "postgres.h"

#include "core/spi.h"
#include "datatype/timestamp.h"

/* Longest retention that a family may be asked for. */
#define HD_PARTS_MAX_DAYS 365

/* What a module's tick knows of its family; a static of the module. */
typedef struct HdPartsKeeper
{
	HdSpiPlan keep; /* "SELECT hotdash._…_keep()": false when a lock was not to be had */
	TimestampTz looked;
	uint64 generation;
	bool done;
} HdPartsKeeper;

/*
 * hd_parts_generation
 *		A number that changes whenever a part of any family was made, closed or
 *		dropped.  Takes in what others have committed.
 */
extern uint64 hd_parts_generation(void);

/*
 * hd_parts_relation
 *		Table of a part; InvalidOid when it is gone.
 */
extern Oid hd_parts_relation(const char *parent, int16 part);

/* What a session knows of a table into whose parts it files rows; a static of the module. */
typedef struct HdPartsWriter
{
	const char *family;
	const char *parent;
	int16 part;		   /* that takes rows as of generation */
	Oid table;		   /* of that part */
	Oid rows_type;	   /* array of the parent's rows, that insert was made for */
	uint64 generation; /* 0: nothing is known */
	HdSpiPlan insert;
} HdPartsWriter;

/*
 * hd_parts_file
 *		File rows, an array of the parent's row type, into the part that takes
 *		them now; their own part column is not looked at.  Returns the part.  For
 *		families of one class.
 *
 * The part is known to be open while its table is locked, until the
 * transaction ends.  So whoever finds a part closed, and then gets a lock on
 * its table that excludes writers, knows that all of its rows are there and
 * none will come.
 */
extern int16 hd_parts_file(HdPartsWriter *writer, Datum rows, Oid rows_type);

/*
 * hd_parts_tick
 *		Close, make and drop parts where it is time, in the current transaction.
 *
 * Looks once a minute, and at once when parts have changed or changed is
 * true: the family wants other classes than before.  Its locks keep readers
 * out until the transaction ends, so it comes last.
 */
extern void hd_parts_tick(HdPartsKeeper *keeper, bool changed);

#endif /* HD_PARTS_H */
