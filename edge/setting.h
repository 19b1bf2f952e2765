/*
 * setting.h
 *	  The table of the edge's settings, and how the value of one is read.
 *
 * Internal to config.c and the tests. A failure leaves one sentence in error.
 */
#ifndef HD_EDGE_SETTING_H
#define HD_EDGE_SETTING_H

#include "config.h"

/* Reads a value into the field of config that has its name. */
bool hd_setting_set(HdConfig *config, const char *name, const char *value,
					char error[HD_CONFIG_ERROR]) HD_MUSTCHECK;

/* Gives every setting its default. */
bool hd_setting_set_standards(HdConfig *config, char error[HD_CONFIG_ERROR]) HD_MUSTCHECK;

/* Is there such a setting? The error names the closest. */
bool hd_setting_known(const char *name, char error[HD_CONFIG_ERROR]) HD_MUSTCHECK;

/* Wipes and frees what the fields own that are texts. */
void hd_setting_free_texts(HdConfig *config);

/* Tells each setting on standard output, for --help. */
void hd_setting_print(void);

#endif
