#include "bulk_copies.h"

#include <algorithm>
#include <vector>

#include "async_proxy.h"
#include "block.h"
#include "errors.h"
#include "mbarrier.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulate {

namespace {

struct BulkCopy {
    TensorMap map;
    int at[most_tensor_rank];
    unsigned char* shared;
    uint64_t* barrier;  // null: a store
    int thread, group;
    Site site;

    size_t row_bytes() const { return size_t(map.box[0]) * map.strides[0]; }
    size_t rows() const {
        size_t count = 1;
        for (int i = 1; i < map.rank; ++i) {
            count *= size_t(map.box[i]);
        }
        return count;
    }
    size_t bytes() const { return rows() * row_bytes(); }

    // What of a row of the box is inside the array.
    struct Row {
        unsigned char* global;
        size_t first, bytes;  // in the row
    };
    Row row(size_t index) const {
        unsigned char* global = map.base;
        for (int i = 1; i < map.rank; ++i) {
            const int64_t coordinate = at[i] + int64_t(index % size_t(map.box[i]));
            index /= size_t(map.box[i]);
            if (coordinate < 0 || uint64_t(coordinate) >= map.sizes[i]) {
                return {nullptr, 0, 0};
            }
            global += uint64_t(coordinate) * map.strides[i];
        }
        const int64_t first = std::max<int64_t>(0, -int64_t(at[0]));
        const int64_t end = std::min<int64_t>(map.box[0], int64_t(map.sizes[0]) - at[0]);
        if (first >= end) {
            return {nullptr, 0, 0};
        }
        const size_t size = map.strides[0];
        return {global + (int64_t(at[0]) + first) * int64_t(size), size_t(first) * size,
                size_t(end - first) * size};
    }

    void land() const {
        unsigned char buffer[256 * 8];
        const unsigned start = shared_window_address(shared);
        const int rank = rank_of_shared(shared);
        for (size_t i = 0; i < rows(); ++i) {
            const Row inside = row(i);
            const auto pack = [&](size_t byte) {
                return at_shared_window(swizzled(unsigned(start + i * row_bytes() + byte), map.swizzle), rank);
            };
            if (barrier != nullptr) {
                std::memset(buffer, 0, row_bytes());
                std::memcpy(buffer + inside.first, inside.global, inside.bytes);
                for (size_t byte = 0; byte < row_bytes(); byte += 16) {
                    std::memcpy(pack(byte), buffer + byte, 16);
                }
            } else {
                for (size_t byte = 0; byte < row_bytes(); byte += 16) {
                    std::memcpy(buffer + byte, pack(byte), 16);
                }
                std::memcpy(inside.global, buffer + inside.first, inside.bytes);
            }
        }
        if (barrier != nullptr) {
            check::land_bulk_copy(shared, bytes());
            note_bulk_write(shared, bytes(), map.swizzle);
            complete_bytes(barrier, int64_t(bytes()));
        }
    }
};

std::vector<BulkCopy> bulk_copies;  // under way
int store_groups[max_threads];
Random landing{0};  // not that of the schedule: the order of threads stays that of its seed

void land_bulk_copy(size_t index) {
    const BulkCopy copy = bulk_copies[index];
    bulk_copies.erase(bulk_copies.begin() + std::ptrdiff_t(index));
    copy.land();
}

// Before it is begun, in the kernel.
void check_copy(const BulkCopy& copy, const char* what) {
    leave_kernel();
    if (copy.barrier != nullptr) {
        require_mbarrier(copy.barrier, copy.site);
    }
    const unsigned pattern = pattern_of(copy.map.swizzle);
    if (shared_window_address(copy.shared) % pattern != 0) {
        fail(std::string(what) + " at " + place(copy.site) + ": its address in shared memory is not a multiple of " +
             std::to_string(pattern));
    }
    require_dynamic_shared(copy.shared, copy.bytes(), what, copy.site);
    return_to_kernel();
    for (size_t i = 0; i < copy.rows(); ++i) {
        const BulkCopy::Row row = copy.row(i);
        if (row.bytes > 0 && copy.barrier != nullptr) {
            check::see_bulk_read(row.global, row.bytes, copy.site.code);
        } else if (row.bytes > 0) {
            check::see_write(row.global, row.bytes, copy.site.code);
        }
    }
}

void begin_bulk_copy(const BulkCopy& copy) {
    bulk_copies.push_back(copy);
    const Schedule schedule = launch.schedule.schedule;
    if (schedule == Schedule::descending || (schedule == Schedule::random && landing.next() % 4 == 0)) {
        land_bulk_copy(bulk_copies.size() - 1);
    }
}

void begin_load(void* destination, const TensorMap& map, uint64_t* barrier, const int* at, Site site) {
    BulkCopy copy{map, {}, static_cast<unsigned char*>(destination), barrier, current, 0, site};
    std::copy(at, at + map.rank, copy.at);
    check_copy(copy, "the load of a box");
    check::begin_bulk_copy(copy.shared, copy.bytes(), phase_of_mbarrier(barrier), site.code);
    leave_kernel();
    std::memset(copy.shared, poison_value, copy.bytes());
    begin_bulk_copy(copy);
    return_to_kernel();
}

}  // namespace

