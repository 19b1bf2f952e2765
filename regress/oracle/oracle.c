/*
 * oracle.c
 *	  Writes calendars, and questions about them with the answers of a count second by second.
 *
 *	  oracle -z FOLDER [-s SEED] [-n CASES] [-w CASES] [-y FIRST-LAST] -o FOLDER <ZONES
 *
 * Standard input names zones, a line each, that lie below the folder of -z. Of each there is a window at least, of -w
 * cases; then others at random until there are -n. The folder of -o takes calendars.copy (name, definition, zone) and cases.copy
 * (see cases.c). Files that count leap seconds are passed over, and said so.
 */
#include "oracle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZONES_MOST 4096
#define LONG_WINDOW 400 /* days */

typedef struct Run
{
	const char *zones;
	const char *folder;
	uint64_t seed;
	int64_t cases;
	int per_window;
	int first_year;
	int last_year;
	FILE *calendars_out;
	FILE *cases_out;
	int64_t windows;
	int64_t at_changes;
	int64_t written;
} Run;

static const char *names[ZONES_MOST];
static Zone *zones[ZONES_MOST];
static int zone_count;

/* One in five hundred is longer than a year. */
static int64_t
random_days(void)
{
	if (random_chance(80))
		return random_between(2, 9);
	if (random_chance(99))
		return random_between(10, 60);
	return LONG_WINDOW;
}

/* Most lie at a change of the clock, if there is one. */
static void
one_window(Run *run, int which)
{
	int64_t from = date_number(run->first_year, 1, 1);
	int64_t to = date_number(run->last_year + 1, 1, 1);
	int64_t days = random_days();
	int64_t first = random_between(from, to - days);
	int64_t left = run->cases - run->written;
	int64_t change;
	char name[64];
	Calendar calendar;
	Window window;

	if (random_chance(80) && zone_random_change(zones[which], from * DAY, to * DAY, &change))
	{
		first = floor_div(change, DAY) - random_below(days);
		first = first < from ? from : first;
		first = first > to - days ? to - days : first;
	}
	run->at_changes += zone_random_change(zones[which], first * DAY, (first + days) * DAY, &change);
	calendar_random(&calendar, names[which], first - 2, first + days + 1);
	window_build(&window, zones[which], &calendar, first, days);
	snprintf(name, sizeof(name), "oracle-%" PRIu64 "-%" PRId64, run->seed, ++run->windows);
	fprintf(run->calendars_out, "%s\t", name);
	calendar_print(&calendar, run->calendars_out);
	fprintf(run->calendars_out, "\t%s\n", names[which]);
	cases_write(run->cases_out, name, zones[which], &window,
				left < run->per_window ? (int) left : run->per_window, &run->written);
}

static void
read_zones(const char *folder)
{
	char line[512];

	while (fgets(line, sizeof(line), stdin) != NULL && zone_count < ZONES_MOST)
	{
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0')
			continue;
		zones[zone_count] = zone_read(folder, line);
		if (zones[zone_count] == NULL)
		{
			printf("no zone: %s\n", line);
			continue;
		}
		names[zone_count] = strdup(line);
		if (names[zone_count++] == NULL)
			abort();
	}
}

static FILE *
create(const char *folder, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	return file;
}

static int
usage(void)
{
	fprintf(stderr,
			"oracle -z FOLDER [-s SEED] [-n CASES] [-w CASES] [-y FIRST-LAST] -o FOLDER <ZONES\n");
	return 2;
}

static bool
read_options(Run *run, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "z:s:n:w:y:o:h")) != -1)
	{
		if (option == 'z')
			run->zones = optarg;
		else if (option == 'o')
			run->folder = optarg;
		else if (option == 's')
			run->seed = strtoull(optarg, NULL, 10);
		else if (option == 'n')
			run->cases = strtoll(optarg, NULL, 10);
		else if (option == 'w')
			run->per_window = atoi(optarg);
		else if (option != 'y' || sscanf(optarg, "%d-%d", &run->first_year, &run->last_year) != 2)
			return false;
	}
	return run->zones != NULL && run->folder != NULL && run->cases > 0 && run->per_window > 0 &&
		   run->first_year <= run->last_year - 3;
}

int
main(int argc, char **argv)
{
	Run run = {.seed = 1, .cases = 100000, .per_window = 80, .first_year = 1990, .last_year = 2037};

	if (!read_options(&run, argc, argv))
		return usage();
	read_zones(run.zones);
	if (zone_count == 0)
	{
		fprintf(stderr, "no zone can be read below %s\n", run.zones);
		return 1;
	}
	random_seed(run.seed);
	run.calendars_out = create(run.folder, "calendars.copy");
	run.cases_out = create(run.folder, "cases.copy");
	for (int i = 0; run.written < run.cases; i++)
		one_window(&run, i < zone_count ? i : (int) random_below(zone_count));
	if (fclose(run.calendars_out) != 0 || fclose(run.cases_out) != 0)
	{
		perror(run.folder);
		return 1;
	}
	printf("seed %" PRIu64 ": %" PRId64 " cases, %" PRId64 " windows, %" PRId64
		   " with a change of the clock, %d zones\n",
		   run.seed, run.written, run.windows, run.at_changes, zone_count);
	return 0;
}
