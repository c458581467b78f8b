/* test_pickle.c - pickles of torch files that nobody's torch.save() wrote: each is read as data or
 * refused with its sentence, no code runs, limits hold. Good files: test_weights.c. */
#include "base/vlm.h"

#include "tests/weights_fixture.h"

#include "base/limits.h"
#include "vqgan/weights/pickle.h"

#include <sys/resource.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define W(content) PICKLE(DICT(KEY1("w") MATRIX content)) /* a good tensor, then what is tested */

struct sentence {
    const char *pickle;
    size_t size;
    const char *text;
};

static void check_refused(const struct sentence *sentences, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct vlm_weights *weights;
        struct vlm_err err;
        int rc = open_pickle(&weights, sentences[i].pickle, sentences[i].size, &err);
        if (rc != VLM_EFORMAT && rc != VLM_ELIMIT)
            fail_msg("'%s' is read (%d)", sentences[i].text, rc);
        if (!strstr(err.msg, sentences[i].text))
            fail_msg("'%s' instead of '%s'", err.msg, sentences[i].text);
    }
}

/* Opens, and returns the names in their order, each with a space behind it. */
static const char *names_of(const char *pickle, size_t size)
{
    static char names[1024];
    struct vlm_weights *weights;
    struct vlm_err err;
    if (open_pickle(&weights, pickle, size, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    size_t n = vlm_weights_count(weights), used = 0;
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s ",
                                 vlm_weights_at(weights, i)->name);
    assert_int_equal(read_all(weights), n);
    vlm_weights_close(weights);
    return names;
}

/* Reading ------------------------------------------------------------------------------------- */

#define MARKER "/tmp/test-pickle-code-ran"
#define RUN    "\x8c\x1ftouch " MARKER

/* Whoever unpickled one of these would have run a command. */
static void no_code_runs(void **state)
{
    (void)state;
    static const struct {
        const char *pickle;
        size_t size;
    } evil[] = {
        { TEXT(W(KEY1("x") GLOBAL("os", "system") RUN "\x85R")) },
        { TEXT(W(KEY1("x") GLOBAL("posix", "system") RUN "\x85R")) },
        { TEXT(W(KEY1("x") "\x8c\2os\x8c\6system\x93" RUN "\x85R")) },
        { TEXT(W(KEY1("x") GLOBAL("builtins", "exec") RUN "\x85R}b")) },
        { TEXT(W(KEY1("x") GLOBAL("builtins", "eval") RUN "\x85\x81")) },
        { TEXT(W(KEY1("x") GLOBAL("subprocess", "Popen") RUN "\x85}\x92")) },
        { TEXT(W(KEY1("x") GLOBAL("torch.storage", "_load_from_bytes") "C\2x.\x85R")) },
        { TEXT(W(KEY1("x") GLOBAL("torch._utils", "_rebuild_parameter") GLOBAL("os", "system") RUN
                 "\x85R\x85R")) },
        /* A function from a function: builtins.getattr(os, "system")(...) */
        { TEXT(W(KEY1("x") GLOBAL("builtins", "getattr") GLOBAL("os", "") "\x8c\6system\x86R" RUN
                                                                          "\x85R")) },
        /* In front of and below everything, then dropped. */
        { TEXT("\x80\2" GLOBAL("os", "system") RUN "\x85R0" DICT(KEY1("w") MATRIX) ".") },
    };
    unlink(MARKER);
    for (size_t i = 0; i < VLM_COUNTOF(evil); i++)
        assert_string_equal(names_of(evil[i].pickle, evil[i].size), "w ");
    assert_int_not_equal(access(MARKER, F_OK), 0);
}

#define X(value) TEXT(W(KEY1("x") value))

static void what_is_no_tensor_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *pickle;
        size_t size;
    } others[] = {
        { X("N") },
        { X("\x88") },
        { X("J\xff\xff\xff\xff") },
        { X("M\1\0") },
        { X("G\0\0\0\0\0\0\0\0") },
        { X("\x8a\1\xff") },
        { X("\x8a\x0b\0\0\0\0\0\0\0\0\0\0\1") },
        { X("\x8b\0\0\0\0") },
        { X("](K\1" MATRIX "e") },
        { X("]" MATRIX "a") },
        { X("(" MATRIX "t") },
        { X("C\1x") },
        { X("B\1\0\0\0x") },
        { X("\x8e\1\0\0\0\0\0\0\0x") },
        { X("\x96\1\0\0\0\0\0\0\0x") },
        { X("\x8f(K\1\x90") },
        { X("(K\1\x91") },
        { X("\x82\1") },
        { X("\x83\1\0") },
        { X("\x84\1\0\0\0") },
        { X("U\1x") },
        { X("T\1\0\0\0x") },
        { X("\x8d\1\0\0\0\0\0\0\0x") },
        { X("K\1Q") },
        { X(GLOBAL("torch", "float32")) },
        /* Objects, with state and items. */
        { X(GLOBAL("a", "B") ")\x81}b") },
        { X(GLOBAL("a", "B") ")R(" KEY1("v") MATRIX "u(K\1e(K\1\x90K\1a") },
        /* Tensors of kinds that we do not know. */
        { X(TENSOR(STORAGE("ComplexFloatStorage", "0", "\3"), "K\0", ")", ")")) },
        { X(GLOBAL("torch._utils", "_rebuild_sparse_tensor") ")R") },
        { X(GLOBAL("torch._utils", "_rebuild_parameter") ")R") },
        /* Keys that are no text. */
        { TEXT(W("K\1" MATRIX "N" MATRIX ")" MATRIX GLOBAL("a", "B") MATRIX)) },
    };
    for (size_t i = 0; i < VLM_COUNTOF(others); i++)
        assert_string_equal(names_of(others[i].pickle, others[i].size), "w ");
}

