/* verbs.h - the verb of vlm-train that needs no tool's code (tools/train has the others): argv[0] is
 * "vlm-train VERB", the result the exit status. */
#ifndef VLM_TRAINER_VERBS_H
#define VLM_TRAINER_VERBS_H

/* vlm-train dump MODEL --ids FILE -o FILE: verb_dump.c */
int vlm_train_dump(int argc, char **argv);

#endif
