/* endpoint_chat.c - POST /v1/chat/completions, and POST /apply-template, which shows the prompt that it makes.
 *
 * Our models learn pages and captions, not conversations; so a template says what of a conversation they see. The parts of
 * all messages are written in their order. Words never become control tokens or tags: <, >, & and " are references in markup.
 *
 * Recipes of markup (cm3, htlm): '<html lang="en"><body>' in front; a text is "<p>TEXT</p>", a picture
 * '<img src="CODES">'. Then, by "modalities":
 *   ["text"], and the last message has a picture: its last picture is '<img alt="<mask:0>" src="CODES">', the page is closed,
 *     and the answer is what fills the mask: a caption;
 *   ["text"] otherwise: "<p>", and the answer ends before "</p>" or an "<img";
 *   ["image"]: the texts of the last message are '<img alt="TEXTS" src="' instead of a "<p>": the answer is one picture;
 *   ["text", "image"]: "<p>", and the page goes on to its end, with as many texts and pictures as the model writes.
 * The answer's content is the words of the page, without tags; content_parts has the order of words and pictures.
 *
 * Recipes of pairs (captioner): pictures and texts as they come, "<image>" and the words, and the answer goes on.
 *
 * Text (lm, and models of others): each message is "ROLE: TEXT" and a line break, ROLE with a capital letter; then
 * "Assistant:", and the answer ends before a line that begins with "User:". */
#include "base/vlm.h"
#include "serve/api/endpoints.h"
#include "serve/api/logprobs.h"
#include "serve/api/parts.h"
#include "serve/api/plain.h"
#include "serve/api/sse.h"

enum { MESSAGES_MAX = 256, CHOICES_MAX = 16 };
enum { MODALITY_TEXT = 1, MODALITY_IMAGE = 2 };

enum role { ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT };
#define ROLE_WORDS "system|developer|user|assistant"

struct message {
    struct chat *chat;
    int role;
    const struct vlm_value *content, *images;
    struct vlm_parts parts;
};

struct chat {
    struct vlm_call call;
    struct message *messages;
    size_t n_messages;
    const struct vlm_value *list;
    unsigned modalities; /* 0: not said */
    int64_t min_images;
    bool logprobs;
    int64_t top_logprobs;
    struct vlm_parts prompt;
    bool markup;
    const char **words;                  /* stop words, the template's among them */
    struct vlm_plain plain[CHOICES_MAX]; /* of streams */
};

/* ---- the request ---- */

static bool keep_list(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    if (value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "an array of messages", value);
    if (!value->n || value->n > MESSAGES_MAX)
        return vlm_reader_fail(reader, "'messages' has %zu messages, 1 to %d are allowed", value->n,
                               MESSAGES_MAX);
    ((struct chat *)target)->list = value;
    return true;
}

static bool read_modalities(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct chat *chat = target;
    size_t i = 0;
    if (value->kind == VLM_VALUE_NULL)
        return true;
    if (value->kind != VLM_VALUE_ARRAY || !value->n)
        return vlm_reader_wanted(reader, "an array of \"text\" and \"image\"", value);
    for (const struct vlm_value *each = value->first; each; each = each->next) {
        const size_t was = vlm_reader_element(reader, i++);
        if (each->kind == VLM_VALUE_STRING && !strcmp(each->text, "text"))
            chat->modalities |= MODALITY_TEXT;
        else if (each->kind == VLM_VALUE_STRING && !strcmp(each->text, "image"))
            chat->modalities |= MODALITY_IMAGE;
        else
            return vlm_reader_wanted(reader, "\"text\" or \"image\"", each);
        vlm_reader_back(reader, was);
    }
    return true;
}

static bool keep_max_images(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct chat *chat = target;
    int64_t number = -1;
    bool whole;
    if (value->kind == VLM_VALUE_NULL)
        return true;
    if (value->kind != VLM_VALUE_NUMBER || !vlm_value_whole(value, &number, &whole) || number < 0 ||
        number > 1024)
        return vlm_reader_wanted(reader, "a whole number from 0 to 1024", value);
    chat->call.request.options.images_limited = true;
    chat->call.request.options.images_max = (size_t)number;
    return true;
}

