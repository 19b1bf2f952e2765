/*-------------------------------------------------------------------------
 * certificate.c
 *		Client certificates: read, checked, described.
 *
 * Model: PEM in, PEM out: the certificates in their order, then the key as
 * unencrypted PKCS #8, and nothing of what stood between them.  So whoever
 * uses it finds the key at the end, whatever tool wrote the file.
 *
 * Memory: libcrypto's own, which it clears where a key was; what leaves is
 * palloc'd and the caller's to wipe.  No error is raised while it is held.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "utils/timestamp.h"

/* A certificate, its issuer, and what stands between that and a root. */
#define CHAIN_MAX 8

typedef struct Parts
{
	X509 *chain[CHAIN_MAX];
	int length;
	EVP_PKEY *key;
} Parts;

static void
free_parts(Parts *parts)
{
	for (int i = 0; i < parts->length; i++)
		X509_free(parts->chain[i]);
	EVP_PKEY_free(parts->key);
	ERR_clear_error();
}

/* Keys that want a password are not for us: without this libcrypto asks at the terminal. */
static int
no_password(char *buf, int size, int writing, void *context)
{
	return -1;
}

static const char *
read_parts(const char *pem, int length, Parts *parts)
{
	BIO *in = BIO_new_mem_buf(pem, length);
	X509 *one;

	memset(parts, 0, sizeof(*parts));
	if (in == NULL)
		return "there is not enough memory for it";
	while (parts->length < CHAIN_MAX &&
		   (one = PEM_read_bio_X509(in, NULL, no_password, NULL)) != NULL)
		parts->chain[parts->length++] = one;
	if (BIO_reset(in) >= 0)
		parts->key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
	BIO_free(in);
	if (parts->length == 0)
		return "it holds no certificate in PEM format";
	if (parts->length == CHAIN_MAX)
		return "it holds more than 7 certificates";
	if (parts->key == NULL)
		return "it holds no private key in PEM format that is not encrypted";
	if (X509_check_private_key(parts->chain[0], parts->key) != 1)
		return "its private key does not belong to its first certificate";
	return NULL;
}

/* Copy the certificates and the key, in this order, into palloc'd memory. */
static const char *
write_parts(const Parts *parts, HdCertificate *result)
{
	BIO *out = BIO_new(BIO_s_secmem());
	bool ok = out != NULL;
	char *data = NULL;
	long length;

	for (int i = 0; ok && i < parts->length; i++)
		ok = PEM_write_bio_X509(out, parts->chain[i]) == 1;
	ok = ok && PEM_write_bio_PKCS8PrivateKey(out, parts->key, NULL, NULL, 0, NULL, NULL) == 1;
	length = ok ? BIO_get_mem_data(out, &data) : 0;
	if (length > 0 && length <= HD_CERTIFICATE_PEM_MAX)
	{
		result->pem = palloc_extended(length, MCXT_ALLOC_NO_OOM);
		result->pem_length = length;
		if (result->pem != NULL)
			memcpy(result->pem, data, length);
	}
	BIO_free(out);
	if (result->pem == NULL)
		return "it is too large, or could not be written anew";
	return NULL;
}

static bool
read_time(const ASN1_TIME *time, TimestampTz *result)
{
	struct tm parsed;
	struct pg_tm tm = {0};
	int utc = 0;

	if (ASN1_TIME_to_tm(time, &parsed) != 1)
		return false;
	tm.tm_year = parsed.tm_year + 1900;
	tm.tm_mon = parsed.tm_mon + 1;
	tm.tm_mday = parsed.tm_mday;
	tm.tm_hour = parsed.tm_hour;
	tm.tm_min = parsed.tm_min;
	tm.tm_sec = parsed.tm_sec;
	return tm2timestamp(&tm, 0, &utc, result) == 0;
}

/* What may be shown of it. */
static const char *
describe(X509 *certificate, HdCertificate *result)
{
	BIO *out = BIO_new(BIO_s_mem());
	unsigned int length = sizeof(result->fingerprint);
	int subject = -1;

	/* This form escapes whatever is not printable ASCII. */
	if (out != NULL &&
		X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
		subject = BIO_read(out, result->subject, HD_CERTIFICATE_SUBJECT_MAX);
	BIO_free(out);
	result->subject[Max(subject, 0)] = '\0';
	if (X509_digest(certificate, EVP_sha256(), result->fingerprint, &length) != 1 ||
		!read_time(X509_get0_notAfter(certificate), &result->not_after))
		return "its first certificate has no time of expiry that can be read";
	return NULL;
}

const char *
hd_certificate_read(const char *pem, int length, HdCertificate *result)
{
	const char *wrong;
	Parts parts;

	memset(result, 0, sizeof(*result));
	if (length > HD_CERTIFICATE_PEM_MAX)
		return "it is longer than 16 kB";
	wrong = read_parts(pem, length, &parts);
	if (wrong == NULL)
		wrong = describe(parts.chain[0], result);
	if (wrong == NULL)
		wrong = write_parts(&parts, result);
	free_parts(&parts);
	return wrong;
}
