/*-------------------------------------------------------------------------
 * image.c
 *		A bucket as it is outside of shared memory.
 *
 * Model: see image.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/image.h"

#include "storage/lwlock.h"

StaticAssertDecl(sizeof(HdImage) == 40, "an image has no holes");

bool
hd_limits_image_of_slot(HdImage *image, uint64 *runs, HdSlot *slot)
{
	int n = 0;

	if (slot->algorithm == HD_LIMIT_LOG)
		n = hd_limits_log_copy(hd_limits_slots_pool(), &slot->log, runs, HD_IMAGE_MAX_RUNS);
	if (n < 0)
		return false;
	memcpy(image->hash, slot->hash, sizeof(image->hash));
	image->until = (int64) pg_atomic_read_u64(&slot->until);
	image->emission = slot->emission;
	image->used = (slot->algorithm == HD_LIMIT_GCRA) ? 0 : slot->log.used;
	image->runs = (uint16) n;
	image->algorithm = slot->algorithm;
	image->keep = slot->keep | (slot->strict ? HD_IMAGE_STRICT : 0);
	return true;
}

void
hd_limits_image_of_set(HdImageSet *copy, HdSlotSet *set, int64 after, bool alone)
{
	copy->n = 0;
	if (!alone)
		LWLockAcquire(&set->lock, LW_SHARED);
	copy->latest = set->latest;
	for (int way = 0; way < HD_SLOT_WAYS; way++)
	{
		HdSlot *slot = &set->slots[way];
		uint64 until = pg_atomic_read_u64(&slot->until);
		HdImage *image = &copy->images[copy->n];

		if (set->tags[way] == 0 || until == HD_SLOT_CLOSED || slot->moved ||
			slot->keep != HD_LIMIT_KEEP_SNAPSHOT)
			continue;
		if ((int64) until <= after || (slot->algorithm == HD_LIMIT_LOG && slot->log.newest == 0))
			copy->latest = Max(copy->latest, (int64) until);
		else if (hd_limits_image_of_slot(image, copy->runs[copy->n], slot) &&
				 (!alone || hd_limits_image_is_sane(image, copy->runs[copy->n])))
			copy->n++;
	}
	if (!alone)
		LWLockRelease(&set->lock);
}

bool
hd_limits_image_is_sane(const HdImage *image, const uint64 *runs)
{
	if (image->until <= 0 || image->until > 2 * (HD_GCRA_MAX_NS - 1) ||
		(image->keep & ~HD_IMAGE_STRICT) > HD_LIMIT_KEEP_WAL)
		return false;
	switch (image->algorithm)
	{
		case HD_LIMIT_GCRA:
			return image->emission > 0 && image->runs == 0 && image->used == 0;
		case HD_LIMIT_LOG:
			return hd_limits_log_is_sane(runs, image->runs, image->used) &&
				   image->until / HD_NS_PER_US > hd_limits_log_run_at(runs[image->runs - 1]);
		case HD_LIMIT_WINDOW:
			return image->runs == 0 && image->used >= 0;
	}
	return false;
}

bool
hd_limits_image_restore(const HdImage *image, const uint64 *runs, int64 now)
{
	HdLimitKey key = {{image->hash[0], image->hash[1]}, false};
	HdLimitPolicy policy = {.algorithm = (HdLimitAlgorithm) image->algorithm,
							.keep = (HdLimitKeep) (image->keep & ~HD_IMAGE_STRICT),
							.strict = (image->keep & HD_IMAGE_STRICT) != 0};
	HdLimitCall call = {.key = &key, .policy = &policy, .now = now};
	HdSlotSet *set = hd_limits_slots_set(&key);
	HdSlot *slot = hd_limits_slots_find(set, &key);
	int64 room_at;

	call.gcra.emission = image->emission;
	if (slot == NULL)
		slot = hd_limits_slots_create(set, &call, &room_at);
	if (slot == NULL)
		return false;
	(void) hd_limits_slots_close(slot);
	hd_limits_log_reset(hd_limits_slots_pool(), &slot->log);
	hd_limits_slots_dress(slot, &call);
	for (int i = 0; i < image->runs; i++)
		hd_limits_log_append(hd_limits_slots_pool(), &slot->log, runs[i]);
	slot->log.used = image->used;
	pg_write_barrier();
	pg_atomic_write_u64(&slot->until, (uint64) image->until);
	return true;
}

bool
hd_limits_image_of_key(HdImage *image, uint64 *runs, const HdLimitKey *key)
{
	HdSlotSet *set = hd_limits_slots_set(key);
	HdSlot *slot;
	bool found;

	LWLockAcquire(&set->lock, LW_SHARED);
	slot = hd_limits_slots_find(set, key);
	found = slot != NULL && hd_limits_image_of_slot(image, runs, slot);
	LWLockRelease(&set->lock);
	return found;
}

int64
hd_limits_image_mark(const HdImage *image)
{
	switch (image->algorithm)
	{
		case HD_LIMIT_GCRA:
			return image->until;
		case HD_LIMIT_WINDOW:
			return image->used;
		default:
			return 0;
	}
}

/* Whether the mark of an image is one for a slot: of the same bucket, of the same window. */
static bool
is_of(const HdImage *image, const HdSlot *slot)
{
	return slot->algorithm == image->algorithm && slot->emission == image->emission &&
		   slot->algorithm != HD_LIMIT_LOG;
}

void
hd_limits_image_set_mark(const HdImage *image, const HdLimitCall *call)
{
	HdSlotSet *set = hd_limits_slots_set(call->key);
	HdSlot *slot;

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = hd_limits_slots_find(set, call->key);
	if (slot != NULL && hd_limits_slots_same_policy(slot, call) && is_of(image, slot) &&
		hd_limits_slots_mark(slot) != 0)
		hd_limits_slots_set_mark(slot,
								 Max(hd_limits_slots_mark(slot), hd_limits_image_mark(image)));
	LWLockRelease(&set->lock);
}

void
hd_limits_image_bring_up(const HdImage *image, const uint64 *runs, const HdLimitCall *call)
{
	HdSlotSet *set = hd_limits_slots_set(call->key);
	HdSlot *slot;

	if (image->until == 0)
		return;
	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = hd_limits_slots_find(set, call->key);
	if (slot == NULL || (hd_limits_slots_mark(slot) == 0 && !is_of(image, slot)))
		(void) hd_limits_image_restore(image, runs, call->now);
	else if (hd_limits_slots_mark(slot) == 0)
	{
		int64 until = (int64) hd_limits_slots_close(slot);

		slot->log.used = Max(slot->log.used, image->used);
		pg_atomic_write_u64(&slot->until, (uint64) Max(until, image->until));
	}
	LWLockRelease(&set->lock);
}

void
hd_limits_image_brought_up(const HdLimitCall *call)
{
	HdSlotSet *set = hd_limits_slots_set(call->key);
	HdSlot *slot;

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = hd_limits_slots_find(set, call->key);
	if (slot != NULL && hd_limits_slots_same_policy(slot, call) && hd_limits_slots_mark(slot) == 0)
		hd_limits_slots_set_mark(slot, HD_SLOT_MARK_NONE);
	LWLockRelease(&set->lock);
}
