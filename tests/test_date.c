/* test_date.c - dates of crawls against numbers from another calendar (timegm of the C library), and
 * what is no date. */
#include "base/vlm.h"

#include "base/date.h"

#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

/* Days from 0000-01-01 to 1970-01-01 in the proleptic Gregorian calendar. */
#define EPOCH (UINT64_C(719528) * 86400)

static void valid_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t unix_time;
    } dates[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970", 0 },
        { "1970-01", 0 },
        { "1970-01-01", 0 },
        { "1970-01-01T00:00Z", 0 },
        { "1970-01-01T00:00:00.0Z", 0 },
        { "1970-01-01T00:00:00.999999999Z", 0 },
        { "1970-01-01t00:00:00z", 0 },
        { "2000-02-29T00:00:00Z", 951782400 },
        { "2000-03-01T00:00:00Z", 951868800 },
        { "1900-03-01T00:00:00Z", -2203891200 },
        { "2008-04-30T20:48:25Z", 1209588505 },
        { "2008-04-30T20:48:25.123456Z", 1209588505 },
        { "2008-04-30T22:48:25+02:00", 1209588505 },
        { "2008-04-30T15:18:25-05:30", 1209588505 },
        { "2008-05-01T10:48:25+14:00", 1209588505 },
        { "2016-12-31T23:59:60Z", 1483228800 }, /* a leap second is the next second */
        { "2038-01-19T03:14:08Z", 2147483648 },
        { "9999-12-31T23:59:59Z", 253402300799 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(dates); i++)
        if (vlm_date_seconds(dates[i].text) != EPOCH + (uint64_t)dates[i].unix_time)
            fail_msg("%s gives %" PRIu64, dates[i].text, vlm_date_seconds(dates[i].text));
}

static void no_dates(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "x",
        "197",
        "1970-",
        "1970-1",
        "1970-00",
        "1970-13",
        "1970-01-",
        "1970-01-1",
        "1970-01-00",
        "1970-01-32",
        "1970-04-31",
        "1900-02-29",
        "2001-02-29",
        "2100-02-29",
        "2000-02-30",
        "1970-01-01T",
        "1970-01-01T00",
        "1970-01-01T00:00",
        "1970-01-01T00:00:00",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00,5Z",
        "1970-01-01T00:00:00+0200",
        "1970-01-01T00:00:00+02",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+02:60",
        "1970-01-01T00:00:00ZZ",
        "1970-01-01T00:00:00Z ",
        " 1970-01-01",
        "1970-01-01 00:00:00Z",
        "19700101000000",
        "-970-01-01",
        "+1970-01-01",
        "12345-01-01",
        "1970-01-01T-1:00:00Z",
        "1970T00:00Z",    /* a time needs a day */
        "1970-01T00:00Z", /* RFC 3339 and ISO 8601 alike */
    };
    assert_int_equal(vlm_date_seconds(NULL), 0);
    for (size_t i = 0; i < VLM_COUNTOF(texts); i++)
        if (vlm_date_seconds(texts[i]) != 0)
            fail_msg("'%s' is taken for a date", texts[i]);
}

/* Every day of four centuries, and the days around each turn of a year up to 9999. */
static void days_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = -25567; day < 4 * 146097; day += day < 146097 ? 1 : 37) {
        time_t seconds = (time_t)(day * 86400 + 12345);
        struct tm parts;
        char text[64];
        assert_non_null(gmtime_r(&seconds, &parts));
        assert_true(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0);
        if (vlm_date_seconds(text) != EPOCH + (uint64_t)seconds)
            fail_msg("%s gives %" PRIu64, text, vlm_date_seconds(text));
    }
}

static void the_first_years_are_dates_and_in_order(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (unsigned year = 1; year < 10000; year++) {
        char text[16];
        snprintf(text, sizeof(text), "%04u", year);
        uint64_t seconds = vlm_date_seconds(text);
        assert_true(seconds > last);
        last = seconds;
    }
    /* An offset that leads before the beginning is still a date, the earliest one. */
    assert_int_equal(vlm_date_seconds("0000-01-01T00:00:00+23:59"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_dates),
        cmocka_unit_test(no_dates),
        cmocka_unit_test(days_agree_with_the_c_library),
        cmocka_unit_test(the_first_years_are_dates_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
