/* bpe_train.c - the merges of a byte-level BPE, most frequent pair first.
 *
 * All distinct words stand in one array of slots, a byte each at first, with borders between. A symbol of several
 * bytes lives in its first slot; its length stands in its first and in its last slot, so that both neighbours of any
 * symbol are found at once. A merge visits the places of its pair and nothing else: the work of a whole training is
 * proportional to the symbols that are merged, whatever the words look like. What a merge changes (pairs with the old
 * symbols become fewer, pairs with the new one appear) is first summed up by neighbour in two arrays and then applied,
 * a look-up a neighbour.
 *
 * Symbols are numbered without the special tokens: bytes in the order of their spelling, then merges. */
#include "base/vlm.h"

#include "tokenize/bpe/bpe_pairs.h"
#include "tokenize/bpe/word_counts.h"

#include "base/hash.h"

enum {
    BYTES = 256,
    SLOT_COST = 40, /* bytes of all tables a slot: 33 with 17 million slots and 32,768 tokens */
    ORDERS = 1024,  /* counts that are told apart when rare words are left out */
    ASK_EVERY = 64, /* merges between looks at the stop flag */
};

#define LARGE  ((uint32_t)1 << 20) /* a weight from here on is the number of a large one */
#define BORDER UINT32_MAX
#define INSIDE (UINT32_MAX - 1)

struct slot {
    uint32_t id;     /* of the symbol that begins here, INSIDE of one, or BORDER of words */
    uint32_t span;   /* slots of the symbol; in its first and its last slot */
    uint32_t weight; /* how often the word occurs, or LARGE + a number of training->large */
};

/* A symbol beside the new one, and what that changes. */
struct neighbour {
    uint64_t lost;   /* from the count of its pair with the old symbol */
    uint64_t gained; /* the count of its pair with the new symbol */
    uint32_t n;      /* places of the latter */
    size_t at;       /* where they go */
    bool kept;       /* whether the new pair is frequent enough to have places */
};

struct side {
    struct neighbour *of; /* [vocab] by symbol, zeros between merges */
    uint32_t *touched;    /* [n] symbols whose neighbour is not zero */
    size_t n;
    struct {
        uint32_t symbol, place;
    } * seen; /* [n_seen] in ascending order of places */
    size_t n_seen;
};

struct training {
    const struct vlm_bpe_train_options *options;
    struct vlm_bpe_trained *out;
    uint64_t min_count;
    struct slot *slots; /* [n_slots], borders in front and behind */
    size_t n_slots;
    uint64_t *large; /* [n_large] weights that do not fit into a slot */
    size_t n_large;
    struct vlm_bpe_pairs pairs;
    struct side left, right; /* of the new symbol */
    size_t most;             /* places that one merge may have: capacity of seen */
    uint32_t symbols;        /* so far */
};

/* Words into slots ------------------------------------------------------------------------------- */

/* Frequent words have a high order; of equal counts a hash decides, so that nothing depends on sequence. */
static size_t order_of(const struct vlm_word_count *word)
{
    size_t count = (size_t)VLM_MIN(word->count, ORDERS - 1);
    return count << 8 | (vlm_xxh3(word->bytes, word->n) & 0xff);
}

