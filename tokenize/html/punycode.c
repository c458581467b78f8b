/* punycode.c - labels of international host names as ASCII (RFC 3492).
 *
 * Capitals of the Latin, Greek and Cyrillic alphabets are made small first, as registries do; the rest
 * of the mapping of UTS 46 (compatibility forms, normalisation) is left out: both spellings of a host
 * that a crawl really holds are in normal form. */
#include "base/vlm.h"

#include "tokenize/html/punycode.h"

#include "base/utf8.h"

enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, BIAS = 72, FIRST = 0x80 };

static uint32_t small_letter(uint32_t c)
{
    bool latin_pairs = (c >= 0x100 && c < 0x138 && c != 0x130) || (c >= 0x14a && c < 0x178);
    bool latin_odd = (c >= 0x139 && c < 0x149) || (c >= 0x179 && c < 0x17f);
    if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) ||
        (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if (latin_pairs)
        return c | 1;
    return latin_odd && c % 2 ? c + 1 : c;
}

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    for (delta += delta / points; delta > ((BASE - T_MIN) * T_MAX) / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static void add_digit(struct vlm_buffer *out, uint32_t digit)
{
    vlm_buffer_byte(out, (uint8_t)(digit < 26 ? 'a' + digit : '0' + digit - 26));
}

/* One delta as digits of growing weight. */
static void add_delta(struct vlm_buffer *out, uint32_t delta, uint32_t bias)
{
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
        if (delta < t) {
            add_digit(out, delta);
            return;
        }
        add_digit(out, t + (delta - t) % (BASE - t));
        delta = (delta - t) / (BASE - t);
    }
}

/* Cannot overflow: at most VLM_LABEL_MAX characters below 0x110000. */
static void encode(struct vlm_buffer *out, const uint32_t *characters, uint32_t n)
{
    uint32_t basic = 0, delta = 0, bias = BIAS, next = FIRST;
    for (uint32_t i = 0; i < n; i++)
        if (characters[i] < FIRST) {
            vlm_buffer_byte(out, (uint8_t)characters[i]);
            basic++;
        }
    if (basic)
        vlm_buffer_byte(out, '-');
    for (uint32_t done = basic; done < n; delta++, next++) {
        uint32_t lowest = UINT32_MAX;
        for (uint32_t i = 0; i < n; i++)
            if (characters[i] >= next)
                lowest = VLM_MIN(lowest, characters[i]);
        delta += (lowest - next) * (done + 1);
        next = lowest;
        for (uint32_t i = 0; i < n; i++) {
            delta += characters[i] < next;
            if (characters[i] != next)
                continue;
            add_delta(out, delta, bias);
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
}

bool vlm_punycode_add(struct vlm_buffer *out, const char *label, size_t n)
{
    uint32_t characters[VLM_LABEL_MAX], count = 0;
    bool ascii = true;
    for (size_t at = 0; at < n;) {
        size_t size;
        if (!vlm_utf8_valid_at(label + at, n - at) || count == VLM_LABEL_MAX)
            return false;
        uint32_t character = vlm_utf8_decode(label + at, &size);
        ascii = ascii && character < FIRST;
        characters[count++] = small_letter(character);
        at += size;
    }
    if (ascii)
        return false;
    vlm_buffer_text(out, "xn--");
    encode(out, characters, count);
    return true;
}
