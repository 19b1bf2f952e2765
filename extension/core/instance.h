/*-------------------------------------------------------------------------
 * instance.h
 *		Whether this is the live copy of the data, or a restored one.
 *
 * Model: table _instance is part of every dump.  Its rows name the server
 * and the database in which the data live: the first is written by the
 * first use of a fresh installation, a further one by each
 * instance_adopt().  Data that were restored elsewhere, or copied with
 * CREATE DATABASE ... TEMPLATE, therefore find another name than their own
 * and pause.  A promoted standby has the same name and goes on.
 *
 * "First use" is whatever puts work into a table: enqueueing, publishing.
 * Whoever performs work only asks.  That matters while a dump is being
 * restored, when the extension is there and its rows are not: a worker that
 * wrote its own name then would take the copy for the live one.
 *
 * The live copy is the one whose name is in the table, provided that no
 * other name is there, or that the own name was adopted after the others.
 *
 * Caveats: a file system copy of a whole cluster has the same name as the
 * original and acts; pg_upgrade gives the cluster a new name, so each
 * database has to be adopted after it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_INSTANCE_H
#define HD_INSTANCE_H

#include "postgres.h"

/*
 * hd_instance_is_ours
 *		Whether work may be performed here.  False also while nothing was ever
 *		put in.
 *
 * Call inside a transaction, before claiming anything.  A yes is remembered
 * for the session; a no costs one indexless look at a table of a few rows.
 */
extern bool hd_instance_is_ours(void);

/*
 * hd_instance_is_copy
 *		Whether the data belong to another server or database, so that
 *		everything pauses.  False for a fresh installation.
 */
extern bool hd_instance_is_copy(void);

/*
 * hd_instance_use
 *		Note that work is being put in, in the caller's transaction.
 *
 * Writes the first row where there is none.  Sessions that do so at the same
 * time write one each and do not wait for one another.
 */
extern void hd_instance_use(void);

#endif /* HD_INSTANCE_H */