static bool keep_content(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    (void)reader;
    ((struct message *)target)->content = value->kind == VLM_VALUE_NULL ? NULL : value;
    return true;
}

static bool keep_images(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    if (value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "an array of pictures", value);
    ((struct message *)target)->images = value;
    return true;
}

static const struct vlm_field message_fields[] = {
    { "role", VLM_FIELD_WORD, offsetof(struct message, role), .words = ROLE_WORDS,
      .required = true },
    { "content", VLM_FIELD_OWN, 0, .nullable = true, .read = keep_content },
    { "images", VLM_FIELD_OWN, 0, .nullable = true, .read = keep_images },
    { "name", VLM_FIELD_TEXT, VLM_FIELD_NOWHERE, .nullable = true },
};
static const struct vlm_field_group message_group = { message_fields, VLM_COUNTOF(message_fields) };

#define MESSAGES_SCHEMA                                                                            \
    "{\"type\": \"array\", \"minItems\": 1, \"maxItems\": 256, \"items\": {\"type\": \"object\", " \
    "\"required\": [\"role\", \"content\"], \"properties\": {\"role\": {\"enum\": [\"system\", "   \
    "\"developer\", \"user\", \"assistant\"]}, \"content\": {\"anyOf\": [{\"type\": "              \
    "\"string\"}, {\"type\": \"array\", \"items\": {\"$ref\": "                                    \
    "\"#/components/schemas/Part\"}}]}}}}"

static const struct vlm_field fields[] = {
    { "messages", VLM_FIELD_OWN, 0, .required = true, .read = keep_list, .schema = MESSAGES_SCHEMA,
      .help = "what was said; content is a string or parts" },
    { "modalities", VLM_FIELD_OWN, 0, .nullable = true, .read = read_modalities,
      .schema = "{\"type\": [\"array\", \"null\"], \"minItems\": 1, \"items\": {\"enum\": "
                "[\"text\", \"image\"]}}",
      .help = "what the answer is made of; text when it is not said" },
    { "min_images", VLM_FIELD_WHOLE, offsetof(struct chat, min_images), .least = 0, .most = 16,
      .help = "so many pictures at least are begun before the answer ends" },
    { "max_images", VLM_FIELD_OWN, 0, .nullable = true, .read = keep_max_images,
      .schema = "{\"type\": [\"integer\", \"null\"], \"minimum\": 0, \"maximum\": 1024}",
      .help = "no picture is begun behind so many" },
    { "logprobs", VLM_FIELD_BOOL, offsetof(struct chat, logprobs), .nullable = true,
      .help = "how likely each token was" },
    { "top_logprobs", VLM_FIELD_WHOLE, offsetof(struct chat, top_logprobs), .least = 0, .most = 20,
      .nullable = true, .help = "so many of the likeliest tokens beside each that was drawn" },
};
static const struct vlm_field_group group = { fields, VLM_COUNTOF(fields) };
static const struct vlm_field_group *const groups[] = { &group,
                                                        &vlm_request_common,
                                                        &vlm_request_stream,
                                                        &vlm_request_sampling,
                                                        &vlm_request_seed,
                                                        &vlm_request_length,
                                                        &vlm_request_choices,
                                                        &vlm_request_text,
                                                        &vlm_request_images,
                                                        NULL };

static bool read_message(struct chat *chat, struct vlm_reader *reader, struct message *message,
                         const struct vlm_value *value)
{
    message->chat = chat;
    if (!vlm_fields_read(reader, value, message,
                         (const struct vlm_field_group *const[]){ &message_group, NULL }))
        return false;
    const struct vlm_value *lists[] = { message->content, message->images };
    static const char *const names[] = { "content", "images" };
    for (size_t i = 0; i < 2; i++) {
        const size_t was = vlm_reader_member(reader, names[i]);
        if (!i && !lists[0] && !lists[1])
            return vlm_reader_fail(reader, "'%s' is missing", reader->path);
        if (lists[i] && !vlm_parts_read(&message->parts, &chat->call, reader, lists[i], 0))
            return false;
        vlm_reader_back(reader, was);
    }
    return true;
}

