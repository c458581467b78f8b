/* run_config.h - a training run's folder, read back: what it saw in a step.
 *
 *   rc = vlm_run_config_read(&config, "run", &err);
 *   rc = vlm_run_place(&place, &config, 40, &err);      // from metrics.jsonl
 *   vlm_run_config_release(&config);
 */
#ifndef VLM_TOOLS_RUN_CONFIG_H
#define VLM_TOOLS_RUN_CONFIG_H

#include "trainer/run/train.h"

enum { VLM_RUN_SETTINGS_MAX = 256 };

/* Of config.resolved.ini, what decides its batches. */
struct vlm_run_config {
    struct vlm_train_run_options options; /* points into the rest */
    char *text[VLM_RUN_SETTINGS_MAX];     /* all strings */
    size_t n_text;
    char *sources; /* names of the shard sets */
    const char *settings[VLM_RUN_SETTINGS_MAX];
    const char *folder;
};

/* VLM_EFAIL: the folder is no run; VLM_EUSAGE: a line of config.resolved.ini that is no number or the like. */
VLM_MUST_CHECK int vlm_run_config_read(struct vlm_run_config *config, const char *folder,
                                       struct vlm_err *err);
void vlm_run_config_release(struct vlm_run_config *config);

/* Where the data of a logged step begins. */
struct vlm_run_step {
    uint64_t step; /* the last one logged that is not behind the one asked for */
    struct vlm_place place;
    bool rolled_back; /* the run went back at some time */
};

/* step 0: the last that is logged. VLM_EFAIL: the run has not come so far, or the sentence says what is wrong
 * with metrics.jsonl. */
VLM_MUST_CHECK int vlm_run_place(struct vlm_run_step *found, const struct vlm_run_config *config,
                                 uint64_t step, struct vlm_err *err);

#endif
