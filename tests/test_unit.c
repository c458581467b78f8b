/* test_unit.c - unit files: what was written is read, and a file that is not whole is no unit. */
#include "base/vlm.h"

#include "tests/unit_fixture.h"
#include "tests/folder_fixture.h"

static char *path;

static int make_folder(void **state)
{
    if (make_test_folder(state))
        return -1;
    path = vlm_path_join(test_folder, "unit");
    return 0;
}

static int remove_folder(void **state)
{
    free(path);
    return remove_test_folder(state);
}

static void write_sample(void)
{
    struct vlm_unit_writer unit;
    struct vlm_reference references[2] = { wants("a.png"), { .status = VLM_IMAGE_NO_URL } };
    begin_unit(&unit, path);
    references[0].n_candidates = 2;
    references[0].candidate[1] = key_of("b.png");
    add_page(&unit, "http://x/1", 100, references, 2);
    add_picture(&unit, "a.png", 90, 5, VLM_IMAGE_OK);
    add_page(&unit, "http://x/22", 200, NULL, 0);
    add_picture(&unit, "c.png", 91, 6, VLM_IMAGE_CORRUPT);
    vlm_unit_add_capture(&unit, &(struct vlm_capture){ .key = key_of("r"),
                                                       .date = 7,
                                                       .kind = VLM_CAPTURE_REVISIT,
                                                       .target = key_of("t"),
                                                       .digest = key_of("d"),
                                                       .target_date = 6 });
    add_other(&unit, "e", VLM_CAPTURE_HTTP_ERROR);
    unit.trailer.first = 11;
    unit.trailer.end = 22;
    unit.trailer.ledger.documents_in = 2;
    unit.trailer.ledger.references[VLM_IMAGE_STATUSES - 1] = 9;
    end_unit(&unit);
}

static void assert_content(const struct vlm_unit *unit, const struct vlm_document_head *head,
                           const char *expected)
{
    struct vlm_buffer bytes = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_unit_read(unit, &bytes, head->position, head->size, &err), VLM_OK);
    assert_int_equal(bytes.size, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
    vlm_buffer_release(&bytes);
}

static void a_unit_comes_back(void **state)
{
    (void)state;
    struct vlm_unit unit;
    struct vlm_document_head head;
    struct vlm_capture capture;
    struct vlm_reference *references = NULL;
    struct vlm_err err = { 0 };
    write_sample();
    assert_int_equal(vlm_unit_open(&unit, path, FIXTURE_PLAN, &err), VLM_OK);
    assert_int_equal(unit.trailer.first, 11);
    assert_int_equal(unit.trailer.end, 22);
    assert_int_equal(unit.trailer.n_documents, 2);
    assert_int_equal(unit.trailer.n_captures, 4);
    assert_int_equal(unit.trailer.ledger.documents_in, 2);
    assert_int_equal(unit.trailer.ledger.references[VLM_IMAGE_STATUSES - 1], 9);
    assert_int_equal(vlm_unit_read_index(&unit, &err), VLM_OK);
    assert_int_equal(vlm_unit_next_document(&unit, &head, &references, &err), VLM_OK);
    assert_content(&unit, &head, "http://x/1");
    assert_int_equal(head.date, 100);
    assert_int_equal(head.words, 3);
    assert_int_equal(head.n_references, 2);
    assert_int_equal(references[0].n_candidates, 2);
    assert_memory_equal(references[0].candidate[1].byte, key_of("b.png").byte, VLM_KEY_SIZE);
    assert_int_equal(references[1].status, VLM_IMAGE_NO_URL);
    assert_int_equal(references[1].n_candidates, 0);
    assert_int_equal(vlm_unit_next_document(&unit, &head, &references, &err), VLM_OK);
    assert_content(&unit, &head, "http://x/22");
    assert_int_equal(vlm_unit_next_document(&unit, &head, &references, &err), VLM_EOF);
    assert_int_equal(vlm_unit_next_capture(&unit, &capture, &err), VLM_OK);
    assert_int_equal(capture.status, VLM_IMAGE_OK);
    assert_int_equal(capture.sha256[0], 5);
    assert_int_equal(capture.width, 5);
    assert_int_equal(capture.height, 6);
    assert_int_equal(capture.size, 1);
    assert_int_equal(vlm_unit_next_capture(&unit, &capture, &err), VLM_OK);
    assert_int_equal(capture.status, VLM_IMAGE_CORRUPT);
    assert_int_equal(capture.position, 0);
    assert_int_equal(vlm_unit_next_capture(&unit, &capture, &err), VLM_OK);
    assert_int_equal(capture.kind, VLM_CAPTURE_REVISIT);
    assert_int_equal(capture.target_date, 6);
    assert_int_equal(vlm_unit_next_capture(&unit, &capture, &err), VLM_OK);
    assert_int_equal(capture.kind, VLM_CAPTURE_HTTP_ERROR);
    assert_int_equal(vlm_unit_next_capture(&unit, &capture, &err), VLM_EOF);
    free(references);
    vlm_unit_close(&unit);
}

