/* call_internal.h - what the files of calls share. */
#ifndef VLM_SERVE_CALL_INTERNAL_H
#define VLM_SERVE_CALL_INTERNAL_H

#include "serve/api/call.h"

/* ---- call.c ---- */

/* Cancels what runs and frees; the exchange stays as it is. */
void vlm_call_free(struct vlm_call *call);

/* Tells the access log and the metrics how it ended. */
void vlm_call_account(struct vlm_call *call, int status, const char *finish);

/* vlm_call_fail_err() of a job: numbers and biases of logits have sentences of their own. */
void vlm_call_fail_job(struct vlm_call *call, int rc, const struct vlm_err *err);

/* ---- call_job.c ---- */

/* The pictures are codes: prompts, then the job. The call may be gone afterwards. */
void vlm_call_begin(struct vlm_call *call);

/* ---- call_events.c ---- */

/* Of the job. */
void vlm_call_on_event(struct vlm_job *job, const struct vlm_job_event *event);

/* Of a call whose prepare() returns false afterwards: as if the ids had been drawn; the answer comes when their pictures are
 * there. The call may be gone afterwards. */
void vlm_call_replay(struct vlm_call *call, const uint32_t *ids, size_t n);

/* On request, and where it can be: a prompt that leaves no room for the answer gets shorter. False: the call is gone. */
VLM_MUST_CHECK bool vlm_call_truncate(struct vlm_call *call, struct vlm_call_prompt *prompt);
/* ---- call_images.c ---- */

enum vlm_code_origin { VLM_CODE_DRAWN, VLM_CODE_FORCED };

/* A piece at the end of the fill's text, of no text yet. NULL: no memory. */
struct vlm_call_piece *vlm_call_add_piece(struct vlm_call_fill *fill);

/* One more code (0 is the codebook's first) of a fill; the picture of it goes to the client when it is the last. False:
 * the call is gone. */
VLM_MUST_CHECK bool vlm_call_add_code(struct vlm_call *call, struct vlm_call_choice *choice,
                                      size_t number, uint32_t code, enum vlm_code_origin origin);

/* Pictures that several masks are in, and those that the limit cut. False: the call is gone. */
VLM_MUST_CHECK bool vlm_call_finish_images(struct vlm_call *call, struct vlm_call_choice *choice,
                                           const struct vlm_answer *answer);

/* Without an answer: pictures that are left unfinished are shown as far as they go. False: the call is gone. */
VLM_MUST_CHECK bool vlm_call_finish_open(struct vlm_call *call, struct vlm_call_choice *choice);

/* ---- call_end.c ---- */

/* The headers of the stream and kind->begin(), unless it has begun. */
void vlm_call_start_stream(struct vlm_call *call);

/* Whether the stream's reader keeps up; else the call has failed and is gone. */
VLM_MUST_CHECK bool vlm_call_keeps_up(struct vlm_call *call);

/* Comments in a stream that is silent for long. False: no memory. */
VLM_MUST_CHECK bool vlm_call_start_pings(struct vlm_call *call);

/* All of it is there: the answer, or the end of the stream. The call is gone. */
void vlm_call_complete(struct vlm_call *call);

/* Whether the choice is whole now, and with it the call, which is answered then. False: the call is gone. */
VLM_MUST_CHECK bool vlm_call_check_choice(struct vlm_call *call, struct vlm_call_choice *choice);

#endif
