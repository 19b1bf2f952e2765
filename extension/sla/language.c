/*-------------------------------------------------------------------------
 * language.c
 *		Angry language: escalation_language().
 *
 * Model: in sql/sla_language.sql.  A session compiles each phrase to a query
 * of PostgreSQL's text search, once, when it first asks; a message becomes a
 * tsvector, and every query of the dictionary is held against it.
 *
 * Invalidation: _escalation_phrase has a trigger that sends the table's
 * relcache message; a change counts with the next statement.  The dictionaries
 * are read with the latest snapshot, so a session that is in an old one never
 * keeps what was true then.  Parallel workers could not, so the function is not
 * for them.
 *
 * Bounds: the first 64 kB of a message, and 2,000 phrases that an installation
 * adds to a language.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/language.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sla/words.h"
#include "tsearch/ts_utils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#define MAX_MESSAGE (64 * 1024)

/* What is not said but shown; together less than the score that is angry. */
#define SHOUTED 0.4
#define EXCLAIMED_TWICE 0.2
#define EXCLAIMED 0.3
#define FACES 0.5

#define CODE_SIZE 4

/* Phrases that a dictionary has room for at first; a power of two. */
#define ROOM 128

typedef struct Phrase
{
	char *phrase;
	double weight;
	TSQuery query;
} Phrase;

typedef struct Dictionary
{
	char code[CODE_SIZE];
	Oid config;
	int n;
	Phrase *phrases;
} Dictionary;

typedef struct Dictionaries
{
	MemoryContext context;
	uint64 messages; /* as of which they are */
	int n;
	Dictionary *each; /* by code */
} Dictionaries;

/* What came of a message in a language. */
typedef struct Mood
{
	const Dictionary *dictionary; /* NULL: none has anything to say */
	double score;
	List *matches; /* const char * */
} Mood;

PG_FUNCTION_INFO_V1(hd_sla_sql_language);
PG_FUNCTION_INFO_V1(hd_sla_sql_phrase_words);

static double angry_score = 1.0;

static HdSpiRelation phrase_table = {.name = "_escalation_phrase"};
static Oid known_table = InvalidOid; /* that the dictionaries are of */
static uint64 messages = 1;			 /* about that table, or about all */
static Dictionaries *known = NULL;

static HdSpiPlan phrases_plan = {
	.sql = "SELECT p.language, p.phrase, p.weight FROM hotdash._escalation_phrases_in_force() AS p "
		   "ORDER BY p.language COLLATE \"C\", abs(p.weight) DESC, p.phrase COLLATE \"C\"",
};

static void
on_message(Datum arg, Oid relid)
{
	if (relid == known_table || relid == InvalidOid)
		messages++;
}

/* How words of a language are read: by its stemmer, or as they are. */
static Oid
config_of(const char *code)
{
	char *name = psprintf("_words_%s", code);
	Oid config = get_ts_config_oid(list_make2(makeString("hotdash"), makeString(name)), true);

	if (!OidIsValid(config))
		config = get_ts_config_oid(list_make2(makeString("hotdash"), makeString("_words")), false);
	return config;
}

static Datum
query_of_word(Oid config, const char *word, int length)
{
	bool prefix = length > 1 && word[length - 1] == '*';
	char *query = psprintf("%.*s%s", prefix ? length - 1 : length, word, prefix ? ":*" : "");

	return DirectFunctionCall2(to_tsquery_byid, ObjectIdGetDatum(config),
							   CStringGetTextDatum(query));
}

/*
 * The words of a phrase, one after another; a * between them is any word.
 * NULL where there is none.
 */
static TSQuery
query_of_words(Oid config, char *words)
{
	Datum query = (Datum) 0;
	bool any = false;
	int distance = 1;
	char *rest;

	for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
	{
		if (strcmp(word, "*") == 0)
		{
			distance++;
			continue;
		}
		if (strcmp(word, HD_SLA_WORDS_BREAK) == 0)
			continue;
		if (!any)
			query = query_of_word(config, word, (int) strlen(word));
		else
			query = DirectFunctionCall3(tsquery_phrase_distance, query,
										query_of_word(config, word, (int) strlen(word)),
										Int32GetDatum(distance));
		any = true;
		distance = 1;
	}
	return any ? DatumGetTSQuery(query) : NULL;
}

