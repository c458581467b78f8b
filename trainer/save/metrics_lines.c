/* metrics_lines.c - what stands in a line of metrics.jsonl and perf.jsonl, in a fixed order of members. */
#include "base/vlm.h"

#include "trainer/save/metrics_lines.h"

static void write_place(struct vlm_json *json, const struct vlm_place *place, size_t sources)
{
    vlm_json_key(json, "place");
    vlm_json_open(json, '{');
    vlm_json_key(json, "documents");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < sources; i++)
        vlm_json_number(json, place->cursor.drawn[i]);
    vlm_json_close(json, ']');
    vlm_json_member_number(json, "sample", place->sample);
    vlm_json_close(json, '}');
}

void vlm_step_line_write(struct vlm_buffer *out, const struct vlm_step_line *line)
{
    static const char *const loss_key[VLM_MODALITIES] = { "loss_text", "loss_markup",
                                                          "loss_image" };
    VLM_BUG_IF(line->sources > VLM_SOURCES_MAX);
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "step", line->step);
    vlm_json_member_real(&json, "loss", line->loss);
    for (size_t i = 0; i < VLM_MODALITIES; i++)
        vlm_json_member_real(&json, loss_key[i], line->loss_of[i]);
    vlm_json_member_real(&json, "lr", line->rate);
    vlm_json_member_real(&json, "grad_norm", line->grad_norm);
    vlm_json_member_number(&json, "tokens", line->tokens);
    vlm_json_member_number(&json, "documents", line->documents);
    vlm_json_member_number(&json, "epoch", line->epoch);
    if (line->verdict != VLM_GUARD_ACCEPT)
        vlm_json_member_string(&json, "verdict",
                               line->verdict == VLM_GUARD_SKIP ? "skip" : "roll-back");
    write_place(&json, line->place, line->sources);
    vlm_json_close(&json, '}');
}

static struct vlm_json begin_event(struct vlm_buffer *out, const char *event, uint64_t step)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "event", event);
    vlm_json_member_number(&json, "step", step);
    return json;
}

void vlm_eval_line_write(struct vlm_buffer *out, uint64_t step,
                         const struct vlm_evaluation_sums *sums)
{
    struct vlm_json json = begin_event(out, "eval", step);
    vlm_evaluation_sums_write(&json, sums);
    vlm_json_close(&json, '}');
}

void vlm_sample_line_write(struct vlm_buffer *out, uint64_t step, const char *file)
{
    struct vlm_json json = begin_event(out, "sample", step);
    vlm_json_member_string(&json, "file", file);
    vlm_json_close(&json, '}');
}

void vlm_roll_back_line_write(struct vlm_buffer *out, uint64_t step, uint64_t to)
{
    struct vlm_json json = begin_event(out, "roll-back", step);
    vlm_json_member_number(&json, "to", to);
    vlm_json_close(&json, '}');
}

void vlm_perf_line_write(struct vlm_buffer *out, const struct vlm_perf_line *line)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "step", line->step);
    vlm_json_member_real(&json, "seconds", line->seconds);
    vlm_json_member_real(&json, "tokens_per_second", line->tokens_per_second);
    vlm_json_member_real(&json, "data_wait_ms", line->data_wait_ms);
    vlm_json_member_number(&json, "rss", line->rss);
    if (line->checkpoint_ms > 0)
        vlm_json_member_real(&json, "checkpoint_ms", line->checkpoint_ms);
    vlm_json_close(&json, '}');
}
