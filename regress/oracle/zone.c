/*
 * zone.c
 *	  Time zones as their files say (RFC 9636, versions 1 to 4), with the rule that follows the last change.
 *
 * A file of version 2 or later holds everything twice; the second time with 64 bits, and then a line with the rule in
 * the notation of POSIX's TZ, whose hours may be negative or more than a day.
 */
#include "oracle.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 44
#define NO_CHANGE INT64_MAX

/* The day of a year on which its clocks change, and the second of it. */
typedef struct Change
{
	enum
	{
		JULIAN,	   /* 1 to 365, never 29 February */
		YEAR_DAY,  /* 0 to 365 */
		MONTH_WEEK /* a weekday of a week of a month; week 5 is the last */
	} kind;
	int day;
	int week;
	int month;
	int64_t time;
} Change;

typedef struct Rule
{
	bool is_given;
	bool has_summer;
	int64_t standard; /* seconds east */
	int64_t summer;
	Change begins;
	Change ends;
} Rule;

struct Zone
{
	size_t changes;
	int64_t *times;
	uint8_t *types;
	size_t type_count;
	int64_t offsets[256];
	Rule rule;
};

/* ---- the rule ---- */

static bool
take(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool
take_number(const char **at, int64_t *number)
{
	if (!isdigit((unsigned char) **at))
		return false;
	for (*number = 0; isdigit((unsigned char) **at); (*at)++)
		*number = *number * 10 + (**at - '0');
	return true;
}

/* hh[:mm[:ss]], with a sign or without */
static bool
take_time(const char **at, int64_t *seconds)
{
	int64_t sign = take(at, '-') ? -1 : 1;
	int64_t part;

	if (sign == 1)
		(void) take(at, '+');
	if (!take_number(at, &part))
		return false;
	*seconds = part * 3600;
	for (int64_t unit = 60; unit > 0 && take(at, ':'); unit /= 60)
	{
		if (!take_number(at, &part))
			return false;
		*seconds += part * unit;
	}
	*seconds *= sign;
	return true;
}

static bool
take_name(const char **at)
{
	const char *from = *at;

	if (take(at, '<'))
	{
		*at += strcspn(*at, ">");
		return take(at, '>');
	}
	while (isalpha((unsigned char) **at))
		(*at)++;
	return *at - from >= 3;
}

static bool
take_month_week(const char **at, Change *change)
{
	int64_t month;
	int64_t week;
	int64_t day;

	if (!take_number(at, &month) || !take(at, '.') || !take_number(at, &week) || !take(at, '.') ||
		!take_number(at, &day))
		return false;
	change->kind = MONTH_WEEK;
	change->month = (int) month;
	change->week = (int) week;
	change->day = (int) day;
	return month >= 1 && month <= 12 && week >= 1 && week <= 5 && day <= 6;
}

static bool
take_change(const char **at, Change *change)
{
	int64_t day;

	change->time = 2 * 3600;
	if (take(at, 'M'))
	{
		if (!take_month_week(at, change))
			return false;
	}
	else
	{
		change->kind = take(at, 'J') ? JULIAN : YEAR_DAY;
		if (!take_number(at, &day) || day > 366)
			return false;
		change->day = (int) day;
	}
	return !take(at, '/') || take_time(at, &change->time);
}

/* What is not given is an hour ahead; POSIX counts west. */
static bool
rule_parse(const char *text, Rule *rule)
{
	const char *at = text;

	memset(rule, 0, sizeof(*rule));
	if (*text == '\0')
		return true;
	rule->is_given = true;
	if (!take_name(&at) || !take_time(&at, &rule->standard))
		return false;
	rule->standard = -rule->standard;
	if (*at == '\0')
		return true;
	rule->has_summer = true;
	rule->summer = rule->standard + 3600;
	if (!take_name(&at))
		return false;
	if (*at != ',')
	{
		if (!take_time(&at, &rule->summer))
			return false;
		rule->summer = -rule->summer;
	}
	return take(&at, ',') && take_change(&at, &rule->begins) && take(&at, ',') &&
		   take_change(&at, &rule->ends) && *at == '\0';
}

/* The date of a change in a year. */
static int64_t
change_date(const Change *change, int64_t year)
{
	int64_t january = date_number(year, 1, 1);
	int64_t date;

	if (change->kind == YEAR_DAY)
		return january + change->day;
	if (change->kind == JULIAN)
		return january + change->day - 1 +
			   (change->day > 59 && date_number(year, 3, 1) - january == 60 ? 1 : 0);
	date = date_number(year, change->month, 1);
	while (date_weekday(date) != change->day)
		date++;
	for (int week = 1; week < change->week && date_of(date + 7).month == change->month; week++)
		date += 7;
	return date;
}

/* The changes of the years around decide: the last that is not after the instant. */
static int64_t
rule_offset(const Rule *rule, int64_t at, int64_t *until)
{
	int64_t year = date_of(floor_div(at + rule->standard, DAY)).year;
	int64_t last = INT64_MIN;
	int64_t offset = rule->standard;

	*until = NO_CHANGE;
	if (!rule->has_summer)
		return offset;
	for (int64_t y = year - 2; y <= year + 2; y++)
	{
		int64_t begins = change_date(&rule->begins, y) * DAY + rule->begins.time - rule->standard;
		int64_t ends = change_date(&rule->ends, y) * DAY + rule->ends.time - rule->summer;

		if (ends <= at && ends > last)
		{
			last = ends;
			offset = rule->standard;
		}
		if (begins <= at && begins >= last)
		{
			last = begins;
			offset = rule->summer;
		}
		if (ends > at && ends < *until)
			*until = ends;
		if (begins > at && begins < *until)
			*until = begins;
	}
	return offset;
}

/* ---- the file ---- */

/* What its header counts. */
typedef struct Counts
{
	size_t ut;
	size_t std;
	size_t leaps;
	size_t changes;
	size_t types;
	size_t chars;
} Counts;

static int64_t
read_number(const uint8_t *at, size_t width)
{
	uint64_t number = at[0] >= 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < width; i++)
		number = number << 8 | at[i];
	return (int64_t) number;
}

