/* vlm_vqgan_main.c - vlm-vqgan: images as codes. */
#include "base/vlm.h"

#include "base/verb.h"
#include "nn/engine.h"
#include "tools/vqgan/vqgan.h"

static const struct vlm_verb verbs[] = {
    { "train", vlm_vqgan_train, "a tokenizer from pictures" },
    { "encode", vlm_vqgan_encode, "pictures into codes, a JSON line each" },
    { "decode", vlm_vqgan_decode, "lines of codes into PNG files" },
    { "eval", vlm_vqgan_eval, "how near pictures come back, and how fast" },
    { "import", vlm_vqgan_import, "weights that others have trained into a tokenizer" },
    { "info", vlm_vqgan_info, "what a tokenizer is" },
};

static const struct vlm_verbs program = {
    .name = "vlm-vqgan",
    .synopsis = "VERB [options] ...",
    .summary = "Images as codes: a picture of 256x256 pixels becomes 16x16 numbers, and back.",
    .closing = "vlm-vqgan VERB --help tells more, for instance:\n"
               "  vlm-vqgan encode photo.jpg | vlm-vqgan decode -o back\n"
               "  vlm-vqgan train photos/ -o model\n"
               "  vlm-vqgan eval -m model photos/\n",
    .list = verbs,
    .n = VLM_COUNTOF(verbs),
};

int main(int argc, char **argv)
{
    vlm_engine_without_blas_threads(argv);
    return vlm_verbs_main(&program, argc, argv);
}