/* Counts what there is; *lowest is the order from which on words fit into the memory, *slots what these take. */
static int measure(struct training *training, struct vlm_word_counts *counts, size_t *lowest,
                   uint64_t *slots, struct vlm_err *err)
{
    struct vlm_word_count word;
    uint64_t room = VLM_MIN(training->options->memory / SLOT_COST, (uint64_t)INSIDE);
    uint64_t *taken = calloc((size_t)ORDERS << 8, sizeof(*taken));
    if (!taken)
        return vlm_fail(err, VLM_ENOMEM, "no memory to choose words");
    int rc = vlm_word_counts_rewind(counts, err);
    while (rc == VLM_OK && (rc = vlm_word_counts_next(counts, &word, err)) == VLM_OK) {
        taken[order_of(&word)] += word.n + 1;
        training->out->words++;
        training->out->occurrences += word.count;
        training->out->bytes += word.count * word.n;
    }
    *slots = 1;
    for (*lowest = (size_t)ORDERS << 8; *lowest > 0; --*lowest) {
        if (*slots + taken[*lowest - 1] > room)
            break;
        *slots += taken[*lowest - 1];
    }
    free(taken);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int set_weight(struct training *training, uint32_t *weight, uint64_t count,
                      struct vlm_err *err)
{
    if (count < LARGE) {
        *weight = (uint32_t)count;
        return VLM_OK;
    }
    uint64_t *large = reallocarray(training->large, training->n_large + 1, sizeof(*large));
    if (!large)
        return vlm_fail(err, VLM_ENOMEM, "no memory for counts of words");
    training->large = large;
    large[training->n_large] = count;
    *weight = LARGE + (uint32_t)training->n_large++;
    return VLM_OK;
}

static uint64_t weight_at(const struct training *training, uint32_t place)
{
    uint32_t weight = training->slots[place].weight;
    return weight < LARGE ? weight : training->large[weight - LARGE];
}

/* The place of each byte among the spellings of all. */
static void number_bytes(uint32_t number[BYTES])
{
    for (unsigned byte = 0; byte < BYTES; byte++) {
        number[byte] = 0;
        for (unsigned other = 0; other < BYTES; other++)
            number[byte] +=
                vlm_bpe_byte_to_char((uint8_t)other) < vlm_bpe_byte_to_char((uint8_t)byte);
    }
}

static int fill_slots(struct training *training, struct vlm_word_counts *counts, size_t lowest,
                      struct vlm_err *err)
{
    struct vlm_word_count word;
    uint32_t number[BYTES];
    struct slot *slot = training->slots;
    number_bytes(number);
    *slot++ = (struct slot){ BORDER, 0, 0 };
    int rc = vlm_word_counts_rewind(counts, err);
    while (rc == VLM_OK && (rc = vlm_word_counts_next(counts, &word, err)) == VLM_OK) {
        uint32_t weight = 0;
        if (order_of(&word) < lowest) {
            training->out->words_left_out++;
            continue;
        }
        rc = set_weight(training, &weight, word.count, err);
        for (size_t i = 0; i < word.n; i++)
            *slot++ = (struct slot){ number[(uint8_t)word.bytes[i]], 1, weight };
        *slot++ = (struct slot){ BORDER, 0, 0 };
    }
    training->n_slots = (size_t)(slot - training->slots);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int load_words(struct training *training, struct vlm_word_counts *counts,
                      struct vlm_err *err)
{
    size_t lowest = 0;
    uint64_t slots = 0;
    int rc = measure(training, counts, &lowest, &slots, err);
    if (rc < 0)
        return rc;
    training->slots = malloc((size_t)slots * sizeof(*training->slots));
    if (!training->slots)
        return vlm_fail(err, VLM_ENOMEM, "no memory for words of %" PRIu64 " bytes", slots);
    return fill_slots(training, counts, lowest, err);
}

/* Pairs of bytes --------------------------------------------------------------------------------- */

struct byte_pair {
    uint64_t count;
    uint32_t n;
    size_t at;
};

static size_t byte_pair_at(const struct training *training, size_t place)
{
    const struct slot *slot = &training->slots[place];
    return slot[0].id < BYTES && slot[1].id < BYTES ? slot[0].id * BYTES + slot[1].id : SIZE_MAX;
}

static int make_byte_pairs(struct training *training, struct vlm_err *err)
{
    struct byte_pair *pairs = calloc((size_t)BYTES * BYTES, sizeof(*pairs));
    int rc = VLM_OK;
    if (!pairs)
        return vlm_fail(err, VLM_ENOMEM, "no memory for pairs of bytes");
    for (size_t i = 0; i + 1 < training->n_slots; i++) {
        size_t pair = byte_pair_at(training, i);
        if (pair == SIZE_MAX)
            continue;
        pairs[pair].count += weight_at(training, (uint32_t)i);
        pairs[pair].n++;
    }
    for (uint32_t i = 0; rc == VLM_OK && i < BYTES * BYTES; i++) {
        training->most = VLM_MAX(training->most, pairs[i].n);
        if (pairs[i].count >= training->min_count)
            rc = vlm_bpe_pairs_new(&training->pairs, i / BYTES, i % BYTES, pairs[i].count,
                                   pairs[i].n, &pairs[i].at, err);
    }
    for (size_t i = 0; rc == VLM_OK && i + 1 < training->n_slots; i++) {
        size_t pair = byte_pair_at(training, i);
        if (pair != SIZE_MAX && pairs[pair].count >= training->min_count)
            training->pairs.places[pairs[pair].at++] = (uint32_t)i;
    }
    free(pairs);
    return rc;
}

/* One merge -------------------------------------------------------------------------------------- */

static struct neighbour *touch(struct side *side, uint32_t symbol)
{
    struct neighbour *neighbour = &side->of[symbol];
    if (!neighbour->n && !neighbour->lost)
        side->touched[side->n++] = symbol;
    return neighbour;
}

static void see(struct side *side, uint32_t symbol, uint32_t place, uint64_t lost, uint64_t gained)
{
    struct neighbour *neighbour = touch(side, symbol);
    neighbour->lost += lost;
    neighbour->gained += gained;
    neighbour->n++;
    side->seen[side->n_seen].symbol = symbol;
    side->seen[side->n_seen++].place = place;
}

/* Makes the two symbols at a place, when they still stand there, into one. Places come in ascending order, so of
 * aaa the left two become one, and a neighbour to the left may be new itself. */
static void merge_at(struct training *training, uint32_t place, uint32_t left, uint32_t right)
{
    struct slot *slots = training->slots, *first = &slots[place];
    if (first->id != left || first[first->span].id != right)
        return;
    struct slot *second = first + first->span, *next = second + second->span;
    const struct slot *before = first - 1;
    uint32_t symbol = training->symbols;
    uint64_t weight = weight_at(training, place);
    if (before->id != BORDER) {
        uint32_t at = place - before->span;
        uint32_t previous = slots[at].id;
        see(&training->left, previous, at, previous == symbol ? 0 : weight, weight);
        if (previous == symbol)
            training->right.of[left].gained -= weight; /* what it saw there is no more */
    }
    if (next->id != BORDER)
        see(&training->right, next->id, place, weight, weight);
    uint32_t span = first->span + second->span;
    second->id = INSIDE;
    first->id = symbol;
    first->span = span;
    first[span - 1].span = span;
}

/* Counts of pairs with an old symbol fall; pairs with the new one that are frequent enough are made. */
static int apply(struct training *training, struct side *side, uint32_t old, bool is_left,
                 struct vlm_err *err)
{
    uint32_t symbol = training->symbols;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < side->n; i++) {
        uint32_t other = side->touched[i];
        struct neighbour *neighbour = &side->of[other];
        if (neighbour->lost)
            vlm_bpe_pairs_take(&training->pairs, is_left ? other : old, is_left ? old : other,
                               neighbour->lost);
        neighbour->kept = neighbour->gained >= training->min_count;
        if (neighbour->kept)
            rc = vlm_bpe_pairs_new(&training->pairs, is_left ? other : symbol,
                                   is_left ? symbol : other, neighbour->gained, neighbour->n,
                                   &neighbour->at, err);
    }
    for (size_t i = 0; rc == VLM_OK && i < side->n_seen; i++) {
        struct neighbour *neighbour = &side->of[side->seen[i].symbol];
        if (neighbour->kept)
            training->pairs.places[neighbour->at++] = side->seen[i].place;
    }
    for (size_t i = 0; i < side->n; i++)
        side->of[side->touched[i]] = (struct neighbour){ 0 };
    side->n = side->n_seen = 0;
    return rc;
}

static int merge(struct training *training, const struct vlm_counted_pair *pair,
                 struct vlm_err *err)
{
    uint32_t left = (uint32_t)(pair->key >> 32), right = (uint32_t)pair->key;
    const uint32_t *places = training->pairs.places + pair->at;
    for (uint32_t i = 0; i < pair->n; i++)
        merge_at(training, places[i], left, right);
    int rc = apply(training, &training->left, left, true, err);
    if (rc == VLM_OK)
        rc = apply(training, &training->right, right, false, err);
    training->out->merges[training->out->n_merges][0] = left + training->options->n_specials;
    training->out->merges[training->out->n_merges++][1] = right + training->options->n_specials;
    training->symbols++;
    return rc;
}

static int new_side(struct side *side, uint32_t symbols, size_t most, struct vlm_err *err)
{
    side->of = calloc(symbols, sizeof(*side->of));
    side->touched = calloc(symbols, sizeof(*side->touched));
    side->seen = calloc(most + 1, sizeof(*side->seen));
    if (!side->of || !side->touched || !side->seen)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " symbols", symbols);
    return VLM_OK;
}

