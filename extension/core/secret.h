/*-------------------------------------------------------------------------
 * secret.h
 *		Secrets at rest: sealed with AES-256-GCM under a key from a file.
 *
 * Model: a secret is stored as a bytea of one of two forms, told by its
 * first byte:
 *
 *		0	plain		the bytes themselves
 *		1	sealed		length and text of the key's id, 12 bytes of nonce, the
 *						encrypted bytes, 16 bytes of tag
 *
 * What seals is the newest key of the file that hotdash.secret_key_file
 * names (secret_keys.h).  Where the setting is empty secrets are stored
 * plain, and health() says so; a file that is named and cannot be used never
 * leads to that, but to 55000.
 *
 * A sealed secret is bound to its place: the form, the key's id and a text
 * of the caller's, which names the row, are authenticated with it.  What was
 * copied into another row does not open there.  Neither server nor database
 * is part of that, so dumps, copies and standbys open it wherever the key is.
 *
 * Opening takes a fifth of a microsecond, so nothing that was opened is
 * kept: it stands on the caller's stack, and is wiped there.
 *
 * Caveats: nonces are random, so one key should seal no more than 2^32
 * secrets.  Who can read the file or a backend's memory has the secrets.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SECRET_H
#define HD_SECRET_H

#include "postgres.h"

/* Longest secret that HdSecret holds, and longest of all, in bytes. */
#define HD_SECRET_MAX 512
#define HD_SECRET_LONG_MAX (20 * 1024)

/* A secret in the open.  On the stack only; hd_secret_wipe it before leaving. */
typedef struct HdSecret
{
	int length;
	uint8 data[HD_SECRET_MAX];
} HdSecret;

typedef enum HdSecretResult
{
	HD_SECRET_OPENED,
	HD_SECRET_NO_KEY, /* sealed by a key that is not in the file */
	HD_SECRET_DAMAGED /* not what was sealed, or not for this place */
} HdSecretResult;

/*
 * hd_secret_seal
 *		What to store for a secret, palloc'd.
 *
 * place: the row, as a text that no other row has.  Raises 55000 when the
 * key file cannot be used, 22023 when the secret is too long.
 */
extern bytea *hd_secret_seal(const HdSecret *secret, const char *place);

/*
 * hd_secret_try_open
 *		Open what was stored.  Raises nothing.
 */
extern HdSecretResult hd_secret_try_open(const bytea *stored, const char *place, HdSecret *secret);

/*
 * hd_secret_open
 *		The same; raises 55000 where the key is missing, XX001 for damage.
 */
extern void hd_secret_open(const bytea *stored, const char *place, HdSecret *secret);

/*
 * hd_secret_seal_long, hd_secret_try_open_long
 *		The same for what is too long for HdSecret, up to HD_SECRET_LONG_MAX, in
 *		the caller's memory, which the caller wipes.
 *
 * What was opened has at most VARSIZE_ANY_EXHDR(stored) bytes: data must have
 * room for so many.
 */
extern bytea *hd_secret_seal_long(const uint8 *data, int length, const char *place);
extern HdSecretResult hd_secret_try_open_long(const bytea *stored, const char *place, uint8 *data,
											  int *length);

/*
 * hd_secret_wipe
 *		Overwrite a secret in a way that no compiler leaves out.
 */
extern void hd_secret_wipe(HdSecret *secret);

#endif /* HD_SECRET_H */
