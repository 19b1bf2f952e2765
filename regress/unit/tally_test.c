/*
 * tally_test.c
 *	  Transactions that write rows, become visible and tell what they changed in any order, while
 *	  others count and move the cut: whenever all have told, the numbers are those of the rows.
 */
#include "postgres.h"

#include "jobs/tally_base.h"

#include "check.h"
#include "random.h"

#define STEPS 400000
#define OPEN_MAX 6
#define ROWS_MAX 64
#define TIMES 40

typedef struct Row
{
	bool there; /* visible to new snapshots */
	int writer; /* transaction that inserts or deletes it, -1: none */
	bool timed;
	bool held;
	int64 at;
} Row;

typedef struct Transaction
{
	uint64 xid; /* 0: slot is free */
	bool visible;
	int nchanges;
	HdTallyChange changes[8];
	int rows[8];
} Transaction;

typedef struct Snapshot
{
	HdTallySeen seen;
	TransactionId xids[OPEN_MAX];
} Snapshot;

static Row rows[ROWS_MAX];
static Transaction open_ones[OPEN_MAX];
static Snapshot snapshots[2];
static HdTallyBase base;
static HdTallyCounts counts;
static HdTallyCounts found;								/* by the count that is under way */
static int64 found_between;								/* by the move that is under way */
static uint64 next_xid = (UINT64CONST(1) << 32) - 1000; /* into the next epoch */
static uint64 completed;
static int verdicts[4];
static int compared;
static int wrong;

static void
take_snapshot(int which)
{
	HdTallySeen *seen = &snapshots[which].seen;

	seen->xmax = completed + 1;
	seen->nxids = 0;
	for (int i = 0; i < OPEN_MAX; i++)
		if (open_ones[i].xid != 0 && !open_ones[i].visible && open_ones[i].xid < seen->xmax)
			seen->xids[seen->nxids++] = (TransactionId) open_ones[i].xid;
}

static HdTallyCounts
count_rows(int64 after)
{
	HdTallyCounts result = {0};

	for (int i = 0; i < ROWS_MAX; i++)
	{
		if (!rows[i].there)
			continue;
		result.alive++;
		result.held += rows[i].held;
		result.scheduled += rows[i].timed && rows[i].at > after;
	}
	return result;
}

static void
begin(void)
{
	for (int i = 0; i < OPEN_MAX; i++)
		if (open_ones[i].xid == 0)
		{
			memset(&open_ones[i], 0, sizeof(Transaction));
			open_ones[i].xid = next_xid++;
			return;
		}
}

static void
write_row(Transaction *tx)
{
	int i = (int) random_below(ROWS_MAX);
	HdTallyChange *change = &tx->changes[tx->nchanges];
	int sign;

	if (tx->xid == 0 || tx->visible || tx->nchanges == lengthof(tx->changes) || rows[i].writer >= 0)
		return;
	sign = rows[i].there ? -1 : 1;
	if (!rows[i].there)
	{
		rows[i].at = random_below(TIMES);
		rows[i].timed = random_below(4) != 0;
		rows[i].held = !rows[i].timed && random_below(2) == 0;
	}
	rows[i].writer = (int) (tx - open_ones);
	tx->rows[tx->nchanges++] = i;
	change->alive = sign;
	change->held = rows[i].held ? sign : 0;
	change->timed = rows[i].timed ? sign : 0;
	change->at = rows[i].at;
}

static void
end(Transaction *tx, bool commit)
{
	if (tx->xid == 0 || tx->visible)
		return;
	for (int i = 0; i < tx->nchanges; i++)
	{
		Row *row = &rows[tx->rows[i]];

		row->writer = -1;
		if (commit)
			row->there = !row->there;
	}
	completed = Max(completed, tx->xid);
	tx->visible = commit;
	if (!commit)
		tx->xid = 0;
}

static void
tell(Transaction *tx)
{
	HdTallyVerdict verdict;

	if (tx->xid == 0 || !tx->visible)
		return;
	if (base.state != HD_TALLY_UNKNOWN && tx->nchanges > 0)
	{
		verdict = hd_tally_base_judge(&base, &snapshots[base.last].seen,
									  &snapshots[1 - base.last].seen, tx->xid);
		verdicts[verdict]++;
		if (verdict == HD_TALLY_LOST)
			hd_tally_base_invalidate(&base);
		for (int i = 0; i < tx->nchanges && verdict <= HD_TALLY_ADD_LATE; i++)
			hd_tally_base_add(&base, &counts, verdict, &tx->changes[i]);
	}
	tx->xid = 0;
}

static void
count(void)
{
	if (base.state == HD_TALLY_UNKNOWN)
	{
		take_snapshot(hd_tally_base_count(&base, random_below(TIMES)));
		memset(&counts, 0, sizeof(counts));
		found = count_rows(base.cut);
	}
	else if (base.state == HD_TALLY_COUNTING && random_below(8) == 0)
		hd_tally_base_abandon(&base);
	else if (base.state == HD_TALLY_COUNTING)
	{
		counts.alive += found.alive;
		counts.held += found.held;
		counts.scheduled += found.scheduled;
		hd_tally_base_counted(&base);
	}
}

static void
move(void)
{
	if (base.state == HD_TALLY_KNOWN)
	{
		take_snapshot(hd_tally_base_move(&base, random_below(TIMES)));
		counts.moved = counts.scheduled;
		found_between = count_rows(base.cut).scheduled - count_rows(base.target).scheduled;
	}
	else if (base.state == HD_TALLY_MOVING && random_below(4) == 0)
		hd_tally_base_abandon(&base);
	else if (base.state == HD_TALLY_MOVING)
	{
		counts.scheduled = counts.moved - found_between;
		hd_tally_base_moved(&base);
	}
}

static void
compare(void)
{
	HdTallyCounts truth;

	for (int i = 0; i < OPEN_MAX; i++)
		if (open_ones[i].xid != 0 && open_ones[i].visible)
			return;
	if (!hd_tally_base_known(&base))
		return;
	truth = count_rows(base.cut);
	compared++;
	wrong += truth.alive != counts.alive || truth.held != counts.held ||
			 truth.scheduled != counts.scheduled;
}

int
main(void)
{
	for (int i = 0; i < ROWS_MAX; i++)
		rows[i].writer = -1;
	for (int step = 0; step < STEPS; step++)
	{
		Transaction *tx = &open_ones[random_below(OPEN_MAX)];

		switch (random_below(12))
		{
			case 0:
			case 1:
				begin();
				break;
			case 2:
			case 3:
			case 4:
			case 5:
				write_row(tx);
				break;
			case 6:
			case 7:
				end(tx, random_below(4) != 0);
				break;
			case 8:
			case 9:
				tell(tx);
				break;
			case 10:
				count();
				break;
			default:
				move();
				break;
		}
		if (random_below(5000) == 0)
			hd_tally_base_invalidate(&base);
		compare();
	}
	CHECK(compared > 10000, "the numbers could be compared %d times", compared);
	CHECK(wrong == 0, "and were true each time (%d were not)", wrong);
	CHECK(verdicts[HD_TALLY_ADD] > 1000, "transactions that no snapshot saw");
	CHECK(verdicts[HD_TALLY_ADD_LATE] > 100, "that only the younger saw");
	CHECK(verdicts[HD_TALLY_DROP] > 100, "that the base had counted");
	CHECK(verdicts[HD_TALLY_LOST] > 100, "and that were too late");
	CHECK(next_xid > UINT64CONST(1) << 32, "over the end of an epoch");
	return check_end();
}
