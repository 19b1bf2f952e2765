/*-------------------------------------------------------------------------
 * certificate.h
 *		Client certificates: read, checked, described.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_CERTIFICATE_H
#define HD_WEBHOOKS_CERTIFICATE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define HD_CERTIFICATE_PEM_MAX (16 * 1024)
#define HD_CERTIFICATE_SUBJECT_MAX 512
#define HD_CERTIFICATE_FINGERPRINT 32

typedef struct HdCertificate
{
	char *pem;		/* as it is stored: certificates, then the key; palloc'd */
	int pem_length; /* the caller wipes so many */
	char subject[HD_CERTIFICATE_SUBJECT_MAX + 1];
	uint8 fingerprint[HD_CERTIFICATE_FINGERPRINT]; /* SHA-256 of the first certificate */
	TimestampTz not_after;
} HdCertificate;

/*
 * hd_certificate_read
 *		Read a certificate, what else of its chain is there, and its key.
 *
 * Returns what is wrong, as the end of a sentence, or NULL.  The certificates
 * keep their order; the first is the one that the key belongs to.
 */
extern const char *hd_certificate_read(const char *pem, int length, HdCertificate *result);

#endif /* HD_WEBHOOKS_CERTIFICATE_H */
