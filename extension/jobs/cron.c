/*-------------------------------------------------------------------------
 * cron.c
 *		Reading cron expressions and names of time zones.
 *
 * Grammar:
 *		expression	second? minute hour day month weekday, or a @word
 *		field		element {"," element}
 *		element		("*" | value | value "-" value) ["/" step], "?" or "L"
 *
 * A value with a step but no end runs to the largest value.  Months and days
 * of the week have English names of three letters.  Sunday is 0 and 7.  "?"
 * is "*" in the two fields of the day; "L" is the last day of a month.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/cron.h"

#include <ctype.h>

#include "core/compat.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#define MAX_LENGTH 256
#define MAX_FIELDS 6

#define BIT(n) (UINT64CONST(1) << (n))

typedef enum Field
{
	FIELD_SECOND,
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY
} Field;

typedef struct FieldRule
{
	const char *name;
	int low;
	int high;
	const char *const *words; /* names of low, low + 1 ...; NULL: none */
} FieldRule;

static const char *const month_words[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
										  "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_words[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const FieldRule rules[MAX_FIELDS] = {
	[FIELD_SECOND] = {"second", 0, 59, NULL},
	[FIELD_MINUTE] = {"minute", 0, 59, NULL},
	[FIELD_HOUR] = {"hour", 0, 23, NULL},
	[FIELD_DAY] = {"day of month", 1, 31, NULL},
	[FIELD_MONTH] = {"month", 1, 12, month_words},
	[FIELD_WEEKDAY] = {"day of week", 0, 7, weekday_words},
};

static const struct
{
	const char *word;
	const char *meaning;
} words[] = {
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},	  {"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

/* Where the reading stands. */
typedef struct Reader
{
	const char *text; /* all of it, for messages */
	const char *at;
	Field field;
	int number; /* of the field, as the user counts */
	bool star;	/* this field begins with an asterisk or "?" */
	bool last;	/* this field says L */
} Reader;

HD_NORETURN static void refuse(const Reader *reader, const char *at, const char *detail);

static void
refuse(const Reader *reader, const char *at, const char *detail)
{
	const FieldRule *rule = &rules[reader->field];
	int place = pg_mbstrlen_with_len(reader->text, (int) (at - reader->text)) + 1;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid cron expression: \"%s\"", reader->text),
			 errdetail("Field %d (%s), at character %d: %s.", reader->number, rule->name, place,
					   detail),
			 errhint("The %s is *, a number from %d to %d%s, a range such as %d-%d, or a list of "
					 "them, each with an optional step such as */2.",
					 rule->name, rule->low, rule->high, (rule->words != NULL) ? " or a name" : "",
					 rule->low + 1, rule->low + 3)));
}

static void
refuse_whole(const char *text, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid cron expression: \"%s\"", text), errdetail_internal("%s", detail),
			 errhint("Give minute, hour, day of month, month and day of week, with the second in "
					 "front where it matters, or one of @hourly, @daily, @weekly, @monthly, "
					 "@yearly.")));
}

/* True at the end of a field. */
static bool
at_end(const Reader *reader)
{
	return *reader->at == '\0' || isspace((unsigned char) *reader->at);
}

static int
read_number(Reader *reader)
{
	const char *start = reader->at;
	int value = 0;

	while (isdigit((unsigned char) *reader->at))
	{
		if (reader->at - start >= 4)
			refuse(reader, start, "the number is too long");
		value = value * 10 + (*reader->at++ - '0');
	}
	return value;
}

static int
read_word(Reader *reader)
{
	const FieldRule *rule = &rules[reader->field];
	const char *start = reader->at;
	size_t length;

	while (isalpha((unsigned char) *reader->at))
		reader->at++;
	length = reader->at - start;
	for (int i = 0; rule->words != NULL && rule->words[i] != NULL; i++)
		if (length == 3 && pg_strncasecmp(rule->words[i], start, 3) == 0)
			return rule->low + i;
	refuse(reader, start, psprintf("\"%s\" is not known here", pnstrdup(start, length)));
	return 0;
}

static int
read_value(Reader *reader)
{
	const FieldRule *rule = &rules[reader->field];
	const char *start = reader->at;
	int value;

	if (isalpha((unsigned char) *start))
		return read_word(reader);
	if (at_end(reader) || *start == ',')
		refuse(reader, start, "a value is missing");
	if (!isdigit((unsigned char) *start))
		refuse(reader, start,
			   psprintf("\"%s\" is not expected here", pnstrdup(start, pg_mblen(start))));
	value = read_number(reader);
	if (value < rule->low || value > rule->high)
		refuse(reader, start,
			   psprintf("%d is not between %d and %d", value, rule->low, rule->high));
	return value;
}

/* "/n" after a range; 1 where there is none. */
static int
read_step(Reader *reader)
{
	const FieldRule *rule = &rules[reader->field];
	const char *start;
	int step;

	if (*reader->at != '/')
		return 1;
	start = ++reader->at;
	if (!isdigit((unsigned char) *start))
		refuse(reader, start, "the step is missing");
	step = read_number(reader);
	if (step < 1)
		refuse(reader, start, "the step must be at least 1");
	if (step > rule->high - rule->low)
		refuse(reader, start,
			   psprintf("a step of %d is more than all values of the %s", step, rule->name));
	return step;
}

/* "?" and "L", which stand alone; false for anything else. */
static bool
read_special(Reader *reader, uint64 *set)
{
	bool day = reader->field == FIELD_DAY;

	if (*reader->at == '?' && (day || reader->field == FIELD_WEEKDAY))
	{
		reader->star = true;
		*set = ~UINT64CONST(0);
	}
	else if ((*reader->at == 'L' || *reader->at == 'l') && day)
		reader->last = true;
	else
		return false;
	reader->at++;
	return true;
}

