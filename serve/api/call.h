/* call.h - one request that makes the model work, from its body to its answer or stream.
 *
 *   struct my_call { struct vlm_call call; ... };     // the table of fields has offsets of struct my_call
 *   const struct vlm_call_kind vlm_kind_my = { .endpoint = "/v1/my", .size = sizeof(struct my_call), ... };
 *   vlm_call_handle(service, exchange, &vlm_kind_my);  // a JSON body; others take the steps of it themselves
 *
 * Stages: pictures of the request become codes -> kind->prepare() makes prompts -> a job of struct vlm_work -> texts and
 * pictures of each choice -> kind->answer(), or events as they come. The client may leave, and the time may be over, at
 * any stage: what is under way is cancelled and the call freed. An error is answered once, by vlm_call_fail(), which
 * frees the call too; nothing of it may be used afterwards. All on the loop's thread. */
#ifndef VLM_SERVE_CALL_H
#define VLM_SERVE_CALL_H

#include "models/generate/prompt.h"
#include "models/generate/spell.h"
#include "serve/api/request.h"

struct vlm_call;
struct event;

/* A picture of the request. */
struct vlm_call_picture {
    struct vlm_call *call;
    const char *param; /* field of it */
    const uint8_t *bytes;
    size_t n; /* of a file; 0: the codes were sent */
    struct vlm_picture_task *task;
    uint8_t sha256[32];
    uint32_t width, height; /* of a file */
    uint16_t codes[VLM_CODES];
    uint8_t *square; /* [256][256][3] in the arena, when kept */
    bool keep_square;
};

/* A prompt in ids: one for each of a batch. */
struct vlm_call_prompt {
    struct vlm_prompt made;                /* released with the call */
    struct vlm_prompt negative;            /* of guidance; empty: none */
    const char *param;                     /* the field that it is of, for errors; NULL: none */
    size_t mask_tokens[VLM_MASKS_DEFAULT]; /* as options.mask_tokens */
    size_t score_from;                     /* not 0: the job scores */
    const char *text; /* as it was sent, for echo, text_n bytes; NULL: it was ids */
    size_t text_n;
};

/* A picture that is not finished, on its way to the client. */
struct vlm_call_preview {
    struct vlm_call_image *image;
    struct vlm_picture_task *task; /* NULL: none */
};

/* A picture that was drawn. */
struct vlm_call_image {
    struct vlm_call *call;
    size_t choice, index, fill; /* number in its choice; which fill drew (the first of) it */
    size_t known;               /* codes there are so far */
    uint16_t codes[VLM_CODES];  /* VLM_CODE_UNKNOWN: not yet */
    size_t begin, at, end;      /* of what is to be drawn: the first, the next, behind the last */
    bool shared;                /* other masks are in it: complete only with its choice */
    bool merged;                /* it turned out to be a part of the one before it: left out */
    bool whole;                 /* all codes are there; the file too when `task` is NULL */
    bool refused;               /* it is in a deleted.jsonl: content_filter */
    bool sent;                  /* streams: kind->image() was called with it whole */
    struct vlm_picture_task *task;
    struct vlm_call_preview previews[VLM_PARTIAL_IMAGES_MAX];
    double previewed;    /* when */
    size_t asked, shown; /* previews that were begun, that were sent */
    uint8_t sha256[32];
    struct vlm_buffer file; /* as image_form says */
};

/* A stretch of what a fill is: text, or one picture. */
struct vlm_call_piece {
    struct vlm_call_image *image; /* NULL: text */
    size_t start, n;              /* in the fill's text */
};

/* What was drawn for a mask; a continuation is fill 0. */
struct vlm_call_fill {
    struct vlm_buffer text; /* without pictures and without the stop word */
    struct vlm_call_piece *pieces;
    size_t n_pieces;
    size_t tokens, image_tokens; /* drawn in it, its end apart */
    enum vlm_stop_reason why;
    struct vlm_spell spell;
    bool begun, space_dropped;
    struct vlm_call_image *open; /* the picture that is being drawn */
};

struct vlm_call_choice {
    size_t prompt;
    uint64_t seed;
    struct vlm_call_fill fills[VLM_MASKS_DEFAULT];
    size_t n_fills;
    struct vlm_call_image **images;
    size_t n_images;
    struct vlm_drawn *drawn; /* [n_drawn]: all but ends, when logprobs or ids are wanted */
    struct vlm_likely *likely;
    size_t n_drawn, drawn_capacity;
    size_t told;                    /* of drawn: kind->text() has been called with them */
    size_t generated, image_tokens; /* usage */
    double log_likelihood;
    float *losses; /* [n_losses] of a score */
    size_t n_losses;
    size_t cached;
    double prompt_seconds, decode_seconds;
    bool over;          /* its branch is; pictures may be under way */
    bool finished;      /* streams: kind->finish() was called */
    const char *finish; /* "stop", "length", "content_filter" */
};

