/*
 * oracle.h
 *	  Business time the slow way: what the server's calendars are compared with.
 *
 * Model: nothing here is shared with PostgreSQL or with the extension, and nothing is clever. A time zone is what
 * its TZif file says, read by zone.c. A window of some days is walked second by second (window.c): that gives the
 * first second of each local time, and from these which seconds are open. Elapsed time is the count of open seconds;
 * what is due after some time is found by walking. calendar.c makes calendars at random, cases.c questions about them.
 *
 * What is open: hours are local half-open intervals, their ends the first instant with that local time; a local time
 * that does not exist is moved forward by the gap; what is empty then is none. A shift takes the place of its date's
 * hours, breaks of a date are taken from what begins on it, a holiday leaves nothing. A date that the zone skipped
 * has no hours.
 *
 * Instants are seconds since 1970, or microseconds where the name says so; dates are days since 1970.
 */
#ifndef HD_ORACLE_H
#define HD_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DAY 86400
#define SECOND_US INT64_C(1000000)
#define DAYS_OF_WEEK 7

/* ---- random.c ---- */

extern void random_seed(uint64_t seed);
extern int64_t random_below(int64_t bound);					/* 0 to bound - 1 */
extern int64_t random_between(int64_t least, int64_t most); /* both included */
extern bool random_chance(int percent);

/* ---- dates.c ---- */

typedef struct Date
{
	int64_t year;
	int month; /* 1 to 12 */
	int day;   /* 1 to 31 */
} Date;

extern int64_t date_number(int64_t year, int month, int day);
extern Date date_of(int64_t number);
extern int date_weekday(int64_t number); /* 0 is Sunday */
extern int64_t floor_div(int64_t a, int64_t b);

/* ---- zone.c ---- */

typedef struct Zone Zone;

/* NULL when the file is none, or counts leap seconds. */
extern Zone *zone_read(const char *folder, const char *name);
extern void zone_free(Zone *zone);

/* Seconds east of Greenwich; *until is the next second at which they may be others. */
extern int64_t zone_offset(const Zone *zone, int64_t at, int64_t *until);

/* A change of the clock between two instants, at random; false when there is none. */
extern bool zone_random_change(const Zone *zone, int64_t from, int64_t to, int64_t *at);

/* ---- calendar.c ---- */

#define SPANS_MOST 6
#define SPECIALS_MOST 24

/* Seconds from the midnight that a date begins with; above DAY on the next one. */
typedef struct Span
{
	int from;
	int to;
} Span;

typedef struct Spans
{
	int count;
	Span spans[SPANS_MOST];
} Spans;

typedef struct Special
{
	int64_t date;
	bool is_holiday;
	bool has_shifts;
	bool has_breaks;
	Spans shifts;
	Spans breaks;
} Special;

typedef struct Calendar
{
	const char *zone;
	Spans week[DAYS_OF_WEEK];
	int special_count;
	Special specials[SPECIALS_MOST];
} Calendar;

/* With special dates from first to last. */
extern void calendar_random(Calendar *calendar, const char *zone, int64_t first, int64_t last);
extern const Special *calendar_special(const Calendar *calendar, int64_t date);

/* The hours of a date but for breaks and holidays. */
extern const Spans *calendar_hours(const Calendar *calendar, int64_t date);
extern void calendar_print(const Calendar *calendar, FILE *out);

/* ---- window.c ---- */

typedef struct Window
{
	/* what can be asked: from one midnight to another */
	int64_t from;
	int64_t to;

	/* as large as what was walked */
	int64_t base;
	int64_t length;
	uint8_t *open;

	/* for each local time the first second that has it, counted from base; -1 for none */
	int64_t local_base;
	int64_t local_length;
	int32_t *first;
} Window;

/* In place of the window that was built before. */
extern void window_build(Window *window, const Zone *zone, const Calendar *calendar,
						 int64_t first_date, int64_t dates);
extern bool window_open(const Window *window, int64_t at_us);
extern int64_t window_elapsed(const Window *window, int64_t from_us, int64_t to_us);

/*
 * When so much time has passed; false when that lies outside the window. To close: the first such instant. To open, or
 * back in time: the last one.
 */
extern bool window_after(const Window *window, int64_t from_us, int64_t amount_us, bool to_open,
						 int64_t *at_us);
extern bool window_before(const Window *window, int64_t from_us, int64_t amount_us, int64_t *at_us);

/* The same local time so many dates with open seconds later, or earlier; false when that lies outside. */
extern bool window_days_after(const Window *window, const Zone *zone, int64_t from_us, int days,
							  int64_t *at_us);

/* The first second after one that is open where that is not, or the reverse; false for none. */
extern bool window_edge(const Window *window, int64_t at, int64_t *edge);

/* ---- cases.c ---- */

/* So many questions, each a line for COPY, numbered from *number on. */
extern void cases_write(FILE *out, const char *calendar, const Zone *zone, const Window *window,
						int count, int64_t *number);

#endif
