"""The frame of the two C files."""

from __future__ import annotations

HEADER = """\
/* A network written by edgekit. No dependencies beyond C99; one call at a time: intermediate values are static. */
#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* {input_shape}: height, width, channels; the channels of a pixel together. real = scale * (integer - zero) */
#define {upper}_INPUT_SIZE {input_size}
#define {upper}_INPUT_SCALE {input_scale}
#define {upper}_INPUT_ZERO ({input_zero})
#define {upper}_OUTPUT_SIZE {output_size}
#define {upper}_OUTPUT_SCALE {output_scale}
#define {upper}_OUTPUT_ZERO ({output_zero})
/* Bytes of static memory beside the constants. */
#define {upper}_MEMORY {memory}

void {name}_run(const int8_t input[{upper}_INPUT_SIZE], int8_t output[{upper}_OUTPUT_SIZE]);

#ifdef __cplusplus
}}
#endif

#endif /* {guard} */
"""

SOURCE = """\
/* A network written by edgekit: see {name}.h. */
#include "{name}.h"

#include <limits.h>
#include <stddef.h>

{functions}
{constants}
static uint32_t memory[{words}];

void {name}_run(const int8_t input[{upper}_INPUT_SIZE], int8_t output[{upper}_OUTPUT_SIZE]) {{
{calls}
}}
"""
