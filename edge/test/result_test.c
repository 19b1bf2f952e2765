/*
 * result_test.c
 *	  The report's JSON: ids as strings, what is missing as null, only as many as asked for.
 */
#include "result.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static bool
is_text(const cJSON *object, const char *key, const char *expected)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) && strcmp(item->valuestring, expected) == 0;
}

static bool
is_null(const cJSON *object, const char *key)
{
	return cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(object, key));
}

static bool
is_number(const cJSON *object, const char *key, double expected)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) && item->valuedouble >= expected && item->valuedouble <= expected;
}

static void
test_full(const cJSON *object)
{
	CHECK(is_text(object, "id", "9223372036854775807") && is_text(object, "token", "-1"),
		  "ids and tokens are strings, exact to the last digit");
	CHECK(is_number(object, "status", 429) && is_text(object, "class", "http"), "status and class");
	CHECK(is_text(object, "retry_after", "120") && is_text(object, "excerpt", "Zm9v") &&
			  is_text(object, "remote_ip", "192.0.2.1"),
		  "texts");
	CHECK(is_number(object, "total_us", 2147483647.0), "a duration beyond SQL's int stops there");
	CHECK(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "sent")) &&
			  cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(object, "reused")),
		  "booleans");
	CHECK(is_text(object, "error", "say \"no\"\\"), "quotes and backslashes survive");
}

static void
test_empty(const cJSON *object)
{
	static const char *const nulls[] = {"status",	 "error",	  "retry_after", "excerpt",
										"remote_ip", "http_date", "headers",	 "sent_at"};

	for (size_t i = 0; i < HD_COUNT(nulls); i++)
		CHECK(is_null(object, nulls[i]), "%s is null where there is none", nulls[i]);
	CHECK(is_text(object, "class", "blocked"), "the class is always there");
}

int
main(void)
{
	char excerpt[] = "Zm9v";
	HdResult third = {.id = 3};
	HdResult second = {.next = &third, .id = 2, .outcome = HD_OUTCOME_BLOCKED};
	HdResult first = {.next = &second,
					  .id = INT64_MAX,
					  .token = -1,
					  .outcome = HD_OUTCOME_HTTP,
					  .status = 429,
					  .sent = true,
					  .total_us = INT64_C(4000000000),
					  .excerpt = excerpt,
					  .remote_ip = "192.0.2.1",
					  .retry_after = "120",
					  .error = "say \"no\"\\"};
	char *json = hd_result_list_json(&first, 2);
	cJSON *array = json == NULL ? NULL : cJSON_Parse(json);

	CHECK(cJSON_GetArraySize(array) == 2, "two of three were asked for");
	test_full(cJSON_GetArrayItem(array, 0));
	test_empty(cJSON_GetArrayItem(array, 1));
	CHECK(strcmp(hd_outcome_name(HD_OUTCOME_INVALID), "invalid") == 0, "names follow the enum");
	CHECK(hd_result_list_fit(&first, 3, 4) == 3 && hd_result_list_fit(&first, 2, 4) == 2,
		  "what fits is not cut");
	CHECK(hd_result_list_fit(&first, 3, 3) == 1, "the first always fits");
	second.headers = excerpt;
	CHECK(hd_result_list_fit(&first, 3, 7) == 1 && hd_result_list_fit(&first, 3, 8) == 3,
		  "kept texts count together");
	CHECK(hd_result_bytes(&second) == sizeof(second) + 4, "and for the memory of a result");
	cJSON_Delete(array);
	free(json);
	return check_end();
}
