/*-------------------------------------------------------------------------
 * place.c
 *		Where a job belongs: the numbers of its lines.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/place.h"

#include "common/hashfn.h"

/* Seeds, so that the parts of a number cannot be taken for one another. */
#define QUEUE_SEED 1
#define TENANT_SEED 2
#define KEY_SEED 3
#define FLOW_SEED 4

#define FAIR_BIT UINT64CONST(1)

uint64
hd_jobs_place_queue_hash(const char *name)
{
	return hash_bytes_extended((const unsigned char *) name, (int) strlen(name), QUEUE_SEED);
}

uint32
hd_jobs_place_tenant_hash(const char *tenant, int length)
{
	return Max(hash_bytes((const unsigned char *) tenant, length), 1);
}

uint64
hd_jobs_place_flow_hash(const char *flow, int length)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) flow, length, FLOW_SEED);
	int prefix = strlen(HD_JOB_FAIR_PREFIX);

	if (length >= prefix && memcmp(flow, HD_JOB_FAIR_PREFIX, prefix) == 0)
		return hash | FAIR_BIT;
	return Max(hash & ~FAIR_BIT, FAIR_BIT << 1);
}

bool
hd_jobs_place_flow_is_fair(uint64 hash)
{
	return (hash & FAIR_BIT) != 0;
}

/* 0 means that there is no line. */
static int64
number(uint64 hash)
{
	return (hash == 0) ? 1 : (int64) hash;
}

int64
hd_jobs_place_lane(uint64 queue_hash, const HdJobPlace *place)
{
	uint32 rest[3] = {place->kind_hash, place->tenant_hash, (uint32) place->priority};
	uint64 hash = hash_bytes_extended((const unsigned char *) rest, sizeof(rest), queue_hash);

	if (place->flow_hash != 0)
		hash = hash_combine64(hash, place->flow_hash);
	return number(hash);
}

static int64
gate_number(uint64 queue_hash, uint32 kind_hash, const char *tenant, const char *key)
{
	uint64 hash = hash_combine64(queue_hash, kind_hash);

	hash = hash_combine64(hash, hash_bytes_extended((const unsigned char *) tenant,
													(int) strlen(tenant), TENANT_SEED));
	return number(hash_combine64(hash, hash_bytes_extended((const unsigned char *) key,
														   (int) strlen(key), KEY_SEED)));
}

void
hd_jobs_place_set(HdJobPlace *place, const HdJobAddress *address, const char *order_key,
				  int per_key)
{
	uint64 queue_hash = hd_jobs_place_queue_hash(address->queue);
	const char *tenant = address->tenant;

	place->queue = address->queue;
	place->at = 0;
	place->priority = address->priority;
	place->kind_hash = address->kind_hash;
	place->tenant_hash = hd_jobs_place_tenant_hash(tenant, (int) strlen(tenant));
	place->flow_hash = 0;
	if (address->flow != NULL)
		place->flow_hash = hd_jobs_place_flow_hash(address->flow, (int) strlen(address->flow));
	place->lane = hd_jobs_place_lane(queue_hash, place);
	place->gate = 0;
	place->strict = per_key == 0;

	/* All kinds of a queue share a strict key; a kind that has a width of its own has its own. */
	if (order_key != NULL)
		place->gate =
			gate_number(queue_hash, place->strict ? 0 : address->kind_hash, tenant, order_key);
}

int64
hd_jobs_place_line(const HdJobPlace *place)
{
	return (place->gate != 0) ? place->gate : place->lane;
}
