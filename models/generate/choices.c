/* choices.c - the ids of a vocabulary by what they may stand for in an answer. */
#include "base/vlm.h"

#include "models/generate/choices.h"
#include "models/generate/grammar.h"

static void choose(struct vlm_choice *choice, uint32_t id)
{
    if (!choice->n_runs || choice->runs[choice->n_runs - 1][1] != id)
        choice->runs[choice->n_runs++][0] = id;
    choice->runs[choice->n_runs - 1][1] = id + 1;
    choice->ids[choice->n++] = id;
}

/* The bytes of a text token; none for other ids. */
static struct vlm_bytes text_piece(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id) ||
        vlm_vocabulary_mask_number(vocabulary, id) >= 0)
        return (struct vlm_bytes){ .at = NULL };
    return vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
}

/* <EOC> stands in the forms without markup only. A foreign model may draw ids without a name, as it does elsewhere. */
static void fill_choices(struct vlm_choices *it)
{
    const struct vlm_vocabulary *vocabulary = it->vocabulary;
    const uint32_t end_of_chunk = vocabulary->control[VLM_CONTROL_END_OF_CHUNK];
    for (uint32_t id = 0; id < vocabulary->size; id++) {
        const struct vlm_bytes piece = text_piece(vocabulary, id);
        const bool code = vlm_vocabulary_is_code(vocabulary, id);
        const bool bytes = piece.at && vlm_bytes_left(&piece);
        const bool text = bytes || vlm_vocabulary_is_nameless(vocabulary, id) ||
                          (id == end_of_chunk && !it->images);
        if (code)
            choose(&it->code, id);
        if (text)
            choose(&it->text, id);
        if (text || code)
            choose(&it->any, id);
        if (bytes && piece.at[0] == '"')
            choose(&it->quote, id);
        if (bytes && piece.at[0] == ' ')
            choose(&it->space, id);
    }
    if (!it->quote.n)
        for (size_t i = 0; i < it->text.n; i++)
            choose(&it->quote, it->text.ids[i]);
}

int vlm_choices_init(struct vlm_choices *choices, const struct vlm_engine *engine,
                     const struct vlm_model *model, const struct vlm_vocabulary *vocabulary,
                     struct vlm_err *err)
{
    const struct vlm_model_config *config = &model->config;
    *choices = (struct vlm_choices){
        .kernels = engine->kernels,
        .model = config,
        .vocabulary = vocabulary,
        .image_length = config->encoder ? config->bridge_sizes.length : 0,
        .images = vocabulary->n_codes && !config->encoder,
    };
    if (vocabulary->size > config->vocabulary)
        return vlm_fail(err, VLM_EUSAGE, "a vocabulary of %" PRIu32 " ids, but the model has %zu",
                        vocabulary->size, config->vocabulary);
    struct vlm_choice *choice[] = { &choices->text, &choices->code, &choices->quote,
                                    &choices->space, &choices->any };
    for (size_t i = 0; i < VLM_COUNTOF(choice); i++) {
        choice[i]->ids = calloc((size_t)vocabulary->size + 1, sizeof(*choice[i]->ids));
        choice[i]->runs = calloc((size_t)vocabulary->size + 1, sizeof(*choice[i]->runs));
        if (choice[i]->ids && choice[i]->runs)
            continue;
        vlm_choices_release(choices);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " choices", vocabulary->size);
    }
    fill_choices(choices);
    return VLM_OK;
}

void vlm_choices_release(struct vlm_choices *choices)
{
    struct vlm_choice *choice[] = { &choices->text, &choices->code, &choices->quote,
                                    &choices->space, &choices->any };
    for (size_t i = 0; i < VLM_COUNTOF(choice); i++) {
        free(choice[i]->ids);
        free(choice[i]->runs);
    }
    *choices = (struct vlm_choices){ .kernels = NULL };
}