static void write_bytes_to(const char *to, const uint8_t *bytes, size_t n)
{
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    struct vlm_err err = { 0 };
    assert_true(fd >= 0);
    assert_int_equal(vlm_write_all(fd, bytes, n, to, &err), VLM_OK);
    close(fd);
}

/* Opens and reads all of the index; the result that ended it, VLM_EOF when it is whole. */
static int read_all(const char *from, uint64_t plan)
{
    struct vlm_unit unit;
    struct vlm_document_head head;
    struct vlm_capture capture;
    struct vlm_reference *references = NULL;
    struct vlm_err err = { 0 };
    int rc = vlm_unit_open(&unit, from, plan, &err);
    if (rc != VLM_OK)
        return rc;
    rc = vlm_unit_read_index(&unit, &err);
    while (rc == VLM_OK)
        rc = vlm_unit_next_document(&unit, &head, &references, &err);
    rc = rc == VLM_EOF ? VLM_OK : rc;
    while (rc == VLM_OK)
        rc = vlm_unit_next_capture(&unit, &capture, &err);
    free(references);
    vlm_unit_close(&unit);
    return rc;
}

/* Codes stand behind the image they belong to, with a checksum of their own. */
static void codes_come_back(void **state)
{
    (void)state;
    struct vlm_buffer stored = { 0 };
    struct vlm_err err = { 0 };
    uint16_t codes[VLM_CODES], found[VLM_CODES];
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = (uint16_t)(65534 - i * 255);
    vlm_stored_image_encode(
        &stored, &(struct vlm_stored_image){ .square = (const uint8_t *)"jpeg", .square_size = 4 });
    size_t n = stored.size;
    assert_int_equal(vlm_stored_image_size(stored.data, n), n);
    assert_int_equal(vlm_unit_codes_read(found, &stored, n, &err), VLM_SKIP);
    vlm_unit_codes_add(&stored, codes);
    assert_int_equal(stored.size, n + VLM_UNIT_CODES);
    assert_int_equal(vlm_stored_image_size(stored.data, stored.size), n);
    assert_int_equal(vlm_unit_codes_read(found, &stored, n, &err), VLM_OK);
    assert_memory_equal(found, codes, sizeof(codes));
    for (size_t i = n; i < stored.size; i++) { /* any bit of them, or of their checksum */
        stored.data[i] ^= 4;
        assert_int_equal(vlm_unit_codes_read(found, &stored, n, &err), VLM_EDIFFER);
        stored.data[i] ^= 4;
    }
    for (stored.size--; stored.size > n; stored.size--)
        assert_int_equal(vlm_unit_codes_read(found, &stored, n, &err), VLM_EDIFFER);
    vlm_buffer_release(&stored);
}

