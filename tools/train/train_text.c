/* train_text.c - the reports of a training for people: few lines, and what to do next. */
#include "base/vlm.h"

#include "base/progress.h"
#include "tools/train/train_verbs.h"

#include <math.h>

static json_object *member(json_object *object, const char *key)
{
    json_object *value = NULL;
    return object && json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static double real(json_object *object, const char *key)
{
    json_object *value = member(object, key);
    return value ? json_object_get_double(value) : NAN;
}

static uint64_t number(json_object *object, const char *key)
{
    return json_object_get_uint64(member(object, key));
}

static const char *text(json_object *object, const char *key)
{
    json_object *value = member(object, key);
    return value ? json_object_get_string(value) : "none";
}

static void print_model(FILE *out, json_object *report)
{
    char count[VLM_FORMAT_SIZE];
    fprintf(out,
            "%-12s %s, %s: %s parameters, %" PRIu64 " layers of width %" PRIu64
            ", samples of %" PRIu64 " tokens, %s\n",
            "model", text(report, "recipe"), text(report, "preset"),
            vlm_format_count(count, real(report, "parameters")), number(report, "layers"),
            number(report, "width"), number(report, "block"), text(report, "dtype"));
    fprintf(out, "%-12s %" PRIu64 " ids: text %s, images %s\n", "vocabulary",
            number(report, "vocabulary"), text(report, "tokenizer"),
            text(report, "image_tokenizer"));
}

void vlm_train_print_plan(FILE *out, json_object *plan)
{
    json_object *memory = member(plan, "memory");
    char n[6][VLM_FORMAT_SIZE];
    print_model(out, plan);
    fprintf(out, "%-12s %" PRIu64 " documents\n", "data", number(plan, "documents"));
    fprintf(out, "%-12s %" PRIu64 " of %s tokens at most (%" PRIu64 " x %" PRIu64 "), %s in all\n",
            "steps", number(plan, "steps"), vlm_format_count(n[0], real(plan, "tokens_of_a_step")),
            number(plan, "accumulation"), number(plan, "batch_tokens"),
            vlm_format_count(n[1], real(plan, "tokens")));
    fprintf(out, "%-12s %s: weights %s, gradients %s, moments %s, a step %s", "memory",
            vlm_format_bytes(n[0], real(memory, "sum")),
            vlm_format_bytes(n[1], real(memory, "weights")),
            vlm_format_bytes(n[2], real(memory, "gradients")),
            vlm_format_bytes(n[3], real(memory, "moments")),
            vlm_format_bytes(n[4], real(memory, "step")));
    fprintf(out, "; %s are available\n", vlm_format_bytes(n[5], real(memory, "available")));
}

/* "text 3.214 (1.93 bits a byte)  markup 0.81  image 4.10 (1516 bits an image)" */
void vlm_train_print_sums(FILE *out, const char *title, json_object *validation)
{
    static const char *const names[] = { "text", "markup", "image" };
    if (!validation || !number(validation, "documents")) {
        fprintf(out, "%-12s no documents\n", title);
        return;
    }
    json_object *step = member(validation, "step");
    fprintf(out, "%-12s", title);
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        char key[32];
        snprintf(key, sizeof(key), "loss_%s", names[i]);
        if (!member(validation, key))
            continue;
        fprintf(out, " %s %.3f", names[i], real(validation, key));
        if (i == 0 && member(validation, "bits_per_byte"))
            fprintf(out, " (%.3f bits a byte)", real(validation, "bits_per_byte"));
        if (i == 2)
            fprintf(out, " (%.0f bits an image)", real(validation, "bits_per_image"));
    }
    fprintf(out, " on %" PRIu64 " documents", number(validation, "documents"));
    if (step)
        fprintf(out, ", at step %" PRIu64, json_object_get_uint64(step));
    fputc('\n', out);
}

static void print_skipped(FILE *out, json_object *report)
{
    json_object *skipped = member(report, "skipped");
    if (number(skipped, "steps") + number(skipped, "damaged") + number(report, "roll_backs"))
        fprintf(out,
                "%-12s %" PRIu64 " bad steps, %" PRIu64 " roll-backs, %" PRIu64
                " damaged documents\n",
                "left out", number(skipped, "steps"), number(report, "roll_backs"),
                number(skipped, "damaged"));
}

void vlm_train_print_report(FILE *out, json_object *report)
{
    char n[4][VLM_FORMAT_SIZE];
    print_model(out, report);
    fprintf(out,
            "%-12s %" PRIu64 " of %" PRIu64 " steps, %s tokens, %s documents; here %s, %s tokens "
            "a second, %.1f%% of it waiting for data\n",
            "trained", number(report, "step"), number(report, "steps"),
            vlm_format_count(n[0], real(report, "tokens")),
            vlm_format_count(n[1], real(report, "documents")),
            vlm_format_duration(n[2], real(report, "seconds")),
            vlm_format_count(n[3], real(report, "tokens_per_second")),
            100 * real(report, "data_wait"));
    if (member(report, "validation"))
        vlm_train_print_sums(out, "validation", member(report, "validation"));
    print_skipped(out, report);
    if (member(report, "samples"))
        fprintf(out, "%-12s %s/%s\n", "samples", text(report, "run"), text(report, "samples"));
    fprintf(out, "%-12s %s\n", "model in", text(report, "model"));
    fprintf(out, "%-12s vlm-generate -m %s\n", "next", text(report, "model"));
}
