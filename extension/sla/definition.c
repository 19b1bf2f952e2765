/*-------------------------------------------------------------------------
 * definition.c
 *		Definitions of calendars: from JSON to rules.
 *
 * Model: see definition.h.  Readers of parts get the place they read, which is
 * a list on the stack from the innermost to the whole; it is put into words
 * only when something is wrong there.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/definition.h"

#include "core/compat.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "sla/dates.h"

#define HINT_DATE "Write dates as \"2026-12-25\", from 1800 to 2399"
#define HINT_TIME \
	"Write times as \"09:00\", to the microsecond if need be; the end of a day is \"24:00\""
#define HINT_INTERVALS "Write intervals as [[\"09:00\", \"12:00\"], [\"13:00\", \"17:00\"]]"

#define MAX_NAME 255

/* A member of an object, or (key NULL) an element of an array. */
typedef struct Place
{
	const struct Place *up;
	const char *key;
	int length;
	int index;
} Place;

typedef struct Reader
{
	HdSlaRules *rules;
	bool names;
	int ndates;
	int *holiday_index; /* place of each in the list as it is given */
} Reader;

typedef void (*ReadMember)(Reader *reader, const Place *place, const JsonbValue *value);

typedef struct Member
{
	const char *name;
	ReadMember read;
} Member;

static const char *const weekdays[HD_SLA_WEEKDAYS] = {"mon", "tue", "wed", "thu",
													  "fri", "sat", "sun"};

/*
 * What is wrong, and where
 */

static void
append_place(StringInfo path, const Place *place)
{
	if (place->up != NULL)
		append_place(path, place->up);
	if (place->key == NULL)
		appendStringInfo(path, "[%d]", place->index);
	else
		appendStringInfo(path, "%s%.*s", (path->len > 0) ? "." : "",
						 pg_mbcliplen(place->key, place->length, NAMEDATALEN - 1), place->key);
}

/* detail: a sentence; hint: one without its full stop, or NULL. */
static HD_NORETURN void
fail(const Place *place, const char *detail, const char *hint)
{
	StringInfoData path;

	initStringInfo(&path);
	if (place != NULL)
		append_place(&path, place);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 (place != NULL) ? errmsg("invalid definition of a calendar at \"%s\"", path.data)
							 : errmsg("invalid definition of a calendar"),
			 errdetail_internal("%s", detail), (hint != NULL) ? errhint("%s.", hint) : 0));
}

static void
fail_too_much(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("definition of a calendar is too large"), errdetail_internal("%s", detail)));
}

/*
 * Walking JSON
 */

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		   !JsonContainerIsScalar(value->val.binary.data);
}

static bool
equals(const JsonbValue *value, const char *text)
{
	return value->type == jbvString && value->val.string.len == (int) strlen(text) &&
		   memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

/* The elements of an array, or the members of an object, one after another; each is read by one function. */
static void
each(Reader *reader, const Place *up, const JsonbValue *container, ReadMember read)
{
	JsonbIterator *iterator = JsonbIteratorInit(container->val.binary.data);
	Place place = {.up = up};
	JsonbIteratorToken token;
	JsonbValue value;

	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			place.key = value.val.string.val;
			place.length = value.val.string.len;
			continue;
		}
		if (token != WJB_VALUE && token != WJB_ELEM)
			continue;
		read(reader, &place, &value);
		place.index++;
	}
}

static const Member *
find_member(const Member *members, const Place *place)
{
	Assert(place->key != NULL);
	for (; members->name != NULL; members++)
	{
		if (strlen(members->name) == place->length &&
			memcmp(members->name, place->key, place->length) == 0)
			return members;
	}
	return NULL;
}

/*
 * Times and dates
 */

static int32
read_date(const Place *place, const char *text, int length)
{
	int32 date;

	if (!hd_sla_dates_date(text, length, &date))
		fail(place, "There is no such date.", HINT_DATE);
	return date;
}

static int64
read_time(const Place *place, const JsonbValue *value)
{
	int64 time = (value->type == jbvString)
					 ? hd_sla_dates_time(value->val.string.val, value->val.string.len)
					 : -1;

	if (time < 0)
		fail(place, "This is no time of a day.", HINT_TIME);
	if (time > USECS_PER_DAY)
		fail(place, "A day ends at 24:00.",
			 "An interval that ends at or before its start runs into the next day");
	return time;
}

/*
 * Intervals
 */

/* One interval of a list, while it is read. */
typedef struct Given
{
	HdSlaSpan span;
	int index;
} Given;