static bool
read_counts(const uint8_t *data, size_t size, Counts *counts)
{
	if (size < HEADER || memcmp(data, "TZif", 4) != 0)
		return false;
	counts->ut = (size_t) read_number(data + 20, 4);
	counts->std = (size_t) read_number(data + 24, 4);
	counts->leaps = (size_t) read_number(data + 28, 4);
	counts->changes = (size_t) read_number(data + 32, 4);
	counts->types = (size_t) read_number(data + 36, 4);
	counts->chars = (size_t) read_number(data + 40, 4);
	return counts->changes < 100000 && counts->types >= 1 && counts->types <= 256 &&
		   counts->chars < 100000 && counts->leaps < 1000 && counts->ut <= 256 &&
		   counts->std <= 256;
}

static size_t
block_size(const Counts *counts, size_t width)
{
	return HEADER + counts->changes * (width + 1) + counts->types * 6 + counts->chars +
		   counts->leaps * (width + 4) + counts->std + counts->ut;
}

static bool
read_block(Zone *zone, const uint8_t *data, const Counts *counts, size_t width)
{
	const uint8_t *times = data + HEADER;
	const uint8_t *types = times + counts->changes * width;
	const uint8_t *infos = types + counts->changes;

	zone->changes = counts->changes;
	zone->type_count = counts->types;
	zone->times = calloc(counts->changes + 1, sizeof(int64_t));
	zone->types = calloc(counts->changes + 1, 1);
	if (zone->times == NULL || zone->types == NULL)
		return false;
	for (size_t i = 0; i < counts->changes; i++)
	{
		zone->times[i] = read_number(times + i * width, width);
		zone->types[i] = types[i];
		if (types[i] >= counts->types)
			return false;
	}
	for (size_t i = 0; i < counts->types; i++)
		zone->offsets[i] = read_number(infos + i * 6, 4);
	return true;
}

/* The line behind the second block. */
static bool
read_rule(Zone *zone, const uint8_t *at, const uint8_t *end)
{
	char text[256] = "";
	size_t length = 0;

	if (at >= end || *at != '\n')
		return false;
	for (at++; at < end && *at != '\n' && length < sizeof(text) - 1; at++)
		text[length++] = (char) *at;
	return at < end && rule_parse(text, &zone->rule);
}

static bool
parse(Zone *zone, const uint8_t *data, size_t size)
{
	Counts counts;
	size_t first;

	if (!read_counts(data, size, &counts) || block_size(&counts, 4) > size || counts.leaps > 0)
		return false;
	if (data[4] == '\0')
		return read_block(zone, data, &counts, 4);
	first = block_size(&counts, 4);
	if (!read_counts(data + first, size - first, &counts) || counts.leaps > 0 ||
		block_size(&counts, 8) > size - first)
		return false;
	return read_block(zone, data + first, &counts, 8) &&
		   read_rule(zone, data + first + block_size(&counts, 8), data + size);
}

Zone *
zone_read(const char *folder, const char *name)
{
	static uint8_t data[1 << 18];
	char path[4096];
	Zone *zone;
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	zone = calloc(1, sizeof(*zone));
	if (zone != NULL && (size == sizeof(data) || !parse(zone, data, size)))
	{
		zone_free(zone);
		return NULL;
	}
	return zone;
}

void
zone_free(Zone *zone)
{
	free(zone->times);
	free(zone->types);
	free(zone);
}

/* ---- offsets ---- */

int64_t
zone_offset(const Zone *zone, int64_t at, int64_t *until)
{
	size_t before = 0; /* how many changes are not after it */

	while (before < zone->changes && zone->times[before] <= at)
		before++;
	if (before == zone->changes && zone->rule.is_given)
		return rule_offset(&zone->rule, at, until);
	*until = before < zone->changes ? zone->times[before] : NO_CHANGE;
	return zone->offsets[before > 0 ? zone->types[before - 1] : 0];
}

bool
zone_random_change(const Zone *zone, int64_t from, int64_t to, int64_t *at)
{
	int64_t until;
	int64_t offset = zone_offset(zone, from, &until);
	int64_t seen = 0;

	while (until < to)
	{
		int64_t change = until;
		int64_t next = zone_offset(zone, change, &until);

		if (next != offset && random_below(++seen) == 0)
			*at = change;
		offset = next;
	}
	return seen > 0;
}
