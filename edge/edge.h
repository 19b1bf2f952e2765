/*
 * edge.h
 *	  The edge as a whole: claims, transfers and reports, from start to orderly stop.
 */
#ifndef HD_EDGE_EDGE_H
#define HD_EDGE_EDGE_H

#include "config.h"

/* Runs until a signal stops it; config is changed by SIGHUP, from the same arguments. */
HdExit hd_edge_run(HdConfig *config, int argc, char **argv);

#endif