struct vlm_call_kind {
    const char *endpoint; /* its path */
    size_t size;          /* of the struct that begins with struct vlm_call; zeroed */
    const char *id;       /* "cmpl-": how ids of answers begin */
    const char *chunk;    /* "text_completion": the object of vlm_call_open_chunk() */
    const char *schema;   /* of its answer, in /openapi.json; NULL: any object */
    bool at_once;         /* prepare() makes the answer: nothing is drawn, nothing streamed */
    const struct vlm_field_group *const *groups; /* of its JSON body, NULL at the end */
    /* After the fields: what is inside of them, with the tools of field.h. NULL: nothing. False: a problem. */
    bool (*read)(struct vlm_call *call, struct vlm_reader *reader);
    /* The pictures are codes: makes call->prompts (vlm_call_prompts()). False: it called vlm_call_fail(). */
    bool (*prepare)(struct vlm_call *call);
    /* All is there: the members of the answer's object, which is open. What all have (warnings) follows. */
    void (*answer)(struct vlm_call *call, struct vlm_json *json);
    /* What a picture is drawn for: its square and mask of regions; NULL: nothing special. */
    void (*form)(struct vlm_call *call, const struct vlm_call_choice *choice,
                 const struct vlm_call_image *image, struct vlm_picture_form *form);
    /* Streams; NULL: nothing is sent then. They write with sse.h. text: the tokens drawn[told ... n_drawn) are new
     * too, and n may be 0 when logprobs or ids are wanted. */
    void (*begin)(struct vlm_call *call);
    /* call->n_scores: the losses of a prompt are there, which may be after tokens of its choices. */
    void (*scored)(struct vlm_call *call, size_t prompt);
    void (*text)(struct vlm_call *call, struct vlm_call_choice *choice, size_t fill,
                 const char *text, size_t n);
    /* A preview (whole false: file of JPEG in `file`), or the picture. */
    void (*image)(struct vlm_call *call, struct vlm_call_choice *choice,
                  struct vlm_call_image *image, const uint8_t *file, size_t n);
    void (*finish)(struct vlm_call *call,
                   struct vlm_call_choice *choice); /* a choice is complete */
    void (*end)(struct vlm_call *call);             /* all are */
    void (*progress)(struct vlm_call *call, const struct vlm_job_event *event); /* of the prompt */
    void (*release)(struct vlm_call *call);
};

struct vlm_call {
    struct vlm_request request;
    struct vlm_service *service;
    struct vlm_exchange *exchange;
    const struct vlm_call_kind *kind;
    struct vlm_arena arena;
    size_t held; /* bytes of the arena, as counted in service->held_bytes */
    struct vlm_reader reader;
    char id[40];
    uint64_t created;
    struct vlm_call_picture **pictures;
    size_t n_pictures, pictures_waiting;
    struct vlm_call_prompt *prompts;
    size_t n_prompts;
    struct vlm_job job;
    bool submitted;
    struct vlm_call_choice *choices; /* [prompts * n], those of a prompt together */
    size_t n_choices, choices_over;
    size_t n_scores;     /* choices behind those, which nobody sees: prompts that are scored */
    bool scores_prompts; /* set by read(): there shall be such, one of each prompt */
    size_t truncated;    /* tokens that were left out of prompts, on request */
    size_t images_waiting;
    size_t prompt_tokens, prompt_image_tokens;
    double began, first_token; /* of the monotonic clock */
    double queued, queue_seconds;
    struct event *timer;  /* pings */
    struct event *enough; /* t_max_predict_ms, from the first token on */
    double sent;          /* when a stream last sent something */
    bool streaming;       /* the stream has begun */
    bool job_over;
    uint32_t stop[1]; /* options.stop */
};

/* NULL: answered. */
struct vlm_call *vlm_call_new(struct vlm_service *service, struct vlm_exchange *exchange,
                              const struct vlm_call_kind *kind);

/* Reads a parsed body by tables, then kind->read(): without an exchange, for tests. False: a problem, in call->reader. */
bool vlm_call_read_value(struct vlm_call *call, const struct vlm_value *body,
                         const struct vlm_field_group *const *groups);

/* Reads the JSON body into the call by its tables (NULL at the end). False: answered, the call is gone. */
bool vlm_call_read(struct vlm_call *call, const struct vlm_field_group *const *groups);

/* The whole of a request with a JSON body that kind->groups read. */
void vlm_call_handle(struct vlm_service *service, struct vlm_exchange *exchange,
                     const struct vlm_call_kind *kind);