static void a_file_cut_anywhere_is_no_unit(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    char *cut = vlm_path_join(test_folder, "cut");
    write_sample();
    assert_int_equal(vlm_file_read(&file, path, 1 << 20, &err), VLM_OK);
    for (size_t n = 0; n < file.size; n++) {
        write_bytes_to(cut, file.data, n);
        assert_int_equal(read_all(cut, FIXTURE_PLAN), VLM_SKIP);
    }
    write_bytes_to(cut, file.data, file.size);
    assert_int_equal(read_all(cut, FIXTURE_PLAN), VLM_EOF);
    vlm_buffer_byte(&file, 0);
    write_bytes_to(cut, file.data, file.size);
    assert_int_equal(read_all(cut, FIXTURE_PLAN), VLM_SKIP);
    free(cut);
    vlm_buffer_release(&file);
}

static void no_file_and_another_plan_are_no_unit(void **state)
{
    (void)state;
    write_sample();
    assert_int_equal(read_all("build/no-such-unit", FIXTURE_PLAN), VLM_SKIP);
    assert_int_equal(read_all(path, FIXTURE_PLAN + 1), VLM_SKIP);
    assert_int_equal(read_all(path, FIXTURE_PLAN), VLM_EOF);
}

/* A flipped byte of header or trailer: no unit. Of the index: an error. Of the records: theirs to
 * tell, by the checksum of each. */
static void flipped_bytes_are_noticed(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    struct vlm_unit unit;
    struct vlm_err err = { 0 };
    char *flipped = vlm_path_join(test_folder, "flipped");
    write_sample();
    assert_int_equal(vlm_file_read(&file, path, 1 << 20, &err), VLM_OK);
    assert_int_equal(vlm_unit_open(&unit, path, FIXTURE_PLAN, &err), VLM_OK);
    size_t index = (size_t)unit.trailer.index_position;
    size_t end = index + (size_t)unit.trailer.index_size;
    vlm_unit_close(&unit);
    assert_true(index > 16 && end > index && file.size > end);
    for (size_t i = 0; i < file.size; i++) {
        file.data[i] ^= 16;
        write_bytes_to(flipped, file.data, file.size);
        file.data[i] ^= 16;
        int expected = i < 16 || i >= end ? VLM_SKIP : i >= index ? VLM_EDIFFER : VLM_EOF;
        assert_int_equal(read_all(flipped, FIXTURE_PLAN), expected);
    }
    free(flipped);
    vlm_buffer_release(&file);
}

static void an_empty_unit_is_whole(void **state)
{
    (void)state;
    struct vlm_unit_writer unit;
    begin_unit(&unit, path);
    end_unit(&unit);
    assert_int_equal(read_all(path, FIXTURE_PLAN), VLM_EOF);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    struct vlm_unit_writer unit;
    struct vlm_buffer stored = { 0 };
    struct vlm_document_head head = { .size = 0 };
    struct vlm_err err = { 0 };
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        print_message("there is no /dev/full\n");
        skip();
    }
    assert_int_equal(vlm_unit_begin(&unit, fd, "unit", FIXTURE_PLAN, &err), VLM_OK);
    assert_non_null(vlm_buffer_reserve(&stored, 3 << 20));
    memset(stored.data, 7, 3 << 20);
    stored.size = 3 << 20;
    int rc = vlm_unit_add_document(&unit, &stored, &head, NULL, &err);
    assert_int_equal(vlm_exit_status(rc), VLM_EXIT_LIMIT);
    assert_non_null(strstr(err.msg, "unit"));
    vlm_buffer_release(&stored);
    vlm_unit_release(&unit);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_comes_back),
        cmocka_unit_test(codes_come_back),
        cmocka_unit_test(a_file_cut_anywhere_is_no_unit),
        cmocka_unit_test(no_file_and_another_plan_are_no_unit),
        cmocka_unit_test(flipped_bytes_are_noticed),
        cmocka_unit_test(an_empty_unit_is_whole),
        cmocka_unit_test(a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
