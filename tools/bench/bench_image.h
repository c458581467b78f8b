/* bench_image.h - speed of the image front end. argv[0] is the name to print, argv[1..] are files;
 * writes one JSON line to stdout and returns the exit status. */
#ifndef VLM_TOOLS_BENCH_IMAGE_H
#define VLM_TOOLS_BENCH_IMAGE_H

int vlm_bench_image(int argc, char **argv);

#endif
