/* buffer.c - growing byte buffers; numbers are written little-endian. */
#include "base/vlm.h"
#include "base/buffer.h"

uint8_t *vlm_buffer_reserve(struct vlm_buffer *buffer, size_t n)
{
    size_t need;
    if (buffer->failed || __builtin_add_overflow(buffer->size, n, &need) ||
        (buffer->max && need > buffer->max)) {
        buffer->failed = true;
        return NULL;
    }
    if (need > buffer->capacity || !buffer->data) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < need)
            capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
        uint8_t *data = realloc(buffer->data, capacity);
        if (!data) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

void vlm_buffer_add(struct vlm_buffer *buffer, const void *bytes, size_t n)
{
    uint8_t *to = n ? vlm_buffer_reserve(buffer, n) : NULL;
    if (!to)
        return;
    memcpy(to, bytes, n);
    buffer->size += n;
}

void vlm_buffer_byte(struct vlm_buffer *buffer, uint8_t byte)
{
    vlm_buffer_add(buffer, &byte, 1);
}

void vlm_buffer_text(struct vlm_buffer *buffer, const char *text)
{
    vlm_buffer_add(buffer, text, strlen(text));
}

void vlm_buffer_printf(struct vlm_buffer *buffer, const char *format, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), format, args);
    if (n >= 0 && (size_t)n < sizeof(small)) {
        vlm_buffer_add(buffer, small, (size_t)n);
    } else if (n >= 0) {
        uint8_t *to = vlm_buffer_reserve(buffer, (size_t)n + 1);
        if (to) {
            vsnprintf((char *)to, (size_t)n + 1, format, again);
            buffer->size += (size_t)n;
        }
    }
    va_end(again);
    va_end(args);
}

void vlm_buffer_decimal(struct vlm_buffer *buffer, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    vlm_buffer_add(buffer, digits + at, sizeof(digits) - at);
}

/* %g drops zeros at the end; with fewer than 6 digits it would write 10 as 1e+01. 17 digits always do, 9 for a
 * float: IEEE 754. */
enum { DIGITS_MIN = 6, DIGITS_MAX = 17 };

const char *vlm_real_text(char out[VLM_REAL_TEXT_SIZE], double value)
{
    for (int digits = DIGITS_MIN; digits <= DIGITS_MAX; digits++) {
        snprintf(out, VLM_REAL_TEXT_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

const char *vlm_float_text(char out[VLM_REAL_TEXT_SIZE], float value)
{
    for (int digits = DIGITS_MIN; digits <= DIGITS_MAX; digits++) {
        snprintf(out, VLM_REAL_TEXT_SIZE, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value)
            break;
    }
    return out;
}

void vlm_buffer_real(struct vlm_buffer *buffer, double value)
{
    char text[VLM_REAL_TEXT_SIZE];
    vlm_buffer_text(buffer, vlm_real_text(text, value));
}

static void add_little_endian(struct vlm_buffer *buffer, uint64_t value, size_t bytes)
{
    uint8_t out[8];
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
    vlm_buffer_add(buffer, out, bytes);
}

void vlm_buffer_u16(struct vlm_buffer *buffer, uint16_t value)
{
    add_little_endian(buffer, value, 2);
}

void vlm_buffer_u32(struct vlm_buffer *buffer, uint32_t value)
{
    add_little_endian(buffer, value, 4);
}

void vlm_buffer_u64(struct vlm_buffer *buffer, uint64_t value)
{
    add_little_endian(buffer, value, 8);
}

void vlm_buffer_varint(struct vlm_buffer *buffer, uint64_t value)
{
    uint8_t out[10];
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    vlm_buffer_add(buffer, out, n);
}

void vlm_buffer_reset(struct vlm_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

void vlm_buffer_release(struct vlm_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct vlm_buffer){ .max = buffer->max };
}
