/*
 * signature.c
 *	  Headers of inbound webhooks: no scheme accepts what was not signed, and each accepts what was,
 *	  whatever stands around it.
 *
 * The file under test is included, since its schemes are its own; the search in a jsonb object of
 * headers is replaced by one in a list of pairs.
 */
#include "webhooks/verify.c"

#include "fuzz.h"

/* scheme, then name and value of each header, then the body; all divided by \x1f */
const char *const fuzz_seeds[] = {
	"0\x1fwebhook-id\x1fmsg_1\x1fwebhook-timestamp\x1f"
	"1700000000\x1fwebhook-signature\x1fv1,abc= v1a,x",
	"1\x1fstripe-signature\x1ft=1700000000,v1=00ff,v0=1",
	"2\x1fx-hub-signature-256\x1fsha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
	"3\x1fx-slack-request-timestamp\x1f"
	"1700000000\x1fx-slack-signature\x1fv0=a2114d57",
	"4\x1fX-Shopify-Hmac-Sha256\x1fJfJl0ynWv2kFhRZVS/iheM4VPI4TUWvdj3xK6fuN5n4=",
	"5\x1fx-chatwoot-timestamp\x1f"
	"1700000000\x1fx-chatwoot-signature\x1fsha256=e88755ac",
	NULL};
const char *const fuzz_words[] = {"\x1f",		"t=",
								  "v1=",		"v1,",
								  " ",			",",
								  "1700000000", "1700000301",
								  "sha256=",	"v0=",
								  "webhook-id", "webhook-signature",
								  ".",			"9999999999999",
								  NULL};

#define NOW INT64CONST(1700000000)
#define PAIRS_MOST 16

static HdBytes names[PAIRS_MOST];
static HdBytes texts[PAIRS_MOST];
static int pair_count;

/* As headers.c does it: each there exactly once, names in any case. */
bool
hd_webhooks_find_headers(const Jsonb *headers, HdHeader *wanted, int n)
{
	for (int i = 0; i < n; i++)
	{
		int found = 0;

		for (int pair = 0; pair < pair_count; pair++)
		{
			if (names[pair].length != strlen(wanted[i].name) ||
				pg_strncasecmp(names[pair].data, wanted[i].name, names[pair].length) != 0)
				continue;
			wanted[i].value = texts[pair];
			found++;
		}
		if (found != 1)
			return false;
	}
	return true;
}

/* What the caller signs is taken: the laws below need one signature that is right. */
static void
check_signed(HdIncoming *in)
{
	static char text[HEX_LENGTH + 7] = "sha256=";

	hex_hmac(in->secret, &in->body, 1, text + 7);
	names[0] = (HdBytes){"X-HUB-Signature-256", 19};
	texts[0] = (HdBytes){text, sizeof(text)};
	pair_count = 1;
	FUZZ_CHECK(verify_github(in) == NULL);
	text[8] ^= 1;
	FUZZ_CHECK(verify_github(in) == mismatch);
	text[8] ^= 1;
	names[1] = (HdBytes){"x-hub-signature-256", 19};
	texts[1] = texts[0];
	pair_count = 2;
	FUZZ_CHECK(verify_github(in) == missing_header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HdBytes rest = {data, size};
	HdBytes part = {"", 0};
	HdBytes scheme = {"", 0};
	HdIncoming in = {.secret = {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 38},
					 .tolerance = 300,
					 .now = NOW};
	const char *verdict;
	Jsonb headers;

	memset(&headers, 0, sizeof(headers));
	in.headers = &headers;
	pair_count = 0;
	(void) next_part(&rest, '\x1f', &scheme);
	while (pair_count < PAIRS_MOST && next_part(&rest, '\x1f', &part))
	{
		names[pair_count] = part;
		if (!next_part(&rest, '\x1f', &texts[pair_count]))
			break;
		pair_count++;
		part = (HdBytes){"", 0};
	}
	in.body = part;
	if (scheme.length != 1)
		return 0;
	if (*(const uint8_t *) scheme.data >= 0x80)
		in.secret = (HdBytes){"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", 49};
	verdict = schemes[*(const uint8_t *) scheme.data % lengthof(schemes)].verify(&in);
	FUZZ_CHECK(verdict != NULL || pair_count > 0);
	check_signed(&in);
	return 0;
}