static bool read_messages(struct chat *chat, struct vlm_reader *reader)
{
    chat->messages = vlm_arena_zero(reader->arena, chat->list->n, sizeof(*chat->messages));
    if (!chat->messages)
        return vlm_reader_fail(reader, "no memory for the messages");
    const size_t was = vlm_reader_member(reader, "messages");
    for (const struct vlm_value *each = chat->list->first; each; each = each->next) {
        const size_t inner = vlm_reader_element(reader, chat->n_messages);
        if (!read_message(chat, reader, &chat->messages[chat->n_messages++], each))
            return false;
        vlm_reader_back(reader, inner);
    }
    vlm_reader_back(reader, was);
    return true;
}

static bool fail_at(struct vlm_reader *reader, const char *field, const char *what)
{
    vlm_reader_member(reader, field);
    return vlm_reader_fail(reader, "%s", what);
}

/* How many pictures there are to be, beside what the modalities say. */
static bool check_images(struct chat *chat, struct vlm_reader *reader)
{
    struct vlm_generate_options *options = &chat->call.request.options;
    options->images_min = (size_t)chat->min_images;
    if (options->images_limited && options->images_max < options->images_min)
        return fail_at(reader, "max_images", "'max_images' is less than 'min_images'");
    if (options->images_min && !(chat->modalities & MODALITY_IMAGE))
        return fail_at(reader, "min_images", "pictures need \"modalities\" with \"image\"");
    if (chat->modalities == MODALITY_IMAGE &&
        (options->images_min > 1 || (options->images_limited && !options->images_max)))
        return fail_at(reader, options->images_min > 1 ? "min_images" : "max_images",
                       "\"modalities\": [\"image\"] is one picture");
    return true;
}

static bool read(struct vlm_call *call, struct vlm_reader *reader)
{
    struct chat *chat = (struct chat *)call;
    chat->markup = vlm_recipe_is_markup(&call->service->folder->recipe);
    if (!read_messages(chat, reader))
        return false;
    if (chat->top_logprobs && !chat->logprobs)
        return fail_at(reader, "top_logprobs", "'top_logprobs' needs \"logprobs\": true");
    if (!chat->modalities)
        chat->modalities = MODALITY_TEXT;
    if ((chat->modalities & MODALITY_IMAGE) && !call->service->choices->images)
        return fail_at(reader, "modalities", "this model draws no images");
    if (call->request.options.guidance != 1 && !(chat->modalities & MODALITY_IMAGE))
        return fail_at(reader, "cfg_scale_image",
                       "guidance is for pictures: \"modalities\" must have \"image\"");
    if (!check_images(chat, reader))
        return false;
    if (!call->request.max_tokens)
        return fail_at(reader, "max_tokens", "'max_tokens' must be at least 1");
    call->request.logprobs = chat->logprobs ? chat->top_logprobs : -1;
    call->request.options.likely = chat->logprobs ? (size_t)chat->top_logprobs : 0;
    return true;
}

/* ---- the template ---- */

/* How a page begins, as renderings do do. */
#define PAGE "<html lang=\"en\"><body>"

static bool add(struct chat *chat, enum vlm_prompt_kind kind, const char *text)
{
    return vlm_parts_add(&chat->prompt, &chat->call, kind, text, text ? strlen(text) : 0) != NULL;
}

static bool add_part(struct chat *chat, const struct vlm_prompt_part *part)
{
    struct vlm_prompt_part *to =
        vlm_parts_add(&chat->prompt, &chat->call, part->kind, part->text, part->n);
    if (to)
        *to = *part;
    return to != NULL;
}

/* The last picture of the last message: what a caption is for. */
static const struct vlm_prompt_part *picture_asked(const struct chat *chat)
{
    const struct vlm_parts *last = &chat->messages[chat->n_messages - 1].parts;
    for (size_t i = last->n; chat->modalities == MODALITY_TEXT && i-- > 0;)
        if (last->list[i].kind == VLM_PROMPT_IMAGE)
            return &last->list[i];
    return NULL;
}

