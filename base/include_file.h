/* include_file.h - a file of the source inside of the programs: no path to find, nothing to install.
 *
 *   VLM_INCLUDE_FILE(vlm_shipped_config_file, "vqgan/shipped/config.json");
 *   const size_t n = VLM_INCLUDED_SIZE(vlm_shipped_config_file);
 *
 * The symbol is the file's bytes, from a multiple of 64 on; a NUL stands behind them. The path is seen from the
 * folder in which the compiler runs; the Makefile says that the object depends on the file. */
#ifndef VLM_BASE_INCLUDE_FILE_H
#define VLM_BASE_INCLUDE_FILE_H

#include "base/vlm.h"

#define VLM_INCLUDE_FILE(symbol, path)                                                             \
    __asm__(".pushsection .rodata\n.balign 64\n"                                                   \
            ".global " #symbol ", " #symbol "_size\n" #symbol ":\n"                                \
            ".incbin \"" path "\"\n0: .byte 0\n.balign 8\n" #symbol "_size:\n"                     \
            ".quad 0b - " #symbol "\n.popsection\n");                                              \
    extern const uint8_t symbol[];                                                                 \
    extern const uint64_t symbol##_size

#define VLM_INCLUDED_SIZE(symbol) ((size_t)symbol##_size)

#endif
