// What a plain CUDA program may name, on the CPU: `tapegrad emulate` compiles it with this header before
// its first line, as nvcc does with cuda_runtime.h. What C++ cannot spell, launches and shared
// variables, it has rewritten before (src/tapegrad/emulating).
#pragma once

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Names of the emulator's own that a program is free to use for something else.
#define Adapter tapegrad_Adapter
#define Argument tapegrad_Argument
#define Extent tapegrad_Extent
#define Launcher tapegrad_Launcher
#define Registration tapegrad_Registration
#define bfloat16 tapegrad_bfloat16
#define half tapegrad_half

#include "../runtime.h"

#undef Adapter
#undef Argument
#undef Extent
#undef Launcher
#undef Registration
#undef bfloat16
#undef half

#undef DYNAMIC_SHARED
#undef FUNCTION
#undef LAUNCHER
#undef LAUNCHER_AS
#undef SHARED

#define __constant__
#define __managed__
#define __grid_constant__
#define __device_builtin__
#define __inline_hint__
#define __align__(bytes) __attribute__((aligned(bytes)))

#include "vectors.h"

#include "api.h"
#include "atomics.h"
#include "intrinsics.h"
#include "running.h"

// After the standard headers, some of which look at it.
#define __CUDACC__ 1
#define __NVCC__ 1
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define CUDART_VERSION 13000
#define CUDA_VERSION 13000
