# A byte-level tokenizer.json with control tokens and a few merges, for cases: ids 0 to 21 are control tokens, 22
# to 277 the bytes, in the order of their spelling's characters, then come the merges.
function added(id, word) {
    printf "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}",
        id ? "," : "", id, word
}
BEGIN {
    split("<pad> <s> </s> <eoss> <image> <EOC>", control, " ")
    merges = split("t h,i n,th e,\\u0120 the,a n,an d,\\u0120 and,\\u0120 a,o u,ou r", merge, ",")
    printf "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    for (i = 0; i < 22; i++)
        added(i, i < 6 ? control[i + 1] : "<mask:" (i - 6) ">")
    printf "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
    printf "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
    printf "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{"
    for (i = 0; i < 22; i++)
        printf("\"%s\":%d,", (i < 6 ? control[i + 1] : "<mask:" (i - 6) ">"), i)
    id = 22
    for (i = 33; i < 256; i++)
        if (i < 127 || (i > 160 && i != 173))
            printf "\"\\u%04x\":%d,", i, id++
    for (i = 256; i < 324; i++)
        printf "\"\\u%04x\":%d,", i, id++
    for (i = 1; i <= merges; i++) {
        word = merge[i]
        sub(/ /, "", word)
        printf("%s\"%s\":%d", (i > 1 ? "," : ""), word, id++)
    }
    printf "},\"merges\":["
    for (i = 1; i <= merges; i++)
        printf("%s\"%s\"", (i > 1 ? "," : ""), merge[i])
    print "]}}"
}
