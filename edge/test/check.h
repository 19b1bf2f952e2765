/*
 * check.h
 *	  The least that a test program needs: CHECK() prints a TAP line, check_end() the plan.
 */
#ifndef HD_EDGE_CHECK_H
#define HD_EDGE_CHECK_H

#include <stdbool.h>
#include <stdio.h>

static int check_count = 0;
static int check_failed = 0;

/* One test; `what` is a printf format for what is expected. */
#define CHECK(condition, ...) \
	do \
	{ \
		bool holds_ = (condition); \
		check_failed += holds_ ? 0 : 1; \
		printf("%sok %d - ", holds_ ? "" : "not ", ++check_count); \
		printf(__VA_ARGS__); \
		printf("%s\n", holds_ ? "" : "  # " __FILE__ ": " #condition); \
	} while (0)

static int
check_end(void)
{
	printf("1..%d\n", check_count);
	return check_failed == 0 && fflush(stdout) == 0 ? 0 : 1;
}

#endif
