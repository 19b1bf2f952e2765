/*
 * driver.c
 *	  Feeds a target with its seeds and with what random changes make of them.
 *
 * Model: inputs that reach a branch that none has reached before are kept and changed on. The
 * compiler reports branches (-fsanitize-coverage=trace-pc) to a function here. The same seed
 * number gives the same inputs, so a failure can be repeated.
 *
 *	  driver [-n INPUTS] [-t SECONDS] [-s SEED]		ends after so many inputs, or so much time
 *	  driver FILE...								runs these inputs alone
 *
 * When the target stops the program, the input is left in crash-<seed>; one that takes more than
 * LIMIT_S seconds counts as one that stops.
 */
#include "fuzz.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <sanitizer/asan_interface.h>

#define INPUT_MOST 4096
#define POOL_MOST 4096
#define BRANCHES 65536
#define CHANGES_MOST 6
#define LIMIT_S 5

typedef struct Input
{
	uint8_t *data;
	size_t size;
} Input;

static Input pool[POOL_MOST];
static size_t pool_count;
static uint8_t branches[BRANCHES];
static size_t branches_seen;
static uint8_t current[INPUT_MOST];
static size_t current_size;
static uint64_t random_state;
static unsigned long long seed = 1;

/* ---- coverage ---- */

void __sanitizer_cov_trace_pc(void);

/* The program lies elsewhere each time, so places are counted from a function of it. */
__attribute__((no_sanitize("address", "undefined"))) void
__sanitizer_cov_trace_pc(void)
{
	uintptr_t place =
		(uintptr_t) __builtin_return_address(0) - (uintptr_t) &__sanitizer_cov_trace_pc;
	size_t slot = (place * 2654435761U >> 8) % BRANCHES;

	branches_seen += branches[slot] == 0;
	branches[slot] = 1;
}

/* ---- the end ---- */

/* Called by the sanitizer and by the signals' handler, so nothing but system calls. */
static void
leave_input(void)
{
	char name[64];
	FILE *file;

	snprintf(name, sizeof(name), "crash-%llu", seed);
	file = fopen(name, "wb");
	if (file == NULL)
		return;
	fwrite(current, 1, current_size, file);
	fclose(file);
	fprintf(stderr, "the input of %zu bytes is in %s\n", current_size, name);
}

static void
stopped(int number)
{
	fprintf(stderr, "%s\n", number == SIGALRM ? "this input takes too long" : "the target gave up");
	leave_input();
	_exit(1);
}

/* ---- changes ---- */

static size_t
below(size_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return bound == 0 ? 0 : (size_t) (random_state >> 11) % bound;
}

static size_t
count_of(const char *const *list)
{
	size_t count = 0;

	while (list[count] != NULL)
		count++;
	return count;
}

static void
insert(const void *data, size_t size)
{
	size_t at = below(current_size + 1);

	if (current_size + size > INPUT_MOST)
		return;
	memmove(current + at + size, current + at, current_size - at);
	memcpy(current + at, data, size);
	current_size += size;
}

static void
delete_some(void)
{
	size_t at = below(current_size);
	size_t size = below(current_size - at) % 64 + 1;

	if (at + size > current_size)
		return;
	memmove(current + at, current + at + size, current_size - at - size);
	current_size -= size;
}

static void
repeat_some(void)
{
	uint8_t piece[64];
	size_t at = below(current_size);
	size_t size = below(current_size - at) % sizeof(piece);

	memcpy(piece, current + at, size);
	for (size_t times = below(8) + 1; times > 0; times--)
		insert(piece, size);
}

/* The head of this input and the tail of another. */
static void
cross(void)
{
	const Input *other = &pool[below(pool_count)];
	size_t at = below(other->size);
	size_t keep = below(current_size + 1);

	if (keep + other->size - at > INPUT_MOST)
		return;
	memcpy(current + keep, other->data + at, other->size - at);
	current_size = keep + other->size - at;
}

static void
change(void)
{
	static const uint8_t bytes[] = {0, 1, 9, 10, 13, 32, '0', '9', 'a', '%', 127, 128, 255};
	const char *word;
	uint8_t byte;

	switch (current_size == 0 ? 7 : below(9))
	{
		case 0:
			current[below(current_size)] ^= (uint8_t) (1 << below(8));
			break;
		case 1:
			current[below(current_size)] = bytes[below(sizeof(bytes))];
			break;
		case 2:
			current[below(current_size)] = (uint8_t) below(256);
			break;
		case 3:
			delete_some();
			break;
		case 4:
			repeat_some();
			break;
		case 5:
			cross();
			break;
		case 6:
			current_size = below(current_size + 1);
			break;
		case 7:
			word = fuzz_words[below(count_of(fuzz_words))];
			if (word != NULL)
				insert(word, strlen(word));
			break;
		default:
			byte = bytes[below(sizeof(bytes))];
			insert(&byte, 1);
	}
}

/* ---- the run ---- */

/* A copy of the exact size, so that one byte too far is noticed. */
static void
run_current(void)
{
	uint8_t *copy = malloc(current_size == 0 ? 1 : current_size);

	if (copy == NULL)
		abort();
	memcpy(copy, current, current_size);
	alarm(LIMIT_S);
	(void) LLVMFuzzerTestOneInput(copy, current_size);
	alarm(0);
	free(copy);
}

static void
keep_current(void)
{
	Input *input = &pool[pool_count];

	if (pool_count == POOL_MOST)
		return;
	input->data = malloc(current_size == 0 ? 1 : current_size);
	if (input->data == NULL)
		abort();
	memcpy(input->data, current, current_size);
	input->size = current_size;
	pool_count++;
}

static void
run_file(const char *name)
{
	FILE *file = fopen(name, "rb");

	if (file == NULL)
		abort();
	current_size = fread(current, 1, sizeof(current), file);
	fclose(file);
	run_current();
}

static void
run_seeds(void)
{
	for (size_t i = 0; fuzz_seeds[i] != NULL; i++)
	{
		current_size = strlen(fuzz_seeds[i]);
		if (current_size > INPUT_MOST)
			abort();
		memcpy(current, fuzz_seeds[i], current_size);
		run_current();
		keep_current();
	}
}

static void
run_changed(void)
{
	const Input *parent = &pool[below(pool_count)];
	size_t seen = branches_seen;

	memcpy(current, parent->data, parent->size);
	current_size = parent->size;
	for (size_t changes = below(CHANGES_MOST) + 1; changes > 0; changes--)
		change();
	run_current();
	if (branches_seen > seen)
		keep_current();
}

int
main(int argc, char **argv)
{
	unsigned long long inputs = 100000;
	time_t until = 0;
	unsigned long long done = 0;
	int option;

	while ((option = getopt(argc, argv, "n:s:t:")) != -1)
	{
		if (option == 'n')
			inputs = strtoull(optarg, NULL, 10);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (option == 't')
			until = time(NULL) + atoi(optarg);
		else
			return 2;
	}
	__sanitizer_set_death_callback(leave_input);
	signal(SIGALRM, stopped);
	signal(SIGABRT, stopped);
	random_state = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
	if (optind < argc)
	{
		for (; optind < argc; optind++)
			run_file(argv[optind]);
		return 0;
	}
	run_seeds();
	for (; until != 0 ? time(NULL) < until : done < inputs; done++)
		run_changed();
	printf("%llu inputs, %zu branches, %zu inputs kept, seed %llu\n", done, branches_seen,
		   pool_count, seed);
	return 0;
}
