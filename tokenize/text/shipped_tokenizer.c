/* shipped_tokenizer.c - tokenize/text/shipped/tokenizer.json inside of the programs. */
#include "base/vlm.h"

#include "base/include_file.h"
#include "tokenize/text/text_internal.h"

VLM_INCLUDE_FILE(vlm_shipped_tokenizer, "tokenize/text/shipped/tokenizer.json");
