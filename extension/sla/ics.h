/*-------------------------------------------------------------------------
 * ics.h
 *		Holidays from iCalendar text (RFC 5545), as feeds and exports have them.
 *
 * Model: the events of the text are read (ics.c, ics_text.c), those that repeat
 * are laid out in dates (ics_rule.c), and of each occurrence it is asked which
 * whole days of a calendar's zone it covers.  What is no event is passed over,
 * as is an event that is cancelled; one that does not begin and end with days
 * is skipped and counted.
 *
 * Nothing here asks the server for anything but memory: time zones are asked
 * for through HdSlaIcsZones, and errors are told, not raised.
 *
 * Caveats: an event that repeats does so from 1970 to 2099 only.
 *
 * Dates are days since 2000-01-01.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_ICS_H
#define HD_SLA_ICS_H

#include "postgres.h"

#include "sla/days.h"

/* What a text may hold. */
#define HD_SLA_ICS_BYTES (4 * 1024 * 1024)
#define HD_SLA_ICS_LINE (64 * 1024) /* bytes of a line that is no longer folded */
#define HD_SLA_ICS_EVENTS 10000
#define HD_SLA_ICS_DAYS 50000	  /* that its events cover */
#define HD_SLA_ICS_STEPS 50000000 /* of looking for them */

/* Years that rules are laid out in. */
#define HD_SLA_ICS_FIRST_YEAR 1970
#define HD_SLA_ICS_LAST_YEAR 2099

/* Bytes of a name, at most. */
#define HD_SLA_ICS_NAME 255

typedef enum HdSlaIcsClock
{
	HD_SLA_ICS_DATE,	 /* a whole day, wherever it is */
	HD_SLA_ICS_FLOATING, /* local, wherever it is */
	HD_SLA_ICS_UTC,
	HD_SLA_ICS_ZONED /* local, in a zone that is named */
} HdSlaIcsClock;

typedef struct HdSlaIcsText
{
	const char *at; /* no terminator */
	int length;
} HdSlaIcsText;

typedef struct HdSlaIcsTime
{
	HdSlaIcsClock clock;
	int32 date;
	int32 second; /* of the day; 0 of a date */
	HdSlaIcsText zone;
} HdSlaIcsTime;

#define HD_SLA_ICS_WEEKDAYS 32
#define HD_SLA_ICS_POSITIONS 32

typedef enum HdSlaIcsEvery
{
	HD_SLA_ICS_YEARLY,
	HD_SLA_ICS_MONTHLY,
	HD_SLA_ICS_WEEKLY,
	HD_SLA_ICS_DAILY
} HdSlaIcsEvery;

/* How an event repeats; what is not given is 0. */
typedef struct HdSlaIcsRule
{
	HdSlaIcsEvery every;
	int interval;
	int count;
	bool has_until;
	HdSlaIcsTime until;
	int week_begins;  /* 0 is Monday */
	uint32 months;	  /* a bit each, from 1 */
	uint32 days;	  /* of a month, from its begin: a bit each, from 1 */
	uint32 last_days; /* and from its end */
	int nweekdays;
	int8 weekdays[HD_SLA_ICS_WEEKDAYS]; /* 0 is Monday */
	int8 ordinals[HD_SLA_ICS_WEEKDAYS]; /* of each in its month or year; 0: all */
	int nyear_days;
	int16 year_days[HD_SLA_ICS_POSITIONS];
	int npositions;
	int16 positions[HD_SLA_ICS_POSITIONS]; /* of those that a period has */
	const char *unknown;				   /* a part of it that is not understood, or NULL */
} HdSlaIcsRule;

typedef struct HdSlaIcsEvent
{
	int line;
	HdSlaIcsText uid;
	HdSlaIcsText summary; /* as it is written */
	bool has_start;
	HdSlaIcsTime start;
	bool has_end;
	HdSlaIcsTime end;
	bool has_length;
	int64 length; /* seconds */
	bool is_cancelled;
	bool is_marked_whole; /* by a mark of Outlook's */
	bool repeats;
	int rule_line;
	HdSlaIcsRule rule;
	bool replaces; /* an occurrence of the event with the same uid */
	HdSlaIcsTime replaced;
	int listed; /* its first of the feed's times */
	int nlisted;
} HdSlaIcsEvent;

/* A time that an event names beside its rule. */
typedef struct HdSlaIcsListed
{
	bool is_exception;
	HdSlaIcsTime time;
} HdSlaIcsListed;

typedef struct HdSlaIcsFeed
{
	int nevents;
	HdSlaIcsEvent *events;
	int nlisted;
	HdSlaIcsListed *listed;
} HdSlaIcsFeed;

typedef struct HdSlaIcsDay
{
	int32 date;
	int event;
} HdSlaIcsDay;

typedef struct HdSlaIcsDays
{
	int n;
	HdSlaIcsDay *days; /* in the order of the text; dates may come again */
	int skipped;	   /* events that do not begin and end with days */
	int64 steps;
} HdSlaIcsDays;

typedef enum HdSlaIcsTrouble
{
	HD_SLA_ICS_WRONG,
	HD_SLA_ICS_UNSUPPORTED,
	HD_SLA_ICS_TOO_MUCH
} HdSlaIcsTrouble;

typedef struct HdSlaIcsError
{
	HdSlaIcsTrouble trouble;
	int line;
	const char *reason; /* a sentence */
} HdSlaIcsError;

/*
 * What is asked of time zones.  instant: that of a local time, as any count of
 * seconds; false when the zone is unknown.  midnight: whether a day of the
 * calendar's zone begins with an instant, and its date.
 */
typedef struct HdSlaIcsZones
{
	bool (*instant)(void *arg, const HdSlaIcsTime *time, int64 *instant);
	bool (*midnight)(void *arg, int64 instant, int32 *date);
	void *arg;
} HdSlaIcsZones;

/*
 * hd_sla_ics_read
 *		The events of a text, which must outlive them not; false with an error.
 *		Memory is the caller's context.
 */
extern bool hd_sla_ics_read(const char *text, int length, HdSlaIcsFeed *feed, HdSlaIcsError *error);

/*
 * hd_sla_ics_days
 *		The days that the events cover; false with an error.
 */
extern bool hd_sla_ics_days(const HdSlaIcsFeed *feed, const HdSlaIcsZones *zones,
							HdSlaIcsDays *days, HdSlaIcsError *error);

/*
 * hd_sla_ics_name
 *		The name of an event in plain text; its length, 0 for none.  name: room
 *		for HD_SLA_ICS_NAME bytes.
 */
extern int hd_sla_ics_name(const HdSlaIcsEvent *event, char *name);

#endif /* HD_SLA_ICS_H */
