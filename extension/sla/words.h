/*-------------------------------------------------------------------------
 * words.h
 *		A message as plain words, and how loud it is.
 *
 * Model: text search takes words apart as its parser sees them, and what a
 * customer types in anger ("rude/useless.Refund!!!") looks like a path or a
 * host to it.  So a message is made of words first: lower case, without
 * accents, one space between them, and the word HD_SLA_WORDS_BREAK where a
 * sentence ends, so that no phrase reaches into the next.  Phrases of the
 * dictionaries go the same way.
 *
 * Nothing here depends on a locale: two servers read a message alike.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_WORDS_H
#define HD_SLA_WORDS_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* Letters that no language begins a word with. */
#define HD_SLA_WORDS_BREAK "zqzq"

/* Longer ones are cut: text search has no lexemes above 2 kB, and says so to the client. */
#define HD_SLA_WORDS_LONGEST 100

typedef struct HdSlaWords
{
	StringInfoData text;
	int shouted;	  /* words of four and more letters, all of them capitals */
	int whole;		  /* words of four and more letters */
	int most_marks;	  /* in one run of exclamation and question marks, one of them the former */
	int faces;		  /* that are angry */
	bool has_umlauts; /* there was an ä, ö or ü */
} HdSlaWords;

/*
 * hd_sla_words
 *		The words of a text in UTF-8.
 *
 * transcribe: write ä, ö and ü as ae, oe and ue, as Germans do without the
 * keys, and not as a, o and u.  stars: keep *, as words or at the end of one.
 */
extern void hd_sla_words(HdSlaWords *words, const char *text, int length, bool transcribe,
						 bool stars);

#endif /* HD_SLA_WORDS_H */
