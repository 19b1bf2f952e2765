/*-------------------------------------------------------------------------
 * secret.c
 *		Secrets at rest: seal and open.
 *
 * Model: secret.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/secret.h"

#include <openssl/err.h>

#include "core/compat.h"
#include "core/secret_keys.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(hd_secret_sql_reseal);
PG_FUNCTION_INFO_V1(hd_secret_sql_key_id);
PG_FUNCTION_INFO_V1(hd_secret_sql_newest);
PG_FUNCTION_INFO_V1(hd_secret_sql_problem);
PG_FUNCTION_INFO_V1(hd_secret_sql_state);

#define NONCE_BYTES 12
#define TAG_BYTES 16

/* The first byte; a value that was stored never changes its meaning. */
typedef enum Form
{
	FORM_PLAIN = 0,
	FORM_SEALED = 1
} Form;

/* Parts of a sealed secret. */
typedef struct Sealed
{
	const uint8 *head; /* form, length of the id, id: authenticated */
	int head_length;
	const char *id;
	int id_length;
	const uint8 *nonce;
	const uint8 *data;
	int data_length;
	const uint8 *tag;
} Sealed;

/* False when it is no such thing. */
static bool
take_apart(const bytea *stored, Sealed *parts)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(stored);
	int length = VARSIZE_ANY_EXHDR(stored);

	if (length < 2 || bytes[0] != FORM_SEALED)
		return false;
	parts->head = bytes;
	parts->id_length = bytes[1];
	parts->id = (const char *) bytes + 2;
	parts->head_length = 2 + parts->id_length;
	parts->nonce = bytes + parts->head_length;
	parts->data = parts->nonce + NONCE_BYTES;
	parts->data_length = length - parts->head_length - NONCE_BYTES - TAG_BYTES;
	parts->tag = parts->data + parts->data_length;
	return parts->data_length >= 0 && parts->data_length <= HD_SECRET_LONG_MAX;
}

static bytea *
store_plain(const uint8 *data, int length)
{
	bytea *stored = palloc(VARHDRSZ + 1 + length);

	SET_VARSIZE(stored, VARHDRSZ + 1 + length);
	*VARDATA(stored) = FORM_PLAIN;
	memcpy(VARDATA(stored) + 1, data, length);
	return stored;
}

static bool
encrypt(HdSecretKey *key, const Sealed *parts, const char *place, const uint8 *data)
{
	int n;

	return EVP_EncryptInit_ex(key->seal, NULL, NULL, NULL, parts->nonce) == 1 &&
		   EVP_EncryptUpdate(key->seal, NULL, &n, parts->head, parts->head_length) == 1 &&
		   EVP_EncryptUpdate(key->seal, NULL, &n, (const uint8 *) place, strlen(place)) == 1 &&
		   EVP_EncryptUpdate(key->seal, unconstify(uint8 *, parts->data), &n, data,
							 parts->data_length) == 1 &&
		   EVP_EncryptFinal_ex(key->seal, unconstify(uint8 *, parts->tag), &n) == 1 &&
		   EVP_CIPHER_CTX_ctrl(key->seal, EVP_CTRL_GCM_GET_TAG, TAG_BYTES,
							   unconstify(uint8 *, parts->tag)) == 1;
}

