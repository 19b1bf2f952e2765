/*-------------------------------------------------------------------------
 * growthbook_targets.c
 *		urlPatterns: the addresses that an experiment of GrowthBook is for.
 *
 * A pattern of type simple is an address with stars, compared part by part; its
 * parts become regular expressions when the flag is compiled.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"
#include "flags/growthbook_url.h"
#include "mb/pg_wchar.h"

/* What a star is while the pattern is read as an address, and its host where it has none. */
#define STAR "_____"

/* The host of an address that has none. */
#define NO_HOST "_"

/* A member that the query must have. */
typedef struct Member
{
	HdValue name;
	HdGrowthBookRegex *value;
} Member;

typedef struct Target
{
	bool exclude;
	HdGrowthBookRegex *whole; /* of type regex; NULL: of type simple, or it fits nothing */
	HdGrowthBookRegex *host;  /* NULL: not of type simple */
	HdGrowthBookRegex *path;
	HdGrowthBookRegex *fragment; /* NULL: any */
	Member *members;
	int nmembers;
} Target;

struct HdGrowthBookTargets
{
	int count;
	Target items[FLEXIBLE_ARRAY_MEMBER];
};

/* A part of an address, its stars as anything: ^...$ without regard to case. */
static HdGrowthBookRegex *
part_regex(HdGrowthBookParse *parse, const HdValue *part, bool is_path)
{
	const char *at = part->as.string;
	const char *end = at + part->length;
	StringInfoData text;
	HdValue pattern;

	initStringInfo(&text);
	appendStringInfoString(&text, is_path ? "^\\/?" : "^");
	if (is_path && at < end && *at == '/')
		at++;
	if (is_path && at < end && end[-1] == '/')
		end--;
	while (at < end)
	{
		if (end - at >= 5 && memcmp(at, STAR, 5) == 0)
		{
			appendStringInfoString(&text, ".*");
			at += 5;
			continue;
		}
		if (strchr("*.+?^${}()|[]\\", *at) != NULL)
			appendStringInfoChar(&text, '\\');
		appendStringInfoChar(&text, *at++);
	}
	appendStringInfoString(&text, is_path ? "\\/?$" : "$");
	pattern = hd_flags_string(text.data, text.len);
	return hd_flags_growthbook_regex(parse, &pattern, true);
}

static bool
parse_members(HdGrowthBookParse *parse, const HdValue *query, Target *target)
{
	HdUrlMember member;
	HdUrlVerdict verdict;
	int at = 0;

	target->members = palloc0(sizeof(Member) * (query->length + 1));
	while (hd_flags_url_member(query, &at, &member, &verdict))
	{
		target->members[target->nmembers].name = member.name;
		target->members[target->nmembers].value = part_regex(parse, &member.value, false);
		if (target->members[target->nmembers++].value == NULL)
			return false;
	}
	return verdict == HD_URL_FINE ||
		   hd_flags_growthbook_problem(parse, "the query of a URL pattern is not UTF-8");
}

/* With a scheme where a host stands without one, and stars as what hosts may have. */
static HdValue
readable_pattern(const HdValue *pattern)
{
	StringInfoData text;
	int limit = 0;
	bool host = false;

	initStringInfo(&text);
	while (limit < pattern->length && strchr(":/?", pattern->as.string[limit]) == NULL)
		host = pattern->as.string[limit++] == '.' || host;
	if (host)
		appendStringInfoString(&text, "https://");
	for (int i = 0; i < pattern->length; i++)
		if (pattern->as.string[i] == '*')
			appendStringInfoString(&text, STAR);
		else
			appendStringInfoChar(&text, pattern->as.string[i]);
	return hd_flags_string(text.data, text.len);
}

static bool
parse_simple(HdGrowthBookParse *parse, const HdValue *pattern, Target *target)
{
	HdValue star = hd_flags_literal(STAR);
	HdValue readable = readable_pattern(pattern);
	HdValue fragment;
	HdUrl url;
	HdUrlVerdict verdict = hd_flags_url_parse(&readable, &star, &url);

	if (verdict == HD_URL_INVALID)
		return true;
	if (verdict == HD_URL_FOREIGN)
		return hd_flags_growthbook_problem(
			parse, "what a browser makes of URL pattern \"%.*s\" is not known here",
			pg_mbcliplen(pattern->as.string, pattern->length, 100), pattern->as.string);
	target->host = part_regex(parse, &url.host, false);
	target->path = part_regex(parse, &url.path, true);
	if (url.fragment.length > 0)
	{
		fragment.as.string = psprintf("#%.*s", url.fragment.length, url.fragment.as.string);
		fragment = hd_flags_string(fragment.as.string, url.fragment.length + 1);
		target->fragment = part_regex(parse, &fragment, false);
	}
	return target->host != NULL && target->path != NULL &&
		   (url.fragment.length == 0 || target->fragment != NULL) &&
		   parse_members(parse, &url.query, target);
}

