/* learn.h - the verbs of vlm-learn; argv[0] is the verb, the result the exit status. */
#ifndef VLM_TOOLS_LEARN_H
#define VLM_TOOLS_LEARN_H

int vlm_learn_shapes(int argc, char **argv);
int vlm_learn_measure(int argc, char **argv);

#endif
