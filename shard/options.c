/* options.c - the thresholds of the profiles. A profile filters; without one, nothing is dropped but
 * URL duplicates and opt-outs. */
#include "base/vlm.h"

#include "shard/options.h"

const struct vlm_profile_rules *vlm_profile_rules(int profile)
{
    static const struct vlm_profile_rules rules[] = {
        [VLM_PROFILE_NONE] = { .images_min = 0 },
        /* Flamingo, appendix A.3.1: 64 pixels, aspect 3, no single colour, documents with images.
         * Gopher's smallest document: 50 words. */
        [VLM_PROFILE_M3W] = { .image = { .side_min = 64, .aspect_max = 3, .drop_blank = true },
                              .words_min = 50,
                              .images_min = 1 },
        /* OBELICS, config_filter_web_documents.yaml: 150 pixels, aspect 2, 10 words, 1 to 30 images. */
        [VLM_PROFILE_OBELICS] = { .image = { .side_min = 150, .aspect_max = 2 },
                                  .words_min = 10,
                                  .images_min = 1,
                                  .images_max = 30 },
    };
    VLM_BUG_IF(profile < 0 || (size_t)profile >= VLM_COUNTOF(rules));
    return &rules[profile];
}
