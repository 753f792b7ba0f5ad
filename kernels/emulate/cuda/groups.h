// Cooperative groups: blocks, tiles of a warp, the lanes that are together, and the grid.
#pragma once

#include <type_traits>

#include "running.h"

namespace cooperative_groups {

#define EMULATE_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline unsigned emulate_block_rank() {
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}

class thread_block {
  public:
    EMULATE_CALLED_BY_KERNELS static void sync(EMULATE_SITE) { __syncthreads(file, line); }
    static unsigned thread_rank() { return emulate_block_rank(); }
    static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
    static unsigned num_threads() { return size(); }
    static dim3 group_index() { return blockIdx; }
    static dim3 thread_index() { return threadIdx; }
    static dim3 group_dim() { return blockDim; }
    static dim3 dim_threads() { return blockDim; }
};
inline thread_block this_thread_block() { return {}; }

// Lanes of a warp, by their mask. In a tile, lanes count from its first on.
class WarpGroup {
  public:
    WarpGroup(unsigned mask) : mask_(mask) {}
    void sync(EMULATE_SITE) const { __syncwarp(mask_, file, line); }
    unsigned size() const { return unsigned(__popc(mask_)); }
    unsigned num_threads() const { return size(); }
    unsigned thread_rank() const { return unsigned(__popc(mask_ & ((1u << lane()) - 1u))); }
    int any(int predicate, EMULATE_SITE) const { return __any_sync(mask_, predicate, file, line); }
    int all(int predicate, EMULATE_SITE) const { return __all_sync(mask_, predicate, file, line); }
    unsigned ballot(int predicate, EMULATE_SITE) const {
        return packed(__ballot_sync(mask_, predicate, file, line));
    }
    template <class T>
    T shfl(T value, int rank, EMULATE_SITE) const {
        return __shfl_sync(mask_, value, lane_of(unsigned(rank)), 32, file, line);
    }
    template <class T>
    T shfl_up(T value, unsigned distance, EMULATE_SITE) const {
        const unsigned rank = thread_rank();
        return __shfl_sync(mask_, value, lane_of(rank < distance ? rank : rank - distance), 32, file, line);
    }
    template <class T>
    T shfl_down(T value, unsigned distance, EMULATE_SITE) const {
        const unsigned rank = thread_rank(), source = rank + distance;
        return __shfl_sync(mask_, value, lane_of(source < size() ? source : rank), 32, file, line);
    }
    template <class T>
    T shfl_xor(T value, unsigned ranks, EMULATE_SITE) const {
        const unsigned rank = thread_rank(), source = rank ^ ranks;
        return __shfl_sync(mask_, value, lane_of(source < size() ? source : rank), 32, file, line);
    }
    unsigned mask() const { return mask_; }

  protected:
    static unsigned lane() { return emulate_block_rank() % 32; }

  private:
    int lane_of(unsigned rank) const {
        unsigned left = mask_;
        for (; rank != 0; --rank) {
            left &= left - 1;
        }
        return __ffs(int(left)) - 1;
    }
    unsigned packed(unsigned lanes) const {
        unsigned result = 0, rank = 0;
        for (unsigned left = mask_; left != 0; left &= left - 1, ++rank) {
            result |= (lanes >> (__ffs(int(left)) - 1) & 1u) << rank;
        }
        return result;
    }
    unsigned mask_;
};

inline unsigned emulate_tile_mask(unsigned size) {
    const unsigned lane = emulate_block_rank() % 32;
    const unsigned tile = size >= 32 ? ~0u : (1u << size) - 1u;
    return tile << (lane / size * size);
}

class coalesced_group : public WarpGroup {
  public:
    using WarpGroup::WarpGroup;
};
__attribute__((always_inline)) inline coalesced_group coalesced_threads(EMULATE_SITE) { return __activemask(file, line); }

class TileOfBlock : public WarpGroup {
  public:
    explicit TileOfBlock(unsigned size) : WarpGroup(emulate_tile_mask(size)), size_(size) {
        static_assert(sizeof(unsigned) == 4, "a mask has 32 lanes");
    }
    unsigned meta_group_rank() const { return emulate_block_rank() / size_; }
    unsigned meta_group_size() const { return (thread_block::size() + size_ - 1) / size_; }

