/*-------------------------------------------------------------------------
 * language.h
 *		Angry language: the dictionaries as a session keeps them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_LANGUAGE_H
#define HD_SLA_LANGUAGE_H

#include "postgres.h"

/*
 * hd_sla_language_init
 *		The settings.
 */
extern void hd_sla_language_init(void);

#endif /* HD_SLA_LANGUAGE_H */