static uint64
read_element(Reader *reader)
{
	const FieldRule *rule = &rules[reader->field];
	const char *start = reader->at;
	bool open = false; /* runs to the largest value where a step follows */
	uint64 set = 0;
	int low = rule->low;
	int high = rule->high;
	int step;

	if (read_special(reader, &set))
		return set;
	if (*start == '*')
	{
		reader->at++;
		reader->star = true;
	}
	else
	{
		low = high = read_value(reader);
		open = *reader->at == '/';
		if (*reader->at == '-')
		{
			reader->at++;
			high = read_value(reader);
		}
	}

	/* A week may end with its Sunday. */
	if (reader->field == FIELD_WEEKDAY && high == 0 && low > 0)
		high = 7;
	if (low > high)
		refuse(reader, start, "the range runs backwards");
	step = read_step(reader);
	if (open)
		high = (reader->field == FIELD_WEEKDAY) ? 6 : rule->high;
	for (int value = low; value <= high; value += step)
		set |= BIT((reader->field == FIELD_WEEKDAY) ? value % 7 : value);
	return set;
}

static uint64
read_field(Reader *reader)
{
	uint64 set = 0;

	reader->star = false;
	reader->last = false;
	for (;;)
	{
		set |= read_element(reader);
		if (*reader->at != ',')
			break;
		reader->at++;
	}
	if (!at_end(reader))
		refuse(reader, reader->at,
			   psprintf("\"%s\" is not expected here", pnstrdup(reader->at, pg_mblen(reader->at))));
	while (isspace((unsigned char) *reader->at))
		reader->at++;
	return set;
}

static int
count_fields(const char *text)
{
	int n = 0;

	for (const char *c = text; *c != '\0'; c++)
		if (!isspace((unsigned char) *c) && (c == text || isspace((unsigned char) c[-1])))
			n++;
	return n;
}

/* The meaning of a @word; any other text is its own. */
static const char *
expand(const char *text)
{
	if (*text != '@')
		return text;
	for (int i = 0; i < lengthof(words); i++)
		if (pg_strcasecmp(words[i].word, text) == 0)
			return words[i].meaning;
	refuse_whole(text, "The word is not known.");
	return text;
}

/* Whether any month of the expression has one of its days. */
static bool
has_day(const HdCron *cron)
{
	static const int lengths[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (cron->either_day || cron->last_day)
		return true;
	for (int month = 1; month <= 12; month++)
		if ((cron->months & BIT(month)) != 0 &&
			(cron->days & (BIT(lengths[month] + 1) - BIT(1))) != 0)
			return true;
	return false;
}

void
hd_jobs_cron_parse(const char *text, HdCron *cron)
{
	Reader reader = {.text = text, .at = text};
	bool day_star = false;
	int n;

	if (strlen(text) > MAX_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cron expression is longer than %d bytes", MAX_LENGTH)));
	reader.text = reader.at = expand(text);
	while (isspace((unsigned char) *reader.at))
		reader.at++;
	n = count_fields(reader.at);
	if (n != MAX_FIELDS && n != MAX_FIELDS - 1)
		refuse_whole(text, psprintf("It has %d fields instead of 5 or 6.", n));

	memset(cron, 0, sizeof(HdCron));
	cron->seconds = BIT(0);
	for (reader.field = (n == MAX_FIELDS) ? FIELD_SECOND : FIELD_MINUTE; reader.field < MAX_FIELDS;
		 reader.field++)
	{
		uint64 set;

		reader.number++;
		set = read_field(&reader);
		switch (reader.field)
		{
			case FIELD_SECOND:
				cron->seconds = set;
				break;
			case FIELD_MINUTE:
				cron->minutes = set;
				break;
			case FIELD_HOUR:
				cron->hours = set;
				cron->any_hour = reader.star;
				break;
			case FIELD_DAY:
				cron->days = set;
				cron->last_day = reader.last;
				day_star = reader.star;
				break;
			case FIELD_MONTH:
				cron->months = set;
				break;
			case FIELD_WEEKDAY:
				cron->weekdays = set;
				cron->either_day = !day_star && !reader.star;
				break;
		}
	}
	if (!has_day(cron))
		refuse_whole(text, "None of its months has one of its days, so it would never come.");
}

/*
 * PostgreSQL also takes POSIX rules for a zone, in which the sign means the
 * opposite of what most people expect ("UTC+2" is west), and of which the
 * daylight saving rule is a guess.  Few names of real zones have a digit.
 */
static bool
is_posix_rule(const char *name)
{
	static const char *const real[] = {"GMT0",	  "GMT+0",	 "GMT-0",  "EST5EDT",
									   "CST6CDT", "MST7MDT", "PST8PDT"};

	if (strpbrk(name, "0123456789<,") == NULL || pg_strncasecmp(name, "Etc/", 4) == 0)
		return false;
	for (int i = 0; i < lengthof(real); i++)
		if (pg_strcasecmp(real[i], name) == 0)
			return false;
	return true;
}

pg_tz *
hd_jobs_cron_zone(const char *name)
{
	pg_tz *zone = NULL;

	if (strlen(name) <= TZ_STRLEN_MAX && !is_posix_rule(name))
		zone = pg_tzset(name);
	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown time zone: \"%s\"", name),
						errhint("Use an IANA name such as Europe/Berlin or UTC; "
								"pg_timezone_names lists them.")));
	return zone;
}
