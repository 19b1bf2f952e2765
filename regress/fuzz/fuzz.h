/*
 * fuzz.h
 *	  What a fuzz target is: seeds, words that its parser knows, and a function that takes bytes.
 *
 * The function has libFuzzer's name, so that a target can also be linked with that. It must
 * not remember anything from one call to the next, and stops the program when a law is broken.
 */
#ifndef HD_FUZZ_H
#define HD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both end with NULL. A seed with NUL bytes in it is cut there; the driver puts some in. */
extern const char *const fuzz_seeds[];
extern const char *const fuzz_words[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition) \
	do \
	{ \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* The input as a string of its own, so that the sanitizer sees its end; free() it. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