/* For bodies that are not JSON, after the fields were set: the model's name, and what fields mean together. False:
 * answered, the call is gone. */
bool vlm_call_check(struct vlm_call *call);

/* The JSON body of an exchange in an arena. NULL: the status and the sentence of the error, and its
 * param, in the arena, or NULL. */
const struct vlm_value *vlm_json_body(struct vlm_exchange *exchange, struct vlm_arena *arena,
                                      int *status, const char **param, struct vlm_err *err);

/* Answers with an error (in a stream: an event, and the end), cancels what runs, frees the call. */
void vlm_call_fail(struct vlm_call *call, int status, const char *param, const char *format, ...)
    VLM_PRINTF(4, 5);
/* The same from a result: VLM_EUSAGE, VLM_EFORMAT 400, VLM_ELIMIT 503 with Retry-After, deadline_ms 408, else 500. */
void vlm_call_fail_err(struct vlm_call *call, const char *param, int rc, const struct vlm_err *err);

/* Adds a picture: a URL (data: or vlm:sha256:), or the bytes of a file, which must live in the call's arena. The index
 * in *index. False: not a URL that is allowed, with the problem at reader->path. */
bool vlm_call_picture_url(struct vlm_call *call, struct vlm_reader *reader,
                          const struct vlm_value *url, size_t *index);
struct vlm_call_picture *vlm_call_picture_bytes(struct vlm_call *call, const char *param,
                                                const uint8_t *bytes, size_t n, size_t *index);

/* A picture that is an array of 256 codes. */
bool vlm_call_picture_codes(struct vlm_call *call, struct vlm_reader *reader,
                            const struct vlm_value *codes, size_t *index);

/* Starts. Afterwards the call may be gone. */
void vlm_call_run(struct vlm_call *call);

/* For prepare(), which then returns false: the whole answer, without the model. The buffer is released. */
void vlm_call_answer_now(struct vlm_call *call, struct vlm_buffer *json);

/* For prepare(): n zeroed prompts in call->prompts. NULL: failed. */
struct vlm_call_prompt *vlm_call_prompts(struct vlm_call *call, size_t n);

/* ---- for answers ---- */

/* Members that many answers have: "id", "object", "created", "model", "system_fingerprint"; "usage"; "timings". */
void vlm_call_write_head(const struct vlm_call *call, struct vlm_json *json, const char *object);
/* "truncated": true, "truncated_tokens"; nothing when no prompt was cut. Of the head. */
void vlm_call_write_truncated(const struct vlm_call *call, struct vlm_json *json);
size_t vlm_call_cached(const struct vlm_call *call); /* tokens of the prompts, each once */
void vlm_call_write_usage(const struct vlm_call *call, struct vlm_json *json);
void vlm_call_write_timings(const struct vlm_call *call, struct vlm_json *json);
/* "images": [...] of the pictures of a choice (fill SIZE_MAX: of all fills), and "content_parts". */
void vlm_call_write_images(const struct vlm_call *call, struct vlm_json *json,
                           const struct vlm_call_choice *choice, size_t fill);
void vlm_call_write_parts(const struct vlm_call *call, struct vlm_json *json,
                          const struct vlm_call_choice *choice);
/* Of a stream: a preview, of a JPEG `file`, or the picture; "partial" says which, "progress" how much is there. */
void vlm_call_write_streamed_image(const struct vlm_call *call, struct vlm_json *json,
                                   const struct vlm_call_image *image, const uint8_t *file,
                                   size_t n);
/* "warnings": [...] of fields that had no effect; nothing without such. */
void vlm_call_write_warnings(const struct vlm_call *call, struct vlm_json *json);
/* "codes": [...] of a picture, null where there is none yet. */
void vlm_call_write_codes(struct vlm_json *json, const struct vlm_call_image *image);
/* A chunk of OpenAI's streams up to its open "choices", and of a choice (NULL: none) up to its "index". The buffer is
 * zeroed; vlm_sse_send() ends it. */
void vlm_call_open_chunk(struct vlm_call *call, struct vlm_buffer *buffer, struct vlm_json *json,
                         const struct vlm_call_choice *choice);
/* kind->progress of all: a chunk without choices, with llama.cpp's "prompt_progress". */
void vlm_call_send_progress(struct vlm_call *call, const struct vlm_job_event *event);
/* kind->end: a chunk without choices, with the usage, when the client asks for it; then "[DONE]". */
void vlm_call_send_end(struct vlm_call *call);
const char *vlm_call_media_type(const struct vlm_call *call); /* of files: "image/png" */
/* "data:image/png;base64,..." */
void vlm_call_write_data_url(struct vlm_json *json, const char *media_type, const uint8_t *file,
                             size_t n);

#endif
