/*-------------------------------------------------------------------------
 * snapshot_file.c
 *		The file of buckets.
 *
 * Model: a header, which is written last, and images with their runs.  Nothing
 * of a file is used before all of it has been seen to have its checksum; even
 * then lengths are looked at, and a bucket that makes no sense is left out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/snapshot_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "core/clock.h"
#include "limits/image.h"
#include "storage/fd.h"

#define SNAPSHOT_FILE "hotdash.limits"
#define SNAPSHOT_NEW SNAPSHOT_FILE ".new"
#define SNAPSHOT_BAD SNAPSHOT_FILE ".bad"

#define SNAPSHOT_MAGIC UINT64CONST(0x53544b4355424448) /* "HDBUCKTS" where bytes go upwards */
#define SNAPSHOT_VERSION 1
#define PIECE (64 * 1024)

typedef struct Header
{
	uint64 magic;
	uint32 version;
	uint32 image_size;
	uint64 system_identifier;
	HdSlotEra era;
	uint64 images;
	uint64 bytes; /* after the header */
	pg_crc32c body;
	pg_crc32c crc; /* of what stands before it */
} Header;

/* Large, and used by one at a time. */
static HdImageSet copy;

static pg_crc32c
checksum(pg_crc32c crc, const void *bytes, Size length)
{
	COMP_CRC32C(crc, bytes, length);
	return crc;
}

static pg_crc32c
header_checksum(const Header *header)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	crc = checksum(crc, header, offsetof(Header, crc));
	FIN_CRC32C(crc);
	return crc;
}

/* Of a set as it was copied. */
static pg_crc32c
copy_checksum(void)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	crc = checksum(crc, copy.images, sizeof(HdImage) * copy.n);
	for (int i = 0; i < copy.n; i++)
		crc = checksum(crc, copy.runs[i], sizeof(uint64) * copy.images[i].runs);
	FIN_CRC32C(crc);
	return crc;
}

bool
hd_limits_snapshot_changed(const HdSnapshotTrace *trace)
{
	HdSlotSet *sets;
	uint64 n;

	if (trace->sets == NULL)
		return true;
	sets = hd_limits_slots_sets(&n);
	for (uint64 i = 0; i < n; i++)
	{
		hd_limits_image_of_set(&copy, &sets[i], trace->after, false);
		if (copy_checksum() != trace->sets[i])
			return true;
	}
	return false;
}

static bool
append(FILE *file, Header *header, const void *bytes, Size length)
{
	header->body = checksum(header->body, bytes, length);
	header->bytes += length;
	return length == 0 || fwrite(bytes, length, 1, file) == 1;
}

static bool
append_copy(FILE *file, Header *header)
{
	for (int i = 0; i < copy.n; i++)
	{
		if (!append(file, header, &copy.images[i], sizeof(HdImage)) ||
			!append(file, header, copy.runs[i], sizeof(uint64) * copy.images[i].runs))
			return false;
	}
	header->images += copy.n;
	return true;
}

/* All sets, and the header in front when all is known. */
static bool
write_all(FILE *file, HdSnapshotTrace *trace, bool alone)
{
	Header header = {.magic = SNAPSHOT_MAGIC,
					 .version = SNAPSHOT_VERSION,
					 .image_size = sizeof(HdImage),
					 .system_identifier = GetSystemIdentifier(),
					 .era = hd_limits_slots_era()};
	int64 after = header.era.clock * HD_NS_PER_US;
	HdSlotSet *sets;
	uint64 n;

	sets = hd_limits_slots_sets(&n);
	if (trace != NULL)
	{
		if (trace->sets == NULL)
			trace->sets = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(pg_crc32c) * n);
		trace->after = after;
	}
	INIT_CRC32C(header.body);
	if (fwrite(&header, sizeof(header), 1, file) != 1)
		return false;
	for (uint64 i = 0; i < n; i++)
	{
		hd_limits_image_of_set(&copy, &sets[i], after, alone);
		header.era.latest = Max(header.era.latest, copy.latest);
		if (!append_copy(file, &header))
			return false;
		if (trace != NULL)
			trace->sets[i] = copy_checksum();
	}
	FIN_CRC32C(header.body);
	header.crc = header_checksum(&header);
	return fseek(file, 0, SEEK_SET) == 0 && fwrite(&header, sizeof(header), 1, file) == 1;
}

