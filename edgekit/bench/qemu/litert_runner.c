/* Runs a .tflite file on the C interface of the shared library that the LiteRT wheel carries.
 *
 *   litert_runner LIBRARY MODEL CALLS INPUT OUTPUT
 *
 * INPUT holds the raw bytes of all inputs, one after the other, or is "-": then the bytes come from a fixed generator. The
 * outputs of the first call are written to OUTPUT unless that is "-". Each call stands between two marks for the instruction
 * counting plugin: tags 2i and 2i+1 for call i, after an empty pair with the tags 1000 and 1001.
 *
 * The wheel has no headers. The declarations below are those of LiteRT's litert/c/ that are used here; the library is opened at
 * run time, so that a version without one of them says which.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_TENSORS 64
#define FLOAT32 1
#define INT32 2
#define INT64 4

typedef void *handle;
typedef int status;

typedef struct {
    unsigned rank : 7, has_strides : 1;
    int32_t dimensions[8];
    uint32_t strides[8];
} layout;

typedef struct {
    int element_type;
    layout shape;
} tensor_type;

static void fail(const char *what, long code) {
    fprintf(stderr, "litert_runner: %s (%ld)\n", what, code);
    exit(3);
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "litert_runner: the library has no %s\n", name);
        exit(4);
    }
    return found;
}

#define USE(name, ...) status (*name)(__VA_ARGS__) = symbol(library, "LiteRt" #name)
#define CHECK(call)                             \
    do {                                        \
        status s_ = (call);                     \
        if (s_) fail(#call, s_);                \
    } while (0)

static void fill(unsigned char *to, size_t size, int element_type) {
    static uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (unsigned char)(state >> 24);
    }
    if (element_type == FLOAT32) /* bytes 0..255 become numbers in [-1, 1) */
        for (size_t i = 0; i + 4 <= size; i += 4) {
            float value = (float)to[i] / 128.0f - 1.0f;
            memcpy(to + i, &value, 4);
        }
    if (element_type == INT32 || element_type == INT64) /* mostly indices: 0 or 1 */
        for (size_t i = 0, step = element_type == INT32 ? 4 : 8; i + step <= size; i += step) {
            to[i] &= 1;
            memset(to + i + 1, 0, step - 1);
        }
}

static void mark(int tag) { getpriority(77, (id_t)tag); }

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: litert_runner LIBRARY MODEL CALLS INPUT OUTPUT", argc);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "litert_runner: %s\n", dlerror());
        return 4;
    }
    USE(CreateEnvironment, int, const void *, handle *);
    USE(CreateModelFromFile, handle, const char *, handle *);
    USE(CreateOptions, handle *);
    USE(SetOptionsHardwareAccelerators, handle, int);
    USE(CreateCompiledModel, handle, handle, handle, handle *);
    USE(GetModelSignature, handle, size_t, handle *);
    USE(GetNumSignatureInputs, handle, size_t *);
    USE(GetNumSignatureOutputs, handle, size_t *);
    USE(GetSignatureInputTensorByIndex, handle, size_t, handle *);
    USE(GetSignatureOutputTensorByIndex, handle, size_t, handle *);
    USE(GetRankedTensorType, handle, tensor_type *);
    USE(GetCompiledModelInputTensorLayout, handle, size_t, size_t, layout *);
    USE(GetCompiledModelOutputTensorLayouts, handle, size_t, size_t, layout *, bool);
    USE(GetCompiledModelInputBufferRequirements, handle, size_t, size_t, handle *);
    USE(GetCompiledModelOutputBufferRequirements, handle, size_t, size_t, handle *);
    USE(CreateManagedTensorBufferFromRequirements, handle, const tensor_type *, handle, handle *);
    USE(GetTensorBufferPackedSize, handle, size_t *);
    USE(LockTensorBuffer, handle, void **, int);
    USE(UnlockTensorBuffer, handle);
    USE(RunCompiledModel, handle, size_t, size_t, handle *, size_t, handle *);

    handle environment, model, options, compiled, signature;
    CHECK(CreateEnvironment(0, NULL, &environment));
    CHECK(CreateModelFromFile(environment, argv[2], &model));
    CHECK(CreateOptions(&options));
    CHECK(SetOptionsHardwareAccelerators(options, 1 /* CPU */));
    CHECK(CreateCompiledModel(environment, model, options, &compiled));
    CHECK(GetModelSignature(model, 0, &signature));
    size_t n_in, n_out, size;
    CHECK(GetNumSignatureInputs(signature, &n_in));
    CHECK(GetNumSignatureOutputs(signature, &n_out));
    if (n_in > MAX_TENSORS || n_out > MAX_TENSORS) fail("too many inputs or outputs", (long)(n_in > n_out ? n_in : n_out));

    handle in[MAX_TENSORS], out[MAX_TENSORS], tensor, needs;
    tensor_type type;
    void *data;
    FILE *file = strcmp(argv[4], "-") ? fopen(argv[4], "rb") : NULL;
    if (!file && strcmp(argv[4], "-")) fail("cannot read the input file", 0);
    for (size_t i = 0; i < n_in; i++) {
        CHECK(GetSignatureInputTensorByIndex(signature, i, &tensor));
        CHECK(GetRankedTensorType(tensor, &type));
        CHECK(GetCompiledModelInputTensorLayout(compiled, 0, i, &type.shape)); /* has the sizes that the file leaves open */
        CHECK(GetCompiledModelInputBufferRequirements(compiled, 0, i, &needs));
        CHECK(CreateManagedTensorBufferFromRequirements(environment, &type, needs, &in[i]));
        CHECK(GetTensorBufferPackedSize(in[i], &size));
        CHECK(LockTensorBuffer(in[i], &data, 1 /* write */));
        if (!file) fill(data, size, type.element_type);
        else if (fread(data, 1, size, file) != size) fail("the input file is too short", (long)size);
        CHECK(UnlockTensorBuffer(in[i]));
    }
    if (file) fclose(file);
    layout shapes[MAX_TENSORS];
    CHECK(GetCompiledModelOutputTensorLayouts(compiled, 0, n_out, shapes, true));
    for (size_t i = 0; i < n_out; i++) {
        CHECK(GetSignatureOutputTensorByIndex(signature, i, &tensor));
        CHECK(GetRankedTensorType(tensor, &type));
        type.shape = shapes[i];
        CHECK(GetCompiledModelOutputBufferRequirements(compiled, 0, i, &needs));
        CHECK(CreateManagedTensorBufferFromRequirements(environment, &type, needs, &out[i]));
    }

    mark(1000);
    mark(1001);
    for (int call = 0; call < atoi(argv[3]); call++) {
        mark(2 * call);
        status s = RunCompiledModel(compiled, 0, n_in, in, n_out, out);
        mark(2 * call + 1);
        if (s) fail("RunCompiledModel", s);
        if (call || !strcmp(argv[5], "-")) continue;
        file = fopen(argv[5], "wb");
        if (!file) fail("cannot write the output file", 0);
        for (size_t i = 0; i < n_out; i++) {
            CHECK(GetTensorBufferPackedSize(out[i], &size));
            CHECK(LockTensorBuffer(out[i], &data, 0 /* read */));
            fwrite(data, 1, size, file);
            CHECK(UnlockTensorBuffer(out[i]));
        }
        fclose(file);
    }
    fflush(NULL);
    _Exit(0); /* nothing is torn down: the measurement is done */
}