static void the_dictionary_is_chosen_by_its_key(void **state)
{
    (void)state;
#define STATE(name)  "\x8c\12state_dict" DICT(KEY1(name) MATRIX)
#define MODEL(name)  "\x8c\5model" DICT(KEY1(name) MATRIX)
#define EMA(name)    "\x8c\3ema" DICT(KEY1(name) MATRIX)
#define MODULE(name) "\x8c\6module" DICT(KEY1(name) MATRIX)
    assert_string_equal(
        names_of(TEXT(PICKLE(DICT(MODULE("d") EMA("c") MODEL("b") STATE("a") KEY1("w") MATRIX)))),
        "a ");
    assert_string_equal(
        names_of(TEXT(PICKLE(DICT(MODULE("d") EMA("c") MODEL("b") KEY1("w") MATRIX)))), "b ");
    assert_string_equal(names_of(TEXT(PICKLE(DICT(MODULE("d") EMA("c"))))), "c ");
    assert_string_equal(names_of(TEXT(PICKLE(DICT(KEY1("w") MATRIX MODULE("d"))))), "d ");
    /* Only a dictionary counts; an OrderedDict is one, also filled by Python 2. */
    assert_string_equal(names_of(TEXT(PICKLE(DICT("\x8c\5model" MATRIX EMA("c"))))), "c ");
    assert_string_equal(names_of(TEXT(PICKLE(DICT("\x8c\5model" GLOBAL("a", "B") ")R" EMA("c"))))),
                        "c ");
    assert_string_equal(
        names_of(TEXT(PICKLE(DICT("\x8c\5model" ORDERED "(" KEY1("w") MATRIX "u}b")))), "w ");
    assert_string_equal(names_of(TEXT("\x80\2" GLOBAL(
                            "collections", "OrderedDict") "](U\1w" MATRIX "\x86U\1v" MATRIX "\x86"
                                                          "e\x85R.")),
                        "v w ");
    /* Names with dots. */
    assert_string_equal(names_of(TEXT(PICKLE(DICT(KEY1("b") DICT(
                            KEY1("c") DICT(KEY1("d") MATRIX) KEY1("a") MATRIX) KEY1("a") MATRIX)))),
                        "a b.a b.c.d ");
}

/* A dictionary in itself, and a list in itself, are entered once. */
static void cycles_end(void **state)
{
    (void)state;
    assert_string_equal(names_of(TEXT(PICKLE("}q\1(" KEY1("a") "h\1" KEY1("w") MATRIX KEY1("b")
                                                 DICT(KEY1("c") "h\1" KEY1("v") MATRIX) "u"))),
                        "b.v w ");
    assert_string_equal(names_of(TEXT(W(KEY1("l") "]q\1h\1a" KEY1("t") "]q\2h\2\x85"
                                                                       "a"))),
                        "w ");
    check_refused((struct sentence[]){ { TEXT(PICKLE("}q\1(" KEY1("a") "h\1u")), "no tensor" },
                                       { TEXT(PICKLE("]q\1h\1a")), "no dictionary" } },
                  2);
}

