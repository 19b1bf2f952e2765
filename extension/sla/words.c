/*-------------------------------------------------------------------------
 * words.c
 *		A message as plain words, and how loud it is.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/words.h"

#include "common/unicode_norm.h"
#include "mb/pg_wchar.h"

/* What a code point is to us. */
typedef enum Kind
{
	LETTER,
	MARK,  /* changes the letter before it, or nothing: dropped */
	SPACE, /* between words */
	STOP,  /* between sentences */
	EXCLAMATION,
	QUESTION,
	FACE /* an angry one */
} Kind;

typedef struct Range
{
	pg_wchar first;
	pg_wchar last;
	Kind kind;
} Range;

/* Outside of ASCII, rising; what is in none is a letter. */
static const Range ranges[] = {
	{0x0080, 0x00a0, SPACE},	   {0x00a1, 0x00a1, STOP},		  {0x00a2, 0x00a9, SPACE},
	{0x00ab, 0x00b4, SPACE},	   {0x00b6, 0x00b9, SPACE},		  {0x00bb, 0x00be, SPACE},
	{0x00bf, 0x00bf, STOP},		   {0x00d7, 0x00d7, SPACE},		  {0x00f7, 0x00f7, SPACE},
	{0x0300, 0x036f, MARK},		   {0x061f, 0x061f, QUESTION},	  {0x200b, 0x200f, MARK},
	{0x2026, 0x2026, STOP},		   {0x203c, 0x203c, EXCLAMATION}, {0x2047, 0x2047, QUESTION},
	{0x2048, 0x2049, EXCLAMATION}, {0x2000, 0x2bff, SPACE},		  {0x3002, 0x3002, STOP},
	{0x3000, 0x303f, SPACE},	   {0xfe00, 0xfe0f, MARK},		  {0xfeff, 0xfeff, MARK},
	{0xff01, 0xff01, EXCLAMATION}, {0xff0e, 0xff0e, STOP},		  {0xff1f, 0xff1f, QUESTION},
	{0xff00, 0xff0f, SPACE},	   {0x1f44e, 0x1f44e, FACE},	  {0x1f595, 0x1f595, FACE},
	{0x1f620, 0x1f621, FACE},	   {0x1f624, 0x1f624, FACE},	  {0x1f92c, 0x1f92c, FACE},
	{0x1f000, 0x1faff, SPACE},	   {0xe0000, 0x10ffff, SPACE},
};

/* Letters that do not come apart into one of ASCII's and a mark. */
static const struct
{
	pg_wchar letter;
	const char *plain;
} letters[] = {
	{0x00c6, "AE"}, {0x00d0, "D"}, {0x00d8, "O"},  {0x00de, "TH"}, {0x00df, "ss"}, {0x00e6, "ae"},
	{0x00f0, "d"},	{0x00f8, "o"}, {0x00fe, "th"}, {0x0110, "D"},  {0x0111, "d"},  {0x0131, "i"},
	{0x0141, "L"},	{0x0142, "l"}, {0x0152, "OE"}, {0x0153, "oe"}, {0x1e9e, "SS"},
};

/* What has been read of a text. */
typedef struct Reader
{
	HdSlaWords *words;
	bool transcribe;
	bool stars;
	bool within;	  /* a word */
	bool broken;	  /* the last word is a break, or there is none */
	int word_bytes;	  /* of the word so far */
	int word_letters; /* likewise */
	int word_capitals;
	int marks; /* in the run so far */
	bool exclaimed;
} Reader;

static Kind
kind_of_ascii(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return LETTER;
	switch (c)
	{
		case '!':
			return EXCLAMATION;
		case '?':
			return QUESTION;
		case '.':
		case ':':
		case ';':
		case '\n':
			return STOP;
		default:
			return SPACE;
	}
}