static int learn(struct training *training, uint32_t wanted, struct vlm_err *err)
{
    const struct vlm_bpe_train_options *options = training->options;
    struct vlm_bpe_trained *out = training->out;
    int rc = make_byte_pairs(training, err);
    if (rc == VLM_OK)
        rc = new_side(&training->left, BYTES + wanted, training->most, err);
    if (rc == VLM_OK)
        rc = new_side(&training->right, BYTES + wanted, training->most, err);
    out->merges = calloc((size_t)wanted + 1, sizeof(*out->merges));
    if (rc == VLM_OK && !out->merges)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " merges", wanted);
    training->symbols = BYTES;
    while (rc == VLM_OK && out->n_merges < wanted) {
        const struct vlm_counted_pair *pair =
            vlm_bpe_pairs_pop(&training->pairs, training->min_count);
        if (!pair)
            break;
        rc = merge(training, pair, err);
        if (out->n_merges % ASK_EVERY)
            continue;
        if (options->progress)
            options->progress(options->context, out->n_merges, wanted);
        if (rc == VLM_OK && options->stop && *options->stop)
            rc = vlm_fail(err, VLM_ESTOPPED, "stopped by a signal");
    }
    return rc;
}

static void release_side(struct side *side)
{
    free(side->of);
    free(side->touched);
    free(side->seen);
}

