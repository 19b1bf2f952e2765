/*-------------------------------------------------------------------------
 * ledger.c
 *		Leases in a file that outlives the server's processes.
 *
 * Model: see ledger.h.  The file is hotdash.leases in the data directory: a
 * header page and one slot per entry.  Space is allocated up front, so that
 * a full disk cannot turn a later write into a SIGBUS.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "jobs/gates.h"
#include "jobs/lanes.h"
#include "jobs/list.h"
#include "jobs/place.h"
#include "miscadmin.h"
#include "storage/fd.h"

#define LEDGER_FILE "hotdash.leases"
#define LEDGER_MAGIC 0x48444c36 /* "HDL6": a change of the slot's layout changes it */
#define LEDGER_HEADER_SIZE 4096

/* The kernel's name for the time between two starts of the machine. */
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 40

typedef struct LedgerHeader
{
	uint32 magic;
	uint32 slot_size;
	int32 capacity;
	uint32 boot; /* part of every token, see list.h */
	uint64 system_identifier;
	char machine_boot[BOOT_ID_LENGTH]; /* the kernel's id of the boot in which it was written */
} LedgerHeader;

static LedgerHeader *header = NULL;
static HdLedgerSlot *slots = NULL;

HdLedgerSlot *
hd_jobs_ledger_slot(int32 index)
{
	return &slots[index];
}

static pg_crc32c
checksum(const HdLedgerSlot *slot)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, (const char *) slot + sizeof(pg_crc32c),
				sizeof(HdLedgerSlot) - sizeof(pg_crc32c));
	FIN_CRC32C(crc);
	return crc;
}

void
hd_jobs_ledger_seal(int32 index)
{
	slots[index].crc = checksum(&slots[index]);
}

void
hd_jobs_ledger_clear(int32 index)
{
	slots[index].use = HD_LEDGER_FREE;
}

/* A copy of the data directory that is being restored or follows a primary holds nobody's leases. */
static bool
is_copy(void)
{
	static const char *const signs[] = {"standby.signal", "recovery.signal", "backup_label"};
	struct stat st;

	for (int i = 0; i < lengthof(signs); i++)
		if (stat(signs[i], &st) == 0)
			return true;
	return false;
}

/* Empty where the kernel has none: then every start counts as one of the machine. */
static void
read_machine_boot(char *id)
{
	int fd = BasicOpenFile(BOOT_ID_FILE, O_RDONLY);
	ssize_t n = 0;

	memset(id, 0, BOOT_ID_LENGTH);
	if (fd < 0)
		return;
	n = read(fd, id, BOOT_ID_LENGTH - 1);
	if (n < 0)
		id[0] = '\0';
	close(fd);
}

/* Whether the server was shut down, and so the kernel had time to write the file. */
static bool
was_shut_down(void)
{
	bool crc_ok;
	ControlFileData *control = get_controlfile(".", &crc_ok);
	bool clean = crc_ok && control->state == DB_SHUTDOWNED;

	pfree(control);
	return clean;
}

static Size
file_size(int capacity)
{
	return LEDGER_HEADER_SIZE + sizeof(HdLedgerSlot) * (Size) capacity;
}

/*
 * Copy the leases of an earlier life out of the file; returns how many, and
 * the earlier boot in *boot (0: none is worth keeping).
 */
static int
read_leases(int fd, HdLedgerSlot **found, uint32 *boot)
{
	char machine_boot[BOOT_ID_LENGTH];
	LedgerHeader old;
	struct stat st;
	HdLedgerSlot *kept;
	bool damaged = false;
	int n = 0;

	*boot = 0;
	*found = NULL;
	hd_jobs_list->ledger_lost = true;
	if (fstat(fd, &st) != 0 || pg_pread(fd, &old, sizeof(old), 0) != sizeof(old))
		return 0;
	if (old.magic != LEDGER_MAGIC || old.slot_size != sizeof(HdLedgerSlot) || old.capacity < 0 ||
		old.system_identifier != GetSystemIdentifier() ||
		st.st_size < (off_t) file_size(old.capacity) || is_copy())
		return 0;

	*boot = old.boot;
	read_machine_boot(machine_boot);
	hd_jobs_list->ledger_lost =
		(machine_boot[0] == '\0' || strcmp(machine_boot, old.machine_boot) != 0) &&
		!was_shut_down();
	kept = MemoryContextAllocHuge(CurrentMemoryContext,
								  sizeof(HdLedgerSlot) * (Size) Max(old.capacity, 1));
	for (int i = 0; i < old.capacity; i++)
	{
		HdLedgerSlot *slot = &kept[n];
		off_t place = (off_t) file_size(i);

		if (pg_pread(fd, slot, sizeof(*slot), place) != sizeof(*slot))
			break;
		if (slot->use == HD_LEDGER_FREE)
			continue;
		if (slot->crc == checksum(slot))
			n++;
		else
			damaged = true;
	}

	/* Tokens of leases that are lost hold against the row only if they are of an earlier boot. */
	if (damaged || hd_jobs_list->ledger_lost)
		*boot = 0;
	hd_jobs_list->ledger_lost |= damaged;
	*found = kept;
	return n;
}

