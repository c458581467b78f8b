/* date.h - dates of crawls: RFC 3339 with all the precisions WARC 1.1 allows. */
#ifndef VLM_BASE_DATE_H
#define VLM_BASE_DATE_H

#include "base/vlm.h"

/* Seconds since 0000-01-01 (proleptic Gregorian), so that all valid dates are positive and order as
 * numbers. Accepts YYYY, YYYY-MM, YYYY-MM-DD and YYYY-MM-DDThh:mm[:ss[.fraction]] with Z or +hh:mm.
 * 0: not a date. */
uint64_t vlm_date_seconds(const char *text);

#endif
