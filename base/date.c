/* date.c - RFC 3339 dates as one number that orders them. */
#include "base/vlm.h"
#include "base/date.h"

static bool take_digits(const char **at, size_t n, unsigned *value)
{
    *value = 0;
    for (size_t i = 0; i < n; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return false;
        *value = *value * 10 + (unsigned)(c - '0');
    }
    *at += n;
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t days_before(unsigned year, unsigned month)
{
    static const uint16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    uint64_t leaps = year ? (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 : 0;
    return year * UINT64_C(365) + leaps + before[month - 1] + (month > 2 && is_leap(year));
}

/* hh:mm[:ss[.fraction]] and the zone; the fraction is dropped. */
static bool take_time(const char **at, int64_t *seconds)
{
    unsigned hour, minute, second = 0, zone_hour = 0, zone_minute = 0;
    if (!take_digits(at, 2, &hour) || !take_char(at, ':') || !take_digits(at, 2, &minute))
        return false;
    if (take_char(at, ':') && !take_digits(at, 2, &second))
        return false;
    if (take_char(at, '.')) {
        size_t digits = strspn(*at, "0123456789");
        if (!digits)
            return false;
        *at += digits;
    }
    int64_t sign = **at == '-' ? -1 : 1;
    if (take_char(at, '+') || take_char(at, '-')) {
        if (!take_digits(at, 2, &zone_hour) || !take_char(at, ':') ||
            !take_digits(at, 2, &zone_minute))
            return false;
    } else if (!take_char(at, 'Z') && !take_char(at, 'z')) {
        return false;
    }
    *seconds = hour * INT64_C(3600) + minute * 60 + second -
               sign * (zone_hour * INT64_C(3600) + zone_minute * 60);
    return hour < 24 && minute < 60 && second <= 60 && zone_hour < 24 && zone_minute < 60;
}

uint64_t vlm_date_seconds(const char *text)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned year, month = 1, day = 1;
    int64_t seconds = 0;
    const char *start = text;
    if (!text || !take_digits(&text, 4, &year))
        return 0;
    bool has_month = take_char(&text, '-');
    if (has_month && !take_digits(&text, 2, &month))
        return 0;
    if (month < 1 || month > 12)
        return 0;
    bool whole_date = has_month && take_char(&text, '-');
    if (whole_date && !take_digits(&text, 2, &day))
        return 0;
    if (day < 1 || day > days[month - 1] + (unsigned)(month == 2 && is_leap(year)))
        return 0;
    /* A time follows a whole date. */
    if ((take_char(&text, 'T') || take_char(&text, 't')) &&
        (text - start != 11 || !take_time(&text, &seconds)))
        return 0;
    if (*text)
        return 0;
    uint64_t whole = (days_before(year, month) + day - 1) * 86400;
    return seconds < 0 && (uint64_t)-seconds >= whole ? 1 : whole + (uint64_t)seconds;
}