static bool
parse_target(HdGrowthBookParse *parse, const HdValue *source, Target *target)
{
	HdValue include;
	HdValue type;
	HdValue pattern;

	if (!hd_flags_member(source, "pattern", 7, &pattern) || pattern.type != HD_VALUE_STRING ||
		!hd_flags_member(source, "type", 4, &type))
		return hd_flags_growthbook_problem(parse, "a URL pattern has no pattern or type");
	target->exclude = hd_flags_member(source, "include", 7, &include) &&
					  include.type == HD_VALUE_BOOL && !include.as.boolean;
	if (hd_flags_is_string(&type, "simple", 6))
		return parse_simple(parse, &pattern, target);
	if (hd_flags_is_string(&type, "regex", 5))
		target->whole = hd_flags_growthbook_regex(parse, &pattern, false);
	return parse->problem == NULL;
}

bool
hd_flags_growthbook_targets(HdGrowthBookParse *parse, const HdValue *source,
							HdGrowthBookExperiment *experiment)
{
	HdGrowthBookTargets *targets;
	HdValueWalk walk;
	HdValue element;

	if (!hd_flags_is_array(source))
		return hd_flags_growthbook_problem(parse, "urlPatterns are no list");
	targets =
		palloc0(offsetof(HdGrowthBookTargets, items) + sizeof(Target) * hd_flags_length(source));
	experiment->targets = targets;
	hd_flags_walk(&walk, source);
	while (hd_flags_walk_next(&walk, &element))
		if (!parse_target(parse, &element, &targets->items[targets->count++]))
			return false;
	return true;
}

/* The whole address, and what comes behind its host. */
static bool
fits_whole(const HdGrowthBookRegex *regex, const HdUrl *url)
{
	StringInfoData text;
	HdValue whole;
	HdValue rest;
	int origin;

	initStringInfo(&text);
	appendStringInfo(&text, "%s%.*s", url->secure ? "https://" : "http://", url->host.length,
					 url->host.as.string);
	origin = text.len;
	appendBinaryStringInfo(&text, url->path.as.string, url->path.length);
	if (url->has_query)
		appendStringInfo(&text, "?%.*s", url->query.length, url->query.as.string);
	if (url->has_fragment)
		appendStringInfo(&text, "#%.*s", url->fragment.length, url->fragment.as.string);
	whole = hd_flags_string(text.data, text.len);
	rest = hd_flags_string(text.data + origin, text.len - origin);
	return hd_flags_growthbook_regex_matches(regex, &whole) ||
		   hd_flags_growthbook_regex_matches(regex, &rest);
}

/* The first member of the query of that name; one that is not there is empty. */
static bool
fits_member(const Member *expected, const HdUrl *url, HdUrlVerdict *verdict)
{
	HdValue nothing = hd_flags_literal("");
	HdUrlMember member;
	int at = 0;

	while (hd_flags_url_member(&url->query, &at, &member, verdict))
		if (hd_flags_is_string(&member.name, expected->name.as.string, expected->name.length))
			return hd_flags_growthbook_regex_matches(expected->value, &member.value);
	return hd_flags_growthbook_regex_matches(expected->value, &nothing);
}

static bool
fits_simple(const Target *target, const HdUrl *url, HdUrlVerdict *verdict)
{
	HdValue fragment = hd_flags_literal("");
	char *text;

	if (!hd_flags_growthbook_regex_matches(target->host, &url->host) ||
		!hd_flags_growthbook_regex_matches(target->path, &url->path))
		return false;
	if (url->fragment.length > 0)
	{
		text = psprintf("#%.*s", url->fragment.length, url->fragment.as.string);
		fragment = hd_flags_string(text, url->fragment.length + 1);
	}
	if (target->fragment != NULL && !hd_flags_growthbook_regex_matches(target->fragment, &fragment))
		return false;
	for (int i = 0; i < target->nmembers; i++)
		if (!fits_member(&target->members[i], url, verdict))
			return false;
	return true;
}

static bool
fits(const Target *target, const HdUrl *url, HdUrlVerdict *verdict)
{
	if (target->whole != NULL)
		return fits_whole(target->whole, url);
	return target->host != NULL && fits_simple(target, url, verdict);
}

bool
hd_flags_growthbook_targeted(HdFlagsRun *run, const HdGrowthBookTargets *targets,
							 const HdValue *text, bool *targeted)
{
	HdValue host = hd_flags_literal(NO_HOST);
	HdUrl url;
	HdUrlVerdict verdict = hd_flags_url_parse(text, &host, &url);
	bool valid = verdict == HD_URL_FINE;
	bool asked = false;
	bool included = false;
	bool excluded = false;

	for (int i = 0; verdict != HD_URL_FOREIGN && !excluded && i < targets->count; i++)
	{
		bool fit = valid && fits(&targets->items[i], &url, &verdict);

		asked = asked || !targets->items[i].exclude;
		included = included || (fit && !targets->items[i].exclude);
		excluded = fit && targets->items[i].exclude;
	}
	*targeted = targets->count > 0 && !excluded && (included || !asked);
	return verdict != HD_URL_FOREIGN || hd_flags_throw(run, "Unsupported URL");
}