/*
 * Put one lease back; whoever was running it inside this server is gone.
 * False when there is no room for its queue.
 */
static bool
restore_lease(int32 index, const HdLedgerSlot *lease)
{
	HdJobPlace place = {.queue = lease->queue,
						.priority = lease->priority,
						.kind_hash = lease->kind_hash,
						.tenant_hash = lease->tenant_hash,
						.flow_hash = lease->flow_hash,
						.gate = lease->gate,
						.strict = lease->strict};
	HdJobEntry *entry;
	int32 db;
	int32 lane;
	int32 gate = -1;

	if (lease->use == HD_LEDGER_TENTATIVE)
		return true;
	place.lane = hd_jobs_place_lane(hd_jobs_place_queue_hash(lease->queue), &place);
	db = hd_jobs_list_database(lease->database, lease->extension);
	lane = (db >= 0) ? hd_jobs_lane_get(db, &place) : -1;
	if (lane >= 0 && lease->gate != 0)
		gate = hd_jobs_gate_get(db, &place);
	if (lane < 0 || (lease->gate != 0 && gate < 0))
		return false;

	hd_jobs_list_restore(index, lane, lease->id);
	if (gate >= 0)
		hd_jobs_list_set_gate(index, gate);
	entry = hd_jobs_entry(index);
	entry->at = lease->at;
	entry->token = lease->token;
	entry->state = HD_JOB_LEASED;
	entry->lease_expires = lease->lease_expires;
	ItemPointerSetInvalid(&entry->tid);
	hd_jobs_list_started(index);

	slots[index] = *lease;
	slots[index].use = HD_LEDGER_HELD;
	if (lease->use == HD_LEDGER_HANDLER || lease->bound)
	{
		slots[index].crashed = true;
		slots[index].bound = false;
		slots[index].handling = false;
		entry->lease_expires = slots[index].lease_expires = DT_NOBEGIN;
	}
	hd_jobs_ledger_seal(index);
	return true;
}

/*
 * Put back what was found; n leases under tokens of *boot.  Where one is
 * lost, *boot becomes 0: a new one makes its token one of an earlier boot,
 * which holds against the row.
 */
static void
restore_leases(const HdLedgerSlot *leases, int n, int capacity, uint32 *boot)
{
	int lost = Max(n - capacity, 0);

	for (int i = 0; i < n && i < capacity; i++)
		if (!restore_lease(i, &leases[i]))
			lost++;
	if (lost == 0)
		return;
	*boot = 0;
	hd_jobs_list->ledger_lost = true;
	ereport(LOG, (errmsg("hotdash forgot %d leases", lost),
				  errhint("Set hotdash.job_slots and hotdash.job_queues to what they were.")));
}

static void
map_file(int fd, int capacity)
{
	Size size = file_size(capacity);
	void *base;
	int rc;

	/* What is in the file stays in it until there is room: a failed start forgets no lease. */
	rc = posix_fallocate(fd, 0, (off_t) size);
	if (rc != 0)
	{
		errno = rc;
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not allocate %zu bytes for file \"%s\": %m", size, LEDGER_FILE)));
	}
	if (ftruncate(fd, (off_t) size) != 0)
		ereport(FATAL, (errcode_for_file_access(),
						errmsg("could not truncate file \"%s\": %m", LEDGER_FILE)));
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		ereport(FATAL,
				(errcode_for_file_access(), errmsg("could not map file \"%s\": %m", LEDGER_FILE)));
	header = base;
	slots = (HdLedgerSlot *) ((char *) base + LEDGER_HEADER_SIZE);
}

void
hd_jobs_ledger_open(int capacity)
{
	int fd = BasicOpenFile(LEDGER_FILE, O_RDWR | O_CREAT | PG_BINARY);
	HdLedgerSlot *leases;
	uint32 boot;
	int n;

	if (fd < 0)
		ereport(FATAL,
				(errcode_for_file_access(), errmsg("could not open file \"%s\": %m", LEDGER_FILE)));
	n = read_leases(fd, &leases, &boot);

	/* After a crash of a backend the file is still mapped, in this very postmaster. */
	if (header == NULL)
		map_file(fd, capacity);
	close(fd);
	memset(header, 0, file_size(capacity));
	restore_leases(leases, n, capacity, &boot);
	if (leases != NULL)
		pfree(leases);

	/* Tokens of this life start anywhere, so that none repeats one of an earlier life. */
	if (!pg_strong_random(&hd_jobs_list->next_token, sizeof(uint32)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	hd_jobs_list->first_token = hd_jobs_list->next_token;
	while (boot == 0)
	{
		if (!pg_strong_random(&boot, sizeof(boot)))
			ereport(FATAL,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		boot &= 0x7FFF;
	}
	read_machine_boot(header->machine_boot);
	header->magic = LEDGER_MAGIC;
	header->slot_size = sizeof(HdLedgerSlot);
	header->capacity = capacity;
	header->system_identifier = GetSystemIdentifier();
	header->boot = hd_jobs_list->boot = boot;
}
