/* ekz: unpacks .ekz archives, the delivery format of edgekit, to the byte-identical file.
 *
 * One source file of C99 (ekz.c), no allocation, no global state, no floating point, nothing from the C library but memcpy and
 * memset. Archives may come from anywhere: every access is checked, work and memory are bounded by what the archive declares
 * and the caller allows, and bytes are only called good when both checksums agree.
 *
 *     ekz_info_t info;
 *     if (ekz_info(archive, archive_size, &info) != EKZ_OK || info.size > my_limit) ...
 *     uint8_t *model = malloc(info.size);
 *     void *workspace = malloc(info.workspace);             // freed when the call is over
 *     int error = ekz_unpack(archive, archive_size, model, info.size, workspace, info.workspace);
 */
#ifndef EKZ_H
#define EKZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    EKZ_OK = 0,
    EKZ_NOT_AN_ARCHIVE = 1, /* it does not begin as one */
    EKZ_NEWER = 2,          /* a version that this decoder does not know */
    EKZ_DAMAGED = 3,        /* cut off, or not what a packer writes */
    EKZ_CHECKSUM = 4,       /* what was unpacked is not the file that was packed */
    EKZ_NO_ROOM = 5,        /* the output or the workspace is smaller than ekz_info says */
    EKZ_NO_PART = 6         /* what was unpacked holds no file of that name */
};

typedef struct {
    size_t size;      /* bytes of the file */
    size_t workspace; /* bytes of memory that unpacking needs beside it */
} ekz_info_t;

/* Reads what an archive declares; looks at its first bytes only. */
int ekz_info(const uint8_t *archive, size_t archive_size, ekz_info_t *info);

/* Unpacks an archive into `output`. What stands there is of use only where EKZ_OK comes back.
 * `workspace` needs no alignment and no content. */
int ekz_unpack(const uint8_t *archive, size_t archive_size, uint8_t *output, size_t output_size, void *workspace,
               size_t workspace_size);

/* Where a file stands in what was unpacked, of an archive of several: the sizes of a slimmable network, by their names ("1",
 * "0.5"). It begins at a multiple of 16 bytes of the output, and needs nothing of the others. */
int ekz_part(const uint8_t *unpacked, size_t size, const char *name, const uint8_t **part, size_t *part_size);

/* What an error is, in English. */
const char *ekz_error(int error);

#ifdef __cplusplus
}
#endif

#endif
