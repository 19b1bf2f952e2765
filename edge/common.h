/*
 * common.h
 *	  What every file of the edge shares: attributes, version, exit codes.
 *
 * Nothing here allocates or has state.
 */
#ifndef HD_EDGE_COMMON_H
#define HD_EDGE_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef HD_EDGE_VERSION
#define HD_EDGE_VERSION "0.1.0"
#endif

/* The number that edge_hello() compares; raised when a statement or a result changes shape. */
#define HD_EDGE_PROTOCOL 1

/* On every function that can fail: ignoring its answer is a compiler warning. */
#define HD_MUSTCHECK __attribute__((warn_unused_result))
#define HD_PRINTF(text, first) __attribute__((format(printf, text, first)))

#define HD_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Process exit codes; docs/edge.md explains each to an operator. */
typedef enum HdExit
{
	HD_EXIT_OK = 0,		   /* asked to stop, everything reported */
	HD_EXIT_FAILURE = 1,   /* could not start, or an internal error */
	HD_EXIT_CONFIG = 2,	   /* a setting or an argument is wrong */
	HD_EXIT_PROTOCOL = 3,  /* the database speaks another protocol number */
	HD_EXIT_UNREPORTED = 4 /* stopped with work left to its lease */
} HdExit;

#endif