static bool add_markup_part(struct chat *chat, const struct vlm_prompt_part *part, bool asked)
{
    if (part->kind != VLM_PROMPT_IMAGE)
        return !part->n || (add(chat, VLM_PROMPT_MARKUP, "<p>") && add_part(chat, part) &&
                            add(chat, VLM_PROMPT_MARKUP, "</p>"));
    if (!asked)
        return add_part(chat, part);
    return add(chat, VLM_PROMPT_MARKUP, "<img alt=\"") && add(chat, VLM_PROMPT_MASK, NULL) &&
           add(chat, VLM_PROMPT_MARKUP, "\" src=\"") && add_part(chat, part) &&
           add(chat, VLM_PROMPT_MARKUP, "\">");
}

/* '<img alt="TEXTS" src="' of the last message. */
static bool add_order(struct chat *chat)
{
    const struct vlm_parts *last = &chat->messages[chat->n_messages - 1].parts;
    bool any = false, good = true;
    for (size_t i = 0; good && i < last->n; i++) {
        if (last->list[i].kind == VLM_PROMPT_IMAGE || !last->list[i].n)
            continue;
        good = add(chat, any ? VLM_PROMPT_TEXT : VLM_PROMPT_MARKUP, any ? " " : "<img alt=\"") &&
               add_part(chat, &last->list[i]);
        any = true;
    }
    return good && add(chat, VLM_PROMPT_MARKUP, any ? "\" src=\"" : "<img src=\"");
}

static bool write_markup(struct chat *chat)
{
    const struct vlm_prompt_part *asked = picture_asked(chat);
    const bool draws = chat->modalities == MODALITY_IMAGE;
    if (!add(chat, VLM_PROMPT_MARKUP, PAGE))
        return false;
    for (size_t m = 0; m < chat->n_messages; m++) {
        const struct vlm_parts *parts = &chat->messages[m].parts;
        for (size_t i = 0; i < parts->n; i++) {
            const struct vlm_prompt_part *part = &parts->list[i];
            if (draws && m + 1 == chat->n_messages && part->kind != VLM_PROMPT_IMAGE)
                continue;
            if (!add_markup_part(chat, part, part == asked))
                return false;
        }
    }
    if (draws)
        return add_order(chat);
    return asked || add(chat, VLM_PROMPT_MARKUP, "<p>");
}

static bool write_pairs(struct chat *chat)
{
    for (size_t m = 0; m < chat->n_messages; m++)
        for (size_t i = 0; i < chat->messages[m].parts.n; i++)
            if (!add_part(chat, &chat->messages[m].parts.list[i]))
                return false;
    return true;
}

static bool write_lines(struct chat *chat)
{
    static const char *const names[] = { "System: ", "System: ", "User: ", "Assistant: " };
    for (size_t m = 0; m < chat->n_messages; m++) {
        const struct vlm_parts *parts = &chat->messages[m].parts;
        if (!add(chat, VLM_PROMPT_TEXT, names[chat->messages[m].role]))
            return false;
        for (size_t i = 0; i < parts->n; i++)
            if (!add_part(chat, &parts->list[i]))
                return false;
        if (!add(chat, VLM_PROMPT_TEXT, "\n"))
            return false;
    }
    return add(chat, VLM_PROMPT_TEXT, "Assistant:");
}

/* What ends an answer of the template, beside the request's own stop words. With ignore_eos nothing does; a page that goes
 * on is kept from pictures, which were not asked for. */
