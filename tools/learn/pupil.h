/* pupil.h - a trained model with all that asking it takes, and the pages of the simple world that it is asked about.
 *
 *   struct pupil pupil = { 0 };
 *   rc = pupil_open(&pupil, "run/model", 0, &err);
 *   rc = pupil_pages_read(&pages, &pupil, "shards", 200, &err);
 *   rc = pupil_caption(&words, &pupil, &pages.page[0], PUPIL_CAPTION_TITLE, &err);
 *   pupil_pages_release(&pages), pupil_close(&pupil);
 */
#ifndef VLM_TOOLS_PUPIL_H
#define VLM_TOOLS_PUPIL_H

#include "models/generate/generate.h"
#include "tools/learn/scene_check.h"

struct pupil {
    struct vlm_engine engine;
    struct vlm_model_folder *folder;
    struct vlm_coder *coder;
    struct vlm_sequencer *sequencer;
    struct vlm_generator *generator;
};

/* VLM_EUSAGE: the model knows no pictures. Close it in any case. */
VLM_MUST_CHECK int pupil_open(struct pupil *pupil, const char *model, size_t threads,
                              struct vlm_err *err);
void pupil_close(struct pupil *pupil); /* safe on a zeroed struct */

enum pupil_fact { PUPIL_COLOUR, PUPIL_SHAPE, PUPIL_PLACE, PUPIL_FACTS };

enum { PUPIL_WORDS_MAX = 128 };

struct pupil_page {
    uint16_t codes[VLM_CODES];
    char words[PUPIL_WORDS_MAX]; /* of alt or title */
    bool behind;                 /* title: they stand behind the picture */
    struct scene_facts facts;    /* of the words */
    uint32_t *ids;               /* [n] the page as rendered, begin and end left out */
    size_t n;
    struct vlm_span span[PUPIL_FACTS]; /* ids that hold the words of a fact */
    struct vlm_span image;             /* ids of the codes */
};

struct pupil_pages {
    struct pupil_page *page; /* [n] */
    size_t n;
};

/* The first pages with a picture of a shard set, at most `most`. VLM_EFORMAT: one is not of the simple world. */
VLM_MUST_CHECK int pupil_pages_read(struct pupil_pages *pages, struct pupil *pupil,
                                    const char *folder, size_t most, struct vlm_err *err);
void pupil_pages_release(struct pupil_pages *pages);

/* A caption for the page's picture, the likeliest token each time: what the model writes behind
 * <img src="..." title=", or in the place of the mask in <img alt="<mask:0>" src="...">. */
enum pupil_caption { PUPIL_CAPTION_TITLE, PUPIL_CAPTION_ALT };
VLM_MUST_CHECK int pupil_caption(struct vlm_buffer *words, struct pupil *pupil,
                                 const struct pupil_page *page, enum pupil_caption kind,
                                 struct vlm_err *err);

/* Nats of the words of a fact: behind all that stands left of them (PUPIL_LEFT), or in the place of a mask with the
 * rest of the page behind it, whose picture is that of `other`. */
enum pupil_sides { PUPIL_LEFT, PUPIL_BOTH };
VLM_MUST_CHECK int pupil_nats(double *nats, struct pupil *pupil, const struct pupil_page *page,
                              enum pupil_fact fact, enum pupil_sides sides,
                              const struct pupil_page *other, struct vlm_err *err);

/* Draws what the page's words say: pixels [256][256][3]. *whole: 256 codes came. */
VLM_MUST_CHECK int pupil_draw(uint8_t *square, bool *whole, struct pupil *pupil,
                              const struct pupil_page *page, double temperature, double top_p,
                              uint64_t seed, struct vlm_err *err);

#endif