/* Refusing ------------------------------------------------------------------------------------ */

static void machines_that_stumble_are_refused(void **state)
{
    (void)state;
    const struct sentence sentences[] = {
        { TEXT(""), "does not begin as a pickle" },
        { TEXT("\x80"), "does not begin as a pickle" },
        { TEXT("\x80\1}."), "does not begin as a pickle" },
        { TEXT("\x80\6}."), "does not begin as a pickle" },
        { TEXT("}."), "does not begin as a pickle" },
        { TEXT("\x80\2"), "is cut: its 2 bytes" },
        { TEXT("\x80\2}"), "is cut" },
        { TEXT(PICKLE("")), "ends with 0 values" },
        { TEXT(PICKLE("}}")), "ends with 2 values" },
        { TEXT(PICKLE("(")), "ends with 1 values" },
        { TEXT(PICKLE("}") "."), "1 bytes follow its end" },
        { TEXT(PICKLE("I1\n")), "opcode 0x49 is none" },
        { TEXT(PICKLE("(ios\nsystem\n")), "opcode 0x69 is none" },
        { TEXT(PICKLE("\x80\2}")), "opcode 0x80 is none" },
        { TEXT(PICKLE("\x97")), "opcode 0x97 is none" },
        { TEXT(PICKLE("0")), "takes a value where there is none" },
        { TEXT(PICKLE("1")), "a mark that is not there" },
        { TEXT(PICKLE("t")), "a mark that is not there" },
        { TEXT(PICKLE("K\1\x86")), "takes 2 values where there are 1" },
        { TEXT(PICKLE("K\1(\x85")), "takes 1 values where there are 0" },
        { TEXT(PICKLE("(K\1e")), "takes 1 values where there are 0" },
        { TEXT(PICKLE("}(K\1u")), "a key without a value" },
        { TEXT(PICKLE(")K\1a")), "adds to a value that is no list" },
        { TEXT(PICKLE("](K\1K\1u")), "adds to a value that is no dictionary" },
        { TEXT(PICKLE("h\1")), "recalls value 1, which it never remembered" },
        { TEXT(PICKLE("j\xff\xff\xff\xff")), "recalls value 4294967295" },
        { TEXT(PICKLE("q\1")), "takes 1 values" },
        { TEXT(PICKLE("(q\1")), "takes 1 values" },
        { TEXT(PICKLE("}r\xff\xff\xff\xff")), "remembers a value as number 4294967295" },
        { TEXT(PICKLE("K\1K\1\x93")), "names a global by something that is no text" },
        { TEXT(PICKLE("cos")), "is cut" },
        { TEXT(PICKLE("cos\nsystem")), "is cut" },
        { TEXT(PICKLE(GLOBAL("a", "b") "K\1R")), "without a tuple of arguments" },
        { TEXT(PICKLE(GLOBAL("a", "b") "R")), "takes 2 values" },
        { TEXT(PICKLE(")\x81")), "takes 2 values" },
        { TEXT(PICKLE("}b")), "takes 2 values" },
        { TEXT(PICKLE("Q")), "takes 1 values" },
        { TEXT(PICKLE(GLOBAL("collections", "OrderedDict") "]K\1a\x85R")), "made of no pairs" },
        { TEXT(PICKLE("\x95\xff\0\0\0\0\0\0\0}")), "is cut" },
        { TEXT(PICKLE("X\xff\xff\xff\xff")), "is cut" },
        { TEXT(PICKLE("X\xff\xff\xff\x7f"
                      "abc")),
          "is cut" },
        { TEXT(PICKLE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                      "abc")),
          "is cut" },
        { TEXT(PICKLE("\x8b\xff\xff\xff\x7f")), "is cut" },
        { TEXT(PICKLE("\x8b\xff\xff\xff\xff")), "is cut" },
        { TEXT(PICKLE("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f")), "is cut" },
        { TEXT(PICKLE("G\0\0")), "is cut" },
        { TEXT(PICKLE("K\1")), "no dictionary" },
        { TEXT(PICKLE("}")), "no tensor" },
    };
    check_refused(sentences, VLM_COUNTOF(sentences));
}

#define ONE(tensor) TEXT(PICKLE(DICT(KEY1("w") tensor)))
#define HUGE_INT    "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
#define MINUS_ONE   "J\xff\xff\xff\xff"

