// What kernels say to GPUs of compute capability 9.0, beside tensor.cuh's words: boxes of a tensor are copied
// by the tensor memory accelerator (TMA), which reports to an mbarrier; matrices in shared memory are
// multiplied by a warpgroup, four warps, as one (wgmma). Words and semantics: PTX ISA.
//
// Compiled for sm_90a only; for other GPUs a body that uses it is left out (HAS_HOPPER).
#pragma once

#include "tensor.cuh"

#ifdef __CUDACC__

#include <cuda.h>
#ifndef __CUDACC_RTC__
#include <atomic>
#endif

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define HAS_HOPPER 1
#else
#define HAS_HOPPER 0
#endif

#if HAS_HOPPER
#define HOPPER_INSTRUCTION(...) asm volatile(__VA_ARGS__)
#else
#define HOPPER_INSTRUCTION(...) __trap()
#endif

// ---- mbarriers: eight bytes of shared memory, whose phases end when all arrivals and bytes have come ----

__device__ inline void mbarrier_init(uint64_t* barrier, int arrivals) {
    HOPPER_INSTRUCTION("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
                       : "memory");
}

__device__ inline void mbarrier_arrive(uint64_t* barrier) {
    HOPPER_INSTRUCTION("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives, and has the phase wait for so many bytes more.
__device__ inline void mbarrier_arrive_expect_tx(uint64_t* barrier, int bytes) {
    HOPPER_INSTRUCTION("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                       "r"(bytes)
                       : "memory");
}

// Until the phase of this parity has ended; the first has 0. (1, at first: there was none to wait for.)
__device__ inline void mbarrier_wait(uint64_t* barrier, unsigned parity) {
    HOPPER_INSTRUCTION(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}" ::"r"(shared_address(barrier)), "r"(parity)
        : "memory");
}

// At the one that another block of the cluster has at this place.
__device__ inline void mbarrier_arrive_at(uint64_t* barrier, int rank) {
    HOPPER_INSTRUCTION(
        "{\n"
        ".reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n"
        "}" ::"r"(shared_address(barrier)),
        "r"(rank)
        : "memory");
}

// The same for memory that this thread has only read, by wgmma that it has waited for, and now hands back.
// What it has written is ordered for its own block alone, which saves a fence for all of the GPU.
__device__ inline void mbarrier_hand_back(uint64_t* barrier, int rank) {
    HOPPER_INSTRUCTION(
        "{\n"
        ".reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
        "}" ::"r"(shared_address(barrier)),
        "r"(rank)
        : "memory");
}

// ---- clusters: blocks that run at the same time, and reach each other's shared memory ----

// Of this block among those of its cluster, which are neighbours along x.
__device__ inline int cluster_rank() {
    int rank = 0;
    HOPPER_INSTRUCTION("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// A barrier of all threads of a cluster that have not exited, at which each arrives, and waits later; what
// was done before the arrival is seen behind the wait. No block may use the shared memory of one that has
// not begun, or has ended: so there is one at either end.
__device__ inline void cluster_arrive() { HOPPER_INSTRUCTION("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ inline void cluster_wait() { HOPPER_INSTRUCTION("barrier.cluster.wait.acquire;" ::: "memory"); }

// The same place in the shared memory of another block of the cluster.
template <class T>
__device__ inline T* map_shared(T* address, int rank) {
    T* there = nullptr;
    HOPPER_INSTRUCTION("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(address), "r"(rank));
    return there;
}

// ---- proxies: what threads have written to shared memory is seen by TMA and wgmma behind one of these ----

// Of mbarriers that were initialised.
__device__ inline void fence_mbarrier_init() {
    HOPPER_INSTRUCTION("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void fence_proxy_async() {
    HOPPER_INSTRUCTION("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- TMA ----

using TensorMap = CUtensorMap;

// Packs of 16 bytes are exchanged within spans of so many bytes, differently in each of eight rows.
enum class Swizzle : int { none, within_32, within_64, within_128 };

#ifndef __CUDACC_RTC__

// The driver's encoder, found when it is needed, so that the extension can be imported without a driver.
inline decltype(&cuTensorMapEncodeTiled) tensor_map_encoder() {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                                cudaEnableDefault, &result);
    if (status != cudaSuccess || result != cudaDriverEntryPointSuccess) {
        cudaGetLastError();
        throw KernelError("tensor map: the driver has no cuTensorMapEncodeTiled; it needs CUDA 12.0");
    }
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
}

// Of an array, sizes and strides in elements, the innermost dimension first, whose stride is 1; strides are
// multiples of 16 bytes. box: what one copy moves. Raises KernelError where the driver refuses it.
template <class T, int rank>
TensorMap tensor_map(const T* array, const int64_t (&sizes)[rank], const int64_t (&strides)[rank],
                     const int (&box)[rank], Swizzle swizzle) {
    static const auto encode = tensor_map_encoder();
    static_assert(std::is_same<T, half>::value || std::is_same<T, bfloat16>::value, "maps of half and bfloat16");
    const auto type = std::is_same<T, half>::value ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                   : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    cuuint64_t size[rank], stride[rank];
    cuuint32_t extent[rank], every[rank];
    for (int i = 0; i < rank; ++i) {
        size[i] = cuuint64_t(sizes[i]);
        stride[i] = cuuint64_t(strides[i]) * sizeof(T);
        extent[i] = cuuint32_t(box[i]);
        every[i] = 1;
    }
    TensorMap map;
    const CUresult status =
        encode(&map, type, rank, const_cast<T*>(array), size, stride + 1, extent, every,
               CU_TENSOR_MAP_INTERLEAVE_NONE, static_cast<CUtensorMapSwizzle>(swizzle),
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (status != CUDA_SUCCESS) {
        throw KernelError("tensor map: cuTensorMapEncodeTiled refused it (CUresult " +
                          std::to_string(int(status)) + ")");
    }
    return map;
}

// What ask answers of the device that is current, which is asked once of each: the driver takes its time.
// Ask: a lambda, each of which has its own answers; not negative.
template <class Ask>
int64_t once_of_each_device(Ask ask) {
    constexpr int most = 64;
    static std::atomic<int64_t> answers[most];  // and 1; 0: it was not asked
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess || device >= most) return ask();
    int64_t answer = answers[device].load(std::memory_order_relaxed);
    if (answer == 0) {
        answer = ask() + 1;
        answers[device].store(answer, std::memory_order_relaxed);
    }
    return answer - 1;
}

inline int64_t multiprocessors() {
    return once_of_each_device([]() -> int64_t {
        int device = 0, count = 1;
        cudaGetDevice(&device);
        cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
        return count;
    });
}

// How many clusters of so many blocks of a kernel run at the same time; at least 1.
template <class... Parameters>
int64_t clusters_at_a_time(void (*kernel)(Parameters...), int cluster, int threads, size_t shared_bytes) {
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(cluster);
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
    config.attrs = &attribute;
    config.numAttrs = 1;
    int count = 0;
    if (cudaOccupancyMaxActiveClusters(&count, kernel, &config) != cudaSuccess) cudaGetLastError();
    return count < 1 ? 1 : count;
}

#endif

// Begins to copy the box at these coordinates, the innermost first, to shared memory, at a multiple of
// 128 bytes, swizzled: of 8 spans. What is outside of the array becomes zero. By one thread.
template <int rank>
__device__ inline void tma_load(void* destination, const TensorMap& map, uint64_t* barrier,
                                const int (&at)[rank]) {
    static_assert(rank >= 2 && rank <= 4, "boxes have 2 to 4 dimensions here");
    const unsigned to = shared_address(destination), bar = shared_address(barrier);
#define TMA_LOAD(dimensions, coordinates, ...)                                                              \
    HOPPER_INSTRUCTION("cp.async.bulk.tensor." dimensions ".shared::cluster.global.tile.mbarrier"          \
                       "::complete_tx::bytes [%0], [%1, {" coordinates "}], [%2];" ::"r"(to), "l"(&map), "r"(bar), \
                       __VA_ARGS__                                                                          \
                       : "memory")
    if constexpr (rank == 2) {
        TMA_LOAD("2d", "%3, %4", "r"(at[0]), "r"(at[1]));
    } else if constexpr (rank == 3) {
        TMA_LOAD("3d", "%3, %4, %5", "r"(at[0]), "r"(at[1]), "r"(at[2]));
    } else {
        TMA_LOAD("4d", "%3, %4, %5, %6", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]));
    }
#undef TMA_LOAD
}

// The same, to this place in each block of the cluster whose rank's bit is set: all bytes are reported to the
// mbarrier that it has at this place.
template <int rank>
__device__ inline void tma_load_for(unsigned ranks, void* destination, const TensorMap& map, uint64_t* barrier,
                                    const int (&at)[rank]) {
    static_assert(rank == 2 || rank == 4, "boxes for several blocks have 2 or 4 dimensions here");
    const unsigned to = shared_address(destination), bar = shared_address(barrier);
#define TMA_LOAD(dimensions, coordinates, ...)                                                              \
    HOPPER_INSTRUCTION("cp.async.bulk.tensor." dimensions ".shared::cluster.global.tile.mbarrier"          \
                       "::complete_tx::bytes.multicast::cluster [%0], [%1, {" coordinates "}], [%2], %3;"   \
                       ::"r"(to), "l"(&map), "r"(bar), "h"(static_cast<unsigned short>(ranks)), __VA_ARGS__ \
                       : "memory")
    if constexpr (rank == 2) {
        TMA_LOAD("2d", "%4, %5", "r"(at[0]), "r"(at[1]));
    } else {
        TMA_LOAD("4d", "%4, %5, %6, %7", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]));
    }
#undef TMA_LOAD
}

// The other way round; what is outside of the array is not written.
template <int rank>
__device__ inline void tma_store(const TensorMap& map, const int (&at)[rank], const void* source) {
    static_assert(rank >= 2 && rank <= 3, "boxes that are stored have 2 or 3 dimensions here");
    const unsigned from = shared_address(source);
    if constexpr (rank == 2) {
        HOPPER_INSTRUCTION("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
                           "r"(from), "r"(at[0]), "r"(at[1])
                           : "memory");
    } else {
        HOPPER_INSTRUCTION("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(&map),
                           "r"(from), "r"(at[0]), "r"(at[1]), "r"(at[2])
                           : "memory");
    }
}

__device__ inline void tma_commit() { HOPPER_INSTRUCTION("cp.async.bulk.commit_group;" ::: "memory"); }

// Until at most so many groups of this thread, the latest, have not read their source.
template <int groups_left>
__device__ inline void tma_wait_read() {
    HOPPER_INSTRUCTION("cp.async.bulk.wait_group.read %0;" ::"n"(groups_left) : "memory");
}

// ---- wgmma ----

// Before the first product, and between what else is done with accumulators and the product that uses them.
__device__ inline void wgmma_fence() { HOPPER_INSTRUCTION("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { HOPPER_INSTRUCTION("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int groups_left>
__device__ inline void wgmma_wait() {
    HOPPER_INSTRUCTION("wgmma.wait_group.sync.aligned %0;" ::"n"(groups_left) : "memory");
}

#define D4(d, i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define D16(d, i) D4(d, i), D4(d, i + 1), D4(d, i + 2), D4(d, i + 3)
#define D32(d, i) D16(d, i), D16(d, i + 4)
#define D64(d, i) D32(d, i), D32(d, i + 8)
#define D128(d, i) D64(d, i), D64(d, i + 16)
#define REGISTERS_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define REGISTERS_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define REGISTERS_128 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define WGMMA(shape, types, registers, a_at, b_at, adds_at, a_turn, b_turn, ...)                            \
    HOPPER_INSTRUCTION("{\n"                                                                               \
                       ".reg .pred adds;\n"                                                                \
                       "setp.ne.b32 adds, %" adds_at ", 0;\n"                                              \
                       "wgmma.mma_async.sync.aligned." shape ".f32." types " {" registers "}, %" a_at       \
                       ", %" b_at ", adds, 1, 1, %" a_turn ", %" b_turn ";\n"                              \
                       "}"                                                                                  \
                       : __VA_ARGS__                                                                        \
                       : "l"(a), "l"(b), "r"(int(adds)), "n"(int(a_across_k)), "n"(int(b_across_k)))

// d = a b, or d += a b, of 64 rows and 8 columns for each of d's parts; a and b are descriptors of matrices
// that are 16 deep. A thread has of each part what mma_m16n8k16 gives it, of its warp's 16 rows. Begun: d
// and the matrices may be touched when the group has been committed and waited for. across_k: neighbours
// in memory are neighbours along m, or n.
template <class T, bool a_across_k, bool b_across_k, int parts>
__device__ inline void wgmma(float (&d)[parts][4], uint64_t a, uint64_t b, bool adds) {
    static_assert(std::is_same<T, half>::value || std::is_same<T, bfloat16>::value,
                  "wgmma multiplies half or bfloat16");
    static_assert(parts == 8 || parts == 16 || parts == 32, "64, 128 or 256 columns");
    constexpr bool is_half = std::is_same<T, half>::value;
    if constexpr (parts == 8 && is_half) {
        WGMMA("m64n64k16", "f16.f16", REGISTERS_32, "32", "33", "34", "35", "36", D32(d, 0));
    } else if constexpr (parts == 8) {
        WGMMA("m64n64k16", "bf16.bf16", REGISTERS_32, "32", "33", "34", "35", "36", D32(d, 0));
    } else if constexpr (parts == 16 && is_half) {
        WGMMA("m64n128k16", "f16.f16", REGISTERS_64, "64", "65", "66", "67", "68", D64(d, 0));
    } else if constexpr (parts == 16) {
        WGMMA("m64n128k16", "bf16.bf16", REGISTERS_64, "64", "65", "66", "67", "68", D64(d, 0));
    } else if constexpr (is_half) {
        WGMMA("m64n256k16", "f16.f16", REGISTERS_128, "128", "129", "130", "131", "132", D128(d, 0));
    } else {
        WGMMA("m64n256k16", "bf16.bf16", REGISTERS_128, "128", "129", "130", "131", "132", D128(d, 0));
    }
}

#define WGMMA_OF_REGISTERS(shape, types, registers, a0, a1, a2, a3, b_at, adds_at, b_turn, ...)             \
    HOPPER_INSTRUCTION("{\n"                                                                               \
                       ".reg .pred adds;\n"                                                                \
                       "setp.ne.b32 adds, %" adds_at ", 0;\n"                                              \
                       "wgmma.mma_async.sync.aligned." shape ".f32." types " {" registers "}, {%" a0 ", %" a1 \
                       ", %" a2 ", %" a3 "}, %" b_at ", adds, 1, 1, %" b_turn ";\n"                        \
                       "}"                                                                                  \
                       : __VA_ARGS__                                                                        \
                       : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(adds)), "n"(int(b_across_k)))

// The same where a is in registers, as mma_m16n8k16 has it, of each warp's 16 rows: they may not change
// either until the wait.
template <class T, bool b_across_k, int parts>
__device__ inline void wgmma(float (&d)[parts][4], const unsigned (&a)[4], uint64_t b, bool adds) {
    static_assert(parts == 8 || parts == 16, "64 or 128 columns");
    constexpr bool is_half = std::is_same<T, half>::value;
    if constexpr (parts == 8 && is_half) {
        WGMMA_OF_REGISTERS("m64n64k16", "f16.f16", REGISTERS_32, "32", "33", "34", "35", "36", "37", "38", D32(d, 0));
    } else if constexpr (parts == 8) {
        WGMMA_OF_REGISTERS("m64n64k16", "bf16.bf16", REGISTERS_32, "32", "33", "34", "35", "36", "37", "38", D32(d, 0));
    } else if constexpr (is_half) {
        WGMMA_OF_REGISTERS("m64n128k16", "f16.f16", REGISTERS_64, "64", "65", "66", "67", "68", "69", "70", D64(d, 0));
    } else {
        WGMMA_OF_REGISTERS("m64n128k16", "bf16.bf16", REGISTERS_64, "64", "65", "66", "67", "68", "69", "70", D64(d, 0));
    }
}

#undef WGMMA
#undef WGMMA_OF_REGISTERS
#undef REGISTERS_32
#undef REGISTERS_64
#undef REGISTERS_128
#undef D4
#undef D16
#undef D32
#undef D64
#undef D128

// ---- warps and their parts ----

// A barrier, 1 to 15, of so many threads: whole warps.
__device__ inline void named_barrier(int id, int threads) {
    HOPPER_INSTRUCTION("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// True in one lane of a whole warp, whichever that is.
__device__ inline bool elect_one() {
    unsigned elected = 0;
    HOPPER_INSTRUCTION(
        "{\n"
        ".reg .pred mine;\n"
        "elect.sync _|mine, 0xffffffff;\n"
        "selp.b32 %0, 1, 0, mine;\n"
        "}"
        : "=r"(elected));
    return elected != 0;
}

// All warps of a warpgroup: gives registers back, or takes some that others gave back; then each thread has
// so many, a multiple of 8 from 24 to 256.
template <int registers>
__device__ inline void setmaxnreg_dec() {
    HOPPER_INSTRUCTION("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
__device__ inline void setmaxnreg_inc() {
    HOPPER_INSTRUCTION("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

#undef HOPPER_INSTRUCTION

#else
#define HAS_HOPPER 1
#include "emulate/hopper.h"
#endif

// A matrix in shared memory as wgmma reads it: at a multiple of 16 bytes, swizzled of 8 spans, but that it may
// begin further along k. Packs of 8 elements run along k, or across it. Without a swizzle, 8 packs that
// follow each other across what they run along lie side by side: such groups are `leading` bytes apart
// along k, and `stride` bytes across k. Swizzled, rows of a span follow each other, 8 to a group: these
// are `stride` bytes apart; across k, spans beside each other `leading` bytes.
__device__ inline uint64_t matrix_descriptor(const void* start, int leading, int stride, Swizzle swizzle) {
    const uint64_t mode = swizzle == Swizzle::none ? 0 : 4 - static_cast<int>(swizzle);
    return uint64_t(shared_address(start) >> 4 & 0x3FFF) | uint64_t(leading >> 4) << 16 |
           uint64_t(stride >> 4) << 32 | mode << 62;
}

// The same matrix, so many bytes further.
__device__ inline uint64_t advance(uint64_t descriptor, int bytes) { return descriptor + uint64_t(bytes >> 4); }
