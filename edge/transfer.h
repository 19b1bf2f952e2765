/*
 * transfer.h
 *	  One request on its way: an easy handle, its callbacks and what they saw.
 *
 * Internal to http.c and transfer.c. A transfer is reused: it keeps its easy handle,
 * which is reset, between requests.
 */
#ifndef HD_EDGE_TRANSFER_H
#define HD_EDGE_TRANSFER_H

#include <curl/curl.h>

#include "config.h"
#include "loop.h"
#include "request.h"
#include "resolver.h"
#include "result.h"
#include "way.h"

typedef enum HdTransferState
{
	HD_TRANSFER_IDLE,	   /* on the free list; next: RESOLVING, WAITING, RUNNING */
	HD_TRANSFER_RESOLVING, /* waits for the resolver; next: WAITING, RUNNING, IDLE */
	HD_TRANSFER_WAITING,   /* for a round with room to start it; next: RUNNING, IDLE */
	HD_TRANSFER_RUNNING	   /* in the multi handle; next: IDLE */
} HdTransferState;

typedef struct HdTransfer
{
	struct HdTransfer *previous;	  /* in the list of those in flight */
	struct HdTransfer *next;		  /* the same, or in the free list */
	struct HdTransfer *turn_previous; /* in the list of those WAITING */
	struct HdTransfer *turn_next;
	void *owner; /* the HdHttp */
	const HdConfig *config;
	CURL *easy; /* owned */
	HdTransferState state;
	HdRequest *request; /* owned while not IDLE */
	HdResult *result;	/* the same; made at the start, so that what was sent can be reported */
	bool spoilt;		/* the handle ran short of memory: not to be used again */
	size_t bytes;		/* hd_transfer_bytes(), while it is in flight */
	HdLookup lookup;
	HdTimer deadline;	  /* while RESOLVING; libcurl keeps it afterwards */
	HdWay way;			  /* planned at the start, ended with the request */
	int64_t looked_up_at; /* when the lookup ended; 0: none was needed */

	/* What the callbacks saw of this request. */
	bool refused_address;
	bool opened_socket;
	bool connected;		/* to the receiver or the proxy */
	bool local_failure; /* no descriptor or memory of our own */
	bool sent;
	bool too_many_headers;
	bool truncated;
	int status; /* of a complete final header block; 0: none yet */
	size_t header_bytes;
	size_t body_bytes;
	size_t excerpt_length;
	size_t excerpt_size;	/* of the buffer; grown as a body comes that is to be kept */
	unsigned char *excerpt; /* kept for reuse, unless it has grown */
	size_t block_length;
	unsigned char *block; /* the header block, where it is to be kept: max_header_bytes */
	int64_t sent_at;	  /* when libcurl got it, microseconds since 1970 */
	char retry_after[128];
	char http_date[64];
	char error[CURL_ERROR_SIZE];
} HdTransfer;

/* What is said of a receiver whose address is refused. */
extern const char hd_transfer_blocked[];

/* NULL when memory is short. */
HdTransfer *hd_transfer_create(void *owner, const HdConfig *config) HD_MUSTCHECK;
void hd_transfer_free(HdTransfer *transfer);

/* Makes the transfer ready for `request` and takes it over; false when memory is short. */
bool hd_transfer_begin(HdTransfer *transfer, HdRequest *request) HD_MUSTCHECK;

/* Forgets the request and frees it; the transfer may go back to the free list. */
void hd_transfer_end(HdTransfer *transfer);

/* The most memory that its request and what is kept of the answer can take. */
size_t hd_transfer_bytes(const HdTransfer *transfer);

/* Whether the time to send it within has passed; then it goes back. */
bool hd_transfer_is_late(const HdTransfer *transfer);

/* Sets every option of the easy handle from the request. */
CURLcode hd_transfer_prepare(HdTransfer *transfer) HD_MUSTCHECK;

/*
 * What to report after libcurl ended with `code`, given away; NULL when nothing was sent
 * for a reason of our own.
 */
HdResult *hd_transfer_result(HdTransfer *transfer, CURLcode code) HD_MUSTCHECK;

/* What to report when it ended before libcurl had it, given away. */
HdResult *hd_transfer_failure(HdTransfer *transfer, HdOutcome outcome,
							  const char *error) HD_MUSTCHECK;

#endif
