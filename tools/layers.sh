#!/bin/sh
# layers.sh - verifies who includes whom (docs/ARCHITECTURE.md): a folder includes itself and folders
# to its left in
#
#     base -> nn -> {tokenize, vqgan} -> shard -> models -> {trainer, serve}
#
# within serve/ and trainer/ a room includes itself and rooms to its left in
#
#     {http, page} -> work -> picture -> api -> run
#     data -> save -> run
#
# and a third-party header is included in one folder only. Mains, tools/ and tests/ may include any
# folder of ours; tests/ may include any header.
set -eu

find . \( -path ./build -o -path ./.git \) -prune -o \( -name '*.c' -o -name '*.h' \) -print |
    sed 's,^\./,,' | sort | xargs grep -Hn '^[[:space:]]*#[[:space:]]*include' | awk '
BEGIN {
    allowed["base"]     = "base"
    allowed["nn"]       = "base nn"
    allowed["tokenize"] = "base nn tokenize"
    allowed["vqgan"]    = "base nn vqgan"
    allowed["shard"]    = "base nn tokenize vqgan shard"
    allowed["models"]   = "base nn tokenize vqgan shard models"
    allowed["trainer"]  = "base nn tokenize vqgan shard models trainer"
    allowed["serve"]    = "base nn tokenize vqgan shard models serve"
    room["serve/http"]    = "http"
    room["serve/page"]    = "page"
    room["serve/work"]    = "http work"
    room["serve/picture"] = "http work picture"
    room["serve/api"]     = "http page work picture api"
    room["serve/run"]     = "http page work picture api run"
    room["trainer/data"]  = "data"
    room["trainer/save"]  = "data save"
    room["trainer/run"]   = "data save run"
    has_rooms["serve"] = has_rooms["trainer"] = 1
    n = split("libxml/ tokenize archive.h tokenize archive_entry.h tokenize lmdb.h shard " \
              "seccomp.h shard jpeglib.h vqgan spng.h vqgan webp/ vqgan gif_lib.h vqgan " \
              "json-c/ base openssl/ base xxhash.h base cblas.h nn pcre2.h tokenize utf8proc.h tokenize event2/ serve", word, " ")
    for (i = 1; i < n; i += 2)
        home[word[i]] = word[i + 1]
}
{
    split($0, part, ":")
    file = part[1]; line = part[2]
    folder = file; sub(/\/.*/, "", folder)
    name = $0
    if (match(name, /"[^"]*"/) == 0 && match(name, /<[^>]*>/) == 0)
        next
    quote = substr(name, RSTART, 1)
    name = substr(name, RSTART + 1, RLENGTH - 2)
    if (quote == "<") {
        for (header in home)
            if (index(name, header) == 1 && folder != home[header] && folder != "tests") {
                printf "%s:%s: <%s> belongs to %s/\n", file, line, name, home[header]
                bad = 1
            }
        next
    }
    target = name; sub(/\/.*/, "", target)
    if (!(folder in allowed) || file ~ /_main\.c$/)
        next
    if (index(" " allowed[folder] " ", " " target " ") == 0) {
        printf "%s:%s: %s/ may not include \"%s\"\n", file, line, folder, name
        bad = 1
    }
    split(file, from, "/"); split(name, to, "/")
    place = folder "/" from[2]
    if (folder in has_rooms && target == folder && from[2] !~ /\.[ch]$/ &&
        index(" " room[place] " ", " " to[2] " ") == 0) {
        printf "%s:%s: %s/ may not include \"%s\"\n", file, line, place, name
        bad = 1
    }
}
END { exit bad }'