void load_box(void* destination, const TensorMap& map, uint64_t* barrier, const int* at, Site site) {
    note_code(site, __builtin_return_address(0));
    begin_load(destination, map, barrier, at, site);
}

void load_box_for(unsigned ranks, void* destination, const TensorMap& map, uint64_t* barrier, const int* at,
                  Site site) {
    note_code(site, __builtin_return_address(0));
    leave_kernel();
    if (ranks == 0 || ranks >> cluster_blocks != 0) {
        fail("the load of a box at " + place(site) + " is for blocks " + hexadecimal(ranks) +
             ", a bit for each; the cluster has " + std::to_string(cluster_blocks));
    }
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        if (ranks >> rank & 1) {
            void* const there = map_shared(destination, rank, "the load of a box", site);
            void* const hears = map_shared(barrier, rank, "the load of a box", site);
            return_to_kernel();
            check::reach_block(rank, site.code);
            begin_load(there, map, static_cast<uint64_t*>(hears), at, site);
            leave_kernel();
        }
    }
    return_to_kernel();
}

void store_box(const TensorMap& map, const int* at, const void* source, Site site) {
    note_code(site, __builtin_return_address(0));
    auto* const shared = static_cast<unsigned char*>(const_cast<void*>(source));
    BulkCopy copy{map, {}, shared, nullptr, current, store_groups[current], site};
    std::copy(at, at + map.rank, copy.at);
    check_copy(copy, "the store of a box");
    require_published(source, copy.bytes(), "the store of a box", site);
    check::see_bulk_read(source, copy.bytes(), site.code);
    leave_kernel();
    begin_bulk_copy(copy);
    return_to_kernel();
}

void commit_stores() { ++store_groups[current]; }

void wait_for_stores(int groups_left) {
    leave_kernel();
    for (size_t i = 0; i < bulk_copies.size();) {
        const BulkCopy& copy = bulk_copies[i];
        if (copy.barrier == nullptr && copy.thread == current &&
            copy.group < store_groups[current] - groups_left) {
            land_bulk_copy(i);
        } else {
            ++i;
        }
    }
    return_to_kernel();
}

void require_landed(const void* address, size_t bytes, const char* what, Site site) {
    const auto* const begin = static_cast<const unsigned char*>(address);
    for (const BulkCopy& copy : bulk_copies) {
        if (copy.barrier != nullptr && begin < copy.shared + copy.bytes() && copy.shared < begin + bytes) {
            fail(std::string(what) + " at " + place(site) + " reads what the load of a box, begun at " +
                 place(copy.site) + ", has not brought yet: wait at its mbarrier");
        }
    }
}

void begin_bulk_copies_of_block() {
    bulk_copies.clear();
    std::fill(store_groups, store_groups + thread_total, 0);
    landing.state = launch.random.state;
}

void land_by_chance() {
    if (bulk_copies.empty() || launch.schedule.schedule != Schedule::random) {
        return;
    }
    const uint64_t random = landing.next();
    if (random % 8 == 0) {
        land_bulk_copy((random >> 8) % bulk_copies.size());
    }
}

bool land_one_bulk_copy() {
    if (bulk_copies.empty()) {
        return false;
    }
    land_bulk_copy(0);
    return true;
}

void land_bulk_copies() {
    while (land_one_bulk_copy()) {
    }
}

void require_no_stores(int thread) {
    for (const BulkCopy& copy : bulk_copies) {
        if (copy.barrier == nullptr && copy.thread == thread) {
            fail("exits without having waited for the store of a box that it began at " + place(copy.site));
        }
    }
}

void require_no_loads() {
    for (const BulkCopy& copy : bulk_copies) {
        if (is_shared(copy.shared)) {
            fail("the block ends without having waited for the load of a box, begun at " + place(copy.site));
        }
    }
}

}  // namespace emulate