  private:
    unsigned size_;
};

template <unsigned Size, class Parent = void>
class thread_block_tile : public TileOfBlock {
    static_assert(Size >= 1 && Size <= 32 && (Size & (Size - 1)) == 0, "a power of two up to 32");

  public:
    thread_block_tile() : TileOfBlock(Size) {}
    template <class Other>
    thread_block_tile(const thread_block_tile<Size, Other>&) : TileOfBlock(Size) {}
};

template <unsigned Size, class Parent>
thread_block_tile<Size, Parent> tiled_partition(const Parent&) {
    return {};
}

// Any of the above that synchronises.
class thread_group {
  public:
    thread_group(const thread_block&) {}
    thread_group(const WarpGroup& group) : mask_(group.mask()) {}
    EMULATE_CALLED_BY_KERNELS void sync(EMULATE_SITE) const {
        if (mask_ == 0) {
            __syncthreads(file, line);
        } else {
            __syncwarp(mask_, file, line);
        }
    }
    unsigned size() const { return mask_ == 0 ? thread_block::size() : WarpGroup(mask_).size(); }
    unsigned num_threads() const { return size(); }
    unsigned thread_rank() const {
        return mask_ == 0 ? emulate_block_rank() : WarpGroup(mask_).thread_rank();
    }

  private:
    unsigned mask_ = 0;  // 0: the block
};
inline thread_group tiled_partition(const thread_block&, unsigned size) {
    return WarpGroup(emulate_tile_mask(size));
}

class grid_group {
  public:
    void sync() const { emulate::wait_for_grid(); }
    bool is_valid() const { return emulate::is_cooperative(); }
    unsigned long long thread_rank() const {
        const unsigned long long block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        return block * thread_block::size() + emulate_block_rank();
    }
    unsigned long long size() const {
        return (unsigned long long)gridDim.x * gridDim.y * gridDim.z * thread_block::size();
    }
    unsigned long long num_threads() const { return size(); }
    dim3 group_dim() const { return gridDim; }
    unsigned long long num_blocks() const { return (unsigned long long)gridDim.x * gridDim.y * gridDim.z; }
    unsigned long long block_rank() const {
        return (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    }
};
inline grid_group this_grid() { return {}; }

template <class Group>
EMULATE_CALLED_BY_KERNELS void sync(const Group& group, EMULATE_SITE) {
    if constexpr (std::is_same<Group, grid_group>::value) {
        group.sync();
    } else {
        group.sync(file, line);
    }
}

// ---- reductions ----

template <class T>
struct plus {
    T operator()(T a, T b) const { return a + b; }
};
template <class T>
struct less {
    T operator()(T a, T b) const { return b < a ? b : a; }
};
template <class T>
struct greater {
    T operator()(T a, T b) const { return a < b ? b : a; }
};
template <class T>
struct bit_and {
    T operator()(T a, T b) const { return a & b; }
};
template <class T>
struct bit_or {
    T operator()(T a, T b) const { return a | b; }
};
template <class T>
struct bit_xor {
    T operator()(T a, T b) const { return a ^ b; }
};

// Of all lanes of a group, the same in each: in order of their ranks.
template <class Group, class T, class Operation>
T reduce(const Group& group, T value, Operation operation, EMULATE_SITE) {
    T result = group.shfl(value, 0, file, line);
    for (unsigned rank = 1; rank < group.size(); ++rank) {
        result = operation(result, group.shfl(value, int(rank), file, line));
    }
    return result;
}

// Of those up to this lane.
template <class Group, class T, class Operation>
T inclusive_scan(const Group& group, T value, Operation operation, EMULATE_SITE) {
    for (unsigned distance = 1; distance < group.size(); distance *= 2) {
        const T before = group.shfl_up(value, distance, file, line);
        value = group.thread_rank() >= distance ? operation(before, value) : value;
    }
    return value;
}
template <class Group, class T>
T inclusive_scan(const Group& group, T value) {
    return inclusive_scan(group, value, plus<T>());
}

#undef EMULATE_SITE

}  // namespace cooperative_groups
