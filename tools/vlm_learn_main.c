/* vlm_learn_main.c - vlm-learn: the measurements of `make learn` and of the long tests. Not installed. */
#include "base/vlm.h"

#include "base/verb.h"
#include "tools/learn/learn.h"

static const struct vlm_verb verbs[] = {
    { "shapes", vlm_learn_shapes, "small models on pictures of 16 codes, against thresholds" },
    { "measure", vlm_learn_measure, "captions, hidden words and drawings of the simple world" },
};
static const struct vlm_verbs program = {
    .name = "vlm-learn",
    .synopsis = "VERB [options]",
    .summary = "Measures what a model has learned, each number beside its control.",
    .list = verbs,
    .n = VLM_COUNTOF(verbs),
};

int main(int argc, char **argv)
{
    return vlm_verbs_main(&program, argc, argv);
}