static bool add_stops(struct chat *chat)
{
    struct vlm_generate_options *options = &chat->call.request.options;
    static const char *const of_page[] = { "</p>", "<img" }, *const of_lines[] = { "\nUser:" };
    const char *const *stops = NULL;
    size_t n = 0;
    if (chat->markup && chat->modalities == MODALITY_TEXT && !picture_asked(chat))
        stops = of_page, n = VLM_COUNTOF(of_page);
    else if (!chat->markup && !chat->call.service->folder->recipe.encoder)
        stops = of_lines, n = VLM_COUNTOF(of_lines);
    if (options->ignore_end && stops == of_page) {
        options->images_limited = true;
        options->images_max = 0;
    }
    if (!n || options->ignore_end)
        return true;
    chat->words = vlm_arena_zero(&chat->call.arena, options->n_words + n, sizeof(*chat->words));
    if (!chat->words)
        return false;
    for (size_t i = 0; i < options->n_words; i++)
        chat->words[i] = options->words[i];
    for (size_t i = 0; i < n && options->n_words + i < VLM_STOP_WORDS_MAX; i++)
        chat->words[options->n_words + i] = stops[i];
    options->words = chat->words;
    options->n_words = VLM_MIN(options->n_words + n, (size_t)VLM_STOP_WORDS_MAX);
    return true;
}

/* The ids of '<img src="', for pictures that have to be. */
static bool make_start(struct chat *chat)
{
    struct vlm_call *call = &chat->call;
    struct vlm_generate_options *options = &call->request.options;
    struct vlm_sequence ids = { 0 };
    struct vlm_err err = { 0 };
    static const char text[] = "<img src=\"";
    if (!options->images_min || chat->modalities == MODALITY_IMAGE)
        return true;
    int rc = vlm_sequence_parse(call->service->sequencer, &ids, text, sizeof(text) - 1,
                                VLM_PARSE_MARKUP, &err);
    uint32_t *start = vlm_arena_zero(&call->arena, ids.n + 1, sizeof(*start));
    if (rc == VLM_OK && !start)
        rc = vlm_fail(&err, VLM_ENOMEM, "no memory for the prompt");
    if (rc == VLM_OK && ids.n)
        memcpy(start, ids.ids, ids.n * sizeof(*start));
    options->image_start = start;
    options->n_image_start = ids.n;
    vlm_sequence_release(&ids);
    if (rc != VLM_OK)
        vlm_call_fail_err(call, NULL, rc, &err);
    return rc == VLM_OK;
}

static bool prepare(struct vlm_call *call)
{
    struct chat *chat = (struct chat *)call;
    struct vlm_call_prompt *prompt = vlm_call_prompts(call, 1);
    if (!prompt)
        return false;
    const bool pairs = call->service->folder->recipe.encoder != NULL;
    const bool written = chat->markup ? write_markup(chat)
                         : pairs      ? write_pairs(chat)
                                      : write_lines(chat);
    if (!written || !add_stops(chat)) {
        vlm_call_fail(call, 503, NULL, "no memory for the prompt");
        return false;
    }
    call->request.options.one_image = chat->modalities == MODALITY_IMAGE;
    return vlm_parts_make(&chat->prompt, call, &prompt->made,
                          picture_asked(chat) && chat->markup ? VLM_PROMPT_CLOSE : 0, "messages") &&
           vlm_parts_bare(call, prompt, call->request.negative) && make_start(chat);
}

/* ---- answers ---- */

/* Whether text of the answer is markup whose tags are left out. */
static bool is_page(const struct chat *chat)
{
    return chat->markup;
}

/* The words of a piece of text, with what came before it in `plain`. */
static void add_words(const struct chat *chat, struct vlm_plain *plain, struct vlm_buffer *out,
                      const char *text, size_t n)
{
    if (is_page(chat))
        vlm_plain_add(plain, out, text, n);
    else
        vlm_buffer_add(out, text, n);
}

static void write_part(struct vlm_json *json, struct vlm_buffer *words)
{
    if (words->size) {
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "type", "text");
        vlm_json_key(json, "text");
        vlm_json_text(json, (const char *)words->data, words->size);
        vlm_json_close(json, '}');
    }
    json->out->failed = json->out->failed || words->failed;
    words->size = 0;
}

