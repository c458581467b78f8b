/* square.c - the 256x256 RGB square of a decoded image: orient, resize, cut the centre out.
 *
 * The order is that of Pillow's users: the samples are turned upright first, then resized so that
 * the shorter side is 256 and the longer one is rounded half up, then cut at floor((n - 256) / 2).
 * Only the pixels of the square are computed. */
#include "base/vlm.h"

#include "vqgan/image/decoders.h"

enum { TILE = 32 };

/* EXIF 2.3, tag 274, as "take the pixel at (x, y) of the result from ...". */
struct turn {
    bool swap;   /* the sides change places */
    bool flip_x; /* count the source's columns from its right */
    bool flip_y; /* count the source's rows from its bottom */
};

static struct turn turn_of(unsigned orientation)
{
    static const struct turn turns[] = {
        { false, false, false }, { false, true, false }, { false, true, true },
        { false, false, true },  { true, false, false }, { true, false, true },
        { true, true, true },    { true, true, false },
    };
    VLM_BUG_IF(orientation < 1 || orientation > 8);
    return turns[orientation - 1];
}

/* One tile of the upright picture: columns [x, x_end) of rows [y, y_end). */
struct tile {
    uint32_t x, y, x_end, y_end;
};

static void turn_tile(uint8_t *to, const struct vlm_image *image, struct turn turn,
                      const struct tile *tile)
{
    size_t channels = image->channels, to_width = turn.swap ? image->height : image->width;
    for (size_t y = tile->y; y < tile->y_end; y++)
        for (size_t x = tile->x; x < tile->x_end; x++) {
            size_t column = turn.swap ? y : x, row = turn.swap ? x : y;
            column = turn.flip_x ? image->width - 1 - column : column;
            row = turn.flip_y ? image->height - 1 - row : row;
            const uint8_t *from = image->samples + (row * image->width + column) * channels;
            uint8_t *out = to + (y * to_width + x) * channels;
            for (size_t c = 0; c < channels; c++)
                out[c] = from[c];
        }
}

/* The samples upright, in the arena; in tiles, since one of the two sides jumps over rows. */
static const uint8_t *upright(const struct vlm_image *image, struct turn turn,
                              struct vlm_arena *arena)
{
    uint32_t width = turn.swap ? image->height : image->width;
    uint32_t height = turn.swap ? image->width : image->height;
    uint8_t *to = vlm_arena_alloc(arena, (size_t)width * height, image->channels);
    if (!to)
        return NULL;
    for (uint32_t y = 0; y < height; y += TILE)
        for (uint32_t x = 0; x < width; x += TILE) {
            const struct tile tile = { x, y, VLM_MIN(x + TILE, width), VLM_MIN(y + TILE, height) };
            turn_tile(to, image, turn, &tile);
        }
    return to;
}

/* side * 256 / shorter, rounded half up. */
static uint32_t scaled_side(uint32_t side, uint32_t shorter)
{
    return (uint32_t)(((uint64_t)side * 2 * VLM_SQUARE_SIDE + shorter) / (2 * (uint64_t)shorter));
}

/* Grey in the first third of the square -> RGB, from the end so that nothing is overwritten. */
static void spread_grey(uint8_t *square)
{
    for (size_t i = (size_t)VLM_SQUARE_SIDE * VLM_SQUARE_SIDE; i-- > 0;) {
        uint8_t grey = square[i];
        square[3 * i] = square[3 * i + 1] = square[3 * i + 2] = grey;
    }
}

int vlm_image_square(uint8_t square[VLM_SQUARE_BYTES], const struct vlm_image *image,
                     struct vlm_arena *arena, struct vlm_err *err)
{
    VLM_BUG_IF(!image->samples || !image->width || !image->height);
    struct turn turn = turn_of(image->info.orientation);
    const uint8_t *samples = image->samples;
    if (image->info.orientation != 1 && !(samples = upright(image, turn, arena)))
        return vlm_fail(err, VLM_ELIMIT, "no memory to turn an image");
    struct vlm_resize resize = {
        .filter = VLM_FILTER_BICUBIC,
        .channels = image->channels,
        .width = turn.swap ? image->height : image->width,
        .height = turn.swap ? image->width : image->height,
        .columns = VLM_SQUARE_SIDE,
        .rows = VLM_SQUARE_SIDE,
    };
    uint32_t shorter = VLM_MIN(resize.width, resize.height);
    resize.to_width = scaled_side(resize.width, shorter);
    resize.to_height = scaled_side(resize.height, shorter);
    resize.left = (resize.to_width - VLM_SQUARE_SIDE) / 2;
    resize.top = (resize.to_height - VLM_SQUARE_SIDE) / 2;
    int rc = vlm_resize_box(square, samples, &resize, arena, err);
    if (rc == VLM_OK && image->channels == 1)
        spread_grey(square);
    return rc;
}