static void tensors_against_the_rules_are_refused(void **state)
{
    (void)state;
    const struct sentence sentences[] = {
        { ONE(TENSOR(SIX, "K\0", "K\1", "K\1")),
          "tensor 'w': its shape and strides are no tuples" },
        { ONE(TENSOR(SIX, "K\0", "K\1\x85", ")")), "no tuples of one size" },
        { ONE(TENSOR(SIX, "K\0", SHAPE2("\2", "\3"), "(K\3" MINUS_ONE "t")), "whole numbers" },
        { ONE(TENSOR(SIX, "K\0", "(K\3" MINUS_ONE "t", SHAPE2("\2", "\3"))), "whole numbers" },
        { ONE(TENSOR(SIX, "K\0", "N\x85", "K\1\x85")), "whole numbers" },
        { ONE(TENSOR(SIX, MINUS_ONE, "K\1\x85", "K\1\x85")), "described in an unknown way" },
        { ONE(TENSOR(SIX, "K\1", SHAPE2("\2", "\3"), SHAPE2("\3", "\1"))),
          "shape [2, 3] at offset 1 reaches beyond its storage of 24 bytes" },
        { ONE(TENSOR(SIX, "K\0", SHAPE2("\2", "\3"), SHAPE2("\4", "\1"))), "reaches beyond" },
        { ONE(TENSOR(SIX, "K\0", SHAPE2("\2", "\3"), "K\3" HUGE_INT "\x86")), "reaches beyond" },
        { ONE(TENSOR(SIX, HUGE_INT, SHAPE2("\2", "\3"), HUGE_INT HUGE_INT "\x86")),
          "reaches beyond" },
        { ONE(TENSOR(SIX, "K\7", "K\0\x85", "K\1\x85")), "reaches beyond" },
        { ONE(TENSOR(SIX, "K\6", ")", ")")), "reaches beyond" },
        { ONE(TENSOR(SIX, "K\0", HUGE_INT "\x85", "K\0\x85")), "over the limit of 4294967296" },
        { ONE(TENSOR(SIX, "K\0", HUGE_INT HUGE_INT "\x86", "K\0K\0\x86")), "over the limit" },
        { ONE(TENSOR(SIX, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t")),
          "9 dimensions are over the limit of 8" },
        { ONE(TENSOR(STORAGE("FloatStorage", "0", "\7"), "K\0", ")", ")")),
          "its storage 'a/data/0' has 24 bytes instead of 7 values of F32" },
        { ONE(TENSOR(STORAGE("FloatStorage", "0", "\5"), "K\0", ")", ")")),
          "24 bytes instead of 5" },
        { ONE(TENSOR(STORAGE("DoubleStorage", "0", "\6"), "K\0", ")", ")")), "of F64" },
        { ONE(TENSOR(STORAGE("FloatStorage", "2", "\6"), "K\0", ")", ")")),
          "its storage 'a/data/2' is not in the file" },
        { ONE(TENSOR(STORAGE("FloatStorage", "\0", "\6"), "K\0", ")", ")")), "is not in the file" },
        { ONE(TENSOR("N", "K\0", ")", ")")), "its storage is described in an unknown way" },
        { ONE(TENSOR("NQ", "K\0", ")", ")")), "its storage is described in an unknown way" },
        { ONE(GLOBAL("torch._utils", "_rebuild_tensor_v2") ")R"), "described in an unknown way" },
        { ONE(GLOBAL("torch._utils",
                     "_rebuild_tensor_v2") "(" SIX "K\0))\x89" ORDERED DICT("\x8c\3neg\x88") "tR"),
          "a view that negates its values" },
        { TEXT(W(KEY1("w") "N")), "has the key 'w' twice" },
        { TEXT(W(KEY1("w") MATRIX)), "has the key 'w' twice" },
        { TEXT(PICKLE(DICT(EMA("a") EMA("b")))), "has the key 'ema' twice" },
        { TEXT(PICKLE(DICT("\x8c\3a.b" MATRIX KEY1("a") DICT(KEY1("b") MATRIX)))),
          "two tensors have the name 'a.b'" },
        { TEXT(PICKLE(DICT("\x8c\0" MATRIX))), "a name is empty" },
        { TEXT(PICKLE(DICT("\x8c\1\0" MATRIX))), "a name is empty, has a NUL" },
        { TEXT(PICKLE(DICT("\x8c\1\xff" MATRIX))), "is no UTF-8" },
    };
    check_refused(sentences, VLM_COUNTOF(sentences));
}

/* Limits -------------------------------------------------------------------------------------- */

static void add(struct vlm_buffer *to, const char *text, size_t n, size_t times)
{
    while (times-- > 0)
        vlm_buffer_add(to, text, n);
}

/* Reads the pickle in from and empties it. */
static int run(struct vlm_buffer *from, const char *sentence)
{
    struct vlm_pickle pickle;
    struct vlm_err err = { 0 };
    assert_false(from->failed);
    int rc = vlm_pickle_init(&pickle, from->data, from->size, &err);
    if (rc != VLM_OK && !strstr(err.msg, sentence))
        fail_msg("'%s' instead of '%s'", err.msg, sentence);
    vlm_pickle_release(&pickle);
    vlm_buffer_reset(from);
    return rc;
}

static void limits_of_the_machine_hold(void **state)
{
    (void)state;
    struct vlm_buffer at = { 0 };
    for (size_t over = 0; over < 3; over++) {
        int want = over == 2 ? VLM_ELIMIT : VLM_OK;
        add(&at, TEXT("\x80\2("), 1); /* the mark stays below the values */
        add(&at, TEXT("N"), VLM_PICKLE_STACK_MAX - 2 + over);
        add(&at, TEXT("t."), 1);
        assert_int_equal(run(&at, "more than 65536 values wait on its stack"), want);

        uint32_t index = VLM_PICKLE_MEMO_MAX - 2 + (uint32_t)over;
        add(&at, TEXT("\x80\2}r"), 1);
        vlm_buffer_u32(&at, index);
        add(&at, TEXT("."), 1);
        assert_int_equal(run(&at, "as number 1048576; the limit is 1048576"), want);

        add(&at, TEXT("\x80\4N"), 1);
        add(&at, TEXT("\x94"), VLM_PICKLE_MEMO_MAX - 1 + over);
        add(&at, TEXT("."), 1);
        assert_int_equal(run(&at, "as number 1048576"), want);

        size_t whole = VLM_PICKLE_MAX - 1 + over, n = whole - 2 - 5 - 1;
        add(&at,
            TEXT("\x80\3"
                 "B"),
            1);
        vlm_buffer_u32(&at, (uint32_t)n);
        memset(vlm_buffer_reserve(&at, n), 0, n);
        at.size += n;
        add(&at, TEXT("."), 1);
        assert_int_equal(at.size, whole);
        assert_int_equal(run(&at, "a pickle of 33554433 bytes is over the limit"), want);

        /* Each value takes 32 bytes. */
        add(&at, TEXT("\x80\2"), 1);
        add(&at, TEXT("N0"), VLM_PICKLE_MEMORY_MAX / 32 - 2 + over);
        add(&at, TEXT("N."), 1);
        assert_int_equal(run(&at, "its values take more than 134217728 bytes"), want);
    }
    vlm_buffer_release(&at);
}

/* A few bytes that would make values without end. */
static void bombs_stay_small(void **state)
{
    (void)state;
    struct vlm_buffer at = { 0 };
    /* Names of 1 MiB, put together again and again. */
    enum { NAME = 1 << 20 };
    add(&at, TEXT("\x80\4X"), 1);
    vlm_buffer_u32(&at, NAME);
    add(&at, TEXT("x"), NAME);
    add(&at, TEXT("\x94"), 1);
    add(&at,
        TEXT("h\0\x93"
             "0h\0"),
        100000);
    add(&at, TEXT("."), 1);
    assert_int_equal(run(&at, "its values take more than"), VLM_ELIMIT);
    /* An OrderedDict of the same pairs, again and again. */
    add(&at, TEXT("\x80\2]q\1("), 1);
    add(&at, TEXT("NN\x86"), 10000);
    add(&at,
        TEXT("e\x85q\1"
             "0"),
        1);
    add(&at, TEXT("ccollections\nOrderedDict\nh\1R0"), 10000);
    add(&at, TEXT("N."), 1);
    assert_int_equal(run(&at, "its values take more than"), VLM_ELIMIT);
    /* Tuples of tuples of tuples: nobody walks them. */
    add(&at, TEXT("\x80\2)"), 1);
    add(&at, TEXT("\x85"), 1000000);
    add(&at, TEXT("."), 1);
    assert_int_equal(run(&at, ""), VLM_OK);
    add(&at, TEXT("\x80\2N"), 1);
    add(&at, TEXT("q\1h\1\x86"), 1000000);
    add(&at, TEXT("."), 1);
    assert_int_equal(run(&at, ""), VLM_OK);
    vlm_buffer_release(&at);
}

/* Opens a torch file around the pickle in from and empties it. */
static int open_built(struct vlm_buffer *from, const char *sentence)
{
    struct vlm_weights *weights;
    struct vlm_err err;
    assert_false(from->failed);
    int rc = open_pickle(&weights, from->data, from->size, &err);
    if (rc != VLM_OK && !strstr(err.msg, sentence))
        fail_msg("'%s' instead of '%s'", err.msg, sentence);
    vlm_weights_close(weights);
    vlm_buffer_reset(from);
    return rc;
}

/* depth dictionaries inside one another, a tensor in the last; name bytes in each key. */
static void add_nested(struct vlm_buffer *to, size_t depth, size_t name)
{
    add(to, TEXT("\x80\2"), 1);
    for (size_t i = 0; i < depth; i++) {
        add(to, TEXT("}(X"), 1);
        vlm_buffer_u32(to, (uint32_t)name);
        add(to, TEXT("k"), name);
    }
    add(to, TEXT(MATRIX), 1);
    add(to, TEXT("u"), depth);
    add(to, TEXT("."), 1);
}

static void limits_of_dictionaries_hold(void **state)
{
    (void)state;
    struct vlm_buffer at = { 0 };
    for (size_t over = 0; over < 3; over++) {
        int want = over == 2 ? VLM_ELIMIT : VLM_OK;
        add_nested(&at, VLM_TORCH_DEPTH_MAX - 1 + over, 1);
        assert_int_equal(open_built(&at, "more than 16 dictionaries inside one another"), want);
        add_nested(&at, 1, VLM_TORCH_NAME_MAX - 1 + over);
        assert_int_equal(open_built(&at, "a name is over the limit of 512 bytes"), want);

        /* [2^32 - 2 + over] with a stride of 0. */
        uint64_t values = VLM_TORCH_VALUES_MAX - 1 + over;
        add(&at,
            TEXT("\x80\2}(" KEY1("w") GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" SIX
                                                                                   "K\0\x8a\x08"),
            1);
        vlm_buffer_u64(&at, values);
        add(&at, TEXT("\x85K\0\x85\x89" ORDERED "tRu."), 1);
        assert_int_equal(open_built(&at, "is over the limit of 4294967296 values"), want);

        /* One tensor under many names. */
        add(&at,
            TEXT("\x80\2" MATRIX "q\1"
                 "0}"),
            1);
        for (size_t i = 0; i < VLM_TORCH_COUNT_MAX - 1 + over; i++) {
            char key[16];
            add(&at, key, (size_t)snprintf(key, sizeof(key), "\x8c\6%06zxh", i), 1);
            add(&at, TEXT("\1s"), 1);
        }
        add(&at, TEXT("."), 1);
        assert_int_equal(open_built(&at, "more than 65536 tensors"), want);
    }
    vlm_buffer_release(&at);
}

/* 10^15 places of one dictionary: it is in ten others, all in ten others, and so on. */
static void shared_dictionaries_are_counted(void **state)
{
    (void)state;
    struct vlm_buffer at = { 0 };
    add(&at,
        TEXT("\x80\2}" KEY1("x") "Nsq\1"
                                 "0"),
        1);
    for (size_t level = 0; level < 14; level++) {
        add(&at, TEXT("}("), 1);
        for (char key = '0'; key <= '9'; key++) {
            add(&at, TEXT("\x8c\1"), 1);
            add(&at, &key, 1, 1);
            add(&at, TEXT("h\1"), 1);
        }
        add(&at,
            TEXT("uq\1"
                 "0"),
            1);
    }
    add(&at, TEXT("h\1."), 1);
    assert_int_equal(open_built(&at, "more than 1048576 entries of dictionaries"), VLM_ELIMIT);

    /* The limit itself: a dictionary of 1024 entries at 1023 places makes, with those, 2^20 - 1. */
    for (size_t over = 0; over < 3; over++) {
        add(&at,
            TEXT("\x80\2" MATRIX "q\2"
                 "0}("),
            1);
        add(&at, TEXT("K\1N"), 1024);
        add(&at,
            TEXT("uq\1"
                 "0}"),
            1);
        /* The top is counted twice: when a dictionary is chosen, and when it is walked. */
        for (size_t i = 0; i < 1022; i++) {
            char key[16];
            add(&at, key, (size_t)snprintf(key, sizeof(key), "\x8c\4%04zx", i), 1);
            add(&at, TEXT("h\1s"), 1);
        }
        add(&at, TEXT(KEY1("w") "h\2s"), 1);
        for (size_t i = 0; i < (VLM_TORCH_ENTRIES_MAX - 1022 * 1024 - 2 * 1023) / 2 - 1 + over; i++)
            add(&at, TEXT("K\1Ns"), 1);
        add(&at, TEXT("."), 1);
        assert_int_equal(open_built(&at, "more than 1048576 entries"),
                         over == 2 ? VLM_ELIMIT : VLM_OK);
    }
    vlm_buffer_release(&at);
}

/* Damage -------------------------------------------------------------------------------------- */

static const char rich[] = PICKLE(
    DICT("\x8c\5epoch"
         "K\1"
         "\x8c\1o" DICT("K\0" DICT("\x8c\1m" MATRIX) "K\1" GLOBAL(
             "a", "B") ")\x81}b") "\x8c\12state_dict" ORDERED
                                  "(\x8c\1w" GLOBAL("torch._utils", "_rebuild_parameter") MATRIX
         "\x88" ORDERED "\x87R\x8c\1v" MATRIX
         "\x8c\1n" TENSOR(STORAGE("LongStorage", "1", "\1"), "K\0", ")", ")") "\x8c\1h" TENSOR(
             STORAGE("HalfStorage", "1", "\4"), "K\1", "K\3\x85", "K\1\x85") "u}b"));

static void pickles_cut_anywhere_are_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n + 1 < sizeof(rich); n++) {
        struct vlm_weights *weights;
        struct vlm_err err;
        assert_int_equal(open_pickle(&weights, rich, n, &err), VLM_EFORMAT);
    }
    struct vlm_weights *weights;
    struct vlm_err err;
    assert_int_equal(open_pickle(&weights, TEXT(rich), &err), VLM_OK);
    assert_int_equal(vlm_weights_count(weights), 4);
    assert_int_equal(read_all(weights), 3); /* one is of integers */
    vlm_weights_close(weights);
}

