/*-------------------------------------------------------------------------
 * secret_keys.h
 *		The keys that seal secrets, from a file.
 *
 * Model: each line of the file is an id, a colon, and base64 of 32 random
 * bytes; empty lines and those that begin with # count for nothing.  The
 * first key seals, all of them open.  To rotate, put a new line first,
 * reload, reseal (secret_reseal()), take the old line out, reload.
 *
 * Each backend reads the file when it first needs a key, and again after
 * the server has reloaded its settings.  As for the key of TLS, the file
 * must belong to the server's user and be closed to everybody else, or
 * belong to root and be closed to the world.  A file that cannot be used
 * after a reload leaves a backend with the keys it has.
 *
 * Memory: the bytes of a key exist as text while the file is read, wiped
 * afterwards; then only inside libcrypto's contexts, which clear them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SECRET_KEYS_H
#define HD_SECRET_KEYS_H

#include "postgres.h"

#include <openssl/evp.h>

#define HD_SECRET_KEY_BYTES 32
#define HD_SECRET_KEY_ID_MAX 32

typedef struct HdSecretKey
{
	struct HdSecretKey *next;
	int id_length;
	char id[HD_SECRET_KEY_ID_MAX];

	/* With the key set; each use sets the nonce.  Never freed while it is listed. */
	EVP_CIPHER_CTX *seal;
	EVP_CIPHER_CTX *open;
} HdSecretKey;

/*
 * hd_secret_keys_newest
 *		The key that seals, NULL where no file is configured.
 *
 * Raises 55000 when one is and cannot be used.
 */
extern HdSecretKey *hd_secret_keys_newest(void);

/*
 * hd_secret_keys_find
 *		The key of that id, NULL when there is none.  Raises nothing.
 */
extern HdSecretKey *hd_secret_keys_find(const char *id, int length);

/*
 * hd_secret_keys_is_newest
 *		Whether what that key sealed is as it would be sealed now.  Raises nothing.
 */
extern bool hd_secret_keys_is_newest(const char *id, int length);

/*
 * hd_secret_keys_problem
 *		Why the configured file cannot be used as it is now; NULL when it can, or
 *		none is configured.
 */
extern const char *hd_secret_keys_problem(void);

/*
 * hd_secret_keys_define
 *		Define the setting.  Called once from _PG_init.
 */
extern void hd_secret_keys_define(void);

#endif /* HD_SECRET_KEYS_H */