static TSQuery
query_of_phrase(Oid config, const char *phrase)
{
	HdSlaWords words;
	TSQuery plain;
	TSQuery written_out;

	hd_sla_words(&words, phrase, (int) strlen(phrase), false, true);
	plain = query_of_words(config, words.text.data);
	if (!words.has_umlauts || plain == NULL)
		return plain;
	hd_sla_words(&words, phrase, (int) strlen(phrase), true, true);
	written_out = query_of_words(config, words.text.data);
	return DatumGetTSQuery(
		DirectFunctionCall2(tsquery_or, TSQueryGetDatum(plain), TSQueryGetDatum(written_out)));
}

/* Two phrases may have the same stems; the one that weighs more came first. */
static bool
is_there(const Dictionary *dictionary, TSQuery query)
{
	for (int i = 0; i < dictionary->n; i++)
	{
		TSQuery other = dictionary->phrases[i].query;

		if (VARSIZE(other) == VARSIZE(query) && memcmp(other, query, VARSIZE(query)) == 0)
			return true;
	}
	return false;
}

static Dictionary *
dictionary_for(Dictionaries *all, const char *code)
{
	Dictionary *last = (all->n > 0) ? &all->each[all->n - 1] : NULL;

	if (last != NULL && strcmp(last->code, code) == 0)
		return last;
	all->n++;
	all->each = (last == NULL) ? MemoryContextAlloc(all->context, sizeof(Dictionary))
							   : repalloc(all->each, sizeof(Dictionary) * all->n);
	last = &all->each[all->n - 1];
	strlcpy(last->code, code, CODE_SIZE);
	last->config = config_of(code);
	last->n = 0;
	last->phrases = MemoryContextAlloc(all->context, sizeof(Phrase) * ROOM);
	return last;
}

/* A row of the plan; what it takes to compile it is left in the current context. */
static void
add_phrase(Dictionaries *all, uint64 row)
{
	Dictionary *dictionary = dictionary_for(all, TextDatumGetCString(hd_spi_result(row, 1)));
	const char *said = TextDatumGetCString(hd_spi_result(row, 2));
	TSQuery query = query_of_phrase(dictionary->config, said);
	Phrase *phrase;

	if (query == NULL || is_there(dictionary, query))
		return;
	/* it doubles */
	if (dictionary->n >= ROOM && (dictionary->n & (dictionary->n - 1)) == 0)
		dictionary->phrases = repalloc(dictionary->phrases, sizeof(Phrase) * dictionary->n * 2);
	phrase = &dictionary->phrases[dictionary->n++];
	phrase->phrase = MemoryContextStrdup(all->context, said);
	phrase->weight = DatumGetFloat8(hd_spi_result(row, 3));
	phrase->query = MemoryContextAlloc(all->context, VARSIZE(query));
	memcpy(phrase->query, query, VARSIZE(query));
}

static void
compile(Dictionaries *all)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash phrase", ALLOCSET_SMALL_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(scratch);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		add_phrase(all, i);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(scratch);
}

