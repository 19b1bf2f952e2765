/*
 * easy.h
 *	  Setting options of libcurl's easy handles, many in a row.
 */
#ifndef HD_EDGE_EASY_H
#define HD_EDGE_EASY_H

#include <curl/curl.h>

/* Sets one option of `easy` unless an earlier one failed; `code` keeps how it went. */
#define HD_EASY_SET(option, value) \
	do \
	{ \
		if (code == CURLE_OK) \
			code = curl_easy_setopt(easy, (option), (value)); \
	} while (0)

#endif
