/* scene_words.h - English words that are true of a scene, in many forms.
 *
 *   scene_paragraph(&out, &scene, &random);      // "A large red circle sits in the middle. ..."
 *
 * Plain ASCII without characters that HTML would have to escape. The same scene and generator state
 * give the same words. */
#ifndef VLM_TOOLS_SCENE_WORDS_H
#define VLM_TOOLS_SCENE_WORDS_H

#include "base/buffer.h"
#include "tools/crawl/scene.h"

/* A few words without a full stop, capitalised: "Large red circle on white". */
void scene_title(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random);

/* The same for a heading, in other forms. */
void scene_heading(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random);

/* What a screen reader would say. */
void scene_alt(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random);

/* One sentence. */
void scene_caption(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random);

/* Three to seven sentences: what is there, where, how large, in front of what. */
void scene_paragraph(struct vlm_buffer *out, const struct scene *scene, struct vlm_random *random);

/* For simple scenes, always in the same words: "red circle in the upper left corner". */
void scene_plain_words(struct vlm_buffer *out, const struct scene *scene);

/* Two sentences about it, in one of three forms, so that each fact can be told from the other sentence. */
void scene_plain_sentences(struct vlm_buffer *out, const struct scene *scene,
                           struct vlm_random *random);

/* The words of which those are made. */
const char *scene_colour_word(enum scene_colour colour);
const char *scene_shape_word(enum scene_shape shape);
const char *scene_place_words(enum scene_place place);

/* "red-circle": for names of files. */
void scene_slug(struct vlm_buffer *out, const struct scene *scene);

/* "two", "three", ... up to eight. */
const char *scene_number_word(size_t n);

#endif
