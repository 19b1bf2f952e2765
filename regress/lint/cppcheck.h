/*
 * cppcheck.h
 *		What cppcheck must know of the server's headers, which it does not read.
 *
 * Mainly that an ereport at ERROR does not come back, nor an Assert that fails.
 */
#define PG_VERSION_NUM 150000
#define PG_FUNCTION_INFO_V1(name) extern int hd_lint_##name
#define PG_MODULE_MAGIC extern int hd_lint_magic
#define PGDLLEXPORT
#define pg_attribute_printf(format, arguments)
#define pg_attribute_noreturn() __attribute__((noreturn))
#define ERROR 21
#define FATAL 22
#define PANIC 23
#define foreach(cell, list) for (cell = hd_lint_first(list); cell != 0; cell = hd_lint_next(cell))
#define forboth(cell1, list1, cell2, list2) foreach (cell1, list1)
#define dlist_foreach(iter, head) \
	for (iter.cur = (head)->next; iter.cur != (head); iter.cur = iter.cur->next)
#define ereport(level, rest) \
	do \
	{ \
		if ((level) >= ERROR) \
			abort(); \
	} while (0)
#define Assert(condition) \
	do \
	{ \
		if (!(condition)) \
			abort(); \
	} while (0)
#define elog(level, ...) ereport(level, 0)
