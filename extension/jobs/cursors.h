/*-------------------------------------------------------------------------
 * cursors.h
 *		Cursors WITH HOLD that a SQL handler leaves behind.
 *
 * Model: such a cursor runs its query when the transaction commits, which
 * would be as the engine's user.  A utility hook notes that one was declared,
 * so that the handlers that declare none, which is nearly all, cost nothing.
 *
 * Locking: none.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_CURSORS_H
#define HD_JOBS_CURSORS_H

/*
 * hd_jobs_cursors_register
 *		Set the hook.  Called from the module's init when preloaded.
 */
extern void hd_jobs_cursors_register(void);

/*
 * hd_jobs_cursors_watch / hd_jobs_cursors_close
 *		A handler begins; close the cursors WITH HOLD that were declared since, in
 *		the current subtransaction.  Those of the session were there before.
 */
extern void hd_jobs_cursors_watch(void);
extern void hd_jobs_cursors_close(void);

#endif /* HD_JOBS_CURSORS_H */
