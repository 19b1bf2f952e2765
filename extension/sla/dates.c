/*-------------------------------------------------------------------------
 * dates.c
 *		Dates and times of a day, as calendars are written.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/dates.h"

#include "sla/days.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

int
hd_sla_dates_digits(const char *text, int n)
{
	int number = 0;

	for (int i = 0; i < n; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		number = number * 10 + (text[i] - '0');
	}
	return number;
}

bool
hd_sla_dates_day(int year, int month, int day, int32 *date)
{
	if (year < 1 || month < 1 || month > MONTHS_PER_YEAR || day < 1 ||
		day > day_tab[isleap(year)][month - 1])
		return false;
	*date = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

bool
hd_sla_dates_date(const char *text, int length, int32 *date)
{
	return length == 10 && text[4] == '-' && text[7] == '-' &&
		   hd_sla_dates_day(hd_sla_dates_digits(text, 4), hd_sla_dates_digits(text + 5, 2),
							hd_sla_dates_digits(text + 8, 2), date) &&
		   *date >= HD_SLA_FIRST_DAY && *date < HD_SLA_LAST_DAY;
}

bool
hd_sla_dates_yearly(const char *text, int length, int *month, int *day)
{
	int32 date;

	if (length != 5 || text[2] != '-')
		return false;
	*month = hd_sla_dates_digits(text, 2);
	*day = hd_sla_dates_digits(text + 3, 2);
	/* a year that has all days */
	return hd_sla_dates_day(2000, *month, *day, &date);
}

/* Microseconds of ":SS" or ":SS.ffffff"; -1: it is none. */
static int64
seconds_of(const char *text, int length)
{
	int seconds;
	int micros = 0;

	if (length < 3 || length == 4 || length > 10 || text[0] != ':')
		return -1;
	seconds = hd_sla_dates_digits(text + 1, 2);
	if (length > 4)
	{
		micros = (text[3] == '.') ? hd_sla_dates_digits(text + 4, length - 4) : -1;
		for (int i = length; i < 10; i++)
			micros *= 10;
	}
	if (seconds < 0 || seconds > 59 || micros < 0)
		return -1;
	return seconds * USECS_PER_SEC + micros;
}

int64
hd_sla_dates_time(const char *text, int length)
{
	int hours;
	int minutes;
	int64 rest;

	if (length < 5 || text[2] != ':')
		return -1;
	hours = hd_sla_dates_digits(text, 2);
	minutes = hd_sla_dates_digits(text + 3, 2);
	rest = (length > 5) ? seconds_of(text + 5, length - 5) : 0;
	if (hours < 0 || minutes < 0 || minutes > 59 || rest < 0)
		return -1;
	return (hours * 60 + minutes) * USECS_PER_MINUTE + rest;
}
