/* report_text.h - the report of a build for people. */
#ifndef VLM_TOOLS_REPORT_TEXT_H
#define VLM_TOOLS_REPORT_TEXT_H

#include "base/json.h"

/* Four lines: records with their damage, documents and images with the reasons of the skipped ones, the
 * join. report is the object that --json prints. */
void vlm_print_report(FILE *out, json_object *report);

/* A line for each part with its counts and SHA-256, then seconds and peak memory. */
void vlm_print_parts(FILE *out, json_object *report);

#endif
