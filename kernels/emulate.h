// CUDA on a CPU, as far as the kernels of this project use it. Any C++17 compiler compiles the .cu
// files against this header, unchanged; each CUDA thread becomes a fiber.
//
// It is a test device. Blocks (of clusters, clusters) run one after another, the threads of a block in an order drawn at
// random from a seed (or ascending, or descending), switching only where CUDA threads meet: at
// barriers and warp operations. What CUDA calls undefined is reported here, with the kernel, the
// block and the thread: divergent barriers, warp operations whose mask is wrong, misaligned vector
// accesses, shared memory overruns, launches beyond the limits. Shared memory starts every block
// filled with 0xFF, which reads as NaN. The checked build sees every access to memory, too: races,
// whatever the order that was drawn, bounds, reads of shared memory that nothing wrote. What it cannot
// show: values as weak memory ordering makes them, register limits, fast-math rounding, streams.
//
// emulate/types.h     dim3, vector types, the CUDA keywords
// emulate/float16.h   half and bfloat16
// emulate/runtime.h   launches, threadIdx, barriers, warp operations, shared memory
// emulate/math.h      device functions: arithmetic, bits, atomics
// emulate/tensor.*    what tensor.cuh has: ldmatrix, mma.sync; tensor_cores.* their arithmetic;
//                     async_copies.* cp.async
// emulate/hopper.h    what hopper.cuh has: mbarrier.*, bulk_copies.* and tensor_map.* (TMA), wgmma.*,
//                     async_proxy.* what these see of shared memory, named_barriers.*, cluster.*
// emulate/fiber.*     stacks and the switch between them
// emulate/runtime.cpp launches; schedule.cpp the order of turns; block.*, turns.* a block and its threads;
//                     barrier.*, warps.*, shared_memory.*, cooperative.* what these share; watcher.*,
//                     interruption.* how a kernel is stopped in the middle; errors.* what is said then
// emulate/faults.*    accesses to memory that is not there; symbols.* lines of the source
// emulate/check.h     what the checked build's checks are told and asked
// emulate/checked/    those checks: order.* which access comes before which; shadow.* who accessed what;
//                     flights.* asynchronous copies not waited for; hooks.cpp what the compiler calls;
//                     report.*; banks.* bank conflicts
#pragma once

#include "emulate/types.h"

#include "emulate/float16.h"
#include "emulate/math.h"
#include "emulate/runtime.h"
