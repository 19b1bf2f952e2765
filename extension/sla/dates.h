/*-------------------------------------------------------------------------
 * dates.h
 *		Dates and times of a day, as calendars are written.
 *
 * Texts need no zero at their end.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_DATES_H
#define HD_SLA_DATES_H

#include "postgres.h"

/*
 * hd_sla_dates_digits
 *		The number of so many digits; -1 when there are others among them.
 */
extern int hd_sla_dates_digits(const char *text, int n);

/*
 * hd_sla_dates_day
 *		A date as the number of days since 2000-01-01; false: it does not exist.
 */
extern bool hd_sla_dates_day(int year, int month, int day, int32 *date);

/*
 * hd_sla_dates_date
 *		A date written as 2026-12-25, of the time that calendars know of.
 * hd_sla_dates_yearly
 *		A day of any year, written as 12-25.
 * hd_sla_dates_time
 *		Microseconds since midnight of HH:MM, HH:MM:SS or HH:MM:SS.ffffff; may be
 *		more than a day.  -1: it is none.
 */
extern bool hd_sla_dates_date(const char *text, int length, int32 *date);
extern bool hd_sla_dates_yearly(const char *text, int length, int *month, int *day);
extern int64 hd_sla_dates_time(const char *text, int length);

#endif /* HD_SLA_DATES_H */