/* The dictionaries that are in force. */
static const Dictionaries *
dictionaries(void)
{
	Oid table = hd_spi_relation(&phrase_table);
	MemoryContext context;
	Dictionaries *all;
	HdSpi spi;

	if (table != known_table)
	{
		if (!OidIsValid(known_table))
			CacheRegisterRelcacheCallback(on_message, (Datum) 0);
		known_table = table;
		messages++;
	}
	AcceptInvalidationMessages();
	if (known != NULL && known->messages == messages)
		return known;
	if (known != NULL)
		MemoryContextDelete(known->context);
	known = NULL;

	/* Not the session's before it is whole: what fails half way goes with the statement. */
	context =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash dictionaries", ALLOCSET_DEFAULT_SIZES);
	all = MemoryContextAllocZero(context, sizeof(Dictionaries));
	all->context = context;
	all->messages = messages;
	hd_spi_begin(&spi);
	hd_spi_run_latest(&phrases_plan, NULL, NULL);
	compile(all);
	hd_spi_end(&spi);
	MemoryContextSetParent(context, CacheMemoryContext);
	known = all;
	return known;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "pt_BR" is pt. */
static const Dictionary *
dictionary_of(const Dictionaries *all, text *language)
{
	const char *name = VARDATA_ANY(language);
	int length = 0;

	while (length < VARSIZE_ANY_EXHDR(language) && is_letter(name[length]))
		length++;
	for (int i = 0; i < all->n; i++)
		if (length == (int) strlen(all->each[i].code) &&
			pg_strncasecmp(name, all->each[i].code, length) == 0)
			return &all->each[i];
	return NULL;
}

static void
weigh(Mood *mood, const Dictionary *dictionary, const HdSlaWords *words)
{
	Datum vector = DirectFunctionCall2(to_tsvector_byid, ObjectIdGetDatum(dictionary->config),
									   PointerGetDatum(cstring_to_text_with_len(words->text.data,
																				words->text.len)));

	mood->dictionary = dictionary;
	mood->score = 0;
	mood->matches = NIL;
	for (int i = 0; i < dictionary->n; i++)
	{
		const Phrase *phrase = &dictionary->phrases[i];

		if (!DatumGetBool(DirectFunctionCall2(ts_match_vq, vector, TSQueryGetDatum(phrase->query))))
			continue;
		mood->score += phrase->weight;
		if (phrase->weight > 0)
			mood->matches = lappend(mood->matches, phrase->phrase);
	}
}

/* The language that has most to say against the shop. */
static void
weigh_all(Mood *mood, const Dictionaries *all, const HdSlaWords *words)
{
	for (int i = 0; i < all->n; i++)
	{
		Mood other;

		CHECK_FOR_INTERRUPTS();
		weigh(&other, &all->each[i], words);
		if (other.matches != NIL && (mood->dictionary == NULL || other.score > mood->score))
			*mood = other;
	}
}

static void
add_loudness(Mood *mood, const HdSlaWords *words)
{
	if (words->shouted >= 3 && words->shouted * 2 >= words->whole)
	{
		mood->score += SHOUTED;
		mood->matches = lappend(mood->matches, "CAPITALS");
	}
	if (words->most_marks >= 2)
	{
		mood->score += (words->most_marks == 2) ? EXCLAIMED_TWICE : EXCLAIMED;
		mood->matches = lappend(mood->matches, "!!!");
	}
	if (words->faces > 0)
	{
		mood->score += FACES;
		mood->matches = lappend(mood->matches, "angry face");
	}
}

static Datum
texts(List *names)
{
	ArrayBuildState *array = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ListCell *cell;

	foreach (cell, names)
		array = accumArrayResult(array, CStringGetTextDatum((char *) lfirst(cell)), false, TEXTOID,
								 CurrentMemoryContext);
	return makeArrayResult(array, CurrentMemoryContext);
}

static Datum
result(FunctionCallInfo fcinfo, const Mood *mood)
{
	double score = rint(Max(mood->score, 0) * 1000) / 1000;
	Datum values[4] = {BoolGetDatum(score >= angry_score), Float8GetDatum(score),
					   texts(mood->matches)};
	bool nulls[4] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (mood->dictionary != NULL)
		values[3] = CStringGetTextDatum(mood->dictionary->code);
	else
		nulls[3] = true;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * hd_sla_sql_language
 *		SQL: escalation_language(message, language).
 */
Datum
hd_sla_sql_language(PG_FUNCTION_ARGS)
{
	const Dictionaries *all = dictionaries();
	const Dictionary *one;
	text *message;
	HdSlaWords words;
	Mood mood = {0};

	hd_require_arg(fcinfo, 0, "message");
	message = PG_GETARG_TEXT_P_SLICE(0, 0, MAX_MESSAGE);
	hd_sla_words(&words, VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message), false, false);
	one = PG_ARGISNULL(1) ? NULL : dictionary_of(all, PG_GETARG_TEXT_PP(1));
	if (one != NULL)
		weigh(&mood, one, &words);
	else
		weigh_all(&mood, all, &words);
	add_loudness(&mood, &words);
	return result(fcinfo, &mood);
}

/*
 * hd_sla_sql_phrase_words
 *		SQL: _escalation_phrase_words(phrase) -> text: how many words it has and how
 *		many of them are any word; as the dictionaries read it.
 */
Datum
hd_sla_sql_phrase_words(PG_FUNCTION_ARGS)
{
	text *phrase = PG_GETARG_TEXT_PP(0);
	HdSlaWords words;

	hd_sla_words(&words, VARDATA_ANY(phrase), VARSIZE_ANY_EXHDR(phrase), false, true);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(words.text.data, words.text.len));
}

void
hd_sla_language_init(void)
{
	DefineCustomRealVariable("hotdash.escalation_angry_score",
							 "From which score on the language of a message is angry.",
							 "Phrases that leave no doubt weigh 1.", &angry_score, 1.0, 0.1, 1000,
							 PGC_SUSET, 0, NULL, NULL, NULL);
}