/* "content", then "images" and "content_parts" when there are pictures. */
static void write_message(const struct chat *chat, struct vlm_json *json,
                          const struct vlm_call_choice *choice)
{
    struct vlm_buffer all = { 0 }, words = { 0 }, parts = { 0 };
    struct vlm_json list = { .out = &parts };
    struct vlm_plain plain = { 0 };
    size_t index = 0;
    for (size_t f = 0; f < choice->n_fills; f++) {
        const struct vlm_call_fill *fill = &choice->fills[f];
        for (size_t i = 0; i < fill->n_pieces; i++) {
            const struct vlm_call_piece *piece = &fill->pieces[i];
            const bool none = chat->call.request.image_form == VLM_IMAGE_FORM_NONE;
            if (piece->image && (none || piece->image->merged || piece->image->refused))
                continue;
            if (!piece->image) {
                const size_t was = words.size;
                add_words(chat, &plain, &words, (const char *)fill->text.data + piece->start,
                          piece->n);
                vlm_buffer_add(&all, words.data + was, words.size - was);
                continue;
            }
            write_part(&list, &words);
            vlm_json_open(&list, '{');
            vlm_json_member_string(&list, "type", "image_ref");
            vlm_json_member_number(&list, "index", index++);
            vlm_json_close(&list, '}');
        }
    }
    const size_t was = words.size;
    vlm_plain_end(&plain, &words);
    vlm_buffer_add(&all, words.data + was, words.size - was);
    write_part(&list, &words);
    vlm_json_key(json, "content");
    vlm_json_text(json, all.size ? (const char *)all.data : "", all.size);
    if (choice->n_images) {
        vlm_call_write_images(&chat->call, json, choice, SIZE_MAX);
        vlm_json_key(json, "content_parts");
        vlm_json_open(json, '[');
        vlm_buffer_add(json->out, parts.data, parts.size);
        vlm_json_close(json, ']');
    }
    json->out->failed = json->out->failed || all.failed || parts.failed;
    vlm_buffer_release(&all);
    vlm_buffer_release(&words);
    vlm_buffer_release(&parts);
}

static void answer(struct vlm_call *call, struct vlm_json *json)
{
    const struct chat *chat = (const struct chat *)call;
    vlm_call_write_head(call, json, "chat.completion");
    vlm_json_key(json, "choices");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < call->n_choices; i++) {
        const struct vlm_call_choice *choice = &call->choices[i];
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "index", i);
        vlm_json_key(json, "message");
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "role", "assistant");
        write_message(chat, json, choice);
        vlm_json_close(json, '}');
        vlm_write_chat_logprobs(call, json, choice, 0, choice->n_drawn);
        vlm_json_member_string(json, "finish_reason", choice->finish);
        vlm_json_member_number(json, "seed", choice->seed);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
    vlm_call_write_usage(call, json);
    vlm_call_write_timings(call, json);
}

/* ---- streams ---- */

/* choice NULL: a chunk without choices. Else "delta" is open. */
static void open_chunk(struct vlm_call *call, struct vlm_buffer *buffer, struct vlm_json *json,
                       const struct vlm_call_choice *choice)
{
    vlm_call_open_chunk(call, buffer, json, choice);
    vlm_json_key(json, "delta");
    vlm_json_open(json, '{');
}

/* Closes "delta", the choice and the choices, and sends. */
static void send_chunk(struct vlm_call *call, struct vlm_buffer *buffer, struct vlm_json *json,
                       const struct vlm_call_choice *choice, const char *finish)
{
    vlm_json_close(json, '}');
    if (call->request.logprobs >= 0 && choice->told < choice->n_drawn)
        vlm_write_chat_logprobs(call, json, choice, choice->told, choice->n_drawn);
    else
        vlm_json_member_null(json, "logprobs");
    vlm_json_member_string(json, "finish_reason", finish);
    if (finish)
        vlm_json_member_number(json, "seed", choice->seed);
    vlm_json_close(json, '}');
    vlm_json_close(json, ']');
    vlm_sse_send(call, buffer, json);
}

