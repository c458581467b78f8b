/* call_images.c - the pictures that a call draws.
 *
 * A picture is known code by code while it is drawn. One that other masks stand in as well is known only when its
 * choice is over, from the answer as a whole (vlm_call_finish_images). Functions that may end the call return false
 * when it is gone. */
#include "base/vlm.h"
#include "serve/api/call.h"

#include "base/hash.h"
#include "base/progress.h"
#include "serve/api/call_internal.h"

/* ---- to the client ---- */

static bool shows_pictures(const struct vlm_call *call)
{
    return call->service->pictures && call->request.image_form <= VLM_IMAGE_FORM_JPEG;
}

static void send_image(struct vlm_call *call, struct vlm_call_image *image, const uint8_t *file,
                       size_t n)
{
    if (!call->request.stream || !call->kind->image)
        return;
    vlm_call_start_stream(call);
    call->kind->image(call, &call->choices[image->choice], image, file, n);
}

static void on_decoded(void *argument, int rc, const struct vlm_err *err, const uint8_t *file,
                       size_t n, const uint8_t *square)
{
    struct vlm_call_image *image = argument;
    struct vlm_call *call = image->call;
    (void)square;
    image->task = NULL;
    call->images_waiting--;
    image->refused = rc == VLM_EUSAGE;
    if (rc != VLM_OK && rc != VLM_EUSAGE) {
        vlm_call_fail_err(call, NULL, rc == VLM_EFORMAT ? VLM_EFAIL : rc, err);
        return;
    }
    if (rc == VLM_OK && n) {
        struct vlm_err ignored = { 0 };
        vlm_buffer_add(&image->file, file, n);
        /* One that does not fit is only not kept. */
        if (!call->request.store ||
            vlm_blobs_put(call->service->pictures, image->sha256, file, n, &ignored) != VLM_OK)
            vlm_sha256(image->sha256, file, n);
    }
    if (image->file.failed) {
        vlm_call_fail(call, 503, NULL, "no memory for a picture");
        return;
    }
    if (rc == VLM_OK) {
        image->sent = true;
        send_image(call, image, image->file.data, image->file.size);
        if (!vlm_call_keeps_up(call))
            return;
    }
    if (!vlm_call_check_choice(call, &call->choices[image->choice]))
        return;
}

static void on_preview(void *argument, int rc, const struct vlm_err *err, const uint8_t *file,
                       size_t n, const uint8_t *square)
{
    struct vlm_call_preview *preview = argument;
    struct vlm_call_image *image = preview->image;
    (void)err, (void)square;
    preview->task = NULL;
    if (rc != VLM_OK || image->sent)
        return; /* a preview that cannot be made is left out */
    send_image(image->call, image, file, n);
    if (!vlm_call_keeps_up(image->call))
        return;
}

static struct vlm_picture_form form_of(struct vlm_call *call, const struct vlm_call_image *image,
                                       enum vlm_picture_format format)
{
    struct vlm_picture_form form = { .format = format,
                                     .quality = (int)call->request.image_quality };
    if (call->kind->form)
        call->kind->form(call, &call->choices[image->choice], image, &form);
    return form;
}

/* All codes that there will be are there. False: the call is gone. */
static bool finish_image(struct vlm_call *call, struct vlm_call_image *image)
{
    image->whole = true;
    if (!call->request.partial_images) { /* those were promised */
        vlm_pictures_cancel(call->service->pictures, image->previews[0].task);
        image->previews[0].task = NULL;
    }
    if (!call->service->pictures) {
        image->sent = true;
        send_image(call, image, NULL, 0);
        return vlm_call_keeps_up(call);
    }
    const enum vlm_picture_format format =
        call->request.image_form == VLM_IMAGE_FORM_JPEG  ? VLM_PICTURE_JPEG
        : call->request.image_form == VLM_IMAGE_FORM_PNG ? VLM_PICTURE_PNG
                                                         : VLM_PICTURE_NONE;
    const struct vlm_picture_form form = form_of(call, image, format);
    call->images_waiting++;
    image->task =
        vlm_pictures_decode(call->service->pictures, image->codes, &form, on_decoded, image);
    if (image->task)
        return true;
    vlm_call_fail(call, 503, NULL, "too many pictures wait");
    return false;
}

