/*
 * request.c
 *	  A claimed row in PostgreSQL's binary formats: read, or named with a problem, whatever the
 *	  lengths in it say.
 */
#include "fuzz.h"

#include "request.h"

/*
 * Columns after one another, each with its length in one byte. The first two, id and token, are
 * right in the seeds; the text[] has one dimension of "A: b", cut where a NUL would stand.
 */
const char *const fuzz_seeds[] = {"\x08"
								  "12345678"
								  "\x08"
								  "abcdefgh"
								  "\x13"
								  "http://example.com/"
								  "\x04"
								  "POST"
								  "\x04"
								  "body",
								  "\x08"
								  "12345678"
								  "\x08"
								  "abcdefgh"
								  "\x01"
								  "u"
								  "\x01"
								  "G",
								  NULL};
const char *const fuzz_words[] =
	{"\x08", "\x04", "\x14",  "A: b", "GET", "http://", "\xff\xff\xff\xff",
	 "\x19", "\x01", "Name:", NULL};

static HdField
next_field(const uint8_t **data, size_t *size)
{
	HdField field = {NULL, 0};
	size_t length;

	if (*size == 0)
		return field;
	length = **data;
	(*data)++;
	(*size)--;
	if (length == 255)
		return field;
	if (length > *size)
		length = *size;
	field = (HdField){(const char *) *data, length};
	*data += length;
	*size -= length;
	return field;
}

/* Half of the inputs get a well-formed array of headers around a piece of theirs. */
static HdField
wrapped(HdField piece, char array[256 + 24])
{
	static const unsigned char head[20] = {[3] = 1, [11] = 25, [15] = 1, [19] = 1};

	if (piece.data == NULL || piece.length % 2 == 0)
		return piece;
	memcpy(array, head, sizeof(head));
	memset(array + 20, 0, 3);
	array[23] = (char) piece.length;
	memcpy(array + 24, piece.data, piece.length);
	return (HdField){array, piece.length + 24};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HdField fields[HD_COLUMN_COUNT];
	char array[256 + 24];
	HdRequest *request;

	for (size_t i = 0; i < HD_COLUMN_COUNT; i++)
		fields[i] = next_field(&data, &size);
	fields[HD_COLUMN_HEADERS] = wrapped(fields[HD_COLUMN_HEADERS], array);
	request = hd_request_decode(fields);
	if (request != NULL && request->problem == NULL)
	{
		FUZZ_CHECK(strlen(request->url) == fields[HD_COLUMN_URL].length);
		FUZZ_CHECK(request->timeout_us > 0 && request->lease_us > 0);
		for (const struct curl_slist *node = request->headers; node != NULL; node = node->next)
			FUZZ_CHECK(strpbrk(node->data, "\r\n") == NULL && strpbrk(node->data, ":;") != NULL);
	}
	hd_request_free(request);
	return 0;
}
