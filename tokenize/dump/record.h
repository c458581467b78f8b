/* record.h - the records of a crawl dump, whatever container they come in.
 *
 *   struct vlm_dump *dump;
 *   rc = vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd, .name = path }, &err);
 *   while (rc >= 0 && (rc = vlm_dump_next(dump, &record, &err)) != VLM_EOF) {
 *       if (rc == VLM_SKIP) ...              // damage: record.offset, record.length, record.error
 *       else if (rc == VLM_OK) ...           // use(&record)
 *       else break;
 *   }
 *   vlm_dump_close(dump);
 *
 * Damage costs the record it hits: the reader reports it once (VLM_SKIP) with the bytes it covers,
 * finds the next record and goes on. Only failures to read the file itself are errors. */
#ifndef VLM_TOKENIZE_RECORD_H
#define VLM_TOKENIZE_RECORD_H

#include "base/vlm.h"

enum vlm_record_type {
    VLM_RECORD_WARCINFO,
    VLM_RECORD_RESPONSE, /* ARC records too */
    VLM_RECORD_RESOURCE, /* and the members of archives and folders */
    VLM_RECORD_REQUEST,
    VLM_RECORD_METADATA,
    VLM_RECORD_REVISIT,
    VLM_RECORD_CONVERSION,
    VLM_RECORD_CONTINUATION,
    VLM_RECORD_UNKNOWN,
    VLM_RECORD_TYPES,
};
const char *vlm_record_type_name(enum vlm_record_type type);

enum vlm_digest_state { VLM_DIGEST_NONE, VLM_DIGEST_OK, VLM_DIGEST_MISMATCH };

/* Why a record cannot be used; a closed list, names by vlm_damage_name(). */
enum vlm_damage {
    VLM_DAMAGE_NONE,
    VLM_DAMAGE_GZIP_HEADER,    /* gz_header: no gzip member where one must start */
    VLM_DAMAGE_GZIP_DATA,      /* gz_data: the deflate stream is damaged */
    VLM_DAMAGE_GZIP_CHECKSUM,  /* gz_crc: CRC32 or size of the member differ */
    VLM_DAMAGE_GZIP_TRUNCATED, /* gz_truncated: the file ends inside a member */
    VLM_DAMAGE_ZSTD,           /* zstd */
    VLM_DAMAGE_BOMB,           /* bomb: over VLM_INFLATE_RATIO_MAX */
    VLM_DAMAGE_HEADER,         /* warc_header: no valid version line, fields or Content-Length */
    VLM_DAMAGE_VERSION,        /* warc_version */
    VLM_DAMAGE_LENGTH,         /* warc_length: the block is longer or shorter than declared */
    VLM_DAMAGE_TOO_LARGE,      /* too_large: block over VLM_WARC_BLOCK_MAX */
    VLM_DAMAGE_JUNK,           /* junk: bytes between records that belong to none */
    VLM_DAMAGE_ARC,            /* arc_header */
    VLM_DAMAGE_ARCHIVE,        /* archive: tar or zip member unreadable */
    VLM_DAMAGE_CRASH,          /* worker_crash: this record killed its worker twice */
    VLM_DAMAGES,
};
const char *vlm_damage_name(enum vlm_damage damage);

/* One record. Pointers are borrowed until the next call on the dump; strings are NUL-terminated,
 * NULL when the field is absent. */
struct vlm_record {
    enum vlm_record_type type;
    enum vlm_damage error; /* set when vlm_dump_next gave VLM_SKIP */
    uint64_t offset;       /* of the gzip member or zstd frame, else of the record itself */
    uint64_t length;       /* stored bytes up to the next record, separators included */
    uint64_t start;        /* the byte that orders records inside one member: position in the
                            * decompressed member; 0 for the first */

    const char *uri;          /* angle brackets stripped */
    const char *date;         /* RFC 3339 as found, or NULL */
    const char *content_type; /* of the record, not of HTTP */
    const char *refers_to_uri, *refers_to_date;
    const char *payload_digest, *block_digest; /* "sha1:BASE32", as found */
    const char *truncated;
    const char *identified_type; /* WARC-Identified-Payload-Type */

    const uint8_t *block;
    uint64_t block_length;
};

enum vlm_dump_format {
    VLM_DUMP_UNKNOWN,
    VLM_DUMP_WARC,
    VLM_DUMP_WARC_GZIP,
    VLM_DUMP_WARC_ZSTD,
    VLM_DUMP_ARC,
    VLM_DUMP_ARC_GZIP,
    VLM_DUMP_ARCHIVE, /* tar (gz, zst, xz), zip, WACZ: by libarchive */
    VLM_DUMP_FILES,   /* loose files: one resource record each */
};

/* What is read, and which part of it. A range owns the records that start in [begin, end). */
struct vlm_dump_input {
    int fd;                      /* borrowed; must allow pread, or be a pipe with begin 0 */
    const char *name;            /* for sentences */
    uint64_t begin, end;         /* end 0: to the end of the file */
    bool exact;                  /* begin is known to be a record's first byte: do not search */
    enum vlm_dump_format format; /* UNKNOWN: found by magic */

    /* VLM_DUMP_FILES only: one open file and its name (path below the input folder) per record. */
    const int *files;
    const char *const *file_names;
    size_t n_files;
};

struct vlm_dump;

/* Opens nothing and owns no descriptor: reads through in->fd only, so it works in a confined
 * process. VLM_EFORMAT when the bytes are no known dump. */
VLM_MUST_CHECK int vlm_dump_open(struct vlm_dump **out, const struct vlm_dump_input *in,
                                 struct vlm_err *err);

/* The next record that starts in the range. VLM_OK; VLM_SKIP for damage; VLM_EOF; or an error. */
VLM_MUST_CHECK int vlm_dump_next(struct vlm_dump *dump, struct vlm_record *record,
                                 struct vlm_err *err);

/* After open: where the first record of the range starts, or UINT64_MAX when none was found in it.
 * After VLM_EOF: where the first record behind the range starts (the file's size at its end). The
 * next unit must begin exactly there. A range without a record, entered without exact, knows no
 * position: UINT64_MAX as well. */
uint64_t vlm_dump_first(const struct vlm_dump *dump);
uint64_t vlm_dump_position(const struct vlm_dump *dump);
enum vlm_dump_format vlm_dump_format(const struct vlm_dump *dump);
void vlm_dump_close(struct vlm_dump *dump);

/* Format by the first bytes (512 are enough); names are never trusted. */
enum vlm_dump_format vlm_dump_sniff(const uint8_t *bytes, size_t n);

/* Compares a digest field ("sha1:...", base32 or hex; sha256, md5 ...) with bytes. NONE when the
 * field is NULL or its algorithm unknown. */
enum vlm_digest_state vlm_digest_check(const char *field, const uint8_t *bytes, size_t n);

#endif