bytea *
hd_secret_seal_long(const uint8 *data, int secret_length, const char *place)
{
	HdSecretKey *key = hd_secret_keys_newest();
	Sealed parts;
	bytea *stored;
	uint8 *bytes;
	int length;

	if (key == NULL)
		return store_plain(data, secret_length);
	length = 2 + key->id_length + NONCE_BYTES + secret_length + TAG_BYTES;
	stored = palloc(VARHDRSZ + length);
	SET_VARSIZE(stored, VARHDRSZ + length);
	bytes = (uint8 *) VARDATA(stored);
	bytes[0] = FORM_SEALED;
	bytes[1] = key->id_length;
	memcpy(bytes + 2, key->id, key->id_length);
	if (!pg_strong_random(bytes + 2 + key->id_length, NONCE_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	if (!take_apart(stored, &parts) || !encrypt(key, &parts, place, data))
	{
		ERR_clear_error();
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not encrypt a secret")));
	}
	return stored;
}

bytea *
hd_secret_seal(const HdSecret *secret, const char *place)
{
	return hd_secret_seal_long(secret->data, secret->length, place);
}

static bool
decrypt(HdSecretKey *key, const Sealed *parts, const char *place, uint8 *data)
{
	int n;

	return EVP_DecryptInit_ex(key->open, NULL, NULL, NULL, parts->nonce) == 1 &&
		   EVP_DecryptUpdate(key->open, NULL, &n, parts->head, parts->head_length) == 1 &&
		   EVP_DecryptUpdate(key->open, NULL, &n, (const uint8 *) place, strlen(place)) == 1 &&
		   EVP_DecryptUpdate(key->open, data, &n, parts->data, parts->data_length) == 1 &&
		   EVP_CIPHER_CTX_ctrl(key->open, EVP_CTRL_GCM_SET_TAG, TAG_BYTES,
							   unconstify(uint8 *, parts->tag)) == 1 &&
		   EVP_DecryptFinal_ex(key->open, data + n, &n) == 1;
}

HdSecretResult
hd_secret_try_open_long(const bytea *stored, const char *place, uint8 *data, int *length)
{
	int stored_length = VARSIZE_ANY_EXHDR(stored);
	HdSecretKey *key;
	Sealed parts;

	*length = 0;
	if (stored_length > 0 && *VARDATA_ANY(stored) == FORM_PLAIN)
	{
		*length = stored_length - 1;
		memcpy(data, VARDATA_ANY(stored) + 1, *length);
		return HD_SECRET_OPENED;
	}
	if (!take_apart(stored, &parts))
		return HD_SECRET_DAMAGED;
	key = hd_secret_keys_find(parts.id, parts.id_length);
	if (key == NULL)
		return HD_SECRET_NO_KEY;
	if (decrypt(key, &parts, place, data))
	{
		*length = parts.data_length;
		return HD_SECRET_OPENED;
	}

	/* what was written before the tag was found wrong */
	explicit_bzero(data, parts.data_length);
	ERR_clear_error();
	return HD_SECRET_DAMAGED;
}

/* Whether HdSecret has room for what was stored, if it was stored by hd_secret_seal. */
static bool
is_short(const bytea *stored)
{
	int length = VARSIZE_ANY_EXHDR(stored);
	Sealed parts;

	if (length > 0 && *VARDATA_ANY(stored) == FORM_PLAIN)
		return length - 1 <= HD_SECRET_MAX;
	return take_apart(stored, &parts) && parts.data_length <= HD_SECRET_MAX;
}

HdSecretResult
hd_secret_try_open(const bytea *stored, const char *place, HdSecret *secret)
{
	secret->length = 0;
	if (!is_short(stored))
		return HD_SECRET_DAMAGED;
	return hd_secret_try_open_long(stored, place, secret->data, &secret->length);
}

static void
complain(HdSecretResult result)
{
	if (result == HD_SECRET_NO_KEY)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the key that a secret is encrypted with is not there"),
						errhint("Bring it into the file that hotdash.secret_key_file names, and "
								"reload; health() says which.")));
	if (result == HD_SECRET_DAMAGED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("a stored secret cannot be decrypted"),
				 errdetail("It was changed, or written for another row, or its key's id "
						   "stands for another key.")));
}

void
hd_secret_open(const bytea *stored, const char *place, HdSecret *secret)
{
	complain(hd_secret_try_open(stored, place, secret));
}

void
hd_secret_wipe(HdSecret *secret)
{
	explicit_bzero(secret, sizeof(*secret));
}

/*
 * hd_secret_sql_reseal
 *		SQL: _secret_reseal(stored, place) -> bytea: the same under the newest key.
 */
Datum
hd_secret_sql_reseal(PG_FUNCTION_ARGS)
{
	bytea *stored = PG_GETARG_BYTEA_PP(0);
	char *place = text_to_cstring(PG_GETARG_TEXT_PP(1));
	uint8 *data = palloc(VARSIZE_ANY_EXHDR(stored) + 1);
	int length;
	bytea *again;

	/* what raises, before the secret is in the open */
	(void) hd_secret_keys_newest();
	complain(hd_secret_try_open_long(stored, place, data, &length));
	again = hd_secret_seal_long(data, length, place);
	explicit_bzero(data, length);
	PG_RETURN_BYTEA_P(again);
}

/*
 * hd_secret_sql_key_id
 *		SQL: _secret_key_id(stored) -> text: NULL for what is not encrypted.
 */
Datum
hd_secret_sql_key_id(PG_FUNCTION_ARGS)
{
	Sealed parts;

	if (!take_apart(PG_GETARG_BYTEA_PP(0), &parts))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(parts.id, parts.id_length));
}

/*
 * hd_secret_sql_newest
 *		SQL: _secret_newest_key() -> text: id of the key that encrypts, NULL
 *		where none is configured.
 */
Datum
hd_secret_sql_newest(PG_FUNCTION_ARGS)
{
	HdSecretKey *key = hd_secret_keys_newest();

	if (key == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(key->id, key->id_length));
}

/*
 * hd_secret_sql_problem
 *		SQL: _secret_problem() -> text: why the key file cannot be used, NULL when
 *		it can or none is configured.
 */
Datum
hd_secret_sql_problem(PG_FUNCTION_ARGS)
{
	const char *problem = hd_secret_keys_problem();

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/*
 * hd_secret_sql_state
 *		SQL: _secret_state(stored, place) -> text: plain, old, sealed, missing
 *		(its key), damaged.
 */
Datum
hd_secret_sql_state(PG_FUNCTION_ARGS)
{
	bytea *stored = PG_GETARG_BYTEA_PP(0);
	char *place = text_to_cstring(PG_GETARG_TEXT_PP(1));
	uint8 *data = palloc(VARSIZE_ANY_EXHDR(stored) + 1);
	int length;
	HdSecretResult result;
	Sealed parts;
	const char *state = "sealed";

	result = hd_secret_try_open_long(stored, place, data, &length);
	explicit_bzero(data, length);
	pfree(data);
	if (result == HD_SECRET_NO_KEY)
		state = "missing";
	else if (result == HD_SECRET_DAMAGED)
		state = "damaged";
	else if (!take_apart(stored, &parts))
		state = "plain";
	else if (!hd_secret_keys_is_newest(parts.id, parts.id_length))
		state = "old";
	PG_RETURN_TEXT_P(cstring_to_text(state));
}