static Given
read_interval(const Place *list, int index, const JsonbValue *value)
{
	Place place = {.up = list, .index = index};
	Place start = {.up = &place, .index = 0};
	Place end = {.up = &place, .index = 1};
	Given given = {.index = index};

	if (!is_array(value) || JsonContainerSize(value->val.binary.data) != 2)
		fail(&place, "An interval has a start and an end.", HINT_INTERVALS);
	given.span.from = read_time(&start, getIthJsonbValueFromContainer(value->val.binary.data, 0));
	given.span.to = read_time(&end, getIthJsonbValueFromContainer(value->val.binary.data, 1));
	if (given.span.from == USECS_PER_DAY)
		fail(&start, "No interval starts at the end of a day.",
			 "Write it as 00:00 of the next day");
	if (given.span.to <= given.span.from)
		given.span.to += USECS_PER_DAY;
	return given;
}

static void
insert_interval(Given *sorted, int n, Given given)
{
	while (n > 0 && sorted[n - 1].span.from > given.span.from)
	{
		sorted[n] = sorted[n - 1];
		n--;
	}
	sorted[n] = given;
}

static HdSlaSpans
read_intervals(const Place *place, const JsonbValue *value)
{
	Given sorted[HD_SLA_MAX_INTERVALS];
	HdSlaSpans list = {0};
	int n;

	if (!is_array(value))
		fail(place, "This is no list of intervals.", HINT_INTERVALS);
	n = JsonContainerSize(value->val.binary.data);
	if (n > HD_SLA_MAX_INTERVALS)
		fail(place, "A date has at most 48 intervals.", NULL);
	for (int i = 0; i < n; i++)
		insert_interval(sorted, i,
						read_interval(place, i,
									  getIthJsonbValueFromContainer(value->val.binary.data, i)));
	list.n = n;
	list.spans = palloc(Max(n, 1) * sizeof(HdSlaSpan));
	for (int i = 0; i < n; i++)
	{
		Place later = {.up = place, .index = sorted[i].index};

		if (i > 0 && sorted[i - 1].span.to > sorted[i].span.from)
			fail(&later,
				 psprintf("It overlaps with interval [%d] of the list.", sorted[i - 1].index),
				 "State each time once; an interval may begin where another ends");
		list.spans[i] = sorted[i].span;
	}
	return list;
}

/* The hours of one weekday. */
static void
read_weekday(Reader *reader, const Place *place, const JsonbValue *value)
{
	for (int i = 0; i < HD_SLA_WEEKDAYS; i++)
	{
		if (place->length == 3 && memcmp(place->key, weekdays[i], 3) == 0)
		{
			reader->rules->week[i] = read_intervals(place, value);
			return;
		}
	}
	fail(place, "There is no such day.", "Days are mon, tue, wed, thu, fri, sat and sun");
}

/* The night of a weekday must be over when the hours of the next one begin. */
static void
check_nights(const HdSlaRules *rules, const Place *hours)
{
	for (int i = 0; i < HD_SLA_WEEKDAYS; i++)
	{
		const HdSlaSpans *today = &rules->week[i];
		const HdSlaSpans *next = &rules->week[(i + 1) % HD_SLA_WEEKDAYS];
		Place place = {.up = hours, .key = weekdays[i], .length = 3};

		if (today->n > 0 && next->n > 0 &&
			today->spans[today->n - 1].to - USECS_PER_DAY > next->spans[0].from)
			fail(&place,
				 psprintf("Its last interval runs into the hours of %s.",
						  weekdays[(i + 1) % HD_SLA_WEEKDAYS]),
				 "State each time once; an interval may begin where another ends");
	}
}

static void
read_hours(Reader *reader, const Place *place, const JsonbValue *value)
{
	if (!is_object(value))
		fail(place, "Hours are an object with a list of intervals for each weekday.",
			 "Write them as {\"mon\": [[\"09:00\", \"17:00\"]]}");
	each(reader, place, value, read_weekday);
	check_nights(reader->rules, place);
}

/*
 * What dates have of their own
 */

static void
count_date(Reader *reader)
{
	if (++reader->ndates > HD_SLA_MAX_DATES)
		fail_too_much("It has more than 50000 holidays, shifts and breaks.");
}

static void
read_dated_list(Reader *reader, HdSlaDated *dated, const Place *place, const JsonbValue *value)
{
	count_date(reader);
	/* keys of one length come in the order of their bytes, that of time */
	dated->days[dated->n] = read_date(place, place->key, place->length);
	dated->spans[dated->n++] = read_intervals(place, value);
}

static void
read_shift(Reader *reader, const Place *place, const JsonbValue *value)
{
	read_dated_list(reader, &reader->rules->shifts, place, value);
}

static void
read_break(Reader *reader, const Place *place, const JsonbValue *value)
{
	read_dated_list(reader, &reader->rules->breaks, place, value);
}

