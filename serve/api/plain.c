/* plain.c - markup as words. */
#include "base/vlm.h"
#include "serve/api/plain.h"

#include "base/utf8.h"

static void give_held(struct vlm_plain *plain, struct vlm_buffer *out)
{
    vlm_buffer_add(out, plain->held, plain->n_held);
    plain->n_held = 0;
}

/* held is "&...;": writes what it stands for, or itself. */
static void give_reference(struct vlm_plain *plain, struct vlm_buffer *out)
{
    static const struct {
        const char *name;
        char character;
    } named[] = { { "&lt;", '<' }, { "&gt;", '>' }, { "&amp;", '&' }, { "&quot;", '"' } };
    for (size_t i = 0; i < VLM_COUNTOF(named); i++) {
        const size_t n = strlen(named[i].name);
        if (n != plain->n_held || memcmp(named[i].name, plain->held, n) != 0)
            continue;
        vlm_buffer_byte(out, (uint8_t)named[i].character);
        plain->n_held = 0;
        return;
    }
    uint32_t number = 0;
    size_t at = 2;
    while (at < plain->n_held && plain->held[at] >= '0' && plain->held[at] <= '9' && at < 10)
        number = 10 * number + (uint32_t)(plain->held[at++] - '0');
    if (plain->held[1] == '#' && at > 2 && at + 1 == plain->n_held && number > 0) {
        char utf8[4];
        vlm_buffer_add(out, utf8, vlm_utf8_encode(utf8, number));
        plain->n_held = 0;
        return;
    }
    give_held(plain, out);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void add_text(struct vlm_plain *plain, struct vlm_buffer *out, char c)
{
    if (plain->n_held) {
        const bool goes_on = is_letter(c) || (c >= '0' && c <= '9') || c == '#' || c == ';';
        if (goes_on && plain->n_held < sizeof(plain->held)) {
            plain->held[plain->n_held++] = c;
            if (c == ';')
                give_reference(plain, out);
            return;
        }
        give_held(plain, out);
    }
    if (c == '&')
        plain->held[plain->n_held++] = c;
    else if (c == '<')
        plain->place = VLM_PLAIN_LESS;
    else
        vlm_buffer_byte(out, (uint8_t)c);
}

void vlm_plain_add(struct vlm_plain *plain, struct vlm_buffer *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        switch (plain->place) {
        case VLM_PLAIN_TEXT:
            add_text(plain, out, c);
            break;
        case VLM_PLAIN_LESS:
            plain->place = is_letter(c) || c == '/' || c == '!' ? VLM_PLAIN_TAG : VLM_PLAIN_TEXT;
            if (plain->place == VLM_PLAIN_TAG)
                break;
            vlm_buffer_byte(out, '<');
            add_text(plain, out, c);
            break;
        case VLM_PLAIN_TAG:
            if (c == '>')
                plain->place = VLM_PLAIN_TEXT;
            else if (c == '"')
                plain->place = VLM_PLAIN_VALUE;
            break;
        case VLM_PLAIN_VALUE:
            if (c == '"')
                plain->place = VLM_PLAIN_TAG;
            break;
        }
    }
}

void vlm_plain_end(struct vlm_plain *plain, struct vlm_buffer *out)
{
    if (plain->place == VLM_PLAIN_LESS)
        vlm_buffer_byte(out, '<');
    give_held(plain, out);
    plain->place = VLM_PLAIN_TEXT;
}