int vlm_bpe_train(struct vlm_bpe_trained *out, struct vlm_word_counts *counts,
                  const struct vlm_bpe_train_options *options, struct vlm_err *err)
{
    struct training training = { .options = options,
                                 .out = out,
                                 .min_count = VLM_MAX(options->min_count, 1) };
    *out = (struct vlm_bpe_trained){ .n_specials = options->n_specials };
    if (options->vocab_size < options->n_specials + BYTES)
        return vlm_fail(err, VLM_EUSAGE,
                        "a vocabulary of %" PRIu32 " has no room for %" PRIu32
                        " special tokens and 256 bytes: it takes at least %" PRIu32,
                        options->vocab_size, options->n_specials, options->n_specials + BYTES);
    int rc = load_words(&training, counts, err);
    if (rc == VLM_OK)
        rc = learn(&training, options->vocab_size - options->n_specials - BYTES, err);
    free(training.slots);
    free(training.large);
    vlm_bpe_pairs_release(&training.pairs);
    release_side(&training.left);
    release_side(&training.right);
    if (rc < 0)
        vlm_bpe_trained_release(out);
    return rc;
}

void vlm_bpe_trained_release(struct vlm_bpe_trained *trained)
{
    free(trained->merges);
    *trained = (struct vlm_bpe_trained){ 0 };
}
