// mbarriers, bulk copies of boxes, wgmma and what belongs to them, as kernels call them (hopper.cuh).
#pragma once

#include "async_proxy.h"
#include "bulk_copies.h"
#include "cluster.h"
#include "mbarrier.h"
#include "named_barriers.h"
#include "tensor.h"
#include "wgmma.h"

#define EMULATE_SITE const char* file = __builtin_FILE(), int line = __builtin_LINE()

// ---- mbarriers ----

EMULATE_CALLED_BY_KERNELS void mbarrier_init(uint64_t* barrier, int arrivals, EMULATE_SITE) {
    emulate::init_mbarrier(barrier, arrivals, {file, line});
}
EMULATE_CALLED_BY_KERNELS void mbarrier_arrive(uint64_t* barrier, EMULATE_SITE) {
    emulate::arrive_at_mbarrier(barrier, 0, {file, line});
}
EMULATE_CALLED_BY_KERNELS void mbarrier_arrive_expect_tx(uint64_t* barrier, int bytes, EMULATE_SITE) {
    emulate::arrive_at_mbarrier(barrier, bytes, {file, line});
}
EMULATE_CALLED_BY_KERNELS void mbarrier_wait(uint64_t* barrier, unsigned parity, EMULATE_SITE) {
    emulate::wait_at_mbarrier(barrier, parity, {file, line});
}

EMULATE_CALLED_BY_KERNELS void mbarrier_arrive_at(uint64_t* barrier, int rank, EMULATE_SITE) {
    emulate::arrive_at_mbarrier_of(barrier, rank, {file, line});
}

EMULATE_CALLED_BY_KERNELS void mbarrier_hand_back(uint64_t* barrier, int rank, EMULATE_SITE) {
    emulate::arrive_at_mbarrier_of(barrier, rank, {file, line});
}

// ---- clusters ----

inline int cluster_rank() { return emulate::rank_in_cluster(); }
EMULATE_CALLED_BY_KERNELS void cluster_arrive(EMULATE_SITE) { emulate::arrive_at_cluster({file, line}); }
EMULATE_CALLED_BY_KERNELS void cluster_wait(EMULATE_SITE) { emulate::wait_at_cluster({file, line}); }
template <class T>
EMULATE_CALLED_BY_KERNELS T* map_shared(T* address, int rank, EMULATE_SITE) {
    return static_cast<T*>(emulate::map_to_block(address, rank, {file, line}));
}

// ---- proxies ----

inline void fence_mbarrier_init() { emulate::publish_mbarriers(); }
inline void fence_proxy_async() { emulate::fence_proxy_async(); }

// ---- bulk copies of boxes ----

template <class T, int rank>
TensorMap tensor_map(const T* array, const int64_t (&sizes)[rank], const int64_t (&strides)[rank],
                     const int (&box)[rank], Swizzle swizzle) {
    TensorMap map{};
    map.base = reinterpret_cast<unsigned char*>(const_cast<T*>(array));
    map.rank = rank;
    map.swizzle = swizzle;
    for (int i = 0; i < rank; ++i) {
        map.sizes[i] = uint64_t(sizes[i]);
        map.strides[i] = (i == 0 ? 1 : uint64_t(strides[i])) * sizeof(T);
        map.box[i] = box[i];
    }
    emulate::check_tensor_map(map);
    return map;
}

template <int rank>
EMULATE_CALLED_BY_KERNELS void tma_load(void* destination, const TensorMap& map, uint64_t* barrier,
                                        const int (&at)[rank], EMULATE_SITE) {
    emulate::load_box(destination, map, barrier, at, {file, line});
}
template <int rank>
EMULATE_CALLED_BY_KERNELS void tma_load_for(unsigned ranks, void* destination, const TensorMap& map,
                                            uint64_t* barrier, const int (&at)[rank], EMULATE_SITE) {
    emulate::load_box_for(ranks, destination, map, barrier, at, {file, line});
}
template <int rank>
EMULATE_CALLED_BY_KERNELS void tma_store(const TensorMap& map, const int (&at)[rank], const void* source,
                                         EMULATE_SITE) {
    emulate::store_box(map, at, source, {file, line});
}
inline void tma_commit() { emulate::commit_stores(); }
template <int groups_left>
inline void tma_wait_read() {
    emulate::wait_for_stores(groups_left);
}

// ---- wgmma ----

inline unsigned shared_address(const void* address) { return emulate::shared_window_address(address); }

EMULATE_CALLED_BY_KERNELS void wgmma_fence(EMULATE_SITE) { emulate::fence_wgmma({file, line}); }
EMULATE_CALLED_BY_KERNELS void wgmma_commit(EMULATE_SITE) { emulate::commit_wgmma({file, line}); }
template <int groups_left>
EMULATE_CALLED_BY_KERNELS void wgmma_wait(EMULATE_SITE) {
    emulate::wait_for_wgmma(groups_left, {file, line});
}

template <class T, bool a_across_k, bool b_across_k, int parts>
EMULATE_CALLED_BY_KERNELS void wgmma(float (&d)[parts][4], uint64_t a, uint64_t b, bool adds, EMULATE_SITE) {
    static_assert(parts >= 1 && parts <= 32, "wgmma has 8 to 256 columns");
    const emulate::Wgmma what{8 * parts, emulate::multiplicand<T>(), a_across_k, b_across_k, adds};
    emulate::begin_wgmma(what, &d[0][0], a, b, {file, line});
}

template <class T, bool b_across_k, int parts>
EMULATE_CALLED_BY_KERNELS void wgmma(float (&d)[parts][4], const unsigned (&a)[4], uint64_t b, bool adds,
                                     EMULATE_SITE) {
    const emulate::Wgmma what{8 * parts, emulate::multiplicand<T>(), false, b_across_k, adds, true};
    emulate::begin_wgmma_of_registers(what, &d[0][0], a, b, {file, line});
}

// ---- warps and their parts ----

EMULATE_CALLED_BY_KERNELS void named_barrier(int id, int threads, EMULATE_SITE) {
    emulate::wait_at_named_barrier(id, threads, {file, line});
}

// Which lane it is, no program may count on.
inline bool elect_one(EMULATE_SITE) {
    __ballot_sync(~0u, true, file, line);
    return threadIdx.x % warpSize == 13;
}

template <int registers>
EMULATE_CALLED_BY_KERNELS void setmaxnreg_dec(EMULATE_SITE) {
    emulate::set_registers(registers, false, {file, line});
}
template <int registers>
EMULATE_CALLED_BY_KERNELS void setmaxnreg_inc(EMULATE_SITE) {
    emulate::set_registers(registers, true, {file, line});
}

// ---- the device ----

// So few that blocks compute several tiles.
constexpr int64_t multiprocessors() { return 2; }
template <class Kernel>
int64_t clusters_at_a_time(Kernel, int, int, size_t) {
    return 2;
}
template <class Ask>
int64_t once_of_each_device(Ask ask) {
    return ask();
}

#undef EMULATE_SITE
