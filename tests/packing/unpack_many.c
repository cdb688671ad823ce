/* Unpacks archive after archive from standard input, each a 32-bit length (lowest byte first) and its bytes, and answers with a
 * byte that is the error, a 32-bit length and what was unpacked. Memory is exactly as large as asked for, so that a sanitizer
 * sees one byte too many. */
#include <stdio.h>
#include <stdlib.h>

#include "ekz.h"

/* The tests' files are small; what declares more is not worth the time. */
#define MOST (64u << 20)

static int length(uint32_t *value) {
    uint8_t bytes[4];
    if (fread(bytes, 1, 4, stdin) != 4) return 0;
    *value = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    return 1;
}

static void answer(int error, const uint8_t *data, uint32_t size) {
    uint32_t k;
    putchar(error);
    for (k = 0; k < 4; k++) putchar((int)(size >> (8 * k) & 255u));
    if (size) fwrite(data, 1, size, stdout);
}

int main(void) {
    uint32_t size;
    while (length(&size)) {
        ekz_info_t info;
        uint8_t *archive = malloc(size ? size : 1), *output;
        void *workspace;
        int error;
        if (!archive || fread(archive, 1, size, stdin) != size) return 1;
        error = ekz_info(archive, size, &info);
        if (error || info.size > MOST || info.workspace > MOST) {
            answer(error ? error : EKZ_NO_ROOM, NULL, 0);
            free(archive);
            continue;
        }
        output = malloc(info.size ? info.size : 1);
        workspace = malloc(info.workspace);
        if (!output || !workspace) return 1;
        error = ekz_unpack(archive, size, output, info.size, workspace, info.workspace);
        answer(error, output, error ? 0 : (uint32_t)info.size);
        free(workspace);
        free(output);
        free(archive);
    }
    return 0;
}