static Kind
kind_of(pg_wchar c)
{
	for (int i = 0; i < lengthof(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return ranges[i].kind;
	return LETTER;
}

static void
end_word(Reader *r)
{
	if (!r->within)
		return;
	if (r->word_letters >= 4)
	{
		r->words->whole++;
		if (r->word_capitals == r->word_letters)
			r->words->shouted++;
	}
	r->within = false;
}

static void
begin_word(Reader *r)
{
	if (r->words->text.len > 0)
		appendStringInfoCharMacro(&r->words->text, ' ');
	r->within = true;
	r->broken = false;
	r->word_bytes = r->word_letters = r->word_capitals = 0;
}

static void
end_sentence(Reader *r)
{
	end_word(r);
	if (r->broken)
		return;
	appendStringInfoString(&r->words->text, " " HD_SLA_WORDS_BREAK);
	r->broken = true;
}

/* Some bytes that are letters, of one character. */
static void
add_letters(Reader *r, const char *bytes, int n)
{
	if (r->within && r->word_bytes + n > HD_SLA_WORDS_LONGEST)
		end_word(r);
	if (!r->within)
		begin_word(r);
	for (int i = 0; i < n; i++)
	{
		char c = bytes[i];
		bool capital = c >= 'A' && c <= 'Z';

		r->word_letters += capital || (c >= 'a' && c <= 'z');
		r->word_capitals += capital;
		appendStringInfoCharMacro(&r->words->text, capital ? c - 'A' + 'a' : c);
	}
	r->word_bytes += n;
}

/* A letter outside of ASCII, without what is above and below it. */
static void
add_letter(Reader *r, pg_wchar c, const char *bytes, int n)
{
	pg_wchar one[2] = {c, 0};
	pg_wchar *apart;
	char plain[2] = {0};

	for (int i = 0; i < lengthof(letters); i++)
		if (letters[i].letter == c)
		{
			add_letters(r, letters[i].plain, (int) strlen(letters[i].plain));
			return;
		}
	apart = unicode_normalize(UNICODE_NFKD, one);
	if (apart[0] == 0 || apart[0] >= 0x80 || kind_of_ascii((unsigned char) apart[0]) != LETTER)
	{
		add_letters(r, bytes, n);
		pfree(apart);
		return;
	}
	plain[0] = (char) apart[0];
	if (apart[1] == 0x0308 && strchr("aouAOU", plain[0]) != NULL)
	{
		r->words->has_umlauts = true;
		plain[1] = r->transcribe ? 'e' : '\0';
	}
	add_letters(r, plain, plain[1] != '\0' ? 2 : 1);
	pfree(apart);
}

/* A * of a phrase: a word of its own, or the end of the one before it. */
static void
add_star(Reader *r)
{
	if (!r->within)
		begin_word(r);
	appendStringInfoCharMacro(&r->words->text, '*');
	end_word(r);
}

static void
end_marks(Reader *r)
{
	if (r->exclaimed)
		r->words->most_marks = Max(r->words->most_marks, r->marks);
	r->marks = 0;
	r->exclaimed = false;
}

static void
add(Reader *r, Kind kind, pg_wchar c, const char *bytes, int n)
{
	if (kind == EXCLAMATION || kind == QUESTION)
	{
		r->marks++;
		r->exclaimed |= kind == EXCLAMATION;
		end_sentence(r);
		return;
	}
	end_marks(r);
	switch (kind)
	{
		case LETTER:
			if (n == 1)
				add_letters(r, bytes, 1);
			else
				add_letter(r, c, bytes, n);
			break;
		case FACE:
			r->words->faces++;
			end_word(r);
			break;
		case STOP:
			end_sentence(r);
			break;
		case SPACE:
			end_word(r);
			break;
		default:
			break;
	}
}

void
hd_sla_words(HdSlaWords *words, const char *text, int length, bool transcribe, bool stars)
{
	Reader r = {.words = words, .transcribe = transcribe, .stars = stars, .broken = true};

	memset(words, 0, sizeof(*words));
	initStringInfo(&words->text);
	for (int at = 0; at < length;)
	{
		unsigned char first = (unsigned char) text[at];
		int n = 1;

		if (first == '*' && stars)
			add_star(&r);
		else if (first < 0x80)
			add(&r, kind_of_ascii(first), first, text + at, 1);
		else
		{
			pg_wchar c;

			n = pg_utf_mblen((const unsigned char *) text + at);
			if (at + n > length)
				break;
			c = utf8_to_unicode((const unsigned char *) text + at);
			add(&r, kind_of(c), c, text + at, n);
		}
		at += n;
	}
	end_word(&r);
	end_marks(&r);
}