static void begin(struct vlm_call *call)
{
    for (size_t i = 0; i < call->n_choices; i++) {
        struct vlm_buffer buffer;
        struct vlm_json json;
        open_chunk(call, &buffer, &json, &call->choices[i]);
        vlm_json_member_string(&json, "role", "assistant");
        vlm_json_member_string(&json, "content", "");
        send_chunk(call, &buffer, &json, &call->choices[i], NULL);
    }
}

static void send_words(struct vlm_call *call, struct vlm_call_choice *choice,
                       const struct vlm_buffer *words)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    if (!words->size && choice->told == choice->n_drawn)
        return;
    open_chunk(call, &buffer, &json, choice);
    vlm_json_key(&json, "content");
    vlm_json_text(&json, words->size ? (const char *)words->data : "", words->size);
    send_chunk(call, &buffer, &json, choice, NULL);
}

static void send_text(struct vlm_call *call, struct vlm_call_choice *choice, size_t fill,
                      const char *text, size_t n)
{
    struct chat *chat = (struct chat *)call;
    struct vlm_buffer words = { 0 };
    (void)fill;
    add_words(chat, &chat->plain[choice - call->choices], &words, text, n);
    send_words(call, choice, &words);
    vlm_buffer_release(&words);
}

static void send_image(struct vlm_call *call, struct vlm_call_choice *choice,
                       struct vlm_call_image *image, const uint8_t *file, size_t n)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    if (call->request.image_form == VLM_IMAGE_FORM_NONE)
        return;
    open_chunk(call, &buffer, &json, choice);
    vlm_json_key(&json, "images");
    vlm_json_open(&json, '[');
    vlm_call_write_streamed_image(call, &json, image, file, n);
    vlm_json_close(&json, ']');
    send_chunk(call, &buffer, &json, choice, NULL);
}

static void finish(struct vlm_call *call, struct vlm_call_choice *choice)
{
    struct chat *chat = (struct chat *)call;
    struct vlm_buffer buffer, words = { 0 };
    struct vlm_json json;
    vlm_plain_end(&chat->plain[choice - call->choices], &words);
    if (words.size)
        send_words(call, choice, &words);
    vlm_buffer_release(&words);
    open_chunk(call, &buffer, &json, choice);
    send_chunk(call, &buffer, &json, choice, choice->finish);
}

const struct vlm_call_kind vlm_kind_chat = {
    .endpoint = "/v1/chat/completions",
    .size = sizeof(struct chat),
    .id = "chatcmpl-",
    .chunk = "chat.completion.chunk",
    .schema = "ChatCompletion",
    .groups = groups,
    .read = read,
    .prepare = prepare,
    .answer = answer,
    .begin = begin,
    .text = send_text,
    .image = send_image,
    .finish = finish,
    .end = vlm_call_send_end,
    .progress = vlm_call_send_progress,
};

/* ---- the template alone ---- */

/* Answers with the prompt instead of asking the model. */
static bool show_prompt(struct vlm_call *call)
{
    struct vlm_buffer out = { 0 }, text = { 0 };
    struct vlm_json json = { .out = &out };
    struct vlm_err err = { 0 };
    if (!prepare(call))
        return false;
    const struct vlm_sequence *ids = &call->prompts[0].made.sequence;
    int rc = vlm_sequence_text(&text, call->service->choices->vocabulary, ids->ids, ids->n, &err);
    if (rc != VLM_OK) {
        vlm_buffer_release(&text);
        vlm_call_fail_err(call, "messages", rc, &err);
        return false;
    }
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "prompt");
    vlm_json_text(&json, text.size ? (const char *)text.data : "", text.size);
    vlm_json_key(&json, "tokens");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < ids->n; i++)
        vlm_json_number(&json, ids->ids[i]);
    vlm_json_close(&json, ']');
    vlm_json_close(&json, '}');
    out.failed = out.failed || text.failed;
    vlm_buffer_release(&text);
    vlm_call_answer_now(call, &out);
    return false;
}

const struct vlm_call_kind vlm_kind_template = {
    .endpoint = "/apply-template",
    .size = sizeof(struct chat),
    .at_once = true,
    .id = "template-",
    .groups = groups,
    .read = read,
    .prepare = show_prompt,
};
