/*-------------------------------------------------------------------------
 * image.h
 *		A bucket as it is outside of shared memory: in a file, on a page.
 *
 * Model: everything of a slot that a later life of the server needs, without
 * pointers, of one layout on one machine.  A log's runs follow its image.
 *
 * What comes from outside is not believed: an image is looked at before it is
 * used, by hd_limits_image_is_sane.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_IMAGE_H
#define HD_LIMITS_IMAGE_H

#include "postgres.h"

#include "limits/slots.h"

/* Most runs of an image: each but the newest has a unit. */
#define HD_IMAGE_MAX_RUNS (HD_LOG_MAX_COUNT + 1)

typedef struct HdImage
{
	uint64 hash[2];
	int64 until;	 /* as in the slot */
	int64 emission;	 /* likewise */
	int32 used;		 /* units of a log or a window */
	uint16 runs;	 /* of a log */
	uint8 algorithm; /* HdLimitAlgorithm */
	uint8 keep;		 /* HdLimitKeep, and HD_IMAGE_STRICT */
} HdImage;

#define HD_IMAGE_STRICT 0x80

/* All of a set. */
typedef struct HdImageSet
{
	int64 latest; /* nanoseconds: nothing was forgotten at a later time */
	int n;
	HdImage images[HD_SLOT_WAYS];
	uint64 runs[HD_SLOT_WAYS][HD_IMAGE_MAX_RUNS];
} HdImageSet;

/*
 * hd_limits_image_of_set
 *		Copy what of a set is in debt after an instant (nanoseconds) and is to be
 *		kept.
 *
 * alone: nobody else is there, and locks cannot be taken; some process may have
 * been ended in the middle of a call, and what that had in hand is left out.
 */
extern void hd_limits_image_of_set(HdImageSet *copy, HdSlotSet *set, int64 after, bool alone);

/*
 * hd_limits_image_of_slot
 *		Copy a slot that is not closed, under its set's lock; false when it makes
 *		no sense.
 */
extern bool hd_limits_image_of_slot(HdImage *image, uint64 *runs, HdSlot *slot);

/*
 * hd_limits_image_is_sane
 *		Whether it can be one, with its runs.
 */
extern bool hd_limits_image_is_sane(const HdImage *image, const uint64 *runs);

/*
 * hd_limits_image_restore
 *		Make a slot of it, at a time (microseconds), in place of what its key has;
 *		under its set's lock.  False when there is no room.
 */
extern bool hd_limits_image_restore(const HdImage *image, const uint64 *runs, int64 now);

/*
 * hd_limits_image_of_key
 *		Copy a key's slot, if there is one.
 */
extern bool hd_limits_image_of_key(HdImage *image, uint64 *runs, const HdLimitKey *key);

/*
 * hd_limits_image_mark / hd_limits_image_set_mark
 *		The mark (slots.h) that an image on disk stands for; and have the slot of a
 *		call know it, if that is of the same and has been brought up.
 */
extern int64 hd_limits_image_mark(const HdImage *image);
extern void hd_limits_image_set_mark(const HdImage *image, const HdLimitCall *call);

/*
 * hd_limits_image_bring_up
 *		Have the slot of a call owe what an image on disk says, at least; one whose
 *		`until` is 0 says nothing.
 * hd_limits_image_brought_up
 *		Have it know that it does.
 */
extern void hd_limits_image_bring_up(const HdImage *image, const uint64 *runs,
									 const HdLimitCall *call);
extern void hd_limits_image_brought_up(const HdLimitCall *call);

#endif /* HD_LIMITS_IMAGE_H */