/* Whether a preview is due: so many milliseconds after the last one, or when the next share of the codes is there. */
static bool preview_is_due(struct vlm_call *call, struct vlm_call_image *image)
{
    const size_t partial = (size_t)call->request.partial_images;
    const int64_t interval = call->request.image_preview_ms;
    if (partial)
        return image->asked < partial && (image->at - image->begin) * (partial + 1) >=
                                             (image->asked + 1) * (image->end - image->begin);
    const double now = vlm_now();
    if (interval <= 0 || (now - image->previewed) * 1e3 < (double)interval)
        return false;
    const bool first = image->previewed <= 0;
    image->previewed = now;
    return !first; /* the interval runs from its first code */
}

static void preview_image(struct vlm_call *call, struct vlm_call_image *image)
{
    struct vlm_call_preview *preview = image->previews;
    if (call->request.partial_images)
        preview += VLM_MIN(image->asked, (size_t)VLM_PARTIAL_IMAGES_MAX - 1);
    if (!call->request.stream || preview->task || !shows_pictures(call) ||
        !preview_is_due(call, image))
        return;
    const struct vlm_picture_form form = form_of(call, image, VLM_PICTURE_JPEG);
    preview->image = image;
    preview->task =
        vlm_pictures_decode(call->service->pictures, image->codes, &form, on_preview, preview);
    image->asked++;
}

/* ---- code by code ---- */

/* Where the mask of a fill stands in its prompt; without masks behind it. */
static size_t place_of_fill(const struct vlm_vocabulary *vocabulary,
                            const struct vlm_sequence *prompt, size_t fill)
{
    size_t at = 0;
    while (at < prompt->n && vlm_vocabulary_mask_number(vocabulary, prompt->ids[at]) != (int)fill)
        at++;
    return at;
}

static bool is_code_or_mask(const struct vlm_vocabulary *vocabulary, uint32_t id, bool *mask)
{
    *mask = vlm_vocabulary_mask_number(vocabulary, id) >= 0;
    return *mask || vlm_vocabulary_is_code(vocabulary, id);
}

/* The codes of the prompt around a fill that begins within an image. */
static void take_known(struct vlm_call_image *image, const struct vlm_vocabulary *vocabulary,
                       const struct vlm_sequence *prompt, size_t place)
{
    size_t before = 0, behind = 0;
    bool mask = false;
    while (before < place && is_code_or_mask(vocabulary, prompt->ids[place - before - 1], &mask) &&
           !mask)
        before++;
    image->shared = mask;
    mask = false;
    while (place + 1 + behind < prompt->n &&
           is_code_or_mask(vocabulary, prompt->ids[place + 1 + behind], &mask) && !mask)
        behind++;
    image->shared = image->shared || mask;
    if (image->shared || before + behind >= VLM_CODES)
        return;
    for (size_t i = 0; i < before; i++)
        image->codes[i] = (uint16_t)(prompt->ids[place - before + i] - vocabulary->first_code);
    for (size_t i = 0; i < behind; i++)
        image->codes[VLM_CODES - behind + i] =
            (uint16_t)(prompt->ids[place + 1 + i] - vocabulary->first_code);
    image->begin = image->at = before;
    image->end = VLM_CODES - behind;
    image->known = before + behind;
}

struct vlm_call_piece *vlm_call_add_piece(struct vlm_call_fill *fill)
{
    struct vlm_call_piece *pieces = realloc(fill->pieces, (fill->n_pieces + 1) * sizeof(*pieces));
    if (!pieces)
        return NULL;
    fill->pieces = pieces;
    pieces[fill->n_pieces] = (struct vlm_call_piece){ .start = fill->text.size };
    return &pieces[fill->n_pieces++];
}

/* NULL: no memory. */
static struct vlm_call_image *open_image(struct vlm_call *call, struct vlm_call_choice *choice,
                                         size_t number)
{
    struct vlm_call_fill *fill = &choice->fills[number];
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    struct vlm_call_image **list =
        realloc(choice->images, (choice->n_images + 1) * sizeof(*choice->images));
    if (!list)
        return NULL;
    choice->images = list;
    struct vlm_call_image *image = calloc(1, sizeof(*image));
    struct vlm_call_piece *piece = image ? vlm_call_add_piece(fill) : NULL;
    if (!piece) {
        free(image);
        return NULL;
    }
    *image = (struct vlm_call_image){ .call = call,
                                      .choice = (size_t)(choice - call->choices),
                                      .index = choice->n_images,
                                      .fill = number,
                                      .end = VLM_CODES };
    for (size_t i = 0; i < VLM_CODES; i++)
        image->codes[i] = VLM_CODE_UNKNOWN;
    list[choice->n_images++] = image;
    piece->image = image;
    if (!fill->begun) {
        const struct vlm_sequence *prompt = &call->prompts[choice->prompt].made.sequence;
        take_known(image, vocabulary, prompt, place_of_fill(vocabulary, prompt, number));
    }
    fill->open = image;
    return image;
}

