/* fuzz_recipe.c - a recipe's text, and settings in the lines behind a byte 0xff: a recipe, which comes back
 * when it is written, or one sentence. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "models/recipe/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SETTINGS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vlm_recipe recipe, again;
    const char *settings[SETTINGS_MAX];
    struct vlm_err err = { 0 };
    size_t n = 0;
    const uint8_t *cut = size ? memchr(data, 0xff, size) : NULL;
    const size_t text_size = cut && cut > data ? (size_t)(cut - data) : size;
    char *lines = strndup((const char *)data + text_size, size - text_size);
    VLM_BUG_IF(!lines);
    char *rest = text_size < size ? lines + 1 : NULL;
    while (rest && n < SETTINGS_MAX)
        settings[n++] = strsep(&rest, "\n");
    int rc = vlm_recipe_parse(&recipe, "f", (const char *)data, text_size, settings, n, &err);
    VLM_BUG_IF(rc && (rc != VLM_EUSAGE || !err.msg[0] || strchr(err.msg, '\n')));
    VLM_BUG_IF(rc && vlm_utf8_valid_prefix(err.msg, strlen(err.msg)) != strlen(err.msg));
    if (!rc) {
        struct vlm_buffer text = { 0 }, twice = { 0 };
        vlm_recipe_write(&text, &recipe);
        VLM_BUG_IF(text.failed);
        VLM_BUG_IF(
            vlm_recipe_parse(&again, "f", (const char *)text.data, text.size, NULL, 0, &err));
        vlm_recipe_write(&twice, &again);
        VLM_BUG_IF(twice.size != text.size || memcmp(twice.data, text.data, text.size) != 0);
        vlm_buffer_release(&text);
        vlm_buffer_release(&twice);
    }
    free(lines);
    return 0;
}
