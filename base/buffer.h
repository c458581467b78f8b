/* buffer.h - a byte buffer that grows, and a failure that sticks.
 *
 *   struct vlm_buffer out = { 0 };
 *   vlm_buffer_add(&out, "abc", 3);
 *   vlm_buffer_printf(&out, "%d", 7);
 *   if (out.failed) ...                  // asked once, at the end
 *   vlm_buffer_release(&out);
 *
 * One owner, no threads. Appending after a failure does nothing. */
#ifndef VLM_BASE_BUFFER_H
#define VLM_BASE_BUFFER_H

#include "base/vlm.h"

struct vlm_buffer {
    uint8_t *data; /* moves when the buffer grows */
    size_t size, capacity;
    size_t max;  /* 0, or the most bytes it may hold */
    bool failed; /* memory ran out, or max was reached */
};

/* Appends n bytes. */
void vlm_buffer_add(struct vlm_buffer *buffer, const void *bytes, size_t n);

/* Appends one byte. */
void vlm_buffer_byte(struct vlm_buffer *buffer, uint8_t byte);

/* Appends a string without its NUL. */
void vlm_buffer_text(struct vlm_buffer *buffer, const char *text);

void vlm_buffer_printf(struct vlm_buffer *buffer, const char *format, ...) VLM_PRINTF(2, 3);

/* Appends a number as decimal digits. */
void vlm_buffer_decimal(struct vlm_buffer *buffer, uint64_t value);

/* Appends vlm_real_text(). */
void vlm_buffer_real(struct vlm_buffer *buffer, double value);

/* A finite number in as few digits, from 6 on, as strtod() reads as the same, or of a float as the same float:
 * "0.1", "1000", "1e-05". Returns out. */
enum { VLM_REAL_TEXT_SIZE = 32 };
const char *vlm_real_text(char out[VLM_REAL_TEXT_SIZE], double value);
const char *vlm_float_text(char out[VLM_REAL_TEXT_SIZE], float value);

/* Room for n more bytes behind data[size]; the caller writes them and adds to size.
 * NULL once failed. */
uint8_t *vlm_buffer_reserve(struct vlm_buffer *buffer, size_t n);

/* Little-endian numbers, as all our formats have them, and LEB128. */
void vlm_buffer_u16(struct vlm_buffer *buffer, uint16_t value);
void vlm_buffer_u32(struct vlm_buffer *buffer, uint32_t value);
void vlm_buffer_u64(struct vlm_buffer *buffer, uint64_t value);
void vlm_buffer_varint(struct vlm_buffer *buffer, uint64_t value);

/* Empties it and keeps the memory; clears failed. */
void vlm_buffer_reset(struct vlm_buffer *buffer);
void vlm_buffer_release(struct vlm_buffer *buffer);

#endif