static void
read_dated(Reader *reader, HdSlaDated *dated, const Place *place, const JsonbValue *value,
		   ReadMember read)
{
	int n;

	if (!is_object(value))
		fail(place, "It is an object with a list of intervals for each date.",
			 "Write it as {\"2026-12-24\": [[\"09:00\", \"12:00\"]]}");
	n = JsonContainerSize(value->val.binary.data);
	dated->days = palloc(Max(n, 1) * sizeof(int32));
	dated->spans = palloc(Max(n, 1) * sizeof(HdSlaSpans));
	each(reader, place, value, read);
}

static void
read_shifts(Reader *reader, const Place *place, const JsonbValue *value)
{
	read_dated(reader, &reader->rules->shifts, place, value, read_shift);
}

static void
read_breaks(Reader *reader, const Place *place, const JsonbValue *value)
{
	read_dated(reader, &reader->rules->breaks, place, value, read_break);
}

/*
 * Holidays
 */

/* A holiday, while it is read. */
typedef struct Holiday
{
	JsonbValue date;
	bool yearly;
	const char *name;
} Holiday;

static void
add_yearly(Reader *reader, const Place *place, const Holiday *holiday)
{
	HdSlaHolidays *holidays = &reader->rules->holidays;
	int month;
	int day;

	if (!hd_sla_dates_yearly(holiday->date.val.string.val, holiday->date.val.string.len, &month,
							 &day))
		fail(place, "There is no such day of a year.",
			 "Write what comes every year as \"12-25\", with \"yearly\": true");
	if ((holidays->yearly[month - 1] & ((uint32) 1 << day)) != 0)
		fail(place, "The list has this day already.", "State each holiday once");
	holidays->yearly[month - 1] |= (uint32) 1 << day;
	holidays->any_yearly = true;
	if (reader->names)
		holidays->yearly_names[HD_SLA_YEARLY(month, day)] = holiday->name;
}

static void
add_holiday(Reader *reader, const Place *place, const Holiday *holiday)
{
	HdSlaHolidays *holidays = &reader->rules->holidays;

	if (holiday->yearly)
	{
		add_yearly(reader, place, holiday);
		return;
	}
	holidays->days[holidays->n] =
		read_date(place, holiday->date.val.string.val, holiday->date.val.string.len);
	if (reader->names)
		holidays->names[holidays->n] = holiday->name;
	reader->holiday_index[holidays->n++] = place->index;
}

