/*-------------------------------------------------------------------------
 * flags.c
 *		Settings of the feature flags.
 *
 * hotdash.flag_context and hotdash.flag_overrides are JSON.  A live session
 * that sets one learns at once what is wrong with it; from a file or a role
 * it may come where no JSON can be read, so it is read at first use.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/flags.h"

#include "core/compat.h"
#include "core/settings.h"
#include "flags/store.h"
#include "flags/uses.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

/* A setting that is a JSON object: as text, and as it was read. */
typedef struct ObjectSetting
{
	const char *name;
	char *text;
	bool read;	   /* the text has been read into object */
	Jsonb *object; /* NULL: empty, or no object */
} ObjectSetting;

static ObjectSetting context_setting = {.name = "hotdash.flag_context"};
static ObjectSetting overrides_setting = {.name = "hotdash.flag_overrides"};
static char *environment = NULL;

int hd_flags_setting_bucketing = HD_BUCKETING_FLAGD_V2;
int hd_flags_setting_cache = 4096;
bool hd_flags_overrides_set = false;
bool hd_flags_context_set = false;
HdValue hd_flags_environment = {.type = HD_VALUE_NULL};

static const struct config_enum_entry bucketing_options[] = {
	{"flagd-v1", HD_BUCKETING_FLAGD_V1, false},
	{"flagd-v2", HD_BUCKETING_FLAGD_V2, false},
	{"flagd-v3", HD_BUCKETING_FLAGD_V3, false},
	{"unleash", HD_BUCKETING_UNLEASH, false},
	{"growthbook-1", HD_BUCKETING_GROWTHBOOK_1, false},
	{"growthbook-2", HD_BUCKETING_GROWTHBOOK_2, false},
	{"launchdarkly", HD_BUCKETING_LAUNCHDARKLY, false},
	{NULL, 0, false},
};

/* The object in a text, in the current context; NULL when it is another value.  Raises for no JSON. */
static Jsonb *
read_object(const char *text)
{
	Jsonb *value = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));

	return JB_ROOT_IS_OBJECT(value) ? value : NULL;
}

static bool
check_object(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || !IsUnderPostmaster || source < PGC_S_INTERACTIVE)
		return true;
	if (read_object(*newval) != NULL)
		return true;
	GUC_check_errdetail("It is a JSON object, as text.");
	return false;
}

static void
assign_context(const char *newval, void *extra)
{
	context_setting.read = false;
	hd_flags_context_set = newval != NULL && *newval != '\0';
}

static void
assign_environment(const char *newval, void *extra)
{
	hd_flags_environment = (newval == NULL || *newval == '\0')
							   ? hd_flags_null()
							   : hd_flags_string(newval, (int) strlen(newval));
}

static void
assign_overrides(const char *newval, void *extra)
{
	overrides_setting.read = false;
	hd_flags_overrides_set = newval != NULL && *newval != '\0';
}

/* Read at first use; kept until the setting changes. */
static Jsonb *
read_setting(ObjectSetting *setting)
{
	Jsonb *object;

	if (setting->read)
		return setting->object;
	if (setting->object != NULL)
		pfree(setting->object);
	setting->object = NULL;
	if (setting->text != NULL && setting->text[0] != '\0')
	{
		object = read_object(setting->text);
		if (object == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("setting \"%s\" is not a JSON object", setting->name),
							errhint("Set it to an object, as in '{\"shop\": \"berlin\"}'.")));
		setting->object = MemoryContextAlloc(TopMemoryContext, VARSIZE(object));
		memcpy(setting->object, object, VARSIZE(object));
		pfree(object);
	}
	setting->read = true;
	return setting->object;
}

JsonbContainer *
hd_flags_setting_context(void)
{
	Jsonb *object = read_setting(&context_setting);

	return (object != NULL) ? &object->root : NULL;
}

JsonbContainer *
hd_flags_setting_overrides(void)
{
	Jsonb *object = read_setting(&overrides_setting);

	return (object != NULL) ? &object->root : NULL;
}

void
hd_flags_init(void)
{
	DefineCustomStringVariable("hotdash.environment", "Environment that flags are evaluated for.",
							   "The attribute \"environment\" of a context that has none.",
							   &environment, "", PGC_USERSET, 0, NULL, assign_environment, NULL);
	DefineCustomStringVariable("hotdash.flag_context",
							   "Attributes that flags can read beside those of a call.",
							   "A JSON object, for a role, a session or a transaction; the context "
							   "of a call is merged over it.",
							   &context_setting.text, "", PGC_USERSET, 0, check_object,
							   assign_context, NULL);
	DefineCustomStringVariable("hotdash.flag_overrides",
							   "Variants that flags have in this session, for tests.",
							   "A JSON object: keys of flags with names of variants.",
							   &overrides_setting.text, "", PGC_SUSET, 0, check_object,
							   assign_overrides, NULL);
	DefineCustomEnumVariable("hotdash.flag_bucketing",
							 "How units are divided by flags that do not say so themselves.",
							 "Changing it moves units to other variants.",
							 &hd_flags_setting_bucketing, HD_BUCKETING_FLAGD_V2, bucketing_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.flag_cache", "Memory for compiled flags in each session.",
							NULL, &hd_flags_setting_cache, 4096, 64, MAX_KILOBYTES, PGC_USERSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	hd_flags_store_init();
	if (hd_settings_preloaded())
		hd_flags_uses_init();
}