/* One more code of a fill. False: the call is gone. */
bool vlm_call_add_code(struct vlm_call *call, struct vlm_call_choice *choice, size_t number,
                       uint32_t code, enum vlm_code_origin origin)
{
    struct vlm_call_fill *fill = &choice->fills[number];
    struct vlm_call_image *image = fill->open ? fill->open : open_image(call, choice, number);
    if (!image) {
        vlm_call_fail(call, 503, NULL, "no memory for a picture");
        return false;
    }
    fill->image_tokens += origin == VLM_CODE_DRAWN;
    choice->image_tokens += origin == VLM_CODE_DRAWN;
    if (image->at < image->end) {
        image->codes[image->at++] = (uint16_t)code;
        image->known++;
    }
    if (image->at == image->end && !image->shared) {
        fill->open = NULL;
        return finish_image(call, image);
    }
    preview_image(call, image);
    return true;
}

/* ---- from the whole answer ---- */

/* The picture of a choice that fill number `fill` drew as its number `at`. */
static struct vlm_call_image *nth_image(const struct vlm_call_choice *choice, size_t fill,
                                        size_t at)
{
    for (size_t i = 0; i < choice->n_images; i++)
        if (choice->images[i]->fill == fill && !at--)
            return choice->images[i];
    return NULL;
}

/* Where each fill stands in the answer's sequence: the prompt with its masks replaced. */
static void place_fills(size_t start[VLM_MASKS_DEFAULT], size_t end[VLM_MASKS_DEFAULT],
                        const struct vlm_vocabulary *vocabulary, const struct vlm_sequence *prompt,
                        const struct vlm_answer *answer)
{
    size_t at = 0, masks = 0;
    for (size_t i = 0; i < prompt->n; i++) {
        const int mask = vlm_vocabulary_mask_number(vocabulary, prompt->ids[i]);
        if (mask < 0 || (size_t)mask >= answer->n_fills) {
            at++;
            continue;
        }
        masks++;
        start[mask] = at;
        at += answer->fills[mask].n;
        end[mask] = at;
    }
    if (!masks) {
        start[0] = at;
        end[0] = at + answer->fills[0].n;
    }
}

/* Pictures that several masks are in, and those that the limit cut. False: the call is gone. */
bool vlm_call_finish_images(struct vlm_call *call, struct vlm_call_choice *choice,
                            const struct vlm_answer *answer)
{
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    size_t start[VLM_MASKS_DEFAULT] = { 0 }, end[VLM_MASKS_DEFAULT] = { 0 };
    size_t seen[VLM_MASKS_DEFAULT] = { 0 };
    place_fills(start, end, vocabulary, &call->prompts[choice->prompt].made.sequence, answer);
    for (size_t i = 0; i < answer->sequence.n_images; i++) {
        const struct vlm_sequence_image *at = &answer->sequence.images[i];
        struct vlm_call_image *first = NULL;
        for (size_t f = 0; f < answer->n_fills; f++) {
            if (end[f] <= at->position || start[f] >= at->position + at->n_tokens)
                continue;
            struct vlm_call_image *image = nth_image(choice, f, seen[f]++);
            if (!first)
                first = image;
            else if (image)
                image->merged = true;
        }
        if (!first || first->whole)
            continue;
        vlm_answer_codes(first->codes, vocabulary, answer->sequence.ids + at->position,
                         VLM_MIN(at->n_tokens, VLM_CODES));
        first->known = VLM_MIN(at->n_tokens, VLM_CODES);
    }
    for (size_t i = 0; i < choice->n_images; i++)
        if (!choice->images[i]->whole && !choice->images[i]->merged &&
            !finish_image(call, choice->images[i]))
            return false;
    return true;
}

/* Pictures that are left unfinished are shown as far as they go. */
bool vlm_call_finish_open(struct vlm_call *call, struct vlm_call_choice *choice)
{
    for (size_t i = 0; i < choice->n_images; i++)
        if (!choice->images[i]->whole && !finish_image(call, choice->images[i]))
            return false;
    return true;
}
