/*
 * dates.c
 *	  Days of the Gregorian calendar, counted from 1 January 1970.
 */
#include "oracle.h"

#define DAYS_OF_400_YEARS 146097

int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_of_month(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* Year by year within 400 of them. */
static int64_t
year_begins(int64_t year)
{
	int64_t eras = floor_div(year - 1970, 400);
	int64_t days = eras * DAYS_OF_400_YEARS;

	for (int64_t y = 1970 + eras * 400; y < year; y++)
		days += is_leap(y) ? 366 : 365;
	return days;
}

int64_t
date_number(int64_t year, int month, int day)
{
	int64_t days = year_begins(year);

	for (int m = 1; m < month; m++)
		days += days_of_month(year, m);
	return days + day - 1;
}

Date
date_of(int64_t number)
{
	Date date = {1970 + floor_div(number, 366) - 1, 1, 1};
	int64_t rest;

	while (year_begins(date.year + 1) <= number)
		date.year++;
	rest = number - year_begins(date.year);
	for (; rest >= days_of_month(date.year, date.month); date.month++)
		rest -= days_of_month(date.year, date.month);
	date.day = (int) rest + 1;
	return date;
}

/* The first day of 1970 was a Thursday. */
int
date_weekday(int64_t number)
{
	return (int) (number + 4 - floor_div(number + 4, DAYS_OF_WEEK) * DAYS_OF_WEEK);
}
