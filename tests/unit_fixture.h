/* unit_fixture.h - unit files made by hand, for the tests of units and of the join. */
#ifndef VLM_TESTS_UNIT_FIXTURE_H
#define VLM_TESTS_UNIT_FIXTURE_H

#include "base/file.h"
#include "shard/parts/stored.h"
#include "shard/units/unit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIXTURE_PLAN = 77 };

static inline struct vlm_key key_of(const char *name)
{
    return vlm_key_of(name, strlen(name));
}

static inline void begin_unit(struct vlm_unit_writer *unit, const char *path)
{
    struct vlm_err err = { 0 };
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(vlm_unit_begin(unit, fd, path, FIXTURE_PLAN, &err), VLM_OK);
}

static inline void end_unit(struct vlm_unit_writer *unit)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_unit_end(unit, &err), VLM_OK);
    close(unit->fd);
    vlm_unit_release(unit);
}

/* A document of `url` with n images, whose candidates are given by name; "" ends a list. */
static inline void add_page(struct vlm_unit_writer *unit, const char *url, uint64_t date,
                            const struct vlm_reference *references, uint32_t n)
{
    struct vlm_err err = { 0 };
    struct vlm_buffer stored = { 0 };
    struct vlm_document_head head = {
        .url = key_of(url), .date = date, .words = 3, .n_references = n
    };
    vlm_buffer_text(&stored, url);
    assert_int_equal(vlm_unit_add_document(unit, &stored, &head, references, &err), VLM_OK);
    vlm_buffer_release(&stored);
}

static inline struct vlm_reference wants(const char *candidate)
{
    return (struct vlm_reference){ .status = VLM_IMAGE_NOT_IN_CRAWL,
                                   .n_candidates = 1,
                                   .candidate = { key_of(candidate) } };
}

/* An image under `url`; its SHA-256 begins with mark, its stored form is that one byte. */
static inline void add_picture(struct vlm_unit_writer *unit, const char *url, uint64_t date,
                               uint8_t mark, uint8_t status)
{
    struct vlm_err err = { 0 };
    struct vlm_capture capture = { .key = key_of(url),
                                   .date = date,
                                   .kind = VLM_CAPTURE_IMAGE,
                                   .status = status,
                                   .format = VLM_FORMAT_PNG,
                                   .width = mark,
                                   .height = mark + 1u,
                                   .sha256 = { mark } };
    if (status == VLM_IMAGE_OK) {
        struct vlm_buffer stored = { 0 };
        vlm_buffer_byte(&stored, mark);
        assert_int_equal(vlm_unit_add_image(unit, &stored, &capture, &err), VLM_OK);
        vlm_buffer_release(&stored);
    }
    vlm_unit_add_capture(unit, &capture);
}

static inline void add_other(struct vlm_unit_writer *unit, const char *url, uint8_t kind)
{
    vlm_unit_add_capture(unit, &(struct vlm_capture){ .key = key_of(url), .kind = kind });
}

static inline void add_redirect(struct vlm_unit_writer *unit, const char *url, const char *target)
{
    vlm_unit_add_capture(unit, &(struct vlm_capture){ .key = key_of(url),
                                                      .kind = VLM_CAPTURE_REDIRECT,
                                                      .target = key_of(target) });
}

#endif
