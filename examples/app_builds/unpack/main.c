/* first_start ARCHIVE MODEL: what an app does when it starts for the first time. */
#include <stdio.h>
#include <stdlib.h>

#include "ekz.h"

/* More than this app is willing to unpack, whatever an archive says. */
#define MOST ((size_t)64 << 20)

static uint8_t *content(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long end;
    if (!file) return NULL;
    if (!fseek(file, 0, SEEK_END) && (end = ftell(file)) > 0 && !fseek(file, 0, SEEK_SET)) {
        *size = (size_t)end;
        data = malloc(*size);
        if (data && fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    fclose(file);
    return data;
}

static int unpack(const uint8_t *archive, size_t size, const char *path) {
    ekz_info_t info;
    uint8_t *model;
    void *workspace;
    FILE *file;
    int error = ekz_info(archive, size, &info), written = 0;
    if (!error && (info.size > MOST || info.workspace > MOST)) error = EKZ_NO_ROOM;
    if (error) {
        fprintf(stderr, "%s\n", ekz_error(error));
        return 1;
    }
    model = malloc(info.size ? info.size : 1);
    workspace = malloc(info.workspace);
    if (model && workspace) {
        error = ekz_unpack(archive, size, model, info.size, workspace, info.workspace);
        if (error)
            fprintf(stderr, "%s\n", ekz_error(error));
        else if ((file = fopen(path, "wb")) != NULL) {
            written = fwrite(model, 1, info.size, file) == info.size;
            written = !fclose(file) && written;
        }
    }
    free(workspace);
    free(model);
    return written ? 0 : 1;
}

int main(int argc, char **argv) {
    size_t size = 0;
    uint8_t *archive;
    int code;
    if (argc != 3) {
        fprintf(stderr, "usage: first_start ARCHIVE MODEL\n");
        return 2;
    }
    archive = content(argv[1], &size);
    if (!archive) {
        fprintf(stderr, "%s can't be read\n", argv[1]);
        return 1;
    }
    code = unpack(archive, size, argv[2]);
    free(archive);
    return code;
}
