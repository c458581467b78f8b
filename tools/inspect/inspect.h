/* inspect.h - the verbs of vlm-inspect. Each parses its own options (argv[0] is "vlm-inspect VERB"),
 * writes its data to stdout and returns the exit status. */
#ifndef VLM_TOOLS_INSPECT_H
#define VLM_TOOLS_INSPECT_H

int vlm_inspect_records(int argc, char **argv);
int vlm_inspect_page(int argc, char **argv);
int vlm_inspect_image(int argc, char **argv);
int vlm_inspect_summary(int argc, char **argv);
int vlm_inspect_cat(int argc, char **argv);
int vlm_inspect_show(int argc, char **argv);
int vlm_inspect_trace(int argc, char **argv);
int vlm_inspect_batch(int argc, char **argv);

#endif
