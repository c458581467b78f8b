/* killer_shim.c - a hole in a decoder, for killer_image.sh: put in front of libjpeg by LD_PRELOAD, it
 * kills the process at JPEG files of KILLER_SIZE bytes. */
#include "base/vlm.h"

#include <dlfcn.h>
#include <jpeglib.h>
#include <signal.h>

void jpeg_mem_src(j_decompress_ptr cinfo, const unsigned char *bytes, unsigned long size);

void jpeg_mem_src(j_decompress_ptr cinfo, const unsigned char *bytes, unsigned long size)
{
    void (*real)(j_decompress_ptr, const unsigned char *, unsigned long);
    const char *killer = getenv("KILLER_SIZE");
    *(void **)&real = dlsym(RTLD_NEXT, "jpeg_mem_src");
    if (killer && size == strtoul(killer, NULL, 10))
        raise(SIGSEGV);
    real(cinfo, bytes, size);
}