/* Each byte of a pickle with some 50 values, the small ones densely. */
static void damaged_pickles_are_read_or_refused(void **state)
{
    (void)state;
    char bytes[sizeof(rich)];
    size_t refused = 0, read = 0;
    memcpy(bytes, rich, sizeof(rich));
    for (size_t i = 0; i + 1 < sizeof(rich); i++) {
        for (unsigned value = 0; value < 256; value += 1 + value % 11) {
            struct vlm_weights *weights;
            struct vlm_err err;
            bytes[i] = (char)value;
            if (open_pickle(&weights, bytes, sizeof(rich) - 1, &err) == VLM_OK)
                read += read_all(weights);
            else
                refused++;
            vlm_weights_close(weights);
        }
        bytes[i] = rich[i];
    }
    assert_true(refused > 5000 && read > 5000);
}

/* Behind all the others: whatever they opened, the process stayed small. */
static void memory_stayed_small(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    puts("skipped: the sanitizer takes memory of its own");
    skip();
#else
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    assert_true(usage.ru_maxrss > 0 && usage.ru_maxrss < 512 * 1024); /* KiB */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_code_runs),
        cmocka_unit_test(what_is_no_tensor_is_left_out),
        cmocka_unit_test(the_dictionary_is_chosen_by_its_key),
        cmocka_unit_test(cycles_end),
        cmocka_unit_test(machines_that_stumble_are_refused),
        cmocka_unit_test(tensors_against_the_rules_are_refused),
        cmocka_unit_test(limits_of_the_machine_hold),
        cmocka_unit_test(bombs_stay_small),
        cmocka_unit_test(limits_of_dictionaries_hold),
        cmocka_unit_test(shared_dictionaries_are_counted),
        cmocka_unit_test(pickles_cut_anywhere_are_refused),
        cmocka_unit_test(damaged_pickles_are_read_or_refused),
        cmocka_unit_test(memory_stayed_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
