/* train_verbs.h - the verbs of vlm-train. Each parses its own options (argv[0] is "vlm-train VERB"), writes its
 * data to stdout and returns the exit status. */
#ifndef VLM_TOOLS_TRAIN_VERBS_H
#define VLM_TOOLS_TRAIN_VERBS_H

#include "base/json.h"
#include "base/option.h"
#include "trainer/data/corpus.h"

/* --validation of both verbs, so that both hold the same documents out. */
#define VLM_VALIDATION_DEFAULT "2%"

int vlm_train_verb_run(int argc, char **argv);
int vlm_train_verb_eval(int argc, char **argv);

/* Shard sets of operands, or of "A:0.7,B:0.3". *owned, which the caller frees, lives as long as data. VLM_EUSAGE:
 * none, both, too many, a weight that is none. */
VLM_MUST_CHECK int vlm_train_sources(struct vlm_corpus_options *data, char **owned, const char *mix,
                                     char **operands, size_t n, struct vlm_err *err);

/* "2%" or "0.02": 0 to 0.5. */
VLM_MUST_CHECK int vlm_train_share(double *share, const char *option, const char *text,
                                   struct vlm_err *err);

/* One line of what vlm_evaluation_sums_write() wrote, and of "step" where there is one. */
void vlm_train_print_sums(FILE *out, const char *title, json_object *sums);

/* What people want to know of the reports of vlm_train_run_start(). */
void vlm_train_print_plan(FILE *out, json_object *plan);
void vlm_train_print_report(FILE *out, json_object *report);

#endif