static const char *
read_name(const Place *place, const JsonbValue *value)
{
	if (value->type != jbvString || value->val.string.len == 0 || value->val.string.len > MAX_NAME)
		fail(place, "A name is a string of 1 to 255 bytes.", NULL);
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
read_holiday_object(const Place *place, const JsonbValue *value, Holiday *holiday)
{
	JsonbIterator *iterator = JsonbIteratorInit(value->val.binary.data);
	Place member = {.up = place};
	JsonbValue item;

	(void) JsonbIteratorNext(&iterator, &item, false);
	while (JsonbIteratorNext(&iterator, &item, true) == WJB_KEY)
	{
		JsonbValue key = item;

		member.key = key.val.string.val;
		member.length = key.val.string.len;
		(void) JsonbIteratorNext(&iterator, &item, true);
		if (equals(&key, "date"))
			holiday->date = item;
		else if (equals(&key, "name"))
			holiday->name = read_name(&member, &item);
		else if (equals(&key, "yearly") && item.type == jbvBool)
			holiday->yearly = item.val.boolean;
		else if (equals(&key, "yearly"))
			fail(&member, "It is true or false.", NULL);
		else
			fail(&member, "A holiday has no such key.", "Its keys are date, name and yearly");
	}
}

static void
read_holiday(Reader *reader, const Place *place, const JsonbValue *value)
{
	Holiday holiday = {0};

	count_date(reader);
	holiday.date.type = jbvNull;
	if (is_object(value))
		read_holiday_object(place, value, &holiday);
	else
		holiday.date = *value;
	if (holiday.date.type != jbvString)
		fail(place, "A holiday is a date, or an object that has one.",
			 "Write \"2026-12-25\", {\"date\": \"2026-12-25\", \"name\": \"Christmas\"} or "
			 "{\"date\": \"12-25\", \"yearly\": true}");
	add_holiday(reader, place, &holiday);
}

/* Sorting holidays with what belongs to them: by an order of their places. */
static int
compare_places(const void *a, const void *b, void *arg)
{
	const int32 *days = arg;
	int place_a = *(const int *) a;
	int place_b = *(const int *) b;

	if (days[place_a] != days[place_b])
		return (days[place_a] < days[place_b]) ? -1 : 1;
	return (place_a < place_b) ? -1 : (place_a > place_b);
}

static void
sort_holidays(const Reader *reader, const Place *list)
{
	HdSlaHolidays *holidays = &reader->rules->holidays;
	int n = holidays->n;
	int *order = palloc(Max(n, 1) * sizeof(int));
	int32 *days = palloc(Max(n, 1) * sizeof(int32));
	const char **names = reader->names ? palloc(Max(n, 1) * sizeof(char *)) : NULL;

	for (int i = 0; i < n; i++)
		order[i] = i;
	qsort_arg(order, n, sizeof(int), compare_places, holidays->days);
	for (int i = 0; i < n; i++)
	{
		Place place = {.up = list, .index = reader->holiday_index[order[i]]};

		days[i] = holidays->days[order[i]];
		if (names != NULL)
			names[i] = holidays->names[order[i]];
		if (i > 0 && days[i] == days[i - 1])
			fail(&place, "The list has this date already.", "State each holiday once");
	}
	pfree(order);
	pfree(holidays->days);
	holidays->days = days;
	holidays->names = names;
}

static void
read_holidays(Reader *reader, const Place *place, const JsonbValue *value)
{
	HdSlaHolidays *holidays = &reader->rules->holidays;
	int n;

	if (!is_array(value))
		fail(place, "Holidays are a list.", "Write them as [\"2026-12-25\"]");
	n = Max(JsonContainerSize(value->val.binary.data), 1);
	holidays->days = palloc(n * sizeof(int32));
	reader->holiday_index = palloc(n * sizeof(int));
	if (reader->names)
	{
		holidays->names = palloc0(n * sizeof(char *));
		holidays->yearly_names = palloc0(HD_SLA_YEARLY(MONTHS_PER_YEAR + 1, 0) * sizeof(char *));
	}
	each(reader, place, value, read_holiday);
	sort_holidays(reader, place);
	pfree(reader->holiday_index);
}

/*
 * The whole
 */

static void
read_time_zone(Reader *reader, const Place *place, const JsonbValue *value)
{
	char *name;

	if (value->type != jbvString)
		fail(place, "It is the name of a time zone.",
			 "View pg_timezone_names lists those there are");
	name = pnstrdup(value->val.string.val, value->val.string.len);
	reader->rules->zone = hd_zone_named(name);
	if (reader->rules->zone == NULL)
		fail(place,
			 psprintf("There is no time zone \"%.*s\".",
					  pg_mbcliplen(name, (int) strlen(name), NAMEDATALEN - 1), name),
			 "View pg_timezone_names lists those there are");
}

static void
read_from(Reader *reader, const Place *place, const JsonbValue *value)
{
	if (value->type != jbvString)
		fail(place, "It is a date.", HINT_DATE);
	reader->rules->from = read_date(place, value->val.string.val, value->val.string.len);
	reader->rules->has_from = true;
}

static void
read_when_empty(Reader *reader, const Place *place, const JsonbValue *value)
{
	if (!equals(value, "wall_clock"))
		fail(place, "What a calendar without open time may be is \"wall_clock\".",
			 "Without this key such a calendar is refused");
	reader->rules->wall_when_empty = true;
}

static const Member members[] = {
	{"time_zone", read_time_zone},	 {"hours", read_hours},
	{"holidays", read_holidays},	 {"shifts", read_shifts},
	{"breaks", read_breaks},		 {"from", read_from},
	{"when_empty", read_when_empty}, {NULL, NULL},
};

static void
read_member(Reader *reader, const Place *place, const JsonbValue *value)
{
	const Member *member = find_member(members, place);

	if (member == NULL)
		fail(place, "A calendar has no such key.",
			 "Its keys are time_zone, hours, holidays, shifts, breaks, from and when_empty");
	member->read(reader, place, value);
}

HdSlaRules *
hd_sla_definition_read(Jsonb *definition, bool names)
{
	Reader reader = {.names = names};
	JsonbValue whole = {.type = jbvBinary};

	if (VARSIZE(definition) > HD_SLA_MAX_DEFINITION)
		fail_too_much("It has more than 4 MB.");
	if (!JB_ROOT_IS_OBJECT(definition))
		fail(NULL, "It is an object.", "See calendar_set() in docs/sla.md");
	whole.val.binary.data = &definition->root;
	whole.val.binary.len = VARSIZE(definition) - VARHDRSZ;
	reader.rules = palloc0(sizeof(HdSlaRules));
	each(&reader, NULL, &whole, read_member);
	if (reader.rules->zone == NULL)
		fail(NULL, "It has no time_zone.",
			 "Add \"time_zone\", as in \"America/New_York\" or \"UTC\"");
	return reader.rules;
}