bool
hd_limits_snapshot_write(HdSnapshotTrace *trace, bool alone)
{
	FILE *file = AllocateFile(SNAPSHOT_NEW, PG_BINARY_W);
	bool written = file != NULL && write_all(file, trace, alone);

	if (file != NULL && FreeFile(file) != 0)
		written = false;
	if (!written)
		ereport(LOG, (errcode_for_file_access(),
					  errmsg("could not write file \"%s\": %m", SNAPSHOT_NEW)));
	else if (durable_rename(SNAPSHOT_NEW, SNAPSHOT_FILE, LOG) == 0)
		return true;
	(void) unlink(SNAPSHOT_NEW);
	if (trace != NULL && trace->sets != NULL)
	{
		pfree(trace->sets);
		trace->sets = NULL;
	}
	return false;
}

/* NULL, or what is wrong with the file. */
static const char *
examine(FILE *file, Header *header)
{
	static char piece[PIECE];
	struct stat st;
	pg_crc32c body;
	size_t n;

	if (fstat(fileno(file), &st) != 0 || fread(header, sizeof(*header), 1, file) != 1)
		return "it is too short";
	if (header->magic != SNAPSHOT_MAGIC || header->version != SNAPSHOT_VERSION ||
		header->image_size != sizeof(HdImage))
		return "it is of another version";
	if (header->crc != header_checksum(header))
		return "its checksum is wrong";
	if (header->system_identifier != GetSystemIdentifier())
		return "it belongs to another cluster";
	if (header->bytes != (uint64) st.st_size - sizeof(*header))
		return "its length is wrong";
	INIT_CRC32C(body);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		body = checksum(body, piece, n);
	FIN_CRC32C(body);
	if (ferror(file) || body != header->body)
		return "its checksum is wrong";
	if (header->era.clock < 0 || header->era.clock > HD_LOG_MAX_US || header->era.latest < 0)
		return "its clock is wrong";
	return (fseek(file, sizeof(*header), SEEK_SET) == 0) ? NULL : "it cannot be read";
}

/* The images of a file that was examined; how many were put back. */
static uint64
restore_all(FILE *file, Header *header)
{
	int64 now = Max(hd_clock_now(), header->era.clock);
	uint64 restored = 0;

	for (uint64 i = 0; i < header->images; i++)
	{
		HdImage *image = &copy.images[0];
		uint64 *runs = copy.runs[0];

		if (fread(image, sizeof(*image), 1, file) != 1 || image->runs > HD_IMAGE_MAX_RUNS ||
			(image->runs > 0 && fread(runs, sizeof(uint64) * image->runs, 1, file) != 1))
			break;
		if (!hd_limits_image_is_sane(image, runs))
			continue;
		if (image->until <= now * HD_NS_PER_US)
		{
			header->era.latest = Max(header->era.latest, image->until);
			restored++;
		}
		else if (hd_limits_image_restore(image, runs, now))
			restored++;
	}
	return restored;
}

void
hd_limits_snapshot_read(void)
{
	FILE *file = AllocateFile(SNAPSHOT_FILE, PG_BINARY_R);
	const char *wrong;
	uint64 restored;
	Header header;

	if (file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG, (errcode_for_file_access(),
						  errmsg("could not read file \"%s\": %m", SNAPSHOT_FILE),
						  errdetail("All rate limits start full.")));
		return;
	}
	wrong = examine(file, &header);
	if (wrong == NULL)
	{
		/* the seed goes first, the latest time last: buckets are as they were, not as new ones */
		HdSlotEra era = {header.era.seed, header.era.clock, 0};

		hd_limits_slots_resume(&era);
		restored = restore_all(file, &header);
		hd_limits_slots_resume(&header.era);
		if (restored < header.images)
			ereport(LOG, (errmsg("%llu of %llu rate limit buckets found no room, or made no sense",
								 (unsigned long long) (header.images - restored),
								 (unsigned long long) header.images)));
	}
	FreeFile(file);
	if (wrong == NULL)
		return;
	ereport(LOG,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("file \"%s\" is not used: %s", SNAPSHOT_FILE, wrong),
			 errdetail("All rate limits start full. The file is kept as \"%s\".", SNAPSHOT_BAD)));
	(void) durable_rename(SNAPSHOT_FILE, SNAPSHOT_BAD, LOG);
}
